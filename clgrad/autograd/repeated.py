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
        self._results: list[tuple[int, int, Spec] | None] = []  # place, offset from its base, and spec of each
        self._tries = _TRIES  # that are left

    def __call__(self, storages: list[Storage | None], bases: list[int], function: Callable[[], list],
                 give_up: Callable[[], Any]) -> list:
        """The function's results.

        Args:
            storages: the memory of the function's operands, in an order of their own. The list is emptied, so that what
                nobody else holds is given up as soon as no launch needs it.
            bases: for each of them the offset, in elements, at which the first operand there begins. All others lie behind or
                before that as they did at other calls: so batches are that a program cuts out of its data.
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
        recording = self._recording
        if recording is None or not recording.reaches(bases):
            found = self._record(storages, buffers, bases, exported, function)
        elif recording.fits(buffers, bases):
            give_up()
            places = recording.repeat(storages, buffers, bases)
            bases += [0] * (len(places) - len(bases))
            found = [None if known is None else wrap(places[known[0]], bases[known[0]] + known[1], known[2])
                     for known in self._results]
        else:
            storages.clear()
            found = function()
        if exported:
            settle()
        return found

    def _record(self, storages: list, buffers: list, bases: list[int], exported: bool, function: Callable[[], list]) -> list:
        device, *others = {storage.device for storage in storages if storage is not None}
        if others:
            self._tries, self.elsewhere = 0, math.inf
        if others or not Recording.possible(device):
            storages.clear()
            return function()
        recording = Recording(device, storages, buffers, bases)
        storages.clear()
        with recording:
            found = function()
        places = recording.keep([t.memory for t in found if t is not None])
        if places is not None:
            self._keep(recording, places, found)
        elif not exported:  # exported memory is copied to a device with memory of its own: then there are more than launches
            self._tries -= 1
        if not self._tries:
            self.elsewhere = math.inf
        return found

    def _keep(self, recording: Recording, places: list[int], found: list) -> None:
        """Takes a recording over, or learns from it what it is with other bases than the one that there is."""
        place = iter(places)
        bases = [*recording.bases, *[0] * max([0, *places])]
        results = [None if t is None else (at := next(place), t.offset - bases[at], t.spec) for t in found]
        if self._recording is None:
            self._results, self._recording, self.elsewhere = results, recording, recording.elsewhere()
        elif results != self._results or not self._recording.learn(recording):
            self._tries -= 1
