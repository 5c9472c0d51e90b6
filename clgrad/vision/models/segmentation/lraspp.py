"""Lite R-ASPP (Howard et al. 2019): segmentation on a MobileNetV3 for phones."""

from __future__ import annotations

from typing import Any

from clgrad import nn
from clgrad.nn.functional import interpolate
from clgrad.vision.models.segmentation.common import builder, mobilenet_backbone
from clgrad.vision.models.weights import enumerations


class LRASPPHead(nn.Module):
    """Scores (n, ``num_classes``, h, w) of features ``low``, of the result's size, and ``high``, of a smaller one."""

    def __init__(self, low_channels: int, high_channels: int, num_classes: int, inter_channels: int):
        super().__init__()
        self.cbr = nn.Sequential(nn.Conv2d(high_channels, inter_channels, 1, bias=False), nn.BatchNorm2d(inter_channels),
                                 nn.ReLU(inplace=True))
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(high_channels, inter_channels, 1, bias=False),
                                   nn.Sigmoid())
        self.low_classifier = nn.Conv2d(low_channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, num_classes, 1)

    def forward(self, input: dict[str, Any]) -> Any:
        low, high = input["low"], input["high"]
        weighed = interpolate(self.cbr(high) * self.scale(high), size=low.shape[-2:], mode="bilinear", align_corners=False)
        return self.low_classifier(low) + self.high_classifier(weighed)


class LRASPP(nn.Module):
    """Images (n, 3, h, w) to a dict with ``out``, scores (n, ``num_classes``, h, w).

    Args:
        backbone: gives a dict of features: ``low`` of ``low_channels`` and ``high`` of ``high_channels``.
        inter_channels: width of the head.
    """

    def __init__(self, backbone: nn.Module, low_channels: int, high_channels: int, num_classes: int,
                 inter_channels: int = 128):
        super().__init__()
        self.backbone = backbone
        self.classifier = LRASPPHead(low_channels, high_channels, num_classes, inter_channels)

    def forward(self, input: Any) -> dict[str, Any]:
        scores = self.classifier(self.backbone(input))
        return {"out": interpolate(scores, size=input.shape[-2:], mode="bilinear", align_corners=False)}


def _on_mobilenet(weights: Any, num_classes: int, aux: bool | None) -> LRASPP:
    return LRASPP(*mobilenet_backbone(weights, "low", "high"), num_classes)


lraspp_mobilenet_v3_large = builder(_on_mobilenet, "lraspp_mobilenet_v3_large", "LRASPP_MobileNet_V3_Large_Weights",
                                    "MobileNet_V3_Large_Weights", takes_aux=False)
globals().update(enumerations("LRASPP"))
