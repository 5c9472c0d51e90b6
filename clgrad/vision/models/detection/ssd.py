"""SSD (Liu et al. 2015) on VGG-16."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from clgrad import nn
from clgrad.creation import ones, zeros
from clgrad.nn import functional as F
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.classic import vgg16
from clgrad.vision.models.detection.anchor_utils import DefaultBoxGenerator
from clgrad.vision.models.detection.common import builder
from clgrad.vision.models.detection.matching import BoxCoder, SSDMatcher, retrieve_out_channels
from clgrad.vision.models.detection.one_stage import OneStageDetector
from clgrad.vision.models.detection.rpn import per_anchor
from clgrad.vision.models.weights import enumerations
from clgrad.vision.ops import boxes as box_ops

_cat, _stack, _where = FUNCTIONS["cat"], FUNCTIONS["stack"], FUNCTIONS["where"]


def _initialise(layers: nn.Module) -> None:
    """Glorot's uniform weights of all convolutions, and biases of zero."""
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class SSDHead(nn.Module):
    """Scores and codes of all anchors: a convolution for each map of ``in_channels``, which has ``num_anchors`` for each
    pixel."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int):
        super().__init__()
        self.classification_head = SSDClassificationHead(in_channels, num_anchors, num_classes)
        self.regression_head = SSDRegressionHead(in_channels, num_anchors)

    def forward(self, x: list[Any]) -> dict[str, Any]:
        return {"bbox_regression": self.regression_head(x), "cls_logits": self.classification_head(x)}


class SSDScoringHead(nn.Module):
    """(n, anchors, ``num_columns``) of all maps, each seen by a module of its own."""

    def __init__(self, module_list: nn.ModuleList, num_columns: int):
        super().__init__()
        self.module_list, self.num_columns = module_list, num_columns

    def forward(self, x: list[Any]) -> Any:
        return _cat([per_anchor(look(one), self.num_columns) for look, one in zip(self.module_list, x, strict=True)], 1)


def _convolutions(in_channels: Sequence[int], num_anchors: Sequence[int], columns: int) -> nn.ModuleList:
    made = nn.ModuleList([nn.Conv2d(channels, columns * anchors, 3, padding=1)
                          for channels, anchors in zip(in_channels, num_anchors, strict=True)])
    _initialise(made)
    return made


class SSDClassificationHead(SSDScoringHead):
    """Scores (n, anchors, ``num_classes``)."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int):
        super().__init__(_convolutions(in_channels, num_anchors, num_classes), num_classes)


class SSDRegressionHead(SSDScoringHead):
    """Codes (n, anchors, 4)."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int]):
        super().__init__(_convolutions(in_channels, num_anchors, 4), 4)


class SSD(OneStageDetector):
    """SSD on a backbone; see :class:`GeneralizedRCNN` for how it is called.

    Args:
        backbone: gives a dict of feature maps; where it has no list ``out_channels``, it is called once to find it.
        anchor_generator: a :class:`DefaultBoxGenerator`.
        size: width and height that all pictures get.
        num_classes: with the background as class 0.
        image_mean, image_std: ImageNet's by default; other arguments are those of :class:`GeneralizedRCNNTransform`.
        head: by default :class:`SSDHead`.
        score_thresh: what is less probable is not reported.
        nms_thresh: boxes of a class that overlap a better one more are dropped.
        detections_per_img: the most that is reported.
        iou_thresh: from this overlap on an anchor belongs to a truth.
        topk_candidates: the most of one class.
        positive_fraction: the part of the anchors in the loss of the scores that belongs to truths; the others are those with
            the highest losses.

    Raises:
        ValueError: the backbone has not as many maps as the generator has lists of ratios.
    """

    def __init__(self, backbone: nn.Module, anchor_generator: DefaultBoxGenerator, size: tuple[int, int], num_classes: int,
                 image_mean: Sequence[float] | None = None, image_std: Sequence[float] | None = None, head: Any = None,
                 score_thresh: float = 0.01, nms_thresh: float = 0.45, detections_per_img: int = 200,
                 iou_thresh: float = 0.5, topk_candidates: int = 400, positive_fraction: float = 0.25, **kwargs: Any):
        super().__init__(backbone, anchor_generator, min(size), max(size), image_mean, image_std, size_divisible=1,
                         fixed_size=size, **kwargs)
        self.box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.head = head or SSDHead(channels_for(backbone, anchor_generator, size),
                                    anchor_generator.num_anchors_per_location(), num_classes)
        self.proposal_matcher = SSDMatcher(iou_thresh)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates
        self.neg_to_pos_ratio = (1.0 - positive_fraction) / positive_fraction

    def compute_loss(self, targets: Sequence[dict], head_outputs: dict[str, Any], anchors: Sequence[Any],
                     matched_idxs: Sequence[Any]) -> dict[str, Any]:
        """The losses of the codes and of the scores, over the number of anchors that belong to truths."""
        box_losses, classes, count = [], [], 0
        for target, codes, boxes, matched in zip(targets, head_outputs["bbox_regression"], anchors, matched_idxs,
                                                 strict=True):
            positive = _where(matched >= 0)[0]
            own = matched[positive]
            count += len(positive)
            wanted = self.box_coder.encode_single(target["boxes"][own], boxes[positive])
            box_losses.append(F.smooth_l1_loss(codes[positive], wanted, reduction="sum"))
            labels = zeros(len(boxes), dtype=target["labels"].dtype, device=boxes.device)
            labels[positive] = target["labels"][own]
            classes.append(labels)
        labels, scores = _stack(classes), head_outputs["cls_logits"]
        losses = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").reshape(labels.shape)
        positive = labels > 0
        rank = losses.detach().masked_fill(positive, -math.inf).sort(1, descending=True)[1].sort(1)[1]
        hard = rank < self.neg_to_pos_ratio * positive.sum(1, keepdim=True)
        total = (losses * positive).sum() + (losses * hard).sum()
        return {"bbox_regression": _stack(box_losses).sum() / max(1, count), "classification": total / max(1, count)}

    def losses(self, targets: Any, head_outputs: dict[str, Any], anchors: list[Any], maps: list[Any]) -> dict[str, Any]:
        return self.compute_loss(targets, head_outputs, anchors, self.matched(targets, anchors))

    def detections(self, head_outputs: dict[str, Any], anchors: list[Any], maps: list[Any],
                   image_sizes: list[tuple[int, int]]) -> list[dict]:
        return self.postprocess_detections(head_outputs, anchors, image_sizes)

    def postprocess_detections(self, head_outputs: dict[str, Any], image_anchors: Sequence[Any],
                               image_shapes: Sequence[tuple[int, int]]) -> list[dict]:
        """For each picture what is reported."""
        found = []
        for codes, scores, anchors, size in zip(head_outputs["bbox_regression"], F.softmax(head_outputs["cls_logits"], -1),
                                                image_anchors, image_shapes, strict=True):
            boxes = box_ops.clip_boxes_to_image(self.box_coder.decode_single(codes, anchors), size)
            best, places = scores.T[1:].topk(min(self.topk_candidates, len(boxes)), dim=1)  # of each class but the background
            label, rank = _where(best > self.score_thresh)
            found.append(self.reported(boxes[places[label, rank]], best[label, rank], label + 1))
        return found


def channels_for(backbone: Any, anchor_generator: DefaultBoxGenerator, size: tuple[int, int]) -> list[int]:
    """The channels of a backbone's maps.

    Raises:
        ValueError: there are not as many maps as lists of ratios.
    """
    channels = backbone.out_channels if hasattr(backbone, "out_channels") else retrieve_out_channels(backbone, size)
    if len(channels) != len(anchor_generator.aspect_ratios):
        raise ValueError(f"The length of the output channels from the backbone ({len(channels)}) do not match the length of "
                         f"the anchor generator aspect ratios ({len(anchor_generator.aspect_ratios)})")
    return channels


def _extra(in_channels: int, inside: int, out_channels: int, **kwargs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, inside, 1), nn.ReLU(inplace=True),
                         nn.Conv2d(inside, out_channels, **kwargs), nn.ReLU(inplace=True))  # type: ignore[arg-type]


class SSDFeatureExtractorVGG(nn.Module):
    """Maps "0" to "5" of the convolutions of a VGG-16 and of more of them.

    Args:
        backbone: the convolutions.
        highres: one map more, for pictures of 512 x 512 pixels.
    """

    def __init__(self, backbone: nn.Sequential, highres: bool):
        super().__init__()
        pools = [number for number, layer in enumerate(backbone) if isinstance(layer, nn.MaxPool2d)]
        backbone[pools[2]].ceil_mode = True  # 75 pixels become 38
        self.scale_weight = nn.Parameter(ones(512) * 20)
        self.features = nn.Sequential(*backbone[:pools[3]])
        extra = nn.ModuleList([_extra(1024, 256, 512, kernel_size=3, padding=1, stride=2),
                               _extra(512, 128, 256, kernel_size=3, padding=1, stride=2),
                               _extra(256, 128, 256, kernel_size=3), _extra(256, 128, 256, kernel_size=3)])
        if highres:
            extra.append(_extra(256, 128, 256, kernel_size=4))
        dense = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True),
                              nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True))
        for added in (extra, dense):
            _initialise(added)
        extra.insert(0, nn.Sequential(*backbone[pools[3]:-1], dense))
        self.extra = extra

    def forward(self, x: Any) -> dict[str, Any]:
        x = self.features(x)
        maps = [self.scale_weight[:, None, None] * F.normalize(x)]
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return {str(number): one for number, one in enumerate(maps)}


def vgg_extractor(backbone: Any, highres: bool, trainable_layers: int) -> SSDFeatureExtractorVGG:
    """The maps of a VGG, of whose five stages the last ``trainable_layers`` learn.

    Raises:
        AssertionError: there are not so many.
    """
    layers = backbone.features
    begins = [0, *(number for number, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d))][:-1]
    if not 0 <= trainable_layers <= len(begins):
        raise AssertionError(f"trainable_layers should be in the range [0, {len(begins)}]. Instead got {trainable_layers}")
    for layer in layers[:begins[-trainable_layers] if trainable_layers else len(layers)]:
        layer.requires_grad_(False)
    return SSDFeatureExtractorVGG(layers, highres)


def of_one_size(make: Callable) -> Callable:
    """A detector's function that warns where ``size`` is given, and ignores it."""
    def made(*args: Any, **kwargs: Any) -> SSD:
        if kwargs.pop("size", None) is not None:
            warnings.warn("The size of the model is already fixed; ignoring the parameter.", stacklevel=4)
        return make(*args, **kwargs)
    made.__module__ = make.__module__
    return made


@of_one_size
def _on_vgg(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> SSD:
    anchors = DefaultBoxGenerator([[2], [2, 3], [2, 3], [2, 3], [2], [2]], scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
                                  steps=[8, 16, 32, 64, 100, 300])
    usual = {"image_mean": [0.48235, 0.45882, 0.40784], "image_std": [1 / 255] * 3}  # those of VGG's first weights
    backbone = vgg_extractor(vgg16(weights=weights), False, learning)
    return SSD(backbone, anchors, (300, 300), num_classes, **{**usual, **kwargs})


ssd300_vgg16 = builder(_on_vgg, "ssd300_vgg16", "SSD300_VGG16_Weights", "VGG16_Weights", default="IMAGENET1K_FEATURES",
                       layers=(5, 4))
globals().update(enumerations("SSD300"))
