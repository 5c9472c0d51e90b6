"""What tensors are asked about their layout: their indices and values, and the same elements in another layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from clgrad.autograd.graph import attach, check_in_place, mark_changed, needs_graph
from clgrad.formats import layout as Layout
from clgrad.formats import sparse_bsc, sparse_bsr, sparse_coo, sparse_csc, sparse_csr
from clgrad.ops.interception import sparse_rules
from clgrad.ops.registry import alias, operator
from clgrad.ops.sparse import (
    BY_COLUMNS,
    BY_ROWS,
    COMPRESSED,
    Pattern,
    check_layout_of,
    coalesced,
    dense_of,
    is_sparse,
    pattern_of,
    plain,
    sparse,
    values_at,
    values_of,
)
from clgrad.ops.sparse_layouts import LAYOUTS, in_layout
from clgrad.shapes import as_shape

F = TypeVar("F", bound=Callable)


def of_any_layout(*names: str, function: bool = False) -> Callable[[F], F]:
    """Registers an operator that takes tensors of all layouts."""
    def decorate(made: F) -> F:
        given = names or (made.__name__,)
        sparse_rules.update(dict.fromkeys(given, made))
        return operator(*given, function=function)(made)
    return decorate


@of_any_layout()
def to_dense(x: Any, dtype: Any = None, *, masked_grad: bool | None = None) -> Any:
    """The tensor with the strided layout: itself, or one that holds the zeros, too.

    Args:
        dtype: that of the result. Default: the tensor's.
        masked_grad: the gradient of a sparse tensor has its pattern; False: the gradient is the result's, with all places.

    >>> import clgrad
    >>> clgrad.eye(2).to_sparse().to_dense()
    tensor([[1., 0.],
            [0., 1.]])
    """
    found = x
    if is_sparse(x):
        if masked_grad is False and needs_graph(x):
            found = dense_of(x.detach())
            attach(found, "ToDense", (x,), lambda g: g)
        else:
            found = dense_of(x)
    return found if dtype is None else found.to(dtype)


@of_any_layout("to_sparse", "to_sparse_coo")
def to_sparse(x: Any, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None,
              dense_dim: int | None = None) -> Any:
    """The elements of a tensor that are not zero, as a sparse tensor.

    Args:
        sparse_dim: how many dimensions have indices; the others are those of the values. Default: all.
        layout: that of the result, ``sparse_coo`` or a compressed one. Default: ``sparse_coo``.
        blocksize: rows and columns of a block, of the layouts of blocks.
        dense_dim: how many dimensions at the end are those of the values.

    Raises:
        RuntimeError: the layout does not fit the tensor; both ``sparse_dim`` and another argument are given.

    >>> import clgrad
    >>> clgrad.tensor([[0., 2.], [3., 0.]]).to_sparse().values()
    tensor([2., 3.])
    """
    if sparse_dim is not None:
        if layout is not None or blocksize is not None or dense_dim is not None:
            raise RuntimeError("to_sparse: sparse_dim cannot be given together with layout, blocksize or dense_dim")
        if not is_sparse(x):
            return in_layout(x, sparse_coo, None, x.spec.ndim - sparse_dim)
        if sparse_dim != len(pattern_of(x).sizes):
            raise RuntimeError("to_sparse: conversion from Sparse to Sparse with sparse_dim argument !=self.sparse_dim() is "
                               f"not supported: {sparse_dim} is given, and the tensor has {len(pattern_of(x).sizes)}")
        return x
    wanted = sparse_coo if layout is None else layout
    if not isinstance(wanted, Layout) or wanted not in LAYOUTS:
        raise RuntimeError(f"to_sparse: unexpected layout {wanted}")
    return in_layout(x, wanted, blocksize, dense_dim)


@of_any_layout()
def to_sparse_csr(x: Any, dense_dim: int | None = None) -> Any:
    """The elements that are not zero, in compressed rows; see :func:`to_sparse`."""
    return in_layout(x, sparse_csr, None, dense_dim)


@of_any_layout()
def to_sparse_csc(x: Any, dense_dim: int | None = None) -> Any:
    """The elements that are not zero, in compressed columns; see :func:`to_sparse`."""
    return in_layout(x, sparse_csc, None, dense_dim)


@of_any_layout()
def to_sparse_bsr(x: Any, blocksize: Any, dense_dim: int | None = None) -> Any:
    """The blocks that are not zero, in compressed rows of blocks; see :func:`to_sparse`."""
    return in_layout(x, sparse_bsr, blocksize, dense_dim)


@of_any_layout()
def to_sparse_bsc(x: Any, blocksize: Any, dense_dim: int | None = None) -> Any:
    """The blocks that are not zero, in compressed columns of blocks; see :func:`to_sparse`."""
    return in_layout(x, sparse_bsc, blocksize, dense_dim)


def _of_sparse(x: Any, name: str) -> Pattern:
    """The pattern of a sparse tensor; NotImplementedError for a strided one, as PyTorch has it."""
    if not is_sparse(x):
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend. This could be "
                                  "because the operator doesn't exist for this backend: the tensor is strided.")
    return pattern_of(x)


@of_any_layout()
def coalesce(x: Any) -> Any:
    """The tensor with each place once, in the order of rows, values of the same place added; itself where it is so.

    Raises:
        RuntimeError: the layout is not ``sparse_coo``.
    """
    check_layout_of(x, "coalesce", "sparse coordinate", sparse_coo)
    return coalesced(x)


@of_any_layout()
def is_coalesced(x: Any) -> bool:
    """Whether each place is known to be there once, in the order of rows. RuntimeError: the layout is not ``sparse_coo``."""
    check_layout_of(x, "is_coalesced", "sparse coordinate", sparse_coo)
    return pattern_of(x).coalesced


@of_any_layout()
def _coalesced_(x: Any, coalesced: bool) -> Any:
    """Says of the tensor that it is coalesced, or that it may not be; the indices are not looked at."""
    old = _of_sparse(x, "_coalesced_")
    x.memory.pattern = Pattern(old.layout, old.sizes, old.indices, bool(coalesced))
    return x


@of_any_layout()
def indices(x: Any) -> Any:
    """The indices of a coalesced tensor, (sparse dimensions, values). RuntimeError: it is not coalesced, or not COO."""
    check_layout_of(x, "indices", "sparse coordinate", sparse_coo)
    if not pattern_of(x).coalesced:
        raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
    return plain(pattern_of(x).indices)


@of_any_layout()
def _indices(x: Any) -> Any:
    """The indices as they are, (sparse dimensions, values)."""
    return plain(_of_sparse(x, "_indices").indices)


@of_any_layout()
def values(x: Any) -> Any:
    """The values of a sparse tensor, on the same memory. RuntimeError: it is strided, or not coalesced.

    >>> import clgrad
    >>> clgrad.tensor([[0., 2.], [3., 0.]]).to_sparse_csr().values()
    tensor([2., 3.])
    """
    check_layout_of(x, "values", "sparse", sparse_coo, *COMPRESSED)
    if x.spec.layout is sparse_coo and not pattern_of(x).coalesced:
        raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
    return values_of(x)


@of_any_layout()
def _values(x: Any) -> Any:
    """The values as they are, out of the graph, on the same memory."""
    _of_sparse(x, "_values")
    return plain(x.memory.values)


@of_any_layout()
def _nnz(x: Any) -> int:
    """The number of values (of blocks), in each matrix of a batch."""
    return _of_sparse(x, "_nnz").count


@of_any_layout("sparse_dim", "_dimI")
def sparse_dim(x: Any) -> int:
    """The number of dimensions that have indices; of matrices in compressed layouts 2, of strided tensors 0."""
    if not is_sparse(x):
        return 0
    pattern = pattern_of(x)
    return len(pattern.sizes) - len(pattern.batch)


@of_any_layout("dense_dim", "_dimV")
def dense_dim(x: Any) -> int:
    """The number of dimensions of each value; of strided tensors all."""
    return pattern_of(x).dense_dim(x) if is_sparse(x) else x.spec.ndim


def _part(name: str, wanted: str, layouts: tuple, compressed: bool) -> None:
    def part(x: Any) -> Any:
        check_layout_of(x, name, wanted, *layouts)
        pattern = pattern_of(x)
        return plain(pattern.compressed if compressed else pattern.indices)
    part.__name__ = part.__qualname__ = name
    part.__doc__ = (f"{'Where each line begins' if compressed else 'The places within lines'} of a tensor with {wanted} "
                    "layout. RuntimeError: it has another.")
    of_any_layout(name)(part)


_part("crow_indices", "sparse row compressed", BY_ROWS, True)
_part("col_indices", "sparse row compressed", BY_ROWS, False)
_part("ccol_indices", "sparse column compressed", BY_COLUMNS, True)
_part("row_indices", "sparse column compressed", BY_COLUMNS, False)


@of_any_layout()
def sparse_mask(x: Any, mask: Any) -> Any:
    """The elements of ``x``, dense or sparse, at the places of the sparse tensor ``mask``; its values do not count.

    Raises:
        RuntimeError: the shapes differ, or ``mask`` is not sparse.
    """
    if not is_sparse(mask):
        raise RuntimeError("sparse_mask(): expected mask to be sparse, got a strided tensor")
    if x.spec.shape != mask.spec.shape:
        raise RuntimeError(f"sparse_mask(): operands have incompatible sizes; self has size {list(x.spec.shape)} but mask "
                           f"has size {list(mask.spec.shape)}")
    pattern = pattern_of(mask)
    return sparse(pattern, values_at(x, pattern), "SparseMask")


def _resized(x: Any, name: str, size: Any, sparse_dim: int, dense_dim: int, clear: bool) -> Any:
    pattern = _of_sparse(x, name)
    shape, held = as_shape(size), x.memory
    if sparse_dim + dense_dim != len(shape):
        raise RuntimeError(f"number of dimensions must be sparse_dim ({sparse_dim}) + dense_dim ({dense_dim}), but got "
                           f"{len(shape)}")
    check_in_place(x, False)
    sizes, rest, count = shape[:sparse_dim], shape[sparse_dim:], 0 if clear else pattern.count
    if count and (sparse_dim != len(pattern.sizes) or dense_dim != pattern.dense_dim(x)):
        raise RuntimeError(f"changing the number of sparse dimensions (from {len(pattern.sizes)} to {sparse_dim}) or of "
                           f"dense ones (from {pattern.dense_dim(x)} to {dense_dim}) of a tensor with values is not "
                           "supported")
    if count and any(new < old for new, old in zip(shape, x.spec.shape, strict=True)):
        raise RuntimeError(f"shrinking the size of dimensions (from {list(x.spec.shape)} to {list(shape)}) on a tensor with "
                           "values is not supported")
    values = held.values.new_zeros((count, *rest))
    indices = pattern.indices if count else pattern.indices.new_zeros((sparse_dim, 0))
    if count:
        values[(slice(None), *[slice(0, size) for size in held.values.spec.shape[1:]])] = held.values
    held.pattern, held.values = Pattern(sparse_coo, sizes, indices, pattern.coalesced or not count), values
    x.spec = sparse(held.pattern, values).spec
    mark_changed(x)
    return x


@of_any_layout()
def sparse_resize_(x: Any, size: Any, sparse_dim: int, dense_dim: int) -> Any:
    """Gives a sparse tensor another shape in place; its values stay. RuntimeError where they would not be in it."""
    return _resized(x, "sparse_resize_", size, sparse_dim, dense_dim, False)


@of_any_layout()
def sparse_resize_and_clear_(x: Any, size: Any, sparse_dim: int, dense_dim: int) -> Any:
    """Gives a sparse tensor another shape in place, and no values."""
    return _resized(x, "sparse_resize_and_clear_", size, sparse_dim, dense_dim, True)


def _refuse(name: str, x: Any) -> Any:
    raise RuntimeError(f"{name}: expected a sparse tensor, got one of layout {x.spec.layout}")


# Of sparse tensors these have rules in clgrad.sparse.

@operator()
def smm(input: Any, mat: Any) -> Any:
    """The product of a sparse and a dense matrix, as a sparse one. RuntimeError: none is sparse."""
    return _refuse("smm", input)


@operator(method=False)
def hspmm(mat1: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of a sparse and a dense matrix, as a hybrid tensor: one sparse dimension, whose values are the rows in
    which ``mat1`` has values. RuntimeError: none is sparse."""
    return _refuse("hspmm", mat1)


@operator()
def sspaddmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """``beta * input + alpha * (mat1 @ mat2)`` of sparse ``input`` and ``mat1`` and dense ``mat2``, as a sparse matrix.
    RuntimeError: none is sparse."""
    return _refuse("sspaddmm", input)


alias("spmm", "mm", method=False)
alias("dsmm", "mm", method=False)
alias("hsmm", "hspmm", method=False)
alias("saddmm", "sspaddmm", method=False)
