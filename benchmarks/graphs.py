"""Sparse matrices that are measured: those of a graph of Cora's size, as layers of graph networks multiply by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Row, tensors, values

_NODES, _EDGES = 2708, 10556


def _adjacency(library: Any, layout: str) -> Any:
    """The matrix of a random graph, each edge once."""
    places = np.sort(np.random.default_rng(0).choice(_NODES**2, _EDGES, replace=False))
    indices = library.tensor(np.stack(np.divmod(places, _NODES)))
    matrix = library.sparse_coo_tensor(indices, library.tensor(values(_EDGES)), (_NODES, _NODES)).coalesce()
    return matrix.to_sparse_csr() if layout == "csr" else matrix


def sparse_matrices() -> Iterator[Row]:
    """Products with dense matrices, their gradients, products and sums of sparse ones."""
    for layout in ("coo", "csr"):
        for width in (16, 128):
            def product(library: Any, layout: str = layout, width: int = width) -> Callable:
                matrix, (x,) = _adjacency(library, layout), tensors(library, (_NODES, width))
                return lambda: matrix @ x
            yield Row("sparse", f"{layout} graph times {width} columns", product, flops=2.0 * _EDGES * width,
                      bytes=4.0 * (_EDGES + _NODES) * width)
    yield Row("sparse", "coo graph times 64 columns, and gradients", _with_gradients)
    yield Row("sparse", "sum of two graphs", _sum)
    yield Row("sparse", "graph squared", _squared)


def _with_gradients(library: Any) -> Callable:
    matrix, (x,) = _adjacency(library, "coo"), tensors(library, (_NODES, 64), requires_grad=True)
    return lambda: library.autograd.grad((matrix @ x).square().sum(), x)


def _sum(library: Any) -> Callable:
    matrix = _adjacency(library, "coo")
    other = matrix.t().coalesce()
    return lambda: (matrix + other).coalesce().values()


def _squared(library: Any) -> Callable:
    matrix = _adjacency(library, "coo")
    return lambda: library.sparse.mm(matrix, matrix).coalesce().values()


GROUPS = {"sparse": sparse_matrices}
