"""Norms of vectors and matrices, distances, and the condition of matrices."""

from __future__ import annotations

from math import inf
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import Saved, attach, ends_in, needs_graph
from clgrad.kernels.reduce import norm_op
from clgrad.ops.copying import cast
from clgrad.ops.distances import distances
from clgrad.ops.linalg import matmul
from clgrad.ops.output import add_in_place, store
from clgrad.ops.reduction import run, spread
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.solving import inv_ex
from clgrad.ops.spectral import svdvals
from clgrad.shapes import Shape, broadcast_shapes, normalize_dim, reduced_dims

where = FUNCTIONS["where"]


def _floating(name: str, x: Any, dtype: Any) -> Any:
    """What a norm is of: the tensor, as ``dtype`` where one is given; the absolute values of complex numbers."""
    kind = x.spec.dtype
    if not kind.differentiable:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtypes.type_name(kind)}")
    if kind.is_complex and dtype is not None and not dtype.is_complex:
        raise RuntimeError(f"{name}: dtype should be complex for complex inputs, but got {dtypes.type_name(dtype)}")
    if kind.is_complex:
        return FUNCTIONS["abs"](x if dtype is None else cast(x, dtype))
    if dtype is None or dtype is kind:
        return x
    if not dtype.differentiable:
        raise RuntimeError(f"{name}: dtype should be floating point or complex. Got {dtypes.type_name(dtype)}")
    if dtypes.promote_types(kind, dtype) is not dtype:
        raise RuntimeError(f"{name}: the dtype of the input ({dtypes.type_name(kind)}) should be convertible without "
                           f"narrowing to the specified dtype ({dtypes.type_name(dtype)})")
    return cast(x, dtype)


def vector_norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
                out: Any = None) -> Any:
    """(sum |x|^ord)^(1/ord) over dimensions, or all; ``inf``: the largest |x|, ``-inf``: the smallest, 0: how many.

    The gradient where the norm is zero is zero.
    """
    name = "linalg.vector_norm"
    if isinstance(ord, str):
        raise TypeError(f"{name}(): argument 'ord' must be Number, not str")
    x = _floating(name, x, dtype)
    shape, order = x.spec.shape, float(ord)
    dims = reduced_dims(dim, x.spec.ndim)
    if (order < 0 or order == inf) and any(shape[d] == 0 for d in dims):
        raise RuntimeError(f"{name} cannot compute the {ord} norm on an empty tensor because the operation does not have "
                           "an identity")
    result, _ = run(x, norm_op(order), dims, keepdim, x.spec.dtype, order=order)
    if needs_graph(x):
        saved = Saved("norm", [x])

        def backward(g: Any) -> Any:
            values, y = saved.unpack()
            if order == 2:
                return values * spread(FUNCTIONS["_quotient_or_zero"](g, y), dims, keepdim, shape)
            return _norm_backward(spread(g, dims, keepdim, shape), values, spread(y, dims, keepdim, shape), order, dims)
        attach(result, "LinalgVectorNorm", (x,), backward, saved)
        saved.add_output(result)
    return store(name, result, out, exact=True)


def _norm_backward(g: Any, x: Any, y: Any, p: float, dims: Shape) -> Any:
    if p == 0:
        return FUNCTIONS["zeros_like"](g)
    if p == 1:
        return g * x.sign()
    if p in (inf, -inf):
        same = x.abs().eq(y) | (x.isnan() & y.isnan())
        return where(same, g / same.sum(dims, keepdim=True), 0.0) * x.sign() if dims else g * x.sign()
    if p < 1:
        return where(x.eq(0), 0.0, x.sign() * x.abs().pow(p - 1) * g * y.pow(1 - p))
    if p < 2:
        return x.sign() * x.abs().pow(p - 1) * where(y.eq(0), 0.0, g * y.pow(1 - p))
    return x * x.abs().pow(p - 2) * where(y.eq(0), 0.0, g / y.pow(p - 1))


def _pair(name: str, dim: Any, rank: int) -> tuple[int, int]:
    axes = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(axes) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {list(axes)}")
    a, b = (normalize_dim(d, rank) for d in axes)
    if a == b:
        raise RuntimeError(f"{name}: dims must be different. Got ({axes[0]}, {axes[1]})")
    return a, b


def _largest(values: Any, dim: int, keepdim: bool) -> Any:
    """The largest magnitude along a dimension; 0 where there is none."""
    return values.amax(dim, keepdim) if values.spec.shape[dim] else values.sum(dim, keepdim)


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None,
                out: Any = None) -> Any:
    """A norm of matrices: "fro", "nuc", or 1, 2, inf (the largest column sum, singular value, row sum) or a negative."""
    name = "linalg.matrix_norm"
    whole, A = A if dtype is None else cast(A, dtype), _floating(name, A, dtype)
    if A.spec.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    rows, columns = _pair(name, dim, A.spec.ndim)
    if ord == "fro":
        return store(name, vector_norm(A, 2, (rows, columns), keepdim), out, exact=True)
    if ord == "nuc" or (not isinstance(ord, str) and abs(ord) == 2):
        kept = [d for d in range(A.spec.ndim) if d not in (rows, columns)]
        values = svdvals(whole.permute(*kept, rows, columns))
        result = values.sum(-1) if ord == "nuc" else _largest(values, -1, False) if ord > 0 else values.amin(-1)
        if keepdim:
            for axis in sorted((rows, columns)):
                result = result.unsqueeze(axis)
        return store(name, result, out, exact=True)
    if isinstance(ord, str) or abs(ord) not in (1, inf):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    summed, compared = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(A, 1, summed, True)
    result = _largest(sums, compared, True) if ord > 0 else sums.amin(compared, True)
    return store(name, result if keepdim else result.squeeze((rows, columns)), out, exact=True)


def linalg_norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None,
                dtype: Any = None) -> Any:
    """The norm of vectors or matrices: of matrices where two dimensions or a name are given, or A is one.

    Without ``ord`` and ``dim`` the 2-norm of all elements.
    """
    rank = A.spec.ndim
    if dim is not None:
        axes = dim if isinstance(dim, (tuple, list)) else (dim,)
        if len(axes) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(axes)}")
    elif ord is not None and rank not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                           f"{rank}D.")
    if isinstance(ord, str) or (ord is not None and (len(axes) == 2 if dim is not None else rank == 2)):
        if ord not in ("fro", "nuc") and isinstance(ord, str):
            raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
        return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


@operator("norm")
def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: Any = None) -> Any:
    """The p-norm over dimensions, or all elements; "fro" is the 2-norm, "nuc" the sum of singular values."""
    if p == "nuc":
        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm(): order {p!r} is not supported: expected a number, 'fro' or 'nuc'")
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype, out=out)


@operator("dist")
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of the difference, over all elements."""
    difference = input - other
    if not difference.spec.dtype.differentiable:
        raise RuntimeError("norm(): input dtype should be either floating point or complex. Got "
                           f"{dtypes.type_name(difference.spec.dtype)} instead.")
    return ends_in(vector_norm(difference, p), "Dist")


@operator("renorm")
def renorm(input: Any, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Any:
    """Slices along ``dim`` whose p-norm is larger than ``maxnorm``, scaled down to it."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if input.spec.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.spec.ndim} dimensions")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    axis = normalize_dim(dim, input.spec.ndim)
    lengths = vector_norm(input, p, [d for d in range(input.spec.ndim) if d != axis], True)
    result = input.contiguous() * where(lengths.gt(maxnorm), maxnorm / (lengths + 1e-7), 1.0)
    return store("renorm", ends_in(result, "Renorm"), out, exact=True)


add_in_place("renorm")

_BY_PRODUCT = 25  # rows from which on Euclidean distances come from a matrix product


@operator("cdist", method=False)
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """The p-norm distances of each row of (..., m, d) to each of (..., n, d), as (..., m, n)."""
    a, b = x1.spec, x2.spec
    if a.ndim < 2 or b.ndim < 2:
        raise RuntimeError(f"cdist only supports at least 2D tensors, X1 got: {a.ndim}D, X2 got: {b.ndim}D")
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {a.shape[-1]} X2: {b.shape[-1]}")
    for number, kind in enumerate((a.dtype, b.dtype), 1):
        if not kind.is_floating_point:
            raise RuntimeError(f"cdist only supports floating-point dtypes, X{number} got: {dtypes.type_name(kind)}")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected scalar type {dtypes.type_name(a.dtype)} but found {dtypes.type_name(b.dtype)}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    modes = {None: 0, "use_mm_for_euclid_dist_if_necessary": 0, "use_mm_for_euclid_dist": 1,
             "donot_use_mm_for_euclid_dist": 2}
    if compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    large = a.shape[-2] > _BY_PRODUCT or b.shape[-2] > _BY_PRODUCT
    if p == 2 and (modes[compute_mode] == 1 or (modes[compute_mode] == 0 and large)):
        return _euclidean(x1, x2)
    left, right = (x if x.spec.shape[:-2] == batch else x.expand(*batch, *x.spec.shape[-2:]) for x in (x1, x2))
    return ends_in(distances(left, right, float(p)), "Cdist")


def _euclidean(x1: Any, x2: Any) -> Any:
    """|a|^2 + |b|^2 - 2 a b, with the gradient of the distance itself: zero where that is zero."""
    a, b = x1.detach(), x2.detach()
    squares = a.square().sum(-1, keepdim=True) + b.square().sum(-1).unsqueeze(-2) - 2 * matmul(a, b.transpose(-2, -1))
    result = squares.clamp_min(0).sqrt()
    if needs_graph(x1, x2):
        saved = Saved("cdist", [x1, x2])

        def backward(g: Any) -> tuple:
            left, right, distance = saved.unpack()
            share = where(distance.eq(0), 0.0, g / distance)
            across = share.transpose(-2, -1)
            return (left * share.sum(-1, keepdim=True) - matmul(share, right),
                    right * across.sum(-1, keepdim=True) - matmul(across, left))
        attach(result, "EuclideanDist", (x1, x2), backward, saved)
        saved.add_output(result)
    return result


def cond(A: Any, p: Any = None, *, out: Any = None) -> Any:
    """The condition numbers of matrices: the norm times that of the inverse; infinite where singular."""
    if A.spec.ndim < 2:
        raise RuntimeError(f"linalg.cond: The input tensor A must have at least 2 dimensions, but it has {A.spec.ndim}")
    if not A.spec.numel:
        return store("linalg.cond", A.new_zeros(A.spec.shape[:-2], dtype=A.spec.dtype.to_real()), out)
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        values = svdvals(A)
        largest, smallest = values[..., 0], values[..., -1]
        return store("linalg.cond", smallest / largest if p == -2 else largest / smallest, out)
    if A.spec.shape[-1] != A.spec.shape[-2]:
        raise RuntimeError("linalg.cond: A must be batches of square matrices, but they are "
                           f"{A.spec.shape[-2]} by {A.spec.shape[-1]} matrices")
    inverse, info = inv_ex(A)
    product = matrix_norm(A, p) * matrix_norm(inverse, p)
    return store("linalg.cond", where(info.gt(0), inf, product) if not needs_graph(A) else product, out)
