"""Eigenvalues and singular values, computed by LAPACK on the host, with gradients of every order in tensor operations.

The gradients are those of Giles (2008), as in :mod:`clgrad.ops.factorization`; they exist where the values differ from
each other (for vectors), and do not depend on the vectors' signs.
"""

from __future__ import annotations

import operator as op
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.ops import lapack
from clgrad.ops.copying import empty
from clgrad.ops.diagonals import diag_embed
from clgrad.ops.factorization import adjoint_of, linalg_cholesky, linalg_qr, record, solve_triangular
from clgrad.ops.linalg import matmul
from clgrad.ops.output import named_result, store
from clgrad.ops.products import check_square, identity
from clgrad.ops.registry import operator

SVD = named_result("linalg_svd", "U S Vh")
TorchSVD = named_result("svd", "U S V")
Eigh = named_result("linalg_eigh", "eigenvalues eigenvectors")


# Singular values: A = U @ diag(S) @ Vh.

def svd_of(name: str, A: Any, full_matrices: bool) -> tuple[Any, Any, Any]:
    """U, S and Vh of matrices, recorded."""
    values = lapack.host(name, A)
    left, between, right = lapack.svd(name, values, full_matrices)
    U, S, Vh = lapack.matrix(left, A), lapack.tensor(between, A, A.spec.dtype.to_real()), lapack.matrix(right, A)
    k = S.spec.shape[-1]

    def backward(grads: tuple, outputs: list) -> Any:
        u, s, vh = outputs
        gU, gS, gVh = grads
        if full_matrices:  # what is beyond the first k vectors is arbitrary, and has no gradient
            u, vh = u[..., :k], vh[..., :k, :]
            gU, gVh = None if gU is None else gU[..., :k], None if gVh is None else gVh[..., :k, :]
        return _svd_backward(gU, gS, gVh, u, s, vh)
    record("LinalgSvd", A, (U, S, Vh), backward)
    return U, S, Vh


def _skew(x: Any) -> Any:
    return x - adjoint_of(x)


def _svd_backward(gU: Any, gS: Any, gVh: Any, U: Any, S: Any, Vh: Any) -> Any:
    if gU is None and gVh is None:
        return matmul(U, gS.unsqueeze(-1) * Vh)
    m, n, k = U.spec.shape[-2], Vh.spec.shape[-1], S.spec.shape[-1]
    columns, rows = S.unsqueeze(-2), S.unsqueeze(-1)
    gaps = (columns - rows) * (columns + rows) + identity(k, S)
    inner = diag_embed(S * 0 if gS is None else gS)
    if gU is not None:
        inner = inner + _skew(matmul(adjoint_of(U), gU)) / gaps * columns
    if gVh is not None:
        inner = inner + rows * (_skew(matmul(Vh, adjoint_of(gVh))) / gaps)
    if gU is not None and gVh is not None and U.spec.dtype.is_complex:
        inner = inner + diag_embed(_skew(matmul(adjoint_of(U), gU)).diagonal(0, -2, -1) / (2 * S))
    left = matmul(U, inner)
    if m > k and gU is not None:
        left = left + (gU - matmul(U, matmul(adjoint_of(U), gU))) / columns
    result = matmul(left, Vh)
    if n > k and gVh is not None:
        result = result + matmul(U, (gVh - matmul(matmul(gVh, adjoint_of(Vh)), Vh)) / rows)
    return result


def linalg_svd(A: Any, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """U, S and Vh with A = U @ diag(S) @ Vh; the singular values S descend.

    U is m x m and Vh n x n, or without ``full_matrices`` m x k and k x n for k = min(m, n).
    """
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER "
                           "backend.")
    return store("linalg.svd", SVD(*svd_of("linalg.svd", A, full_matrices)), out, exact=True)


def svdvals(A: Any, *, driver: str | None = None, out: Any = None) -> Any:
    """The singular values of matrices, descending."""
    if A._requires_grad:
        return store("linalg.svdvals", svd_of("linalg.svd", A, False)[1], out, exact=True)
    values = lapack.svdvals("linalg.svd", lapack.host("linalg.svdvals", A))
    return store("linalg.svdvals", lapack.tensor(values, A, A.spec.dtype.to_real()), out, exact=True)


@operator("svd")
def svd(input: Any, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """U, S and V with input = U @ diag(S) @ V.T; without ``compute_uv`` U and V are zeros."""
    if compute_uv:
        U, S, Vh = svd_of("linalg.svd", input, not some)
        return store("svd", TorchSVD(U, S, adjoint_of(Vh)), out, exact=True)
    batch, (m, n) = tuple(input.spec.shape[:-2]), input.spec.shape[-2:]
    zeros = [input.detach().new_zeros((*batch, size, size)) for size in (m, n)]
    return store("svd", TorchSVD(zeros[0], svdvals(input), zeros[1]), out, exact=True)


# Symmetric matrices: A = V @ diag(L) @ V.T.

def linalg_eigh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues, ascending, and eigenvectors (columns) of symmetric matrices, of which one triangle is read."""
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    check_square("linalg.eigh", A)
    values, vectors = lapack.numpy_call("linalg.eigh", np.linalg.eigh, lapack.host("linalg.eigh", A), UPLO.upper())
    L, V = lapack.tensor(values, A, A.spec.dtype.to_real()), lapack.matrix(vectors, A)
    record("LinalgEigh", A, (L, V), lambda grads, outputs: _eigh_backward(*grads, *outputs))
    return store("linalg.eigh", Eigh(L, V), out, exact=True)


def _eigh_backward(gL: Any, gV: Any, L: Any, V: Any) -> Any:
    if gV is None:
        return matmul(V, gL.unsqueeze(-1) * adjoint_of(V))
    gaps = L.unsqueeze(-2) - L.unsqueeze(-1) + identity(L.spec.shape[-1], L)
    inner = _skew(matmul(adjoint_of(V), gV)) * 0.5 / gaps
    if gL is not None:
        inner = inner + diag_embed(gL)
    return matmul(V, matmul(inner, adjoint_of(V)))


@operator("lobpcg", method=False)
def lobpcg(A: Any, k: int | None = None, B: Any = None, X: Any = None, n: int | None = None, iK: Any = None,
           niter: int | None = None, tol: float | None = None, largest: bool | None = None, method: str | None = None,
           tracker: Any = None, ortho_iparams: Any = None, ortho_fparams: Any = None,
           ortho_bparams: Any = None) -> tuple[Any, Any]:
    """The k largest (or smallest) eigenvalues E of symmetric matrices, and vectors X with A @ X = B @ X @ diag(E).

    Matrices are dense here, so LAPACK's whole decomposition serves instead of PyTorch's iteration: what steers that one
    (an initial ``X``, ``n``, ``iK``, ``niter``, ``tol``, ``tracker``) is taken and not needed. ``B`` is positive definite.
    """
    size = A.spec.shape[-1] if A.spec.ndim else 0
    if A.spec.ndim < 2 or A.spec.shape[-2] != size:
        raise AssertionError(f"A must be square, got shape {A.spec.shape}")
    wanted = (X.spec.shape[-1] if X is not None else 1) if k is None else k
    width = X.spec.shape[-1] if X is not None else wanted if n is None else n
    if size < 3 * width:
        raise ValueError(f"LOBPCG algorithm is not applicable when the number of A rows (={size}) is smaller than 3 x the "
                         f"number of requested eigenpairs (={width})")
    half = (A + adjoint_of(A)) * 0.5
    if B is None:
        values, vectors = linalg_eigh(half)
    else:
        L = linalg_cholesky(B)
        inner = solve_triangular(L, half, upper=False)
        values, vectors = linalg_eigh(solve_triangular(adjoint_of(L), inner, upper=True, left=False))
        vectors = solve_triangular(adjoint_of(L), vectors, upper=True)
    if largest is None or largest:
        return values[..., size - wanted:].flip(-1), vectors[..., size - wanted:].flip(-1)
    return values[..., :wanted], vectors[..., :wanted]


def eigvalsh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues of symmetric matrices, ascending."""
    return store("linalg.eigvalsh", linalg_eigh(A, UPLO)[0], out, exact=True)


# Of low rank.

def _range(A: Any, adjoint: Any, q: int, niter: int) -> Any:
    """An orthonormal basis of about the space of A's first q left singular vectors.

    Source: Halko, Martinsson and Tropp, Finding Structure with Randomness (2011), algorithm 4.4.
    """
    start = empty((A.spec.shape[-1], q), A.spec.dtype, A.spec.device).normal_()
    Q = linalg_qr(matmul(A, start))[0]
    for _ in range(niter):
        Q = linalg_qr(matmul(A, linalg_qr(matmul(adjoint, Q))[0]))[0]
    return Q


@operator("svd_lowrank", method=False)
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> Any:
    """The first q singular values and vectors U, S, V of A (or A - M), approximately, by random projection."""
    rest = A if M is None else A - M.expand(A.spec.shape)
    return of_low_rank(rest, adjoint_of(rest), q, niter)


def of_low_rank(A: Any, adjoint: Any, q: int | None, niter: int | None) -> tuple[Any, Any, Any]:
    """:func:`svd_lowrank` of a matrix, which only products are asked of, and its adjoint."""
    count = 6 if q is None else op.index(q)
    m, n = A.spec.shape[-2:]
    if not 0 <= count <= min(m, n):
        raise ValueError(f"q(={count}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if m < n:  # the smaller side is projected
        V, S, U = _projected(adjoint, A, count, niter or 0)
    else:
        U, S, V = _projected(A, adjoint, count, niter or 0)
    return U, S, V


def _projected(A: Any, adjoint: Any, q: int, niter: int) -> tuple[Any, Any, Any]:
    Q = _range(A, adjoint, q, niter)
    U, S, Vh = svd_of("svd_lowrank", matmul(adjoint_of(Q), A), False)
    return matmul(Q, U), S, adjoint_of(Vh)


@operator("pca_lowrank", method=False)
def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """The first q principal components of the rows of A: U, S, V of A with the mean of its columns subtracted."""
    m, n = A.spec.shape[-2:]
    count = min(6, m, n) if q is None else op.index(q)
    if not 0 <= count <= min(m, n):
        raise ValueError(f"q(={count}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, count, niter)


# What singular values say of a matrix.

def _tolerance(x: Any, default: float) -> Any:
    """A tolerance, a number or a tensor, as an array that is compared with values along a last dimension."""
    if x is None:
        return default
    return lapack.to_array(x)[..., None] if hasattr(x, "spec") else float(x)


def significant(values: np.ndarray, shape: tuple, kind: dtypes.dtype, atol: Any, rtol: Any) -> np.ndarray:
    """Which magnitudes of singular values are larger than max(atol, rtol * the largest)."""
    relative = _tolerance(rtol, 0.0 if atol is not None else float(np.finfo(kind.numpy).eps) * max(shape[-2:]))
    largest = values.max(-1, keepdims=True, initial=0)
    return values > np.maximum(_tolerance(atol, 0.0), relative * largest)


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
                out: Any = None) -> Any:
    """How many singular values are larger than max(atol, rtol * the largest), as int64.

    ``rtol`` is max(m, n) times the dtype's epsilon unless it or ``atol`` is given; ``tol`` is ``atol`` by position.
    """
    if tol is not None:
        atol, rtol = tol, 0.0
    values = lapack.host("linalg.matrix_rank", A)
    if not A.spec.numel:
        counts = np.zeros(A.spec.shape[:-2], np.int64)
    else:
        sizes = (np.abs(np.linalg.eigvalsh(values)) if hermitian else
                 lapack.svdvals("linalg.svd", values))
        counts = significant(sizes, A.spec.shape, A.spec.dtype, atol, rtol).sum(-1)
    return store("linalg.matrix_rank", lapack.tensor(counts, A, dtypes.int64), out)
