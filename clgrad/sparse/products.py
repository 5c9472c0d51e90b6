"""Products of matrices of which one is sparse."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.formats import sparse_coo, sparse_csr
from clgrad.linalg import solve
from clgrad.ops.interception import refused
from clgrad.ops.linalg import check_operands
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.sparse import (
    COMPRESSED,
    Pattern,
    as_coo,
    coalesced,
    dense_of,
    entries_of,
    is_sparse,
    merged,
    pattern_of,
    sparse,
    summed,
    values_at,
    values_of,
)
from clgrad.ops.sparse_products import times_dense
from clgrad.shapes import broadcast_shapes
from clgrad.sparse.rules import like, public, rule


def _matrices(name: str, a: Any, b: Any) -> None:
    """RuntimeError unless two operands are matrices of numbers that can be multiplied."""
    for number, x in ((1, a), (2, b)):
        if x.spec.ndim != 2:
            raise RuntimeError(f"{name}: expected matrices, got argument {number} of shape {list(x.spec.shape)}")
    if a.spec.shape[1] != b.spec.shape[0]:
        raise RuntimeError(f"{name}: Argument #3 (dense): Expected dim 0 size {a.spec.shape[1]}, got {b.spec.shape[0]}")
    check_operands(name, a, b)


def product(a: Any, b: Any, name: str = "mm") -> Any:
    """The product of two matrices, of which one or both are sparse; of two sparse ones it is sparse."""
    _matrices(name, a, b)
    if not is_sparse(a):
        return product(b.t(), a.t(), name).t()
    if is_sparse(b):
        return like(_of_sparse(a, b), sparse_coo if a.spec.layout is sparse_coo else sparse_csr)
    return _times_dense(a, b)


def _times_dense(a: Any, b: Any) -> Any:
    """Each value times the row of ``b`` that its column names, added up by rows."""
    if a.spec.dtype.is_floating_point:
        x = coalesced(as_coo(a))
        return times_dense(pattern_of(x), values_of(x), b)
    pattern, values = entries_of(a)
    rows, columns = pattern.indices.unbind(0)
    return summed(values.unsqueeze(1) * b.index_select(0, columns), rows, a.spec.shape[0])


def _of_sparse(a: Any, b: Any) -> Any:
    """Each value of ``a`` times the row of ``b`` that its column names; equal places are added up (Gustavson, "Two fast
    algorithms for sparse matrices", 1978). How many products there are is read on the host: the memory depends on it."""
    first, left = entries_of(a)
    other = coalesced(as_coo(b))
    second, right = pattern_of(other), values_of(other)
    starts, device = second.starts(), second.indices.spec.device
    sizes = (a.spec.shape[0], b.spec.shape[1])
    rows, columns = first.indices.unbind(0)
    begin, end = starts[:-1].index_select(0, columns), starts[1:].index_select(0, columns)
    number = end - begin
    ends = number.cumsum(0)
    terms = int(ends[-1].item()) if first.count else 0
    of_left = FUNCTIONS["repeat_interleave"](number, output_size=terms)
    of_right = FUNCTIONS["arange"](terms, device=device) + (end - ends).index_select(0, of_left)
    flat = (rows.long() * sizes[1]).index_select(0, of_left) + second.columns().index_select(0, of_right)
    pattern, place = merged(flat, sizes)
    products = left.index_select(0, of_left) * right.index_select(0, of_right)
    return sparse(pattern, summed(products, place, pattern.count))


@rule("mm")
def _mm(input: Any, mat2: Any) -> Any:
    return product(input, mat2)


@rule("mv")
def _mv(input: Any, vec: Any) -> Any:
    if input.spec.ndim != 2 or vec.spec.ndim != 1:
        raise RuntimeError(f"mv: two tensor dim should be 2 and 1, but got SparseTensor Dim: {input.spec.ndim} Tensor Dim: "
                           f"{vec.spec.ndim}")
    if input.spec.shape[1] != vec.spec.shape[0]:
        raise RuntimeError("mv: expected self.size(-1) == vec.size(-1)")
    return product(input, vec.unsqueeze(1)).squeeze(1)


@rule("matmul")
def _matmul(input: Any, other: Any) -> Any:
    ranks = input.spec.ndim, other.spec.ndim
    if ranks == (2, 2):
        return product(input, other)
    if ranks == (2, 1):
        return _mv(input, other)
    if ranks == (1, 2):
        return _mv(other.t(), input)
    if is_sparse(input) and ranks == (3, 3):
        return _bmm(input, other)
    if ranks[0] > 2 and ranks[1] == 2 and not is_sparse(input):
        rows = product(input.reshape(-1, input.spec.shape[-1]), other)
        return rows.reshape(*input.spec.shape[:-1], other.spec.shape[1])
    return refused("matmul", sparse_coo)


@rule("bmm")
def _bmm(input: Any, mat2: Any) -> Any:
    if not is_sparse(input) or is_sparse(mat2):
        return refused("bmm", sparse_coo)
    if input.spec.ndim != 3 or mat2.spec.ndim != 3:
        raise RuntimeError("bmm_sparse: Tensors must be three-dimensional")
    batch, high, wide = input.spec.shape
    if mat2.spec.shape[:2] != (batch, wide):
        raise RuntimeError(f"bmm_sparse: expected mat2 of shape {[batch, wide, 'n']}, got {list(mat2.spec.shape)}")
    check_operands("bmm", input, mat2)
    pattern, values = entries_of(input)
    matrix, rows, columns = pattern.indices.unbind(0)
    terms = values.unsqueeze(1) * mat2.reshape(batch * wide, -1).index_select(0, matrix * wide + columns)
    return summed(terms, matrix * high + rows, batch * high).reshape(batch, high, mat2.spec.shape[2])


@rule("addmm")
def _addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    found = product(mat1, mat2, "addmm")
    if is_sparse(input) and (not is_sparse(found) or input.spec.layout is sparse_coo):
        raise RuntimeError(f"addmm_sparse_dense: expected strided result tensor, got tensor with layout {input.spec.layout}")
    shape = broadcast_shapes(input.spec.shape, found.spec.shape)
    if shape != found.spec.shape:
        raise RuntimeError(f"addmm: Expected input of a shape that expands to {list(found.spec.shape)}, got "
                           f"{list(input.spec.shape)}")
    scaled = found if alpha == 1 else found * alpha
    if beta == 0:
        return scaled
    before = input if beta == 1 else input * beta
    return before + scaled if is_sparse(before) == is_sparse(scaled) else before.expand(shape) + scaled


@rule("linear")
def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    found = FUNCTIONS["matmul"](input, weight.t() if weight.spec.ndim > 1 else weight)
    return found if bias is None else found + bias


@rule("addmv")
def _addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    found = _mv(mat, vec) * alpha
    return found if beta == 0 else input * beta + found


@rule("smm")
def _smm(input: Any, mat: Any) -> Any:
    found = product(as_coo(input), mat)
    return _all_places(found, pattern_of(coalesced(as_coo(input))))


def _all_places(found: Any, pattern: Pattern) -> Any:
    """A dense matrix as a sparse one that has the rows of a pattern, all their elements."""
    rows = pattern.indices.select(0, 0).unique()
    wide = found.spec.shape[1]
    columns = FUNCTIONS["arange"](wide, device=rows.spec.device)
    indices = FUNCTIONS["stack"]([rows.repeat_interleave(wide), columns.repeat(rows.spec.numel)])
    made = Pattern(sparse_coo, found.spec.shape, indices, True)
    return sparse(made, values_at(found, made))


@rule("hspmm")
def _hspmm(mat1: Any, mat2: Any) -> Any:
    found = product(as_coo(mat1), mat2)
    rows = pattern_of(coalesced(as_coo(mat1))).indices.select(0, 0).unique()
    return sparse(Pattern(sparse_coo, found.spec.shape[:1], rows.unsqueeze(0), True), found.index_select(0, rows))


@rule("sspaddmm")
def _sspaddmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return input * beta + _smm(mat1, mat2) * alpha


@public("_sparse_mm")
def mm(mat1: Any, mat2: Any, reduce: str | None = None) -> Any:
    """The product of two matrices of which one, or both, are sparse.

    Args:
        mat1, mat2: the matrices.
        reduce: what is made of the terms of an element, ``"sum"``, ``"mean"``, ``"amax"`` (``"max"``) or ``"amin"``
            (``"min"``): for a matrix of layout ``sparse_csr`` times a dense one. Default: their sum.

    Raises:
        RuntimeError: the shapes or dtypes do not fit, or there is no such reduction.
        NotImplementedError: a reduction is named, and the layout is another one.

    >>> import clgrad
    >>> a = clgrad.tensor([[0., 2.], [3., 0.]]).to_sparse().requires_grad_()
    >>> clgrad.sparse.mm(a, clgrad.ones(2, 1)).sum().backward()
    >>> a.grad.values()
    tensor([1., 1.])
    """
    if reduce is None:
        return FUNCTIONS["mm"](mat1, mat2)
    if reduce == "prod":
        raise RuntimeError("sparse_mm_reduce: reduce type of prod has not been enabled.")
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if mat1.spec.layout is not sparse_csr or is_sparse(mat2):
        return refused("_sparse_mm_reduce_impl", mat1.spec.layout if is_sparse(mat1) else sparse_coo)
    _matrices("sparse.mm", mat1, mat2)
    pattern, values = entries_of(mat1)
    rows, columns = pattern.indices.unbind(0)
    terms = values.unsqueeze(1) * mat2.index_select(0, columns)
    empty = mat2.new_zeros((mat1.spec.shape[0], mat2.spec.shape[1]))
    if reduce == "sum":
        return empty.index_add(0, rows, terms)
    return empty.index_reduce(0, rows, terms, reduce, include_self=False)


@public("_sparse_addmm")
def addmm(mat: Any, mat1: Any, mat2: Any, *, beta: Any = 1.0, alpha: Any = 1.0) -> Any:
    """``beta * mat + alpha * (mat1 @ mat2)`` of a sparse ``mat1``, as :func:`clgrad.addmm`."""
    return FUNCTIONS["addmm"](mat, mat1, mat2, beta=beta, alpha=alpha)


@public("sparse_sampled_addmm")
def sampled_addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1.0, alpha: Any = 1.0) -> Any:
    """``beta * input + alpha * (mat1 @ mat2)`` at the places of ``input``, a matrix (or a batch) of layout ``sparse_csr``.

    Only these elements of the product are computed.

    Raises:
        RuntimeError: the shapes do not fit, or ``input`` is of another layout.

    >>> import clgrad
    >>> clgrad.sparse.sampled_addmm(clgrad.eye(2).to_sparse_csr(), clgrad.ones(2, 3), clgrad.ones(3, 2)).values()
    tensor([4., 4.])
    """
    if not isinstance(input, TensorBase) or input.spec.layout is not sparse_csr:
        if input.spec.layout is sparse_coo:
            return refused("sparse_sampled_addmm", sparse_coo)
        raise RuntimeError(f"sampled_addmm: Expected self.layout() to be SparseCsr, got {input.spec.layout}")
    for name, x in (("mat1", mat1), ("mat2", mat2)):
        if is_sparse(x):
            raise RuntimeError(f"sampled_addmm: Expected {name} to have layout Strided, but got {x.spec.layout}")
        if x.spec.ndim < 2:
            raise RuntimeError(f"sampled_addmm: Expected {name} to be a matrix, got {x.spec.ndim}-D")
    batch = input.spec.shape[:-2]
    if mat1.spec.shape[:-2] != batch or mat2.spec.shape[:-2] != batch:
        raise RuntimeError(f"sampled_addmm: Expected mat1 and mat2 to have the batch dimensions {list(batch)}")
    (high, inner), (second, wide) = mat1.spec.shape[-2:], mat2.spec.shape[-2:]
    if inner != second:
        raise RuntimeError(f"sampled_addmm: mat1 and mat2 shapes cannot be multiplied ({high}x{inner} and {second}x{wide})")
    if input.spec.shape[-2:] != (high, wide):
        raise RuntimeError("sampled_addmm: self.shape[-2] and self.shape[-1] must match those of the product "
                           f"{[high, wide]}, got {list(input.spec.shape[-2:])}")
    pattern = pattern_of(input)
    coo = pattern.as_coo()
    *matrix, rows, columns = coo.indices.unbind(0)
    number = columns.new_zeros(coo.count)
    for size, place in zip(batch, matrix, strict=True):
        number = number * size + place
    left = mat1.reshape(prod(batch) * high, inner).index_select(0, number * high + rows)
    right = mat2.transpose(-1, -2).reshape(prod(batch) * wide, inner).index_select(0, number * wide + columns)
    found = (left * right).sum(1).reshape(*batch, pattern.count) * alpha
    own = values_of(input)
    return sparse(pattern, found if beta == 0 else own * beta + found)


def spsolve(input: Any, other: Any, *, left: bool = True) -> Any:
    """The solution x of ``input @ x = other``, a vector or a matrix, of a square matrix of layout ``sparse_csr``.

    The matrix is made dense for it: :func:`clgrad.linalg.solve`.
    """
    if not is_sparse(input) or input.spec.layout not in COMPRESSED:
        return refused("_spsolve", sparse_coo)
    return solve(dense_of(input), other, left=left)
