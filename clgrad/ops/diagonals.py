"""Triangles and diagonals of matrices: cut out, put in, summed."""

from __future__ import annotations

import operator as op
from functools import lru_cache
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, attach, check_in_place, ends_in, needs_graph, wrap
from clgrad.ops import pointwise
from clgrad.ops.copying import COPY, full, table
from clgrad.ops.output import add_in_place, store
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator
from clgrad.ops.strided import as_strided
from clgrad.ops.views import diagonal
from clgrad.shapes import normalize_dim
from clgrad.spec import common_dtype, spec


@lru_cache(maxsize=256)
def _beside(rows: int, columns: int, diagonal: int, upper: bool, device: Any) -> Any:
    """A mask that holds below, or above, a diagonal of a matrix: each row is the one before it, moved by a column.

        line     0 0 0 1 1 1       row 0       0 1 1 1     (above diagonal 0 of three rows, four columns)
        place    -2 ...  3         row 1     0 0 1 1       (begins one place earlier)
                                   row 2   0 0 0 1
    """
    places = np.arange(1 - rows, columns)
    line = table(places < diagonal if upper else places > diagonal, dtypes.bool, device)
    return wrap(line.memory, rows - 1, spec((rows, columns), (-1, 1), dtypes.bool, device))


def _triangular(name: str, x: Any, diagonal: int) -> Any:
    if x.spec.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    if not hasattr(diagonal, "__index__"):
        raise TypeError(f"{name}(): argument 'diagonal' must be int, not {type(diagonal).__name__}")
    own = x.spec
    if not own.numel:
        return x.clone()
    outside = _beside(*own.shape[-2:], op.index(diagonal), name == "triu", own.device)
    made = pointwise.run(REGISTRY.pointwise["_masked_fill"], (x, outside, False))
    if needs_graph(x):
        attach(made, name.capitalize(), (x,), lambda g: _triangular(name, g, diagonal))
    return made


@operator("tril")
def tril(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """Matrices with 0 above a diagonal: the main one, or ``diagonal`` places to its right.

    >>> import clgrad
    >>> clgrad.ones(2, 3).tril()
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
    """
    return store("tril", _triangular("tril", input, diagonal), out, exact=True)


@operator("triu")
def triu(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """Matrices with 0 below a diagonal: the main one, or ``diagonal`` places to its right."""
    return store("triu", _triangular("triu", input, diagonal), out, exact=True)


add_in_place("tril", "triu")


def _diagonal_window(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """The diagonal's place in a tensor's memory, outside of any graph."""
    own = diagonal(x.detach(), offset, dim1, dim2)
    return wrap(x.memory, own.offset, own.spec)


@operator("diag_embed")
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Zeros with the last dimension of ``input`` on the diagonal of two new dimensions."""
    own, offset = input.spec, op.index(offset)
    rank = own.ndim + 1
    a, b = normalize_dim(dim1, rank), normalize_dim(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    if not own.ndim:
        raise IndexError("diag_embed(): input must have at least one dimension")
    size = own.shape[-1] + abs(offset)
    shape = list(own.shape[:-1])
    for place in sorted((a, b)):
        shape.insert(place, size)
    result = full(tuple(shape), 0, own.dtype, own.device)
    if own.numel:
        pointwise.run_into(COPY, (input,), (), _diagonal_window(result, offset, a, b))
    if needs_graph(input):
        attach(result, "DiagEmbed", (input,), lambda g: g.diagonal(offset, a, b))
    return result


@operator("diag")
def diag(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """A matrix with this vector on a diagonal, or the diagonal of this matrix, as a copy."""
    if input.spec.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.spec.ndim}D")
    result = diag_embed(input, diagonal) if input.spec.ndim == 1 else input.diagonal(diagonal).clone()
    return store("diag", result, out, exact=True)


@operator("diagflat")
def diagflat(input: Any, offset: int = 0) -> Any:
    """A matrix with all elements of ``input`` on a diagonal."""
    return diag_embed(input.reshape(-1), offset)


@operator("trace")
def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal."""
    if input.spec.ndim != 2:
        raise RuntimeError("trace: expected a matrix")
    if input.spec.dtype is dtypes.bool:
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    return ends_in(input.diagonal().sum(), "Trace")


@operator("fill_diagonal_", function=False)
def fill_diagonal_(x: Any, fill_value: Any, wrap: bool = False) -> Any:
    """The main diagonal replaced by one number; ``wrap`` begins it anew below the square of a tall matrix.

    Raises:
        RuntimeError: less than two dimensions, or more than two that differ in size.
    """
    shape = x.spec.shape
    if len(shape) < 2:
        raise RuntimeError("fill_diagonal_: dimensions must be larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError(f"fill_diagonal_: all dimensions of input must be of equal length, got {list(shape)}")
    if isinstance(fill_value, TensorBase) and fill_value.spec.ndim:
        raise TypeError("fill_diagonal_(): argument 'fill_value' must be Number, not Tensor")
    check_in_place(x, needs_graph(x))
    rows, columns = shape[0], shape[-1]
    if not rows or not columns:
        return x
    for start in range(0, rows if wrap and len(shape) == 2 else 1, columns + 1):
        block = x.narrow(0, start, rows - start)
        as_strided(block, (min(rows - start, columns),), (sum(x.spec.strides),), block.offset).fill_(fill_value)
    return x


@operator("block_diag", method=False)
def block_diag(*tensors: Any) -> Any:
    """A matrix with the given matrices one after the other on its diagonal; scalars and vectors are rows."""
    for number, t in enumerate(tensors):
        if t.spec.ndim > 2:
            raise RuntimeError("torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                               f"{number} has {t.spec.ndim} dimensions")
    blocks = [t.reshape((1,) * (2 - t.spec.ndim) + tuple(t.spec.shape)) for t in tensors]
    if not blocks:
        return FUNCTIONS["zeros"](1, 0)
    kind = common_dtype([t.spec for t in tensors])
    corners, row, column = [], 0, 0
    for block in blocks:
        corners.append((row, column))
        row, column = row + block.spec.shape[0], column + block.spec.shape[1]
    result = full((row, column), 0, kind, blocks[0].spec.device)
    shapes = [block.spec.shape for block in blocks]
    for block, (top, left), shape in zip(blocks, corners, shapes, strict=True):
        if block.spec.numel:
            place = spec(tuple(shape), (column, 1), kind, result.spec.device)
            pointwise.run_into(COPY, (block,), (), wrap(result.memory, top * column + left, place))
    if needs_graph(*blocks):
        attach(result, "BlockDiag", blocks, lambda g: tuple(
            [g[top:top + shape[0], left:left + shape[1]] for (top, left), shape in zip(corners, shapes, strict=True)]))
    return result


@operator("vander", method=False)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector's elements, a row each: from the highest down, or ``increasing`` from 0 up."""
    if x.spec.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    if N is not None and N < 0:
        raise RuntimeError("N must be non-negative.")
    powers = vandermonde(x, x.spec.shape[0] if N is None else N)
    return powers if increasing else powers.flip(1)


def vandermonde(x: Any, count: int) -> Any:
    """x ** 0, x ** 1, ... along a new last dimension, by repeated multiplication; integers become int64."""
    kind = x.spec.dtype if x.spec.dtype.is_floating_point else dtypes.int64
    ones = full((*x.spec.shape, min(count, 1)), 1, kind, x.spec.device)
    if count < 2:
        return ones
    repeated = x.unsqueeze(-1).expand(*x.spec.shape, count - 1)
    return FUNCTIONS["cat"]([ones, FUNCTIONS["cumprod"](repeated, -1)], -1)
