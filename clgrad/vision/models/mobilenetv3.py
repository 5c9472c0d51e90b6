"""MobileNetV3 (Howard et al. 2019): inverted residuals with squeeze and excitation, found by a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.parts import check_settings, initialise, make_divisible
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation


class InvertedResidualConfig:
    """A block: a row of the paper's tables 1 and 2.

    Args:
        kernel: side of the depthwise convolution's kernels.
        expanded_channels: the width inside.
        use_se: with squeeze and excitation.
        activation: "RE" (ReLU) or "HS" (hard swish).
        width_mult: factor of all numbers of channels.
    """

    def __init__(self, input_channels: int, kernel: int, expanded_channels: int, out_channels: int, use_se: bool,
                 activation: str, stride: int, dilation: int, width_mult: float):
        self.input_channels = self.adjust_channels(input_channels, width_mult)
        self.kernel = kernel
        self.expanded_channels = self.adjust_channels(expanded_channels, width_mult)
        self.out_channels = self.adjust_channels(out_channels, width_mult)
        self.use_se, self.use_hs = use_se, activation == "HS"
        self.stride, self.dilation = stride, dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """The multiple of 8 next to ``channels * width_mult``."""
        return make_divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, weigh the channels, narrow; with a shortcut where the shape stays."""

    def __init__(self, cnf: InvertedResidualConfig, norm_layer: Callable,
                 se_layer: Callable = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)):  # noqa: B008
        super().__init__()
        if cnf.stride not in (1, 2):
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        activation = nn.Hardswish if cnf.use_hs else nn.ReLU
        width = cnf.expanded_channels
        layers: list[nn.Module] = []
        if width != cnf.input_channels:
            layers.append(Conv2dNormActivation(cnf.input_channels, width, 1, norm_layer=norm_layer,
                                               activation_layer=activation))
        layers.append(Conv2dNormActivation(width, width, cnf.kernel, stride=1 if cnf.dilation > 1 else cnf.stride,
                                           dilation=cnf.dilation, groups=width, norm_layer=norm_layer,
                                           activation_layer=activation))
        if cnf.use_se:
            layers.append(se_layer(width, make_divisible(width // 4, 8)))
        layers.append(Conv2dNormActivation(width, cnf.out_channels, 1, norm_layer=norm_layer, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = cnf.out_channels
        self._is_cn = cnf.stride > 1  # segmentation takes the blocks before which the size is halved

    def forward(self, input: Any) -> Any:
        return self.block(input) + input if self.use_res_connect else self.block(input)


class MobileNetV3(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        inverted_residual_setting: the blocks, from the first to the last.
        last_channel: width of the layer before the last one.
        block: makes a block of a row and ``norm_layer``; by default :class:`InvertedResidual`.
        norm_layer: by default ``BatchNorm2d`` with ``eps`` 0.001 and ``momentum`` 0.01.

    Raises:
        ValueError, TypeError: the rows are none, or not of their class.
    """

    def __init__(self, inverted_residual_setting: Sequence[InvertedResidualConfig], last_channel: int,
                 num_classes: int = 1000, block: Callable | None = None, norm_layer: Callable | None = None,
                 dropout: float = 0.2, **kwargs: Any):
        super().__init__()
        check_settings("inverted_residual_setting", inverted_residual_setting, InvertedResidualConfig)
        block, norm = block or InvertedResidual, norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        outer = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.Hardswish)
        last = inverted_residual_setting[-1].out_channels
        self.features = nn.Sequential(outer(3, inverted_residual_setting[0].input_channels, 3, stride=2),
                                      *(block(row, norm) for row in inverted_residual_setting), outer(last, 6 * last, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(6 * last, last_channel), nn.Hardswish(inplace=True),
                                        nn.Dropout(p=dropout, inplace=True), nn.Linear(last_channel, num_classes))
        initialise(self, lambda layer: nn.init.normal_(layer.weight, 0, 0.01))

    def forward(self, x: Any) -> Any:
        return self.classifier(FUNCTIONS["flatten"](self.avgpool(self.features(x)), 1))


# Input, kernel, expansion, output, squeeze and excitation, activation, stride. The last three rows, which may
# be narrower and dilated, are apart.
_LARGE = [(16, 3, 16, 16, False, "RE", 1), (16, 3, 64, 24, False, "RE", 2), (24, 3, 72, 24, False, "RE", 1),
          (24, 5, 72, 40, True, "RE", 2), (40, 5, 120, 40, True, "RE", 1), (40, 5, 120, 40, True, "RE", 1),
          (40, 3, 240, 80, False, "HS", 2), (80, 3, 200, 80, False, "HS", 1), (80, 3, 184, 80, False, "HS", 1),
          (80, 3, 184, 80, False, "HS", 1), (80, 3, 480, 112, True, "HS", 1), (112, 3, 672, 112, True, "HS", 1)]
_SMALL = [(16, 3, 16, 16, True, "RE", 2), (16, 3, 72, 24, False, "RE", 2), (24, 3, 88, 24, False, "RE", 1),
          (24, 5, 96, 40, True, "HS", 2), (40, 5, 240, 40, True, "HS", 1), (40, 5, 240, 40, True, "HS", 1),
          (40, 5, 120, 48, True, "HS", 1), (48, 5, 144, 48, True, "HS", 1)]


def _network(rows: list, before: tuple[int, int], tail: int, last: int, width_mult: float = 1.0,
             reduced_tail: bool = False, dilated: bool = False, **kwargs: Any) -> MobileNetV3:
    """A network of ``rows`` and three blocks, ``tail`` wide, the first of which has ``before`` as input and expansion."""
    part, dilation = 2 if reduced_tail else 1, 2 if dilated else 1
    tail, inside = tail // part, 6 * tail // part

    def block(row: tuple, dilation: int) -> InvertedResidualConfig:
        return InvertedResidualConfig(*row, dilation, width_mult)  # type: ignore[call-arg]
    settings = [block(row, 1) for row in rows]
    for inputs, expanded, stride in ((*before, 2), (tail, inside, 1), (tail, inside, 1)):
        settings.append(block((inputs, 5, expanded, tail, True, "HS", stride), dilation))
    return MobileNetV3(settings, InvertedResidualConfig.adjust_channels(last // part, width_mult), **kwargs)


mobilenet_v3_large = builder(lambda **kwargs: _network(_LARGE, (112, 672), 160, 1280, **kwargs), "mobilenet_v3_large",
                             "MobileNet_V3_Large_Weights")
mobilenet_v3_small = builder(lambda **kwargs: _network(_SMALL, (48, 288), 96, 1024, **kwargs), "mobilenet_v3_small",
                             "MobileNet_V3_Small_Weights")
globals().update(enumerations("MobileNet_V3"))
