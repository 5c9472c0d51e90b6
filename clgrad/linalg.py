"""``clgrad.linalg``: PyTorch's ``torch.linalg``.

Products, norms and gradients are computed on the device; decompositions by LAPACK on the host, through NumPy.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from clgrad.errors import LinAlgError
from clgrad.ops.diagonals import vandermonde
from clgrad.ops.eigenvalues import eig, eigvals
from clgrad.ops.factorization import (
    cholesky_ex,
    householder_product,
    ldl_factor,
    ldl_factor_ex,
    ldl_solve,
    lu_factor,
    lu_factor_ex,
    solve_triangular,
)
from clgrad.ops.factorization import linalg_cholesky as cholesky
from clgrad.ops.factorization import linalg_lu as lu
from clgrad.ops.factorization import linalg_qr as qr
from clgrad.ops.interception import intercepted
from clgrad.ops.linalg import matmul
from clgrad.ops.norms import cond, matrix_norm, vector_norm
from clgrad.ops.norms import linalg_norm as norm
from clgrad.ops.products import linalg_cross as cross
from clgrad.ops.products import matrix_exp, matrix_power, multi_dot, vecdot
from clgrad.ops.solving import inv, inv_ex, lstsq, pinv, solve_ex, tensorinv, tensorsolve
from clgrad.ops.solving import linalg_det as det
from clgrad.ops.solving import linalg_lu_solve as lu_solve
from clgrad.ops.solving import linalg_slogdet as slogdet
from clgrad.ops.solving import linalg_solve as solve
from clgrad.ops.spectral import eigvalsh, matrix_rank, svdvals
from clgrad.ops.spectral import linalg_eigh as eigh
from clgrad.ops.spectral import linalg_svd as svd

__all__ = ["LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals",
           "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu",
           "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank",
           "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals",
           "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm"]


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of matrices, a view."""
    return A.diagonal(offset, dim1, dim2)


def vander(x: Any, *, N: int | None = None) -> Any:
    """x ** 0, x ** 1, ... x ** (N - 1) along a new last dimension; N is x's last size unless given."""
    if N is not None and N <= 1:
        raise RuntimeError("N must be greater than 1.")
    vector = x if x.ndim else x.reshape(1)
    return vandermonde(vector, vector.shape[-1] if N is None else N)


def _spelled(function: Callable) -> Callable:
    """The function, whose first argument may be called "input" or "A", and its second "B", "other" or "b" alike."""
    first, *others = inspect.signature(function).parameters
    spellings = {"input": first, "A": first, **({"other": "B", "b": "B"} if "B" in others else {})}

    @functools.wraps(function)
    def form(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{spellings.get(name, name): value for name, value in kwargs.items()})
    return form


for _name in __all__[1:]:
    globals()[_name] = intercepted(_spelled(globals()[_name]), f"linalg_{_name}")
