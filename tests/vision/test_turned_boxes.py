"""What turned boxes share, against the clipping of one polygon by the edges of another in Python's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clgrad
from clgrad.vision import ops


def corners(box):
    x, y, w, h, degrees = (float(v) for v in box)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(x + a * w / 2 * cos + b * h / 2 * sin, y - a * w / 2 * sin + b * h / 2 * cos)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def area(polygon):
    return abs(sum(p[0] * q[1] - p[1] * q[0] for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True))) / 2


def shared(one, two):
    """Sutherland and Hodgman: what lies on the inner side of each edge in turn."""
    polygon, frame = corners(one), corners(two)
    for (x1, y1), (x2, y2) in zip(frame, frame[1:] + frame[:1], strict=True):
        sides = [(x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) for x, y in polygon]
        kept = []
        for (p, s), (q, t) in zip(zip(polygon, sides, strict=True), list(zip(polygon, sides, strict=True))[1:]
                                  + list(zip(polygon, sides, strict=True))[:1], strict=True):
            if s >= 0:
                kept.append(p)
            if (s >= 0) != (t >= 0):
                share = s / (s - t)
                kept.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
        polygon = kept
        if not polygon:
            return 0.0
    return area(polygon)


def expected(a, b):
    return [[shared(p, q) / (p[2] * p[3] + q[2] * q[3] - shared(p, q)) for q in b] for p in a]


@pytest.mark.parametrize("form", ["cxcywhr", "xywhr", "xyxyxyxy"])
def test_overlaps_of_turned_boxes(form):
    rng = np.random.default_rng(0)
    a, b = (np.concatenate([rng.uniform(40, 52, (n, 2)), rng.uniform(3, 15, (n, 2)), rng.uniform(-200, 200, (n, 1))], 1)
            for n in (9, 7))
    one, two = (ops.box_convert(clgrad.tensor(boxes, dtype=clgrad.float32), "cxcywhr", form) for boxes in (a, b))
    own = ops.box_iou(one, two, fmt=form)
    assert own.dtype is clgrad.float32 and len(np.unique(own.numpy() > 0)) == 2
    np.testing.assert_allclose(own.numpy(), expected(a, b), atol=2e-5)


def test_turned_boxes_with_edges_in_common():
    # The same box, one inside of it with an edge on its edge, one beside it that touches it, its quarter turn, a part of it.
    box = (8.0, 5, 6, 2, 30)
    along = np.array([math.cos(math.radians(30)), -math.sin(math.radians(30))])
    inner = (*(np.array(box[:2]) + 2 * along), 2, 2, 30)
    beside = (*(np.array(box[:2]) + 6 * along), 6, 2, 30)
    own = ops.box_iou(clgrad.tensor([box]), clgrad.tensor([box, inner, beside, (8, 5, 2, 6, -60), (8, 5, 6, 1, 30)]),
                      fmt="cxcywhr")
    np.testing.assert_allclose(own.numpy(), [[1, 1 / 3, 0, 1, 1 / 2]], atol=1e-5)
    far = ops.box_iou(clgrad.tensor([[2563.745, 1436.79, 2174.703, 214.095, 115.118]]),
                      clgrad.tensor([[2563.745, 1436.7905, 2174.7025, 214.0949, 115.118]]), fmt="cxcywhr")
    np.testing.assert_allclose(far.numpy(), [[1]], atol=1e-3)


def test_turned_boxes_without_area_and_without_number():
    flat, square = clgrad.tensor([[0.0, 0, 0, 10, 45]]), clgrad.tensor([[0.0, 0, 10, 10, 30]], requires_grad=True)
    made = ops.box_iou(flat, square, fmt="cxcywhr")
    assert made.tolist() == [[0]] and not made.requires_grad
    assert ops.box_iou(flat, flat, fmt="cxcywhr").tolist() == [[0]]
    assert ops.box_iou(clgrad.zeros(0, 5), square, fmt="cxcywhr").shape == (0, 1)
