"""Launches that are recorded, and made again with other memory."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from clgrad.runtime.device import Device
from clgrad.runtime.kernel import Bound
from clgrad.runtime.memory import Block
from clgrad.runtime.storage import LARGE, Storage, result_storage

_NOWHERE = -1
_busy = threading.Lock()  # there is one recording at a time


class _Fill(NamedTuple):
    """In place of a launch: so many bytes of memory are filled."""

    pattern: np.ndarray
    nbytes: int
    start: int


class _Step(NamedTuple):
    """A launch, or a fill. ``places`` tell where its buffers are found; ``takes``, which of them need memory first, of so
    many bytes; ``drops``, which nobody uses after it."""

    made: Bound | _Fill
    places: tuple[int, ...]
    varying: tuple
    takes: tuple[tuple[int, int], ...]
    drops: tuple[int, ...]


class Recording:
    """What the current thread launches on a device inside a ``with`` block, to be made again by :meth:`repeat`.

    Memory has a place: the ``given`` storages first (None where there is none), whose buffers the launches may use, then in
    their order what is taken inside, tables of plans, and words in which kernels tell of bad data. Given storages may die
    inside.
    """

    def __init__(self, device: Device, given: Sequence[Storage | None], buffers: Sequence[Any]):
        self.device = device
        self._given = [None if storage is None else weakref.ref(storage) for storage in given]
        self._sizes = [0] * len(given)  # of what is taken, in bytes, by place
        self._places: dict[int, int] = {}  # where a buffer, by its id, is found: memory that died may be taken again
        self._same: list[tuple[int, int]] = []  # given places of the same memory: so is that of a repetition
        for place, buffer in enumerate(buffers):
            first = place if buffer is None else self._places.setdefault(id(buffer), place)
            if first != place:
                self._same.append((first, place))
        self._others: list[tuple[int, Callable[[], Any]]] = []  # places of tables and words, and what gives their buffers
        self._made: list[tuple[Bound | _Fill, list[int], tuple]] = []
        self._steps: list[_Step] = []

    @staticmethod
    def possible(device: Device) -> bool:
        """Whether nobody else looks at the launches of a device. Who is told so has to make a recording then."""
        return device.recorder is None and _busy.acquire(blocking=False)

    def __enter__(self) -> Recording:
        device = self.device
        self._thread, self._moves = threading.get_ident(), device.moves
        self._allocate = device.allocate
        device.recorder, device.allocate, device.recording = self._note, self._take, self
        return self

    def __exit__(self, *exception: object) -> None:
        device = self.device
        device.recorder, device.allocate, device.recording = None, self._allocate, None
        self._thread = 0
        _busy.release()

    def _is_own(self) -> bool:
        return threading.get_ident() == self._thread

    def _note(self, bound: Bound, event: Any, buffers: Sequence[Any], varying: tuple) -> None:
        if self._is_own():
            self._made.append((bound, [self._place(buffer) for buffer in buffers], varying))

    def _place(self, buffer: Any) -> int:
        place = self._places.get(id(buffer), _NOWHERE)
        if place is _NOWHERE and (table := self.device.tables.get(id(buffer))) is not None:
            place = self._new_place(buffer, 0)
            self._others.append((place, table.acquire))
        return place

    def _new_place(self, buffer: Any, nbytes: int) -> int:
        place = self._places[id(buffer)] = len(self._sizes)
        self._sizes.append(nbytes)
        return place

    def _take(self, nbytes: int) -> Block:
        block = self._allocate(nbytes)
        if self._is_own():
            self._new_place(block.buffer, nbytes)
        return block

    def filled(self, block: Block, pattern: np.ndarray, nbytes: int, start: int) -> None:
        """Notes that bytes of a block were filled."""
        if self._is_own():
            place = self._places.get(id(block.buffer), _NOWHERE)
            self._made.append((_Fill(pattern, nbytes, start), [place if place >= len(self._given) else _NOWHERE], ()))

    def word(self, buffer: Any, message: str) -> None:
        """Notes that launches may tell of bad data in a word with this message."""
        if self._is_own() and id(buffer) not in self._places:
            self._others.append((self._new_place(buffer, 0), partial(self.device.fault_word, message)))

    def keep(self, wanted: Sequence[Storage]) -> list[int] | None:
        """Ends the recording, for those who want these storages: their places.

        None where it cannot be repeated: something else than launches happened, or memory without a place was used.
        """
        known = {id(own): place for place, own in enumerate(ref and ref() for ref in self._given) if own is not None}
        kept = [known.get(id(s), self._places.get(id(s.buffer), _NOWHERE)) for s in wanted]
        ready = {*range(len(self._given)), *(place for place, _ in self._others)}
        reached = {*ready, *(place for _, here, _ in self._made for place in here)}
        if _NOWHERE in reached or not reached.issuperset(kept) or self.device.moves != self._moves or (
                max(self._sizes, default=0) >= LARGE):
            return None
        last = {place: number for number, (_, here, _) in enumerate(self._made) for place in here}
        for number, (made, here, varying) in enumerate(self._made):
            own = tuple(dict.fromkeys(here))
            takes = tuple([(place, self._sizes[place]) for place in own if place not in ready])
            ready.update(own)
            drops = tuple([place for place in own if last[place] == number and place not in kept])
            self._steps.append(_Step(made, tuple(here), varying, takes, drops))
        self._missing = [None] * (len(self._sizes) - len(self._given))
        self._made, self._given, self._places = [], [], {}
        return kept

    def elsewhere(self) -> float:
        """How long threads of a CPU device work on a launch on average, in ns of one core by what launches state."""
        made = [step.made for step in self._steps if isinstance(step.made, Bound)]
        shared = [bound.duration for bound in made if not bound.small] if self.device.here is not None else []
        return sum(shared) / max(1, len(made))

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
        for place, buffer in self._others:
            buffers[place] = buffer()
        for made, places, varying, takes, drops in self._steps:
            for place, nbytes in takes:
                taken = storages[place] = result_storage(device, nbytes)
                buffers[place] = taken.buffer
            if isinstance(made, Bound):
                run(made, [buffers[place] for place in places], varying)
            else:
                device.fill(storages[places[0]]._block, made.pattern, made.nbytes, made.start)
            for place in drops:
                storages[place] = None
        return storages
