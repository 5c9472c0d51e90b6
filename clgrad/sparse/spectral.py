"""Singular values and eigenvalues of sparse matrices."""

from __future__ import annotations

from typing import Any

from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.sparse import dense_of, is_sparse
from clgrad.ops.spectral import of_low_rank
from clgrad.sparse.rules import rule


@rule("svd_lowrank")
def _svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> Any:
    """By products with the matrix as it is; what is subtracted from it makes it dense."""
    if M is not None:
        return FUNCTIONS["svd_lowrank"](_dense(A), q, niter, _dense(M))
    turned = A.transpose(-2, -1)
    return of_low_rank(A, turned.conj() if A.spec.dtype.is_complex else turned, q, niter)


@rule("pca_lowrank")
def _pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """As of a dense matrix where columns are centered."""
    if center:
        return FUNCTIONS["pca_lowrank"](dense_of(A), q, True, niter)
    return _svd_lowrank(A, min(6, *A.spec.shape[-2:]) if q is None else q, niter)


@rule("lobpcg")
def _lobpcg(A: Any, k: int | None = None, B: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Of the dense matrix, as all of its eigenvalues are computed."""
    return FUNCTIONS["lobpcg"](_dense(A), k, B if B is None else _dense(B), *args, **kwargs)


def _dense(x: Any) -> Any:
    return dense_of(x) if is_sparse(x) else x
