"""Kullback-Leibler divergences between distributions of different families.

KL(p || q) is the cross entropy, the expectation of -log q under p, less the entropy of p; the cross entropy of a family q
needs a few expectations of p, so that one function serves many p.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clgrad.distributions.continuous import EULER, Exponential, Laplace, Normal, Uniform
from clgrad.distributions.continuous_bernoulli import ContinuousBernoulli
from clgrad.distributions.discrete import Bernoulli, Binomial, Poisson
from clgrad.distributions.extremes import Gumbel, Pareto
from clgrad.distributions.gamma import Beta, Gamma
from clgrad.distributions.kl import register_kl
from clgrad.ops.registry import FUNCTIONS


def _crossed(q_type: type, *p_types: type) -> Callable:
    """Registers the function crossed(p, q) as the cross entropy of q under each of ``p_types``."""
    def decorate(crossed: Callable) -> Callable:
        for p_type in p_types:
            register_kl(p_type, q_type)(lambda p, q: _where_inside(p, q, crossed(p, q) - p.entropy()))
        return crossed
    return decorate


def _range(d: Any) -> tuple[Any, Any]:
    """The bounds of a support."""
    support = d.support
    return getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf)


def _where_inside(p: Any, q: Any, found: Any) -> Any:
    """Infinity where the support of p reaches beyond that of q."""
    (p_low, p_high), (q_low, q_high) = _range(p), _range(q)
    zeros = FUNCTIONS["zeros_like"](found)
    beyond = (zeros + q_low > zeros + p_low) | (zeros + q_high < zeros + p_high)
    return FUNCTIONS["where"](beyond, math.inf, found)


def _mean_log(p: Any) -> Any:
    """The expectation of log x."""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Exponential):
        return -p.rate.log() - EULER
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    xlogy = FUNCTIONS["xlogy"]
    return (xlogy(p.high, p.high) - xlogy(p.low, p.low)) / (p.high - p.low) - 1


def _mean_exp_minus(p: Any, t: Any) -> Any:
    """The expectation of exp(-t * x)."""
    if isinstance(p, Normal):
        return (0.5 * (t * p.scale).square() - t * p.loc).exp()
    if isinstance(p, Exponential):
        return p.rate / (p.rate + t)
    if isinstance(p, Gamma):
        return (1 + t / p.rate) ** -p.concentration
    return ((-t * p.low).exp() - (-t * p.high).exp()) / (t * (p.high - p.low))


@_crossed(Normal, Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform)
def _normal(p: Any, q: Any) -> Any:
    spread = (p.variance + (p.mean - q.loc).square()) / (2 * q.scale.square())
    return 0.5 * math.log(2 * math.pi) + q.scale.log() + spread


@_crossed(Exponential, Beta, ContinuousBernoulli, Gamma, Pareto, Uniform)
def _exponential(p: Any, q: Any) -> Any:
    return q.rate * p.mean - q.rate.log()


@_crossed(Gamma, Beta, Exponential, Pareto, Uniform)
def _gamma(p: Any, q: Any) -> Any:
    a = q.concentration
    return a.lgamma() - a * q.rate.log() - (a - 1) * _mean_log(p) + q.rate * p.mean


@_crossed(Gumbel, Exponential, Gamma, Normal, Uniform)
def _gumbel(p: Any, q: Any) -> Any:
    slope = q.scale.reciprocal()
    return q.scale.log() + slope * (p.mean - q.loc) + (slope * q.loc).exp() * _mean_exp_minus(p, slope)


@_crossed(Uniform, Beta, ContinuousBernoulli)
def _uniform(p: Any, q: Any) -> Any:
    return (q.high - q.low).log()


@_crossed(ContinuousBernoulli, Beta, ContinuousBernoulli, Uniform)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    return -p.mean * q.logits - (-q.probs).log1p() - q._log_norm()


@_crossed(Pareto, Uniform)
def _pareto(p: Any, q: Any) -> Any:
    return (q.alpha + 1) * _mean_log(p) - q.alpha.log() - q.alpha * q.scale.log()


@_crossed(Beta, Uniform)
def _beta(p: Any, q: Any) -> Any:
    mirrored = Uniform(1 - p.high, 1 - p.low, validate_args=False)
    a, b = q.concentration1, q.concentration0
    constant = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return constant - (a - 1) * _mean_log(p) - (b - 1) * _mean_log(mirrored)


@_crossed(Laplace, Normal)
def _laplace(p: Any, q: Any) -> Any:
    z = (p.loc - q.loc) / p.scale
    distance = p.scale * (math.sqrt(2 / math.pi) * (-0.5 * z.square()).exp() + z * (z * math.sqrt(0.5)).erf())
    return (2 * q.scale).log() + distance / q.scale


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Pareto, Pareto)
def _pareto_pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    return _where_inside(p, q, q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1)


def _infinite(p: Any, q: Any) -> Any:
    """The support of p is never within that of q."""
    shape = FUNCTIONS["broadcast_shapes"](tuple(p.batch_shape), tuple(q.batch_shape))
    return p.mean.new_full(tuple(shape), math.inf)


_WHOLE_LINE = (Gumbel, Laplace, Normal)
for _q_type, _p_types in {
        Beta: (Exponential, Gamma, Pareto, *_WHOLE_LINE), Binomial: (Poisson,), Bernoulli: (Poisson,),
        ContinuousBernoulli: (Exponential, Gamma, Pareto, *_WHOLE_LINE), Exponential: _WHOLE_LINE, Gamma: _WHOLE_LINE,
        Pareto: (Beta, ContinuousBernoulli, Exponential, Gamma, *_WHOLE_LINE),
        Uniform: (Exponential, Gamma, Pareto, *_WHOLE_LINE)}.items():
    for _p_type in _p_types:
        register_kl(_p_type, _q_type)(_infinite)
