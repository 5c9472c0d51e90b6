"""How indexing is written: picking elements, and writing to places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.sizes import Dimension, Value
from clgrad.onnx.exporter.table import as_dtype, front, translates

LAST = 2**31 - 1  # an end that no axis reaches


def picked(g: Builder, x: Any, axis: int, place: int) -> str:
    """One slice of an axis."""
    return g.op("Gather", x, g.constant(place, dtypes.int64), axis=axis)


@translates("select")
def select(g: Builder, input: Value, dim: int, index: int) -> str:
    """One slice."""
    return picked(g, input, front(dim, input.rank), index)


@translates("narrow")
def narrow(g: Builder, input: Value, dim: int, start: int, length: Any) -> str:
    """A range of an axis."""
    axis = front(dim, input.rank)
    if isinstance(length, Dimension):
        if length == input.shape[axis] and start == 0:
            return g.name_of(input)
        end: Any = g.op("Add", g.size(length), [start])
        return g.op("Slice", input, [start], end, [axis])
    start = start + input.shape[axis] if start < 0 and not isinstance(input.shape[axis], Dimension) else start
    return g.slice(input, [start], [start + length], [axis])


def whole_index(index: Any, rank: int) -> list[Any]:
    """An index of a tensor with every axis named: its ellipsis written out."""
    parts = list(index) if isinstance(index, tuple) else [index]
    takes = sum(part.rank if isinstance(part, Value) and part.dtype is dtypes.bool else part is not None
                for part in parts if part is not Ellipsis)
    missing = [slice(None)] * (rank - takes)
    at = next((n for n, part in enumerate(parts) if part is Ellipsis), len(parts))
    return parts[:at] + missing + parts[at + 1:]


@translates("__getitem__")
def getitem(g: Builder, input: Value, index: Any) -> str:
    """Indexing by numbers, slices, None, and one tensor."""
    if isinstance(index, list) or isinstance(index, tuple) and any(isinstance(part, list) for part in index):
        return _by_list(g, input, index)
    parts = whole_index(index, input.rank)
    found: Any = input
    tensors = [part for part in parts if isinstance(part, Value)]
    if len(tensors) > 1 or any(isinstance(part, bool) for part in parts):
        return _by_tensors(g, input, parts)
    axis, starts, ends, steps, axes = 0, [], [], [], []
    for part in parts:
        if isinstance(part, slice) and part != slice(None):
            starts.append(0 if part.start is None else part.start)
            ends.append(LAST if part.stop is None else part.stop)
            steps.append(1 if part.step is None else part.step)
            axes.append(axis)
        axis += part.rank if isinstance(part, Value) and part.dtype is dtypes.bool else part is not None
    if axes:
        found = g.slice(found, starts, ends, axes, None if set(steps) == {1} else steps)
    axis = 0
    for part in parts:
        if part is None:
            found = g.with_axes("Unsqueeze", found, [axis])
        elif isinstance(part, Dimension):
            found = g.with_axes("Squeeze", g.op("Gather", found, g.size(part), axis=axis), [axis])
            continue
        elif isinstance(part, int):
            found = picked(g, found, axis, part)
            continue
        elif isinstance(part, Value):
            found = _by_tensor(g, found, part, axis)
            axis += 1 if part.dtype is dtypes.bool else part.rank  # the axes of a mask become one
            continue
        axis += 1
    return g.name_of(found)


def _by_list(g: Builder, input: Value, index: Any) -> str:
    """One list of whole numbers among whole axes."""
    parts = whole_index(index if isinstance(index, tuple) else (index,), input.rank)
    lists = [axis for axis, part in enumerate(parts) if isinstance(part, list)]
    plain = all(part == slice(None) for part in parts if not isinstance(part, list))
    if len(lists) > 1 or not plain or not all(type(n) is int for n in parts[lists[0]]):
        raise UnsupportedOperatorError("export: an index of lists is translated for one list among whole axes")
    return g.op("Gather", input, g.constant(parts[lists[0]], dtypes.int64), axis=lists[0])


def _by_tensors(g: Builder, input: Value, parts: list[Any]) -> str:
    """Tensors of whole numbers for the first axes."""
    tensors = [part for part in parts if isinstance(part, Value)]
    rest = parts[len(tensors):]
    if parts[:len(tensors)] != tensors or any(part != slice(None) for part in rest) or any(
            t.dtype is dtypes.bool or t.rank != tensors[0].rank or t.shape != tensors[0].shape for t in tensors):
        raise UnsupportedOperatorError("export: an index of several tensors is translated where they have one shape and "
                                       "stand for the first axes")
    places = [g.with_axes("Unsqueeze", as_dtype(g, t, dtypes.int64), [t.rank]) for t in tensors]
    return g.op("GatherND", input, g.op("Concat", *places, axis=-1))


def _by_tensor(g: Builder, x: Any, index: Value, axis: int) -> str:
    if index.dtype is not dtypes.bool:
        return g.op("Gather", x, index, axis=axis)
    if axis:
        raise UnsupportedOperatorError("export: a mask is translated where it is the first index")
    return g.op("GatherND", x, g.op("Transpose", g.op("NonZero", index)))


@translates("__setitem__")
def setitem(g: Builder, input: Value, index: Any, value: Any) -> str:
    """A copy in which the elements at a basic index, or those of a mask, are others.

    Each axis tells for each of its places which place of the new values belongs there, or none; then one ``Where``.
    """
    if isinstance(index, Value) and index.dtype is dtypes.bool and not (isinstance(value, Value) and value.rank):
        behind = list(range(index.rank, input.rank))
        mask = g.with_axes("Unsqueeze", index, behind) if behind else index
        return g.op("Where", mask, as_dtype(g, value, input.dtype), input)
    parts = whole_index(index, input.rank)
    if not all(part is None or isinstance(part, (int, slice)) and not isinstance(part, bool) for part in parts):
        raise UnsupportedOperatorError("export: writing to an index of tensors is translated for a mask and one number")
    given = value.rank if isinstance(value, Value) else 0
    shape_rank = sum(not isinstance(part, int) for part in parts)
    found: Any = as_dtype(g, value, input.dtype)
    if given < shape_rank and given:
        found = g.with_axes("Unsqueeze", found, list(range(shape_rank - given)))
    if given:
        new = [place for place, part in enumerate([p for p in parts if not isinstance(p, int)]) if part is None]
        found = g.with_axes("Squeeze", found, new) if new else found
        numbers = [axis for axis, part in enumerate([p for p in parts if p is not None]) if isinstance(part, int)]
        found = g.with_axes("Unsqueeze", found, numbers) if numbers else found
    mask_name: Any = None
    sizes = [None] * (shape_rank - given) + list(value.shape) if given else []
    for axis, part in enumerate(p for p in parts if p is not None):
        if part == slice(None):
            continue
        if isinstance(input.shape[axis], Dimension):
            raise UnsupportedOperatorError("export: writing to a part of an axis whose size varies is not translated")
        places = np.arange(input.shape[axis])[part if isinstance(part, slice) else slice(part, part + 1 or None)]
        member = np.zeros(input.shape[axis], bool)
        member[places] = True
        shaped = member.reshape([-1] + [1] * (input.rank - axis - 1))
        own = g.constant(tensor(shaped))
        mask_name = own if mask_name is None else g.op("And", mask_name, own)
        if given and isinstance(part, slice) and _written_size(parts, sizes, part) != 1:
            source = np.zeros(input.shape[axis], np.int64)
            source[places] = np.arange(len(places))
            found = g.op("Gather", found, g.constant(tensor(source)), axis=axis)
    if mask_name is None:
        return found if given and value.shape == input.shape else g.expand(found, [1] * input.rank, input.shape)
    return g.op("Where", mask_name, found, input)


def _written_size(parts: list[Any], sizes: list[Any], part: slice) -> Any:
    """The size that the new values have along a slice's axis; 1 where they are broadcast."""
    kept = [p for p in parts if not isinstance(p, int)]
    size = sizes[next(place for place, p in enumerate(kept) if p is part)]
    return 1 if size is None else size


@translates("_overlaid")
def overlaid(g: Builder, old: Value, new: Value, places: Any) -> str:
    """A tensor of whose memory a part was written through another one: ``places`` in that, or -1."""
    if places is None or not (old.static and new.static):
        raise UnsupportedOperatorError("export: writing through a view of a tensor whose size varies is not translated")
    whole = math.prod(old.shape)
    index = np.where(places < 0, np.arange(whole).reshape(places.shape), whole + places)
    flat = g.op("Concat", *(g.op("Reshape", v, [-1]) for v in (old, new)), axis=0)
    return g.op("Gather", flat, g.constant(tensor(index)), axis=0)


@translates("index_select")
def index_select(g: Builder, input: Value, dim: int, index: Value) -> str:
    """Slices."""
    return g.op("Gather", input, index, axis=front(dim, input.rank))


@translates("gather")
def gather(g: Builder, input: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> str:
    """For each index one element."""
    return g.op("GatherElements", input, index, axis=front(dim, input.rank))


@translates("scatter")
def scatter(g: Builder, input: Value, dim: int, index: Value, src: Any = None, *, value: Any = None,
            reduce: Any = None) -> str:
    """Elements written at places."""
    if reduce is not None:
        raise UnsupportedOperatorError("export: scatter with a reduction is translated as scatter_add only")
    written = src if src is not None else value
    if not isinstance(written, Value):
        written = g.expand(as_dtype(g, written, input.dtype), [], index.shape)
    return g.op("ScatterElements", input, index, written, axis=front(dim, input.rank))


@translates("scatter_add")
def scatter_add(g: Builder, input: Value, dim: int, index: Value, src: Value) -> str:
    """Elements added at places."""
    if g.opset < 16:
        raise UnsupportedOperatorError("export: scatter_add needs opset_version 16")
    return g.op("ScatterElements", input, index, src, axis=front(dim, input.rank), reduction="add")
