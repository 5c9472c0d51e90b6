"""Fully convolutional networks (Long et al. 2014) on a dilated ResNet."""

from __future__ import annotations

from typing import Any

from clgrad import nn
from clgrad.vision.models.resnet import resnet50, resnet101
from clgrad.vision.models.segmentation.common import SimpleSegmentationModel, builder, resnet_backbone
from clgrad.vision.models.weights import enumerations


class FCN(SimpleSegmentationModel):
    """Scores by convolutions alone."""


class FCNHead(nn.Sequential):
    """A 3x3 convolution to a quarter of the channels, and scores."""

    def __init__(self, in_channels: int, channels: int):
        inside = in_channels // 4
        super().__init__(nn.Conv2d(in_channels, inside, 3, padding=1, bias=False), nn.BatchNorm2d(inside), nn.ReLU(),
                         nn.Dropout(0.1), nn.Conv2d(inside, channels, 1))


def _builder(depth: int, build: Any) -> Any:
    def make(weights: Any, num_classes: int, aux: bool | None) -> FCN:
        return FCN(resnet_backbone(build, weights, aux), FCNHead(2048, num_classes),
                   FCNHead(1024, num_classes) if aux else None)
    return builder(make, f"fcn_resnet{depth}", f"FCN_ResNet{depth}_Weights", f"ResNet{depth}_Weights")


fcn_resnet50, fcn_resnet101 = _builder(50, resnet50), _builder(101, resnet101)
globals().update(enumerations("FCN_"))
