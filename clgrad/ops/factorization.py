"""Decompositions of matrices, computed by LAPACK on the host, with gradients of every order in tensor operations.

The gradients are those of Giles, An Extended Collection of Matrix Derivative Results for Forward and Reverse Mode
Algorithmic Differentiation (2008), and of Walter and Lehmann, Algorithmic Differentiation of Linear Algebra Functions
with Application in Optimum Experimental Design (2010), for QR.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import Saved, attach, ends_in, needs_graph
from clgrad.autograd.refused import no_derivative, no_formula, refuse_gradient
from clgrad.errors import LinAlgError
from clgrad.ops import lapack
from clgrad.ops.complexes import conj
from clgrad.ops.copying import empty
from clgrad.ops.diagonals import tril, triu
from clgrad.ops.joining import cat
from clgrad.ops.linalg import matmul
from clgrad.ops.output import named_result, store
from clgrad.ops.products import check_square, constant_of, identity
from clgrad.ops.registry import operator


def turned(x: Any) -> Any:
    """The last two dimensions exchanged."""
    return x.transpose(-2, -1)


def adjoint_of(x: Any) -> Any:
    """The last two dimensions exchanged, and complex numbers conjugated."""
    return conj(turned(x)) if x.spec.dtype.is_complex else turned(x)


def _mirrored(x: Any) -> Any:
    """The symmetric, or Hermitian, matrices with the lower triangles of ``x``; a diagonal has its real part."""
    lower = tril(x)
    both = lower + adjoint_of(tril(lower, -1))
    return (both + adjoint_of(both)) * 0.5 if x.spec.dtype.is_complex else both


def in_columns(x: Any) -> Any:
    """The same matrices, column after column in memory, as LAPACK leaves its results; vectors as they are."""
    return turned(turned(x).contiguous()) if x.spec.ndim > 1 else x


def record(name: str, x: Any, outputs: tuple, backward: Callable) -> None:
    """Makes ``outputs`` results of a node; ``backward(gradients, outputs)`` gives the gradient of ``x``."""
    if needs_graph(x):
        saved = Saved(name, [])
        attach(outputs, name, (x,), lambda *grads: backward(grads, saved.unpack()), saved)
        for output in outputs:
            saved.add_output(output)


def check_info(name: str, info: np.ndarray, message: str) -> None:
    """LinAlgError where LAPACK's ``info`` says that a matrix of the batch failed; {} becomes its number."""
    failed = np.flatnonzero(info)
    if failed.size:
        which = f"(Batch element {failed[0]}): " if info.ndim else ""
        raise LinAlgError(f"{name}: {which}{message.format(info.reshape(-1)[failed[0]])}")


# Cholesky: A = L @ L.T.

CholeskyEx = named_result("linalg_cholesky_ex", "L info")
_INDEFINITE = ("The factorization could not be completed because the input is not positive-definite (the leading minor of "
               "order {} is not positive-definite).")


def _cholesky(name: str, A: Any, upper: bool) -> tuple[Any, np.ndarray]:
    check_square(name, A)
    values = lapack.host(name, A)
    lower, info = lapack.cholesky(lapack.adjoint(values) if upper else values)
    L = lapack.matrix(lapack.adjoint(lower) if upper else lower, A)

    def backward(grads: tuple, outputs: list) -> Any:
        g, factor = grads[0], outputs[0]
        return _cholesky_backward(adjoint_of(g), adjoint_of(factor)) if upper else _cholesky_backward(g, factor)
    record("LinalgCholeskyEx", A, (L,), backward)
    return L, info


def _cholesky_backward(g: Any, L: Any) -> Any:
    inner = tril(matmul(adjoint_of(L), g))
    inner = (inner + adjoint_of(tril(inner, -1))) * 0.5
    half = solve_triangular(adjoint_of(L), inner, upper=True)
    return solve_triangular(L, half, upper=False, left=False)


def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """:func:`cholesky` with ``info`` (int32): 0, or the order of the first leading minor that is not positive."""
    L, info = _cholesky("linalg.cholesky_ex", A, upper)
    if check_errors:
        check_info("linalg.cholesky_ex", info, _INDEFINITE)
    return store("linalg.cholesky_ex", CholeskyEx(L, lapack.tensor(info, A, dtypes.int32)), out, exact=True)


def linalg_cholesky(A: Any, *, upper: bool = False, out: Any = None) -> Any:
    """The lower triangular L with L @ L.T = A, of symmetric positive definite matrices; ``upper``: its transpose.

    Raises:
        LinAlgError: a matrix is not positive definite.
    """
    L, info = _cholesky("linalg.cholesky", A, upper)
    check_info("linalg.cholesky", info, _INDEFINITE)
    return store("linalg.cholesky", L, out, exact=True)


@operator("cholesky")
def cholesky(input: Any, upper: bool = False, *, out: Any = None) -> Any:
    """The Cholesky factor of symmetric positive definite matrices; see :func:`linalg.cholesky`."""
    return store("cholesky", ends_in(linalg_cholesky(input, upper=upper), "Cholesky"), out, row_major=True)


# Triangular systems.

def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False,
                     out: Any = None) -> Any:
    """X with A @ X = B, or X @ A = B where not ``left``, for triangular A; its other triangle is not read."""
    name = "linalg.solve_triangular"
    check_square(name, A)
    if B.spec.ndim < 2 or A.spec.dtype is not B.spec.dtype:
        raise RuntimeError(f"{name}: Expected B to have at least 2 dimensions and the dtype of A, got shape "
                           f"{list(B.spec.shape)} and {B.spec.dtype.name} for {A.spec.dtype.name}")
    if A.spec.shape[-1] != B.spec.shape[-2 if left else -1]:
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
                           f"({A.spec.shape[-2]}x{A.spec.shape[-1]} and {B.spec.shape[-2]}x{B.spec.shape[-1]})")
    if not left:
        X = turned(solve_triangular(turned(A), turned(B), upper=not upper, unitriangular=unitriangular))
        return store(name, in_columns(X), out, exact=True)
    X = lapack.matrix(lapack.solve_triangular(lapack.host(name, A), lapack.host(name, B), upper, unitriangular), A)
    if needs_graph(A, B):
        saved = Saved(name, [A])
        needed = A._requires_grad

        def backward(g: Any) -> tuple:
            a, x = saved.unpack()
            gB = solve_triangular(adjoint_of(a), g, upper=not upper, unitriangular=unitriangular)
            if not needed:
                return None, gB
            product = -matmul(gB, adjoint_of(x))
            return triu(product, int(unitriangular)) if upper else tril(product, -int(unitriangular)), gB
        attach(X, "LinalgSolveTriangular", (A, B), backward, saved)
        saved.add_output(X)
    return store(name, X, out, exact=True)


# LU: A = P @ L @ U.

LU = named_result("linalg_lu", "P L U")
LUFactor = named_result("linalg_lu_factor", "LU pivots")
LUFactorEx = named_result("linalg_lu_factor_ex", "LU pivots info")
LUUnpacked = named_result("lu_unpack", "P L U")
LUWithInfo = named_result("_lu_with_info", "LU pivots info")


def _lu_backward(gL: Any, gU: Any, P: Any, L: Any, U: Any) -> Any:
    """The gradient of A from those of the m x k factor L and the k x n factor U."""
    m, n = L.spec.shape[-2], U.spec.shape[-1]
    k = min(m, n)
    gL = L.new_zeros(L.spec.shape) if gL is None else gL
    gU = U.new_zeros(U.spec.shape) if gU is None else gU
    L1, U1 = L[..., :k, :], U[..., :k]
    g1, g2 = gL[..., :k, :], gU[..., :k]
    more = None
    if n > k:  # columns beyond: U2 = L1^-1 (P^T A)_2
        more = solve_triangular(adjoint_of(L1), gU[..., k:], upper=True, unitriangular=True)
        g1 = g1 - matmul(more, adjoint_of(U[..., k:]))
    elif m > k:  # rows beyond: L2 = (P^T A)_2 U1^-1
        more = solve_triangular(adjoint_of(U1), gL[..., k:, :], upper=False, left=False)
        g2 = g2 - matmul(adjoint_of(L[..., k:, :]), more)
    inner = tril(matmul(adjoint_of(L1), g1), -1) + triu(matmul(g2, adjoint_of(U1)))
    inner = solve_triangular(adjoint_of(U1), inner, upper=False, left=False)
    result = solve_triangular(adjoint_of(L1), inner, upper=True, unitriangular=True)
    if more is not None:
        result = cat([result, more], -1 if n > k else -2)
    return matmul(P, result)


def _unpacked(packed: Any) -> tuple[Any, Any]:
    """L (with its diagonal of ones) and U from one matrix."""
    m, n = packed.spec.shape[-2:]
    k = min(m, n)
    ones = identity(max(m, k), packed)[:, :k]
    return tril(packed[..., :k], -1) + ones, triu(packed[..., :k, :])


def lu_factored(name: str, A: Any, pivot: bool = True) -> tuple[Any, Any, np.ndarray]:
    """(L and U in one matrix, pivots, info)."""
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")
    values, pivots, info = lapack.lu(lapack.host(name, A))
    packed = lapack.matrix(values, A)
    if needs_graph(A):
        P = lapack.tensor(lapack.permutation(pivots, A.spec.shape[-2]), A)

        def backward(grads: tuple, outputs: list) -> Any:
            (g,), k = grads, min(A_shape)
            L, U = _unpacked(outputs[0])
            return _lu_backward(tril(g[..., :k], -1), triu(g[..., :k, :]), P, L, U)
        A_shape = A.spec.shape[-2:]
        record("LinalgLuFactorEx", A, (packed,), backward)
    return packed, lapack.tensor(pivots, A, dtypes.int32), info


def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """:func:`lu_factor` with ``info`` (int32): 0, or the first diagonal element of U that is zero."""
    packed, pivots, info = lu_factored("linalg.lu_factor_ex", A, pivot)
    if check_errors:
        check_info("linalg.lu_factor_ex", info, _ZERO_PIVOT)
    return store("linalg.lu_factor_ex", LUFactorEx(packed, pivots, lapack.tensor(info, A, dtypes.int32)), out, exact=True)


_ZERO_PIVOT = ("U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you still want to "
               "perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)")


def lu_factor(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U in one matrix, and the rows (from 1) with which each row was exchanged.

    Raises:
        LinAlgError: a diagonal element of U is zero.
    """
    packed, pivots, info = lu_factored("linalg.lu_factor", A, pivot)
    check_info("torch.linalg.lu_factor", info, _ZERO_PIVOT)
    return store("linalg.lu_factor", LUFactor(packed, pivots), out, exact=True)


def linalg_lu(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """P, L and U with A = P @ L @ U: a permutation, a lower triangle with ones on its diagonal, an upper triangle."""
    packed, pivots, _ = lu_factored("linalg.lu", A, pivot)
    return store("linalg.lu", LU(*lu_unpack(packed, pivots)), out, exact=True)


@operator("lu")
def lu(A: Any, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """L and U in one matrix and the pivots, with ``get_infos`` the infos too; a singular matrix is not an error."""
    packed, pivots, info = lu_factored("lu", A, pivot)
    if get_infos:
        return store("lu", LUWithInfo(packed, pivots, lapack.tensor(info, A, dtypes.int32)), out, row_major=True)
    return store("lu", (packed, pivots), out, row_major=True)


@operator("lu_unpack", method=False)
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True, *,
              out: Any = None) -> Any:
    """P, L and U from what :func:`linalg.lu_factor` returns; empty where not asked for."""
    if LU_data.spec.ndim < 2:
        raise RuntimeError("torch.lu_unpack: Expected tensor with 2 or more dimensions. Got size: "
                           f"{list(LU_data.spec.shape)} instead")
    if LU_pivots.spec.dtype is not dtypes.int32:
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype. Note: "
                           "this function is intended to be used with the output produced by torch.linalg.lu_factor")
    nothing = empty((0,), LU_data.spec.dtype, LU_data.spec.device)
    P, L, U = nothing, nothing, nothing
    if unpack_pivots:
        pivots, rows = lapack.to_array(LU_pivots), LU_data.spec.shape[-2]
        if pivots.size and (pivots.min() < 1 or pivots.max() > rows):
            raise RuntimeError("pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive.Did you properly pass "
                               "the result of lu_factor?")
        P = lapack.tensor(lapack.permutation(pivots, rows), LU_data)
    if unpack_data:
        L, U = _unpacked(LU_data)
    return store("lu_unpack", LUUnpacked(P, L, U), out, exact=True)


# QR: A = Q @ R.

QR = named_result("linalg_qr", "Q R")
TorchQR = named_result("qr", "Q R")


def linalg_qr(A: Any, mode: str = "reduced", *, out: Any = None) -> Any:
    """Q with orthonormal columns and the upper triangle R with Q @ R = A.

    ``mode``: "reduced" (Q is m x min(m, n)), "complete" (m x m), or "r" (R alone, Q empty).
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
                           "'complete'")
    values = lapack.host("linalg.qr", A)
    if mode == "r":
        R = lapack.matrix(np.asarray(lapack.numpy_call("linalg.qr", np.linalg.qr, values, "r")), A)
        Q = empty((0,), A.spec.dtype, A.spec.device)
    else:
        Q, R = (lapack.matrix(part, A) for part in lapack.numpy_call("linalg.qr", np.linalg.qr, values, mode))

    def backward(grads: tuple, outputs: list) -> Any:
        if mode == "r":
            raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
                               "linalg.qr(A, mode='reduced') if you are going to require gradients.")
        if mode == "complete" and outputs[0].spec.shape[-1] > outputs[1].spec.shape[-1]:
            raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
        return _qr_backward(*grads, *outputs)
    record("LinalgQr", A, (Q, R), backward)
    return store("linalg.qr", QR(Q, R), out, exact=True)


def _qr_backward(gQ: Any, gR: Any, Q: Any, R: Any) -> Any:
    m, n = R.spec.shape[-2:]
    if n == m:
        return _square_qr_backward(gQ, gR, Q, R)
    # A wide matrix: its first m columns are decomposed, the others are Q @ V.
    U, V = R[..., :m], R[..., m:]
    if gR is None:
        return cat([_square_qr_backward(gQ, None, Q, U), Q.new_zeros((*Q.spec.shape[:-1], n - m))], -1)
    more = matmul(Q, matmul(V, adjoint_of(gR[..., m:])))
    first = _square_qr_backward(more if gQ is None else gQ + more, gR[..., :m], Q, U)
    return cat([first, matmul(Q, gR[..., m:])], -1)


def _square_qr_backward(gQ: Any, gR: Any, Q: Any, R: Any) -> Any:
    inner = 0.0 if gR is None else matmul(R, adjoint_of(gR))
    if gQ is not None:
        inner = inner - matmul(adjoint_of(gQ), Q)
    total = matmul(Q, _mirrored(inner))
    return solve_triangular(adjoint_of(R), total if gQ is None else gQ + total, upper=False, left=False)


@operator("qr")
def qr(input: Any, some: bool = True, *, out: Any = None) -> Any:
    """Q and R of matrices; with ``some=False`` a square Q. See :func:`linalg.qr`."""
    return TorchQR(*linalg_qr(input, "reduced" if some else "complete", out=out))


# Reflections.

def householder_product(A: Any, tau: Any, *, out: Any = None) -> Any:
    """The first n columns of the product of reflections I - tau[i] v v^T, v being column i of A below its diagonal.

    The diagonal of A counts as 1, what is above as 0: what :func:`geqrf` returns.
    """
    if A.spec.ndim < 2 or tau.spec.ndim != A.spec.ndim - 1 or tau.spec.shape[:-1] != A.spec.shape[:-2]:
        raise RuntimeError("linalg.householder_product: expected input to have at least 2 dimensions and tau one less, with "
                           f"equal batch dimensions, but got {list(A.spec.shape)} and {list(tau.spec.shape)}")
    if tau.spec.dtype is not A.spec.dtype:
        raise RuntimeError(f"linalg.householder_product: tau dtype {tau.spec.dtype.name} does not match input dtype "
                           f"{A.spec.dtype.name}")
    m, n = A.spec.shape[-2:]
    k = tau.spec.shape[-1]
    if m < n or k > n:
        raise RuntimeError(f"linalg.householder_product: input.shape[-2] must be greater than or equal to "
                           f"input.shape[-1] and that to tau.shape[-1], got {list(A.spec.shape)} and "
                           f"{list(tau.spec.shape)}")
    lapack.check_floating("linalg.householder_product", A)
    vectors = tril(A, -1) + identity(m, A)[:, :n]
    result = constant_of(identity(m, A)[:, :n].expand(A.spec.shape).clone(), A, tau)
    for i in reversed(range(k)):
        v = vectors[..., i:i + 1]
        result = result - matmul(v * tau[..., i, None, None], matmul(adjoint_of(v), result))
    return store("linalg.householder_product", in_columns(result), out)


@operator("orgqr")
def orgqr(input: Any, input2: Any, *, out: Any = None) -> Any:
    """See :func:`linalg.householder_product`."""
    return householder_product(input, input2, out=out)


Geqrf = named_result("geqrf", "a tau")


@operator("geqrf")
def geqrf(input: Any, *, out: Any = None) -> Any:
    """R and, below its diagonal, the reflections whose product is Q, with their factors tau. No formula gives a gradient."""
    packed, tau = lapack.numpy_call("geqrf", np.linalg.qr, lapack.host("geqrf", input), "raw")
    result = Geqrf(lapack.matrix(lapack.transposed(packed), input), lapack.tensor(tau, input))
    return store("geqrf", refuse_gradient(result, [input], no_formula("geqrf"), "Geqrf"), out)


@operator("ormqr")
def ormqr(input: Any, input2: Any, input3: Any, left: bool = True, transpose: bool = False, *, out: Any = None) -> Any:
    """Q @ input3, input3 @ Q, or with Q's adjoint, for the square Q that :func:`geqrf`'s reflections make.

    ``input2`` are the reflections' factors.
    """
    if input.spec.ndim < 2:
        raise RuntimeError("torch.ormqr: input must have at least 2 dimensions.")
    m, n = input.spec.shape[-2:]
    _check_reflections(input, input2, input3, left)
    square = cat([input, input.new_zeros((*input.spec.shape[:-1], m - n))], -1) if m > n else input[..., :m]
    Q = householder_product(square, input2)
    Q = adjoint_of(Q) if transpose else Q
    product = in_columns(matmul(Q, input3) if left else matmul(input3, Q))
    return store("ormqr", ends_in(product, "Ormqr"), out, exact=True)


def _check_reflections(input: Any, tau: Any, other: Any, left: bool) -> None:
    """RuntimeError where the operands of :func:`ormqr` do not fit each other."""
    side = -2 if left else -1
    if other.spec.ndim < 2:
        raise RuntimeError("torch.ormqr: other must have at least 2 dimensions.")
    if other.spec.shape[side] != input.spec.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if tau.spec.shape[-1] != min(other.spec.shape[side], input.spec.shape[-1]):
        raise RuntimeError("torch.ormqr: tau.shape[-1] must be equal to min(other.shape[-2], input.shape[-1])")
    for name, operand in (("tau", tau), ("other", other)):
        if operand.spec.dtype is not input.spec.dtype:
            raise RuntimeError(f"torch.ormqr: Expected input and {name} to have the same dtype, but input has dtype "
                               f"{dtypes.type_name(input.spec.dtype)} and {name} has dtype "
                               f"{dtypes.type_name(operand.spec.dtype)}")


# Symmetric indefinite: A = L @ D @ L.T.

LDLFactor = named_result("linalg_ldl_factor", "LD pivots")
LDLFactorEx = named_result("linalg_ldl_factor_ex", "LD pivots info")


def ldl_factor_ex(A: Any, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """L and D of symmetric matrices in one matrix, LAPACK's pivots, and info. No gradient."""
    check_square("linalg.ldl_factor_ex", A)
    if hermitian and A.spec.dtype.is_complex:
        raise NotImplementedError("linalg.ldl_factor_ex: of complex matrices the symmetric ones are decomposed, not the "
                                  "Hermitian ones")
    packed, pivots, info = lapack.ldl(lapack.host("linalg.ldl_factor_ex", A))
    if check_errors:
        check_info("linalg.ldl_factor_ex", info, "D[{0},{0}] is zero: the matrix is singular")
    result = LDLFactorEx(lapack.matrix(packed, A), lapack.tensor(pivots, A, dtypes.int32),
                         lapack.tensor(info, A, dtypes.int32))
    refuse_gradient(result.LD, [A], no_derivative("linalg_ldl_factor_ex"))
    return store("linalg.ldl_factor_ex", result, out, exact=True)


def ldl_factor(A: Any, *, hermitian: bool = False, out: Any = None) -> Any:
    """L and D of symmetric matrices in one matrix, and LAPACK's pivots. No gradient."""
    return store("linalg.ldl_factor", LDLFactor(*ldl_factor_ex(A, hermitian=hermitian)[:2]), out, exact=True)


def _lower_and_diagonal(packed: np.ndarray, pivots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L, with the exchanges of rows applied, and D with A = L @ D @ L.T."""
    n = len(packed)
    D, L, k = np.zeros_like(packed), np.eye(n, dtype=packed.dtype), 0
    while k < n:
        size = 1 if pivots[k] > 0 else 2
        row, target = abs(pivots[k]) - 1, k + size - 1
        block = np.tril(packed[k:k + size, k:k + size])
        D[k:k + size, k:k + size] = block + np.tril(block, -1).T
        step = np.eye(n, dtype=packed.dtype)
        step[k + size:, k:k + size] = packed[k + size:, k:k + size]
        L[:, [target, row]] = L[:, [row, target]]
        L = L @ step
        k += size
    return L, D


def ldl_solve(LD: Any, pivots: Any, B: Any, *, hermitian: bool = False, out: Any = None) -> Any:
    """X with A @ X = B, from what :func:`ldl_factor` returned for A. The gradient is that of B."""
    packed, exchanged = lapack.host("linalg.ldl_solve", LD), lapack.to_array(pivots)
    n = packed.shape[-1]
    flat = [_lower_and_diagonal(*pair) for pair in zip(
        packed.reshape(prod(packed.shape[:-2]), n, n), exchanged.reshape(prod(exchanged.shape[:-1]), n), strict=True)]
    A = np.array([L @ D @ L.T for L, D in flat]).reshape(packed.shape)

    def solved(right: Any) -> Any:
        values = lapack.numpy_call("linalg.ldl_solve", np.linalg.solve, A, lapack.host("linalg.ldl_solve", right))
        X = lapack.matrix(values, right)
        if needs_graph(right):
            attach(X, "LinalgLdlSolve", (right,), solved)
        return X
    return store("linalg.ldl_solve", solved(B), out, exact=True)
