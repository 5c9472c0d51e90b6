"""Pooling layers."""

from __future__ import annotations

from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.modules.module import Module


class _MaxPoolNd(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 return_indices: bool = False, ceil_mode: bool = False):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride if stride is not None else kernel_size
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def extra_repr(self) -> str:
        """The window."""
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPoolNd):
    """The largest value of each window of (n, c, l). See :class:`MaxPool2d`."""

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, l_out), with ``return_indices`` also the places."""
        return F.max_pool1d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                            self.return_indices)


class MaxPool2d(_MaxPoolNd):
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


class MaxPool3d(_MaxPoolNd):
    """The largest value of each window of (n, c, d, h, w). See :class:`MaxPool2d`."""

    def forward(self, input: Any) -> Any:
        """(n, c, d, h, w) to (n, c, d_out, h_out, w_out), with ``return_indices`` also the places."""
        return F.max_pool3d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                            self.return_indices)


class _AvgPoolNd(Module):
    """The mean of each window."""

    kernel_size: Any
    stride: Any
    padding: Any

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
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


class _WideAvgPool(_AvgPoolNd):
    """The mean of each window.

    Args:
        kernel_size, stride, padding: a number or one for each dimension; ``stride`` is the kernel's size by default.
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


class AvgPool2d(_WideAvgPool):
    """The mean of each window of (n, c, h, w); arguments as in :class:`_WideAvgPool`."""

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, h_out, w_out)."""
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                            self.divisor_override)


class AvgPool3d(_WideAvgPool):
    """The mean of each window of (n, c, d, h, w); arguments as in :class:`_WideAvgPool`."""

    def forward(self, input: Any) -> Any:
        """(n, c, d, h, w) to (n, c, d_out, h_out, w_out)."""
        return F.avg_pool3d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                            self.divisor_override)


class _AdaptivePool(Module):
    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class _AdaptiveAvgPoolNd(_AdaptivePool):
    """Means of windows, as many as are asked for."""


class _AdaptiveMaxPoolNd(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Means of ``output_size`` windows of (n, c, l), whatever l is."""

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, output_size)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Means of windows of (n, c, h, w), as many as ``output_size`` says; None keeps a dimension."""

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, *output_size)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Largest values of ``output_size`` windows of (n, c, l), whatever l is."""

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, output_size)."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Largest values of windows of (n, c, h, w), as many as ``output_size`` says; None keeps a dimension."""

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, *output_size)."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Means of as many windows of (n, c, d, h, w) as ``output_size`` says; None keeps a dimension."""

    def forward(self, input: Any) -> Any:
        """(n, c, d, h, w) to (n, c, *output_size)."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Largest values of as many windows of (n, c, d, h, w) as ``output_size`` says; None keeps a dimension."""

    def forward(self, input: Any) -> Any:
        """(n, c, d, h, w) to (n, c, *output_size)."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _LPPoolNd(Module):
    """The p-norm of each window: (sum of x^p)^(1/p), p = ``norm_type``."""

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False):
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def extra_repr(self) -> str:
        """The norm and the window."""
        return (f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
                f"ceil_mode={self.ceil_mode}")


class LPPool1d(_LPPoolNd):
    """The p-norm of each window of (n, c, l)."""

    def forward(self, input: Any) -> Any:
        """(n, c, l) to (n, c, l_out)."""
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPoolNd):
    """The p-norm of each window of (n, c, h, w)."""

    def forward(self, input: Any) -> Any:
        """(n, c, h, w) to (n, c, h_out, w_out)."""
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPoolNd):
    """The p-norm of each window of (n, c, d, h, w)."""

    def forward(self, input: Any) -> Any:
        """(n, c, d, h, w) to (n, c, d_out, h_out, w_out)."""
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _MaxUnpoolNd(Module):
    """The values of a max pooling put back to where they stood, zeros elsewhere; arguments as the pooling's."""

    dims: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0):
        super().__init__()
        self.kernel_size, self.stride, self.padding = (
            tuple(v) if isinstance(v, (tuple, list)) else (v,) * self.dims
            for v in (kernel_size, stride if stride is not None else kernel_size, padding))

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The pooled values and their places to the size before the pooling, or to ``output_size``."""
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.dims - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """:class:`MaxPool1d` undone; arguments as in :class:`_MaxUnpoolNd`."""

    dims = 1


class MaxUnpool2d(_MaxUnpoolNd):
    """:class:`MaxPool2d` undone; arguments as in :class:`_MaxUnpoolNd`."""

    dims = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """:class:`MaxPool3d` undone; arguments as in :class:`_MaxUnpoolNd`."""

    dims = 3


class _FractionalMaxPool(Module):
    """The largest values of windows placed at random (Graham 2014); give ``output_size`` or ``output_ratio``."""

    dims: int

    def __init__(self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                 return_indices: bool = False, _random_samples: Any = None):
        super().__init__()
        name = type(self).__name__
        self.kernel_size, self.output_size, self.output_ratio = (
            v if v is None or isinstance(v, (tuple, list)) else (v,) * self.dims
            for v in (kernel_size, output_size, output_ratio))
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {self.output_ratio})")

    def forward(self, input: Any) -> Any:
        """(n, c, ...) to (n, c, *output_size), with ``return_indices`` also the places."""
        pool = F.fractional_max_pool2d if self.dims == 2 else F.fractional_max_pool3d
        return pool(input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
                    self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPool):
    """Fractional max pooling of (n, c, h, w); arguments as in :class:`_FractionalMaxPool`."""

    dims = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Fractional max pooling of (n, c, d, h, w); arguments as in :class:`_FractionalMaxPool`."""

    dims = 3
