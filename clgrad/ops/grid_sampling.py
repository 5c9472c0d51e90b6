"""Sampling images and volumes at given points, and the grids of affine maps (Jaderberg et al. 2015)."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.autograd.recorded import recorded_gradients
from clgrad.kernels import grid_sample as kernels
from clgrad.kernels.grid_sample import Images
from clgrad.ops.copying import empty, from_array, full
from clgrad.ops.execute import blank, check_device, execute
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.spec import Spec

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
_CUBIC = -0.75  # Keys 1981


def _unnormalized(points: Any, size: int, align_corners: bool) -> Any:
    """Coordinates in [-1, 1] as places in [0, size - 1]."""
    return (points + 1) * ((size - 1) / 2) if align_corners else ((points + 1) * size - 1) * 0.5


def _reflected(x: Any, low: float, high: float) -> Any:
    """Places mirrored at the ends of [low, high] until they are inside."""
    span = high - low
    if span == 0:
        return x * 0
    rest = (x - low).abs()
    turns = (rest.detach() / span).floor()
    rest = rest - turns * span
    return FUNCTIONS["where"](turns.remainder(2) == 0, rest + low, high - rest)


def _inside(x: Any, size: int, padding: str, align_corners: bool) -> Any:
    """Places moved into the image as the padding asks; "zeros" leaves them."""
    if padding == "reflection":
        x = _reflected(x, 0.0, size - 1.0) if align_corners else _reflected(x, -0.5, size - 0.5)
    if padding == "zeros":
        return x
    # A border does not pass gradients on; NaN counts as the first pixel.
    inside = (x > 0) & (x < size - 1)
    return FUNCTIONS["where"](inside, x, FUNCTIONS["nan_to_num"](x.detach(), 0.0).clamp(0, size - 1))


def _picker(input: Any, grid_sizes: tuple[int, ...]) -> Callable[[list], Any]:
    """A function of whole places, one tensor an axis: the elements there, 0 outside, as (n, c, points)."""
    count, channels, *sizes = input.spec.shape
    flat = input.reshape(count, channels, prod(sizes))

    def pick(places: list) -> Any:
        index: Any = 0
        valid: Any = None
        for at, size in zip(places, sizes, strict=True):
            ok = (at >= 0) & (at <= size - 1)
            valid = ok if valid is None else valid & ok
            index = index * size + FUNCTIONS["nan_to_num"](at, 0.0).clamp(0, size - 1).long()
        index = index.reshape(count, 1, prod(grid_sizes)).expand(count, channels, prod(grid_sizes))
        return FUNCTIONS["where"](_rows(valid), flat.gather(2, index), 0.0)
    return pick


def _rows(weight: Any) -> Any:
    """A number a place of each sample's grid, as (N, 1, places)."""
    return weight.flatten(1).unsqueeze(1)


def _linear(pick: Callable, places: list) -> Any:
    whole = [x.detach().floor() for x in places]
    total: Any = None
    for corner in itertools.product((0, 1), repeat=len(places)):
        weight: Any = 1.0
        for x, base, step in zip(places, whole, corner, strict=True):
            weight = weight * ((x - base) if step else (base + 1 - x))
        at = [base + step for base, step in zip(whole, corner, strict=True)]
        term = pick(at) * _rows(weight)
        total = term if total is None else total + term
    return total


def _cubic_weights(t: Any) -> list:
    """The weights of the four neighbours of a place ``t`` after the second."""
    a = _CUBIC
    near = [((a + 2) * u - (a + 3)) * u * u + 1 for u in (t, 1 - t)]
    far = [((a * u - 5 * a) * u + 8 * a) * u - 4 * a for u in (t + 1, 2 - t)]
    return [far[0], near[0], near[1], far[1]]


def _bicubic(pick: Callable, places: list, sizes: tuple[int, ...], padding: str, align_corners: bool) -> Any:
    whole = [x.detach().floor() for x in places]
    weights = [_cubic_weights(x - base) for x, base in zip(places, whole, strict=True)]
    total: Any = None
    for i, j in itertools.product(range(4), repeat=2):
        at = [_inside(base + step - 1, size, padding, align_corners)
              for base, step, size in zip(whole, (i, j), sizes, strict=True)]
        weight = weights[0][i] * weights[1][j]
        term = pick([x.round() for x in at]) * _rows(weight)
        total = term if total is None else total + term
    return total


def _without_gradient_of(grid: Any, result: Any) -> Any:
    """The result, with a gradient of zeros for the grid: the nearest pixel does not change with small steps."""
    if not needs_graph(grid):
        return result
    out = FUNCTIONS["alias"](result.detach())
    own = grid.spec
    attach(out, "GridSampler", (result, grid), lambda g: (g, full(own.shape, 0, own.dtype, own.device)))
    return out


def _check(input: Any, grid: Any) -> None:
    x, g = input.spec, grid.spec
    if x.dtype is not g.dtype:
        raise RuntimeError(f"grid_sampler(): expected scalar type {dtypes.type_name(x.dtype)} but found "
                           f"{dtypes.type_name(g.dtype)}")
    sizes = f"input with sizes {list(x.shape)} and grid with sizes {list(g.shape)}"
    if x.shape[:1] != g.shape[:1]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, but got {sizes}")
    if g.shape[-1] != x.ndim - 2:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {x.ndim - 2} in last dimension, but got grid with "
                           f"sizes {list(g.shape)}")
    if x.ndim not in (4, 5) or g.ndim != x.ndim:
        raise RuntimeError(f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got "
                           f"{sizes}")
    if not x.dtype.is_floating_point:
        kernel = "grid_sampler_2d_cpu_kernel_impl" if x.ndim == 4 else "grid_sampler3d_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.type_name(x.dtype)}'")
    empty_dim = next((d for d in range(2, x.ndim) if not x.shape[d]), None)
    if empty_dim is not None:
        raise RuntimeError(f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                           f"{list(x.shape)} with dimension {empty_dim} being empty")


@operator("grid_sampler", method=False)
def grid_sampler(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    """:func:`grid_sample` with the numbers of its modes."""
    _check(input, grid)
    if interpolation_mode == MODES.index("bicubic") and input.spec.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if _has_kernel(input.spec, grid.spec):
        return _launched(input, grid, interpolation_mode, padding_mode, bool(align_corners))
    return _composed(input, grid, interpolation_mode, padding_mode, align_corners)


def _composed(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    """The sampled images as Tensor operations."""
    interpolation, padding = MODES[interpolation_mode], PADDINGS[padding_mode]
    count, channels, *sizes = input.spec.shape
    outputs = grid.spec.shape[1:-1]
    # The grid's last dimension is (x, y[, z]), the image's are ([depth,] height, width).
    places = [_unnormalized(grid.select(-1, len(sizes) - 1 - axis), size, align_corners)
              for axis, size in enumerate(sizes)]
    pick = _picker(input, outputs)
    if interpolation == "bicubic":
        result = _bicubic(pick, places, tuple(sizes), padding, align_corners)
    else:
        places = [_inside(x, size, padding, align_corners) for x, size in zip(places, sizes, strict=True)]
        if interpolation == "nearest":
            result = _without_gradient_of(grid, pick([x.detach().round() for x in places]))
        else:
            result = _linear(pick, places)
    return result.reshape(count, channels, *outputs)


@lru_cache(256)
def _plans(device: Any, kind: dtypes.dtype, images: Images) -> tuple[kernels.Plan, kernels.Plan, kernels.Plan]:
    return (kernels.plan(device, kind, images), kernels.image_plan(device, kind, images),
            kernels.grid_plan(device, kind, images))


_NEAR = {"bilinear": 2, "nearest": 1, "bicubic": 4}


def _has_kernel(own: Spec, grid: Spec) -> bool:
    """Whether images of a spec are sampled by a kernel: on CPUs, in the dtypes of arithmetic."""
    return own.numel > 0 and grid.numel > 0 and own.device.compute.is_cpu and own.dtype.compute is own.dtype  # type: ignore[attr-defined]


def _launched(x: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    """:func:`_composed` by a launch, and one for each gradient."""
    x, grid = x.contiguous(), grid.contiguous()
    own, device = x.spec, check_device("grid_sampler", x, grid)
    count, channels, *sizes = own.shape
    outputs, interpolation = grid.spec.shape[1:-1], MODES[interpolation_mode]
    images = Images(count, channels, tuple(sizes), prod(outputs), _NEAR[interpolation], padding_mode, align_corners)
    forward, of_image, of_grid = _plans(device, own.dtype, images)
    out = empty((count, channels, *outputs), own.dtype, own.device)
    execute(forward, (x, grid), (out,))
    if needs_graph(x, grid):
        saved = Saved("grid_sampler", [x, grid])
        image_needed, grid_needed = x._requires_grad, grid._requires_grad

        def backward(g: Any) -> tuple:
            x, grid = saved.unpack()
            if mode.enabled:
                composed = partial(_composed, interpolation_mode=interpolation_mode, padding_mode=padding_mode,
                                   align_corners=align_corners)
                return tuple(recorded_gradients(saved, composed, (x, grid), (g,)))
            g = g.contiguous()
            dx = dgrid = None
            if image_needed:
                dx = blank(x.spec)
                execute(of_image, (g, grid), (dx,))
            if grid_needed:
                dgrid = blank(grid.spec)
                execute(of_grid, (g, x, grid), (dgrid,))
            return dx, dgrid
        attach(out, f"GridSampler{len(sizes)}D", (x, grid), backward, saved)
    return out


@operator("grid_sample", method=False)
def grid_sample(input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Any:
    """The values of images (N, C, H, W) at points (N, H', W', 2), or of volumes (N, C, D, H, W) at (N, D', H', W', 3).

    Args:
        grid: (x, y[, z]) in [-1, 1] from edge to edge.
        mode: "bilinear", "nearest" or, for images, "bicubic".
        padding_mode: what lies outside: "zeros", "border" (the nearest pixel) or "reflection".
        align_corners: whether -1 and 1 are the centres of the corner pixels instead of their outer edges.
    """
    if mode not in MODES:
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: "
                         f"'{mode}'")
    if padding_mode not in PADDINGS:
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but "
                         f"got: '{padding_mode}'")
    return grid_sampler(input, grid, MODES.index(mode), PADDINGS.index(padding_mode),
                        _explicit("grid_sample", align_corners))


def _explicit(name: str, align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(f"{name}: align_corners is False by default since 1.3.0. Please specify align_corners=True if the old "
                      "behavior is desired.", stacklevel=4)
    return bool(align_corners)


def _line(size: int, align_corners: bool) -> np.ndarray:
    """The centres of ``size`` pixels in [-1, 1]."""
    if size == 1:
        return np.zeros(1)
    line = np.linspace(-1.0, 1.0, size)
    return line if align_corners else line * (size - 1) / size


@operator("affine_grid", method=False)
def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The points (N, H, W, 2) or (N, D, H, W, 3) to which maps ``theta`` (N, 2, 3) or (N, 3, 4) take a grid of pixels.

    ``size`` is that of the image that is to be sampled: (N, C, H, W) or (N, C, D, H, W).
    """
    if not theta.spec.dtype.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {theta.spec.dtype}")
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
                                  f"respectively. Got size {tuple(size)}.")
    if theta.spec.shape[1:] != (rank, rank + 1) or theta.spec.ndim != 3:
        raise ValueError(f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size {tuple(size)}. "
                         f"Got {theta.spec.size}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {tuple(size)}")
    corners = _explicit("affine_grid", align_corners)
    if corners and min(size[2:]) == 1:
        warnings.warn("affine_grid: with align_corners=True the points along an axis of one element are at 0, its centre; "
                      "before PyTorch 1.3.0 they were at -1. See the documentation of affine_grid for details.", stacklevel=2)
    axes = np.meshgrid(*(_line(n, corners) for n in size[2:]), indexing="ij")
    points = np.stack([*axes[::-1], np.ones(size[2:])], -1).reshape(-1, rank + 1)
    own = theta.spec
    grid = from_array(points.astype(own.dtype.compute.numpy), own.dtype.compute, own.device).to(own.dtype)
    return grid.matmul(theta.transpose(1, 2)).view(own.shape[0], *size[2:], rank)


@operator("affine_grid_generator", method=False)
def affine_grid_generator(theta: Any, size: Any, align_corners: bool) -> Any:
    """:func:`affine_grid` with ``align_corners`` said."""
    return affine_grid(theta, size, align_corners)
