"""Convolutions that look beside their grid (Dai et al. 2017; with a mask Zhu et al. 2018)."""

from __future__ import annotations

import math
from typing import Any

from clgrad import nn
from clgrad.creation import arange, empty
from clgrad.fx import wrap
from clgrad.nn import Parameter, init
from clgrad.ops.registry import FUNCTIONS

_where = FUNCTIONS["where"]


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _places(offset: Any, out: int, kernel: int, axis: int, stride: int, padding: int, dilation: int) -> Any:
    """Where along an axis the kernels look: offsets (n, groups, kh, kw, oh, ow) from the regular places."""
    grid = arange(out, dtype=offset.dtype, device=offset.device) * stride - padding
    inside = arange(kernel, dtype=offset.dtype, device=offset.device) * dilation
    shape = [1] * 6
    shape[2 + axis], shape[4 + axis] = kernel, out
    return offset + (inside[:, None] + grid).reshape(shape)


def _sampled(input: Any, y: Any, x: Any) -> Any:
    """Bilinear values (n, groups, c, kernels * places) of (n, groups, c, h, w) at (n, groups, kh, kw, oh, ow); 0 outside."""
    height, width = input.shape[-2:]
    flat = input.flatten(3)
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    low_y, low_x = y.floor().detach(), x.floor().detach()
    share_y, share_x = y - low_y, x - low_x
    total: Any = 0
    for step_y, weight_y in ((0, 1 - share_y), (1, share_y)):
        for step_x, weight_x in ((0, 1 - share_x), (1, share_x)):
            row, column = low_y + step_y, low_x + step_x
            valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long().flatten(2)[:, :, None]
            weight = _where(valid, weight_y * weight_x, 0).flatten(2)[:, :, None]
            total = total + flat.gather(3, place.expand(-1, -1, flat.shape[2], -1)) * weight
    return total


@wrap
def deform_conv2d(input: Any, offset: Any, weight: Any, bias: Any = None, stride: Any = (1, 1), padding: Any = (0, 0),
                  dilation: Any = (1, 1), mask: Any = None) -> Any:
    """A convolution whose kernels look at places moved by ``offset``, between pixels by bilinear interpolation.

    Args:
        input: (n, c, h, w).
        offset: (n, 2 * groups * kh * kw, oh, ow): for each place of a kernel how far down and to the right it is moved;
            channels of the input have offsets in common by groups.
        weight: (out, c / weight groups, kh, kw).
        bias: (out).
        stride, padding, dilation: of the convolution, numbers or pairs.
        mask: (n, groups * kh * kw, oh, ow), factors of what is seen.

    Raises:
        RuntimeError: the shapes do not fit.

    >>> import clgrad
    >>> deform_conv2d(clgrad.ones(1, 1, 3, 3), clgrad.zeros(1, 8, 2, 2), clgrad.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    strides, paddings, dilations = _pair(stride), _pair(padding), _pair(dilation)
    count, channels, *sides = input.shape
    outputs, inputs, *kernel = weight.shape
    area = kernel[0] * kernel[1]
    groups, weight_groups = offset.shape[1] // (2 * area), channels // inputs
    if not groups or offset.shape[1] % (2 * area):
        raise RuntimeError("the shape of the offset tensor at dimension 1 is not valid. It should be a multiple of 2 * "
                           f"weight.size[2] * weight.size[3].\nGot offset.shape[1]={offset.shape[1]}, while 2 * "
                           f"weight.size[2] * weight.size[3]={2 * area}")
    if channels % groups or channels % inputs or outputs % weight_groups:
        raise RuntimeError(f"deform_conv2d: {channels} channels do not fit a weight of shape {list(weight.shape)} and "
                           f"{groups} groups of offsets")
    out = [(side + 2 * p - d * (k - 1) - 1) // s + 1
           for side, k, s, p, d in zip(sides, kernel, strides, paddings, dilations, strict=True)]
    for name, given, planes in (("offset", offset, 2 * groups * area), ("mask", mask, groups * area)):
        if given is not None and tuple(given.shape) != (count, planes, *out):
            raise RuntimeError(f"deform_conv2d: {name} should have shape {[count, planes, *out]}, got {list(given.shape)}")
    moved = offset.reshape(count, groups, *kernel, 2, *out)
    y, x = (_places(moved[:, :, :, :, axis], out[axis], kernel[axis], axis, strides[axis], paddings[axis], dilations[axis])
            for axis in (0, 1))
    seen = _sampled(input.reshape(count, groups, channels // groups, *sides), y, x)
    if mask is not None:
        seen = seen * mask.reshape(count, groups, 1, area * out[0] * out[1])
    columns = seen.reshape(count, weight_groups, inputs * area, out[0] * out[1])
    made = (weight.reshape(weight_groups, -1, inputs * area) @ columns).reshape(count, outputs, *out)
    return made if bias is None else made + bias[:, None, None]


class DeformConv2d(nn.Module):
    """:func:`deform_conv2d` with a weight and a bias of its own; ``offset`` and ``mask`` are given to each call.

    Raises:
        ValueError: ``groups`` does not divide the channels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True):
        super().__init__()
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name} must be divisible by groups")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)
        self.weight = Parameter(empty(out_channels, in_channels // groups, *self.kernel_size))
        self.bias = Parameter(empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The initial values of a convolution."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any, offset: Any, mask: Any = None) -> Any:
        return deform_conv2d(input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)

    def __repr__(self) -> str:
        named = [f"{name}={value}" for name, value, usual in (
            ("padding", self.padding, (0, 0)), ("dilation", self.dilation, (1, 1)), ("groups", self.groups, 1),
            ("bias", self.bias is not None, True)) if value != usual]
        return (f"{type(self).__name__}({self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}{''.join(', ' + one for one in named)})")
