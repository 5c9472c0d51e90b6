"""SSDLite (Sandler et al. 2018): SSD with separable convolutions, on a MobileNetV3 (Howard et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.vision.models.detection.anchor_utils import DefaultBoxGenerator
from clgrad.vision.models.detection.backbone_utils import stages_of
from clgrad.vision.models.detection.common import builder
from clgrad.vision.models.detection.rpn import initialise_narrowly
from clgrad.vision.models.detection.ssd import SSD, SSDScoringHead, channels_for, of_one_size
from clgrad.vision.models.mobilenetv3 import mobilenet_v3_large
from clgrad.vision.models.weights import enumerations
from clgrad.vision.ops.misc import Conv2dNormActivation


def _looks(in_channels: Sequence[int], num_anchors: Sequence[int], columns: int, norm_layer: Callable) -> nn.ModuleList:
    """For each map a 3x3 convolution of single channels and a 1x1 convolution."""
    made = nn.ModuleList([nn.Sequential(
        Conv2dNormActivation(channels, channels, groups=channels, norm_layer=norm_layer, activation_layer=nn.ReLU6),
        nn.Conv2d(channels, columns * anchors, 1)) for channels, anchors in zip(in_channels, num_anchors, strict=True)])
    initialise_narrowly(made, 0.03)
    return made


class SSDLiteHead(nn.Module):
    """Scores and codes of all anchors, see :class:`SSDHead`; ``norm_layer`` makes norms."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int, norm_layer: Callable):
        super().__init__()
        self.classification_head = SSDLiteClassificationHead(in_channels, num_anchors, num_classes, norm_layer)
        self.regression_head = SSDLiteRegressionHead(in_channels, num_anchors, norm_layer)

    def forward(self, x: list[Any]) -> dict[str, Any]:
        return {"bbox_regression": self.regression_head(x), "cls_logits": self.classification_head(x)}


class SSDLiteClassificationHead(SSDScoringHead):
    """Scores (n, anchors, ``num_classes``)."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int, norm_layer: Callable):
        super().__init__(_looks(in_channels, num_anchors, num_classes, norm_layer), num_classes)


class SSDLiteRegressionHead(SSDScoringHead):
    """Codes (n, anchors, 4)."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], norm_layer: Callable):
        super().__init__(_looks(in_channels, num_anchors, 4, norm_layer), 4)


def _extra(in_channels: int, out_channels: int, norm_layer: Callable) -> nn.Sequential:
    """Half as many channels, a convolution of single channels that halves the size, all channels."""
    inside, block = out_channels // 2, partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
    return nn.Sequential(block(in_channels, inside, 1), block(inside, inside, 3, 2, groups=inside),
                         block(inside, out_channels, 1))


class SSDLiteFeatureExtractorMobileNet(nn.Module):
    """Maps "0" to "5" of the layers of a MobileNet and of four blocks more.

    Args:
        backbone: the layers.
        c4_pos: the number of the block within which the first map is.
        norm_layer: makes the norms of the added blocks.
        width_mult, min_depth: a factor of the added blocks' channels, and the least that there are.

    Raises:
        ValueError: the block has a shortcut.
    """

    def __init__(self, backbone: Any, c4_pos: int, norm_layer: Callable, width_mult: float = 1.0, min_depth: int = 16):
        super().__init__()
        if backbone[c4_pos].use_res_connect:
            raise ValueError("backbone[c4_pos].use_res_connect should be False")
        block = backbone[c4_pos].block
        self.features = nn.Sequential(nn.Sequential(*backbone[:c4_pos], block[0]),
                                      nn.Sequential(block[1:], *backbone[c4_pos + 1:]))
        widths = [backbone[-1].out_channels, *(max(min_depth, int(depth * width_mult)) for depth in (512, 256, 256, 128))]
        self.extra = nn.ModuleList([_extra(before, after, norm_layer)
                                    for before, after in zip(widths, widths[1:], strict=False)])
        initialise_narrowly(self.extra, 0.03)

    def forward(self, x: Any) -> dict[str, Any]:
        maps = []
        for block in (*self.features, *self.extra):
            x = block(x)
            maps.append(x)
        return {str(number): one for number, one in enumerate(maps)}


@of_one_size
def _on_mobilenet(weights: Any, trained: bool, num_classes: int, learning: int, norm_layer: Callable | None = None,
                  **kwargs: Any) -> SSD:
    norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    network = mobilenet_v3_large(weights=weights, norm_layer=norm, reduced_tail=weights is None)
    if weights is None:
        initialise_narrowly(network, 0.03)
    begins = stages_of(network.features, learning)
    backbone, size = SSDLiteFeatureExtractorMobileNet(network.features, begins[-2], norm), (320, 320)
    anchors = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    head = SSDLiteHead(channels_for(backbone, anchors, size), anchors.num_anchors_per_location(), num_classes, norm)
    usual = {"score_thresh": 0.001, "nms_thresh": 0.55, "detections_per_img": 300, "topk_candidates": 300,
             "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "head": head}
    return SSD(backbone, anchors, size, num_classes, **{**usual, **kwargs})


ssdlite320_mobilenet_v3_large = builder(
    _on_mobilenet, "ssdlite320_mobilenet_v3_large", "SSDLite320_MobileNet_V3_Large_Weights", "MobileNet_V3_Large_Weights",
    layers=(6, 6))
globals().update(enumerations("SSDLite"))
