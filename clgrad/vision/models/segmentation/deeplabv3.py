"""DeepLabV3 (Chen et al. 2017): convolutions of several dilations side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad import nn
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.resnet import resnet50, resnet101
from clgrad.vision.models.segmentation.common import SimpleSegmentationModel, builder, mobilenet_backbone, resnet_backbone
from clgrad.vision.models.segmentation.fcn import FCNHead
from clgrad.vision.models.weights import enumerations


def _with_norm(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


class ASPPConv(nn.Sequential):
    """A dilated 3x3 convolution with norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int):
        super().__init__(*_with_norm(nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation,
                                               bias=False)))


class ASPPPooling(nn.Sequential):
    """The image's mean, convolved and spread over the image again."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(nn.AdaptiveAvgPool2d(1), *_with_norm(nn.Conv2d(in_channels, out_channels, 1, bias=False)))

    def forward(self, input: Any) -> Any:
        return nn.functional.interpolate(super().forward(input), size=input.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """A 1x1 convolution, one for each dilation, and the image's mean, side by side, then projected."""

    def __init__(self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256):
        super().__init__()
        self.convs = nn.ModuleList([
            nn.Sequential(*_with_norm(nn.Conv2d(in_channels, out_channels, 1, bias=False))),
            *(ASPPConv(in_channels, out_channels, rate) for rate in atrous_rates), ASPPPooling(in_channels, out_channels)])
        self.project = nn.Sequential(*_with_norm(nn.Conv2d(len(self.convs) * out_channels, out_channels, 1, bias=False)),
                                     nn.Dropout(0.5))

    def forward(self, x: Any) -> Any:
        return self.project(FUNCTIONS["cat"]([convolve(x) for convolve in self.convs], 1))


class DeepLabHead(nn.Sequential):
    """:class:`ASPP`, a 3x3 convolution, and scores."""

    def __init__(self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = (12, 24, 36)):
        super().__init__(ASPP(in_channels, atrous_rates), *_with_norm(nn.Conv2d(256, 256, 3, padding=1, bias=False)),
                         nn.Conv2d(256, num_classes, 1))


class DeepLabV3(SimpleSegmentationModel):
    """Scores by :class:`DeepLabHead`."""


def _on_resnet(depth: int, build: Any) -> Any:
    def make(weights: Any, num_classes: int, aux: bool | None) -> DeepLabV3:
        return DeepLabV3(resnet_backbone(build, weights, aux), DeepLabHead(2048, num_classes),
                         FCNHead(1024, num_classes) if aux else None)
    return builder(make, f"deeplabv3_resnet{depth}", f"DeepLabV3_ResNet{depth}_Weights", f"ResNet{depth}_Weights")


def _on_mobilenet(weights: Any, num_classes: int, aux: bool | None) -> DeepLabV3:
    backbone, low, high = mobilenet_backbone(weights, "aux" if aux else None, "out")
    return DeepLabV3(backbone, DeepLabHead(high, num_classes), FCNHead(low, num_classes) if aux else None)


deeplabv3_resnet50, deeplabv3_resnet101 = _on_resnet(50, resnet50), _on_resnet(101, resnet101)
deeplabv3_mobilenet_v3_large = builder(_on_mobilenet, "deeplabv3_mobilenet_v3_large", "DeepLabV3_MobileNet_V3_Large_Weights",
                                       "MobileNet_V3_Large_Weights")
globals().update(enumerations("DeepLabV3"))
