"""ShuffleNet V2 (Ma et al. 2018): half of the channels pass, half are convolved, and both are mixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import nn
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.weights import builder, enumerations


def channel_shuffle(x: Any, groups: int) -> Any:
    """The channels of (n, c, h, w) in another order: one of each group in turn."""
    return nn.functional.channel_shuffle(x, groups)


def _pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel_size=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class InvertedResidual(nn.Module):
    """At stride 1 a branch over half of the channels, else two over all of them.

    Raises:
        ValueError: ``stride`` is not 1 to 3, or at stride 1 ``oup`` is another width than ``inp`` or odd.
    """

    def __init__(self, inp: int, oup: int, stride: int):
        super().__init__()
        if not 1 <= stride <= 3:
            raise ValueError("illegal stride value")
        half = oup // 2
        if stride == 1 and inp != 2 * half:
            raise ValueError(f"Invalid combination of stride {stride}, inp {inp} and oup {oup} values. If stride == 1 then "
                             "inp should be equal to oup // 2 << 1.")
        self.stride = stride
        self.branch1 = nn.Sequential(*(() if stride == 1 else (
            self.depthwise_conv(inp, inp, 3, stride, 1), nn.BatchNorm2d(inp), *_pointwise(inp, half))))
        self.branch2 = nn.Sequential(
            *_pointwise(half if stride == 1 else inp, half), self.depthwise_conv(half, half, 3, stride, 1),
            nn.BatchNorm2d(half), *_pointwise(half, half))

    @staticmethod
    def depthwise_conv(i: int, o: int, kernel_size: int, stride: int = 1, padding: int = 0, bias: bool = False) -> nn.Conv2d:
        """A convolution of each channel."""
        return nn.Conv2d(i, o, kernel_size, stride, padding, bias=bias, groups=i)

    def forward(self, x: Any) -> Any:
        passed, worked = x.chunk(2, 1) if self.stride == 1 else (self.branch1(x), x)
        return channel_shuffle(FUNCTIONS["cat"]((passed, self.branch2(worked)), 1), 2)


class ShuffleNetV2(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        stages_repeats: how many blocks each of the three stages has.
        stages_out_channels: widths of the first convolution, the stages, the last convolution.
        inverted_residual: makes a block of input width, output width and stride.

    Raises:
        ValueError: not three stages, or not five widths.
    """

    def __init__(self, stages_repeats: list[int], stages_out_channels: list[int], num_classes: int = 1000,
                 inverted_residual: Callable = InvertedResidual):
        super().__init__()
        if len(stages_repeats) != 3:
            raise ValueError("expected stages_repeats as list of 3 positive ints")
        if len(stages_out_channels) != 5:
            raise ValueError("expected stages_out_channels as list of 5 positive ints")
        first, *widths, last = stages_out_channels
        self.conv1 = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(inverted_residual(inputs, outputs, 2),
                          *(inverted_residual(outputs, outputs, 1) for _ in range(1, repeats)))
            for inputs, outputs, repeats in zip([first, *widths], widths, stages_repeats, strict=False))
        self.conv5 = nn.Sequential(*_pointwise(widths[-1], last))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x: Any) -> Any:
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        return self.fc(self.conv5(x).mean([2, 3]))


def _builder(scale: str, widths: list[int]) -> Callable:
    return builder(lambda **kwargs: ShuffleNetV2([4, 8, 4], widths, **kwargs), f"shufflenet_v2_x{scale}",
                   f"ShuffleNet_V2_X{scale}_Weights")


shufflenet_v2_x0_5 = _builder("0_5", [24, 48, 96, 192, 1024])
shufflenet_v2_x1_0 = _builder("1_0", [24, 116, 232, 464, 1024])
shufflenet_v2_x1_5 = _builder("1_5", [24, 176, 352, 704, 1024])
shufflenet_v2_x2_0 = _builder("2_0", [24, 244, 488, 976, 2048])
globals().update(enumerations("ShuffleNet"))
