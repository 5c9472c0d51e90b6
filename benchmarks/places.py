"""Tensors taken apart and put together: gather, scatter, indexing, boolean masks, gradients of these; cat and stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Row, tensors, values

SIDE = 1024
COUNT = SIDE * SIDE


def places(high: int, *shape: int) -> np.ndarray:
    """Random indices below ``high``, the same in every run."""
    return np.random.default_rng(high).integers(0, high, shape)


def lookups() -> Iterator[Row]:
    """A million elements each."""
    def gathered(library: Any, dim: int) -> Callable:
        (x,), index = tensors(library, (SIDE, SIDE)), library.tensor(places(SIDE, SIDE, SIDE))
        return lambda: x.gather(dim, index)

    def scattered(library: Any, dim: int) -> Callable:
        (x,), index = tensors(library, (SIDE, SIDE)), library.tensor(places(SIDE, SIDE, SIDE))
        return lambda: library.zeros(SIDE, SIDE).scatter_add_(dim, index, x)
    for dim in (0, 1):
        yield Row("indexing", f"gather along {dim} of {SIDE}x{SIDE}", lambda lib, d=dim: gathered(lib, d))
        yield Row("indexing", f"scatter_add along {dim} of {SIDE}x{SIDE}", lambda lib, d=dim: scattered(lib, d))

    def vector(library: Any) -> tuple[Any, Any]:
        return library.tensor(values(COUNT)), library.tensor(places(COUNT, COUNT))

    def read(library: Any) -> Callable:
        x, index = vector(library)
        return lambda: x[index]

    def summed(library: Any) -> Callable:
        x, index = vector(library)
        return lambda: library.zeros(COUNT).index_add_(0, index, x)

    def written(library: Any) -> Callable:
        x, index = vector(library)
        return lambda: x.index_put((index,), library.zeros(()))
    yield Row("indexing", "x[index] of 1M in 1M", read)
    yield Row("indexing", "index_add_ of 1M in 1M", summed)
    yield Row("indexing", "index_put of a number at 1M of 1M", written)

    def rows(library: Any) -> Callable:
        (x,), index = tensors(library, (8192, 128)), library.tensor(places(8192, 8192))
        return lambda: x[index]

    def gradient(library: Any) -> Callable:
        (x,), index = tensors(library, (8192, 128), requires_grad=True), library.tensor(places(8192, 8192))
        y = x[index]
        seed = library.tensor(values(8192, 128))
        return lambda: library.autograd.grad(y, x, seed, retain_graph=True)
    yield Row("indexing", "rows x[index] 8192x128", rows)
    yield Row("indexing", "gradient of rows x[index] 8192x128", gradient)
    yield from _masks()


def _masks() -> Iterator[Row]:
    def selected(library: Any) -> Callable:
        (x,) = tensors(library, (SIDE, SIDE))
        mask = x > 0
        return lambda: x[mask]

    def found(library: Any) -> Callable:
        (x,) = tensors(library, (SIDE, SIDE))
        mask = x > 0
        return lambda: mask.nonzero()

    def filled(library: Any) -> Callable:
        (x,) = tensors(library, (SIDE, SIDE))
        mask = x > 0
        return lambda: x.masked_fill(mask, 0.5)
    yield Row("indexing", "x[mask] of 1M, half", selected)
    yield Row("indexing", "nonzero of 1M, half", found)
    yield Row("indexing", "masked_fill of 1M", filled)


def joins() -> Iterator[Row]:
    """Few large and many small tensors, put together."""
    for count, shape, dim in ((2, (8, 16), 1), (16, (16, 128), 0), (128, (1, 28, 28), 0), (4, (32, 64, 28, 28), 1)):
        def together(library: Any, function: str, count: int = count, shape: tuple = shape, dim: int = dim) -> Callable:
            pieces = tensors(library, *[shape] * count)
            return lambda: getattr(library, function)(pieces, dim)
        for function in ("cat", "stack"):
            name = f"{function} {count} of {'x'.join(map(str, shape))}"
            yield Row("joining", name, lambda library, function=function, work=together: work(library, function))


GROUPS = {"indexing": lookups, "joining": joins}
