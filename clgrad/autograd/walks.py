"""Backward passes like one before: their launches are made again, and no node runs.

What a pass launches follows from its graph: the code of each node's backward function, what that function has beside saved
tensors, and of these where they lie, their specs, and which share memory. All of it is read into a *key*. The first pass of
a key runs as any other. The launches of the second are recorded (:mod:`clgrad.autograd.repeated`), and a pass from the third
on costs the reading of its graph and the launches. That pays where launches are small. Where threads of the device work for
longer than the caller needs to run the nodes, these are run.

Read is what clgrad's own functions hold: numbers, names, specs, tensors, and objects of classes of which it is said what they
are :func:`determined_by`. A graph with anything else, with hooks, or with a function of a program runs node by node.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from operator import attrgetter
from types import FunctionType, MethodType, NoneType
from typing import Any, TypeVar

from clgrad.autograd.formal import Formal
from clgrad.autograd.graph import AccumulateGrad, Node, Saved, TensorBase
from clgrad.autograd.listening import SPARSE, WRAPPERS, switch
from clgrad.autograd.repeated import Repeated
from clgrad.dtypes import dtype
from clgrad.runtime import Device, device
from clgrad.spec import SparseSpec, Spec

MOST_KNOWN = 64  # keys
FEWEST = 4  # nodes; fewer run sooner than they are read
PATIENCE = 32  # passes in a row that are read in vain, after which few are
_SELDOM = 32
WORTH = 80_000  # ns a launch that threads of the device work; measured: 70,000 is worth repeating, 140,000 is not

C = TypeVar("C")
_SEQUENCE = attrgetter("sequence")
_PLAIN = (Node.run, Formal.run)
# What is equal is the same. Not so numbers of other types: True is equal to 1, and 0.0 to -0.0.
_PARTS_OF_KEYS: set[type] = {int, str, NoneType, Spec, dtype, device, Device}
_codes: dict[int, Any] = {}  # of clgrad's own functions, by their ids


class _Unknown(Exception):
    """There is something in a graph of which nobody knows whether it is the same another time."""


class Reading:
    """A graph from some nodes down: its ``key``, the ``storages`` that a pass uses, with their ``bases``, its ``leaves`` in
    the order in which they are met, and what its nodes have ``saved``.

    A storage's base is where the first tensor begins that is met there. The key has the places of others relative to it.

    Raises:
        _Unknown: there is something that cannot be read.
    """

    __slots__ = ("key", "storages", "bases", "leaves", "saved", "_wrappers")

    def __init__(self, edges: Sequence[tuple[Node, int] | None], grads: Sequence[Any]):
        self.storages: dict[Any, int] = {}  # with their places
        self.bases: list[int] = []
        self.leaves: list[AccumulateGrad] = []
        self.saved: list[Saved] = []
        self._wrappers = switch.has(WRAPPERS)
        key: list[Any] = [switch.watched]  # then operators may be composed in another way
        nodes = _below(edges)
        if len(nodes) < FEWEST or switch.has(SPARSE) and any(isinstance(s, SparseSpec) for n in nodes for s in n.specs):
            raise _Unknown  # what is launched for sparse tensors depends on their patterns
        numbers: dict[Node, int] = {node: number for number, node in enumerate(nodes)}
        self._edges(key, numbers, edges)
        for grad in grads:
            self._held(key, grad)
        for node in nodes:
            kind, backward = node.__class__, node.backward
            if kind.run not in _PLAIN or node.hooks or node.pre_hooks or node.capture:
                raise _Unknown
            key += (kind, node.specs)
            self._edges(key, numbers, node.edges)
            if backward.__class__ is FunctionType:
                self._function(key, backward)
            else:
                self._values(key, (backward,))
            if node.saved is not None:
                self.saved.append(node.saved)
        self.key = tuple(key)

    def _edges(self, key: list, numbers: dict[Node, int], edges: Sequence[tuple[Node, int] | None]) -> None:
        for edge in edges:
            if edge is None:
                key.append(None)
                continue
            node, output = edge
            number = numbers.get(node)
            if number is None:
                leaf: Any = node
                if leaf.variable._hooks or leaf.pre_hooks or leaf.capture:
                    raise _Unknown
                number = numbers[node] = len(numbers)
                self.leaves.append(leaf)
            key += (number, output)

    def _tensor(self, key: list, storage: Any, offset: int, spec: Spec) -> None:
        if spec.__class__ is not Spec:  # a sparse tensor, whose launches depend on its pattern
            raise _Unknown
        place = self.storages.get(storage)
        if place is None:
            place = self.storages[storage] = len(self.bases)
            self.bases.append(offset)
        key += (place, offset - self.bases[place], spec)

    def _function(self, key: list, function: Any) -> None:
        code = function.__code__
        if id(code) not in _codes:
            if not _is_own(function):
                raise _Unknown
            _codes[id(code)] = code
        key.append(id(code))
        if function.__defaults__:
            self._several(key, function.__defaults__)
        self._values(key, [cell.cell_contents for cell in function.__closure__ or ()])

    def _values(self, key: list, values: Sequence[Any]) -> None:
        for value in values:
            kind = value.__class__
            if kind in _PARTS_OF_KEYS:
                key.append(value)
            else:
                (_readers.get(kind) or _reader(kind))(self, key, value)

    def _saved(self, key: list, saved: Saved) -> None:
        if saved.entries is None:
            raise _Unknown  # the node is going to tell
        for entry in saved.entries:
            if entry is None:
                key.append(None)
                continue
            if entry.__class__ is not tuple:  # packed by a hook of the program
                raise _Unknown
            storage, offset, spec, version, _, tensor = entry
            if storage.version != version or self._wrappers and _is_asked(tensor):  # the former is an error, if anybody looks
                raise _Unknown
            self._tensor(key, storage, offset, spec)
        if saved.between:
            self._several(key, saved.between)

    def _number(self, key: list, value: float | bool) -> None:
        key += (value.__class__, repr(value))

    def _several(self, key: list, values: Sequence[Any]) -> None:
        key += (tuple, len(values))
        self._values(key, values)

    def _named(self, key: list, function: Any) -> None:
        """A function that is held by another: one of a module is what it is, one made inside another is read."""
        if "<locals>" in function.__qualname__:
            self._function(key, function)
        elif _is_own(function):
            key.append(function)
        else:
            raise _Unknown

    def _method(self, key: list, method: Any) -> None:
        self._several(key, (method.__func__, method.__self__))

    def _partial(self, key: list, made: functools.partial) -> None:
        self._several(key, (made.func, made.args, *made.keywords.items()))

    def _held(self, key: list, tensor: Any) -> None:
        if self._wrappers and _is_asked(tensor):
            raise _Unknown
        self._tensor(key, tensor.memory, tensor.offset, tensor.spec)

    def take_storages(self) -> list:
        """The storages, which are not held any longer."""
        storages = list(self.storages)
        self.storages = {}
        return storages


def _is_asked(tensor: Any) -> bool:
    """Whether the class of a tensor may answer for operators on it: it has a ``__torch_dispatch__`` of its own."""
    plain: Any = TensorBase.concrete
    return tensor is not None and tensor.__class__.__torch_dispatch__ is not plain.__torch_dispatch__


def _is_own(function: Any) -> bool:
    return str(function.__module__).partition(".")[0] == "clgrad"


def _below(edges: Sequence[tuple[Node, int] | None]) -> list[Node]:
    """All nodes that are no leaves, the youngest first."""
    stack = [edge[0] for edge in edges if edge is not None]
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node.sequence >= 0 and node not in seen:
            seen.add(node)
            stack += [edge[0] for edge in node.edges if edge is not None]
    return sorted(seen, key=_SEQUENCE, reverse=True)


_readers: dict[type, Callable[[Reading, list, Any], None]] = {
    tuple: Reading._several, list: Reading._several, bool: Reading._number, float: Reading._number,
    FunctionType: Reading._named, MethodType: Reading._method, functools.partial: Reading._partial}


def _reader(kind: type) -> Callable[[Reading, list, Any], None]:
    """How values of a class are read."""
    if issubclass(kind, Saved):
        return Reading._saved
    if issubclass(kind, tuple):
        return Reading._several
    if issubclass(kind, TensorBase):
        return Reading._held
    raise _Unknown


def determined_by(*attributes: str) -> Callable[[type[C]], type[C]]:
    """Says of a class that backward functions may hold its objects.

    ``attributes``: those of which all that an object does follows. None: from the object itself, which never changes.
    """
    def read(reading: Reading, key: list, value: Any) -> None:
        key.append(value.__class__)
        reading._several(key, [getattr(value, attribute) for attribute in attributes])

    def note(kind: type[C]) -> type[C]:
        if attributes:
            _readers[kind] = read
        else:
            _PARTS_OF_KEYS.add(kind)
        return kind
    return note


class _Known:
    """The keys of passes that there were, and for how many passes none was found that is worth repeating."""

    def __init__(self) -> None:
        self.passes: dict[tuple, Repeated | None] = {}
        self.in_vain = 0

    def read(self, edges: Sequence[tuple[Node, int] | None], grads: Sequence[Any]) -> Reading | None:
        """The graph, where it is likely to be known and can be read."""
        self.in_vain += 1
        if self.in_vain <= PATIENCE or not self.in_vain % _SELDOM:
            with contextlib.suppress(_Unknown, ValueError):  # also a closure that is not complete
                return Reading(edges, grads)
        return None

    def find(self, key: tuple) -> Repeated | None:
        """What was recorded, or is going to be, of passes with this key; None at the first one, and where that is not worth
        it."""
        if key not in self.passes:
            if len(self.passes) >= MOST_KNOWN:
                self.passes.clear()
            self.passes[key] = None
            return None
        found = self.passes[key]
        if found is None:
            found = self.passes[key] = Repeated()
        elif found.elsewhere > WORTH:  # also where launches cannot be repeated
            return None
        self.in_vain = 0
        return found


known = _Known()


def repeated(edges: Sequence[tuple[Node, int] | None], grads: list, retain: bool,
             run: Callable[[], dict[Node, list]]) -> dict[Node, list] | None:
    """What arrives at the leaves below ``edges`` for gradients that start there, a list of one for each; None where there has
    been no pass like this.

    ``run`` makes the pass node by node, and gives the same. ``grads`` is emptied.
    """
    reading = known.read(edges, grads)
    if reading is None:
        return None
    found = known.find(reading.key)
    if found is None:
        return None
    leaves, saved = reading.leaves, reading.saved

    def give_up() -> None:
        grads.clear()
        if not retain:
            for own in saved:
                own.clear()

    def arrived() -> list:
        values = run()
        return [values[leaf][0] if leaf in values else None for leaf in leaves]
    values = found(reading.take_storages(), reading.bases, arrived, give_up)
    return {leaf: [value] for leaf, value in zip(leaves, values, strict=True) if value is not None}
