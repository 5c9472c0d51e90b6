"""Launches that are recorded, and made again with other memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from clgrad.runtime.device import Device
from clgrad.runtime.kernel import Bound
from clgrad.runtime.memory import Block
from clgrad.runtime.storage import LARGE, Storage, result_storage

_UNKNOWN = -1
_busy = threading.Lock()  # there is one recording at a time


class _Launch(NamedTuple):
    """A launch. ``places`` tell where its buffers are found; ``takes``, which of them need memory first, of so many bytes;
    ``drops``, which nobody uses after it."""

    bound: Bound
    places: tuple[int, ...]
    varying: tuple
    takes: tuple[tuple[int, int], ...]
    drops: tuple[int, ...]


class Recording:
    """What the current thread launches on a device inside a ``with`` block, to be made again by :meth:`repeat`.

    Memory has a place: the ``given`` storages first (None where there is none), whose buffers the launches may use, then
    what is taken inside, in that order.
    """

    def __init__(self, device: Device, given: Sequence[Storage | None], buffers: Sequence[Any]):
        self.device, self._given = device, list(given)
        self._buffers = list(buffers)  # by place
        self._sizes = [0] * len(given)  # of what is taken, in bytes, by place
        self._made: list[tuple[Bound, tuple, tuple]] = []
        self._launches: list[_Launch] = []
        # Places of the same memory: a repetition is for memory of which that is so, too.
        first: dict[int, int] = {}
        self._same = [(first.setdefault(id(buffer), place), place) for place, buffer in enumerate(buffers)
                      if buffer is not None]
        self._same = [pair for pair in self._same if pair[0] != pair[1]]

    @staticmethod
    def possible(device: Device) -> bool:
        """Whether nobody else looks at the launches of a device. Who is told so has to make a recording then."""
        return device.recorder is None and _busy.acquire(blocking=False)

    def __enter__(self) -> Recording:
        device = self.device
        self._thread, self._moves, self._allocate = threading.get_ident(), device.moves, device.allocate
        device.recorder, device.allocate = self._note, self._take
        return self

    def __exit__(self, *exception: object) -> None:
        self.device.recorder, self.device.allocate = None, self._allocate
        self._thread = 0
        _busy.release()

    def _note(self, bound: Bound, event: Any, buffers: Sequence[Any], varying: tuple) -> None:
        if threading.get_ident() == self._thread:
            self._made.append((bound, tuple(buffers), varying))

    def _take(self, nbytes: int) -> Block:
        block = self._allocate(nbytes)
        if threading.get_ident() == self._thread:
            self._buffers.append(block.buffer)
            self._sizes.append(nbytes)
        return block

    def keep(self, wanted: Sequence[Storage]) -> list[int] | None:
        """Ends the recording, for those who want these storages: their places.

        None where it cannot be repeated: something else than launches happened, or memory without a place was used.
        """
        places = {id(buffer): place for place, buffer in enumerate(self._buffers)}
        given = {id(storage): place for place, storage in enumerate(self._given)}
        kept = [given.get(id(s), places.get(id(s.buffer), _UNKNOWN)) for s in wanted]
        used = [tuple([places.get(id(buffer), _UNKNOWN) for buffer in buffers]) for _, buffers, _ in self._made]
        if any(_UNKNOWN in here for here in (kept, *used)) or self.device.moves != self._moves or (
                max(self._sizes, default=0) >= LARGE):
            return None
        last = {place: number for number, here in enumerate(used) for place in here}
        ready = set(range(len(self._given)))
        for number, ((bound, _, varying), here) in enumerate(zip(self._made, used, strict=True)):
            takes = tuple([(place, self._sizes[place]) for place in dict.fromkeys(here) if place not in ready])
            ready.update(here)
            drops = tuple([place for place in dict.fromkeys(here) if last[place] == number and place not in kept])
            self._launches.append(_Launch(bound, here, varying, takes, drops))
        self._missing = [None] * (len(self._sizes) - len(self._given))
        self._made, self._given, self._buffers = [], [], []  # memory is not held
        return kept

    def fits(self, buffers: Sequence[Any]) -> bool:
        """Whether the launches can be made with other given memory."""
        return not self._same or all(buffers[a] is buffers[b] for a, b in self._same)

    def repeat(self, storages: list, buffers: list) -> list:
        """Makes the launches with other ``storages`` and their buffers, which are given up as soon as nobody needs them.

        Returns the storages by place.
        """
        storages += self._missing
        buffers += self._missing
        device, run = self.device, self.device.run
        for bound, places, varying, takes, drops in self._launches:
            for place, nbytes in takes:
                taken = storages[place] = result_storage(device, nbytes)
                buffers[place] = taken.buffer
            run(bound, [buffers[place] for place in places], varying)
            for place in drops:
                storages[place] = None
        return storages
