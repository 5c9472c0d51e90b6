"""RegNet (Radosavovic et al. 2020): stages whose widths follow a quantised line; the Y networks weigh their channels."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from itertools import groupby
from typing import Any

from clgrad import nn
from clgrad.vision.models.parts import initialise, make_divisible
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation


class SimpleStemIN(Conv2dNormActivation):
    """The first convolution: 3x3, to half the size."""

    def __init__(self, width_in: int, width_out: int, norm_layer: Callable, activation_layer: Callable):
        super().__init__(width_in, width_out, kernel_size=3, stride=2, norm_layer=norm_layer,
                         activation_layer=activation_layer)


class BottleneckTransform(nn.Sequential):
    """1x1, grouped 3x3, squeeze and excitation where ``se_ratio`` says so, 1x1."""

    def __init__(self, width_in: int, width_out: int, stride: int, norm_layer: Callable, activation_layer: Callable,
                 group_width: int, bottleneck_multiplier: float, se_ratio: float | None):
        width = int(round(width_out * bottleneck_multiplier))
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["a"] = Conv2dNormActivation(width_in, width, 1, norm_layer=norm_layer, activation_layer=activation_layer)
        layers["b"] = Conv2dNormActivation(width, width, 3, stride=stride, groups=width // group_width, norm_layer=norm_layer,
                                           activation_layer=activation_layer)
        if se_ratio:
            layers["se"] = SqueezeExcitation(width, int(round(se_ratio * width_in)), activation=activation_layer)
        layers["c"] = Conv2dNormActivation(width, width_out, 1, norm_layer=norm_layer, activation_layer=None)
        super().__init__(layers)


class ResBottleneckBlock(nn.Module):
    """:class:`BottleneckTransform` with a shortcut."""

    def __init__(self, width_in: int, width_out: int, stride: int, norm_layer: Callable, activation_layer: Callable,
                 group_width: int = 1, bottleneck_multiplier: float = 1.0, se_ratio: float | None = None):
        super().__init__()
        self.proj: Any = None
        if width_in != width_out or stride != 1:
            self.proj = Conv2dNormActivation(width_in, width_out, 1, stride=stride, norm_layer=norm_layer,
                                             activation_layer=None)
        self.f = BottleneckTransform(width_in, width_out, stride, norm_layer, activation_layer, group_width,
                                     bottleneck_multiplier, se_ratio)
        self.activation = activation_layer(inplace=True)

    def forward(self, x: Any) -> Any:
        return self.activation((x if self.proj is None else self.proj(x)) + self.f(x))


class AnyStage(nn.Sequential):
    """Blocks of one width, of which the first one strides."""

    def __init__(self, width_in: int, width_out: int, stride: int, depth: int, block_constructor: Callable,
                 norm_layer: Callable, activation_layer: Callable, group_width: int, bottleneck_multiplier: float,
                 se_ratio: float | None = None, stage_index: int = 0):
        super().__init__()
        for number in range(depth):
            inputs, step = (width_out, 1) if number else (width_in, stride)
            self.add_module(f"block{stage_index}-{number}", block_constructor(
                inputs, width_out, step, norm_layer, activation_layer, group_width, bottleneck_multiplier, se_ratio))


class BlockParams:
    """What the stages are made of: lists of one number for each."""

    def __init__(self, depths: list[int], widths: list[int], group_widths: list[int], bottleneck_multipliers: list[float],
                 strides: list[int], se_ratio: float | None = None):
        self.depths, self.widths, self.group_widths = depths, widths, group_widths
        self.bottleneck_multipliers, self.strides, self.se_ratio = bottleneck_multipliers, strides, se_ratio

    @classmethod
    def from_init_params(cls, depth: int, w_0: int, w_a: float, w_m: float, group_width: int,
                         bottleneck_multiplier: float = 1.0, se_ratio: float | None = None, **kwargs: Any) -> BlockParams:
        """The stages of ``depth`` blocks, whose widths lie on the line ``w_0 + w_a * number`` (section 3.3 of the paper).

        A width becomes the next power of ``w_m`` above ``w_0``, then a multiple of 8; blocks of one width are a stage.

        Raises:
            ValueError: ``w_a`` is negative, ``w_0`` no positive multiple of 8, or ``w_m`` not above 1.
        """
        if w_a < 0 or w_0 <= 0 or w_m <= 1 or w_0 % 8:
            raise ValueError("Invalid RegNet settings")
        powers = (round(math.log((w_0 + w_a * number) / w_0) / math.log(w_m)) for number in range(depth))
        stages = [(width, len(list(group))) for width, group in groupby(
            round(w_0 * w_m**power / 8) * 8 for power in powers)]
        widths, depths = [width for width, _ in stages], [count for _, count in stages]
        inner = [int(width * bottleneck_multiplier) for width in widths]
        groups = [min(group_width, width) for width in inner]
        widths = [int(make_divisible(width, group) / bottleneck_multiplier)
                  for width, group in zip(inner, groups, strict=True)]
        return cls(depths, widths, groups, [bottleneck_multiplier] * len(stages), [2] * len(stages), se_ratio)


class RegNet(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        block_params: the stages.
        stem_width: channels of the first convolution.
        stem_type, block_type: make the first convolution and a block; by default :class:`SimpleStemIN` and
            :class:`ResBottleneckBlock`.
        norm_layer, activation: by default ``BatchNorm2d`` and ``ReLU``.
    """

    def __init__(self, block_params: BlockParams, num_classes: int = 1000, stem_width: int = 32,
                 stem_type: Callable | None = None, block_type: Callable | None = None, norm_layer: Callable | None = None,
                 activation: Callable | None = None):
        super().__init__()
        norm, activation = norm_layer or nn.BatchNorm2d, activation or nn.ReLU
        self.stem = (stem_type or SimpleStemIN)(3, stem_width, norm, activation)
        p, width, stages = block_params, stem_width, OrderedDict()
        for number, (outputs, stride, depth, group_width, multiplier) in enumerate(
                zip(p.widths, p.strides, p.depths, p.group_widths, p.bottleneck_multipliers, strict=True), 1):
            stages[f"block{number}"] = AnyStage(width, outputs, stride, depth, block_type or ResBottleneckBlock, norm,
                                                activation, group_width, multiplier, p.se_ratio, stage_index=number)
            width = outputs
        self.trunk_output = nn.Sequential(stages)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width, num_classes)
        # The fan of a grouped convolution is here that of one without groups.
        initialise(self, lambda layer: nn.init.normal_(layer.weight, std=0.01), lambda layer: nn.init.normal_(
            layer.weight, std=math.sqrt(2 / (layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels))))

    def forward(self, x: Any) -> Any:
        return self.fc(self.avgpool(self.trunk_output(self.stem(x))).flatten(start_dim=1))


def _builder(name: str, depth: int, w_0: int, w_a: float, w_m: float, group_width: int) -> Callable:
    def make(**kwargs: Any) -> RegNet:
        weighed = {"se_ratio": 0.25} if name.startswith("y") else {}
        multiplier = kwargs.pop("bottleneck_multiplier", 1.0)
        return RegNet(BlockParams.from_init_params(depth, w_0, w_a, w_m, group_width, multiplier, **weighed), **kwargs)
    return builder(make, f"regnet_{name}", f"RegNet_{name.upper()}_Weights")


regnet_y_400mf = _builder("y_400mf", 16, 48, 27.89, 2.09, 8)
regnet_y_800mf = _builder("y_800mf", 14, 56, 38.84, 2.4, 16)
regnet_y_1_6gf = _builder("y_1_6gf", 27, 48, 20.71, 2.65, 24)
regnet_y_3_2gf = _builder("y_3_2gf", 21, 80, 42.63, 2.66, 24)
regnet_y_8gf = _builder("y_8gf", 17, 192, 76.82, 2.19, 56)
regnet_y_16gf = _builder("y_16gf", 18, 200, 106.23, 2.48, 112)
regnet_y_32gf = _builder("y_32gf", 20, 232, 115.89, 2.53, 232)
regnet_y_128gf = _builder("y_128gf", 27, 456, 160.83, 2.52, 264)
regnet_x_400mf = _builder("x_400mf", 22, 24, 24.48, 2.54, 16)
regnet_x_800mf = _builder("x_800mf", 16, 56, 35.73, 2.28, 16)
regnet_x_1_6gf = _builder("x_1_6gf", 18, 80, 34.01, 2.25, 24)
regnet_x_3_2gf = _builder("x_3_2gf", 25, 88, 26.31, 2.25, 48)
regnet_x_8gf = _builder("x_8gf", 23, 80, 49.56, 2.88, 120)
regnet_x_16gf = _builder("x_16gf", 22, 216, 55.59, 2.1, 128)
regnet_x_32gf = _builder("x_32gf", 23, 320, 69.86, 2.0, 168)
globals().update(enumerations("RegNet"))
