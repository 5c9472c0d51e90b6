"""``GeneralizedPareto``: the distribution of excesses over a threshold."""

from __future__ import annotations

import math
from typing import Any

from clgrad.distributions import constraints
from clgrad.distributions.distribution import Distribution, broadcast_all, standard
from clgrad.ops.registry import FUNCTIONS


class GeneralizedPareto(Distribution):
    """The generalized Pareto distribution of threshold ``loc``, ``scale`` and shape ``concentration``.

    Concentration 0 is the exponential distribution; below 0 the values end at loc - scale / concentration.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From loc on, up to the end that a negative concentration makes."""
        ends = self.concentration < 0
        high = FUNCTIONS["where"](ends, self.loc - self.scale / FUNCTIONS["where"](ends, self.concentration, -1.0),
                                  math.inf)
        return constraints.interval(self.loc, high)

    def _z(self, value: Any) -> Any:
        return (value - self.loc) / self.scale

    def _shape(self) -> tuple[Any, Any]:
        """Where the concentration is 0 (the exponential distribution), and the concentration with 1 there."""
        flat = FUNCTIONS["isclose"](self.concentration, FUNCTIONS["zeros_like"](self.concentration))
        return flat, FUNCTIONS["where"](flat, 1.0, self.concentration)

    def log_survival_function(self, value: Any) -> Any:
        """The logarithm of the probability of values above ``value``."""
        flat, k = self._shape()
        z = self._z(value)
        return FUNCTIONS["where"](flat, -z, -FUNCTIONS["where"](flat, 0.0, k * z).log1p() / k)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        flat, k = self._shape()
        z = self._z(value)
        curved = -(1 + 1 / k) * FUNCTIONS["where"](flat, 0.0, k * z).log1p()
        return -self.scale.log() + FUNCTIONS["where"](flat, -z, curved)

    def log_cdf(self, value: Any) -> Any:
        """The logarithm of :meth:`cdf`."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return -self.log_survival_function(value).expm1()

    def icdf(self, value: Any) -> Any:
        flat, k = self._shape()
        left = -(-value).log1p()
        return self.loc + self.scale * FUNCTIONS["where"](flat, left, (k * left).expm1() / k)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(standard("rand", self.loc, self._extended_shape(sample_shape)))

    @property
    def mean(self) -> Any:
        k = self.concentration
        return FUNCTIONS["where"](k < 1, self.loc + self.scale / (1 - FUNCTIONS["where"](k < 1, k, 0.0)), math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        k = self.concentration
        safe = FUNCTIONS["where"](k < 0.5, k, 0.0)
        return FUNCTIONS["where"](k < 0.5, self.scale.square() / ((1 - safe).square() * (1 - 2 * safe)), math.nan)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1
