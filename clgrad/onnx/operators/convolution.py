"""Convolutions of one to three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.nn import functional as F
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.products import centred
from clgrad.onnx.operators.table import implements, ops

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def of_rank(table: dict[int, Any], rank: int, what: str) -> Any:
    """The function for a number of spatial dimensions."""
    if rank not in table:
        raise OnnxError(f"{what} of {rank} spatial dimensions: clgrad has those of {sorted(table)}")
    return table[rank]


def same_padding(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
                 upper: bool) -> list[int]:
    """The padding with which the result has ``ceil(size / stride)`` elements; the odd one is last if ``upper``."""
    begins, ends = [], []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        whole = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        begins.append(whole // 2 if upper else whole - whole // 2)
        ends.append(whole - begins[-1])
    return begins + ends


def window_padding(auto_pad: str, pads: Any, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
                   dilation: Sequence[int]) -> list[int]:
    """What is added before and after each dimension."""
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return same_padding(size, kernel, stride, dilation, auto_pad == "SAME_UPPER")
    return list(pads) if pads and auto_pad == "NOTSET" else [0] * (2 * len(kernel))


def pad_ends(x: Any, pads: Sequence[int], value: float = 0) -> Any:
    """Padding in ONNX's order (all begins, all ends) around the last dimensions."""
    rank = len(pads) // 2
    flat = [pads[axis + half * rank] for axis in range(rank - 1, -1, -1) for half in (0, 1)]
    return F.pad(x, flat, value=value) if any(flat) else x


@implements("Conv")
def conv(x: Any, w: Any, b: Any = None, *, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1,
         kernel_shape: Any = None, pads: Any = None, strides: Any = None) -> Any:
    """A convolution (in the language of signals: a correlation)."""
    kernel = list(w.shape[2:])
    rank = len(kernel)
    function = of_rank(_CONV, rank, "a convolution")
    stride, dilation = list(strides or [1] * rank), list(dilations or [1] * rank)
    edges = window_padding(auto_pad, pads, x.shape[2:], kernel, stride, dilation)
    if edges[:rank] == edges[rank:] and min(edges) >= 0:
        return function(x, w, b, stride, edges[:rank], dilation, group)
    return function(pad_ends(x, edges), w, b, stride, 0, dilation, group)


@implements("ConvTranspose")
def conv_transpose(x: Any, w: Any, b: Any = None, *, auto_pad: str = "NOTSET", dilations: Any = None, group: int = 1,
                   kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None, pads: Any = None,
                   strides: Any = None) -> Any:
    """The transpose of a convolution; what ``pads`` says is taken away from the result's ends."""
    kernel = list(w.shape[2:])
    rank = len(kernel)
    function = of_rank(_CONV_TRANSPOSE, rank, "a transposed convolution")
    stride, dilation = list(strides or [1] * rank), list(dilations or [1] * rank)
    extra = list(output_padding or [0] * rank)
    sizes = x.shape[2:]
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = [n * s for n, s in zip(sizes, stride, strict=True)]
    whole = [s * (n - 1) + e + (k - 1) * d + 1
             for n, s, e, k, d in zip(sizes, stride, extra, kernel, dilation, strict=True)]
    if output_shape is not None:
        gone = [n - wanted for n, wanted in zip(whole, list(output_shape)[-rank:], strict=True)]
        first = [n // 2 if auto_pad == "SAME_UPPER" else n - n // 2 for n in gone]
        edges = first + [n - f for n, f in zip(gone, first, strict=True)]
    else:
        edges = list(pads) if pads and auto_pad == "NOTSET" else [0] * (2 * rank)
    if edges[:rank] == edges[rank:] and min(edges) >= 0:
        return function(x, w, b, stride, edges[:rank], extra, group, dilation)
    # Without its ends: all that no padding takes away is made, then cut, or filled with the bias.
    made = function(x, w, None, stride, 0, 0, group, dilation)
    missing = [n - m for n, m in zip(whole, made.shape[2:], strict=True)]
    made = pad_ends(made, [-e for e in edges[:rank]] + [m - e for m, e in zip(missing, edges[rank:], strict=True)])
    return made if b is None else made + b.reshape([-1] + [1] * rank)


@implements("ConvInteger")
def conv_integer(x: Any, w: Any, x_zero_point: Any = None, w_zero_point: Any = None, **settings: Any) -> Any:
    """A convolution of quantised values, in int32; computed in float64, whose integers are exact."""
    given, weight = centred(x, x_zero_point), centred(w, w_zero_point, 0)
    return conv(given.to(dtypes.float64), weight.to(dtypes.float64), **settings).to(dtypes.int32)


@implements("DeformConv", since=19)
def deform_conv(x: Any, w: Any, offset: Any, b: Any = None, mask: Any = None, *, dilations: Any = None, group: int = 1,
                kernel_shape: Any = None, offset_group: int = 1, pads: Any = None, strides: Any = None) -> Any:
    """A convolution of two dimensions whose taps are moved by offsets (Dai et al. 2017; with a mask, Zhu et al. 2019).

    The taps are looked up bilinearly (zero outside); then it is a matrix product.
    """
    kernel = list(w.shape[2:])
    if len(kernel) != 2:
        raise OnnxError(f"a deformable convolution of {len(kernel)} spatial dimensions: clgrad has that of 2")
    n, c, height, width = x.shape
    rows, columns = offset.shape[2:]
    taps = math.prod(kernel)
    y, z = _tap_places(offset, kernel, strides or [1, 1], dilations or [1, 1], list(pads or [0] * 4), offset_group)
    # grid_sample's coordinates: -1 and 1 are the centres of the corner pixels.
    grid = ops.stack([2 * z / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
    if width == 1 or height == 1:
        raise OnnxError("a deformable convolution of a picture with one row or column is not there")
    parts = x.reshape(n * offset_group, c // offset_group, height, width)
    found = F.grid_sample(parts, grid.reshape(n * offset_group, taps * rows, columns, 2), align_corners=True)
    found = found.reshape(n, offset_group, c // offset_group, taps, rows, columns)
    if mask is not None:
        found = found * mask.reshape(n, offset_group, 1, taps, rows, columns)
    found = found.reshape(n, group, c // group * taps, rows * columns)
    made = ops.matmul(w.reshape(1, group, w.shape[0] // group, -1), found).reshape(n, w.shape[0], rows, columns)
    return made if b is None else made + b.reshape(-1, 1, 1)


def _tap_places(offset: Any, kernel: list, stride: Any, dilation: Any, pads: list, groups: int) -> tuple[Any, Any]:
    """The rows and columns, in pixels, at which each tap of each output pixel looks: (n, groups, taps, rows, columns)."""
    n, _, rows, columns = offset.shape
    moved = offset.reshape(n, groups, math.prod(kernel), 2, rows, columns)
    taps = np.indices(kernel).reshape(2, -1, 1, 1)
    pixels = np.indices((rows, columns)).reshape(2, 1, rows, columns)
    at = [tensor(pixels[axis] * stride[axis] - pads[axis] + taps[axis] * dilation[axis], device=offset.device)
          for axis in range(2)]
    return moved[:, :, :, 0] + at[0], moved[:, :, :, 1] + at[1]
