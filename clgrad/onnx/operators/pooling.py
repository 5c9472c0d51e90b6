"""Pooling over windows and over whole pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.nn import functional as F
from clgrad.onnx.operators.convolution import of_rank, pad_ends, window_padding
from clgrad.onnx.operators.table import implements, ints, ops

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class _Window:
    """The windows of a pooling: kernel, stride, dilation, what is added at both ends, and what rounding up adds."""

    def __init__(self, x: Any, kernel: Any, strides: Any, dilations: Any, auto_pad: str, pads: Any, ceil_mode: int):
        self.kernel, rank = list(kernel), len(kernel)
        self.stride, self.dilation = list(strides or [1] * rank), list(dilations or [1] * rank)
        self.sizes = list(x.shape[2:])
        self.pads = window_padding(auto_pad, pads, self.sizes, self.kernel, self.stride, self.dilation)
        self.begin, self.end = self.pads[:rank], self.pads[rank:]
        self.rounded = bool(ceil_mode) and auto_pad == "NOTSET"
        self.beyond = [self._beyond(axis) for axis in range(rank)]

    def _beyond(self, axis: int) -> int:
        """How far the last window reaches over the padded end."""
        if not self.rounded:
            return 0
        span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        whole = self.sizes[axis] + self.begin[axis] + self.end[axis]
        count = -(-(whole - span) // self.stride[axis]) + 1
        if (count - 1) * self.stride[axis] >= self.sizes[axis] + self.begin[axis]:
            count -= 1  # a window must not begin in the padding at the end
        return max((count - 1) * self.stride[axis] + span - whole, 0)

    @property
    def plain(self) -> bool:
        """Whether clgrad's own pooling has such a padding."""
        return self.begin == self.end and all(
            0 <= pad <= size // 2 for pad, size in zip(self.begin, self.kernel, strict=True))

    def around(self, x: Any, value: float) -> Any:
        """``x`` with everything that windows reach; then they need no padding."""
        return pad_ends(x, self.begin + [end + more for end, more in zip(self.end, self.beyond, strict=True)], value)


def _lowest(kind: Any) -> float:
    return -math.inf if kind.is_floating_point else np.iinfo(kind.numpy).min


@implements("MaxPool")
def max_pool(x: Any, *, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None,
             pads: Any = None, storage_order: int = 0, strides: Any = None, outputs: int = 1) -> Any:
    """The largest value of each window, and its place in the whole tensor."""
    window = _Window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    function = of_rank(_MAX, len(window.kernel), "pooling")
    if not x.is_floating_point():
        whole = x.to(dtypes.float32)
        found = max_pool(whole, kernel_shape=kernel_shape, auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations,
                         pads=pads, storage_order=storage_order, strides=strides, outputs=2)
        return (found[0].to(x.dtype), found[1])[:outputs] if outputs > 1 else found[0].to(x.dtype)
    if outputs == 1:
        if window.plain:
            return function(x, window.kernel, window.stride, window.begin, window.dilation, window.rounded)
        return function(window.around(x, _lowest(x.dtype)), window.kernel, window.stride, 0, window.dilation)
    around = window.around(x, _lowest(x.dtype))
    values, places = function(around, window.kernel, window.stride, 0, window.dilation, False, True)
    return values, _in_whole(places, list(around.shape), window, storage_order)


def _in_whole(places: Any, padded: list[int], window: _Window, storage_order: int) -> Any:
    """Places within a padded channel as places in the whole unpadded tensor."""
    sizes = window.sizes
    coordinates: list[Any] = []
    for size, before in zip(reversed(padded[2:]), reversed(window.begin), strict=True):
        coordinates.insert(0, places % size - before)
        places = ops.div(places, size, rounding_mode="floor")
    order = range(len(sizes)) if not storage_order else range(len(sizes) - 1, -1, -1)
    flat = ops.zeros_like(coordinates[0])
    for axis in order:
        flat = flat * sizes[axis] + coordinates[axis]
    n, c = padded[:2]
    channel = tensor(np.arange(n * c).reshape([n, c] + [1] * len(sizes)), device=places.device)
    return channel * math.prod(sizes) + flat


def _window_sums(x: Any, window: _Window) -> Any:
    """The sums over windows that need no padding, as a convolution with ones."""
    function = of_rank(_CONV, len(window.kernel), "pooling")
    ones = ops.full_like(x.narrow(0, 0, 1).narrow(1, 0, 1).reshape(-1)[:1], 1).expand(math.prod(window.kernel))
    each = x.reshape(-1, 1, *x.shape[2:])
    sums = function(each, ones.reshape(1, 1, *window.kernel), None, window.stride, 0, window.dilation)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])


@implements("AveragePool")
def average_pool(x: Any, *, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
                 dilations: Any = None, pads: Any = None, strides: Any = None) -> Any:
    """The mean of each window, over its elements, or over padding too (``count_include_pad``)."""
    window = _Window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    if window.plain and set(window.dilation) == {1}:
        function = of_rank(_AVERAGE, len(window.kernel), "pooling")
        return function(x, window.kernel, window.stride, window.begin, window.rounded, bool(count_include_pad))
    counted = ops.full_like(x.narrow(0, 0, 1).narrow(1, 0, 1), 1)
    if count_include_pad:
        counted = pad_ends(counted, window.pads, 1)
        counted = pad_ends(counted, [0] * len(window.kernel) + window.beyond)
    else:
        counted = window.around(counted, 0)
    return _window_sums(window.around(x, 0), window) / _window_sums(counted, window)


@implements("LpPool")
def lp_pool(x: Any, *, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None, p: int = 2,
            pads: Any = None, strides: Any = None) -> Any:
    """The ``p``-norm of each window."""
    window = _Window(x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    return _window_sums(window.around(ops.abs(x) ** p, 0), window) ** (1 / p)


def _all_but_channels(x: Any) -> list[int]:
    return list(range(2, x.dim()))


@implements("GlobalAveragePool")
def global_average_pool(x: Any) -> Any:
    """The mean of each channel."""
    return ops.mean(x, _all_but_channels(x), True)


@implements("GlobalMaxPool")
def global_max_pool(x: Any) -> Any:
    """The largest value of each channel."""
    return ops.amax(x, _all_but_channels(x), True)


@implements("GlobalLpPool")
def global_lp_pool(x: Any, *, p: int = 2) -> Any:
    """The ``p``-norm of each channel."""
    return ops.sum(ops.abs(x) ** p, _all_but_channels(x), True) ** (1 / p)


@implements("MaxUnpool")
def max_unpool(x: Any, places: Any, output_shape: Any = None, *, kernel_shape: Any, pads: Any = None,
               strides: Any = None) -> Any:
    """The values at the places that a pooling named, zeros elsewhere."""
    rank = len(kernel_shape)
    stride, edges = strides or [1] * rank, pads or [0] * (2 * rank)
    natural = [(n - 1) * s + k - edges[axis] - edges[axis + rank]
               for axis, (n, s, k) in enumerate(zip(x.shape[2:], stride, kernel_shape, strict=True))]
    wanted = list(x.shape[:2]) + natural
    made = ops.zeros_like(x.reshape(-1)[:1]).expand(math.prod(wanted)).clone()
    made = ops.scatter(made, 0, places.reshape(-1), x.reshape(-1)).reshape(wanted)
    if output_shape is None:
        return made
    larger: Sequence[int] = ints(output_shape)
    return pad_ends(made, [0] * rank + [n - m for n, m in zip(larger[2:], natural, strict=True)])
