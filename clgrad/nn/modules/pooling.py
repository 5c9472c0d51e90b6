"""Pooling layers."""

from __future__ import annotations

from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.modules.module import Module


class _MaxPool(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 return_indices: bool = False, ceil_mode: bool = False):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride if stride is not None else kernel_size
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def extra_repr(self) -> str:
        """The window."""
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPool):
    """The largest value of each window of (n, c, l). See :class:`MaxPool2d`."""

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, l_out), with ``return_indices`` also the places."""
        return F.max_pool1d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                            self.return_indices)


class MaxPool2d(_MaxPool):
    """The largest value of each window of (n, c, h, w).

    Args:
        kernel_size, stride, padding, dilation: a number or one each for height and width; ``stride`` is the kernel's
            size by default. Padding counts as minus infinity and is at most half the kernel.
        return_indices: whether the places of the largest values are returned too.
        ceil_mode: whether a window that begins inside but ends outside counts.

    >>> import clgrad
    >>> clgrad.nn.MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, h_out, w_out), with ``return_indices`` also the places."""
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                            self.return_indices)


class AvgPool1d(Module):
    """The mean of each window of (n, c, l). See :class:`AvgPool2d`."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True):
        super().__init__()
        self.kernel_size, self.stride, self.padding = (
            tuple(v) if isinstance(v, (tuple, list)) else (v,)
            for v in (kernel_size, stride if stride is not None else kernel_size, padding))
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, l_out)."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window of (n, c, h, w).

    Args:
        kernel_size, stride, padding: a number or one each for height and width; ``stride`` is the kernel's size by
            default.
        ceil_mode: whether a window that begins inside but ends outside counts.
        count_include_pad: whether padding counts in the mean.
        divisor_override: a number to divide by instead of the window's size.
    """

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True, divisor_override: int | None = None):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride if stride is not None else kernel_size
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, h_out, w_out)."""
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                            self.divisor_override)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptiveAvg(Module):
    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class _AdaptiveMax(_AdaptiveAvg):
    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveAvgPool1d(_AdaptiveAvg):
    """Means of ``output_size`` windows of (n, c, l), whatever l is."""

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, output_size)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvg):
    """Means of windows of (n, c, h, w), as many as ``output_size`` says; None keeps a dimension."""

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, *output_size)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Largest values of ``output_size`` windows of (n, c, l), whatever l is."""

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, output_size)."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Largest values of windows of (n, c, h, w), as many as ``output_size`` says; None keeps a dimension."""

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, *output_size)."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)
