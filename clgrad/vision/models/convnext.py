"""ConvNeXt (Liu et al. 2022): a convolutional network after the manner of a vision transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.creation import full
from clgrad.vision.models.parts import check_settings, initialise
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.drop import StochasticDepth
from clgrad.vision.ops.misc import Conv2dNormActivation, Permute


class LayerNorm2d(nn.LayerNorm):
    """``LayerNorm`` over the channels of (n, c, h, w)."""

    def forward(self, input: Any) -> Any:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """Convolve each channel over 7x7 pixels, then two linear layers for each pixel, scaled, with a shortcut."""

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float, norm_layer: Callable | None = None):
        super().__init__()
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim), Permute([0, 2, 3, 1]), norm_layer(dim),
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), Permute([0, 3, 1, 2]))
        self.layer_scale = nn.Parameter(full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Any) -> Any:
        return self.stochastic_depth(self.layer_scale * self.block(input)) + input


class CNBlockConfig:
    """A stage: its width, that of the next stage (None for the last one), its number of blocks."""

    def __init__(self, input_channels: int, out_channels: int | None, num_layers: int):
        self.input_channels, self.out_channels, self.num_layers = input_channels, out_channels, num_layers

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(input_channels={self.input_channels}, out_channels={self.out_channels}, "
                f"num_layers={self.num_layers})")


class ConvNeXt(nn.Module):
    """Images (n, 3, h, w), at least 32x32, to scores (n, ``num_classes``).

    Args:
        block_setting: the stages, from the first to the last.
        stochastic_depth_prob: the chance with which the last block is skipped; that of the others grows up to it.
        layer_scale: the factor of a block, at first.
        block: makes a block of width, ``layer_scale`` and chance; by default :class:`CNBlock`.
        norm_layer: by default :class:`LayerNorm2d` with ``eps`` 1e-6.

    Raises:
        ValueError, TypeError: the stages are none, or not of their class.
    """

    def __init__(self, block_setting: Sequence[CNBlockConfig], stochastic_depth_prob: float = 0.0, layer_scale: float = 1e-6,
                 num_classes: int = 1000, block: Callable | None = None, norm_layer: Callable | None = None, **kwargs: Any):
        super().__init__()
        check_settings("block_setting", block_setting, CNBlockConfig)
        block, norm = block or CNBlock, norm_layer or partial(LayerNorm2d, eps=1e-6)
        layers: list[nn.Module] = [Conv2dNormActivation(3, block_setting[0].input_channels, 4, stride=4, padding=0,
                                                        norm_layer=norm, activation_layer=None, bias=True)]
        last, number = sum(row.num_layers for row in block_setting) - 1.0, 0
        for row in block_setting:
            layers.append(nn.Sequential(*(block(row.input_channels, layer_scale, stochastic_depth_prob * place / last)
                                          for place in range(number, number + row.num_layers))))
            number += row.num_layers
            if row.out_channels is not None:
                layers.append(nn.Sequential(norm(row.input_channels),
                                            nn.Conv2d(row.input_channels, row.out_channels, kernel_size=2, stride=2)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        width = block_setting[-1].out_channels or block_setting[-1].input_channels
        self.classifier = nn.Sequential(norm(width), nn.Flatten(1), nn.Linear(width, num_classes))
        narrow = partial(nn.init.trunc_normal_, std=0.02)
        initialise(self, lambda layer: narrow(layer.weight), lambda layer: narrow(layer.weight))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)))


def _builder(size: str, width: int, deepest: int, stochastic_depth_prob: float) -> Callable:
    def make(**kwargs: Any) -> ConvNeXt:
        rows = [CNBlockConfig(width, 2 * width, 3), CNBlockConfig(2 * width, 4 * width, 3),
                CNBlockConfig(4 * width, 8 * width, deepest), CNBlockConfig(8 * width, None, 3)]
        return ConvNeXt(rows, **{"stochastic_depth_prob": stochastic_depth_prob, **kwargs})
    return builder(make, f"convnext_{size.lower()}", f"ConvNeXt_{size}_Weights")


convnext_tiny, convnext_small = _builder("Tiny", 96, 9, 0.1), _builder("Small", 96, 27, 0.4)
convnext_base, convnext_large = _builder("Base", 128, 27, 0.5), _builder("Large", 192, 27, 0.5)
globals().update(enumerations("ConvNeXt"))
