"""Distributions that are transformed ones, of largest values and of heavy or cut tails."""

from __future__ import annotations

import math
from typing import Any

from clgrad.distributions import constraints
from clgrad.distributions.compound import TransformedDistribution
from clgrad.distributions.continuous import EULER, Cauchy, Exponential, Normal, Uniform
from clgrad.distributions.distribution import broadcast_all
from clgrad.distributions.transforms import AbsTransform, AffineTransform, ExpTransform, PowerTransform
from clgrad.info import finfo
from clgrad.ops.registry import FUNCTIONS


class Gumbel(TransformedDistribution):
    """The Gumbel distribution of largest values: loc - scale * log(-log(u)) for uniform u."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        info, ones = finfo(self.loc.dtype), FUNCTIONS["ones_like"](self.scale)
        base = Uniform(ones * info.tiny, ones * (1 - info.eps), validate_args=False)
        super().__init__(base, [ExpTransform().inv, AffineTransform(0, -ones), ExpTransform().inv,
                                AffineTransform(self.loc, -self.scale)], validate_args=validate_args)

    mode = property(lambda self: self.loc)

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * EULER

    @property
    def variance(self) -> Any:
        return (math.pi**2 / 6) * self.scale.square()

    def _moved(self, value: Any) -> Any:
        self._validate_sample(value)
        return (value - self.loc) / self.scale

    def log_prob(self, value: Any) -> Any:
        z = self._moved(value)
        return -z - (-z).exp() - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return (-(-self._moved(value)).exp()).exp()

    def icdf(self, value: Any) -> Any:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Any:
        return self.scale.log() + (1 + EULER)


class _Half(TransformedDistribution):
    """abs(x) of a distribution that is symmetric about 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _whole: Any

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(self._whole(0, scale, validate_args=validate_args), AbsTransform(), validate_args=validate_args)

    scale = property(lambda self: self.base_dist.scale)

    @property
    def mode(self) -> Any:
        return FUNCTIONS["zeros_like"](self.scale)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        found = self.base_dist.log_prob(value) + math.log(2)
        return FUNCTIONS["where"](value >= 0, found, -math.inf)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, prob: Any) -> Any:
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """abs(x) for normal x of mean 0."""

    _whole = Normal

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Any:
        return self.scale.square() * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """abs(x) for Cauchy distributed x about 0."""

    _whole = Cauchy

    @property
    def mean(self) -> Any:
        return self.scale.detach() * math.inf

    @property
    def variance(self) -> Any:
        return self.scale.detach() * math.inf


class Pareto(TransformedDistribution):
    """The Pareto distribution above ``scale`` with exponent ``alpha``: scale * exp(e) for exponential e of rate alpha."""

    has_rsample = True
    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(Exponential(self.alpha, validate_args=False), [ExpTransform(), AffineTransform(0, self.scale)],
                         validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From scale on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale.square() * a / ((a - 1).square() * (a - 2))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 1 - (self.scale / value) ** self.alpha

    def icdf(self, value: Any) -> Any:
        return self.scale * (-(-value).log1p() / self.alpha).exp()

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + 1 + self.alpha.reciprocal()


class Weibull(TransformedDistribution):
    """The Weibull distribution: scale * e ** (1 / concentration) for exponential e."""

    has_rsample = True
    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(FUNCTIONS["ones_like"](self.scale), validate_args=False)
        super().__init__(base, [PowerTransform(self.concentration.reciprocal()), AffineTransform(0, self.scale)],
                         validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.scale * (1 + self.concentration.reciprocal()).lgamma().exp()

    @property
    def mode(self) -> Any:
        k = self.concentration
        return self.scale * ((k - 1) / k) ** k.reciprocal()

    @property
    def variance(self) -> Any:
        k = self.concentration.reciprocal()
        return self.scale.square() * ((1 + 2 * k).lgamma().exp() - (2 * (1 + k).lgamma()).exp())

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k, ratio = self.concentration, value / self.scale
        return k.log() - self.scale.log() + (k - 1) * ratio.log() - ratio**k

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return -(-((value / self.scale) ** self.concentration)).expm1()

    def icdf(self, value: Any) -> Any:
        return self.scale * (-(-value).log1p()) ** self.concentration.reciprocal()

    def entropy(self) -> Any:
        k = self.concentration.reciprocal()
        return EULER * (1 - k) + (self.scale * k).log() + 1
