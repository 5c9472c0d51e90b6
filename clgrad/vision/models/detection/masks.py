"""Masks of what was found: their loss, and their way into the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.creation import arange
from clgrad.nn.functional import binary_cross_entropy_with_logits, pad
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.ops.regions import roi_align

_cat, _stack = FUNCTIONS["cat"], FUNCTIONS["stack"]


def maskrcnn_inference(x: Any, labels: Sequence[Any]) -> tuple:
    """Each picture's probabilities (n, 1, m, m) of the found classes' masks; scores are (n, classes, m, m)."""
    found = _cat(list(labels))
    return x.sigmoid()[arange(len(x), device=found.device), found][:, None].split([len(one) for one in labels])


def project_masks_on_boxes(gt_masks: Any, boxes: Any, matched_idxs: Any, M: int) -> Any:
    """What masks (truths, h, w) look like within boxes (n, 4), in M x M pixels; ``matched_idxs`` (n): the boxes' truths."""
    regions = _cat([matched_idxs.to(boxes)[:, None], boxes], 1)
    return roi_align(gt_masks[:, None].to(regions.dtype), regions, (M, M), 1.0)[:, 0]


def maskrcnn_loss(mask_logits: Any, proposals: Sequence[Any], gt_masks: Sequence[Any], gt_labels: Sequence[Any],
                  mask_matched_idxs: Sequence[Any]) -> Any:
    """The mean binary cross entropy of the masks (n, classes, m, m) of the boxes' own classes (He et al. 2017)."""
    labels = _cat([label[matched] for label, matched in zip(gt_labels, mask_matched_idxs, strict=True)])
    if not len(labels):
        return mask_logits.sum() * 0
    truth = _cat([project_masks_on_boxes(masks, boxes, matched, mask_logits.shape[-1]) for masks, boxes, matched in zip(
        gt_masks, proposals, mask_matched_idxs, strict=True)])
    return binary_cross_entropy_with_logits(mask_logits[arange(len(labels), device=labels.device), labels], truth)


def expand_boxes(boxes: Any, scale: float) -> Any:
    """Boxes (n, 4) whose sides are ``scale`` times as long, around the same centres."""
    centre, half = (boxes[:, 2:] + boxes[:, :2]) * 0.5, (boxes[:, 2:] - boxes[:, :2]) * 0.5 * scale
    return _cat([centre - half, centre + half], 1)


def _along(first: Any, last: Any, size: int, pixels: int, like: Any) -> Any:
    """Weights (n, size, pixels) of a mask's pixels at those of the picture, between ``first`` and ``last``; 0 elsewhere."""
    length = (last - first + 1).clamp(min=1)
    place = arange(size, device=like.device) - first[:, None]
    source = ((place + 0.5) * (pixels / length.to(like.dtype))[:, None] - 0.5).clamp(0, pixels - 1)
    weights = (1 - (source[..., None] - arange(pixels, dtype=like.dtype, device=like.device)).abs()).clamp(min=0)
    return weights * ((place >= 0) & (place < length[:, None]))[..., None]


def paste_masks_in_image(masks: Any, boxes: Any, img_shape: tuple[int, int], padding: int = 1) -> Any:
    """Masks (n, 1, m, m) of boxes (n, 4) as masks (n, 1, height, width) of the picture.

    Bilinear interpolation of all masks is two products of matrices, whatever the boxes' sizes; boxes begin and end at whole
    pixels. A border of zeros is put around each mask first.

    Args:
        img_shape: height and width of the picture.
        padding: width of the border.
    """
    side = masks.shape[-1]
    inside = expand_boxes(boxes, (side + 2 * padding) / side).long()
    padded = pad(masks, (padding,) * 4)[:, 0]
    down, across = (_along(inside[:, 1 - axis], inside[:, 3 - axis], img_shape[axis], padded.shape[-1], padded)
                    for axis in (0, 1))
    return (down @ padded @ across.mT)[:, None]
