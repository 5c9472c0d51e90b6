"""MobileNetV2 (Sandler et al. 2018): inverted residuals with depthwise convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any

from clgrad import nn
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.parts import initialise, make_divisible
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.misc import Conv2dNormActivation

_conv = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow; with a shortcut where the shape stays."""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Any = None):
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm = norm_layer or nn.BatchNorm2d
        hidden = int(round(inp * expand_ratio))
        self.stride, self.out_channels = stride, oup
        self._is_cn = stride > 1  # detection takes the blocks before which the size is halved
        self.use_res_connect = stride == 1 and inp == oup
        layers = [] if expand_ratio == 1 else [_conv(inp, hidden, 1, norm_layer=norm)]
        self.conv = nn.Sequential(*layers, _conv(hidden, hidden, 3, stride, groups=hidden, norm_layer=norm),
                                  nn.Conv2d(hidden, oup, 1, 1, 0, bias=False), norm(oup))

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        width_mult: factor of all widths.
        inverted_residual_setting: rows (expansion, channels, repeats, stride).
    """

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0, inverted_residual_setting: Any = None,
                 round_nearest: int = 8, block: Any = None, norm_layer: Any = None, dropout: float = 0.2):
        super().__init__()
        block, norm = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        rows = inverted_residual_setting or [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1],
                                             [6, 160, 3, 2], [6, 320, 1, 1]]
        if not rows or len(rows[0]) != 4:
            raise ValueError("inverted_residual_setting should be non-empty or a 4-element list, got "
                             f"{inverted_residual_setting}")
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        features = [_conv(3, channels, 3, 2, norm_layer=norm)]
        for expansion, width, repeats, stride in rows:
            outputs = make_divisible(width * width_mult, round_nearest)
            for number in range(repeats):
                features.append(block(channels, outputs, stride if number == 0 else 1, expand_ratio=expansion,
                                      norm_layer=norm))
                channels = outputs
        features.append(_conv(channels, self.last_channel, 1, norm_layer=norm))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        initialise(self, lambda layer: nn.init.normal_(layer.weight, 0, 0.01))

    def forward(self, x: Any) -> Any:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(FUNCTIONS["flatten"](x, 1))


mobilenet_v2 = builder(lambda **kwargs: MobileNetV2(**kwargs), "mobilenet_v2", "MobileNet_V2_Weights")
globals().update(enumerations("MobileNet_V2"))
