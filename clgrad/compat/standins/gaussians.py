"""Helpers of ``torch.distributions.multivariate_normal`` that libraries compute densities with."""

from __future__ import annotations

from typing import Any

from clgrad import linalg


def _batch_mv(bmat: Any, bvec: Any) -> Any:
    """Products of matrices with vectors, over any axes before them."""
    return (bmat @ bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(bL: Any, bx: Any) -> Any:
    """``x' (L L')^-1 x`` for lower triangular L, over any axes before them."""
    return linalg.solve_triangular(bL, bx.unsqueeze(-1), upper=False).squeeze(-1).square().sum(-1)


def _precision_to_scale_tril(P: Any) -> Any:
    """The Cholesky factor of a precision's inverse."""
    reversed_factor = linalg.cholesky(P.flip((-2, -1)))
    return reversed_factor.flip((-2, -1)).mT.inverse()
