"""Convolutions."""

from __future__ import annotations

import math
from typing import Any

from clgrad.creation import empty
from clgrad.nn import functional as F
from clgrad.nn import init
from clgrad.nn.modules.module import Module
from clgrad.nn.parameter import Parameter

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _tuple(value: Any, count: int) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count


class _ConvNd(Module):
    """What convolutions have in common: weights, their initial values, checks, text."""

    dims: int
    transposed = False

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                 output_padding: Any, groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any):
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {set(_PADDING_MODES)}, but got "
                             f"padding_mode='{padding_mode}'")
        self.in_channels, self.out_channels, self.groups, self.padding_mode = (
            in_channels, out_channels, groups, padding_mode)
        self.kernel_size, self.stride, self.dilation, self.output_padding = (
            _tuple(v, self.dims) for v in (kernel_size, stride, dilation, output_padding))
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
            self.padding: Any = padding
        else:
            self.padding = _tuple(padding, self.dims)
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty(*channels, *self.kernel_size, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values, uniform in +-1 / sqrt(inputs of an output)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and self.weight.numel():
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

    def _padded(self, input: Any) -> tuple[Any, Any]:
        """The input padded by ``padding_mode``, and the padding that is left for the convolution."""
        if self.padding_mode == "zeros" and not isinstance(self.padding, str):
            return input, self.padding
        sides = []
        for size, dilation, amount in zip(reversed(self.kernel_size), reversed(self.dilation),
                                          reversed(_tuple(self.padding, self.dims)), strict=True):
            total = dilation * (size - 1)
            sides += ([total // 2, total - total // 2] if amount == "same" else [0, 0] if amount == "valid"
                      else [amount, amount])
        if self.padding_mode == "zeros" and sides[::2] == sides[1::2]:
            return input, tuple(sides[::2][::-1])
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return F.pad(input, sides, mode), (0,) * self.dims

    def extra_repr(self) -> str:
        """Channels, and what differs from the defaults."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != (0,) * self.dims:
            parts.append(f"padding={self.padding if not isinstance(self.padding, str) else self.padding}")
        if self.dilation != (1,) * self.dims:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * self.dims:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class Conv1d(_ConvNd):
    """Cross-correlation over lines: (n, in_channels, l) to (n, out_channels, l_out). See :class:`Conv2d`."""

    dims = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 device: Any = None, dtype: Any = None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
                         padding_mode, device, dtype)

    def forward(self, input: Any) -> Any:
        """(n, in_channels, l) or (in_channels, l) to the same with out_channels."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        input, padding = self._padded(input)
        return F.conv1d(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_ConvNd):
    """Cross-correlation over planes: (n, in_channels, h, w) to (n, out_channels, h_out, w_out).

    Args:
        in_channels, out_channels: channels before and after.
        kernel_size, stride, padding, dilation: a number or one each for height and width. ``padding`` may be "same"
            or "valid". Defaults of the last three: 1, 0, 1.
        groups: into how many separate convolutions the channels are split. Default: 1.
        bias: whether there is one. Default: True.
        padding_mode: "zeros" (default), or "reflect", "replicate", "circular".

    Raises:
        ValueError: channels that ``groups`` does not divide, an unknown padding.
        RuntimeError: an input of other channels or dimensions.

    >>> import clgrad
    >>> clgrad.nn.Conv2d(3, 8, 3, padding=1)
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    dims = 2

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 device: Any = None, dtype: Any = None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
                         padding_mode, device, dtype)

    def forward(self, input: Any) -> Any:
        """(n, in_channels, h, w) or (in_channels, h, w) to the same with out_channels."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        input, padding = self._padded(input)
        return F.conv2d(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_ConvNd):
    """Cross-correlation over volumes: (n, in_channels, d, h, w) to the same with out_channels. See :class:`Conv2d`."""

    dims = 3

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 device: Any = None, dtype: Any = None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
                         padding_mode, device, dtype)

    def forward(self, input: Any) -> Any:
        """(n, in_channels, d, h, w) or (in_channels, d, h, w) to the same with out_channels."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        input, padding = self._padded(input)
        return F.conv3d(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class _ConvTransposeNd(_ConvNd):
    """The gradient of a convolution with respect to its input, as a layer that makes its input larger.

    Args:
        in_channels, out_channels: channels before and after.
        kernel_size, stride, padding, dilation: of the convolution whose gradient this is.
        output_padding: how much larger the result is than the smallest that fits, less than the stride or dilation.
        groups, bias: as in :class:`Conv2d`.
    """

    transposed = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1,
                 padding_mode: str = "zeros", device: Any = None, dtype: Any = None):
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups,
                         bias, padding_mode, device, dtype)

    def _check(self, input: Any) -> None:
        shape = input.shape
        batched = len(shape) == self.dims + 2
        if not batched and len(shape) != self.dims + 1:
            raise RuntimeError(f"Expected {self.dims + 1}D (unbatched) or {self.dims + 2}D (batched) input to "
                               f"conv_transpose{self.dims}d, but got input of size: {list(shape)}")
        if shape[1 if batched else 0] != self.in_channels:
            raise RuntimeError(f"Given transposed=1, weight of size {list(self.weight.shape)}, expected "
                               f"input{list(shape)} to have {self.in_channels} channels, but got "
                               f"{shape[1 if batched else 0]} channels instead. The layer is {self!r}")

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """(n, in_channels, ...) to (n, out_channels, ...); ``output_size`` chooses among the possible ones."""
        self._check(input)
        extra = self._output_padding(input, output_size, self.stride, self.padding, self.kernel_size, self.dims,
                                     self.dilation)
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dims - 1]
        return convolve(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _output_padding(self, input: Any, output_size: Any, stride: Any, padding: Any, kernel_size: Any,
                        num_spatial_dims: int, dilation: Any = None) -> Any:
        """The output padding that leads to an output size; the layer's own where none is asked for."""
        if output_size is None:
            return self.output_padding
        rank = num_spatial_dims
        wanted = tuple(output_size)[-rank:]
        if len(output_size) not in (rank, input.ndim):
            raise ValueError(f"ConvTranspose{rank}D: for {input.ndim}D input, output_size must have {rank} or "
                             f"{input.ndim} elements (got {len(output_size)})")
        smallest = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in zip(
            input.shape[-rank:], stride, padding, dilation or (1,) * rank, kernel_size, strict=True))
        largest = tuple(low + s - 1 for low, s in zip(smallest, stride, strict=True))
        if any(not low <= size <= high for low, size, high in zip(smallest, wanted, largest, strict=True)):
            raise ValueError(f"requested an output size of {wanted}, but valid sizes range from {list(smallest)} to "
                             f"{list(largest)} (for an input of {input.shape[2:]})")
        return tuple(size - low for size, low in zip(wanted, smallest, strict=True))


class ConvTranspose1d(_ConvTransposeNd):
    """The gradient of :class:`Conv1d` as a layer: makes lines longer. See :class:`ConvTranspose2d`."""

    dims = 1


class ConvTranspose2d(_ConvTransposeNd):
    """The gradient of :class:`Conv2d` with respect to its input, as a layer that makes planes larger."""

    dims = 2


class ConvTranspose3d(_ConvTransposeNd):
    """The gradient of :class:`Conv3d` as a layer: makes volumes larger. See :class:`ConvTranspose2d`."""

    dims = 3
