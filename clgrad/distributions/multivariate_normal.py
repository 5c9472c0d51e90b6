"""Normal distributions of vectors: of any covariance, and of one that is nearly diagonal."""

from __future__ import annotations

import math
from typing import Any

from clgrad.distributions import constraints
from clgrad.distributions.distribution import Distribution, lazy_property, standard
from clgrad.ops.factorization import solve_triangular
from clgrad.ops.registry import FUNCTIONS

__all__ = ["LowRankMultivariateNormal", "MultivariateNormal"]


def the_one_matrix(**matrices: Any) -> tuple[str, Any]:
    """Name and value of the only one of several arguments that is given; ValueError for more or none, and for vectors."""
    given = {name: value for name, value in matrices.items() if value is not None}
    if len(given) != 1:
        raise ValueError(f"Exactly one of {' or '.join(matrices)} may be specified.")
    ((name, matrix),) = given.items()
    if matrix.dim() < 2:
        raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
    return name, matrix


class MultivariateNormal(Distribution):
    """The normal distribution of vectors, by covariance, its inverse, or the covariance's Cholesky factor.

    Raises:
        ValueError: not exactly one of them is given, or it is no such matrix.
    """

    arg_constraints = {"loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = the_one_matrix(covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
                                      scale_tril=scale_tril)
        n = loc.shape[-1]
        batch = FUNCTIONS["broadcast_shapes"](matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand((*batch, n))
        self.__dict__[name] = matrix.expand((*batch, n, n))
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = _factor(name, matrix)

    def _matrix(self, small: Any) -> Any:
        """A matrix of as few batch dimensions as were given, for the whole batch."""
        return small.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Any:
        """The covariance's Cholesky factor."""
        return self._matrix(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        return self._matrix(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Any:
        """The covariance's inverse."""
        return self._matrix(FUNCTIONS["cholesky_inverse"](self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self._unbroadcasted_scale_tril.square().sum(-1).expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        z = standard("randn", self.loc, self._extended_shape(sample_shape))
        return self.loc + (self._unbroadcasted_scale_tril @ z.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self) -> Any:
        return self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        z = solve_triangular(self._unbroadcasted_scale_tril, (value - self.loc).unsqueeze(-1), upper=False).squeeze(-1)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + z.square().sum(-1)) - self._half_log_det()

    def entropy(self) -> Any:
        found = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return found.expand(self._batch_shape)


def _factor(name: str, matrix: Any) -> Any:
    """The covariance's Cholesky factor from one of the three matrices."""
    if name == "scale_tril":
        return matrix
    if name == "covariance_matrix":
        return FUNCTIONS["cholesky"](matrix)
    # Of the inverse's factor from below: the rows and columns reversed, it is the inverse of the factor sought.
    inverse = FUNCTIONS["cholesky"](matrix.flip((-2, -1))).flip((-2, -1)).mT
    return solve_triangular(inverse, FUNCTIONS["diag_embed"](FUNCTIONS["ones_like"](matrix[..., 0])), upper=False)


class LowRankMultivariateNormal(MultivariateNormal):
    """The normal distribution of covariance W @ W.T + diag(d), for ``cov_factor`` W and ``cov_diag`` d.

    Raises:
        ValueError: shapes that do not go together.
    """

    arg_constraints = {"loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
                       "cov_diag": constraints.independent(constraints.positive, 1)}

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        n = loc.shape[-1]
        if cov_factor.dim() < 2 or cov_factor.shape[-2] != n:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {n} x m, but is {tuple(cov_factor.shape)}")
        if cov_diag.dim() < 1 or cov_diag.shape[-1] != n:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {(n,)}, but is {tuple(cov_diag.shape)}")
        batch = tuple(FUNCTIONS["broadcast_shapes"](tuple(loc.shape[:-1]), tuple(cov_factor.shape[:-2]),
                                                    tuple(cov_diag.shape[:-1])))
        self.loc, self.cov_diag = loc.expand((*batch, n)), cov_diag.expand((*batch, n))
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        self._unbroadcasted_scale_tril = FUNCTIONS["cholesky"](cov_factor @ cov_factor.mT + FUNCTIONS["diag_embed"](cov_diag))
        Distribution.__init__(self, batch, (n,), validate_args=validate_args)
