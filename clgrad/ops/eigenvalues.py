"""Eigenvalues of general square matrices, which are complex numbers: A = V @ diag(L) @ V^-1.

Computed by LAPACK on the host. The gradient is that of Giles, An Extended Collection of Matrix Derivative Results for Forward
and Reverse Mode Algorithmic Differentiation (2008), with that of vectors of length 1, whose phase is arbitrary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad.ops import lapack
from clgrad.ops.complexes import conj, view_as_real
from clgrad.ops.diagonals import diag_embed
from clgrad.ops.factorization import adjoint_of, record
from clgrad.ops.linalg import matmul
from clgrad.ops.output import named_result, store
from clgrad.ops.products import check_square, identity
from clgrad.ops.solving import solve

Eig = named_result("linalg_eig", "eigenvalues eigenvectors")


def eig(A: Any, *, out: Any = None) -> Any:
    """The eigenvalues and eigenvectors (columns, of length 1) of square matrices, complex numbers, in no order."""
    check_square("linalg.eig", A)
    kind = A.spec.dtype.to_complex()
    values, vectors = lapack.numpy_call("linalg.eig", np.linalg.eig, lapack.host("linalg.eig", A))
    like = A.detach().to(kind)
    L, V = lapack.tensor(values, like), lapack.matrix(vectors, like)
    record("LinalgEig", A, (L, V), lambda grads, outputs: _eig_backward(*grads, *outputs))
    return store("linalg.eig", Eig(L, V), out, exact=True)


def _eig_backward(gL: Any, gV: Any, L: Any, V: Any) -> Any:
    inner = diag_embed(L * 0 if gL is None else gL)
    if gV is not None:
        gaps = conj(L.unsqueeze(-2) - L.unsqueeze(-1)) + identity(L.spec.shape[-1], L)
        turns = matmul(adjoint_of(V), gV)
        lengths = view_as_real(turns.diagonal(0, -2, -1)).select(-1, 0)  # vectors have the length 1
        turns = turns - matmul(adjoint_of(V), V * lengths.unsqueeze(-2))
        inner = inner + (turns - diag_embed(turns.diagonal(0, -2, -1))) / gaps
    return solve(adjoint_of(V), matmul(inner, adjoint_of(V)), check=False)


def eigvals(A: Any, *, out: Any = None) -> Any:
    """The eigenvalues of square matrices, complex numbers, in no order."""
    return store("linalg.eigvals", eig(A)[0], out, exact=True)
