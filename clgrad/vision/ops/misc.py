"""Building blocks of networks for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clgrad import nn
from clgrad.creation import ones, zeros

interpolate = nn.functional.interpolate


def renamed(state_dict: Any, old: str, new: str) -> None:
    """Gives the weight and bias of a layer in a state dict the names that newer files have for them."""
    for name in ("weight", "bias"):
        if f"{old}.{name}" in state_dict:
            state_dict[f"{new}.{name}"] = state_dict.pop(f"{old}.{name}")


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics, weight and bias are buffers that stay as they are."""

    def __init__(self, num_features: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        for name, start in (("weight", ones), ("bias", zeros), ("running_mean", zeros), ("running_var", ones)):
            self.register_buffer(name, start(num_features))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Any) -> Any:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"


class _ConvNormActivation(nn.Sequential):
    """A convolution, a norm and an activation; padding keeps the size where the stride is 1."""

    _conv: Any
    _dims: int

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any = 3, stride: Any = 1, padding: Any = None,
                 groups: int = 1, norm_layer: Callable | None = None, activation_layer: Callable | None = nn.ReLU,
                 dilation: Any = 1, inplace: bool | None = True, bias: bool | None = None):
        if padding is None:
            if isinstance(kernel_size, int) and isinstance(dilation, int):
                padding = (kernel_size - 1) // 2 * dilation
            else:
                kernels = (kernel_size,) * self._dims if isinstance(kernel_size, int) else tuple(kernel_size)
                dilations = (dilation,) * self._dims if isinstance(dilation, int) else tuple(dilation)
                padding = tuple((k - 1) // 2 * d for k, d in zip(kernels, dilations, strict=True))
        layers = [self._conv(in_channels, out_channels, kernel_size, stride, padding, dilation=dilation, groups=groups,
                             bias=norm_layer is None if bias is None else bias)]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**({} if inplace is None else {"inplace": inplace})))
        super().__init__(*layers)
        self.out_channels = out_channels


class Conv2dNormActivation(_ConvNormActivation):
    """A 2-d convolution, a norm (``BatchNorm2d``) and an activation (``ReLU``); None leaves one out.

    Without ``padding`` the size stays where the stride is 1; without ``bias`` there is one where there is no norm.
    """

    _conv, _dims = nn.Conv2d, 2

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any = 3, stride: Any = 1, padding: Any = None,
                 groups: int = 1, norm_layer: Callable | None = nn.BatchNorm2d,
                 activation_layer: Callable | None = nn.ReLU, dilation: Any = 1, inplace: bool | None = True,
                 bias: bool | None = None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups, norm_layer, activation_layer,
                         dilation, inplace, bias)


class Conv3dNormActivation(_ConvNormActivation):
    """:class:`Conv2dNormActivation` in three dimensions."""

    _conv, _dims = nn.Conv3d, 3

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any = 3, stride: Any = 1, padding: Any = None,
                 groups: int = 1, norm_layer: Callable | None = nn.BatchNorm3d,
                 activation_layer: Callable | None = nn.ReLU, dilation: Any = 1, inplace: bool | None = True,
                 bias: bool | None = None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups, norm_layer, activation_layer,
                         dilation, inplace, bias)


class SqueezeExcitation(nn.Module):
    """Scales channels by what a small network makes of their means (Hu et al. 2018)."""

    def __init__(self, input_channels: int, squeeze_channels: int, activation: Callable = nn.ReLU,
                 scale_activation: Callable = nn.Sigmoid):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation, self.scale_activation = activation(), scale_activation()

    def forward(self, input: Any) -> Any:
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(input))))) * input


class MLP(nn.Sequential):
    """Linear layers with norms, activations and dropout between them; after the last one only dropout."""

    def __init__(self, in_channels: int, hidden_channels: Sequence[int], norm_layer: Callable | None = None,
                 activation_layer: Callable | None = nn.ReLU, inplace: bool | None = None, bias: bool = True,
                 dropout: float = 0.0):
        options = {} if inplace is None else {"inplace": inplace}
        layers: list[nn.Module] = []
        width = in_channels
        for hidden in hidden_channels[:-1]:
            layers.append(nn.Linear(width, hidden, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(hidden))
            if activation_layer is not None:
                layers.append(activation_layer(**options))
            layers.append(nn.Dropout(dropout, **options))
            width = hidden
        layers += [nn.Linear(width, hidden_channels[-1], bias=bias), nn.Dropout(dropout, **options)]
        super().__init__(*layers)


class Permute(nn.Module):
    """``permute`` as a module."""

    def __init__(self, dims: list[int]):
        super().__init__()
        self.dims = dims

    def forward(self, x: Any) -> Any:
        return x.permute(self.dims)
