"""Gamma, beta and what is made of them; all are differentiable by their parameters."""

from __future__ import annotations

import math
from typing import Any

from clgrad.distributions import constraints
from clgrad.distributions.continuous import _TwoParameters
from clgrad.distributions.distribution import Distribution, broadcast_all, open_uniform, standard
from clgrad.distributions.exp_family import ExponentialFamily
from clgrad.from_data import as_tensor
from clgrad.info import finfo
from clgrad.ops.registry import FUNCTIONS


class Gamma(_TwoParameters, ExponentialFamily):
    """The gamma distribution of shape ``concentration`` and ``rate``."""

    _names = ("concentration", "rate")
    concentration: Any
    rate: Any
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        super().__init__(concentration, rate, validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        drawn = FUNCTIONS["_standard_gamma"](self.concentration.expand(shape)) / self.rate.expand(shape)
        drawn.data.clamp_(min=finfo(drawn.dtype).tiny)  # small concentrations give numbers below the smallest
        return drawn

    def log_prob(self, value: Any) -> Any:
        value = as_tensor(value, dtype=self.rate.dtype, device=self.rate.device)
        self._validate_sample(value)
        a = self.concentration
        return FUNCTIONS["xlogy"](a, self.rate) + FUNCTIONS["xlogy"](a - 1, value) - self.rate * value - a.lgamma()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return FUNCTIONS["igamma"](self.concentration, self.rate * value)

    def entropy(self) -> Any:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1.0 - a) * a.digamma()

    _mean_carrier_measure = 0

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, *natural_params: Any) -> Any:
        x, y = natural_params
        return (x + 1).lgamma() - (x + 1) * (-y).log()


class Chi2(Gamma):
    """The chi-squared distribution of ``df`` degrees of freedom."""

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None):
        (self.df,) = broadcast_all(df)
        super().__init__(0.5 * self.df, FUNCTIONS["zeros_like"](self.df) + 0.5, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = super().expand(batch_shape, self._get_checked_instance(Chi2, _instance))
        made.concentration, made.rate = self.concentration.expand(made._batch_shape), self.rate.expand(made._batch_shape)
        return made


class Dirichlet(ExponentialFamily):
    """The Dirichlet distribution over the simplex."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Any:
        shifted = (self.concentration - 1).clamp(min=0.0)
        corner = FUNCTIONS["zeros_like"](shifted)
        corner[..., 0] = 1  # where all concentrations are below 1 every corner is a mode
        return FUNCTIONS["where"]((self.concentration < 1).all(-1, True), corner, shifted / shifted.sum(-1, True))

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.square() * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        a = self.concentration.expand(self._extended_shape(sample_shape))
        small = a < 1
        # Gamma variates of small concentrations are below the smallest number, their logarithms are not: G(a + 1) U^(1 / a).
        logs = FUNCTIONS["_standard_gamma"](a + small).log()
        logs = logs + FUNCTIONS["where"](small, open_uniform(a, a.shape).log() / a, 0.0)
        drawn = logs.softmax(-1)
        drawn.data.clamp_(finfo(drawn.dtype).tiny, 1 - finfo(drawn.dtype).eps / 2)
        return drawn

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a = self.concentration
        return FUNCTIONS["xlogy"](a - 1.0, value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Any:
        a, k = self.concentration, self.concentration.shape[-1]
        total = a.sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() - (k - total) * total.digamma() - ((a - 1.0) * a.digamma()).sum(-1)

    @property
    def _mean_carrier_measure(self) -> Any:
        return -(self.concentration.digamma() - self.concentration.sum(-1, True).digamma()).sum(-1)

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return (self.concentration,)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        (x,) = natural_params
        return x.lgamma().sum(-1) - x.sum(-1).lgamma()


class Beta(_TwoParameters, ExponentialFamily):
    """The beta distribution over [0, 1]."""

    _names = ("concentration1", "concentration0")
    concentration1: Any
    concentration0: Any
    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        super().__init__(concentration1, concentration0, validate_args)

    @property
    def _dirichlet(self) -> Dirichlet:
        return Dirichlet(FUNCTIONS["stack"]([self.concentration1, self.concentration0], -1), validate_args=False)

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Any:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._dirichlet.log_prob(FUNCTIONS["stack"]([value, 1.0 - value], -1))

    def entropy(self) -> Any:
        return self._dirichlet.entropy()

    @property
    def _mean_carrier_measure(self) -> Any:
        return self._dirichlet._mean_carrier_measure

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, *natural_params: Any) -> Any:
        x, y = natural_params
        return x.lgamma() + y.lgamma() - (x + y).lgamma()


class StudentT(Distribution):
    """Student's t distribution of ``df`` degrees of freedom, moved and scaled."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return FUNCTIONS["where"](self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        where = FUNCTIONS["where"]
        finite = self.scale.square() * self.df / (self.df - 2)
        return where(self.df > 2, finite, where(self.df > 1, math.inf + self.df * 0, math.nan))

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        x = standard("randn", self.loc, shape)
        z = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * x * (z / self.df).rsqrt()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y, df = (value - self.loc) / self.scale, self.df
        norm = self.scale.log() + 0.5 * df.log() + 0.5 * math.log(math.pi) + (0.5 * df).lgamma() - (
            0.5 * (df + 1.0)).lgamma()
        return -0.5 * (df + 1.0) * (y.square() / df).log1p() - norm

    def entropy(self) -> Any:
        half, next_half = 0.5 * self.df, 0.5 * (self.df + 1)
        beta = half.lgamma() + math.lgamma(0.5) - next_half.lgamma()
        return (self.scale.log() + next_half * (next_half.digamma() - half.digamma()) + 0.5 * self.df.log() + beta)


class FisherSnedecor(_TwoParameters):
    """The F distribution of ``df1`` and ``df2`` degrees of freedom."""

    _names = ("df1", "df2")
    df1: Any
    df2: Any
    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None):
        super().__init__(df1, df2, validate_args)

    @property
    def mean(self) -> Any:
        return FUNCTIONS["where"](self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Any:
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return FUNCTIONS["where"](self.df1 > 2, mode, math.nan)

    @property
    def variance(self) -> Any:
        a, b = self.df1, self.df2
        found = 2 * b.square() * (a + b - 2) / (a * (b - 2).square() * (b - 4))
        return FUNCTIONS["where"](b > 4, found, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        first = Gamma(self.df1 * 0.5, self.df1, validate_args=False).rsample(sample_shape)
        return first / Gamma(self.df2 * 0.5, self.df2, validate_args=False).rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        return ((a + b).lgamma() - a.lgamma() - b.lgamma() + a * ratio.log() + (a - 1) * value.log()
                - (a + b) * (ratio * value).log1p())
