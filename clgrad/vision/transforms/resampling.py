"""Resampling along one axis as a matrix: resizing and blurring are then two products, for arrays and tensors alike.

Weights follow PyTorch's ``interpolate`` (``align_corners=False``): without antialiasing the filter has its own width,
with antialiasing it is stretched by the factor of reduction, as Pillow does it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution (1981)."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * a * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_FILTERS = {"bilinear": (_triangle, 1.0), "bicubic": (lambda x: _cubic(x, -0.5), 2.0), "lanczos": (_lanczos, 3.0)}


@lru_cache(maxsize=64)
def resize_matrix(old: int, new: int, mode: str, antialias: bool) -> np.ndarray:
    """The (new, old) matrix that resamples an axis. ``mode``: nearest, nearest-exact, bilinear, bicubic, lanczos."""
    scale = old / new
    matrix = np.zeros((new, old))
    rows = np.arange(new)
    if mode == "nearest" or mode == "nearest-exact":
        shift = 0.5 if mode == "nearest-exact" else 0.0
        matrix[rows, np.minimum(np.floor((rows + shift) * scale).astype(int), old - 1)] = 1
    elif antialias or mode == "lanczos":
        function, width = _FILTERS[mode]
        stretch = max(scale, 1.0)
        centres = (rows + 0.5) * scale
        columns = np.arange(old)
        first = np.maximum((centres - width * stretch + 0.5).astype(int), 0)
        last = np.minimum((centres + width * stretch + 0.5).astype(int), old)
        inside = (columns >= first[:, None]) & (columns < last[:, None])
        matrix = np.where(inside, function((columns - centres[:, None] + 0.5) / stretch), 0.0)
        matrix /= matrix.sum(1, keepdims=True)
    else:
        places = (rows + 0.5) * scale - 0.5
        if mode == "bilinear":
            places = np.maximum(places, 0)
        low = np.floor(places).astype(int)
        for tap in range(-1, 3) if mode == "bicubic" else range(2):
            distance = places - (low + tap)
            weight = _cubic(distance, -0.75) if mode == "bicubic" else _triangle(distance)
            np.add.at(matrix, (rows, np.clip(low + tap, 0, old - 1)), weight)
    return matrix.astype(np.float32)


@lru_cache(maxsize=64)
def blur_matrix(size: int, kernel: int, sigma: float) -> np.ndarray:
    """The (size, size) matrix that blurs an axis with a Gaussian of ``kernel`` taps, mirrored at the ends."""
    half = (kernel - 1) * 0.5
    taps = np.exp(-0.5 * (np.linspace(-half, half, kernel) / sigma) ** 2)
    taps /= taps.sum()
    matrix = np.zeros((size, size))
    rows = np.arange(size)
    for place, weight in enumerate(taps, -(kernel // 2)):
        period = max(2 * (size - 1), 1)
        columns = (rows + place) % period
        columns = np.where(columns >= size, period - columns, columns)
        np.add.at(matrix, (rows, columns), weight)
    return matrix.astype(np.float32)
