"""Operators less common than those of the other groups, at sizes of real programs, with gradients where they have any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import Row, values


class Work(NamedTuple):
    """``function(library, *tensors)`` of floating-point tensors of these shapes, and of ``indices``: (bound, shape) each."""

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = ()
    indices: tuple[tuple[int, tuple[int, ...]], ...] = ()
    gradient: bool = True
    tolerance: float = 1e-4


MILLION = (1024, 1024)
WORK = {
    "combinations of 500": Work(lambda t, x: t.combinations(x), ((500,),)),
    "cartesian_prod of 512 and 512": Work(lambda t, i, j: t.cartesian_prod(i, j), (), ((9, (512,)), (8, (512,))), False),
    "cdist of 8x20x3": Work(lambda t, x, y: t.cdist(x, y), ((8, 20, 3), (8, 20, 3))),
    "cdist of order 1, 512x64": Work(lambda t, x, y: t.cdist(x, y, p=1), ((512, 64), (512, 64))),
    "pdist of 512x64": Work(lambda t, x: t.pdist(x), ((512, 64),)),
    "searchsorted of 1M in 1024": Work(lambda t, x, s: t.searchsorted(s.sort().values, x), ((1 << 20,), (1024,)),
                                       gradient=False),
    "isin of 256K in 1000": Work(lambda t, x, tests: t.isin(x, tests), (), ((1000, (1 << 18,)), (999, (1000,))), False),
    "cross 100000x3": Work(lambda t, x, y: t.linalg.cross(x, y), ((100000, 3),) * 2),
    "cross 3x100000": Work(lambda t, x, y: t.linalg.cross(x, y, dim=0), ((3, 100000),) * 2),
    "glu 1M": Work(lambda t, x: t.nn.functional.glu(x), (MILLION,)),
    **{f"{name} {label}": Work(lambda t, x, name=name: getattr(t.nn.functional, name)(x, x.detach() * 0.5), (shape,))
       for name in ("mse_loss", "huber_loss") for label, shape in (("16K", (128, 128)), ("1M", MILLION))},
    "pad by 3, 4x3x64x64": Work(lambda t, x: t.nn.functional.pad(x, (3, 3, 3, 3)), ((4, 3, 64, 64),)),
    **{f"{mode} pad by 1, 32x16x64x64": Work(lambda t, x, mode=mode: t.nn.functional.pad(x, (1, 1, 1, 1), mode),
                                             ((32, 16, 64, 64),)) for mode in ("reflect", "replicate", "circular")},
    "prod 1M": Work(lambda t, x: (x * 0.001 + 1).prod(), ((1 << 20,),), tolerance=1e-2),
    "cumsum along rows of 1M": Work(lambda t, x: x.cumsum(1), (MILLION,)),
    "unique_consecutive of 1M": Work(lambda t, i: t.unique_consecutive(i), (), ((3, (1 << 20,)),), False),
    "prelu 32x16x64x64": Work(lambda t, x, w: t.nn.functional.prelu(x, w), ((32, 16, 64, 64), (16,))),
    "trapezoid along rows of 1M": Work(lambda t, x: t.trapezoid(x, dim=1), (MILLION,)),
}


def _bags(mode: str, length: int) -> Callable[..., Any]:
    return lambda t, table, i: t.nn.functional.embedding_bag(i, table, t.arange(0, i.numel(), length), mode=mode)


def _sampled(mode: str, padding: str) -> Callable[..., Any]:
    return lambda t, x, grid: t.nn.functional.grid_sample(x, grid * 0.4, mode, padding, align_corners=False)


IMAGES = ((4, 32, 64, 64), (4, 64, 64, 2))
WORK |= {
    **{f"embedding_bag, {mode} of 16 rows, 512 bags": Work(_bags(mode, 16), ((10000, 64),), ((10000, (8192,)),))
       for mode in ("sum", "mean", "max")},
    "grid_sample bicubic": Work(_sampled("bicubic", "zeros"), IMAGES),
    "grid_sample nearest, reflecting": Work(_sampled("nearest", "reflection"), IMAGES),
    "grid_sample of volumes": Work(_sampled("bilinear", "border"), ((2, 8, 16, 32, 32), (2, 16, 32, 32, 3))),
}


def _build(work: Work, gradient: bool) -> Callable:
    def build(library: Any) -> Callable:
        floats = [library.tensor(values(*shape) + position, requires_grad=gradient)
                  for position, shape in enumerate(work.shapes)]
        indices = [library.tensor(np.random.default_rng(high).integers(0, high, shape)) for high, shape in work.indices]
        if not gradient:
            return lambda: work.function(library, *floats, *indices)
        seed = library.tensor(values(*work.function(library, *floats, *indices).shape))
        return lambda: library.autograd.grad(work.function(library, *floats, *indices), floats, seed)
    return build


def operators() -> Iterator[Row]:
    """A row for each of ``WORK``, and one with its gradients."""
    for name, work in WORK.items():
        yield Row("operators", name, _build(work, False), tolerance=work.tolerance)
        if work.gradient:
            yield Row("operators", f"{name}, and gradients", _build(work, True), tolerance=work.tolerance)


GROUPS = {"operators": operators}
