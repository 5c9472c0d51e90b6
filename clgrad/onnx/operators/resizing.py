"""Resizing and looking up between pixels.

Along one axis the result is a matrix times the values: its rows hold the weights of the neighbours of each new place.
The matrix depends on sizes alone; axes are resized one after the other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.nn import functional as F
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.table import axis_of, implements, ints, ops


def _places(mode: str, old: int, new: int, scale: float, roi: tuple[float, float]) -> np.ndarray:
    """Where the new elements lie among the old ones."""
    at = np.arange(new, dtype=np.float64)
    if mode == "half_pixel":
        return (at + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        middle = old / 2
        return middle * (1 - new / (scale * old)) + (at + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if new > 1 else np.zeros(new)
    if mode == "align_corners":
        last = old * scale - 1
        return at * (old - 1) / last if last > 0 else np.zeros(new)
    if mode == "asymmetric":
        return at / scale
    if mode == "tf_half_pixel_for_nn":
        return (at + 0.5) / scale
    if mode == "tf_crop_and_resize":
        start, end = roi
        if new > 1:
            return start * (old - 1) + at * (end - start) * (old - 1) / (new - 1)
        return np.full(new, 0.5 * (start + end) * (old - 1))
    raise OnnxError(f"Resize has no coordinate_transformation_mode '{mode}'")


def _nearest(places: np.ndarray, mode: str, old: int) -> np.ndarray:
    rounded = {"round_prefer_floor": lambda: np.ceil(places - 0.5), "round_prefer_ceil": lambda: np.floor(places + 0.5),
               "floor": lambda: np.floor(places), "ceil": lambda: np.ceil(places)}
    if mode not in rounded:
        raise OnnxError(f"Resize has no nearest_mode '{mode}'")
    return np.clip(rounded[mode](), 0, old - 1).astype(np.int64)


def _triangle(distance: np.ndarray, _: float) -> np.ndarray:
    return np.clip(1 - np.abs(distance), 0, None)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel (1981)."""
    t = np.abs(distance)
    near = (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1
    far = a * t ** 3 - 5 * a * t ** 2 + 8 * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def _weights(places: np.ndarray, old: int, kind: str, a: float, stretch: float, exclude_outside: bool) -> np.ndarray:
    """The matrix of an interpolation: (new, old). ``stretch`` widens the kernel against aliasing.

    Neighbours outside stand for the element at the border, or (``exclude_outside``) for nothing.
    """
    kernel, reach = (_triangle, 1) if kind == "linear" else (_cubic, 2)
    reach = math.ceil(reach * stretch)
    near = np.floor(places)[:, None] + np.arange(-reach, reach + 1)
    weights = kernel((near - places[:, None]) / stretch, a)
    if exclude_outside:
        weights = weights * ((near >= 0) & (near < old))
    total = weights.sum(1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    matrix = np.zeros((len(places), old))
    rows = np.arange(len(places))[:, None].repeat(near.shape[1], 1)
    np.add.at(matrix, (rows, np.clip(near, 0, old - 1).astype(np.int64)), weights)
    return matrix


def _multiplied(x: Any, axis: int, matrix: np.ndarray) -> Any:
    """The matrix times the values along an axis."""
    m = tensor(matrix, dtype=x.dtype, device=x.device)
    return ops.matmul(x.movedim(axis, -1), m.t()).movedim(-1, axis)


@implements("Resize", since=11)
def resize(x: Any, roi: Any = None, scales: Any = None, sizes: Any = None, *, mode: str = "nearest",
           coordinate_transformation_mode: str = "half_pixel", nearest_mode: str = "round_prefer_floor",
           cubic_coeff_a: float = -0.75, exclude_outside: int = 0, extrapolation_value: float = 0.0, antialias: int = 0,
           axes: Any = None, keep_aspect_ratio_policy: str = "stretch") -> Any:
    """A tensor of another size; every choice that frameworks differ in is an attribute."""
    rank = x.dim()
    where = [axis_of(axis, rank) for axis in axes] if axes is not None else list(range(rank))
    by_size = sizes is not None and sizes.numel()
    wanted, factors = (_from_sizes(ints(sizes), [x.shape[axis] for axis in where], keep_aspect_ratio_policy) if by_size
                       else _from_scales(scales.tolist(), [x.shape[axis] for axis in where]))
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    region = roi.tolist() if crop else [0.0] * len(where) + [1.0] * len(where)
    kind, outside = x.dtype, None
    work = x if x.is_floating_point() or mode == "nearest" else x.to(dtypes.float32)
    for number, axis in enumerate(where):
        old, new, scale = x.shape[axis], wanted[number], factors[number]
        span = region[number], region[number + len(where)]
        if old == new and scale == 1 and span == (0.0, 1.0):
            continue
        places = _places(coordinate_transformation_mode, old, new, scale, span)
        if mode == "nearest":
            work = work.index_select(axis, tensor(_nearest(places, nearest_mode, old), device=x.device))
        else:
            stretch = max(1 / scale, 1) if antialias else 1.0
            work = _multiplied(work, axis, _weights(places, old, mode, cubic_coeff_a, stretch,
                                                    bool(exclude_outside)))
        if crop:
            beyond = tensor((places < 0) | (places > old - 1), device=x.device)
            beyond = beyond.reshape([-1 if at == axis else 1 for at in range(rank)])
            outside = beyond if outside is None else outside | beyond
    if outside is not None:
        work = ops.where(outside, extrapolation_value, work)
    return work.to(kind)


def _from_scales(scales: list[float], old: list[int]) -> tuple[list[int], list[float]]:
    return [math.floor(n * scale) for n, scale in zip(old, scales, strict=True)], scales


def _from_sizes(sizes: list[int], old: list[int], policy: str) -> tuple[list[int], list[float]]:
    factors = [new / n for new, n in zip(sizes, old, strict=True)]
    if policy == "stretch":
        return sizes, factors
    scale = min(factors) if policy == "not_larger" else max(factors)
    return [math.floor(scale * n + 0.5) for n in old], [scale] * len(old)


@implements("Resize", since=10)
def resize_10(x: Any, scales: Any, *, mode: str = "nearest") -> Any:
    """A tensor of another size, from the corner on."""
    return resize(x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


@implements("Upsample")
def upsample(x: Any, scales: Any, *, mode: str = "nearest") -> Any:
    """A tensor made larger, from the corner on."""
    factors = scales if hasattr(scales, "tolist") else tensor(scales)
    return resize_10(x, factors, mode=mode)


@implements("GridSample", since=16)
def grid_sample(x: Any, grid: Any, *, align_corners: int = 0, mode: str = "linear",
                padding_mode: str = "zeros") -> Any:
    """Values looked up at places between the pixels."""
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return F.grid_sample(x, grid, mode, padding_mode, bool(align_corners))


@implements("AffineGrid")
def affine_grid(theta: Any, size: Any, *, align_corners: int = 0) -> Any:
    """The places at which an affine map looks pixels up."""
    return F.affine_grid(theta, ints(size), bool(align_corners))
