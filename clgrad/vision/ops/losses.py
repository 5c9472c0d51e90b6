"""Losses of boxes and of rare classes. ``reduction`` is "none", "mean" or "sum"."""

from __future__ import annotations

import math
from typing import Any

from clgrad import dtypes
from clgrad.nn import functional
from clgrad.ops.registry import FUNCTIONS


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean() if loss.numel() else 0.0 * loss.sum()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(f"Invalid Value for arg 'reduction': '{reduction} \n Supported reduction modes: 'none', 'mean', 'sum'")


def sigmoid_focal_loss(inputs: Any, targets: Any, alpha: float = 0.25, gamma: float = 2, reduction: str = "none") -> Any:
    """Cross entropy of logits with truths in 0..1, less for what is clear already (Lin et al. 2017).

    Args:
        alpha: weight of the positive against the negative, in 0..1; -1: none.
        gamma: how much less clear examples count.
    """
    if not (0 <= alpha <= 1) and alpha != -1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1] or -1 for ignore.")
    p = inputs.sigmoid()
    loss = functional.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = loss * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return _reduced(loss, reduction)


def _wide(boxes: Any) -> Any:
    """In a dtype in which areas do not overflow."""
    return boxes if boxes.dtype in (dtypes.float32, dtypes.float64) else boxes.float()


def _overlap(boxes1: Any, boxes2: Any, eps: float) -> tuple[Any, Any, Any]:
    """Of each pair of rows: the overlap (shared over covered area), the covered area, and the sides of the hull."""
    low, high = FUNCTIONS["max"](boxes1[..., :2], boxes2[..., :2]), FUNCTIONS["min"](boxes1[..., 2:], boxes2[..., 2:])
    sides = high - low
    shared = FUNCTIONS["where"]((sides > 0).all(-1), sides[..., 0] * sides[..., 1], 0)
    areas = [(b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (boxes1, boxes2)]
    union = areas[0] + areas[1] - shared
    hull = (FUNCTIONS["max"](boxes1[..., 2:], boxes2[..., 2:]) - FUNCTIONS["min"](boxes1[..., :2], boxes2[..., :2]))
    return shared / (union + eps), union, hull


def generalized_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Any:
    """One less the generalised overlap of each pair of rows (Rezatofighi et al. 2019)."""
    iou, union, hull = _overlap(_wide(boxes1), _wide(boxes2), eps)
    area = hull[..., 0] * hull[..., 1]
    return _reduced(1 - (iou - (area - union) / (area + eps)), reduction)


def _distance_loss(boxes1: Any, boxes2: Any, eps: float) -> tuple[Any, Any]:
    boxes1, boxes2 = _wide(boxes1), _wide(boxes2)
    iou, _, hull = _overlap(boxes1, boxes2, eps)
    between = (boxes1[..., :2] + boxes1[..., 2:] - boxes2[..., :2] - boxes2[..., 2:]) / 2
    return 1 - iou + (between**2).sum(-1) / ((hull**2).sum(-1) + eps), iou


def distance_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Any:
    """One less the overlap of each pair of rows, and the distance of their centres (Zheng et al. 2020)."""
    return _reduced(_distance_loss(boxes1, boxes2, eps)[0], reduction)


def complete_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Any:
    """:func:`distance_box_iou_loss` and a term for unequal proportions (Zheng et al. 2020)."""
    boxes1, boxes2 = _wide(boxes1), _wide(boxes2)
    loss, iou = _distance_loss(boxes1, boxes2, eps)
    angles = [((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1])).atan() for b in (boxes2, boxes1)]
    unlike = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    weight = (unlike / (1 - iou + unlike + eps)).detach()
    return _reduced(loss + weight * unlike, reduction)
