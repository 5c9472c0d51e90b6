"""Copies: between layouts, dtypes, devices and host arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import TensorBase, attach, check_in_place, ends_in, mark_changed, needs_graph, rebase, wrap
from clgrad.dtypes import dtype
from clgrad.errors import warn_once
from clgrad.formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    format_strides,
    has_format,
    preserve_format,
    suggests,
)
from clgrad.ops import pointwise, rows
from clgrad.ops.execute import blank
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator, publish
from clgrad.ops.views import sizes_of
from clgrad.runtime import canonical, device, filled_storage, host_storage, new_storage
from clgrad.shapes import Shape, broadcast_shapes, is_dense, normalize_dim
from clgrad.spec import Spec, contiguous_spec, spec

COPY, COPY_OF_ROWS = REGISTRY.pointwise["_copy"], REGISTRY.pointwise["_copy_of_rows"]


def empty(shape: Shape, dtype: dtype, place: device, strides: Shape | None = None) -> Any:
    """An uninitialised tensor for a result, row-major where no strides are given."""
    return blank(contiguous_spec(shape, dtype, place) if strides is None else
                 spec(tuple(shape), tuple(strides), dtype, place))


def unwritten(shape: Shape, dtype: dtype, place: device, strides: Shape | None = None) -> Any:
    """An uninitialised tensor whose memory is taken when it is first used."""
    made = (contiguous_spec(tuple(shape), dtype, place) if strides is None else
            spec(tuple(shape), tuple(strides), dtype, place))
    return wrap(new_storage(place.compute, made.extent * dtype.itemsize), 0, made)


def full(shape: Shape, value: Any, dtype: dtype, place: device) -> Any:
    """A tensor of one value; nothing is written before it is first used."""
    made = contiguous_spec(tuple(shape), dtype, place)
    return wrap(filled_storage(place.compute, made.nbytes, dtype.to_numpy_scalar(value)), 0, made)


def from_array(array: np.ndarray, dtype: dtype, place: device, *, foreign: bool = False) -> Any:
    """A tensor over a contiguous array of ``dtype``'s memory type, which it keeps."""
    return wrap(host_storage(place.compute, array, foreign=foreign), 0, contiguous_spec(array.shape, dtype, place))


def table(array: np.ndarray, dtype: dtype, place: device) -> Any:
    """A tensor of numbers that a plan's kernel reads, and nobody changes."""
    made = from_array(np.ascontiguousarray(array).astype(dtype.numpy), dtype, place)
    made.memory.hold_table()
    return made


def to_array(x: Any) -> np.ndarray:
    """The values as a strided array over bytes that must not be changed (bfloat16: their bits)."""
    data = x.memory.read()
    return array_over(x, data)


def array_over(x: Any, data: np.ndarray) -> np.ndarray:
    """The values of a tensor, given its storage's bytes."""
    kind, own = x.spec.dtype, x.spec
    if own.numel == 0:
        return np.empty(own.shape, kind.numpy)
    size = kind.itemsize
    if own.contiguous:
        return data[x.offset * size:(x.offset + own.numel) * size].view(kind.numpy).reshape(own.shape)
    flat = data[:data.nbytes // size * size].view(kind.numpy)[x.offset:]
    return np.lib.stride_tricks.as_strided(flat, own.shape, [s * kind.itemsize for s in own.strides])


def shared_array(x: Any) -> np.ndarray:
    """The values as an array that shares the tensor's memory, both ways."""
    return array_over(x, x.memory.export())


def empty_as(own: Spec, dtype: dtype, place: device, memory_format: Any = None) -> Any:
    """An uninitialised tensor of a spec's shape, its dimensions in memory as there or as a format says."""
    if memory_format is not None and memory_format is not preserve_format:
        strides: Shape | None = format_strides(own.shape, memory_format)
    elif own is contiguous_spec(own.shape, own.dtype, own.device):
        strides = None
    else:
        strides = own.strides if is_dense(own.shape, own.strides) else rows.result_strides(own.shape, [own])
    return unwritten(own.shape, dtype, place, strides)


def in_order_of(own: Spec, result: Any) -> Any:
    """A fresh result of a spec's shape with its dimensions in memory as there."""
    if own.contiguous:
        return result
    out = empty_as(own, result.spec.dtype, result.spec.device)
    pointwise.run_into(COPY, (result,), (), out)
    return out


@operator("clone")
def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy with memory of its own; gradients pass through."""
    if memory_format is None or memory_format is preserve_format:
        out = pointwise.run(COPY, (input,))
    elif memory_format is contiguous_format:
        filling = input.memory.filling
        if filling is not None and filling.itemsize == input.spec.dtype.itemsize:
            made = contiguous_spec(input.spec.shape, input.spec.dtype, input.spec.device)
            out = wrap(filled_storage(made.device.compute, made.nbytes, filling), 0, made)  # type: ignore[attr-defined]
        else:
            out = pointwise.run(COPY_OF_ROWS, (input,))
    else:
        out = empty_as(input.spec, input.spec.dtype, input.spec.device, memory_format)
        pointwise.run_into(COPY, (input,), (), out)
    if needs_graph(input):
        attach(out, "Clone", (input,), lambda g: g)
    return out


@operator("contiguous", function=False)
def contiguous(x: Any, memory_format: Any = contiguous_format) -> Any:
    """The tensor itself where its elements lie in row-major order (or in ``memory_format``), else such a copy.

    Raises:
        RuntimeError: the format is ``preserve_format``, or needs another number of dimensions.
    """
    own = x.spec
    if own.contiguous and memory_format in (contiguous_format, preserve_format):
        return x
    if memory_format is preserve_format:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    if has_format(own.shape, own.strides, memory_format):
        return x
    return clone(x, memory_format=memory_format)


@operator("copy_", function=False)
def copy_(x: Any, src: Any = None, non_blocking: bool = False, *, other: Any = None) -> Any:
    """Replaces the contents by those of ``src`` (or ``other``), broadcast, converted and moved as needed."""
    src = other if src is None else src
    if src is None:
        raise TypeError("copy_(): missing 1 required positional argument: 'src'")
    if isinstance(src, str):
        raise TypeError("copy_(): argument 'other' (position 1) must be Tensor, not str")
    if not isinstance(src, TensorBase):
        src = FUNCTIONS["tensor"](src)
    broadcast = src.spec.shape
    if broadcast != x.spec.shape:
        broadcast = broadcast_shapes(x.spec.shape, broadcast)
    if broadcast != x.spec.shape:
        raise RuntimeError(f"copy_: output with shape {list(x.spec.shape)} doesn't match the broadcast shape "
                           f"{list(broadcast)}")
    _tell_of_lost_parts(src.spec.dtype, x.spec.dtype)
    recorded = needs_graph(x, src) and x.spec.dtype.differentiable
    check_in_place(x, recorded)
    here = src if src.spec.device.compute is x.spec.device.compute else move(src, x.spec.device)
    if recorded:
        history = wrap(x.memory, x.offset, x.spec)
        # What was there has a gradient of zero; with a view's base that is seen to where its history is made.
        replaced, src_device = x._requires_grad and x._view is None, src.spec.device
        node = attach(history, "Copy", (x, src), lambda g: (FUNCTIONS["zeros_like"](g) if replaced else None,
                                                            g.to(src_device)))
        pointwise.run_into(COPY, (here,), (), x)
        rebase(x, node, history)
        return x
    pointwise.run_into(COPY, (here,), (), x)
    return x


def as_element(value: Any, x: Any) -> Any:
    """A 0-d tensor in the dtype of ``x`` and on its device; RuntimeError where what it holds does not fit."""
    own, kind = value.spec, x.spec.dtype
    # What is not narrowed fits; only the rest is looked at, as that may mean to wait.
    narrowed = kind is not kind.compute or dtypes.result_type([own.dtype, kind]) is not kind
    if own.dtype is not kind and narrowed and own.device.compute.has_memory:
        kind.to_numpy_scalar(value.item())
    return to(value, x.spec.device, kind)


def _tell_of_lost_parts(old: dtype, new: dtype) -> None:
    """A warning where complex numbers become real ones."""
    if old.is_complex and not new.is_complex and new is not dtypes.bool:
        warn_once("Casting complex values to real discards the imaginary part", 4)


def cast(x: Any, kind: dtype, *, copy: bool = False, memory_format: Any = None) -> Any:
    """The tensor in another dtype or memory format; itself where it has them already."""
    old = x.spec
    if old.dtype is kind and not copy and (memory_format is None or memory_format is preserve_format
                                           or _may_stay(old, memory_format)):
        return x
    _tell_of_lost_parts(old.dtype, kind)
    out = empty_as(old, kind, old.device, memory_format)
    pointwise.run_into(COPY, (x,), (), out)
    if needs_graph(x) and kind.differentiable:
        attach(out, "ToCopy", (x,), lambda g: g)
    return out


def _may_stay(own: Spec, wanted: Any) -> bool:
    """Whether a conversion to a memory format leaves strides alone; ``contiguous_format`` only undoes channels-last ones.

    Strides of single elements count: of one channel they say which order is meant.
    """
    if wanted is contiguous_format:
        return not any(suggests(own.shape, own.strides, f) for f in (channels_last, channels_last_3d))
    return suggests(own.shape, own.strides, wanted)


def move(x: Any, place: device) -> Any:
    """The tensor on another device, by way of the host; itself where it is there already."""
    old = x.spec
    if old.device is place:
        return x
    dense = x if is_dense(old.shape, old.strides) else x.contiguous()
    strides = dense.spec.strides
    if place.compute.has_memory:
        first, size = dense.offset * old.dtype.itemsize, dense.spec.nbytes
        data = dense.memory.read()[first:first + size].copy()
        out = wrap(host_storage(place.compute, data), 0, spec(old.shape, strides, old.dtype, place))
    else:
        out = unwritten(old.shape, old.dtype, place, strides)
    if needs_graph(x):
        here = old.device
        attach(out, "ToCopy", (x,), lambda g: move(g, here))
    return out


def to(x: Any, *args: Any, **kwargs: Any) -> Any:
    """The tensor with another dtype, device or memory format: itself where nothing changes, unless ``copy``.

    ``to(dtype, non_blocking=False, copy=False)``, ``to(device=None, dtype=None, non_blocking=False, copy=False)`` or
    ``to(other, non_blocking=False, copy=False)``, each with ``memory_format=``.
    """
    place, kind, copy, memory_format = parse_to(args, kwargs)
    place = canonical(place) if place is not None else x.spec.device
    kind = x.spec.dtype if kind is None else kind
    # On the way to a device with memory of its own the smaller of the two dtypes travels.
    if kind.itemsize <= x.spec.dtype.itemsize:
        result = move(cast(x, kind, memory_format=memory_format), place)
    else:
        result = cast(move(x, place), kind, memory_format=memory_format)
    return clone(result) if copy and result is x else result


def parse_to(args: tuple, kwargs: dict) -> tuple[Any, Any, bool, Any]:
    """(device, dtype, copy, memory format) that the arguments of ``to`` name, None where they do not."""
    given = list(args)
    other = kwargs.get("other")
    if given and isinstance(given[0], TensorBase):
        other = given.pop(0)
    elif given and is_dtype(given[0]):
        given.insert(0, None)
    names = ("non_blocking", "copy") if other is not None else ("device", "dtype", "non_blocking", "copy")
    if len(given) > len(names):
        raise TypeError(f"to() takes at most {len(names)} positional arguments, got {len(args)}")
    values: dict[str, Any] = dict(zip(names, given, strict=False))
    for name, value in kwargs.items():
        if name not in ("device", "dtype", "non_blocking", "copy", "memory_format", "other"):
            raise TypeError(f"to() got an unexpected keyword argument '{name}'")
        if values.get(name) is not None:
            raise TypeError(f"to() got multiple values for argument '{name}'")
        values[name] = value
    place, kind = values.get("device"), values.get("dtype")
    if other is not None:
        place, kind = other.spec.device, other.spec.dtype
    if place is not None and not isinstance(place, (str, int, device)) or isinstance(place, bool):
        raise TypeError(f"to() received an invalid device: {type(place).__name__}")
    if kind is not None and not is_dtype(kind):
        raise TypeError(f"to() received an invalid dtype: {type(kind).__name__}")
    return (None if place is None else device(place), None if kind is None else dtypes.as_dtype(kind),
            bool(values.get("copy")), values.get("memory_format"))


def is_dtype(value: Any) -> bool:
    """Whether a value names a dtype: one of clgrad's, or Python's ``float``, ``int`` or ``bool``."""
    return isinstance(value, dtype) or value in (float, int, bool)


publish(to, "to", function=False)


@operator("flip")
def flip(input: Any, *axes_: Any, dims: Any = None) -> Any:
    """A copy with the order of elements reversed along ``dims``, given as a sequence or one by one."""
    rank = input.spec.ndim
    given = axes_ if dims is None else (dims,)
    if not given:
        raise TypeError("flip() missing 1 required argument: 'dims'")
    listed = given[0] if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
    axes = {normalize_dim(d, rank) for d in listed}
    if len(axes) != len(tuple(listed)):
        raise RuntimeError(f"dim appears multiple times in the list of dims {list(listed)}")
    if not rank:
        return clone(input)
    own = input.spec
    strides = tuple(-s if axis in axes else s for axis, s in enumerate(own.strides))
    start = input.offset + sum((own.shape[a] - 1) * own.strides[a] for a in axes if own.shape[a])
    backwards = wrap(input.memory, start, spec(own.shape, strides, own.dtype, own.device))
    out = empty_as(own, own.dtype, own.device)
    pointwise.run_into(COPY, (backwards,), (), out)
    if needs_graph(input):
        order = tuple(axes)
        attach(out, "Flip", (input,), lambda g: flip(g, order))
    return out


@operator("repeat", function=False)
def repeat(x: Any, *counts: Any, repeats: Any = None) -> Any:
    """The tensor tiled: copied ``repeats[d]`` times along each dimension d, new dimensions in front."""
    given = counts if repeats is None else (repeats,)
    times = sizes_of(given, "repeat(): argument 'repeats'")
    lead = len(times) - x.spec.ndim
    if lead < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = (1,) * lead + tuple(x.spec.shape)
    sizes = [count * size for count, size in zip(times, shape, strict=True)]
    if sizes and min(sizes) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(sizes)}: {sizes}")
    paired = x.reshape([s for size in shape for s in (1, size)])
    wide = paired.expand([s for count, size in zip(times, shape, strict=True) for s in (count, size)])
    return ends_in(wide.clone(memory_format=contiguous_format).view(sizes), "Repeat")


@operator("tile")
def tile(input: Any, *counts: Any, dims: Any = None) -> Any:
    """``repeat`` with missing counts in front taken as 1."""
    given = counts if dims is None else (dims,)
    times = sizes_of(given, "tile(): argument 'dims'")
    return repeat(input, (1,) * (input.spec.ndim - len(times)) + times)


@operator("resize_", function=False)
def resize_(x: Any, *sizes: Any, size: Any = None, memory_format: Any = None) -> Any:
    """Another shape over the same storage, which grows if it is too small; the old elements stay in their places.

    Nothing changes where the shape is the old one, unless a memory format is named.
    """
    shape = sizes_of(sizes if size is None else (size,), "resize_(): argument 'size'")
    if any(s < 0 for s in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    if x._requires_grad and not mode.inference:
        raise RuntimeError("cannot resize variables that require grad")
    old = x.spec
    if shape == old.shape and memory_format is None:
        return x
    strides = (rows.result_strides(shape, [old]) if memory_format is preserve_format
               else format_strides(shape, memory_format or contiguous_format))
    made = spec(shape, strides, old.dtype, old.device)
    need = (x.offset + made.extent) * old.dtype.itemsize
    if need > x.memory.nbytes:
        x.memory.resize(need)
    x.spec = made
    mark_changed(x)
    return x


@operator("resize_as_")
def resize_as_(input: Any, the_template: Any, *, memory_format: Any = contiguous_format) -> Any:
    """``input.resize_(the_template.shape)``; with ``preserve_format`` its order of dimensions as well."""
    resize_(input, the_template.spec.shape)
    if memory_format is preserve_format:
        input.spec = spec(input.spec.shape, rows.result_strides(input.spec.shape, [the_template.spec]),
                              input.spec.dtype, input.spec.device)
    elif memory_format is not contiguous_format:
        resize_(input, input.spec.shape, memory_format=memory_format)
    return input
