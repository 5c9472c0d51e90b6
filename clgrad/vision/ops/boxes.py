"""Boxes: rows (x1, y1, x2, y2) with x1 < x2 and y1 < y2, in pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.creation import arange, empty, from_numpy, zeros
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.suppression import overlapping_boxes
from clgrad.tensor import Tensor
from clgrad.vision.ops.turned import shared_by_turned

_stack, _where = FUNCTIONS["stack"], FUNCTIONS["where"]


def _wide(t: Any) -> Any:
    """A dtype in which areas do not overflow: float32 or float64, or int32 or int64."""
    if t.is_floating_point():
        return t if t.dtype in (dtypes.float32, dtypes.float64) else t.float()
    return t if t.dtype in (dtypes.int32, dtypes.int64) else t.int()


_STRAIGHT = ("xyxy", "xywh", "cxcywh")
_TURNED = ("xywhr", "cxcywhr", "xyxyxyxy")


def box_area(boxes: Any, fmt: str = "xyxy") -> Any:
    """The areas (n,) of boxes (n, 4) of the form ``fmt``, see :func:`box_convert`.

    Raises:
        ValueError: another form.
    """
    if fmt not in _STRAIGHT:
        raise ValueError(f"Unsupported Bounding Box area for given format {fmt}")
    boxes = _wide(boxes)
    if fmt != "xyxy":
        return boxes[..., 2] * boxes[..., 3]
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _box_inter_union(boxes1: Any, boxes2: Any) -> tuple[Any, Any]:
    """The areas (n, m) that pairs of boxes share, and those that they cover together."""
    area1, area2 = box_area(boxes1), box_area(boxes2)
    low = FUNCTIONS["max"](boxes1[..., :, None, :2], boxes2[..., None, :, :2])
    high = FUNCTIONS["min"](boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])
    sides = _wide(high - low).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    return shared, area1[..., :, None] + area2[..., None, :] - shared


def box_iou(boxes1: Any, boxes2: Any, fmt: str = "xyxy") -> Any:
    """What pairs of boxes share over what they cover: (n, 4) and (m, 4) give (n, m).

    Args:
        fmt: their form, see :func:`box_convert`. Of turned boxes the result is float32, and has no gradient.

    Raises:
        ValueError: another form.
    """
    if fmt in _TURNED:
        boxes1, boxes2 = (boxes.float() if fmt == "cxcywhr" else _turned(boxes.float(), fmt, "cxcywhr")
                          for boxes in (boxes1, boxes2))
        shared = shared_by_turned(boxes1, boxes2)
        areas = [boxes.detach()[..., 2] * boxes.detach()[..., 3] for boxes in (boxes1, boxes2)]
        union = areas[0][..., :, None] + areas[1][..., None, :] - shared
        return _where(union > 0, shared / union, 0)
    if fmt not in _STRAIGHT:
        raise ValueError(f"Unsupported format '{fmt}'. Supported formats: {_STRAIGHT + _TURNED}")
    if fmt != "xyxy":  # halves of whole numbers stay halves
        boxes1, boxes2 = (_straight(boxes, fmt, "xyxy") for boxes in (boxes1, boxes2))
    shared, union = _box_inter_union(boxes1, boxes2)
    return shared / union


def _hull(boxes1: Any, boxes2: Any) -> Any:
    """Width and height (n, m, 2) of the smallest boxes around pairs."""
    low = FUNCTIONS["min"](boxes1[..., :, None, :2], boxes2[..., None, :, :2])
    high = FUNCTIONS["max"](boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])
    return _wide(high - low).clamp(min=0)


def generalized_box_iou(boxes1: Any, boxes2: Any) -> Any:
    """:func:`box_iou` less the empty part of the smallest box around a pair (Rezatofighi et al. 2019)."""
    shared, union = _box_inter_union(boxes1, boxes2)
    sides = _hull(boxes1, boxes2)
    area = sides[..., 0] * sides[..., 1]
    return shared / union - (area - union) / area


def distance_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
    """:func:`box_iou` less the centres' squared distance over the squared diagonal around them (Zheng et al. 2020)."""
    boxes1, boxes2 = _wide(boxes1), _wide(boxes2)
    sides = _hull(boxes1, boxes2)
    diagonal = sides[..., 0] ** 2 + sides[..., 1] ** 2 + eps
    middle1, middle2 = ((boxes[..., :2] + boxes[..., 2:]) / 2 for boxes in (boxes1, boxes2))
    between = ((middle1[..., :, None, :] - middle2[..., None, :, :]) ** 2).sum(-1)
    return box_iou(boxes1, boxes2) - between / diagonal


def complete_box_iou(boxes1: Any, boxes2: Any, eps: float = 1e-7) -> Any:
    """:func:`distance_box_iou` less a term for unequal proportions (Zheng et al. 2020)."""
    boxes1, boxes2 = _wide(boxes1), _wide(boxes2)
    iou, distance = box_iou(boxes1, boxes2), distance_box_iou(boxes1, boxes2, eps)
    slope1, slope2 = (((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1])).atan() for b in (boxes1, boxes2))
    unlike = 4 / math.pi**2 * (slope1[..., :, None] - slope2[..., None, :]) ** 2
    weight = (unlike / (1 - iou + unlike + eps)).detach()
    return distance - weight * unlike


def _straight(boxes: Any, in_fmt: str, out_fmt: str) -> Any:
    a, b, c, d = boxes.unbind(-1)
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return _stack((a, b, c, d), -1)


def _turned(boxes: Any, in_fmt: str, out_fmt: str) -> Any:
    """The same of turned boxes. An angle in degrees is counted against the clock, with y downwards."""
    if in_fmt == "xyxyxyxy":
        x, y, x2, y2, x3, y3, _, _ = boxes.unbind(-1)
        r = FUNCTIONS["atan2"](y - y2, x2 - x)
        w, h = ((x2 - x) ** 2 + (y - y2) ** 2).sqrt(), ((x3 - x2) ** 2 + (y3 - y2) ** 2).sqrt()
    else:
        x, y, w, h, degrees = boxes.unbind(-1)
        r = degrees * (math.pi / 180)
    cos, sin = r.cos(), r.sin()
    if in_fmt == "cxcywhr":
        x, y = x - w / 2 * cos - h / 2 * sin, y - h / 2 * cos + w / 2 * sin
    if out_fmt == "xyxyxyxy":
        along, down = (w * cos, -w * sin), (h * sin, h * cos)
        return _stack((x, y, x + along[0], y + along[1], x + along[0] + down[0], y + along[1] + down[1], x + down[0],
                       y + down[1]), -1)
    if out_fmt == "cxcywhr":
        x, y = x + w / 2 * cos + h / 2 * sin, y - w / 2 * sin + h / 2 * cos
    return _stack((x, y, w, h, r * (180 / math.pi)), -1)


def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Any:
    """Boxes (n, 4) in another form: ``xyxy``, ``xywh`` (corner and sides) or ``cxcywh`` (centre and sides).

    Whole numbers become float32 where there is a centre. Turned boxes are ``xywhr`` and ``cxcywhr`` (n, 5), with an angle in
    degrees against the clock, and ``xyxyxyxy`` (n, 8), the four corners.

    Raises:
        ValueError: another form.
        NotImplementedError: from a straight form to a turned one, or back.
    """
    if not {in_fmt, out_fmt} <= {*_STRAIGHT, *_TURNED}:
        raise ValueError(f"Unsupported Bounding Box Conversions for given in_fmt and out_fmt: {in_fmt!r} to {out_fmt!r}; "
                         f"there are {', '.join(_STRAIGHT + _TURNED)}")
    if in_fmt == out_fmt:
        return boxes.clone()
    if (in_fmt in _STRAIGHT) != (out_fmt in _STRAIGHT):
        raise NotImplementedError(f"Unsupported Bounding Box Conversions for given in_fmt {in_fmt} and out_fmt {out_fmt}")
    if in_fmt in _STRAIGHT:
        return _straight(boxes, in_fmt, out_fmt)
    made = _turned(boxes, in_fmt, out_fmt)
    return made if boxes.is_floating_point() else made.round().to(boxes.dtype)


def clip_boxes_to_image(boxes: Any, size: tuple[int, int]) -> Any:
    """Boxes cut at the edges of a picture of ``size`` (height, width)."""
    height, width = size
    xs, ys = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return _stack((xs, ys), boxes.ndim).reshape(boxes.shape)


def remove_small_boxes(boxes: Any, min_size: float) -> Any:
    """The numbers of the boxes whose sides are at least ``min_size``."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return _where((sides >= min_size).all(-1))[0]


def masks_to_boxes(masks: Any) -> Any:
    """The boxes (n, 4) around what is not zero in each of n masks (n, height, width); 0 for an empty one."""
    if not masks.numel():
        return zeros((0, 4), device=masks.device)
    found = []
    for dim, size in ((1, masks.shape[2]), (2, masks.shape[1])):
        filled = (masks != 0).any(dim)
        places = arange(size, device=masks.device)
        found.append((_where(filled, places, size).amin(1), _where(filled, places, -1).amax(1)))
    boxes = _stack((found[0][0], found[1][0], found[0][1], found[1][1]), 1).float()
    return boxes * (masks != 0).flatten(1).any(1, keepdim=True)


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """The numbers of the boxes that stay, the best first: each box drops those worse ones that overlap it by more.

    Which boxes overlap is found on the device; the choice, which goes from box to box, is made on the host.

    Args:
        boxes: (n, 4).
        scores: (n,).
        iou_threshold: a box is dropped where its :func:`box_iou` with a better one is larger.

    Raises:
        RuntimeError: the shapes do not fit.

    >>> import clgrad
    >>> boxes = clgrad.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    >>> nms(boxes, clgrad.tensor([0.5, 0.9, 0.7]), 0.5)
    tensor([1, 2])
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RuntimeError(f"nms: boxes should be a 2d tensor of 4 columns, got shape {list(boxes.shape)}")
    if scores.ndim != 1 or len(scores) != len(boxes):
        raise RuntimeError(f"nms: boxes and scores should have same number of elements in dimension 0, got {len(boxes)} "
                           f"and shape {list(scores.shape)}")
    return _kept(boxes, scores, zeros(len(boxes), dtype=dtypes.int64, device=boxes.device), iou_threshold)


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """:func:`nms` among the boxes of each class; ``idxs`` (n,) holds the classes."""
    return _kept(boxes, scores, idxs.long(), iou_threshold)


def _kept(boxes: Any, scores: Any, classes: Any, iou_threshold: float) -> Any:
    if not len(boxes):
        return empty((0,), dtype=dtypes.int64, device=boxes.device)
    best = scores.detach().sort(descending=True, stable=True)[1]
    within = classes[best].sort(stable=True)[1]  # the places among the best of the boxes of each class, one after another
    order = best[within]
    words = overlapping_boxes(_wide(boxes.detach())[order].as_subclass(Tensor), classes[order], float(iou_threshold))
    bits, places = words.cpu().numpy().view(np.uint32), within.cpu().numpy()
    dropped = np.zeros(bits.shape[1], np.uint32)
    stays = np.zeros(len(bits), bool)  # by the place among the best
    for number, place in enumerate(places):
        if not dropped[number >> 5] >> (number & 31) & 1:
            stays[place] = True
            dropped |= bits[number]
    return best[from_numpy(stays).to(best.device)]
