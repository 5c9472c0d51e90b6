"""Products of vectors and matrices made of others: inner, Kronecker and cross products, powers, the exponential."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from operator import index
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import Saved, TensorBase, attach, ends_in, needs_graph
from clgrad.kernels import elementwise
from clgrad.ops.copying import cast, empty, full, to_array
from clgrad.ops.diagonals import diag_embed
from clgrad.ops.execute import check_device, execute
from clgrad.ops.linalg import dot, matmul
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import Shape, broadcast_shapes, normalize_dim
from clgrad.spec import common_dtype


@operator("vdot")
def vdot(input: Any, other: Any, *, out: Any = None) -> Any:
    """The sum of products of two vectors."""
    return dot(input, other, out=out)


@operator("inner")
def inner(input: Any, other: Any, *, out: Any = None) -> Any:
    """The sums of products over the last dimensions; a scalar multiplies."""
    a, b = input.spec, other.spec
    if not a.ndim or not b.ndim:
        return FUNCTIONS["mul"](input, other, out=out)
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes {list(a.shape)} "
                           f"and {list(b.shape)}")
    return store("inner", tensordot(input, other, ([-1], [-1])), out, exact=True)


@operator("tensordot", method=False)
def tensordot(a: Any, b: Any, dims: Any = 2, *, out: Any = None) -> Any:
    """The sums of products over some dimensions of both.

    ``dims``: how many, the last of ``a`` with the first of ``b``; or a list for each of them.

    >>> import clgrad
    >>> clgrad.tensordot(clgrad.ones(2, 3, 4), clgrad.ones(4, 3), dims=([2, 1], [0, 1]))
    tensor([12., 12.])
    """
    left, right = _contracted(a, b, dims)
    shape_a, shape_b = a.spec.shape, b.spec.shape
    for i, j in zip(left, right, strict=True):
        if shape_a[i] != shape_b[j] and 1 not in (shape_a[i], shape_b[j]):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {shape_a[i]} in dim {i} and "
                               f"second has size {shape_b[j]} in dim {j}")
        # A dimension of size 1 is summed over the other's.
        if shape_a[i] != shape_b[j]:
            a, b = ((a.sum(i, keepdim=True, dtype=a.dtype), b) if shape_b[j] == 1 else
                    (a, b.sum(j, keepdim=True, dtype=b.dtype)))
    shape_a, shape_b = a.spec.shape, b.spec.shape
    kept_a = [d for d in range(len(shape_a)) if d not in left]
    kept_b = [d for d in range(len(shape_b)) if d not in right]
    rows, columns = [shape_a[d] for d in kept_a], [shape_b[d] for d in kept_b]
    depth = prod(shape_a[d] for d in left)
    result = matmul(a.permute(kept_a + left).reshape(prod(rows), depth),
                    b.permute(right + kept_b).reshape(depth, prod(columns)))
    return store("tensordot", result.reshape(rows + columns), out, exact=True)


def _contracted(a: Any, b: Any, dims: Any) -> tuple[list[int], list[int]]:
    """The dimensions of both tensors over which a product is summed."""
    if isinstance(dims, TensorBase):
        dims = dims.tolist()  # type: ignore[attr-defined]
    rank_a, rank_b = a.spec.ndim, b.spec.ndim
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(rank_a, rank_b):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        return list(range(rank_a - dims, rank_a)), list(range(dims))
    first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    return [normalize_dim(d, rank_a) for d in first], [normalize_dim(d, rank_b) for d in second]


@operator("kron")
def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """The Kronecker product: each element of ``input`` times all of ``other``."""
    rank = max(input.spec.ndim, other.spec.ndim)
    a, b = ((1,) * (rank - t.spec.ndim) + tuple(t.spec.shape) for t in (input, other))
    blocks = (input.reshape([s for size in a for s in (size, 1)])
              * other.reshape([s for size in b for s in (1, size)]))
    return store("kron", blocks.reshape([m * n for m, n in zip(a, b, strict=True)]), out)


def cross_product(name: str, input: Any, other: Any, dim: int) -> Any:
    """The vector product along a dimension of size 3."""
    if input.spec.ndim != other.spec.ndim:
        raise RuntimeError(f"{name}: inputs must have the same number of dimensions.")
    axis = normalize_dim(dim, input.spec.ndim)
    if not input.spec.ndim or input.spec.shape[axis] != 3 or other.spec.shape[axis] != 3:
        sizes = [t.spec.shape[axis] if t.spec.ndim else 1 for t in (input, other)]
        raise RuntimeError(f"{name}: inputs dimension {dim} must have length 3. Got {sizes[0]} and {sizes[1]}")
    shape = broadcast_shapes(input.spec.shape, other.spec.shape)
    kind = common_dtype((input.spec, other.spec))
    if kind is dtypes.bool:
        raise NotImplementedError("\"cross\" not implemented for 'Bool'")
    return _crossed(cast(input, kind).expand(shape), cast(other, kind).expand(shape), axis)


_CROSS = ("a1 * b2 - a2 * b1", "a2 * b0 - a0 * b2", "a0 * b1 - a1 * b0")


@lru_cache(256)
def _cross_plan(device: Any, kind: dtypes.dtype, shape: Shape, *strides: Shape) -> elementwise.Plan:
    """Three values from the elements of two vectors, whose dimension of size 3 is left out of ``shape``."""
    a, b, out = ([elementwise.Operand(f"{name}{k}", kind, steps) for k in range(3)]
                 for name, steps in zip(("a", "b", "out"), strides, strict=True))
    return elementwise.plan(device, "cross", elementwise.calc_type(kind), _CROSS, [*a, *b], out, (), shape)


def _crossed(a: Any, b: Any, axis: int) -> Any:
    """The vector product of two tensors of one shape and dtype."""
    device = check_device("cross", a, b)
    out = empty(a.spec.shape, a.spec.dtype, a.spec.device)
    parts = [[t.detach().select(axis, k) for k in range(3)] for t in (a, b, out)]
    first = [listed[0].spec for listed in parts]
    plan = _cross_plan(device, a.spec.dtype, first[0].shape, *[part.strides for part in first])
    execute(plan, (*parts[0], *parts[1]), tuple(parts[2]))
    if needs_graph(a, b):
        saved = Saved("cross", [a, b])

        def backward(g: Any) -> tuple:
            a, b = saved.unpack()
            return (_crossed(b, g, axis) if a._requires_grad else None), (_crossed(g, a, axis) if b._requires_grad else None)
        attach(out, "LinalgCross", (a, b), backward, saved)
    return out


@operator("cross")
def cross(input: Any, other: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """The vector product along a dimension of size 3: ``dim``, or the first such."""
    if dim is None:
        sizes = list(input.spec.shape)
        if 3 not in sizes:
            raise RuntimeError("no dimension of size 3 in input")
        dim = sizes.index(3)
    return store("cross", cross_product("linalg.cross", input, other, dim), out, exact=True)


def linalg_cross(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The vector product along a dimension of size 3, other dimensions broadcast."""
    return store("linalg.cross", cross_product("linalg.cross", input, other, dim), out, exact=True)


def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The sums of products conj(x) * y along a dimension, other dimensions broadcast."""
    if not x.spec.dtype.differentiable:
        raise RuntimeError("linalg.vecdot: Expected a floating point or complex tensor as input. Got "
                           f"{dtypes.type_name(x.spec.dtype)}")
    return store("linalg.vecdot", (x.conj() * y).sum(dim), out, exact=True)


# Chains of products.

def multi_dot(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """The product of two or more matrices in the order of fewest multiplications; the ends may be vectors.

    Source of the order: Cormen et al., Introduction to Algorithms, 15.2.
    """
    chain = list(tensors)
    if len(chain) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " f"{len(chain)}")
    for place, t in enumerate(chain):
        ends = place in (0, len(chain) - 1)
        if t.spec.ndim != 2 and not (ends and t.spec.ndim == 1):
            raise RuntimeError(f"multi_dot(): tensor {place} must be {'1D or ' if ends else ''}2D but got "
                               f"{t.spec.ndim}D")
    first, last = chain[0].spec.ndim == 1, chain[-1].spec.ndim == 1
    if len(chain) == 2:
        return store("multi_dot", matmul(*chain), out, exact=True)
    if first:
        chain[0] = chain[0].unsqueeze(0)
    if last:
        chain[-1] = chain[-1].unsqueeze(1)
    for place, (a, b) in enumerate(zip(chain, chain[1:], strict=False)):
        if a.spec.shape[1] != b.spec.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {place} and {place + 1} with shapes {list(a.spec.shape)} and "
                               f"{list(b.spec.shape)} cannot be multiplied")
    result = _in_best_order(chain)
    if first:
        result = result.squeeze(0)
    return store("multi_dot", result.squeeze(-1) if last else result, out, exact=True)


def _in_best_order(chain: list) -> Any:
    count = len(chain)
    sizes = [chain[0].spec.shape[0], *(t.spec.shape[1] for t in chain)]
    cost = {(i, i): 0 for i in range(count)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            options = [(cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i, j], cut[i, j] = min(options)

    def multiplied(i: int, j: int) -> Any:
        return chain[i] if i == j else matmul(multiplied(i, cut[i, j]), multiplied(cut[i, j] + 1, j))
    return multiplied(0, count - 1)


@operator("chain_matmul", method=False)
def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """The product of matrices in the order of fewest multiplications."""
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for t in matrices:
        if t.spec.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {t.spec.ndim}, expected 2 instead.")
    return store("chain_matmul", matrices[0], out, exact=True) if len(matrices) == 1 else multi_dot(matrices, out=out)


# Powers and the exponential.

def check_square(name: str, x: Any) -> None:
    """RuntimeError unless the last two dimensions are there and equal."""
    shape = x.spec.shape
    if len(shape) < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if shape[-1] != shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {shape[-2]} by {shape[-1]} "
                           "matrices")


def identity_like(x: Any) -> Any:
    """Identity matrices of the shape and dtype of ``x``, a view."""
    return identity(x.spec.shape[-1], x).expand(x.spec.shape)


def constant_of(result: Any, *inputs: Any) -> Any:
    """A result that does not depend on its inputs' values, recorded with gradients of zero."""
    if needs_graph(*inputs):
        shapes = [t.spec.shape for t in inputs]
        attach(result, "Constant", inputs, lambda g: tuple([g.new_zeros(shape) for shape in shapes]))
    return result


def identity(size: int, like: Any) -> Any:
    """The identity matrix in the dtype and on the device of another tensor."""
    return diag_embed(full((size,), 1, like.spec.dtype, like.spec.device))


@operator("matrix_power")
def matrix_power(input: Any, n: int, *, out: Any = None) -> Any:
    """The n-th power of square matrices by repeated squaring; a negative one is a power of the inverse."""
    check_square("linalg.matrix_power", input)
    n = index(n)
    if n < 0:
        return matrix_power(FUNCTIONS["inverse"](input), -n, out=out)
    if n == 0:
        return store("matrix_power", constant_of(identity_like(input).clone(), input), out)
    result, square = None, input
    while True:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        if not n:
            return store("matrix_power", result.clone() if result is input else result, out, exact=True)
        square = matmul(square, square)


def _like(values: np.ndarray, x: Any, kind: Any = None) -> Any:
    """An array's values as a tensor beside ``x``."""
    return FUNCTIONS["tensor"](values, dtype=x.spec.dtype if kind is None else kind, device=x.spec.device)


_TAYLOR = 16  # terms: for a norm of 1/2 the rest is below 1e-19, for 2 below 1e-9


@operator("matrix_exp")
def matrix_exp(input: Any) -> Any:
    """The exponential of square matrices: scaling and squaring of a Taylor polynomial of degree 16.

    Source: Paterson and Stockmeyer, On the Number of Nonscalar Multiplications Necessary to Evaluate Polynomials
    (1973); Moler and Van Loan, Nineteen Dubious Ways to Compute the Exponential of a Matrix (2003).
    """
    if not input.spec.dtype.differentiable:
        raise RuntimeError("matrix_exp: Expected a floating point or complex tensor as input. Got "
                           f"{dtypes.type_name(input.spec.dtype)}")
    check_square("linalg.matrix_exp", input)
    if not input.spec.numel:
        return input.clone()
    norms = to_array(input.detach().abs().sum(-2).amax(-1).to(dtypes.float64 if input.spec.dtype is dtypes.float64
                                                              else dtypes.float32))
    largest = -1 if input.spec.dtype is dtypes.float64 else 1  # exponent of the norm that the polynomial is good for
    squarings = np.where(np.isfinite(norms), np.maximum(np.frexp(norms)[1] - largest, 0), 0)[..., None, None]
    most, even = int(squarings.max()), bool((squarings == squarings.min()).all())
    x = input * (2.0 ** -most if even else _like(np.ldexp(1.0, -squarings), input))
    powers = [None, x]
    for _ in range(3):
        powers.append(matmul(powers[-1], x))
    coefficients = [1.0]
    for k in range(1, _TAYLOR + 1):
        coefficients.append(coefficients[-1] / k)
    one = identity_like(x)

    def block(start: int) -> Any:
        """Four terms of the polynomial, as a polynomial of degree 3."""
        total = one * coefficients[start]
        for k in range(1, 4):
            total = total + powers[k] * coefficients[start + k]
        return total
    result = block(_TAYLOR - 4) + powers[4] * coefficients[_TAYLOR]
    for start in range(_TAYLOR - 8, -1, -4):
        result = block(start) + matmul(powers[4], result)
    for done in range(most):
        squared = matmul(result, result)
        result = squared if even else FUNCTIONS["where"](_like(squarings > done, input, dtypes.bool), squared, result)
    return ends_in(result, "LinalgMatrixExp")
