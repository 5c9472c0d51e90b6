"""Launches that are recorded at the first call of a function, and only made again at the next ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import wrap
from clgrad.runtime import Recording, Storage, settle
from clgrad.spec import Spec

_TRIES = 3  # to record: another thread may have copied something meanwhile


class Repeated:
    """What a function makes of storages by launches, which depend on nothing but the caller's choice of the object.

    The function gives a list of tensors and None. Nothing of it is recorded in a graph. The first call records its
    launches; the next ones make them again, with the storages that they are given.
    """

    __slots__ = ("_recording", "_results", "_tries", "elsewhere")

    def __init__(self) -> None:
        self.elsewhere = 0.0  # how long, in ns, other threads than the caller's work on a launch; inf: nothing is repeated
        self._recording: Recording | None = None
        self._results: list[tuple[int, int, Spec] | None] = []  # place, offset and spec of each
        self._tries = _TRIES  # that are left

    def __call__(self, storages: list[Storage | None], function: Callable[[], list], give_up: Callable[[], Any]) -> list:
        """The function's results.

        Args:
            storages: the memory of the function's operands, in an order of their own. The list is emptied, so that what
                nobody else holds is given up as soon as no launch needs it.
            function: is called where the launches are not known.
            give_up: is called in place of it: the operands are not needed any more.
        """
        if not self._tries:
            storages.clear()
            return function()
        buffers: list = []
        exported = False
        for storage in storages:
            buffer = storage and storage.buffer
            if buffer is None and storage is not None:
                buffer = storage.acquire()
                exported = exported or storage.buffer is None
            buffers.append(buffer)
        if self._recording is None:
            found = self._record(storages, buffers, exported, function)
        elif self._recording.fits(buffers):
            give_up()
            places = self._recording.repeat(storages, buffers)
            found = [None if known is None else wrap(places[known[0]], known[1], known[2]) for known in self._results]
        else:
            storages.clear()
            found = function()
        if exported:
            settle()
        return found

    def _record(self, storages: list, buffers: list, exported: bool, function: Callable[[], list]) -> list:
        device, *others = {storage.device for storage in storages if storage is not None}
        if others:
            self._tries, self.elsewhere = 0, math.inf
        if others or not Recording.possible(device):
            storages.clear()
            return function()
        recording = Recording(device, storages, buffers)
        storages.clear()
        with recording:
            found = function()
        places = recording.keep([t.memory for t in found if t is not None])
        if places is not None:
            place = iter(places)
            self._results = [None if t is None else (next(place), t.offset, t.spec) for t in found]
            self._recording, self.elsewhere = recording, recording.elsewhere()
        elif not exported:  # exported memory is copied to a device with memory of its own: then there are more than launches
            self._tries -= 1
        if not self._tries:
            self.elsewhere = math.inf
        return found
