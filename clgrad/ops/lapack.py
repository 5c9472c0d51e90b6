"""Matrix decompositions on the host: what NumPy's LAPACK offers, and what it lacks, over batches of arrays.

An array's last two dimensions are a matrix. LU, triangular solves and symmetric indefinite decompositions are blocked
recursions, whose work is in NumPy's matrix products (Toledo, Locality of Reference in LU Decomposition, 1997).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.errors import LinAlgError
from clgrad.ops.copying import from_array, to_array
from clgrad.shapes import ordered_strides
from clgrad.spec import spec

Array = np.ndarray
_LEAF = 16  # columns from which on a recursion is split


def host(name: str, x: Any) -> Array:
    """The values of a tensor of float32 or float64, or of complex numbers of such parts.

    Raises:
        RuntimeError: it is of another dtype, or has less than two dimensions.
    """
    check_floating(name, x)
    if x.spec.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    return to_array(x)


# The kernels by which PyTorch calls the operators that it lets refuse a dtype.
_KERNELS = {"cholesky_inverse": "cholesky_inverse_out_cpu", "cholesky_solve": "cholesky_solve_cpu", "geqrf": "geqrf_cpu",
            "linalg.eigh": "linalg_eigh_cpu", "linalg.householder_product": "orgqr_cpu", "linalg.lu": "lu_cpu",
            "linalg.lu_factor": "lu_cpu", "linalg.lu_factor_ex": "lu_cpu", "lu": "lu_cpu",
            "linalg.solve_triangular": "triangular_solve_cpu"}


def check_floating(name: str, x: Any) -> None:
    """RuntimeError unless a tensor is of float32 or float64, or of their complex numbers."""
    kind = x.spec.dtype
    if name in _KERNELS and (not kind.differentiable or kind.itemsize < 4):
        raise NotImplementedError(f"\"{_KERNELS[name]}\" not implemented for '{dtypes.type_name(kind)}'")
    if not kind.differentiable:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtypes.type_name(kind)}")
    if kind.itemsize < 4:
        raise NotImplementedError(f"{name}: Low precision dtypes not supported. Got {dtypes.type_name(kind)}")


def tensor(array: Array, like: Any, kind: Any = None) -> Any:
    """An array as a tensor of ``like``'s dtype (or ``kind``) on its device."""
    kind = kind or like.spec.dtype
    with np.errstate(all="ignore"):
        return from_array(np.array(array, kind.numpy, order="C"), kind, like.spec.device)


def matrix(array: Array, like: Any) -> Any:
    """An array as matrices of ``like``'s dtype on its device, column after column, as LAPACK leaves them."""
    made = tensor(transposed(array), like)
    rank, own = array.ndim, made.spec
    strides = ordered_strides(array.shape, [rank - 2, rank - 1, *reversed(range(rank - 2))])
    made.spec = spec(array.shape, strides, own.dtype, own.device)
    return made


def numpy_call(name: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
    """A function of ``numpy.linalg``; its LinAlgError becomes ours, and NaN and infinities are no matter to warn of."""
    try:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{name}: {error}") from None


def svd(name: str, a: Array, full_matrices: bool) -> tuple[Array, Array, Array]:
    """U, S and Vh. LAPACK may never return from what is not finite, so it is not asked: infinities give NaN.

    Raises:
        LinAlgError: a matrix holds NaN.
    """
    lost = _not_finite(name, a)
    U, S, Vh = numpy_call(name, np.linalg.svd, np.where(lost, 0, a), full_matrices)
    return np.where(lost, np.nan, U), np.where(lost[..., 0], np.nan, S), np.where(lost, np.nan, Vh)


def svdvals(name: str, a: Array) -> Array:
    """The S of :func:`svd`."""
    lost = _not_finite(name, a)
    return np.where(lost[..., 0], np.nan, numpy_call(name, np.linalg.svd, np.where(lost, 0, a), compute_uv=False))


def _not_finite(name: str, a: Array) -> Array:
    """Which matrices hold infinities, in the batch's shape and (1, 1); LinAlgError where one holds NaN."""
    unknown = np.isnan(a).any((-2, -1)).reshape(-1)
    if unknown.any():
        element = f"(Batch element {int(unknown.argmax())}): " if a.ndim > 2 else ""
        raise LinAlgError(f"{name}: {element}The algorithm failed to converge because the input matrix contained non-finite "
                          "values.")
    return np.isinf(a).any((-2, -1), keepdims=True)


def transposed(a: Array) -> Array:
    """The last two dimensions exchanged."""
    return a.swapaxes(-2, -1)


def adjoint(a: Array) -> Array:
    """The last two dimensions exchanged, and complex numbers conjugated."""
    return a.swapaxes(-2, -1).conj()


def _flat(a: Array) -> Array:
    """With one batch dimension."""
    return a.reshape(prod(a.shape[:-2]), *a.shape[-2:])


# Triangular systems.

def solve_triangular(a: Array, b: Array, upper: bool, unit: bool = False) -> Array:
    """X with a @ X = b; a zero on the diagonal gives infinities. Only the named triangle of ``a`` is read."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])))
    with np.errstate(all="ignore"):
        _substitute(a, x, upper, unit)
    return x


def _substitute(a: Array, x: Array, upper: bool, unit: bool) -> None:
    n = a.shape[-1]
    if n > _LEAF:
        first, second = slice(0, n // 2), slice(n // 2, n)
        if upper:
            first, second = second, first
        _substitute(a[..., first, first], x[..., first, :], upper, unit)
        x[..., second, :] -= a[..., second, first] @ x[..., first, :]
        _substitute(a[..., second, second], x[..., second, :], upper, unit)
        return
    for k in reversed(range(n)) if upper else range(n):
        if not unit:
            x[..., k, :] /= a[..., k, k, None]
        rest = slice(0, k) if upper else slice(k + 1, n)
        x[..., rest, :] -= a[..., rest, k, None] * x[..., None, k, :]


# LU with partial pivoting.

def lu(a: Array) -> tuple[Array, Array, Array]:
    """(L and U in one matrix, pivots counted from 1, info: 0, or the first column with a zero pivot from 1)."""
    m, n = a.shape[-2:]
    packed = _flat(np.array(a))
    pivots = np.zeros((packed.shape[0], min(m, n)), np.int32)
    with np.errstate(all="ignore"):
        if packed.size:
            _factor(packed, pivots)
    diagonal = np.diagonal(packed, 0, 1, 2) == 0
    info = np.where(diagonal.any(1), diagonal.argmax(1) + 1, 0) if diagonal.shape[1] else np.zeros(len(packed))
    batch = a.shape[:-2]
    return (packed.reshape(a.shape), (pivots + 1).reshape(*batch, min(m, n)),
            info.astype(np.int32).reshape(batch))


def _factor(a: Array, pivots: Array) -> None:
    count = pivots.shape[1]
    if count <= _LEAF:
        _factor_columns(a, pivots)
        return
    half = count // 2
    left, right = pivots[:, :half], pivots[:, half:]
    _factor(a[:, :, :half], left)
    _swap_rows(a[:, :, half:], left)
    _substitute(a[:, :half, :half], a[:, :half, half:], False, True)
    a[:, half:, half:] -= a[:, half:, :half] @ a[:, :half, half:]
    _factor(a[:, half:, half:], right)
    _swap_rows(a[:, half:, :half], right)
    right += half


def _size(a: Array) -> Array:
    """How large numbers are: complex ones by LAPACK's measure, the sum of their parts' absolute values."""
    return np.abs(a.real) + np.abs(a.imag) if np.iscomplexobj(a) else np.abs(a)


def _factor_columns(a: Array, pivots: Array) -> None:
    batch = np.arange(len(a))
    for k in range(pivots.shape[1]):
        best = k + _size(a[:, k:, k]).argmax(1)
        pivots[:, k] = best
        row = a[batch, best]
        a[batch, best] = a[:, k]
        a[:, k] = row
        pivot = a[:, k, k, None]
        a[:, k + 1:, k] = np.where(pivot == 0, a[:, k + 1:, k], a[:, k + 1:, k] / pivot)
        a[:, k + 1:, k + 1:] -= a[:, k + 1:, k, None] * a[:, None, k, k + 1:]


def _swap_rows(a: Array, pivots: Array) -> None:
    batch = np.arange(len(a))
    for k in range(pivots.shape[1]):
        other = pivots[:, k]
        row = a[batch, other]
        a[batch, other] = a[:, k]
        a[:, k] = row


def permutation(pivots: Array, rows: int) -> Array:
    """The matrix P with A = P @ L @ U for pivots counted from 1."""
    flat = pivots.reshape(prod(pivots.shape[:-1]), pivots.shape[-1])
    order = np.tile(np.arange(rows), (len(flat), 1))
    _swap_rows(order[:, :, None], flat - 1)
    result = np.zeros((len(flat), rows, rows))
    np.put_along_axis(result, order[:, None, :], 1.0, 1)
    return result.reshape(*pivots.shape[:-1], rows, rows)


# Cholesky.

def cholesky(a: Array) -> tuple[Array, Array]:
    """(lower factors, info: 0, or the order of the first leading minor that is not positive)."""
    batch, n = a.shape[:-2], a.shape[-1]
    info = np.zeros(batch, np.int32)
    lower = np.tril(a) + adjoint(np.tril(a, -1))
    if not a.size:
        return lower, info
    try:
        return np.linalg.cholesky(lower), info
    except np.linalg.LinAlgError:
        pass
    result, flat = _flat(np.tril(lower)), _flat(lower)
    for place, matrix in enumerate(flat):
        good, bad = 0, n + 1  # orders of minors that are, and are not, positive
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                result[place, :middle, :middle] = np.linalg.cholesky(matrix[:middle, :middle])
                good = middle
            except np.linalg.LinAlgError:
                bad = middle
        info.reshape(-1)[place] = 0 if good == n else bad
    return result.reshape(a.shape), info


# Symmetric indefinite matrices: A = L D L^T with blocks of D of one or two rows.

_GROWTH = (1 + np.sqrt(17)) / 8


def ldl(a: Array) -> tuple[Array, Array, Array]:
    """(L and D in the lower triangle, pivots as LAPACK's sytrf gives them, info) of symmetric matrices.

    Source: Bunch and Kaufman, Some Stable Methods for Calculating Inertia and Solving Symmetric Linear Systems (1977).
    """
    n = a.shape[-1]
    flat = _flat(np.array(np.tril(a)))
    pivots, info = np.zeros((len(flat), n), np.int32), np.zeros(len(flat), np.int32)
    with np.errstate(all="ignore"):
        for place, matrix in enumerate(flat):
            info[place] = _factor_symmetric(matrix, pivots[place])
    return flat.reshape(a.shape), pivots.reshape(a.shape[:-1]), info.reshape(a.shape[:-2])


def _choose(a: Array, k: int) -> tuple[int, int]:
    """(the row to exchange, rows of the block) at step k."""
    n = len(a)
    below = _size(a[k + 1:, k])
    largest = below.max(initial=0.0)
    if not len(below) or np.isnan(a[k, k]) or _size(a[k, k]) >= _GROWTH * largest:
        return k, 1
    row = k + 1 + int(below.argmax())
    others = _size(np.concatenate([a[row, k:row], a[row + 1:n, row]]))
    reach = others.max()
    if _size(a[k, k]) * reach >= _GROWTH * largest * largest:
        return k, 1
    return (row, 1) if _size(a[row, row]) >= _GROWTH * reach else (row, 2)


def _factor_symmetric(a: Array, pivots: Array) -> int:
    n, k, info = len(a), 0, 0
    while k < n:
        row, size = _choose(a, k)
        target = k + size - 1
        if row != target:
            _exchange(a, target, row, k if size == 2 else None)
        pivots[k:k + size] = row + 1 if size == 1 else -(row + 1)
        block = a[k:k + size, k:k + size]
        full = block if size == 1 else np.array([[block[0, 0], block[1, 0]], [block[1, 0], block[1, 1]]])
        rest = slice(k + size, n)
        if size == 1 and full[0, 0] == 0:
            info = info or k + 1
        elif k + size < n:
            columns = a[rest, k:k + size].copy()
            factors = np.linalg.solve(full, columns.T).T
            a[rest, rest] -= np.tril(factors @ columns.T)
            a[rest, k:k + size] = factors
        k += size
    return info


def _exchange(a: Array, first: int, second: int, extra: int | None) -> None:
    """Exchanges two rows and columns of a symmetric matrix of which the lower triangle from ``first`` on is stored."""
    a[second + 1:, [first, second]] = a[second + 1:, [second, first]]
    middle = a[first + 1:second, first].copy()
    a[first + 1:second, first] = a[second, first + 1:second]
    a[second, first + 1:second] = middle
    a[first, first], a[second, second] = a[second, second], a[first, first]
    if extra is not None:
        a[first, extra], a[second, extra] = a[second, extra], a[first, extra]
