"""Functions of tensors whose launches are recorded at the first call, and only made again at the next ones."""

from __future__ import annotations

from collections.abc import Callable

from clgrad.autograd.graph import wrap
from clgrad.runtime import Recording, settle
from clgrad.spec import Spec

_TRIES = 3  # to record: another thread may have filled or copied something meanwhile


class Repeated:
    """A function of a list of tensors that makes its results by launches, which depend on nothing but the tensors' specs.

    It is called with tensors of the same specs each time, None where there is none, and gives a list of tensors and None
    in return. It may empty the list: what nobody else holds is given up as soon as no launch needs it. Nothing is recorded
    in a graph. The first call with tensors at the beginning of their memory records the launches; the next ones make them
    again, without a look at the function.
    """

    __slots__ = ("_function", "_recording", "_results", "_tries")

    def __init__(self, function: Callable[[list], list]):
        self._function = function
        self._recording: Recording | None = None
        self._results: list[tuple[int, int, Spec] | None] = []  # place, offset and spec of each
        self._tries = _TRIES  # that are left

    def __call__(self, tensors: list) -> list:
        """The function's results."""
        if not self._tries:
            return self._function(tensors)
        storages: list = []
        buffers: list = []
        exported = False
        for t in tensors:
            if t is None:
                storages.append(None)
                buffers.append(None)
                continue
            storage = t.memory
            buffer = storage.buffer
            if t.offset:
                return self._function(tensors)
            if buffer is None:
                buffer = storage.acquire()
                exported = exported or storage.buffer is None
            storages.append(storage)
            buffers.append(buffer)
        recording = self._recording
        if recording is None:
            found = self._record(tensors, storages, buffers, exported)
        elif recording.fits(buffers):
            tensors.clear()
            places = recording.repeat(storages, buffers)
            found = [None if known is None else wrap(places[known[0]], known[1], known[2]) for known in self._results]
        else:
            found = self._function(tensors)
        if exported:
            settle()
        return found

    def _record(self, tensors: list, storages: list, buffers: list, exported: bool) -> list:
        device = next(t for t in tensors if t is not None).spec.device.compute
        if not Recording.possible(device):
            return self._function(tensors)
        recording = Recording(device, storages, buffers)
        with recording:
            found = self._function(tensors)
        places = recording.keep([t.memory for t in found if t is not None])
        if places is not None:
            place = iter(places)
            self._results = [None if t is None else (next(place), t.offset, t.spec) for t in found]
            self._recording = recording
        elif not exported:  # exported memory is copied to a device with memory of its own: then there are more than launches
            self._tries -= 1
        return found
