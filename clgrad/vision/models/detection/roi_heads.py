"""The second stage: what is in the proposed regions (Girshick 2015; masks and keypoints He et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad import dtypes
from clgrad.creation import zeros
from clgrad.nn import Module
from clgrad.nn import functional as F
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.detection.keypoints import (
    heatmaps_to_keypoints,
    keypointrcnn_inference,
    keypointrcnn_loss,
    keypoints_to_heatmap,
)
from clgrad.vision.models.detection.masks import (
    expand_boxes,
    maskrcnn_inference,
    maskrcnn_loss,
    paste_masks_in_image,
    project_masks_on_boxes,
)
from clgrad.vision.models.detection.matching import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from clgrad.vision.ops import boxes as box_ops

__all__ = ["RoIHeads", "expand_boxes", "fastrcnn_loss", "heatmaps_to_keypoints", "keypointrcnn_inference",
           "keypointrcnn_loss", "keypoints_to_heatmap", "maskrcnn_inference", "maskrcnn_loss", "paste_masks_in_image",
           "project_masks_on_boxes"]

_cat, _where = FUNCTIONS["cat"], FUNCTIONS["where"]


def fastrcnn_loss(class_logits: Any, box_regression: Any, labels: Sequence[Any],
                  regression_targets: Sequence[Any]) -> tuple[Any, Any]:
    """The losses of scores (n, classes) and of codes (n, 4 * classes), of which those of the boxes' own classes count."""
    classes, codes = _cat(list(labels)), _cat(list(regression_targets))
    positive = _where(classes > 0)[0]
    own = box_regression.reshape(len(class_logits), -1, 4)[positive, classes[positive]]
    box_loss = F.smooth_l1_loss(own, codes[positive], beta=1 / 9, reduction="sum") / len(classes)
    return F.cross_entropy(class_logits, classes), box_loss


class RoIHeads(Module):
    """Classes, boxes and, where there are heads for them, masks and keypoints of regions.

    Args:
        box_roi_pool, box_head, box_predictor: regions of feature maps, what is seen in them, and scores and codes of that.
        fg_iou_thresh, bg_iou_thresh: from the first overlap on a region belongs to a truth, below the second to none.
        batch_size_per_image, positive_fraction: how many regions are looked at while training, and which part of them belongs
            to truths.
        bbox_reg_weights: factors of the codes. Default: (10, 10, 5, 5).
        score_thresh: what is less probable is not reported.
        nms_thresh: boxes of a class that overlap a better one more are dropped.
        detections_per_img: the most that is reported.
        mask_roi_pool, mask_head, mask_predictor, keypoint_roi_pool, keypoint_head, keypoint_predictor: the same of masks and
            keypoints.
    """

    def __init__(self, box_roi_pool: Any, box_head: Any, box_predictor: Any, fg_iou_thresh: float, bg_iou_thresh: float,
                 batch_size_per_image: int, positive_fraction: float, bbox_reg_weights: Sequence[float] | None,
                 score_thresh: float, nms_thresh: float, detections_per_img: int, mask_roi_pool: Any = None,
                 mask_head: Any = None, mask_predictor: Any = None, keypoint_roi_pool: Any = None, keypoint_head: Any = None,
                 keypoint_predictor: Any = None):
        super().__init__()
        self.box_similarity = box_ops.box_iou
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self.box_coder = BoxCoder(bbox_reg_weights or (10.0, 10.0, 5.0, 5.0))
        self.box_roi_pool, self.box_head, self.box_predictor = box_roi_pool, box_head, box_predictor
        self.score_thresh, self.nms_thresh, self.detections_per_img = score_thresh, nms_thresh, detections_per_img
        self.mask_roi_pool, self.mask_head, self.mask_predictor = mask_roi_pool, mask_head, mask_predictor
        self.keypoint_roi_pool, self.keypoint_head = keypoint_roi_pool, keypoint_head
        self.keypoint_predictor = keypoint_predictor

    def has_mask(self) -> bool:
        """Masks are found."""
        return None not in (self.mask_roi_pool, self.mask_head, self.mask_predictor)

    def has_keypoint(self) -> bool:
        """Keypoints are found."""
        return None not in (self.keypoint_roi_pool, self.keypoint_head, self.keypoint_predictor)

    def assign_targets_to_proposals(self, proposals: Sequence[Any], gt_boxes: Sequence[Any],
                                    gt_labels: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """For each picture the numbers of the regions' truths, and their labels: 0 of none, -1 for what is left out."""
        matched, labels = [], []
        for boxes, truths, classes in zip(proposals, gt_boxes, gt_labels, strict=True):
            if not truths.numel():
                matched.append(zeros(len(boxes), dtype=dtypes.int64, device=boxes.device))
                labels.append(matched[-1])
                continue
            numbers = self.proposal_matcher(self.box_similarity(truths, boxes))
            matched.append(numbers.clamp(min=0))
            own = _where(numbers == Matcher.BELOW_LOW_THRESHOLD, 0, classes[matched[-1]].long())
            labels.append(_where(numbers == Matcher.BETWEEN_THRESHOLDS, -1, own))
        return matched, labels

    def check_targets(self, targets: Sequence[dict] | None) -> None:
        """Looks whether targets have what the heads learn from.

        Raises:
            ValueError: there are none, or something is missing.
        """
        if targets is None:
            raise ValueError("targets should not be None")
        for name in ("boxes", "labels", *(("masks",) if self.has_mask() else ())):
            if not all(name in target for target in targets):
                raise ValueError(f"Every element of targets should have a {name} key")

    def _check_dtypes(self, targets: Sequence[dict]) -> None:
        for target in targets:
            if target["boxes"].dtype not in (dtypes.float32, dtypes.float64, dtypes.float16):
                raise TypeError(f"target boxes must of float type, instead got {target['boxes'].dtype}")
            if target["labels"].dtype is not dtypes.int64:
                raise TypeError(f"target labels must of int64 type, instead got {target['labels'].dtype}")
            if self.has_keypoint() and target["keypoints"].dtype is not dtypes.float32:
                raise TypeError(f"target keypoints must of float type, instead got {target['keypoints'].dtype}")

    def select_training_samples(self, proposals: Sequence[Any], targets: Sequence[dict] | None) -> tuple:
        """The regions that are looked at while training, the truths' own boxes among them, with the numbers of their truths,
        their labels and the codes of the truths' boxes: a list over pictures each."""
        self.check_targets(targets)
        dtype = proposals[0].dtype
        truths = [target["boxes"].to(dtype) for target in targets or ()]
        proposals = [_cat([boxes, own]) for boxes, own in zip(proposals, truths, strict=True)]
        matched, labels = self.assign_targets_to_proposals(proposals, truths, [target["labels"] for target in targets or ()])
        boxes_of_truths = []
        for number, (positive, negative) in enumerate(zip(*self.fg_bg_sampler(labels), strict=True)):
            drawn = _where(positive | negative)[0]
            proposals[number], labels[number] = proposals[number][drawn], labels[number][drawn]
            matched[number] = matched[number][drawn]
            own = truths[number] if truths[number].numel() else zeros((1, 4), dtype=dtype, device=drawn.device)
            boxes_of_truths.append(own[matched[number]])
        return proposals, matched, labels, self.box_coder.encode(boxes_of_truths, proposals)

    def postprocess_detections(self, class_logits: Any, box_regression: Any, proposals: Sequence[Any],
                               image_shapes: Sequence[tuple[int, int]]) -> tuple[list[Any], list[Any], list[Any]]:
        """For each picture the boxes, probabilities and labels that are reported."""
        counts = [len(boxes) for boxes in proposals]
        decoded = self.box_coder.decode(box_regression, proposals).split(counts)
        found: tuple[list, list, list] = ([], [], [])
        for boxes, scores, size in zip(decoded, F.softmax(class_logits, -1).split(counts), image_shapes, strict=True):
            region, label = _where(scores[:, 1:] > self.score_thresh)
            label = label + 1  # class 0 is the background
            boxes, scores = box_ops.clip_boxes_to_image(boxes[region, label], size), scores[region, label]
            keep = box_ops.remove_small_boxes(boxes, 1e-2)
            boxes, scores, label = boxes[keep], scores[keep], label[keep]
            keep = box_ops.batched_nms(boxes, scores, label, self.nms_thresh)[:self.detections_per_img]
            for kind, values in zip(found, (boxes, scores, label), strict=True):
                kind.append(values[keep])
        return found

    def forward(self, features: dict[str, Any], proposals: Sequence[Any], image_shapes: Sequence[tuple[int, int]],
                targets: Sequence[dict] | None = None) -> tuple[list[dict], dict[str, Any]]:
        """For each picture a dict of what was found; while training an empty list and a dict of losses.

        Raises:
            TypeError: targets of another dtype.
            ValueError: targets are missing while training.
        """
        if targets is not None:
            self._check_dtypes(targets)
        if self.training:
            proposals, matched, labels, codes = self.select_training_samples(proposals, targets)
        scores, deltas = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        if not self.training:
            return self._detections(features, scores, deltas, proposals, image_shapes), {}
        loss, box_loss = fastrcnn_loss(scores, deltas, labels, codes)
        losses = {"loss_classifier": loss, "loss_box_reg": box_loss}
        positive = [_where(label > 0)[0] for label in labels]
        boxes = [one[places] for one, places in zip(proposals, positive, strict=True)]
        own = [one[places] for one, places in zip(matched, positive, strict=True)]
        truths: Any = targets
        if self.has_mask():
            seen = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, image_shapes)))
            losses["loss_mask"] = maskrcnn_loss(seen, boxes, [target["masks"] for target in truths],
                                                [target["labels"] for target in truths], own)
        if self.has_keypoint():
            seen = self.keypoint_predictor(self.keypoint_head(self.keypoint_roi_pool(features, boxes, image_shapes)))
            losses["loss_keypoint"] = keypointrcnn_loss(seen, boxes, [target["keypoints"] for target in truths], own)
        return [], losses

    def _detections(self, features: dict[str, Any], scores: Any, deltas: Any, proposals: Sequence[Any],
                    image_shapes: Sequence[tuple[int, int]]) -> list[dict]:
        found = [{"boxes": boxes, "labels": label, "scores": probability} for boxes, probability, label in zip(
            *self.postprocess_detections(scores, deltas, proposals, image_shapes), strict=True)]
        boxes = [one["boxes"] for one in found]
        if self.has_mask():
            seen = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, image_shapes)))
            for one, mask in zip(found, maskrcnn_inference(seen, [one["labels"] for one in found]), strict=True):
                one["masks"] = mask
        if self.has_keypoint():
            seen = self.keypoint_predictor(self.keypoint_head(self.keypoint_roi_pool(features, boxes, image_shapes)))
            for one, points, heights in zip(found, *keypointrcnn_inference(seen, boxes), strict=True):
                one["keypoints"], one["keypoints_scores"] = points, heights
        return found
