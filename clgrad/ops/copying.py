"""Copies: between layouts, dtypes, devices and host arrays, and results put together from several tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, attach, check_in_place, mark_changed, needs_graph, rebase, wrap
from clgrad.dtypes import dtype
from clgrad.layout import Layout, contiguous_layout, layout
from clgrad.ops import pointwise
from clgrad.ops.registry import FUNCTIONS, METHODS, REGISTRY, operator
from clgrad.runtime import canonical, device, filled_storage, host_storage, new_storage
from clgrad.shapes import Shape, broadcast_shapes, contiguous_strides, extent, is_dense, normalize_dim

COPY = REGISTRY.pointwise["_copy"]


def empty(shape: Shape, dtype: dtype, place: device, strides: Shape | None = None) -> Any:
    """An uninitialised tensor; its memory is taken when it is first used."""
    if strides is None:
        made = contiguous_layout(shape, dtype, place)
        return wrap(new_storage(place.compute, made.nbytes), 0, made)
    made = layout(tuple(shape), tuple(strides), dtype, place)
    return wrap(new_storage(place.compute, made.extent * dtype.itemsize), 0, made)


def blank(made: Layout) -> Any:
    """An uninitialised tensor of a dense layout; its memory is taken when it is first used."""
    return wrap(new_storage(made.device.compute, made.nbytes), 0, made)  # type: ignore[attr-defined]


def full(shape: Shape, value: Any, dtype: dtype, place: device) -> Any:
    """A tensor of one value; nothing is written before it is first used."""
    made = contiguous_layout(tuple(shape), dtype, place)
    return wrap(filled_storage(place.compute, made.nbytes, dtype.to_numpy_scalar(value)), 0, made)


def from_array(array: np.ndarray, dtype: dtype, place: device, *, foreign: bool = False) -> Any:
    """A tensor over a contiguous array of ``dtype``'s memory type, which it keeps."""
    return wrap(host_storage(place.compute, array, foreign=foreign), 0,
                contiguous_layout(array.shape, dtype, place))


def to_array(x: Any) -> np.ndarray:
    """The values as a strided array over bytes that must not be changed (bfloat16: their bits)."""
    data = x.storage.read()
    return _array_over(x, data)


def _array_over(x: Any, data: np.ndarray) -> np.ndarray:
    kind, own = x.layout.dtype, x.layout
    count = data.nbytes // kind.itemsize
    flat = data[:count * kind.itemsize].view(kind.numpy)[x.offset:]
    if own.numel == 0:
        return np.empty(own.shape, kind.numpy)
    return np.lib.stride_tricks.as_strided(flat, own.shape, [s * kind.itemsize for s in own.strides])


def shared_array(x: Any) -> np.ndarray:
    """The values as an array that shares the tensor's memory, both ways."""
    return _array_over(x, x.storage.export())


@operator("clone")
def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy with memory of its own; gradients pass through."""
    out = pointwise.run(COPY, (input,)) if memory_format is None or "contiguous" not in str(memory_format) else None
    if out is None:
        out = empty(input.layout.shape, input.layout.dtype, input.layout.device)
        pointwise.run_into(COPY, (input,), (), out)
    if needs_graph(input):
        attach(out, "Clone", (input,), lambda g: g)
    return out


@operator("contiguous", function=False)
def contiguous(x: Any, memory_format: Any = None) -> Any:
    """The tensor itself where its elements lie in row-major order, else such a copy."""
    if x.layout.contiguous:
        return x
    out = empty(x.layout.shape, x.layout.dtype, x.layout.device)
    pointwise.run_into(COPY, (x,), (), out)
    if needs_graph(x):
        attach(out, "Clone", (x,), lambda g: g)
    return out


@operator("copy_", function=False)
def copy_(x: Any, src: Any, non_blocking: bool = False) -> Any:
    """Replaces the contents by those of ``src``, broadcast, converted and moved as needed."""
    if not isinstance(src, TensorBase):
        src = FUNCTIONS["tensor"](src)
    broadcast = broadcast_shapes(x.layout.shape, src.layout.shape)
    if broadcast != x.layout.shape:
        raise RuntimeError(f"copy_: output with shape {list(x.layout.shape)} doesn't match the broadcast shape "
                           f"{list(broadcast)}")
    recorded = needs_graph(x, src) and x.layout.dtype.is_floating_point
    check_in_place(x, recorded)
    here = src if src.layout.device.compute is x.layout.device.compute else move(src, x.layout.device)
    if recorded:
        history = wrap(x.storage, x.offset, x.layout)
        node = attach(history, "Copy", (x, src), lambda g: (None, g.to(src_device)))
        src_device = src.layout.device
        pointwise.run_into(COPY, (here,), (), x)
        rebase(x, node, history)
        return x
    pointwise.run_into(COPY, (here,), (), x)
    return x


def cast(x: Any, kind: dtype, *, copy: bool = False) -> Any:
    """The tensor in another dtype; itself where it has it already."""
    old = x.layout
    if old.dtype is kind and not copy:
        return x
    out = empty(old.shape, kind, old.device, pointwise.result_strides(old.shape, [old]))
    pointwise.run_into(COPY, (x,), (), out)
    if needs_graph(x) and kind.is_floating_point:
        attach(out, "ToCopy", (x,), lambda g: g)
    return out


def move(x: Any, place: device) -> Any:
    """The tensor on another device, by way of the host; itself where it is there already."""
    old = x.layout
    if old.device is place:
        return x
    dense = x if is_dense(old.shape, old.strides) else x.contiguous()
    strides = dense.layout.strides
    first, size = dense.offset * old.dtype.itemsize, dense.layout.nbytes
    data = dense.storage.read()[first:first + size].copy()
    out = wrap(host_storage(place.compute, data), 0, layout(old.shape, strides, old.dtype, place))
    if needs_graph(x):
        here = old.device
        attach(out, "ToCopy", (x,), lambda g: move(g, here))
    return out


def to(x: Any, *args: Any, **kwargs: Any) -> Any:
    """The tensor with another dtype, device or both: ``to(dtype)``, ``to(device, dtype)``, ``to(other)``."""
    kind, place = kwargs.pop("dtype", None), kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    other = kwargs.pop("other", None)
    for name in ("non_blocking", "memory_format"):
        kwargs.pop(name, None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    flags = []
    for argument in args:
        if isinstance(argument, dtype):
            kind = argument
        elif isinstance(argument, TensorBase):
            other = argument
        elif isinstance(argument, bool):
            flags.append(argument)
        elif isinstance(argument, (str, device, int)):
            place = argument
        elif argument is not None:
            raise TypeError(f"to() received an invalid argument of type {type(argument).__name__}")
    if len(flags) > 1:
        copy = flags[1]
    if other is not None:
        kind, place = other.layout.dtype, other.layout.device
    place = canonical(device(place)) if place is not None else x.layout.device
    result = x
    if kind is not None and kind is not x.layout.dtype:
        result = cast(result, kind)
    result = move(result, place)
    return clone(result) if copy and result is x else result


METHODS["to"] = to


@operator("cat", "concat", "concatenate", method=False)
def cat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors one after the other along a dimension; their other sizes agree. Dtypes are promoted."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for number, t in enumerate(tensors):
        if not isinstance(t, TensorBase):
            raise TypeError(f"expected Tensor as element {number} in argument 0, but got {type(t).__name__}")
    kind = dtypes.result_type([t.layout.dtype for t in tensors])
    # A one-dimensional empty tensor may stand among others of any shape (an old habit that programs rely on).
    pieces = [t for t in tensors if t.layout.shape != (0,)] or tensors[:1]
    first = pieces[0].layout
    if not first.ndim:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    dim = normalize_dim(dim, first.ndim)
    for number, t in enumerate(pieces):
        same = t.layout.ndim == first.ndim and all(
            a == b for axis, (a, b) in enumerate(zip(t.layout.shape, first.shape, strict=False)) if axis != dim)
        if not same:
            raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected {list(first.shape)} "
                               f"but got {list(t.layout.shape)} for tensor number {number} in the list.")
        if t.layout.device.compute is not first.device.compute:
            raise RuntimeError(f"cat: expected all tensors to be on the same device, but found {first.device} and "
                               f"{t.layout.device}")
    lengths = [t.layout.shape[dim] for t in pieces]
    shape = (*first.shape[:dim], sum(lengths), *first.shape[dim + 1:])
    if out is None:
        result = empty(shape, kind, first.device)
    else:
        result = out.resize_(shape)
        mark_changed(out)
    strides, start = result.layout.strides, result.offset
    for t in pieces:
        part = wrap(result.storage, start, layout(t.layout.shape, strides, result.layout.dtype, first.device))
        if t.layout.numel:
            pointwise.run_into(COPY, (t,), (), part)
        start += t.layout.shape[dim] * strides[dim]
    if out is None and needs_graph(*pieces):
        attach(result, "Cat", pieces, lambda g: FUNCTIONS["split"](g, lengths, dim))
    return result


@operator("stack", method=False)
def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors of one shape, along a new dimension."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = tensors[0].layout.shape
    for number, t in enumerate(tensors):
        if t.layout.shape != shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                               f"{list(t.layout.shape)} at entry {number}")
    dim = normalize_dim(dim, len(shape) + 1)
    return cat([t.unsqueeze(dim) for t in tensors], dim, out=out)


@operator("flip")
def flip(input: Any, *dims: Any) -> Any:
    """A copy with the order of elements reversed along dimensions."""
    rank = input.layout.ndim
    listed = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    axes = {normalize_dim(d, rank) for d in listed}
    if len(axes) != len(tuple(listed)):
        raise RuntimeError(f"dim appears multiple times in the list of dims {list(listed)}")
    own = input.layout
    strides = tuple(-s if axis in axes else s for axis, s in enumerate(own.strides))
    start = input.offset + sum((own.shape[a] - 1) * own.strides[a] for a in axes if own.shape[a])
    backwards = wrap(input.storage, start, layout(own.shape, strides, own.dtype, own.device))
    out = empty(own.shape, own.dtype, own.device)
    pointwise.run_into(COPY, (backwards,), (), out)
    if needs_graph(input):
        order = tuple(axes)
        attach(out, "Flip", (input,), lambda g: flip(g, order))
    return out


@operator("repeat", function=False)
def repeat(x: Any, *repeats: Any) -> Any:
    """The tensor tiled: copied ``repeats[d]`` times along each dimension d, new dimensions in front."""
    times = repeats[0] if len(repeats) == 1 and isinstance(repeats[0], (tuple, list)) else repeats
    lead = len(times) - x.layout.ndim
    if lead < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = (1,) * lead + tuple(x.layout.shape)
    paired = x.reshape([s for size in shape for s in (1, size)])
    wide = paired.expand([s for count, size in zip(times, shape, strict=True) for s in (count, size)])
    return wide.clone(memory_format="contiguous").view(
        [count * size for count, size in zip(times, shape, strict=True)])


@operator("tile")
def tile(input: Any, *dims: Any) -> Any:
    """``repeat`` with missing counts in front taken as 1."""
    times = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return repeat(input, (1,) * (input.layout.ndim - len(times)) + tuple(times))


@operator("resize_", function=False)
def resize_(x: Any, *sizes: Any, memory_format: Any = None) -> Any:
    """Another shape over the same storage, which grows if it is too small; the old elements stay in their places."""
    wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    shape = tuple(int(s) for s in wanted)
    if x._requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    old = x.layout
    need = (x.offset + extent(shape, contiguous_strides(shape))) * old.dtype.itemsize
    if need > x.storage.nbytes:
        grown = new_storage(x.storage.device, need)
        if x.storage.nbytes:
            count = x.storage.nbytes // old.dtype.itemsize
            flat = layout((count,), (1,), old.dtype, old.device)
            pointwise.run_into(COPY, (wrap(x.storage, 0, flat),), (), wrap(grown, 0, flat))
        x.storage = grown
    x.layout = contiguous_layout(shape, old.dtype, old.device)
    return x
