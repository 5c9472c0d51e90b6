"""Continuous distributions of numbers that are moved and scaled standard ones."""

from __future__ import annotations

import math
from typing import Any

from clgrad.distributions import constraints
from clgrad.distributions.distribution import Distribution, broadcast_all, open_uniform, standard
from clgrad.distributions.exp_family import ExponentialFamily
from clgrad.ops.registry import FUNCTIONS

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
EULER = 0.57721566490153286060


class _TwoParameters(Distribution):
    """What distributions with two broadcast parameters have in common."""

    has_rsample = True
    _names: tuple[str, str] = ("loc", "scale")

    def __init__(self, first: Any, second: Any, validate_args: bool | None = None):
        first, second = broadcast_all(first, second)
        self.__dict__.update(zip(self._names, (first, second), strict=True))
        super().__init__(first.shape, validate_args=validate_args)


class _LocationScale(_TwoParameters):
    """loc + scale * z, where z has a standard distribution."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        super().__init__(loc, scale, validate_args)

    def _standardized(self, value: Any) -> Any:
        self._validate_sample(value)
        return (value - self.loc) / self.scale

    def _located(self, z: Any) -> Any:
        return self.loc + self.scale * z

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    loc: Any
    scale: Any


class Normal(_LocationScale, ExponentialFamily):
    """The normal distribution of mean ``loc`` and standard deviation ``scale``.

    >>> import clgrad
    >>> clgrad.distributions.Normal(0.0, 1.0).log_prob(clgrad.tensor(0.0))
    tensor(-0.9189)
    """

    @property
    def stddev(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        return self.scale.square()

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._located(standard("randn", self.loc, self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return FUNCTIONS["_normal_log_density"](value, self.loc, self.scale)

    def cdf(self, value: Any) -> Any:
        return 0.5 * (1 + (self._standardized(value) * math.sqrt(0.5)).erf())

    def icdf(self, value: Any) -> Any:
        return self._located((2 * value - 1).erfinv() * math.sqrt(2))

    def entropy(self) -> Any:
        return 0.5 + _HALF_LOG_2PI + self.scale.log()

    _mean_carrier_measure = 0

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return self.loc / self.scale.square(), -0.5 / self.scale.square()

    def _log_normalizer(self, *natural_params: Any) -> Any:
        x, y = natural_params
        return -0.25 * x.square() / y + 0.5 * (-math.pi / y).log()


class Laplace(_LocationScale):
    """The Laplace distribution: density exp(-abs(x - loc) / scale) / (2 scale)."""

    @property
    def variance(self) -> Any:
        return 2 * self.scale.square()

    def rsample(self, sample_shape: Any = ()) -> Any:
        u = open_uniform(self.loc, self._extended_shape(sample_shape)) - 0.5
        return self._located(-u.sign() * (-2 * u.abs()).clamp(min=-1 + 1e-7).log1p())

    def log_prob(self, value: Any) -> Any:
        return -self._standardized(value).abs() - (2 * self.scale).log()

    def cdf(self, value: Any) -> Any:
        z = self._standardized(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Any) -> Any:
        term = value - 0.5
        return self._located(-term.sign() * (-2 * term.abs()).log1p())

    def entropy(self) -> Any:
        return 1 + (2 * self.scale).log()


class Cauchy(_LocationScale):
    """The Cauchy distribution, which has no mean."""

    @property
    def mean(self) -> Any:
        return self.loc.detach() * math.nan

    @property
    def variance(self) -> Any:
        return self.scale.detach() * math.inf

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(open_uniform(self.loc, self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        return -math.log(math.pi) - self.scale.log() - self._standardized(value).square().log1p()

    def cdf(self, value: Any) -> Any:
        return self._standardized(value).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Any:
        return self._located((math.pi * (value - 0.5)).tan())

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + self.scale.log()


class Uniform(_TwoParameters):
    """The uniform distribution over [low, high)."""

    _names = ("low", "high")
    low: Any
    high: Any
    arg_constraints = dict.fromkeys(("low", "high"), constraints.dependent(is_discrete=False, event_dim=0))

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None):
        super().__init__(low, high, validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low >= high")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """[low, high]."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Any:
        return self.high.detach() * math.nan

    @property
    def variance(self) -> Any:
        return (self.high - self.low).square() / 12

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.low + standard("rand", self.low, self._extended_shape(sample_shape)) * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        inside = (value >= self.low) & (value < self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Any) -> Any:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Any:
        return (self.high - self.low).log()


class Exponential(ExponentialFamily):
    """The exponential distribution of a rate."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Any:
        return FUNCTIONS["zeros_like"](self.rate)

    @property
    def variance(self) -> Any:
        return self.rate.square().reciprocal()

    def rsample(self, sample_shape: Any = ()) -> Any:
        return -(-open_uniform(self.rate, self._extended_shape(sample_shape))).log1p() / self.rate

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return -(-self.rate * value).expm1()

    def icdf(self, value: Any) -> Any:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Any:
        return 1.0 - self.rate.log()

    _mean_carrier_measure = 0

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return (-self.rate,)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        (x,) = natural_params
        return -(-x).log()
