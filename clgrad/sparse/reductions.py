"""Sums, norms and softmax of sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.formats import sparse_coo
from clgrad.ops.interception import refused
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.sparse import (
    Pattern,
    as_coo,
    check_layout_of,
    coalesced,
    entries_of,
    is_sparse,
    pattern_of,
    sparse,
    summed,
    values_of,
)
from clgrad.ops.sparse_layouts import in_layout
from clgrad.shapes import normalize_dim
from clgrad.sparse.rules import public, rule


def _dims(dim: Any, rank: int) -> list[int]:
    given = range(rank) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    found = sorted({normalize_dim(d, rank) for d in given})
    return found or list(range(rank))


def _summed(x: Any, dims: Sequence[int], keepdim: bool = False) -> Any:
    """The sums over dimensions: sparse as long as one with indices is left."""
    pattern, values = entries_of(x)
    known = len(pattern.sizes)
    inside = [dim - known + 1 for dim in dims if dim >= known]
    if inside:
        values = values.sum(inside, keepdim).to(x.spec.dtype)
    gone = [dim for dim in dims if dim < known]
    if not gone:
        return sparse(pattern, values)
    if len(gone) == known:
        whole = values.sum(0).to(x.spec.dtype)
        return whole.reshape((1,) * known + tuple(whole.spec.shape)) if keepdim else whole
    sizes = tuple([1 if n in gone else size for n, size in enumerate(pattern.sizes) if keepdim or n not in gone])
    rows = [row * 0 if n in gone else row for n, row in enumerate(pattern.indices.unbind(0)) if keepdim or n not in gone]
    merged, number = Pattern(sparse_coo, sizes, FUNCTIONS["stack"](rows)).merged()
    return sparse(merged, summed(values, number, merged.count))


@rule("sum")
def _sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    if dim is None or dim == () or dim == []:
        values = entries_of(input)[1]
        return values.sum() if dtype is None else values.sum(dtype=dtype)
    if dtype is not None:
        input = input.to(dtype)
    elif not input.spec.dtype.differentiable:
        input = input.long()
    result = _summed(as_coo(input), _dims(dim, input.spec.ndim), keepdim)
    if input.spec.layout is not sparse_coo and result.spec.ndim > 1:
        return in_layout(result, input.spec.layout)
    return result


@public("_sparse_sum")
def sum(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """The sum of a sparse tensor: over all elements a 0-d tensor, over some dimensions a sparse one, unless no dimension with
    indices is left.

    Args:
        input: of layout ``sparse_coo``, or ``sparse_csr`` with dimensions.
        dim: one dimension or several. Default: all.
        dtype: that of the result. Default: the tensor's, int64 for the sum of all integers.

    Raises:
        RuntimeError: the tensor is strided.
        IndexError: there is no such dimension.

    >>> import clgrad
    >>> clgrad.sparse.sum(clgrad.tensor([[0., 2.], [3., 4.]]).to_sparse(), 0).to_dense()
    tensor([3., 6.])
    """
    if not is_sparse(input):
        check_layout_of(input, "coalesce", "sparse coordinate", sparse_coo)
    if dim is not None and (isinstance(dim, int) or len(dim)):
        return FUNCTIONS["sum"](input, dim, dtype=input.spec.dtype if dtype is None else dtype)
    return FUNCTIONS["sum"](input, dtype=dtype)


@rule("any")
def _any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is not None or input.spec.layout is not sparse_coo:
        return refused("any", input.spec.layout)
    return values_of(input).any()


@rule("norm")
def _norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    rank = input.spec.ndim
    if dim is not None and len(_dims(dim, rank)) != rank or keepdim:
        raise RuntimeError("norm_sparse currently only supports full reductions, so 'dim' must either be empty or contain "
                           "all dimensions of the input")
    return FUNCTIONS["norm"](entries_of(coalesced(as_coo(input)))[1], p, dtype=dtype)


@rule("dist")
def _dist(input: Any, other: Any, p: float = 2) -> Any:
    return _norm(input - other, p)


@rule("native_norm")
def _native_norm(input: Any, p: Any = 2) -> Any:
    return _norm(input, p)


def _along(x: Any, dim: int, logarithm: bool) -> Any:
    """Softmax of the values that there are: those that are not there are minus infinity, not 0."""
    x = coalesced(x)
    pattern, values = pattern_of(x), values_of(x)
    axis, known = normalize_dim(dim, x.spec.ndim), len(pattern.sizes)
    if axis >= known:
        function = FUNCTIONS["log_softmax" if logarithm else "softmax"]
        return sparse(pattern, function(values, axis - known + 1))
    sizes = tuple([size for n, size in enumerate(pattern.sizes) if n != axis])
    rows = [row for n, row in enumerate(pattern.indices.unbind(0)) if n != axis]
    if not pattern.count:
        return sparse(pattern, values * 1)
    line, number = (FUNCTIONS["stack"](rows) if rows else pattern.indices[:0]), None
    lines, number = Pattern(sparse_coo, sizes, line).merged()
    count, rest = lines.count, values.spec.shape[1:]
    lowest = values.detach().new_full((count, *rest), float("-inf"))
    largest = lowest.index_reduce(0, number, values.detach(), "amax")
    shifted = values - FUNCTIONS["where"](largest.isfinite(), largest, 0).index_select(0, number)
    powers = shifted.exp()
    total = summed(powers, number, count)
    if logarithm:
        return sparse(pattern, shifted - total.log().index_select(0, number))
    return sparse(pattern, powers / total.index_select(0, number))


def _softmax(name: str, input: Any, dim: int, dtype: Any, logarithm: bool) -> Any:
    if not is_sparse(input):
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend: the tensor is "
                                  "strided")
    if input.spec.layout is not sparse_coo:
        return refused(name, input.spec.layout)
    return _along(input if dtype is None else input.to(dtype), dim, logarithm)


@public("_sparse_softmax")
def softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Softmax along a dimension of a tensor of coordinates, of the values that there are: places without one get none.

    >>> import clgrad
    >>> clgrad.sparse.softmax(clgrad.tensor([[0., 2.], [3., 3.]]).to_sparse(), 1).values()
    tensor([1.0000, 0.5000, 0.5000])
    """
    return _softmax("_sparse_softmax", input, dim, dtype, False)


@public("_sparse_log_softmax")
def log_softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The logarithm of :func:`softmax`."""
    return _softmax("_sparse_log_softmax", input, dim, dtype, True)
