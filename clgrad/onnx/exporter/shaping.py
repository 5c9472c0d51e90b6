"""How operators are written that arrange elements anew, and those that make tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.picking import LAST, picked
from clgrad.onnx.exporter.sizes import Dimension, Value
from clgrad.onnx.exporter.table import as_dtype, front, many, translates

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
    return tuple([picked(g, input, axis, place) for place in range(input.shape[axis])])


# Axes turned round, padding, triangles.

@translates("flip")
def flip(g: Builder, input: Value, *dims: Any, **kwargs: Any) -> str:
    """Axes in reverse."""
    given = kwargs.get("dims", dims[0] if dims and isinstance(dims[0], (tuple, list)) else dims)
    axes = [front(axis, input.rank) for axis in (many(given, 1) if isinstance(given, int) else given)]
    return g.slice(input, [-1] * len(axes), [-LAST] * len(axes), axes, [-1] * len(axes))


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
            found = g.op("Concat", g.slice(found, [back], [LAST], [axis]), g.slice(found, [0], [back], [axis]), axis=axis)
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
            parts.insert(0, g.slice(found, [-first], [LAST], [axis]))
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
    b = upscale_factor
    c, h, w = input.shape[1:]
    if any(isinstance(size, Dimension) for size in (h, w)):
        raise UnsupportedOperatorError("export: pixel_shuffle of a size that varies needs opset_version 11")
    parts = g.op("Reshape", input, [-1, c // (b * b), b, b, h, w])
    return g.op("Reshape", g.op("Transpose", parts, perm=[0, 1, 4, 2, 5, 3]), [-1, c // (b * b), h * b, w * b])


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
    if g.opset < 11 and mode == "nearest" and scale_factor is not None:
        factors = [float(f) for f in many(scale_factor, rank)] if isinstance(scale_factor, (tuple, list)) else [
            float(scale_factor)] * rank
        return g.op("Upsample" if g.opset < 10 else "Resize", input, g.constant([1.0, 1.0, *factors], dtypes.float32))
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
    # Before operator set 13 what is left out is an empty tensor.
    nothing = g.constant([], dtypes.float32) if g.opset < 13 else None
    if size is not None or recompute_scale_factor or align_corners:
        wanted = list(input.shape[:2]) + list(g.result.shape[2:])
        return g.op("Resize", input, nothing, nothing, wanted, **settings)
    factors = [float(f) for f in (scale_factor if isinstance(scale_factor, (tuple, list)) else [scale_factor] * rank)]
    return g.op("Resize", input, nothing, g.constant([1.0, 1.0, *factors], dtypes.float32), **settings)


@translates("im2col")
def im2col(g: Builder, input: Value, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> str:
    """The windows of pictures as columns: for each place in the window a slice."""
    kernel, gaps, edges, pace = (many(v, 2) for v in (kernel_size, dilation, padding, stride))
    c, sizes = input.shape[1], input.shape[2:]
    if input.rank != 4 or any(isinstance(size, Dimension) for size in sizes):
        raise UnsupportedOperatorError("export: im2col is translated for batches of pictures of one size")
    x: Any = g.pad(input, [0, 0, *edges] * 2, "constant", 0.0, input) if any(edges) else input
    reach = [n + 2 * e - d * (k - 1) for n, e, d, k in zip(sizes, edges, gaps, kernel, strict=True)]
    parts = []
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            first = [row * gaps[0], column * gaps[1]]
            part = g.slice(x, first, [f + r for f, r in zip(first, reach, strict=True)], [2, 3], pace)
            parts.append(g.op("Reshape", part, [0, c, 1, -1]))
    return g.op("Reshape", g.op("Concat", *parts, axis=2), [0, c * kernel[0] * kernel[1], -1])


@translates("unfold")
def unfold(g: Builder, input: Value, dimension: int, size: int, step: int) -> str:
    """Windows along an axis, whose elements become the last axis."""
    axis = front(dimension, input.rank)
    if isinstance(input.shape[axis], Dimension):
        raise UnsupportedOperatorError("export: unfold along an axis whose size varies is not translated")
    starts = np.arange(0, input.shape[axis] - size + 1, step)
    found = g.op("Gather", input, g.constant(tensor(starts[:, None] + np.arange(size))), axis=axis)
    order = [at for at in range(input.rank + 1) if at != axis + 1] + [axis + 1]
    return g.op("Transpose", found, perm=order)


@translates("nonzero")
def nonzero(g: Builder, input: Value, *, as_tuple: bool = False) -> str:
    """The coordinates of what is not zero."""
    if as_tuple:
        raise UnsupportedOperatorError("export: nonzero with as_tuple is not translated")
    return g.op("Transpose", g.op("NonZero", input), perm=[1, 0])


@translates("repeat_interleave")
def repeat_interleave(g: Builder, input: Value, repeats: Any, dim: Any = None, *, output_size: Any = None) -> str:
    """Each slice several times."""
    if not isinstance(repeats, int) or dim is None or isinstance(input.shape[dim], Dimension):
        raise UnsupportedOperatorError("export: repeat_interleave is translated for one number along an axis of known size")
    places = np.repeat(np.arange(input.shape[dim]), repeats)
    return g.op("Gather", input, g.constant(tensor(places)), axis=front(dim, input.rank))


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
    given = [0, *args] if len(args) == 1 and "end" not in kwargs else list(args)
    start, end, step = [given[at] if at < len(given) else kwargs.get(name, default)
                        for at, (name, default) in enumerate((("start", 0), ("end", None), ("step", 1)))]
    if not all(isinstance(n, (int, Dimension)) for n in (start, end, step)):
        raise UnsupportedOperatorError("export: arange of a size that varies is translated for whole numbers")
    names = [g.with_axes("Squeeze", g.size(n), [0]) if isinstance(n, Dimension) else g.constant(n, dtypes.int64)
             for n in (start, end, step)]
    found = g.op("Range", *names)
    return found if g.result.dtype is dtypes.int64 else g.cast(found, g.result.dtype)


@translates("one_hot")
def one_hot(g: Builder, tensor: Value, num_classes: int = -1) -> str:
    """Ones at the classes' places."""
    return g.op("OneHot", tensor, g.constant(g.result.shape[-1], dtypes.int64), g.constant([0, 1], dtypes.int64), axis=-1)
