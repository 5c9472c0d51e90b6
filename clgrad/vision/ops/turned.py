"""What turned boxes share."""

from __future__ import annotations

import math
from typing import Any

from clgrad.ops.registry import FUNCTIONS

_cat, _stack, _where = FUNCTIONS["cat"], FUNCTIONS["stack"], FUNCTIONS["where"]


def _cross(a: Any, b: Any) -> Any:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _sides(boxes: Any) -> tuple[Any, Any]:
    """Half of a box's width and of its height as vectors (..., 2)."""
    angle = boxes[..., 4] * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return (_stack((cos, -sin), -1) * boxes[..., 2:3] / 2, _stack((sin, cos), -1) * boxes[..., 3:4] / 2)


def _inside(points: Any, middle: Any, along: Any, down: Any) -> Any:
    """Which points (..., p, 2) are in a box, its edges with what rounding makes of them included."""
    moved = points - middle[..., None, :]
    shares = [(moved * side[..., None, :]).sum(-1).abs() <= (1 + 1e-5) * (side * side).sum(-1)[..., None]
              for side in (along, down)]
    return shares[0] & shares[1]


def shared_by_turned(boxes1: Any, boxes2: Any) -> Any:
    """The areas (..., n, m) that pairs of boxes (centre, sides, degrees against the clock) share, in float32.

    They share a convex polygon. Its corners are those corners of either box that are in the other one, and the points where
    edges cross; in the order of their directions from the polygon's middle they give its area. Coordinates are taken from one
    box's centre, so that boxes far from the origin lose no digits.
    """
    boxes1, boxes2 = boxes1.detach().float()[..., :, None, :], boxes2.detach().float()[..., None, :, :]
    between = boxes2[..., :2] - boxes1[..., :2]
    origin = between.new_zeros(between.shape)
    corners, members = [], []
    for middle, (along, down) in ((origin, _sides(boxes1)), (between, _sides(boxes2))):
        members.append((middle, along, down))
        corners.append(_stack([middle + a * along + b * down for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))], -2))
    start1, start2 = corners[0][..., :, None, :], corners[1][..., None, :, :]
    edge1, edge2 = (one.roll(-1, -2) - one for one in corners)
    edge1, edge2 = edge1[..., :, None, :], edge2[..., None, :, :]
    turn = _cross(edge1, edge2)
    parallel = turn == 0
    turn = turn.masked_fill(parallel, 1)
    place1, place2 = _cross(start2 - start1, edge2) / turn, _cross(start2 - start1, edge1) / turn
    crossing = ~parallel & (place1 >= 0) & (place1 <= 1) & (place2 >= 0) & (place2 <= 1)
    points = _cat([*corners, (start1 + place1[..., None] * edge1).flatten(-3, -2)], -2)
    valid = _cat([_inside(corners[0], *members[1]), _inside(corners[1], *members[0]), crossing.flatten(-2)], -1)
    # What is no corner is sorted behind those that are, and repeats the first of them there, which adds no area.
    count = valid.sum(-1, keepdim=True)
    points = _where(valid[..., None], points, 0)
    points = points - (points.sum(-2) / count.clamp(min=1))[..., None, :]
    directions = FUNCTIONS["atan2"](points[..., 1], points[..., 0]).masked_fill(~valid, math.inf)
    order = directions.sort(-1)[1]
    sorted_points = points.gather(-2, order[..., None].expand(points.shape))
    first = sorted_points[..., :1, :].expand(points.shape)
    polygon = _where(valid.gather(-1, order)[..., None], sorted_points, first)
    area = _cross(polygon, polygon.roll(-1, -2)).sum(-1).abs() / 2
    solid = (boxes1[..., 2:4] > 0).all(-1) & (boxes2[..., 2:4] > 0).all(-1)
    return _where(solid & (count[..., 0] > 2), area, 0)
