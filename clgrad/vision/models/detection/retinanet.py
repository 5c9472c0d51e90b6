"""RetinaNet (Lin et al. 2017); "v2" is that of Zhang et al. 2019."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.creation import zeros_like
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.detection.anchor_utils import AnchorGenerator
from clgrad.vision.models.detection.backbone_utils import resnet_fpn_extractor
from clgrad.vision.models.detection.common import builder
from clgrad.vision.models.detection.faster_rcnn import check_backbone, check_kind, resnet_pyramid
from clgrad.vision.models.detection.matching import BoxCoder, Matcher, box_loss
from clgrad.vision.models.detection.one_stage import DenseDetector
from clgrad.vision.models.detection.rpn import initialise_narrowly, per_anchor
from clgrad.vision.models.resnet import resnet50
from clgrad.vision.models.weights import enumerations
from clgrad.vision.ops.feature_pyramid_network import LastLevelP6P7
from clgrad.vision.ops.losses import sigmoid_focal_loss
from clgrad.vision.ops.misc import Conv2dNormActivation, renamed

_cat, _where = FUNCTIONS["cat"], FUNCTIONS["where"]


def default_anchors() -> AnchorGenerator:
    """Three sizes and three proportions for each of five maps."""
    sizes = tuple(tuple(int(side * 2 ** (part / 3)) for part in range(3)) for side in (32, 64, 128, 256, 512))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5)


def biased_to(prior_probability: float) -> float:
    """The score of a probability: what a classifier begins with, so that the many negative examples do not count too much."""
    return -math.log((1 - prior_probability) / prior_probability)


class RetinaNetHead(nn.Module):
    """Scores and codes of all anchors.

    Args:
        in_channels: of the feature maps.
        num_anchors: for each pixel.
        norm_layer: a norm after each convolution.
    """

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, norm_layer: Callable | None = None):
        super().__init__()
        self.classification_head = RetinaNetClassificationHead(in_channels, num_anchors, num_classes, norm_layer=norm_layer)
        self.regression_head = RetinaNetRegressionHead(in_channels, num_anchors, norm_layer=norm_layer)

    def compute_loss(self, targets: Sequence[dict], head_outputs: dict[str, Any], anchors: Sequence[Any],
                     matched_idxs: Sequence[Any]) -> dict[str, Any]:
        """The losses of the scores and of the codes."""
        return {"classification": self.classification_head.compute_loss(targets, head_outputs, matched_idxs),
                "bbox_regression": self.regression_head.compute_loss(targets, head_outputs, anchors, matched_idxs)}

    def forward(self, x: list[Any]) -> dict[str, Any]:
        return {"cls_logits": self.classification_head(x), "bbox_regression": self.regression_head(x)}


class _Tower(nn.Module):
    """Four 3x3 convolutions."""

    _version = 2  # convolutions stand in blocks

    def __init__(self, in_channels: int, norm_layer: Callable | None):
        super().__init__()
        self.conv = nn.Sequential(*(Conv2dNormActivation(in_channels, in_channels, norm_layer=norm_layer) for _ in range(4)))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict, *args: Any) -> None:
        if (local_metadata.get("version") or 1) < 2:
            for number in range(len(self.conv)):
                renamed(state_dict, f"{prefix}conv.{2 * number}", f"{prefix}conv.{number}.0")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class RetinaNetClassificationHead(_Tower):
    """Scores (n, anchors, ``num_classes``) of all anchors; at first every class has the probability ``prior_probability``."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, prior_probability: float = 0.01,
                 norm_layer: Callable | None = None):
        super().__init__(in_channels, norm_layer)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        initialise_narrowly(self)
        nn.init.constant_(self.cls_logits.bias, biased_to(prior_probability))
        self.num_classes, self.num_anchors = num_classes, num_anchors

    def compute_loss(self, targets: Sequence[dict], head_outputs: dict[str, Any], matched_idxs: Sequence[Any]) -> Any:
        """The focal loss of all anchors that are not left out, over the number of those that belong to truths; the mean over
        pictures."""
        total: Any = 0
        for target, scores, matched in zip(targets, head_outputs["cls_logits"], matched_idxs, strict=True):
            positive = _where(matched >= 0)[0]
            truth = zeros_like(scores)
            truth[positive, target["labels"][matched[positive]]] = 1.0
            counted = (matched != Matcher.BETWEEN_THRESHOLDS)[:, None]
            total = total + (sigmoid_focal_loss(scores, truth) * counted).sum() / max(1, len(positive))
        return total / len(targets)

    def forward(self, x: list[Any]) -> Any:
        return _cat([per_anchor(self.cls_logits(self.conv(one)), self.num_classes) for one in x], 1)


class RetinaNetRegressionHead(_Tower):
    """Codes (n, anchors, 4) of all anchors' boxes."""

    def __init__(self, in_channels: int, num_anchors: int, norm_layer: Callable | None = None):
        super().__init__(in_channels, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        initialise_narrowly(self)
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self._loss_type = "l1"

    def compute_loss(self, targets: Sequence[dict], head_outputs: dict[str, Any], anchors: Sequence[Any],
                     matched_idxs: Sequence[Any]) -> Any:
        """The mean loss of the anchors that belong to truths; the mean over pictures."""
        total: Any = 0
        for target, codes, boxes, matched in zip(targets, head_outputs["bbox_regression"], anchors, matched_idxs,
                                                 strict=True):
            positive = _where(matched >= 0)[0]
            total = total + box_loss(self._loss_type, self.box_coder, boxes[positive], target["boxes"][matched[positive]],
                                     codes[positive]) / max(1, len(positive))
        return total / max(1, len(targets))

    def forward(self, x: list[Any]) -> Any:
        return _cat([per_anchor(self.bbox_reg(self.conv(one)), 4) for one in x], 1)


class RetinaNet(DenseDetector):
    """RetinaNet on a backbone; see :class:`GeneralizedRCNN` for how it is called.

    Args:
        backbone: gives a feature map or a dict of them, and has ``out_channels``.
        num_classes: no class is the background.
        min_size, max_size, image_mean, image_std: see :class:`GeneralizedRCNNTransform`, as of other arguments; mean and
            deviation are ImageNet's by default.
        anchor_generator: an :class:`AnchorGenerator`; by default nine anchors for each pixel of five maps.
        head: by default :class:`RetinaNetHead`.
        proposal_matcher: by default a :class:`Matcher` with ``fg_iou_thresh`` and ``bg_iou_thresh``.
        score_thresh, nms_thresh, detections_per_img, topk_candidates: see :class:`DenseDetector`.

    Raises:
        ValueError: the backbone has no ``out_channels``.
        TypeError: ``anchor_generator`` is something else.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, min_size: Any = 800, max_size: int = 1333,
                 image_mean: Sequence[float] | None = None, image_std: Sequence[float] | None = None,
                 anchor_generator: Any = None, head: Any = None, proposal_matcher: Any = None, score_thresh: float = 0.05,
                 nms_thresh: float = 0.5, detections_per_img: int = 300, fg_iou_thresh: float = 0.5,
                 bg_iou_thresh: float = 0.4, topk_candidates: int = 1000, **kwargs: Any):
        check_backbone(backbone)
        check_kind("anchor_generator", anchor_generator, AnchorGenerator)
        anchors = anchor_generator or default_anchors()
        super().__init__(backbone, anchors, min_size, max_size, image_mean, image_std, score_thresh=score_thresh,
                         nms_thresh=nms_thresh, detections_per_img=detections_per_img, topk_candidates=topk_candidates,
                         **kwargs)
        channels: Any = backbone.out_channels
        self.head = head or RetinaNetHead(channels, anchors.num_anchors_per_location()[0], num_classes)
        self.proposal_matcher = proposal_matcher or Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=True)
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))

    def compute_loss(self, targets: Sequence[dict], head_outputs: dict[str, Any], anchors: Sequence[Any]) -> dict[str, Any]:
        """The losses of the scores and of the codes."""
        return self.head.compute_loss(targets, head_outputs, anchors, self.matched(targets, anchors))

    def losses(self, targets: Any, head_outputs: dict[str, Any], anchors: list[Any], maps: list[Any]) -> dict[str, Any]:
        return self.compute_loss(targets, head_outputs, anchors)

    def probabilities(self, outputs: dict[str, Any]) -> Any:
        return outputs["cls_logits"].sigmoid()

    def decoded(self, codes: Any, anchors: Any) -> Any:
        return self.box_coder.decode_single(codes, anchors)


def _on_resnet(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> RetinaNet:
    return RetinaNet(resnet_pyramid(weights, trained, learning, returned_layers=[2, 3, 4],
                                    extra_blocks=LastLevelP6P7(256, 256)), num_classes, **kwargs)


def _on_resnet_v2(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> RetinaNet:
    backbone = resnet_fpn_extractor(resnet50(weights=weights), learning, [2, 3, 4], LastLevelP6P7(2048, 256))
    anchors = default_anchors()
    head = RetinaNetHead(backbone.out_channels, anchors.num_anchors_per_location()[0], num_classes,
                         norm_layer=partial(nn.GroupNorm, 32))
    head.regression_head._loss_type = "giou"
    return RetinaNet(backbone, num_classes, **{"anchor_generator": anchors, "head": head, **kwargs})


retinanet_resnet50_fpn = builder(_on_resnet, "retinanet_resnet50_fpn", "RetinaNet_ResNet50_FPN_Weights", "ResNet50_Weights",
                                 eps=0.0)
retinanet_resnet50_fpn_v2 = builder(_on_resnet_v2, "retinanet_resnet50_fpn_v2", "RetinaNet_ResNet50_FPN_V2_Weights",
                                    "ResNet50_Weights", default=None)
globals().update(enumerations("RetinaNet"))
