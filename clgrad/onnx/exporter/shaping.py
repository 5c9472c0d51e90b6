"""How operators are written that arrange elements anew, pick them and make tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.sizes import Dimension, Value
from clgrad.onnx.exporter.table import as_dtype, front, many, translates

_LAST = 2**31 - 1  # an end that no axis reaches


# Shapes.

@translates("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "ravel")
def reshape(g: Builder, input: Value, *args: Any, **kwargs: Any) -> str:
    """Another shape: the one that the call gave."""
    if g.result.dtype is not input.dtype:
        raise UnsupportedOperatorError("export: a view of another dtype has no counterpart in ONNX")
    if g.result.shape == input.shape:
        return g.name_of(input)
    if g.call_name == "flatten" and g.result.rank == 2 and input.rank > 2 and g.result.shape[0] == input.shape[0]:
        return g.op("Flatten", input, axis=1)
    if g.call_name == "unsqueeze" and not g.result.static:
        return g.with_axes("Unsqueeze", input, [front(args[0] if args else kwargs["dim"], g.result.rank)])
    return g.reshape(input, input.shape, g.result.shape)


@translates("transpose", "swapaxes", "swapdims")
def transpose(g: Builder, input: Value, dim0: int, dim1: int) -> str:
    """Two axes exchanged."""
    order = list(range(input.rank))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return g.op("Transpose", input, perm=order)


@translates("permute")
def permute(g: Builder, input: Value, *dims: Any, **kwargs: Any) -> str:
    """The axes in another order."""
    order = kwargs.get("dims", dims[0] if dims and isinstance(dims[0], (tuple, list)) else dims)
    return g.op("Transpose", input, perm=[front(axis, input.rank) for axis in order])


@translates("movedim", "moveaxis")
def movedim(g: Builder, input: Value, source: Any, destination: Any) -> str:
    """Axes moved to other places."""
    taken = [front(axis, input.rank) for axis in many(source, 1)]
    places = [front(axis, input.rank) for axis in many(destination, 1)]
    rest = iter([axis for axis in range(input.rank) if axis not in taken])
    order = [taken[places.index(place)] if place in places else next(rest) for place in range(input.rank)]
    return g.op("Transpose", input, perm=order)


@translates("t", "T.__get__", "mT.__get__", "adjoint")
def transposed(g: Builder, input: Value) -> str:
    """The last two axes exchanged; ``T`` of more than two axes reverses all."""
    if input.rank < 2:
        return g.name_of(input)
    order = list(range(input.rank))
    if g.call_name == "T.__get__":
        return g.op("Transpose", input, perm=order[::-1])
    order[-1], order[-2] = order[-2], order[-1]
    return g.op("Transpose", input, perm=order)


@translates("expand", "expand_as", "broadcast_to")
def expand(g: Builder, input: Value, *args: Any, **kwargs: Any) -> str:
    """Broadcast to a shape."""
    return g.expand(input, input.shape, g.result.shape)


@translates("repeat", "tile")
def repeat(g: Builder, input: Value, *args: Any, **kwargs: Any) -> str:
    """Repeated along each axis."""
    counts = list(args[0] if args and isinstance(args[0], (tuple, list)) else args) or list(
        kwargs.get("repeats", kwargs.get("dims", ())))
    missing = len(counts) - input.rank
    if missing < 0:
        counts = [1] * -missing + counts
    x: Any = input if missing <= 0 else g.with_axes("Unsqueeze", input, list(range(missing)))
    return g.op("Tile", x, counts)


@translates("cat", "concat", "concatenate")
def cat(g: Builder, tensors: Any, dim: int = 0) -> str:
    """Tensors one after another."""
    kept = [t for t in tensors if t.shape != [0] or g.result.shape == [0]]
    return g.op("Concat", *(as_dtype(g, t, g.result.dtype) for t in kept), axis=front(dim, kept[0].rank))


@translates("stack")
def stack(g: Builder, tensors: Any, dim: int = 0) -> str:
    """Tensors along a new axis."""
    axis = front(dim, g.result.rank)
    parts = [g.with_axes("Unsqueeze", as_dtype(g, t, g.result.dtype), [axis]) for t in tensors]
    return g.op("Concat", *parts, axis=axis)


@translates("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk")
def split(g: Builder, input: Value, *args: Any, **kwargs: Any) -> Any:
    """Parts along an axis, of the sizes that the call gave."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    axis = front(dim, input.rank)
    sizes = [part.shape[axis] for part in g.results]
    if len(sizes) == 1:
        return (g.name_of(input),)
    if any(isinstance(size, Dimension) for size in sizes):
        if all(size == sizes[0] for size in sizes) and g.opset >= 18:
            return g.op("Split", input, outputs=len(sizes), axis=axis, num_outputs=len(sizes))
        raise UnsupportedOperatorError("export: parts of sizes that vary are translated where they are alike, from "
                                       "opset_version 18 on")
    return g.split(input, sizes, axis)


@translates("unbind")
def unbind(g: Builder, input: Value, dim: int = 0) -> Any:
    """The slices along an axis."""
    axis = front(dim, input.rank)
    if isinstance(input.shape[axis], Dimension):
        raise UnsupportedOperatorError("export: unbind along an axis whose size varies has no counterpart in ONNX")
    return tuple([_picked(g, input, axis, place) for place in range(input.shape[axis])])


# Picking.

def _picked(g: Builder, x: Any, axis: int, place: int) -> str:
    return g.op("Gather", x, g.constant(place, dtypes.int64), axis=axis)


@translates("select")
def select(g: Builder, input: Value, dim: int, index: int) -> str:
    """One slice."""
    return _picked(g, input, front(dim, input.rank), index)


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
    parts = whole_index(index, input.rank)
    found: Any = input
    tensors = [part for part in parts if isinstance(part, Value)]
    if len(tensors) > 1 or any(isinstance(part, (list, bool)) for part in parts):
        raise UnsupportedOperatorError("export: an index of several tensors or of lists is not translated")
    axis, starts, ends, steps, axes = 0, [], [], [], []
    for part in parts:
        if isinstance(part, slice) and part != slice(None):
            starts.append(0 if part.start is None else part.start)
            ends.append(_LAST if part.stop is None else part.stop)
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
            found = _picked(g, found, axis, part)
            continue
        elif isinstance(part, Value):
            found, axis = _by_tensor(g, found, part, axis), axis + part.rank
            continue
        axis += 1
    return g.name_of(found)


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
        mask = index
        for _ in range(input.rank - mask.rank):
            return g.op("Where", g.with_axes("Unsqueeze", mask, list(range(mask.rank, input.rank))),
                        as_dtype(g, value, input.dtype), input)
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


@translates("flip")
def flip(g: Builder, input: Value, *dims: Any, **kwargs: Any) -> str:
    """Axes in reverse."""
    given = kwargs.get("dims", dims[0] if dims and isinstance(dims[0], (tuple, list)) else dims)
    axes = [front(axis, input.rank) for axis in (many(given, 1) if isinstance(given, int) else given)]
    return g.slice(input, [-1] * len(axes), [-_LAST] * len(axes), axes, [-1] * len(axes))


@translates("roll")
def roll(g: Builder, input: Value, shifts: Any, dims: Any = None) -> str:
    """Axes turned round."""
    if dims is None:
        raise UnsupportedOperatorError("export: roll without dims is not translated")
    found: Any = input
    for shift, dim in zip(many(shifts, 1), many(dims, 1), strict=True):
        axis = front(dim, input.rank)
        back = -shift if isinstance(input.shape[axis], Dimension) else -(shift % input.shape[axis])
        if back:
            found = g.op("Concat", g.slice(found, [back], [_LAST], [axis]), g.slice(found, [0], [back], [axis]), axis=axis)
    return g.name_of(found)


@translates("pad", "constant_pad_nd")
def pad(g: Builder, input: Value, pad: Any, mode: str = "constant", value: Any = None) -> str:
    """Padding."""
    if g.call_name == "constant_pad_nd" and not isinstance(mode, str):
        mode, value = "constant", mode
    before, after = [0] * input.rank, [0] * input.rank
    for place in range(len(pad) // 2):
        before[-1 - place], after[-1 - place] = pad[2 * place], pad[2 * place + 1]
    kinds = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode == "circular" and g.opset < 19:
        return _wrapped(g, input, before, after)
    return g.pad(input, before + after, kinds[mode], 0 if value is None else value, input)


def _wrapped(g: Builder, input: Value, before: list[int], after: list[int]) -> str:
    found: Any = input
    for axis, (first, last) in enumerate(zip(before, after, strict=True)):
        parts = [found]
        if first:
            parts.insert(0, g.slice(found, [-first], [_LAST], [axis]))
        if last:
            parts.append(g.slice(found, [0], [last], [axis]))
        found = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=axis)
    return g.name_of(found)


@translates("tril", "triu")
def triangle(g: Builder, input: Value, diagonal: int = 0) -> str:
    """A triangle of matrices."""
    x = input if input.dtype is not dtypes.bool or g.opset >= 14 else g.cast(input, dtypes.int64)
    return g.op("Trilu", x, g.constant(diagonal, dtypes.int64), upper=int(g.call_name == "triu"))


# Pictures.

@translates("pixel_shuffle")
def pixel_shuffle(g: Builder, input: Value, upscale_factor: int) -> str:
    """Channels become pixels."""
    if g.opset >= 11:
        return g.op("DepthToSpace", input, blocksize=upscale_factor, mode="CRD")
    raise UnsupportedOperatorError("export: pixel_shuffle needs opset_version 11")


@translates("pixel_unshuffle")
def pixel_unshuffle(g: Builder, input: Value, downscale_factor: int) -> str:
    """Pixels become channels."""
    b = downscale_factor
    c, h, w = input.shape[1:]
    if any(isinstance(size, Dimension) for size in (h, w)):
        raise UnsupportedOperatorError("export: pixel_unshuffle of a size that varies is not translated")
    parts = g.op("Reshape", input, [-1, c, h // b, b, w // b, b])
    return g.op("Reshape", g.op("Transpose", parts, perm=[0, 1, 3, 5, 2, 4]), [-1, c * b * b, h // b, w // b])


@translates("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(g: Builder, input: Value, groups: int) -> str:
    """Channels of all groups in turn."""
    c = input.shape[1]
    parts = g.op("Reshape", input, [0, groups, c // groups, -1])
    mixed = g.op("Reshape", g.op("Transpose", parts, perm=[0, 2, 1, 3]), [0, c, -1])
    return g.reshape(mixed, [input.shape[0], c], input.shape) if not all(
        isinstance(size, Dimension) for size in input.shape[2:]) else g.op("Reshape", mixed, g.op("Shape", input))


@translates("interpolate", "upsample")
def interpolate(g: Builder, input: Value, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: Any = None, recompute_scale_factor: Any = None, antialias: bool = False) -> str:
    """Another size of pictures."""
    rank = input.rank - 2
    kinds = {"nearest": "nearest", "nearest-exact": "nearest", "linear": "linear", "bilinear": "linear",
             "trilinear": "linear", "bicubic": "cubic"}
    if mode not in kinds or g.opset < 11:
        raise UnsupportedOperatorError(f"export: interpolate with mode='{mode}' is translated "
                                       + ("from opset_version 11 on" if mode in kinds else "for other modes only"))
    settings: dict[str, Any] = {"mode": kinds[mode]}
    if mode == "nearest":
        settings.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    elif mode == "nearest-exact":
        settings.update(coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil")
    else:
        settings["coordinate_transformation_mode"] = "align_corners" if align_corners else "half_pixel"
    if mode == "bicubic":
        settings["cubic_coeff_a"] = -0.5 if antialias else -0.75
    if antialias:
        settings.update(antialias=1, exclude_outside=1)
    if size is not None or recompute_scale_factor or align_corners:
        wanted = list(input.shape[:2]) + list(g.result.shape[2:])
        return g.op("Resize", input, None, None, wanted, **settings)
    factors = [float(f) for f in (scale_factor if isinstance(scale_factor, (tuple, list)) else [scale_factor] * rank)]
    return g.op("Resize", input, None, g.constant([1.0, 1.0, *factors], dtypes.float32), **settings)


@translates("grid_sample", "grid_sampler")
def grid_sample(g: Builder, input: Value, grid: Value, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: Any = None) -> str:
    """Values between pixels."""
    names = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"} if g.opset >= 20 else {}
    return g.op("GridSample", input, grid, mode=names.get(mode, mode), padding_mode=padding_mode,
                align_corners=int(bool(align_corners)))


# Tensors that are made in a shape that varies.

@translates("zeros", "zeros_like", "new_zeros", "empty", "empty_like", "new_empty")
def zeros(g: Builder, *args: Any, **kwargs: Any) -> str:
    """Zeros."""
    return g.expand(g.constant(0, g.result.dtype), [], g.result.shape)


@translates("ones", "ones_like", "new_ones")
def ones(g: Builder, *args: Any, **kwargs: Any) -> str:
    """Ones."""
    return g.expand(g.constant(1, g.result.dtype), [], g.result.shape)


@translates("full", "full_like", "new_full")
def full(g: Builder, first: Any, fill_value: Any, *args: Any, **kwargs: Any) -> str:
    """One number everywhere."""
    if g.call_name == "new_full":
        fill_value = args[0] if args else fill_value
    return g.expand(as_dtype(g, fill_value, g.result.dtype), [], g.result.shape)


@translates("arange")
def arange(g: Builder, *args: Any, **kwargs: Any) -> str:
    """Whole numbers from one to before another."""
    start, end, step = [0, *args, 1] if len(args) == 1 else [*args, 1] if len(args) == 2 else list(args)
    names = [g.with_axes("Squeeze", g.size(n), [0]) if isinstance(n, Dimension) else g.constant(n, dtypes.int64)
             for n in (start, end, step)]
    found = g.op("Range", *names)
    return found if g.result.dtype is dtypes.int64 else g.cast(found, g.result.dtype)


@translates("one_hot")
def one_hot(g: Builder, tensor: Value, num_classes: int = -1) -> str:
    """Ones at the classes' places."""
    return g.op("OneHot", tensor, g.constant(g.result.shape[-1], dtypes.int64), g.constant([0, 1], dtypes.int64), axis=-1)
