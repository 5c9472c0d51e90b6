"""Kullback-Leibler divergences: a function for each pair of distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clgrad.autograd import enable_grad, grad
from clgrad.distributions.compound import Independent, LogNormal, TransformedDistribution
from clgrad.distributions.continuous import EULER, Cauchy, Exponential, Laplace, Normal, Uniform
from clgrad.distributions.discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from clgrad.distributions.distribution import sum_rightmost
from clgrad.distributions.exp_family import ExponentialFamily
from clgrad.distributions.extremes import Gumbel, HalfNormal
from clgrad.distributions.gamma import Beta, Dirichlet, Gamma
from clgrad.distributions.multivariate_normal import MultivariateNormal
from clgrad.ops.factorization import solve_triangular
from clgrad.ops.registry import FUNCTIONS

_PAIRS: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """Registers a function f(p, q) for a pair of classes and what is derived from them."""
    def decorate(function: Callable) -> Callable:
        _PAIRS[type_p, type_q] = function
        return function
    return decorate


def kl_divergence(p: Any, q: Any) -> Any:
    """The expectation under p of log p - log q.

    Raises:
        NotImplementedError: nothing is known about this pair.

    >>> import clgrad
    >>> Normal = clgrad.distributions.Normal
    >>> clgrad.distributions.kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    for left in type(p).__mro__:
        for right in type(q).__mro__:
            found = _PAIRS.get((left, right))
            if found is not None:
                return found(p, q)
    raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and q type "
                              f"{type(q).__name__}")


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())


register_kl(LogNormal, LogNormal)(_normal)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    softplus, where = FUNCTIONS["softplus"], FUNCTIONS["where"]
    ones = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    zeros = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    ones = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, ones))
    return ones + where(p.probs == 1, 0.0, where(q.probs == 1, math.inf, zeros))


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((p.total_count > q.total_count).any()):
        return p.total_count * float("inf")
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    return p.total_count * _bernoulli(p, q)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    where = FUNCTIONS["where"]
    terms = p.probs * (p.logits - q.logits)
    terms = where(q.probs == 0, float("inf"), terms)
    return where(p.probs == 0, 0.0, terms).sum(-1)


register_kl(OneHotCategorical, OneHotCategorical)(_categorical)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    return (b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma()
            + (q.rate - p.rate) * (a / p.rate))


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    constants = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return constants + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    found = ((q.high - q.low) / (p.high - p.low)).log()
    return FUNCTIONS["where"]((q.low > p.low) | (q.high < p.high), float("inf"), found)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, first, second = p.scale / q.scale, q.loc / q.scale, p.loc / q.scale
    return (-ratio.log() - first + second + ratio * EULER + (first + (1 + ratio).lgamma() - second).exp()
            - (1 + EULER))


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Any:
    factor = q._unbroadcasted_scale_tril
    spread = solve_triangular(factor, p._unbroadcasted_scale_tril, upper=False).square().sum((-2, -1))
    distance = solve_triangular(factor, (q.loc - p.loc).unsqueeze(-1), upper=False).square().sum((-2, -1))
    return q._half_log_det() - p._half_log_det() + 0.5 * (spread + distance - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    return ((p.scale + q.scale).square() + (p.loc - q.loc).square()).log() - (4 * p.scale * q.scale).log()


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("No KL(p || q) is known for distributions of different transforms")
    base = kl_divergence(p.base_dist, q.base_dist)
    return sum_rightmost(base, len(p.event_shape) - len(p.base_dist.event_shape))


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p: Any, q: Any) -> Any:
    """The Bregman divergence of the normalisers' logarithm (Nielsen and Nock 2010)."""
    if type(p) is not type(q):
        raise NotImplementedError(f"No KL(p || q) is implemented for the different exponential families "
                                  f"{type(p).__name__} and {type(q).__name__}")
    with enable_grad():
        natural = [parameter.detach().requires_grad_() for parameter in p._natural_params]
        normalizer = p._log_normalizer(*natural)
        slopes = grad(normalizer.sum(), natural, create_graph=True)
    others = q._natural_params
    found = q._log_normalizer(*others) - normalizer
    for own, other, slope in zip(natural, others, slopes, strict=True):
        term = (other - own) * slope
        found = found - sum_rightmost(term, term.dim() - found.dim())
    return found
