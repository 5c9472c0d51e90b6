"""Keypoints of what was found: heat maps of them, their loss, and the places that heat maps mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad import dtypes
from clgrad.creation import ones, zeros
from clgrad.nn.functional import cross_entropy, interpolate
from clgrad.ops.registry import FUNCTIONS

_cat, _stack, _where = FUNCTIONS["cat"], FUNCTIONS["stack"], FUNCTIONS["where"]


def keypoints_to_heatmap(keypoints: Any, rois: Any, heatmap_size: int) -> tuple[Any, Any]:
    """For points (n, k, 3) of x, y and visibility the pixels (n, k) of square heat maps of the boxes (n, 4), numbered row by
    row, and 1 for those that can be seen and lie in their box."""
    corner, size = rois[:, None, :2], (rois[:, 2:] - rois[:, :2])[:, None]
    place = ((keypoints[..., :2] - corner) * (heatmap_size / size)).floor().long()
    place = _where(keypoints[..., :2] == rois[:, None, 2:], heatmap_size - 1, place)  # on the right or lower edge
    valid = ((place >= 0) & (place < heatmap_size)).all(-1) & (keypoints[..., 2] > 0)
    return (place[..., 1] * heatmap_size + place[..., 0]) * valid, valid.long()


def heatmaps_to_keypoints(maps: Any, rois: Any) -> tuple[Any, Any]:
    """The points (n, k, 3) of x, y and 1 where heat maps (n, k, h, w) of boxes (n, 4) are highest, and the heights (n, k).

    Each heat map is resized to its box (bicubically), whose size is looked up on the host.
    """
    sides = (rois[:, 2:] - rois[:, :2]).clamp(min=1)
    points, scores = [], []
    for heat, (width, height), side, corner in zip(maps, sides.ceil().long().tolist(), sides, rois[:, :2], strict=True):
        sized = interpolate(heat[:, None], size=(height, width), mode="bicubic", align_corners=False).flatten(1)
        highest, place = sized.max(1)
        whole = _stack([place % width, place // width], 1).to(rois.dtype)
        found = (whole + 0.5) * (side / side.ceil()) + corner
        points.append(_cat([found, ones((len(found), 1), dtype=found.dtype, device=found.device)], 1).float())
        scores.append(highest.float())
    if not points:
        empty = zeros((0, maps.shape[1], 3), dtype=dtypes.float32, device=maps.device)
        return empty, empty[..., 0]
    return _stack(points), _stack(scores)


def keypointrcnn_loss(keypoint_logits: Any, proposals: Sequence[Any], gt_keypoints: Sequence[Any],
                      keypoint_matched_idxs: Sequence[Any]) -> Any:
    """The mean cross entropy of heat maps (n, k, m, m) over their pixels, of the points that can be seen (He et al. 2017).

    Raises:
        ValueError: heat maps that are not square.
    """
    count, kinds, height, width = keypoint_logits.shape
    if height != width:
        raise ValueError("keypoint_logits height and width (last two elements of shape) should be equal. Instead got H = "
                         f"{height} and W = {width}")
    found = [keypoints_to_heatmap(points[matched], boxes, height) for boxes, points, matched in zip(
        proposals, gt_keypoints, keypoint_matched_idxs, strict=True)]
    targets = _cat([one.flatten() for one, _ in found])
    valid = _where(_cat([one.flatten() for _, one in found]))[0]
    if not len(valid):
        return keypoint_logits.sum() * 0
    return cross_entropy(keypoint_logits.reshape(count * kinds, height * width)[valid], targets[valid])


def keypointrcnn_inference(x: Any, boxes: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """For each picture the points and their heights, see :func:`heatmaps_to_keypoints`."""
    found = [heatmaps_to_keypoints(maps, one) for maps, one in zip(x.split([len(one) for one in boxes]), boxes, strict=True)]
    return [points for points, _ in found], [scores for _, scores in found]
