"""``ContinuousBernoulli``: Bernoulli's likelihood, normalised over [0, 1]."""

from __future__ import annotations

import math
from typing import Any

from clgrad.autograd import no_grad
from clgrad.distributions import constraints
from clgrad.distributions.discrete import _Weighted
from clgrad.distributions.distribution import broadcast_all, clamp_probs, standard
from clgrad.distributions.exp_family import ExponentialFamily
from clgrad.ops.registry import FUNCTIONS


class ContinuousBernoulli(_Weighted, ExponentialFamily):
    """Numbers x in [0, 1] of density proportional to p ** x * (1 - p) ** (1 - x) (Loaiza-Ganem and Cunningham 2019).

    Args:
        probs: p in (0, 1). Not the mean.
        logits: log(p / (1 - p)), instead of ``probs``.
        lims: between these p, where the exact formulas divide 0 by 0, Taylor polynomials about 1/2 are used.
            Default: (0.499, 0.501).
        validate_args: check parameters and values.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501),
                 validate_args: bool | None = None):
        value = self._take_numbers(probs, logits)
        if probs is not None:
            if validate_args is not False and not bool(constraints.unit_interval.check(value.detach()).all()):
                raise ValueError("The parameter probs has invalid values")
            self.__dict__["probs"] = clamp_probs(value)
        self._lims = lims
        super().__init__(value.shape, validate_args=validate_args)

    def _probs_of(self, logits: Any) -> Any:
        return clamp_probs(super()._probs_of(logits))

    def _stable(self) -> Any:
        probs = self.probs
        return (probs <= self._lims[0]) | (probs > self._lims[1])

    def _cut_probs(self) -> Any:
        """The probabilities, with the lower limit for what is between the limits."""
        return FUNCTIONS["where"](self._stable(), self.probs, self._lims[0])

    def _from_half(self) -> Any:
        return self.probs - 0.5

    def _log_norm(self) -> Any:
        """The logarithm of the factor that makes the density's integral 1."""
        where, cut = FUNCTIONS["where"], self._cut_probs()
        low, high = where(cut <= 0.5, cut, 0.0), where(cut >= 0.5, cut, 1.0)
        exact = ((-cut).log1p() - cut.log()).abs().log() - where(
            cut <= 0.5, (-2.0 * low).log1p(), (2.0 * high - 1.0).log())
        square = self._from_half().square()
        return where(self._stable(), exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * square) * square)

    @property
    def mean(self) -> Any:
        cut, d = self._cut_probs(), self._from_half()
        exact = cut / (2.0 * cut - 1.0) + 1.0 / ((-cut).log1p() - cut.log())
        return FUNCTIONS["where"](self._stable(), exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * d.square()) * d)

    @property
    def variance(self) -> Any:
        cut, square = self._cut_probs(), self._from_half().square()
        exact = cut * (cut - 1.0) / (1.0 - 2.0 * cut).square() + 1.0 / ((-cut).log1p() - cut.log()).square()
        return FUNCTIONS["where"](self._stable(), exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * square) * square)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(standard("rand", self.probs, self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return value * logits - FUNCTIONS["softplus"](logits) + self._log_norm()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        where, cut = FUNCTIONS["where"], self._cut_probs()
        exact = (cut**value * (1.0 - cut) ** (1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0)
        found = where(self._stable(), exact, value)
        return where(value <= 0, 0.0, where(value >= 1, 1.0, found))

    def icdf(self, value: Any) -> Any:
        cut = self._cut_probs()
        exact = ((-cut + value * (2.0 * cut - 1.0)).log1p() - (-cut).log1p()) / (cut.log() - (-cut).log1p())
        return FUNCTIONS["where"](self._stable(), exact, value)

    def entropy(self) -> Any:
        return self.mean * ((-self.probs).log1p() - self.probs.log()) - self._log_norm() - (-self.probs).log1p()

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        (x,) = natural_params
        where = FUNCTIONS["where"]
        stable = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = where(stable, x, self._lims[0] - 0.5)
        return where(stable, cut.expm1().abs().log() - cut.abs().log(), 0.5 * x + x.square() / 24.0 - x**4 / 2880.0)
