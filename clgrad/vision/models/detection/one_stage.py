"""Detectors with one stage: scores and codes of all anchors at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.nn import Module
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.detection.generalized_rcnn import features_of, prepared
from clgrad.vision.models.detection.matching import unmatched
from clgrad.vision.models.detection.transform import GeneralizedRCNNTransform
from clgrad.vision.ops import boxes as box_ops
from clgrad.vision.transforms.presets import IMAGENET_MEAN, IMAGENET_STD

_cat, _where = FUNCTIONS["cat"], FUNCTIONS["where"]


class OneStageDetector(Module):
    """Base of detectors with one stage, which are called as :class:`GeneralizedRCNN` is.

    A subclass has ``losses`` and ``detections``, and a ``head`` that gives a dict of tensors (n, anchors, columns) of the
    list of feature maps.

    Args:
        backbone: gives a feature map or a dict of them.
        anchor_generator: gives for each picture the anchors of all maps.
        min_size, max_size: see :class:`GeneralizedRCNNTransform`, as of other arguments.
        image_mean, image_std: ImageNet's by default.
    """

    def __init__(self, backbone: Module, anchor_generator: Module, min_size: Any, max_size: int,
                 image_mean: Sequence[float] | None, image_std: Sequence[float] | None, **kwargs: Any):
        super().__init__()
        self.backbone, self.anchor_generator = backbone, anchor_generator
        self.head: Any = None
        self.transform = GeneralizedRCNNTransform(min_size, max_size, image_mean or list(IMAGENET_MEAN),
                                                  image_std or list(IMAGENET_STD), **kwargs)

    def losses(self, targets: Any, head_outputs: dict[str, Any], anchors: list[Any], maps: list[Any]) -> dict[str, Any]:
        """The losses by name."""
        raise NotImplementedError

    def detections(self, head_outputs: dict[str, Any], anchors: list[Any], maps: list[Any],
                   image_sizes: list[tuple[int, int]]) -> list[dict]:
        """For each picture what is reported."""
        raise NotImplementedError

    def matched(self, targets: Sequence[dict], anchors: Sequence[Any]) -> list[Any]:
        """For each picture the numbers of the anchors' truths, see :class:`Matcher`."""
        return [self.proposal_matcher(box_ops.box_iou(target["boxes"], boxes)) if len(target["boxes"]) else unmatched(boxes)
                for target, boxes in zip(targets, anchors, strict=True)]

    def forward(self, images: Sequence[Any], targets: Sequence[dict] | None = None) -> Any:
        """A list of detections, or while training a dict of losses.

        Raises:
            AssertionError: targets are missing while training, or have boxes of another shape or without area.
        """
        sizes, batch, fitted = prepared(self, images, targets)
        maps = list(features_of(self.backbone, batch.tensors).values())
        outputs, anchors = self.head(maps), self.anchor_generator(batch, maps)
        if self.training:
            return self.losses(fitted, outputs, anchors, maps)
        found = self.detections(outputs, anchors, maps, batch.image_sizes)
        return self.transform.postprocess(found, batch.image_sizes, sizes)

    def reported(self, boxes: Any, scores: Any, labels: Any) -> dict[str, Any]:
        """The best boxes of a picture, without those that overlap better ones of their class."""
        keep = box_ops.batched_nms(boxes, scores, labels, self.nms_thresh)[:self.detections_per_img]
        return {"boxes": boxes[keep], "scores": scores[keep], "labels": labels[keep]}


class DenseDetector(OneStageDetector):
    """Base of detectors whose classes have independent probabilities, and whose maps are looked at one by one.

    Args:
        score_thresh: what is less probable is not reported.
        nms_thresh: boxes of a class that overlap a better one more are dropped.
        detections_per_img: the most that is reported.
        topk_candidates: the most of one map.
    """

    def __init__(self, *args: Any, score_thresh: float, nms_thresh: float, detections_per_img: int, topk_candidates: int,
                 **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates

    def probabilities(self, outputs: dict[str, Any]) -> Any:
        """The probabilities (anchors, classes) of the head's outputs."""
        raise NotImplementedError

    def decoded(self, codes: Any, anchors: Any) -> Any:
        """The boxes (n, 4) of codes (n, 4)."""
        raise NotImplementedError

    @staticmethod
    def per_level(maps: Sequence[Any], anchors: int) -> list[int]:
        """How many of a picture's anchors each map has."""
        pixels = [one.shape[2] * one.shape[3] for one in maps]
        return [count * (anchors // sum(pixels)) for count in pixels]

    def detections(self, head_outputs: dict[str, Any], anchors: list[Any], maps: list[Any],
                   image_sizes: list[tuple[int, int]]) -> list[dict]:
        counts = self.per_level(maps, len(anchors[0]))
        return self.postprocess_detections({name: list(value.split(counts, 1)) for name, value in head_outputs.items()},
                                           [list(one.split(counts)) for one in anchors], image_sizes)

    def postprocess_detections(self, head_outputs: dict[str, list[Any]], anchors: list[list[Any]],
                               image_shapes: list[tuple[int, int]]) -> list[dict]:
        """For each picture what is reported; outputs and anchors are split by maps."""
        found = []
        for number, (size, of_picture) in enumerate(zip(image_shapes, anchors, strict=True)):
            boxes, scores, labels = [], [], []
            for level, of_level in enumerate(of_picture):
                outputs = {name: values[level][number] for name, values in head_outputs.items()}
                anchor, label, score = self._best(self.probabilities(outputs))
                made = self.decoded(outputs["bbox_regression"][anchor], of_level[anchor])
                boxes.append(box_ops.clip_boxes_to_image(made, size))
                scores.append(score)
                labels.append(label)
            found.append(self.reported(_cat(boxes), _cat(scores), _cat(labels)))
        return found

    def _best(self, probabilities: Any) -> tuple[Any, Any, Any]:
        """Anchors, classes and probabilities of the best of a map."""
        classes, flat = probabilities.shape[-1], probabilities.flatten()
        places = _where(flat > self.score_thresh)[0]
        scores, best = flat[places].topk(min(self.topk_candidates, len(places)))
        places = places[best]
        return places // classes, places % classes, scores
