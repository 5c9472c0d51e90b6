"""Operators that arrange elements anew: shapes, axes, parts, padding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.nn import functional as F
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.table import axis_of, implements, ints, number, ops


@implements("Reshape")
def reshape(x: Any, shape: Any, *, allowzero: int = 0) -> Any:
    """The elements in another shape; 0 keeps the size of ``x``, -1 is what remains."""
    wanted = ints(shape)
    if not allowzero:
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if x.numel() == 0 and -1 in wanted:
        rest = math.prod(size for size in wanted if size != -1)
        wanted = [(0 if not rest else x.numel() // rest) if size == -1 else size for size in wanted]
    return x.reshape(wanted)


@implements("Transpose")
def transpose(x: Any, *, perm: Any = None) -> Any:
    """The axes in another order, by default reversed."""
    return x.permute(*(perm if perm is not None else range(x.dim() - 1, -1, -1))) if x.dim() else x


@implements("Flatten")
def flatten(x: Any, *, axis: int = 1) -> Any:
    """A matrix: the axes before ``axis``, and those from it on."""
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@implements("Squeeze")
def squeeze(x: Any, axes: Any = None) -> Any:
    """Without these axes of size 1, or without all."""
    wanted = ints(axes)
    if wanted is None:
        return x.squeeze()
    gone = {axis_of(axis, x.dim()) for axis in wanted}
    wrong = [axis for axis in gone if x.shape[axis] != 1]
    if wrong:
        raise OnnxError(f"axis {wrong[0]} of a tensor of shape {tuple(x.shape)} cannot be squeezed: its size is not 1")
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in gone])


@implements("Unsqueeze")
def unsqueeze(x: Any, axes: Any) -> Any:
    """With axes of size 1 at these places of the result."""
    wanted = ints(axes)
    rank = x.dim() + len(wanted)
    for axis in sorted(axis_of(axis, rank) for axis in wanted):
        x = x.unsqueeze(axis)
    return x


@implements("Shape")
def shape(x: Any, *, start: int = 0, end: int | None = None) -> Any:
    """The shape as a tensor of int64."""
    return tensor(list(x.shape)[start:end], dtype=dtypes.int64, device=x.device)


@implements("Size")
def size(x: Any) -> Any:
    """How many elements there are."""
    return tensor(x.numel(), dtype=dtypes.int64, device=x.device)


@implements("Expand")
def expand(x: Any, shape: Any) -> Any:
    """Broadcast with a tensor of this shape."""
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(ints(shape))))


@implements("Tile")
def tile(x: Any, repeats: Any) -> Any:
    """Repeated along each axis."""
    return x.repeat(ints(repeats)) if x.dim() else x


@implements("Concat")
def concat(*values: Any, axis: int) -> Any:
    """Tensors one after another along an axis."""
    return ops.cat(list(values), axis_of(axis, values[0].dim()))


@implements("Split")
def split(x: Any, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int = 1) -> Any:
    """Parts along an axis: of the sizes given, or all alike (of which the last may be smaller)."""
    sizes = ints(split)
    length = x.shape[axis]
    if sizes is None:
        parts = num_outputs or outputs
        each = -(-length // parts)
        sizes = [max(min(each, length - each * part), 0) for part in range(parts)]
    return tuple(ops.split(x, sizes, axis))


@implements("Slice")
def slices(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    """A range of each of the axes; a negative step runs backwards."""
    first, last = ints(starts), ints(ends)
    where = ints(axes) if axes is not None else range(len(first))
    pace = ints(steps) if steps is not None else [1] * len(first)
    for axis, start, end, step in zip(where, first, last, pace, strict=True):
        at = axis_of(axis, x.dim())
        places = range(*slice(start, end, step).indices(x.shape[at]))
        if not places:
            x = x.narrow(at, 0, 0)
            continue
        backwards = step < 0
        low, high = (places[-1], places[0]) if backwards else (places[0], places[-1])
        x = x[(slice(None),) * at + (slice(low, high + 1, abs(step)),)]
        x = x.flip(at) if backwards else x
    return x


_NUMPY_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@implements("Pad")
def pad(x: Any, pads: Any = None, value: Any = None, axes: Any = None, *, mode: str = "constant",
        paddings: Any = None) -> Any:
    """Values added (or, by negative numbers, taken away) at both ends of the axes."""
    amounts = ints(pads if pads is not None else paddings)
    where = [axis_of(axis, x.dim()) for axis in ints(axes)] if axes is not None else list(range(x.dim()))
    before, after = [0] * x.dim(), [0] * x.dim()
    for position, axis in enumerate(where):
        before[axis], after[axis] = amounts[position], amounts[position + len(where)]
    if mode == "constant":
        flat = [amount for axis in range(x.dim() - 1, -1, -1) for amount in (before[axis], after[axis])]
        return F.pad(x, flat, value=0 if value is None else number(value))
    if mode not in _NUMPY_MODES:
        raise OnnxError(f"Pad has no mode '{mode}'")
    for axis, (left, right) in enumerate(zip(before, after, strict=True)):
        if not left and not right:
            continue
        places = np.arange(max(-left, 0), x.shape[axis] - max(-right, 0))
        places = np.pad(places, (max(left, 0), max(right, 0)), mode=_NUMPY_MODES[mode])  # type: ignore[call-overload]
        x = x.index_select(axis, tensor(places, device=x.device))
    return x


@implements("CenterCropPad")
def center_crop_pad(x: Any, shape: Any, *, axes: Any = None) -> Any:
    """The middle of the tensor, or the tensor in the middle of zeros."""
    where = [axis_of(axis, x.dim()) for axis in axes] if axes is not None else range(x.dim())
    for axis, wanted in zip(where, ints(shape), strict=True):
        here = x.shape[axis]
        if wanted <= here:
            x = x.narrow(axis, (here - wanted) // 2, wanted)
        else:
            before = (wanted - here) // 2
            flat = [0] * (2 * (x.dim() - 1 - axis)) + [before, wanted - here - before]
            x = F.pad(x, flat)
    return x


@implements("DepthToSpace")
def depth_to_space(x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    """Blocks of channels become blocks of pixels; the block's number is the slower (DCR) or faster (CRD) index."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return F.pixel_shuffle(x, b)
    parts = x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // (b * b), h * b, w * b)


@implements("SpaceToDepth")
def space_to_depth(x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    """Blocks of pixels become channels; see :func:`depth_to_space`."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return F.pixel_unshuffle(x, b)
    return x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


@implements("ReverseSequence")
def reverse_sequence(x: Any, lengths: Any, *, batch_axis: int = 1, time_axis: int = 0) -> Any:
    """The first steps of each sequence in reverse, as many as its length says; the others stay."""
    steps = x.shape[time_axis]
    place = ops.unsqueeze(tensor(np.arange(steps), device=x.device), 1)
    count = ops.unsqueeze(lengths.to(dtypes.int64), 0)
    places = ops.where(place < count, count - 1 - place, place)  # (time, batch)
    places = places if time_axis < batch_axis else places.t()
    places = places.reshape(*places.shape, *([1] * (x.dim() - 2)))
    return ops.gather(x, time_axis, places.expand(x.shape))


@implements("Col2Im")
def col2im(x: Any, image_shape: Any, block_shape: Any, *, dilations: Any = None, pads: Any = None,
           strides: Any = None) -> Any:
    """Blocks laid into a picture, where overlapping values are added; of one or two dimensions."""
    sizes, blocks = ints(image_shape), ints(block_shape)
    rank = len(sizes)
    if rank > 2:
        raise OnnxError(f"Col2Im of {rank} dimensions: clgrad has one of at most two")
    gaps, paces, edges = dilations or [1] * rank, strides or [1] * rank, pads or [0] * (2 * rank)
    fill = [1] * (2 - rank)
    sizes, blocks, gaps, paces = [fill + list(values) for values in (sizes, blocks, gaps, paces)]
    before, after = [0] * (2 - rank) + list(edges[:rank]), [0] * (2 - rank) + list(edges[rank:])
    whole = [size + first + last for size, first, last in zip(sizes, before, after, strict=True)]
    laid = F.fold(x, whole, blocks, gaps, 0, paces)
    laid = laid[..., before[0]:before[0] + sizes[0], before[1]:before[1] + sizes[1]]
    return laid.reshape(*laid.shape[:2], *sizes[2 - rank:])
