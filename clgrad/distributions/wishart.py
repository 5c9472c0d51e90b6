"""``Wishart``: random positive definite matrices, sums of outer products of normal vectors."""

from __future__ import annotations

import math
import warnings
from typing import Any

from clgrad.distributions import constraints
from clgrad.distributions.distribution import broadcast_all, lazy_property, standard
from clgrad.distributions.exp_family import ExponentialFamily
from clgrad.distributions.gamma import Chi2
from clgrad.distributions.multivariate_normal import the_one_matrix
from clgrad.ops.factorization import solve_triangular
from clgrad.ops.registry import FUNCTIONS


class Wishart(ExponentialFamily):
    """The Wishart distribution of ``df`` degrees of freedom, by scale matrix, its inverse, or its Cholesky factor.

    Samples are (scale_tril @ A) @ (scale_tril @ A).mT for Bartlett's triangular A: roots of chi-squared numbers on the
    diagonal, normal ones below it. All have the shape batch_shape + (n, n).

    Raises:
        ValueError: not exactly one matrix, one of fewer than two dimensions, or df <= n - 1.
    """

    arg_constraints = {"covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky,
                       "df": constraints.greater_than(0)}
    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    df: Any

    def __init__(self, df: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None):
        name, matrix = the_one_matrix(covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
                                      scale_tril=scale_tril)
        (df,) = broadcast_all(df)
        batch = FUNCTIONS["broadcast_shapes"](matrix.shape[:-2], df.shape)
        event = matrix.shape[-2:]
        self.df = df.to(matrix.dtype).expand(batch)
        self.__dict__[name] = matrix.expand(batch + event)
        if bool((self.df <= event[-1] - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event[-1] - 1}.")
        super().__init__(batch, event, validate_args=validate_args)

    @lazy_property
    def scale_tril(self) -> Any:
        """The Cholesky factor of the scale matrix."""
        return FUNCTIONS["cholesky"](self.covariance_matrix)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The scale matrix."""
        if "precision_matrix" in self.__dict__:
            return self.precision_matrix.inverse()
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Any:
        """The scale matrix's inverse."""
        return FUNCTIONS["cholesky_inverse"](self.scale_tril)

    @property
    def mean(self) -> Any:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self._event_shape[-1] - 1
        return FUNCTIONS["where"](factor > 0, factor, math.nan)[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (v.square() + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Any:
        """Samples; those that came out singular are drawn again, up to ``max_try_correction`` times (default: 10)."""
        sample = self._bartlett_sampling(sample_shape)
        for _ in range(10 if max_try_correction is None else max_try_correction):
            wrong = ~self.support.check(sample)
            if not bool(wrong.any()):
                break
            warnings.warn("Singular sample detected.", stacklevel=2)
            sample = FUNCTIONS["where"](wrong[..., None, None], self._bartlett_sampling(sample_shape), sample)
        return sample

    def _bartlett_sampling(self, sample_shape: Any = ()) -> Any:
        """Samples, singular ones among them; programs know it by this name."""
        n = self._event_shape[-1]
        freedom = self.df.unsqueeze(-1) - FUNCTIONS["ones_like"](self.scale_tril[..., 0]).detach().cumsum(-1) + 1
        roots = Chi2(freedom, validate_args=False).rsample(sample_shape).sqrt()
        below = standard("randn", self.scale_tril, (*roots.shape, n)).tril(-1)
        factor = self.scale_tril @ (below + FUNCTIONS["diag_embed"](roots))
        return factor @ factor.mT

    def _half_log_det(self) -> Any:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        nu, n = self.df, self._event_shape[-1]
        inner = solve_triangular(self.scale_tril, value, upper=False)
        inner = solve_triangular(self.scale_tril, inner.mT, upper=False)
        trace = inner.diagonal(dim1=-2, dim2=-1).sum(-1)
        log_det = FUNCTIONS["cholesky"](value).diagonal(dim1=-2, dim2=-1).log().sum(-1) * 2
        return (0.5 * (nu - n - 1) * log_det - 0.5 * trace - nu * (0.5 * n * math.log(2.0) + self._half_log_det())
                - (0.5 * nu).mvlgamma(n))

    def entropy(self) -> Any:
        nu, n = self.df, self._event_shape[-1]
        places = FUNCTIONS["ones_like"](self.scale_tril[..., 0]).detach().cumsum(-1)
        digammas = (0.5 * (nu.unsqueeze(-1) + 1 - places)).digamma().sum(-1)
        return ((n + 1) * (self._half_log_det() + 0.5 * n * math.log(2.0)) + (0.5 * nu).mvlgamma(n)
                - 0.5 * (nu - n - 1) * digammas + 0.5 * nu * n)

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return -0.5 * self.precision_matrix, 0.5 * (self.df - self._event_shape[-1] - 1)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        x, y = natural_params
        n = self._event_shape[-1]
        return (y + 0.5 * (n + 1)) * (n * math.log(2.0) - (-2 * x).logdet()) + (y + 0.5 * (n + 1)).mvlgamma(n)
