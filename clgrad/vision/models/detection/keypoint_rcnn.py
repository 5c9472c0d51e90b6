"""Keypoint R-CNN (He et al. 2017): Faster R-CNN that finds points of each box as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad import nn
from clgrad.nn.functional import interpolate
from clgrad.vision.models.detection.common import builder
from clgrad.vision.models.detection.faster_rcnn import (
    FasterRCNN,
    check_backbone,
    check_kind,
    initialise_heads,
    regions,
    resnet_pyramid,
)
from clgrad.vision.models.weights import enumerations
from clgrad.vision.ops.poolers import MultiScaleRoIAlign


class KeypointRCNN(FasterRCNN):
    """Keypoint R-CNN on a backbone: detections have ``keypoints`` (n, k, 3) of x, y and 1 and ``keypoints_scores`` (n, k),
    targets ``keypoints`` (n, k, 3) of x, y and visibility.

    Args:
        backbone, num_classes, min_size: as those of :class:`FasterRCNN`, as are all other arguments; the shorter side is by
            default one of 640, 672, ... 800.
        keypoint_roi_pool: a :class:`MultiScaleRoIAlign`. Default: regions of 14 x 14 pixels.
        keypoint_head, keypoint_predictor: by default :class:`KeypointRCNNHeads` and :class:`KeypointRCNNPredictor`.
        num_keypoints: default: 17.

    Raises:
        ValueError: both of ``num_keypoints`` and ``keypoint_predictor`` are given.
        TypeError: an argument of another class.
    """

    def __init__(self, backbone: nn.Module, num_classes: int | None = None, min_size: Any = None, *args: Any,
                 keypoint_roi_pool: Any = None, keypoint_head: Any = None, keypoint_predictor: Any = None,
                 num_keypoints: int | None = None, **kwargs: Any):
        check_kind("keypoint_roi_pool", keypoint_roi_pool, MultiScaleRoIAlign)
        if num_keypoints is not None and keypoint_predictor is not None:
            raise ValueError("num_keypoints should be None when keypoint_predictor is specified")
        check_backbone(backbone)
        if keypoint_head is None:
            keypoint_head = KeypointRCNNHeads(backbone.out_channels, (512,) * 8)  # type: ignore[arg-type]
        keypoint_predictor = keypoint_predictor or KeypointRCNNPredictor(512, num_keypoints or 17)
        super().__init__(backbone, num_classes, min_size or (640, 672, 704, 736, 768, 800), *args, **kwargs)
        self.roi_heads.keypoint_roi_pool = keypoint_roi_pool or regions(14)
        self.roi_heads.keypoint_head, self.roi_heads.keypoint_predictor = keypoint_head, keypoint_predictor


class KeypointRCNNHeads(nn.Sequential):
    """3x3 convolutions with ReLU over a region, of the widths ``layers``."""

    def __init__(self, in_channels: int, layers: Sequence[int]):
        made: list[nn.Module] = []
        for width in layers:
            made += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = width
        super().__init__(*made)
        initialise_heads(self)


class KeypointRCNNPredictor(nn.Module):
    """Heat maps (n, ``num_keypoints``, 4h, 4w) of regions (n, ``in_channels``, h, w)."""

    def __init__(self, in_channels: int, num_keypoints: int):
        super().__init__()
        self.kps_score_lowres = nn.ConvTranspose2d(in_channels, num_keypoints, 4, stride=2, padding=1)
        nn.init.kaiming_normal_(self.kps_score_lowres.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.kps_score_lowres.bias)
        self.up_scale, self.out_channels = 2, num_keypoints

    def forward(self, x: Any) -> Any:
        return interpolate(self.kps_score_lowres(x), scale_factor=float(self.up_scale), mode="bilinear", align_corners=False,
                           recompute_scale_factor=False)


def _on_resnet(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> KeypointRCNN:
    return KeypointRCNN(resnet_pyramid(weights, trained, learning), num_classes, **kwargs)


keypointrcnn_resnet50_fpn = builder(_on_resnet, "keypointrcnn_resnet50_fpn", "KeypointRCNN_ResNet50_FPN_Weights",
                                    "ResNet50_Weights", eps=0.0)
globals().update(enumerations("KeypointRCNN"))
