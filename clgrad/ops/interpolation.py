"""Images made larger or smaller: nearest, linear, cubic and area interpolation, one axis after the other.

Sources: Keys 1981 (cubic convolution, a = -0.75; -0.5 with antialiasing as in Pillow); Lanczos windows of three lobes
(Duchon 1979).
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, attach, ends_in, needs_graph
from clgrad.ops.copying import cast, empty
from clgrad.ops.memory_formats import keeps_format
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.resample import Taps, resample
from clgrad.shapes import Shape

LINEAR = {"linear": 3, "bilinear": 4, "trilinear": 5}
DIMENSIONS = {**LINEAR, "bicubic": 4, "lanczos": 4}
_NEAREST = ("nearest", "nearest-exact", "area")
_ANTIALIASED = ("bilinear", "bicubic", "lanczos")


def _scale(n: int, m: int, align_corners: bool, factor: float | None, real: type) -> Any:
    """The distance in the input of neighbours in the result."""
    if align_corners:
        return real(n - 1) / real(m - 1) if m > 1 else real(0)
    return real(1.0 / factor) if factor else real(n) / real(m)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel."""
    x = abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - abs(x), 0)


def _lanczos(x: np.ndarray) -> np.ndarray:
    """sinc(x) in the window sinc(x / 3)."""
    return np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


# With antialiasing: how far a filter reaches to each side, and its weights.
_FILTERS = {"linear": (1, _triangle), "cubic": (2, lambda x: _cubic(x, -0.5)), "lanczos": (3, _lanczos)}


@lru_cache(maxsize=512)
def _nearest(n: int, m: int, exact: bool, factor: float | None, real: type) -> Taps:
    centres = (np.arange(m).astype(real) + real(0.5 if exact else 0)) * _scale(n, m, False, factor, real)
    places = np.minimum(np.floor(centres).astype(np.int64), n - 1)
    return Taps.from_places("UpsampleNearest", n, range(m), places, m)


@lru_cache(maxsize=512)
def _smooth(n: int, m: int, kind: str, align_corners: bool, factor: float | None, real: type) -> Taps:
    """Two neighbours of each output's place, or four of "cubic"; places outside are taken at the edge."""
    cubic = kind == "cubic"
    scale = _scale(n, m, align_corners, factor, real)
    outputs: Any = np.arange(m).astype(real)
    centres = outputs * scale if align_corners else (outputs + real(0.5)) * scale - real(0.5)
    centres = centres if cubic else np.maximum(centres, 0)
    below = np.floor(centres)
    if not cubic:
        below = np.minimum(below, n - 1)
    rest = (centres - below).clip(0, 1)[:, None]
    steps = np.arange(-1, 3) if cubic else np.arange(2)
    weights = _cubic(rest - steps, -0.75) if cubic else abs(1 - steps - rest)
    places = (below[:, None].astype(np.int64) + steps).clip(0, n - 1)
    return Taps.from_places("UpsampleBicubic" if cubic else "UpsampleLinear", n, np.repeat(np.arange(m), len(steps)),
                            places.reshape(-1), m, weights.reshape(-1))


@lru_cache(maxsize=512)
def _antialiased(n: int, m: int, kind: str, align_corners: bool, factor: float | None, real: type) -> Taps:
    """A filter widened by the scale when an image gets smaller, and normalised, as in Pillow."""
    scale = _scale(n, m, align_corners, factor, real)
    stretch = max(scale, real(1))
    reach, weight = _FILTERS[kind]
    support = reach * stretch
    outputs: list[np.ndarray] = []
    places: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for j in range(m):
        centre = scale * (real(j) + real(0.5))
        first = max(int(centre - support + real(0.5)), 0)
        taken = np.arange(first, min(int(centre + support + real(0.5)), n))
        at = (taken - centre + real(0.5)) / stretch
        share = weight(at)
        outputs.append(np.full(len(taken), j))
        places.append(taken)
        weights.append(share / share.sum())
    return Taps.from_places("UpsampleAntialiased", n, np.concatenate(outputs), np.concatenate(places), m,
                            np.concatenate(weights))


def _whole_weights(taps: Taps) -> Taps:
    """The map as bytes are resized: one tap for a place, weights as 15 bits and a common power of two, as in Pillow."""
    keys = np.repeat(np.arange(taps.m), np.diff(taps.starts)) * taps.n + taps.places
    merged, number = np.unique(keys, return_inverse=True)
    weights = np.bincount(number, taps.weights, len(merged))
    unit = 1 << 22
    while unit > 1 and int(weights.max() * unit + 0.5) >= 1 << 15:
        unit >>= 1
    rounded = np.trunc(weights * unit + np.copysign(0.5, weights)) / unit
    return Taps.from_places(taps.name, taps.n, merged // taps.n, merged % taps.n, taps.m, rounded)


@lru_cache(maxsize=512)
def _byte_taps(antialias: bool, *arguments: Any) -> Taps:
    return _whole_weights((_antialiased if antialias else _smooth)(*arguments, np.float64))


def _resized_bytes(x: Any, sizes: list[int], factors: list, kind: str, align_corners: bool, antialias: bool) -> Any:
    """An image of bytes, which are rounded after each axis; the last axis is the first. float32 holds the sums exactly."""
    result = cast(x, dtypes.float32)
    for axis in reversed(range(2, x.spec.ndim)):
        n, m = x.spec.shape[axis], sizes[axis - 2]
        taps = _byte_taps(antialias, n, m, kind, align_corners, factors[axis - 2])
        if not taps.is_identity:
            result = (resample(result, axis, taps) + 0.5).floor().clamp(0, 255)
    return cast(result, x.spec.dtype)


def _sizes(input: Any, size: Any, scale_factor: Any, recompute: bool | None) -> tuple[list[int], list[float | None]]:
    """The sizes of the result's spatial dimensions, and the factors that count besides them."""
    rank, shape = input.spec.ndim - 2, input.spec.shape[2:]
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        sizes = list(size) if isinstance(size, (tuple, list)) else [size] * rank
        if len(sizes) != rank:
            raise ValueError(f"Input and output must have the same number of spatial dimensions, but got input with spatial "
                             f"dimensions of {list(shape)} and output size of {size}. Please provide input tensor in (N, C, "
                             "d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format.")
        if any(isinstance(s, float) or isinstance(s, TensorBase) and s.spec.dtype.is_floating_point for s in sizes):
            raise TypeError("expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but "
                            f"got size with types {[type(s) for s in sizes]}")
        return [int(s) for s in sizes], [None] * rank
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    factors = list(scale_factor) if isinstance(scale_factor, (tuple, list)) else [scale_factor] * rank
    if len(factors) != rank:
        raise ValueError(f"Input and scale_factor must have the same number of spatial dimensions, but got input with "
                         f"spatial dimensions of {list(shape)} and scale_factor of shape "
                         f"{tuple(factors)}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and scale_factor "
                         "in (s1, s2, ...,sK) format.")
    sizes = [math.floor(float(n) * float(f)) for n, f in zip(shape, factors, strict=True)]
    return sizes, [None] * rank if recompute else [float(f) for f in factors]


def _check(input: Any, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if not isinstance(input, TensorBase):
        raise TypeError(f"interpolate(): argument 'input' must be Tensor, not {type(input).__name__}")
    ndim = input.spec.ndim
    if mode in _NEAREST and align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
                         "trilinear")
    if antialias and not (mode in _ANTIALIASED and ndim == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor "
                         "as input")
    _check_dimensions(ndim, mode)
    if mode == "lanczos" and (align_corners or not antialias):
        raise ValueError("Lanczos mode does not support align_corners=True" if align_corners else
                         "Lanczos mode requires antialias=True")


def _check_dimensions(ndim: int, mode: str) -> None:
    if ndim in (3, 4, 5) and LINEAR.get(mode, ndim) != ndim:
        raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {LINEAR[mode]}D input")
    if ndim not in (3, 4, 5) or DIMENSIONS.get(mode, ndim) != ndim or mode not in (*_NEAREST, *DIMENSIONS):
        raise NotImplementedError(f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: "
                                  "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got "
                                  f"{mode})")


def _of_shape(x: Any, shape: Shape) -> Any:
    """A result of this shape on the device meta."""
    own = x.spec
    out = empty(shape, own.dtype, own.device)
    if needs_graph(x):
        attach(out, "Upsample", (x,), lambda g: g.new_empty(own.shape))
    return out


def _check_sizes(shape: Shape, sizes: list[int]) -> None:
    if 0 in shape[1:2]:
        raise RuntimeError(f"Non-empty {len(shape)}D data tensor expected but got a tensor with sizes {list(shape)}")
    if min(sizes) <= 0 or 0 in shape[2:]:
        before, after = (", ".join(f"{label}: {n}" for label, n in zip("DHW"[-len(sizes):], values, strict=True))
                         for values in (shape[2:], sizes))
        between = "and output" if len(sizes) == 1 else "output"
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input ({before}) {between} ({after})")


@operator("interpolate", method=False)
@keeps_format
def interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Any:
    """Resizes the spatial dimensions of (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    Args:
        size: the new sizes, or ``scale_factor``: what the sizes are multiplied by (rounded down).
        mode: "nearest", "nearest-exact" (as Pillow and scikit-image), "linear" (3-D), "bilinear", "bicubic", "lanczos"
            (4-D), "trilinear" (5-D) or "area".
        align_corners: whether the corners' centres stay where they are. Default: False.
        recompute_scale_factor: take the scale of the rounded sizes instead of the given one.
        antialias: widen the filter when an image gets smaller: "bilinear", "bicubic" and, which asks for it, "lanczos".

    >>> import clgrad
    >>> clgrad.nn.functional.interpolate(clgrad.tensor([[[1., 2.]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    _check(input, mode, align_corners, antialias)
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    sizes, factors = _sizes(input, size, scale_factor, recompute_scale_factor)
    shape = input.spec.shape
    _check_sizes(shape, sizes)
    if math.prod((*shape[:2], *sizes)) >= 2 ** 63:
        raise RuntimeError(f"interpolate: an output of size {[*shape[:2], *sizes]} has too many elements")
    if not input.spec.device.compute.has_memory:  # a shape alone: no table of places is made for it
        return _of_shape(input, (*shape[:2], *sizes))
    if mode == "area":
        return FUNCTIONS[f"adaptive_avg_pool{len(sizes)}d"](input, sizes)
    kind = input.spec.dtype
    form = {"bicubic": "cubic", "lanczos": "lanczos"}.get(mode, "linear")
    if kind is dtypes.uint8 and not mode.startswith("nearest"):
        return _resized_bytes(input, sizes, factors, form, bool(align_corners), antialias)
    if not kind.is_floating_point and kind is not dtypes.uint8:
        raise NotImplementedError(f"\"upsample_{mode}\" not implemented for '{dtypes.type_name(kind)}'")
    real = np.float64 if kind is dtypes.float64 else np.float32
    rounds = kind.is_floating_point and kind is not kind.compute and not mode.startswith("nearest")
    result = input = cast(input, kind.compute) if rounds else input  # between the axes nothing is rounded
    for number, (m, factor) in enumerate(zip(sizes, factors, strict=True)):
        n = shape[2 + number]
        if mode.startswith("nearest"):
            taps = _nearest(n, m, mode != "nearest", factor, real)
        else:
            make = _antialiased if antialias else _smooth
            taps = make(n, m, form, bool(align_corners), factor, real)
        if not taps.is_identity:
            result = resample(result, 2 + number, taps)
    name = f"Upsample{_NODES[mode]}{len(sizes)}D{'Aa' if antialias else ''}"
    return ends_in(cast(result if result is not input else input.clone(), kind), name)


_NODES = {"nearest": "Nearest", "nearest-exact": "NearestExact", "linear": "Linear", "bilinear": "Bilinear",
          "bicubic": "Bicubic", "trilinear": "Trilinear", "lanczos": "Lanczos"}  # as PyTorch calls what is recorded


def _deprecated(name: str) -> None:
    warnings.warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=4)


def upsample(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Any:
    """:func:`interpolate` under its old name."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """:func:`interpolate` with ``mode="nearest"``."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """:func:`interpolate` with ``mode="bilinear"`` and aligned corners."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)
