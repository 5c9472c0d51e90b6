"""The numbers of transforms of places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def inverse_affine(center: Sequence[float], angle: float, translate: Sequence[float], scale: float,
                   shear: Sequence[float]) -> list[float]:
    """The inverse of translate * centre * rotate * shear * scale * uncentre, as six numbers."""
    turn, sx, sy = (math.radians(v) for v in (angle, shear[0], shear[1]))
    cx, cy = center
    a = math.cos(turn - sy) / math.cos(sy)
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    c = math.sin(turn - sy) / math.cos(sy)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    matrix = [d / scale, -b / scale, 0.0, -c / scale, a / scale, 0.0]
    for row in (0, 3):
        matrix[row + 2] = (matrix[row] * (-cx - translate[0]) + matrix[row + 1] * (-cy - translate[1])
                           + (cx if row == 0 else cy))
    return matrix


def turned_size(size: tuple[int, int], matrix: Sequence[float]) -> tuple[int, int]:
    """The height and width that a picture has after :func:`rotate` with ``expand``."""
    height, width = size
    x, y = np.array([-0.5, 0.5, 0.5, -0.5]) * width, np.array([-0.5, -0.5, 0.5, 0.5]) * height
    known = np.array(matrix, np.float32).reshape(2, 3)  # moved as well: places are rounded where they come to lie
    turned = known[:, :2] @ np.stack([x, y]).astype(np.float32) + known[:, 2:]
    step = np.float32(1e-4)  # in float32, whose rounding is that of torchvision
    places = np.trunc((turned + np.array([[width * 0.5], [height * 0.5]], np.float32)) / step) * step
    low, high = np.floor(places.min(1)), np.ceil(places.max(1))
    return int(high[1] - low[1]), int(high[0] - low[0])


def perspective_coefficients(startpoints: Any, endpoints: Any) -> list[float]:
    """Eight numbers c of the map x = (c0 u + c1 v + c2) / w, y = (c3 u + c4 v + c5) / w with w = c6 u + c7 v + 1.

    It maps four ``endpoints`` (u, v) to ``startpoints`` (x, y).
    """
    rows, known = [], []
    for (x, y), (u, v) in zip(startpoints, endpoints, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -x * u, -x * v], [0, 0, 0, u, v, 1, -y * u, -y * v]]
        known += [x, y]
    return np.linalg.lstsq(np.array(rows, np.float64), np.array(known, np.float64), rcond=None)[0].astype(np.float32).tolist()


def given_perspective(startpoints: Any, endpoints: Any, coefficients: Sequence[float] | None) -> Sequence[float]:
    """The eight coefficients that are given, else those of points.

    Raises:
        ValueError: neither points nor coefficients; another number of coefficients than eight.
    """
    if coefficients is None:
        if startpoints is None or endpoints is None:
            raise ValueError("Either the startpoints/endpoints or the coefficients must have non `None` values.")
        return perspective_coefficients(startpoints, endpoints)
    if len(coefficients) != 8:
        raise ValueError("Argument coefficients should have 8 float values")
    return coefficients
