"""Convolutions over volumes as convolutions over planes: windows along the depth become channels.

Every result plane is then one convolution of ``Ci * KD`` channels, so sums are as accurate as in two dimensions.
"""

from __future__ import annotations

from operator import index
from typing import Any

from clgrad.autograd.graph import ends_in
from clgrad.ops.convolution import (
    Geometry,
    checked,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    forward,
    geometry,
    padded,
    transposed_into,
    transposed_sizes,
)
from clgrad.ops.integer_convolution import convolve_integers, transpose_integers
from clgrad.ops.memory_formats import keeps_format
from clgrad.ops.registry import operator
from clgrad.ops.resample import resample
from clgrad.ops.unfolding import windows


@operator("conv3d", method=False)
@keeps_format
def conv3d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Cross-correlates volumes (N, Ci, D, H, W) with filters (Co, Ci / groups, KD, KH, KW)."""
    groups = index(groups)
    if isinstance(padding, str):
        steps, spread = checked("conv3d", input, weight, bias, 3, stride, dilation, groups, False)
        input, padding = padded("conv3d", input, padding, weight.spec.shape[2:], steps, spread)
    steps, around, spread = geometry("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)
    if not input.spec.dtype.is_floating_point:
        return convolve_integers(input, weight, bias, steps, around, spread, groups)
    batched = input.spec.ndim == 5
    x = input if batched else input.unsqueeze(0)
    (count, channels, size, *plane), (filters, each, kd, *kernel) = x.spec.shape, weight.spec.shape
    along = windows(size, kd, steps[0], around[0], spread[0])
    depth = along.m // kd
    x = x if along.is_identity else resample(x, 2, along)
    x = x.view(count, channels, kd, depth, *plane).permute(0, 3, 1, 2, 4, 5).reshape(count * depth, channels * kd, *plane)
    w = weight.reshape(filters, each * kd, *kernel)
    y = forward(x, w, bias, Geometry(steps[1:], around[1:], spread[1:], groups))
    y = ends_in(y.view(count, depth, *y.spec.shape[1:]).transpose(1, 2).contiguous(), "Convolution")
    return y if batched else y.squeeze(0)


@operator("conv_transpose3d", method=False)
@keeps_format
def conv_transpose3d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
    """The transposed convolution of (N, Ci, D, H, W) with (Ci, Co / groups, KD, KH, KW)."""
    groups = index(groups)
    steps, around, spread, sizes = transposed_sizes("conv_transpose3d", 3, input, weight, bias, stride, padding,
                                                    output_padding, groups, dilation)
    if not input.spec.dtype.is_floating_point:
        return transpose_integers(input, weight, bias, steps, around, spread, groups, sizes)
    batched = input.spec.ndim == 5
    x = input if batched else input.unsqueeze(0)
    (count, channels, depth, *plane), (_, each, kd, *kernel) = x.spec.shape, weight.spec.shape
    filters = each * groups
    x = x.transpose(1, 2).reshape(count * depth, channels, *plane)
    w = weight.reshape(channels, each * kd, *kernel)
    shape = (count * depth, filters * kd, *sizes[1:])
    y = transposed_into(x, w, None, shape, Geometry(steps[1:], around[1:], spread[1:], groups))
    y = y.view(count, depth, filters, kd, *sizes[1:]).permute(0, 2, 3, 1, 4, 5)
    y = y.reshape(count, filters, kd * depth, *sizes[1:])
    along = windows(sizes[0], kd, steps[0], around[0], spread[0], depth).transposed
    y = y if along.is_identity else resample(y, 2, along)
    y = ends_in(y if bias is None else y + bias.view(-1, 1, 1, 1), "Convolution")
    return y if batched else y.squeeze(0)


_BY_RANK = {1: (conv1d, conv_transpose1d), 2: (conv2d, conv_transpose2d), 3: (conv3d, conv_transpose3d)}


@operator("convolution", method=False)
def convolution(input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
                output_padding: Any, groups: int) -> Any:
    """The convolution, or transposed convolution, in as many dimensions as ``weight`` has after its first two."""
    rank = weight.spec.ndim - 2
    if rank not in _BY_RANK:
        raise RuntimeError(f"convolution: expected a weight of 3 to 5 dimensions, got {list(weight.spec.shape)}")
    plain, back = _BY_RANK[rank]
    if transposed:
        return back(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return plain(input, weight, bias, stride, padding, dilation, groups)


@operator("conv_tbc", method=False)
def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """The convolution of (time, batch, Ci) with (K, Ci, Co)."""
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)
