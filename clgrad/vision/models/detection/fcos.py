"""FCOS (Tian et al. 2019): a detector whose anchors are points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.creation import zeros_like
from clgrad.nn.functional import binary_cross_entropy_with_logits, relu
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.detection.anchor_utils import AnchorGenerator
from clgrad.vision.models.detection.common import builder
from clgrad.vision.models.detection.faster_rcnn import check_backbone, check_kind, resnet_pyramid
from clgrad.vision.models.detection.matching import BoxLinearCoder, unmatched
from clgrad.vision.models.detection.one_stage import DenseDetector
from clgrad.vision.models.detection.retinanet import biased_to
from clgrad.vision.models.detection.rpn import initialise_narrowly, per_anchor
from clgrad.vision.models.weights import enumerations
from clgrad.vision.ops.boxes import box_area
from clgrad.vision.ops.feature_pyramid_network import LastLevelP6P7
from clgrad.vision.ops.losses import generalized_box_iou_loss, sigmoid_focal_loss

_cat, _stack, _where = FUNCTIONS["cat"], FUNCTIONS["stack"], FUNCTIONS["where"]


class FCOSHead(nn.Module):
    """Scores, codes and centredness of all points, after ``num_convs`` convolutions each."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, num_convs: int = 4):
        super().__init__()
        self.box_coder = BoxLinearCoder(normalize_by_size=True)
        self.classification_head = FCOSClassificationHead(in_channels, num_anchors, num_classes, num_convs)
        self.regression_head = FCOSRegressionHead(in_channels, num_anchors, num_convs)

    def compute_loss(self, targets: Sequence[dict], head_outputs: dict[str, Any], anchors: Sequence[Any],
                     matched_idxs: Sequence[Any]) -> dict[str, Any]:
        """The focal loss of the scores, the overlaps of the boxes and the cross entropy of the centredness, over the number
        of points that belong to truths."""
        scores, codes, centred = (head_outputs[name] for name in ("cls_logits", "bbox_regression", "bbox_ctrness"))
        picture, point = _where(_stack(list(matched_idxs)) >= 0)
        count = max(1, len(picture))
        classes, truths = [], []
        for target, matched in zip(targets, matched_idxs, strict=True):
            own = matched[_where(matched >= 0)[0]]
            classes.append(target["labels"][own])
            truths.append(target["boxes"][own])
        wanted = zeros_like(scores)
        wanted[picture, point, _cat(classes)] = 1.0
        boxes, own_anchors = _cat(truths), _stack(list(anchors))[picture, point]
        found = self.box_coder.decode(codes[picture, point], own_anchors)
        sides = self.box_coder.encode(own_anchors, boxes).reshape(-1, 2, 2)  # (left, top), (right, bottom)
        middle = (sides.amin(1) / sides.amax(1)).prod(1).sqrt()
        return {"classification": sigmoid_focal_loss(scores, wanted, reduction="sum") / count,
                "bbox_regression": generalized_box_iou_loss(found, boxes, reduction="sum") / count,
                "bbox_ctrness": binary_cross_entropy_with_logits(centred[picture, point, 0], middle, reduction="sum") / count}

    def forward(self, x: list[Any]) -> dict[str, Any]:
        codes, centred = self.regression_head(x)
        return {"cls_logits": self.classification_head(x), "bbox_regression": codes, "bbox_ctrness": centred}


def _tower(channels: int, count: int, norm_layer: Callable | None) -> nn.Sequential:
    """3x3 convolutions with norms (of 32 groups by default) and ReLU."""
    norm = norm_layer or partial(nn.GroupNorm, 32)
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), norm(channels), nn.ReLU()]
    return nn.Sequential(*layers)


class FCOSClassificationHead(nn.Module):
    """Scores (n, points, ``num_classes``); at first every class has the probability ``prior_probability``."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, num_convs: int = 4,
                 prior_probability: float = 0.01, norm_layer: Callable | None = None):
        super().__init__()
        self.num_classes, self.num_anchors = num_classes, num_anchors
        self.conv = _tower(in_channels, num_convs, norm_layer)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        initialise_narrowly(self)
        nn.init.constant_(self.cls_logits.bias, biased_to(prior_probability))

    def forward(self, x: list[Any]) -> Any:
        return _cat([per_anchor(self.cls_logits(self.conv(one)), self.num_classes) for one in x], 1)


class FCOSRegressionHead(nn.Module):
    """Codes (n, points, 4) and scores (n, points, 1) of how much in the middle a point is."""

    def __init__(self, in_channels: int, num_anchors: int, num_convs: int = 4, norm_layer: Callable | None = None):
        super().__init__()
        self.conv = _tower(in_channels, num_convs, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        self.bbox_ctrness = nn.Conv2d(in_channels, num_anchors, 3, padding=1)
        initialise_narrowly(self)

    def forward(self, x: list[Any]) -> tuple[Any, Any]:
        seen = [self.conv(one) for one in x]
        return (_cat([per_anchor(relu(self.bbox_reg(one)), 4) for one in seen], 1),
                _cat([per_anchor(self.bbox_ctrness(one), 1) for one in seen], 1))


class FCOS(DenseDetector):
    """FCOS on a backbone; see :class:`GeneralizedRCNN` for how it is called.

    Args:
        backbone: gives a feature map or a dict of them, and has ``out_channels``.
        num_classes: no class is the background.
        min_size, max_size, image_mean, image_std: see :class:`GeneralizedRCNNTransform`, as of other arguments; mean and
            deviation are ImageNet's by default.
        anchor_generator: an :class:`AnchorGenerator` of one square for each pixel, whose side is the pixels' distance.
        head: by default :class:`FCOSHead`.
        center_sampling_radius: points belong to a truth up to this distance of its centre, in units of the pixels' distance.
        score_thresh, nms_thresh, detections_per_img, topk_candidates: see :class:`DenseDetector`.

    Raises:
        ValueError: the backbone has no ``out_channels``; there are several anchors for a pixel.
        TypeError: ``anchor_generator`` is something else.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, min_size: Any = 800, max_size: int = 1333,
                 image_mean: Sequence[float] | None = None, image_std: Sequence[float] | None = None,
                 anchor_generator: Any = None, head: Any = None, center_sampling_radius: float = 1.5,
                 score_thresh: float = 0.2, nms_thresh: float = 0.6, detections_per_img: int = 100,
                 topk_candidates: int = 1000, **kwargs: Any):
        check_backbone(backbone)
        check_kind("anchor_generator", anchor_generator, AnchorGenerator)
        anchors = anchor_generator or AnchorGenerator(((8,), (16,), (32,), (64,), (128,)), ((1.0,),) * 5)
        count = anchors.num_anchors_per_location()[0]
        if count != 1:
            raise ValueError(f"anchor_generator.num_anchors_per_location()[0] should be 1 instead of {count}")
        super().__init__(backbone, anchors, min_size, max_size, image_mean, image_std, score_thresh=score_thresh,
                         nms_thresh=nms_thresh, detections_per_img=detections_per_img, topk_candidates=topk_candidates,
                         **kwargs)
        channels: Any = backbone.out_channels
        self.head = head or FCOSHead(channels, count, num_classes)
        self.box_coder = BoxLinearCoder(normalize_by_size=True)
        self.center_sampling_radius = center_sampling_radius

    def _truths_of_points(self, boxes: Any, anchors: Any, num_anchors_per_level: Sequence[int]) -> Any:
        """The numbers of the points' truths, -1 for none: of those that have the point near their centre and are of the map's
        size, the smallest."""
        points, side = (anchors[:, None, :2] + anchors[:, None, 2:]) / 2, (anchors[:, 2] - anchors[:, 0])[:, None]
        near = (points - (boxes[:, :2] + boxes[:, 2:]) / 2).abs().amax(2) < self.center_sampling_radius * side
        edges = _cat([points - boxes[:, :2], boxes[:, 2:] - points], 2)
        least, most = side * 4, side * 8
        least[:num_anchors_per_level[0]] = 0
        most[-num_anchors_per_level[-1]:] = math.inf
        reach = edges.amax(2)
        fits = near & (edges.amin(2) > 0) & (reach > least) & (reach < most)
        value, truth = (fits.float() * (1e8 - box_area(boxes))).max(1)
        return _where(value < 1e-5, -1, truth)

    def compute_loss(self, targets: Sequence[dict], head_outputs: dict[str, Any], anchors: Sequence[Any],
                     num_anchors_per_level: Sequence[int]) -> dict[str, Any]:
        """The losses of the scores, the codes and the centredness."""
        matched = [self._truths_of_points(target["boxes"], one, num_anchors_per_level) if target["boxes"].numel()
                   else unmatched(one) for target, one in zip(targets, anchors, strict=True)]
        return self.head.compute_loss(targets, head_outputs, anchors, matched)

    def losses(self, targets: Any, head_outputs: dict[str, Any], anchors: list[Any], maps: list[Any]) -> dict[str, Any]:
        return self.compute_loss(targets, head_outputs, anchors, self.per_level(maps, len(anchors[0])))

    def probabilities(self, outputs: dict[str, Any]) -> Any:
        return (outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()

    def decoded(self, codes: Any, anchors: Any) -> Any:
        return self.box_coder.decode(codes, anchors)


def _on_resnet(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> FCOS:
    return FCOS(resnet_pyramid(weights, trained, learning, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256)),
                num_classes, **kwargs)


fcos_resnet50_fpn = builder(_on_resnet, "fcos_resnet50_fpn", "FCOS_ResNet50_FPN_Weights", "ResNet50_Weights")
globals().update(enumerations("FCOS_"))
