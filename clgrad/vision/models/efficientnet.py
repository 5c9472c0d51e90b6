"""EfficientNet (Tan and Le 2019) and EfficientNetV2 (Tan and Le 2021): inverted residuals, scaled in width and depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.parts import check_settings, initialise, make_divisible
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.drop import StochasticDepth
from clgrad.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation


@dataclass
class _MBConvConfig:
    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Callable

    @staticmethod
    def adjust_channels(channels: float, width_mult: float, min_value: int | None = None) -> int:
        """The multiple of 8 next to ``channels * width_mult``."""
        return make_divisible(channels * width_mult, 8, min_value)


class MBConvConfig(_MBConvConfig):
    """A stage of inverted residuals; channels are scaled by ``width_mult``, the number of blocks by ``depth_mult``."""

    def __init__(self, expand_ratio: float, kernel: int, stride: int, input_channels: int, out_channels: int,
                 num_layers: int, width_mult: float = 1.0, depth_mult: float = 1.0, block: Callable | None = None):
        super().__init__(expand_ratio, kernel, stride, self.adjust_channels(input_channels, width_mult),
                         self.adjust_channels(out_channels, width_mult), self.adjust_depth(num_layers, depth_mult),
                         block or MBConv)

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        """``num_layers * depth_mult``, rounded up."""
        return math.ceil(num_layers * depth_mult)


class FusedMBConvConfig(_MBConvConfig):
    """A stage of inverted residuals whose widening and depthwise convolutions are one."""

    def __init__(self, expand_ratio: float, kernel: int, stride: int, input_channels: int, out_channels: int,
                 num_layers: int, block: Callable | None = None):
        super().__init__(expand_ratio, kernel, stride, input_channels, out_channels, num_layers, block or FusedMBConv)


class _Residual(nn.Module):
    """``block`` of the input, with a shortcut where the shape stays; while training samples skip the block by chance."""

    def __init__(self, cnf: _MBConvConfig, stochastic_depth_prob: float, *layers: nn.Module):
        super().__init__()
        if cnf.stride not in (1, 2):
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Any) -> Any:
        return self.stochastic_depth(self.block(input)) + input if self.use_res_connect else self.block(input)


class MBConv(_Residual):
    """Widen, convolve each channel, weigh the channels, narrow."""

    def __init__(self, cnf: MBConvConfig, stochastic_depth_prob: float, norm_layer: Callable,
                 se_layer: Callable = SqueezeExcitation):
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        width = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        widening = [] if width == cnf.input_channels else [conv(cnf.input_channels, width, 1)]
        super().__init__(
            cnf, stochastic_depth_prob, *widening, conv(width, width, cnf.kernel, stride=cnf.stride, groups=width),
            se_layer(width, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)),
            conv(width, cnf.out_channels, 1, activation_layer=None))


class FusedMBConv(_Residual):
    """Widen with a convolution over neighbours, narrow; one convolution where nothing is widened."""

    def __init__(self, cnf: FusedMBConvConfig, stochastic_depth_prob: float, norm_layer: Callable):
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        width = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        if width == cnf.input_channels:
            layers = [conv(width, cnf.out_channels, cnf.kernel, stride=cnf.stride)]
        else:
            layers = [conv(cnf.input_channels, width, cnf.kernel, stride=cnf.stride),
                      conv(width, cnf.out_channels, 1, activation_layer=None)]
        super().__init__(cnf, stochastic_depth_prob, *layers)


class EfficientNet(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        inverted_residual_setting: the stages, from the first to the last.
        stochastic_depth_prob: the chance with which the last block is skipped; that of the others grows up to it.
        norm_layer: by default ``BatchNorm2d``.
        last_channel: width of the last convolution, by default four times that of the last stage.

    Raises:
        ValueError, TypeError: the stages are none, or not of their class.
    """

    def __init__(self, inverted_residual_setting: Sequence[MBConvConfig | FusedMBConvConfig], dropout: float,
                 stochastic_depth_prob: float = 0.2, num_classes: int = 1000, norm_layer: Callable | None = None,
                 last_channel: int | None = None):
        super().__init__()
        check_settings("inverted_residual_setting", inverted_residual_setting, _MBConvConfig)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer or nn.BatchNorm2d, activation_layer=nn.SiLU)
        layers: list[nn.Module] = [conv(3, inverted_residual_setting[0].input_channels, 3, stride=2)]
        blocks, number = sum(row.num_layers for row in inverted_residual_setting), 0
        for row in inverted_residual_setting:
            stage: list[nn.Module] = []
            for _ in range(row.num_layers):
                own = copy(row)
                if stage:
                    own.input_channels, own.stride = own.out_channels, 1
                stage.append(own.block(own, stochastic_depth_prob * number / blocks, norm_layer or nn.BatchNorm2d))
                number += 1
            layers.append(nn.Sequential(*stage))
        channels = inverted_residual_setting[-1].out_channels
        last = 4 * channels if last_channel is None else last_channel
        self.features = nn.Sequential(*layers, conv(channels, last, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(last, num_classes))
        initialise(self, lambda layer: nn.init.uniform_(layer.weight, -layer.out_features**-0.5, layer.out_features**-0.5))

    def forward(self, x: Any) -> Any:
        return self.classifier(FUNCTIONS["flatten"](self.avgpool(self.features(x)), 1))


# Expansion, kernel, stride, input, output, number of blocks; the first rows of the second version are of fused blocks.
_FIRST = [(1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
          (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1)]
_SECOND = {
    "s": [(1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4), (4, 3, 2, 64, 128, 6), (6, 3, 1, 128, 160, 9),
          (6, 3, 2, 160, 256, 15)],
    "m": [(1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5), (4, 3, 2, 80, 160, 7), (6, 3, 1, 160, 176, 14),
          (6, 3, 2, 176, 304, 18), (6, 3, 1, 304, 512, 5)],
    "l": [(1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7), (4, 3, 2, 96, 192, 10), (6, 3, 1, 192, 224, 19),
          (6, 3, 2, 224, 384, 25), (6, 3, 1, 384, 640, 7)]}


def _first(number: int, width: float, depth: float, dropout: float, norm: Callable | None = None) -> Callable:
    def make(**kwargs: Any) -> EfficientNet:
        rows = [MBConvConfig(*row, width_mult=width, depth_mult=depth) for row in _FIRST]
        return EfficientNet(rows, **{"dropout": dropout, "norm_layer": norm, **kwargs})
    return builder(make, f"efficientnet_b{number}", f"EfficientNet_B{number}_Weights")


def _second(size: str, dropout: float) -> Callable:
    def make(**kwargs: Any) -> EfficientNet:
        rows = [(FusedMBConvConfig if number < 3 else MBConvConfig)(*row) for number, row in enumerate(_SECOND[size])]
        return EfficientNet(rows, **{"dropout": dropout, "norm_layer": partial(nn.BatchNorm2d, eps=0.001),
                                     "last_channel": 1280, **kwargs})
    return builder(make, f"efficientnet_v2_{size}", f"EfficientNet_V2_{size.upper()}_Weights")


_narrow_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
efficientnet_b0, efficientnet_b1 = _first(0, 1.0, 1.0, 0.2), _first(1, 1.0, 1.1, 0.2)
efficientnet_b2, efficientnet_b3 = _first(2, 1.1, 1.2, 0.3), _first(3, 1.2, 1.4, 0.3)
efficientnet_b4, efficientnet_b5 = _first(4, 1.4, 1.8, 0.4), _first(5, 1.6, 2.2, 0.4, _narrow_norm)
efficientnet_b6, efficientnet_b7 = _first(6, 1.8, 2.6, 0.5, _narrow_norm), _first(7, 2.0, 3.1, 0.5, _narrow_norm)
efficientnet_v2_s, efficientnet_v2_m, efficientnet_v2_l = _second("s", 0.2), _second("m", 0.3), _second("l", 0.4)
globals().update(enumerations("EfficientNet"))
