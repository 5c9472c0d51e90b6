"""Rules of linear algebra on matrices, which takes stacks of them as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.batching.rules import rule, rule_of_arguments, spread
from clgrad.ops.arguments import called

# Of one tensor, whose last two dimensions are matrices.
_OF_ONE = ("inverse", "det", "logdet", "slogdet", "cholesky", "cholesky_inverse", "pinverse", "matrix_exp", "matrix_power",
           "qr", "svd", "lu", "tril", "triu", "linalg_inv", "linalg_inv_ex", "linalg_det", "linalg_slogdet",
           "linalg_cholesky", "linalg_cholesky_ex", "linalg_eigh", "linalg_eigvalsh", "linalg_qr", "linalg_svd",
           "linalg_svdvals", "linalg_pinv", "linalg_matrix_rank", "linalg_lu",
           "linalg_lu_factor", "linalg_ldl_factor", "linalg_cond")
# Of two stacks of matrices.
_OF_TWO = ("cholesky_solve", "triangular_solve", "linalg_solve_triangular", "cdist", "linalg_solve")
# Of two tensors of one shape, along a dimension that is counted from the end.
_OF_ROWS = {"pairwise_distance": None, "linalg_vecdot": "dim", "linalg_cross": "dim"}


@rule(*_OF_ONE)
def _of_one(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    own, *others = args
    if not level.owns(own) or own.ndim < 2 or 0 in own.shape or any(
            isinstance(v, TensorBase) for v in (*others, *kwargs.values())):
        return NotImplemented
    return func(own.whole, *others, **kwargs)


@rule(*_OF_TWO)
def _of_two(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    a, b, *others = args
    if not isinstance(b, TensorBase) or a.ndim != b.ndim or a.ndim < 2 or 0 in (*a.shape, *b.shape):
        return NotImplemented
    return func(spread(level, a), spread(level, b), *others, **kwargs)


@rule_of_arguments(*_OF_ROWS)
def _of_rows(level: Any, func: Any, given: dict[str, Any]) -> Any:
    (first, a), (second, b), *_ = given.items()
    dim = _OF_ROWS[func.operator_name]
    if a.shape != b.shape or not a.ndim or (dim is not None and not -a.ndim <= given[dim] < 0):
        return NotImplemented
    return called(func, {**given, first: spread(level, a), second: spread(level, b)})
