"""Inverses, determinants and solutions of linear systems: LAPACK on the host, gradients in tensor operations.

The gradients are those of Giles (2008), as in :mod:`clgrad.ops.factorization`, and of Golub and Pereyra, The
Differentiation of Pseudo-Inverses (1973).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode, no_grad
from clgrad.autograd.graph import Saved, attach, ends_in, needs_graph
from clgrad.errors import LinAlgError
from clgrad.ops import lapack
from clgrad.ops.complexes import complex_, conj, view_as_real
from clgrad.ops.copying import empty
from clgrad.ops.diagonals import diag_embed
from clgrad.ops.factorization import adjoint_of, check_info, in_columns, lu_unpack, record, solve_triangular, turned
from clgrad.ops.linalg import matmul
from clgrad.ops.output import named_result, store
from clgrad.ops.padding import constant_pad_nd
from clgrad.ops.products import check_square, constant_of, identity
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.spectral import significant

InvEx = named_result("linalg_inv_ex", "inverse info")
SolveEx = named_result("linalg_solve_ex", "result info")
Slogdet = named_result("linalg_slogdet", "sign logabsdet")
TorchSlogdet = named_result("slogdet", "sign logabsdet")
Lstsq = named_result("linalg_lstsq", "solution residuals rank singular_values")
TriangularSolve = named_result("triangular_solve", "solution cloned_coefficient")


# Inverses.

def _inverse(name: str, A: Any) -> tuple[Any, np.ndarray]:
    check_square(name, A)
    values = lapack.host(name, A)
    info = np.zeros(values.shape[:-2], np.int32)
    try:
        found = np.linalg.inv(values)
    except np.linalg.LinAlgError:
        info = lapack.lu(values)[2]
        good = (info == 0)[..., None, None]
        found = np.where(good, np.linalg.inv(np.where(good, values, np.eye(values.shape[-1]))), np.inf)
    Y = lapack.matrix(found, A)

    def backward(grads: tuple, outputs: list) -> Any:
        transposed = adjoint_of(outputs[0])
        return -matmul(transposed, matmul(grads[0], transposed))
    record("LinalgInvEx", A, (Y,), backward)
    return Y, info


_SINGULAR = ("The diagonal element {} is zero, the inversion could not be completed because the input matrix is "
             "singular.")


def inv_ex(A: Any, *, check_errors: bool = False, out: Any = None) -> Any:
    """:func:`inv` with ``info`` (int32): 0, or the first diagonal element of U, from 1, that is zero."""
    Y, info = _inverse("linalg.inv_ex", A)
    if check_errors:
        check_info("linalg.inv_ex", info, _SINGULAR)
    return store("linalg.inv_ex", InvEx(Y, lapack.tensor(info, A, dtypes.int32)), out, exact=True)


def inv(A: Any, *, out: Any = None) -> Any:
    """The inverses of square matrices.

    Raises:
        LinAlgError: a matrix is singular.
    """
    Y, info = _inverse("linalg.inv", A)
    check_info("linalg.inv", info, _SINGULAR)
    return store("linalg.inv", Y, out, exact=True)


@operator("inverse")
def inverse(input: Any, *, out: Any = None) -> Any:
    """The inverses of square matrices; see :func:`linalg.inv`."""
    return inv(input, out=out)


def pinv(A: Any, *, atol: Any = None, rtol: Any = None, rcond: Any = None, hermitian: bool = False,
         out: Any = None) -> Any:
    """The pseudo-inverses of matrices: singular values up to max(atol, rtol * the largest) count as zero.

    ``rtol`` (also ``rcond``) is max(m, n) times the dtype's epsilon unless it or ``atol`` is given.
    """
    rtol = rcond if rtol is None else rtol
    values = lapack.host("linalg.pinv", A)
    if hermitian:
        check_square("linalg.pinv", A)
    P = lapack.tensor(_pseudo_inverse(A, values, atol, rtol, hermitian), A)
    if needs_graph(A):
        saved = Saved("pinv", [A])
        attach(P, "LinalgPinv", (A,), lambda g: _pinv_backward(g, *saved.unpack()), saved)
        saved.add_output(P)
    return store("linalg.pinv", P, out)


def _pseudo_inverse(A: Any, values: np.ndarray, atol: Any, rtol: Any, hermitian: bool) -> np.ndarray:
    if not values.size:
        return lapack.transposed(values)
    if hermitian:
        S, V = np.linalg.eigh(values)
        Ut = lapack.adjoint(V)
    else:
        U, S, Vh = lapack.svd("linalg.svd", values, False)
        Ut, V = lapack.adjoint(U), lapack.adjoint(Vh)
    kept = significant(np.abs(S), A.spec.shape, A.spec.dtype, atol, rtol)
    return V @ (np.where(kept, 1 / np.where(kept, S, 1), 0)[..., None] * Ut)


def _pinv_backward(g: Any, A: Any, P: Any) -> Any:
    m, n = A.spec.shape[-2:]
    Pt, gt = adjoint_of(P), adjoint_of(g)
    if m <= n:
        K = matmul(gt, P)
        KPt = matmul(K, Pt)
        return (-adjoint_of(matmul(P, K)) + KPt - matmul(matmul(A, P), KPt)
                + matmul(matmul(Pt, P), gt - matmul(K, A)))
    K = matmul(P, gt)
    PtK = matmul(Pt, K)
    return -adjoint_of(matmul(K, P)) + matmul(matmul(gt - matmul(A, K), P), Pt) + PtK - matmul(matmul(PtK, P), A)


@operator("pinverse")
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """The pseudo-inverses of matrices; see :func:`linalg.pinv`."""
    return pinv(input, rtol=rcond)


# Determinants.

@operator("det")
def det(input: Any) -> Any:
    """The determinants of square matrices."""
    return linalg_det(input)


def linalg_det(A: Any, *, out: Any = None) -> Any:
    """The determinants of square matrices."""
    check_square("linalg.det", A)
    D = lapack.tensor(lapack.numpy_call("linalg.det", np.linalg.det, lapack.host("linalg.det", A)), A)
    if needs_graph(A):
        saved = Saved("det", [A])

        def backward(g: Any) -> Any:
            a, d = saved.unpack()
            if not mode.enabled:
                return g[..., None, None] * lapack.tensor(_cofactors(lapack.to_array(a)), a)
            return solve(adjoint_of(a), diag_embed((g * conj(d)).unsqueeze(-1).expand(a.spec.shape[:-1])), check=False)
        attach(D, "LinalgDet", (A,), backward, saved)
        saved.add_output(D)
    return store("linalg.det", D, out, exact=True)


def _cofactors(a: np.ndarray) -> np.ndarray:
    """conj(det(a)) * inv(a)^H, also of singular matrices: by singular values, the products of all but one.

    NaN of what is not finite.
    """
    known = np.isfinite(a).all((-2, -1), keepdims=True)
    U, S, Vh = lapack.svd("linalg.det", np.where(known, a, 0), True)
    n = a.shape[-1]
    with np.errstate(all="ignore"):
        others = np.where(np.eye(n, dtype=bool), 1, S[..., None, :]).prod(-1)
        signs = np.conj(np.linalg.det(U) * np.linalg.det(Vh))
        return np.where(known, signs[..., None, None] * (U * others[..., None, :]) @ Vh, np.nan).astype(a.dtype)


def _slogdet(name: str, A: Any) -> tuple[Any, Any]:
    check_square(name, A)
    signs, logs = lapack.numpy_call(name, np.linalg.slogdet, lapack.host(name, A))
    sign, log = lapack.tensor(signs, A), lapack.tensor(logs, A, A.spec.dtype.to_real())
    if needs_graph(A):
        saved = Saved("slogdet", [A])

        def backward(of_sign: Any, of_log: Any) -> Any:
            a, s = saved.unpack()
            g = of_log
            if a.spec.dtype.is_complex:  # the sign is exp(i t), and log|det| + i t the logarithm of the determinant
                turn = view_as_real(s * 0 if of_sign is None else conj(s) * of_sign)
                g = complex_(turn.select(-1, 0) * 0 if of_log is None else of_log, turn.select(-1, 1))
            if g is None:  # a real sign is constant wherever its gradient exists
                return None
            return solve(adjoint_of(a), diag_embed(g.unsqueeze(-1).expand(a.spec.shape[:-1])), check=False)
        attach((sign, log), "LinalgSlogdet", (A,), backward, saved)
        saved.add_output(sign)
    return sign, log


def linalg_slogdet(A: Any, *, out: Any = None) -> Any:
    """The signs of determinants and the logarithms of their absolute values."""
    return store("linalg.slogdet", Slogdet(*_slogdet("linalg.slogdet", A)), out, exact=True)


@operator("slogdet")
def slogdet(input: Any, *, out: Any = None) -> Any:
    """The signs of determinants and the logarithms of their absolute values."""
    return store("slogdet", TorchSlogdet(*_slogdet("linalg.slogdet", input)), out, exact=True)


@operator("logdet")
def logdet(input: Any) -> Any:
    """The logarithms of determinants: NaN where negative, -inf where zero."""
    sign, log = _slogdet("logdet", input)
    return sign.log() + log if sign.spec.dtype.is_complex else FUNCTIONS["where"](sign.lt(0), float("nan"), log)


# Linear systems.

def _is_vector(A: Any, B: Any) -> bool:
    """Whether B holds a vector, not a matrix, for each matrix of A."""
    a, b = A.spec.shape, B.spec.shape
    return len(b) == 1 or (len(a) - 1 == len(b) and b == a[:-1])


def solve(A: Any, B: Any, *, left: bool = True, check: bool = True, info: list | None = None) -> Any:
    """X with A @ X = B, or X @ A = B; without ``check`` a singular matrix gives infinities. ``info`` is filled."""
    name = "linalg.solve"
    check_square(name, A)
    if A.spec.dtype is not B.spec.dtype:
        raise RuntimeError(f"{name}: Expected A and B to have the same dtype, but got {A.spec.dtype.name} and "
                           f"{B.spec.dtype.name}")
    if _is_vector(A, B):
        if not left:
            raise RuntimeError(f"{name}: Vector broadcasting of the left hand side is not supported for left=False. In "
                               "this case linalg.solve is equivalent to B / A.squeeze(-1)")
        return in_columns(solve(A, B.unsqueeze(-1), check=check, info=info).squeeze(-1))
    if A.spec.shape[-1] != B.spec.shape[-2 if left else -1]:
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
                           f"({A.spec.shape[-2]}x{A.spec.shape[-1]} and {B.spec.shape[-2]}x{B.spec.shape[-1]})")
    if not left:
        return turned(solve(turned(A), turned(B), check=check, info=info))
    values, right = lapack.host(name, A), lapack.host(name, B)
    codes = np.zeros(values.shape[:-2], np.int32)
    try:
        found = np.linalg.solve(values, right)
    except np.linalg.LinAlgError:
        codes = lapack.lu(values)[2]
        if check:
            check_info("torch.linalg.solve", codes, "The solver failed because the input matrix is singular.")
        good = (codes == 0)[..., None, None]
        found = np.where(good, np.linalg.solve(np.where(good, values, np.eye(values.shape[-1])), right), np.inf)
    if info is not None:
        info.append(codes)
    X = lapack.matrix(found, A)
    if needs_graph(A, B):
        saved = Saved(name, [A])
        needed = A._requires_grad

        def backward(g: Any) -> tuple:
            a, x = saved.unpack()
            gB = solve(adjoint_of(a), g, check=False)
            return -matmul(gB, adjoint_of(x)) if needed else None, gB
        attach(X, "LinalgSolveEx", (A, B), backward, saved)
        saved.add_output(X)
    return X


def linalg_solve(A: Any, B: Any, *, left: bool = True, out: Any = None) -> Any:
    """X with A @ X = B for square A, or X @ A = B where not ``left``; B may hold vectors.

    Raises:
        LinAlgError: a matrix is singular.
    """
    return store("linalg.solve", solve(A, B, left=left), out, exact=True)


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """:func:`solve` with ``info`` (int32): 0, or the first diagonal element of U that is zero."""
    info: list[np.ndarray] = []
    X = solve(A, B, left=left, check=check_errors, info=info)
    return store("linalg.solve_ex", SolveEx(X, lapack.tensor(info[0], A, dtypes.int32)), out, exact=True)


@operator("triangular_solve")
def triangular_solve(input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *,
                     out: Any = None) -> Any:
    """X with A @ X = input for triangular A, or its transpose; and a copy of A."""
    coefficient = turned(A) if transpose else A
    X = solve_triangular(coefficient, input, upper=upper != transpose, unitriangular=unitriangular)
    copy = in_columns(A.clone()).expand(*X.spec.shape[:-2], *A.spec.shape[-2:])
    return store("triangular_solve", TriangularSolve(X, copy), out, exact=True)


@operator("cholesky_solve")
def cholesky_solve(input: Any, input2: Any, upper: bool = False, *, out: Any = None) -> Any:
    """X with A @ X = input, from the Cholesky factor of A: ``input2``, or its transpose where ``upper``."""
    B, L = input, input2
    for label, t in (("b", B), ("u", L)):
        if t.spec.ndim < 2:
            raise RuntimeError(f"{label} should have at least 2 dimensions, but has {t.spec.ndim} dimensions instead")
    lapack.check_floating("cholesky_solve", B)
    with no_grad():
        lower = adjoint_of(L) if upper else L
        X = solve_triangular(adjoint_of(lower), solve_triangular(lower, B, upper=False), upper=True)
    if needs_graph(B, L):
        saved = Saved("cholesky_solve", [L])

        def backward(g: Any) -> tuple:
            factor, x = saved.unpack()
            gB = cholesky_solve(g, factor, upper)
            return gB, _factor_gradient(matmul(gB, adjoint_of(x)), factor, upper)
        attach(X, "CholeskySolve", (B, L), backward, saved)
        saved.add_output(X)
    return store("cholesky_solve", X, out, row_major=True)


def _factor_gradient(g: Any, L: Any, upper: bool) -> Any:
    """The gradient of a factor L of A from that of A, which is -g."""
    both = g + adjoint_of(g)
    return -matmul(L, both) if upper else -matmul(both, L)


@operator("cholesky_inverse")
def cholesky_inverse(input: Any, upper: bool = False, *, out: Any = None) -> Any:
    """The inverse of A, from its Cholesky factor: ``input``, or its transpose where ``upper``."""
    L = input
    check_square("cholesky_inverse", L)
    _check_diagonal("cholesky_inverse", L)
    with no_grad():
        Y = cholesky_solve(identity(L.spec.shape[-1], L), L, upper)
    if needs_graph(L):
        saved = Saved("cholesky_inverse", [L])

        def backward(g: Any) -> Any:
            factor, y = saved.unpack()
            return _factor_gradient(matmul(y, matmul(g, y)), factor, upper)
        attach(Y, "CholeskyInverse", (L,), backward, saved)
        saved.add_output(Y)
    return store("cholesky_inverse", Y, out)


def _check_diagonal(name: str, L: Any) -> None:
    """LinAlgError where a triangular matrix has a zero on its diagonal."""
    diagonal = lapack.host(name, L.detach().diagonal(0, -2, -1).unsqueeze(-1))[..., 0]
    if not diagonal.all():
        *batch, place = np.argwhere(diagonal == 0)[0]
        which = f"(Batch element {np.ravel_multi_index(batch, diagonal.shape[:-1])}): " if batch else ""
        raise LinAlgError(f"{name}: {which}The diagonal element {place + 1} is zero, the inversion could not be completed "
                          "because the input matrix is singular.")


def linalg_lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False, out: Any = None) -> Any:
    """X with A @ X = B (or X @ A = B; A's adjoint where ``adjoint``), from what :func:`lu_factor` returned for A."""
    if not left:
        X = adjoint_of(linalg_lu_solve(LU, pivots, adjoint_of(B), adjoint=not adjoint))
        return store("linalg.lu_solve", ends_in(X, "LinalgLuSolve"), out, exact=True)
    _check_pivots(pivots, LU.spec.shape[-2])
    P, L, U = lu_unpack(LU, pivots)
    if adjoint:
        half = solve_triangular(adjoint_of(U), B, upper=False)
        X = in_columns(matmul(P, solve_triangular(adjoint_of(L), half, upper=True, unitriangular=True)))
    else:
        half = solve_triangular(L, matmul(turned(P), B), upper=False, unitriangular=True)
        X = solve_triangular(U, half, upper=True)
    return store("linalg.lu_solve", ends_in(X, "LinalgLuSolve"), out, exact=True)


def _check_pivots(pivots: Any, rows: int) -> None:
    """RuntimeError where a row is named that a matrix of so many rows does not have."""
    named = lapack.to_array(pivots)
    if named.size and (named.min() < 1 or named.max() > rows):
        wrong = "greater or equal to 1" if named.min() < 1 else "smaller or equal to LU.size(-2)"
        raise RuntimeError(f"Pivots given to lu_solve must all be {wrong}. Did you properly pass the result of lu_factor?")


@operator("lu_solve")
def lu_solve(input: Any, LU_data: Any, LU_pivots: Any, *, out: Any = None) -> Any:
    """X with A @ X = input, from the LU factors of A."""
    return linalg_lu_solve(LU_data, LU_pivots, input, out=out)


# Least squares.

_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None, out: Any = None) -> Any:
    """X with the smallest sum of squares of A @ X - B, of the smallest norm where there are several.

    Returns ``(solution, residuals, rank, singular_values)``: the sums of squares where m > n and A has full rank (not
    for "gelsy", the default driver), the rank (not for driver "gels"), and the singular values (drivers "gelsd" and
    "gelss"); what is not there is empty.
    """
    name = "torch.linalg.lstsq"
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss) but got {driver}")
    if A.spec.dtype is not B.spec.dtype:
        raise RuntimeError(f"{name}: Expected input and other to have the same dtype, but got {A.spec.dtype.name} and "
                           f"{B.spec.dtype.name}")
    if A.spec.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if not B.spec.ndim:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    vector = _is_vector(A, B) and A.spec.ndim - 1 == B.spec.ndim
    right = B.unsqueeze(-1) if vector else B
    m, n = A.spec.shape[-2:]
    if m != right.spec.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-{1 if vector else 2})")
    U, S, Vh = lapack.svd("linalg.lstsq", lapack.host("linalg.lstsq", A), False)
    used = driver or "gelsy"
    eps = float(np.finfo(A.spec.dtype.numpy).eps)
    cut = max(m, n) * eps if rcond is None else float(rcond)
    # As LAPACK: "gels" takes the rank as full, "gelsd" what is impossible as eps, and for "gelsy" the rank is at least 1.
    cut = {"gels": 0.0, "gelsd": cut if 0 < cut < 1 else eps, "gelsy": min(cut, 1 - eps), "gelss": cut}[used]
    kept = significant(S, A.spec.shape, A.spec.dtype, None, cut) if S.shape[-1] else np.zeros(S.shape, bool)
    solution = matmul(pinv(A, rtol=cut), right)
    # In columns of m elements, as LAPACK leaves it in the place of the right-hand sides.
    solution = in_columns(constant_pad_nd(solution, (0, 0, 0, m - n)) if m > n else solution).narrow(-2, 0, n)
    nothing = empty((0,), A.spec.dtype.to_real(), A.spec.device)
    ranks = kept.sum(-1)
    residuals = constant_of(empty((0,), A.spec.dtype.to_real(), A.spec.device), A, B)
    if m > n and used != "gelsy" and bool((ranks == n).all()):
        residuals = (matmul(A, solution) - right).abs().square().sum(-2)
    rank = lapack.tensor(ranks, A, dtypes.int64) if used != "gels" else empty((0,), dtypes.int64, A.spec.device)
    found = Lstsq(solution.squeeze(-1) if vector else solution, residuals, rank,
                  lapack.tensor(S, A, A.spec.dtype.to_real()) if used in ("gelsd", "gelss") else nothing)
    return store(name, found, out)


# Tensors as matrices.

def tensorinv(A: Any, ind: int = 2, *, out: Any = None) -> Any:
    """The inverse of :func:`clgrad.tensordot` with A: A as a matrix of its first ``ind`` dimensions by the others."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    shape = tuple(A.spec.shape)
    rows, columns = prod(shape[:ind]), prod(shape[ind:])
    if rows != columns:
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
                           f"but got {columns} != {rows}")
    return store("linalg.tensorinv", inv(A.reshape(rows, columns)).reshape(shape[ind:] + shape[:ind]), out)


def tensorsolve(A: Any, B: Any, dims: Any = None, *, out: Any = None) -> Any:
    """X with tensordot(A, X, X.ndim) = B; ``dims`` of A are moved to its end first."""
    if dims is not None:
        rank = A.spec.ndim
        A = A.movedim(tuple(dims), tuple(range(rank - len(dims), rank)))
    shape = tuple(A.spec.shape[B.spec.ndim:])
    size = prod(shape)
    if size != B.spec.numel or size * size != A.spec.numel:
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                           f"prod(self.shape[:other.ndim]), but got {size} != {B.spec.numel}")
    return store("linalg.tensorsolve", solve(A.reshape(size, size), B.reshape(size)).reshape(shape), out)
