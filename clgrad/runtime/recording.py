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
    many bytes; ``drops``, which nobody uses after it. ``moves``: numbers that move with the base of a place."""

    made: Bound | _Fill
    places: tuple[int, ...]
    varying: tuple
    takes: tuple[tuple[int, int], ...]
    drops: tuple[int, ...]
    moves: tuple[tuple[int, int], ...] = ()

    def moved(self, by: Sequence[int]) -> tuple:
        """Its numbers where the bases have moved by so much."""
        varying = list(self.varying)
        for number, place in self.moves:
            varying[number] += by[place]
        return tuple(varying)


def _moves(step: _Step, other: _Step, by: dict[int, int]) -> tuple[tuple[int, int], ...] | None:
    """Which numbers of a step move with which place, where another is the same with bases that have moved by so much.

    A number moves with a base where it differs by as much as the base of a place of its launch. Where that holds for several
    places it is the one of that position: offsets stand in the order of buffers. None: the steps differ in something else.
    """
    if not _same(step.made, other.made) or (step.places, step.takes, step.drops) != (other.places, other.takes, other.drops):
        return None
    moves = dict(step.moves)
    for number, (a, b) in enumerate(zip(step.varying, other.varying, strict=True)):
        if number in moves:
            if b - a != by.get(moves[number], 0):
                return None
            continue
        if a == b or (a != a and b != b):  # NaN
            continue
        places = {place for place in step.places if isinstance(a, int) and by.get(place, 0) == b - a}
        if number < len(step.places) and step.places[number] in places:
            moves[number] = step.places[number]
        elif len(places) == 1:
            moves[number] = places.pop()
        else:
            return None
    return tuple(moves.items())


def _same(a: Bound | _Fill, b: Bound | _Fill) -> bool:
    if isinstance(a, Bound) or isinstance(b, Bound):
        return a is b
    return (a.pattern.tobytes(), a.nbytes, a.start) == (b.pattern.tobytes(), b.nbytes, b.start)


class Recording:
    """What the current thread launches on a device inside a ``with`` block, to be made again by :meth:`repeat`.

    Memory has a place: the ``given`` storages first (None where there is none), whose buffers the launches may use, then in
    their order what is taken inside, tables of plans, and words in which kernels tell of bad data. Given storages may die
    inside.

    ``bases``: for each given storage the offset from which on it is used, in elements. Another recording of the same launches
    with other bases tells which of their numbers move with a base (:meth:`learn`).
    """

    def __init__(self, device: Device, given: Sequence[Storage | None], buffers: Sequence[Any], bases: Sequence[int]):
        self.device, self.bases = device, list(bases)
        self._movable: set[int] = set()  # places whose bases are known to move
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

    def fits(self, buffers: Sequence[Any], bases: Sequence[int]) -> bool:
        """Whether other given memory and bases are alike: what was the same is the same."""
        own = self.bases
        return not self._same or all(buffers[a] is buffers[b] and bases[b] - bases[a] == own[b] - own[a]
                                     for a, b in self._same)

    def reaches(self, bases: Sequence[int]) -> bool:
        """Whether it is known what the launches are for other bases."""
        return bases == self.bases or all(place in self._movable and bases[place] < LARGE for place in self._differing(bases))

    def _differing(self, bases: Sequence[int]) -> list[int]:
        return [place for place, (own, other) in enumerate(zip(self.bases, bases, strict=True)) if own != other]

    def learn(self, other: Recording) -> bool:
        """Finds out from a recording of the same launches with other bases which numbers move; False where it is unclear."""
        if len(self._steps) != len(other._steps):
            return False
        by = {place: other.bases[place] - self.bases[place] for place in self._differing(other.bases)}
        steps = []
        for own, its in zip(self._steps, other._steps, strict=True):
            moves = _moves(own, its, by)
            if moves is None:
                return False
            steps.append(own._replace(moves=moves))
        self._steps = steps
        self._movable.update(by)
        return True

    def repeat(self, storages: list, buffers: list, bases: Sequence[int]) -> list:
        """Makes the launches with other ``storages`` and their buffers, which are given up as soon as nobody needs them.

        Returns the storages by place.
        """
        by = None if bases == self.bases else [other - own for other, own in zip(bases, self.bases, strict=True)]
        storages += self._missing
        buffers += self._missing
        device, run = self.device, self.device.run
        for place, buffer in self._others:
            buffers[place] = buffer()
        for step in self._steps:
            made, places, varying, takes, drops, moves = step
            for place, nbytes in takes:
                taken = storages[place] = result_storage(device, nbytes)
                buffers[place] = taken.buffer
            if isinstance(made, Bound):
                run(made, [buffers[place] for place in places], step.moved(by) if moves and by is not None else varying)
            else:
                device.fill(storages[places[0]]._block, made.pattern, made.nbytes, made.start)
            for place in drops:
                storages[place] = None
        return storages
