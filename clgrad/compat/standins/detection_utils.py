"""``torchvision.models.detection._utils``, and private names of the modules beside it."""

from __future__ import annotations

from typing import Any

from clgrad.vision.models.detection.backbone_utils import check_trainable_layers as _validate_trainable_layers
from clgrad.vision.models.detection.backbone_utils import mobilenet_extractor as _mobilenet_extractor
from clgrad.vision.models.detection.backbone_utils import resnet_fpn_extractor as _resnet_fpn_extractor
from clgrad.vision.models.detection.faster_rcnn import default_anchors as _default_anchorgen
from clgrad.vision.models.detection.matching import (
    BalancedPositiveNegativeSampler,
    BoxCoder,
    BoxLinearCoder,
    Matcher,
    SSDMatcher,
    encode_boxes,
    overwrite_eps,
    retrieve_out_channels,
)
from clgrad.vision.models.detection.matching import box_loss as _box_loss
from clgrad.vision.models.detection.ssd import vgg_extractor as _vgg_extractor

__all__ = ["BalancedPositiveNegativeSampler", "BoxCoder", "BoxLinearCoder", "Matcher", "SSDMatcher", "_box_loss",
           "_default_anchorgen", "_mobilenet_extractor", "_resnet_fpn_extractor", "_topk_min", "_validate_trainable_layers",
           "_vgg_extractor", "encode_boxes", "overwrite_eps", "retrieve_out_channels"]


def _topk_min(input: Any, orig_kval: int, axis: int) -> int:
    """How many of the largest along an axis there are, at most ``orig_kval``."""
    return min(orig_kval, input.shape[axis])
