"""Which boxes belong to which truths: codes of boxes, matches, samples (``torchvision.models.detection._utils``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clgrad import dtypes
from clgrad.autograd import no_grad
from clgrad.creation import arange, as_tensor, full_like, zeros, zeros_like
from clgrad.nn import Module
from clgrad.nn import functional as F
from clgrad.ops.registry import FUNCTIONS
from clgrad.sampling import randperm
from clgrad.tensor import Tensor
from clgrad.vision.ops.losses import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss
from clgrad.vision.ops.misc import FrozenBatchNorm2d

_cat, _stack, _where = FUNCTIONS["cat"], FUNCTIONS["stack"], FUNCTIONS["where"]


class BalancedPositiveNegativeSampler:
    """Draws boxes of which a certain part belongs to a truth.

    Args:
        batch_size_per_image: how many are drawn.
        positive_fraction: the part of them that belongs to a truth, where there are so many.
    """

    def __init__(self, batch_size_per_image: int, positive_fraction: float):
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction

    def __call__(self, matched_idxs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """For each picture two masks of bytes: the positive boxes that were drawn, and the negative ones.

        Args:
            matched_idxs: for each picture a tensor: 1 and more for positive boxes, 0 for negative ones, -1 for neither.
        """
        positives: list[Any] = []
        negatives: list[Any] = []
        for matched in matched_idxs:
            room = self.batch_size_per_image
            for kind, masks, most in ((matched >= 1, positives, int(room * self.positive_fraction)),
                                      (matched == 0, negatives, room)):
                places = _where(kind)[0]
                drawn = places[randperm(len(places), device=places.device)[:min(most, room)]]
                room -= len(drawn)
                mask = zeros_like(matched, dtype=dtypes.uint8)
                mask[drawn] = 1
                masks.append(mask)
        return positives, negatives


def _centres(boxes: Any) -> tuple[Any, Any]:
    """The centres and the sides (..., 2) of boxes."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * sides, sides


def encode_boxes(reference_boxes: Any, proposals: Any, weights: Any) -> Any:
    """How (n, 4) ``reference_boxes`` differ from ``proposals``: see :class:`BoxCoder`."""
    (truth, truth_sides), (centre, sides) = _centres(reference_boxes), _centres(proposals)
    return _cat([(truth - centre) / sides, (truth_sides / sides).log()], -1) * weights


class BoxCoder:
    """Boxes as codes relative to other boxes (Girshick et al. 2013): the way from centre to centre in units of the sides, and
    logarithms of the sides' ratios.

    Args:
        weights: factors of the codes (x, y, width, height).
        bbox_xform_clip: the largest logarithm of a ratio that is decoded.
    """

    def __init__(self, weights: Sequence[float], bbox_xform_clip: float = math.log(1000.0 / 16)):
        self.weights, self.bbox_xform_clip = weights, bbox_xform_clip

    def encode(self, reference_boxes: Sequence[Any], proposals: Sequence[Any]) -> tuple:
        """Codes (n, 4) for each picture."""
        counts = [len(boxes) for boxes in reference_boxes]
        return self.encode_single(_cat(list(reference_boxes)), _cat(list(proposals))).split(counts)

    def encode_single(self, reference_boxes: Any, proposals: Any) -> Any:
        """Codes (n, 4) of boxes (n, 4)."""
        return encode_boxes(reference_boxes, proposals,
                            as_tensor(self.weights, dtype=reference_boxes.dtype, device=reference_boxes.device))

    def decode(self, rel_codes: Any, boxes: Sequence[Any]) -> Any:
        """Boxes (n, k, 4) of codes (n, 4 * k), relative to the boxes of all pictures."""
        return self.decode_single(rel_codes, _cat(list(boxes))).reshape(-1, rel_codes.shape[-1] // 4, 4)

    def decode_single(self, rel_codes: Any, boxes: Any) -> Any:
        """Boxes (n, 4 * k) of codes (n, 4 * k), relative to boxes (n, 4)."""
        codes = rel_codes.reshape(len(boxes), rel_codes.shape[-1] // 4, 4)
        codes = codes / as_tensor(self.weights, dtype=codes.dtype, device=codes.device)
        centre, sides = (part[:, None] for part in _centres(boxes.to(codes.dtype)))
        middle = codes[..., :2] * sides + centre
        half = codes[..., 2:].clamp(max=self.bbox_xform_clip).exp() * sides * 0.5
        return _cat([middle - half, middle + half], -1).reshape(rel_codes.shape)


class BoxLinearCoder:
    """Boxes as the distances of their edges from the centres of other boxes (Tian et al. 2019).

    Args:
        normalize_by_size: in units of the other boxes' sides.
    """

    def __init__(self, normalize_by_size: bool = True):
        self.normalize_by_size = normalize_by_size

    def _origin(self, boxes: Any) -> tuple[Any, Any]:
        """The centres, and the units (left, top, right, bottom)."""
        sides = boxes[..., 2:] - boxes[..., :2]
        return 0.5 * (boxes[..., :2] + boxes[..., 2:]), _cat([sides, sides], -1)

    def encode(self, reference_boxes: Any, proposals: Any) -> Any:
        """The codes (..., 4) of ``proposals``, relative to ``reference_boxes``."""
        centre, units = self._origin(reference_boxes)
        codes = _cat([centre - proposals[..., :2], proposals[..., 2:] - centre], -1)
        return codes / units if self.normalize_by_size else codes

    def decode(self, rel_codes: Any, boxes: Any) -> Any:
        """The boxes (..., 4) of codes relative to ``boxes``."""
        centre, units = self._origin(boxes.to(rel_codes.dtype))
        codes = rel_codes * units if self.normalize_by_size else rel_codes
        return _cat([centre - codes[..., :2], centre + codes[..., 2:]], -1)


class Matcher:
    """The truth that each box belongs to.

    Args:
        high_threshold: from this quality on a box belongs to the truth that fits it best.
        low_threshold: below it a box belongs to none; between the two it is left out.
        allow_low_quality_matches: the boxes that fit a truth best belong to the truth that fits them best, however well.

    Raises:
        AssertionError: ``low_threshold`` is above ``high_threshold``.
    """

    BELOW_LOW_THRESHOLD, BETWEEN_THRESHOLDS = -1, -2

    def __init__(self, high_threshold: float, low_threshold: float, allow_low_quality_matches: bool = False):
        if low_threshold > high_threshold:
            raise AssertionError("low_threshold should be <= high_threshold")
        self.high_threshold, self.low_threshold = high_threshold, low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: Any) -> Any:
        """The numbers (boxes) of truths; -1 for none, -2 for what is left out.

        Args:
            match_quality_matrix: (truths, boxes).

        Raises:
            ValueError: there are no truths or no boxes.
        """
        if not match_quality_matrix.numel():
            what = "proposal" if len(match_quality_matrix) else "ground-truth"
            raise ValueError(f"No {what} boxes available for one of the images during training")
        values, best = match_quality_matrix.max(0)
        matches = _where(values < self.high_threshold, self.BETWEEN_THRESHOLDS, best)
        matches = _where(values < self.low_threshold, self.BELOW_LOW_THRESHOLD, matches)
        if self.allow_low_quality_matches:
            highest = match_quality_matrix.amax(1, keepdim=True)
            matches = _where((match_quality_matrix == highest).any(0), best, matches)
        return matches


class SSDMatcher(Matcher):
    """A matcher with one threshold; the best box of each truth belongs to it (Liu et al. 2015)."""

    def __init__(self, threshold: float):
        super().__init__(threshold, threshold)

    def __call__(self, match_quality_matrix: Any) -> Any:
        matches = super().__call__(match_quality_matrix)
        best = match_quality_matrix.max(1)[1]
        matches[best] = arange(len(best), device=best.device)
        return matches


def unmatched(boxes: Any) -> Any:
    """The numbers of truths, where there are none: -1 for each box."""
    return full_like(boxes[:, 0], Matcher.BELOW_LOW_THRESHOLD, dtype=dtypes.int64)


def overwrite_eps(model: Module, eps: float) -> None:
    """Sets ``eps`` of all frozen norms: files of the first weights were made with another one."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps


@no_grad()
def retrieve_out_channels(model: Module, size: tuple[int, int]) -> list[int]:
    """The channels of a backbone's maps, found by calling it with a picture of ``size`` (width, height)."""
    training, some = model.training, next(model.parameters())
    model.eval()
    maps = model(zeros((1, 3, size[1], size[0]), dtype=some.dtype, device=some.device))
    model.train(training)
    return [one.shape[1] for one in ([maps] if isinstance(maps, Tensor) else maps.values())]


def box_loss(type: str, box_coder: BoxCoder, anchors_per_image: Any, matched_gt_boxes_per_image: Any,
             bbox_regression_per_image: Any, cnf: dict[str, float] | None = None) -> Any:
    """The summed loss of codes: "l1" and "smooth_l1" (``cnf``: beta) of the codes, "giou", "diou" and "ciou" (eps) of the
    boxes.

    Raises:
        AssertionError: another type.
    """
    overlaps = {"giou": generalized_box_iou_loss, "diou": distance_box_iou_loss, "ciou": complete_box_iou_loss}
    options = cnf or {}
    if type in overlaps:
        boxes = box_coder.decode_single(bbox_regression_per_image, anchors_per_image)
        return overlaps[type](boxes, matched_gt_boxes_per_image, reduction="sum", eps=options.get("eps", 1e-7))
    if type not in ("l1", "smooth_l1"):
        raise AssertionError(f"Unsupported loss: {type}")
    codes = box_coder.encode_single(matched_gt_boxes_per_image, anchors_per_image)
    if type == "l1":
        return F.l1_loss(bbox_regression_per_image, codes, reduction="sum")
    return F.smooth_l1_loss(bbox_regression_per_image, codes, reduction="sum", beta=options.get("beta", 1.0))
