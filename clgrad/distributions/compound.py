"""Distributions made of others, and of several dimensions."""

from __future__ import annotations

import math
from typing import Any

from clgrad.autograd import no_grad
from clgrad.distributions import constraints
from clgrad.distributions.continuous import EULER, Normal, Uniform, _LocationScale
from clgrad.distributions.discrete import Bernoulli, Categorical, OneHotCategorical
from clgrad.distributions.distribution import (
    Distribution,
    broadcast_all,
    logits_to_probs,
    open_uniform,
    probs_to_logits,
    sum_rightmost,
)
from clgrad.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    StickBreakingTransform,
    Transform,
)
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import Size


class Independent(Distribution):
    """A distribution whose last batch dimensions are taken as one event."""

    def __init__(self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None):
        batch = base_distribution.batch_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError("Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                             f"{reinterpreted_batch_ndims} vs {len(batch)}")
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        split = len(batch) - reinterpreted_batch_ndims
        super().__init__(batch[:split], batch[split:] + base_distribution.event_shape,
                         validate_args=validate_args)

    has_rsample = property(lambda self: self.base_dist.has_rsample)  # type: ignore[assignment]
    mean = property(lambda self: self.base_dist.mean)
    mode = property(lambda self: self.base_dist.mode)
    variance = property(lambda self: self.base_dist.variance)

    @constraints.dependent_property
    def support(self) -> Any:
        """The base distribution's, for whole events."""
        base = self.base_dist.support
        return constraints.independent(base, self.reinterpreted_batch_ndims) if self.reinterpreted_batch_ndims else base

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = super().expand(batch_shape, _instance)
        inner = tuple(self.base_dist.batch_shape[len(self._batch_shape):])
        made.base_dist = self.base_dist.expand(tuple(batch_shape) + inner)
        return made

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """What a distribution's values become under transforms."""

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None):
        self.transforms = [transforms] if isinstance(transforms, Transform) or not isinstance(
            transforms, (list, tuple)) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        whole = ComposeTransform(self.transforms)
        base, own = base_distribution, len(base_distribution.event_shape)
        given = tuple(base.batch_shape) + tuple(base.event_shape)
        if len(given) < whole.domain.event_dim:
            raise ValueError("base_distribution needs to have shape with size at least "
                             f"{whole.domain.event_dim}, but got {Size(given)}.")
        shape = Size(whole.forward_shape(given))
        needed = tuple(whole.inverse_shape(shape))
        if needed != given:
            base = base.expand(needed[:len(needed) - own])
        extra = whole.domain.event_dim - own
        self.base_dist = Independent(base, extra) if extra > 0 else base
        split = len(shape) - whole.codomain.event_dim - max(-extra, 0)
        super().__init__(shape[:split], shape[split:], validate_args=validate_args)

    has_rsample = property(lambda self: self.base_dist.has_rsample)  # type: ignore[assignment]

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        """Where the last transform leads."""
        if not self.transforms:
            return self.base_dist.support
        last = self.transforms[-1].codomain
        extra = len(self._event_shape) - last.event_dim
        return constraints.independent(last, extra) if extra > 0 else last

    def _forward(self, x: Any) -> Any:
        return ComposeTransform(self.transforms)(x)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._forward(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        event, y = len(self._event_shape), value
        total: Any = 0.0
        for transform in reversed(self.transforms):
            x = transform._inv_call(y)
            event += transform.domain.event_dim - transform.codomain.event_dim
            total = total - sum_rightmost(transform.log_abs_det_jacobian(x, y), event - transform.domain.event_dim)
            y = x
        return total + sum_rightmost(self.base_dist.log_prob(y), event - len(self.base_dist.event_shape))

    def _monotonize_cdf(self, value: Any) -> Any:
        """``value``, or one minus it where the transforms fall."""
        sign = ComposeTransform(self.transforms).sign
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._monotonize_cdf(self.base_dist.cdf(ComposeTransform(self.transforms)._inv_call(value)))

    def icdf(self, value: Any) -> Any:
        return self._forward(self.base_dist.icdf(self._monotonize_cdf(value)))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = super().expand(batch_shape, _instance)
        inner = tuple(ComposeTransform(self.transforms).inverse_shape(tuple(batch_shape) + tuple(self._event_shape)))
        made.base_dist = self.base_dist.expand(inner[:len(inner) - len(self.base_dist.event_shape)])
        return made


class LogNormal(TransformedDistribution):
    """exp(x) for normal x of mean ``loc`` and standard deviation ``scale``."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        super().__init__(Normal(loc, scale, validate_args=validate_args), ExpTransform(), validate_args=validate_args)

    loc = property(lambda self: self.base_dist.loc)
    scale = property(lambda self: self.base_dist.scale)

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale.square() / 2).exp()

    @property
    def mode(self) -> Any:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Any:
        square = self.scale.square()
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc


class Kumaraswamy(TransformedDistribution):
    """The Kumaraswamy distribution over (0, 1): (1 - (1 - u) ** (1 / b)) ** (1 / a) for uniform u."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        zeros = FUNCTIONS["zeros_like"](self.concentration0)
        super().__init__(Uniform(zeros, zeros + 1, validate_args=False), [
            PowerTransform(self.concentration0.reciprocal()), AffineTransform(1.0, -1.0),
            PowerTransform(self.concentration1.reciprocal())], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = tuple(batch_shape)
        return Kumaraswamy(self.concentration1.expand(shape), self.concentration0.expand(shape), validate_args=False)

    def _moment(self, n: int) -> Any:
        a, b = 1 + n / self.concentration1, self.concentration0
        return b * (a.lgamma() + b.lgamma() - (a + b).lgamma()).exp()

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        inside = (a >= 1) & (b >= 1) & ((a != 1) | (b != 1))
        return FUNCTIONS["where"](inside, ((a - 1) / (a * b - 1)) ** a.reciprocal(), math.nan)

    @property
    def variance(self) -> Any:
        return self._moment(2) - self._moment(1).square()

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + EULER
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class MixtureSameFamily(Distribution):
    """A mixture: ``mixture_distribution`` (Categorical) chooses along the last batch dimension of the components."""

    def __init__(self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution need to be an instance of torch.distributions.Distribution")
        if mixture_distribution.logits.shape[-1] != component_distribution.batch_shape[-1]:
            raise ValueError("`mixture_distribution component` does not equal `component_distribution.batch_shape[-1]`")
        self.mixture_distribution, self.component_distribution = mixture_distribution, component_distribution
        super().__init__(component_distribution.batch_shape[:-1], component_distribution.event_shape,
                         validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> Any:
        """What all components have in common."""
        return constraints.MixtureSameFamilyConstraint(self.component_distribution.support)

    def _weights(self) -> Any:
        probs = self.mixture_distribution.probs
        return probs.reshape((*probs.shape, *[1] * len(self._event_shape)))

    @property
    def _dim(self) -> int:
        return -1 - len(self._event_shape)

    @property
    def mean(self) -> Any:
        return (self._weights() * self.component_distribution.mean).sum(self._dim)

    @property
    def variance(self) -> Any:
        weights, parts = self._weights(), self.component_distribution
        spread = (parts.mean - self.mean.unsqueeze(self._dim)).square()
        return (weights * (parts.variance + spread)).sum(self._dim)

    def cdf(self, x: Any) -> Any:
        return (self.component_distribution.cdf(x.unsqueeze(self._dim)) * self.mixture_distribution.probs).sum(-1)

    def log_prob(self, x: Any) -> Any:
        self._validate_sample(x)
        found = self.component_distribution.log_prob(x.unsqueeze(self._dim))
        return (found + self.mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            chosen = self.mixture_distribution.sample(sample_shape)
            drawn = self.component_distribution.sample(sample_shape)
            event = tuple(self._event_shape)
            index = chosen.reshape((*chosen.shape, 1, *[1] * len(event))).expand((*chosen.shape, 1, *event))
            return drawn.gather(self._dim, index).squeeze(self._dim)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = tuple(batch_shape)
        return MixtureSameFamily(self.mixture_distribution.expand(shape), self.component_distribution.expand(
            (*shape, self.component_distribution.batch_shape[-1])), validate_args=False)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"


class LogisticNormal(TransformedDistribution):
    """Points of a simplex, whose stick-breaking log-odds are normal."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    loc = property(lambda self: self.base_dist.base_dist.loc)
    scale = property(lambda self: self.base_dist.base_dist.scale)


class LogitRelaxedBernoulli(Distribution):
    """The log-odds of :class:`RelaxedBernoulli`."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.temperature = temperature
        plain = Bernoulli(probs, logits, validate_args=validate_args)
        self.logits = plain.logits
        super().__init__(plain.batch_shape, validate_args=validate_args)

    @property
    def probs(self) -> Any:
        """The probabilities of 1."""
        return logits_to_probs(self.logits, True)

    def rsample(self, sample_shape: Any = ()) -> Any:
        u = open_uniform(self.logits, self._extended_shape(sample_shape))
        return (probs_to_logits(u, True) + self.logits) / self.temperature

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        difference = self.logits - value * self.temperature
        if hasattr(self.temperature, "log"):
            log_temperature = self.temperature.log()
        else:
            log_temperature = math.log(self.temperature)
        return log_temperature + difference - 2 * FUNCTIONS["softplus"](difference)


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1) that approach Bernoulli's as ``temperature`` falls (Maddison et al. 2016)."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval  # type: ignore[assignment]

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits), SigmoidTransform(),
                         validate_args=validate_args)

    temperature = property(lambda self: self.base_dist.temperature)
    logits = property(lambda self: self.base_dist.logits)
    probs = property(lambda self: self.base_dist.probs)


class ExpRelaxedCategorical(Distribution):
    """The logarithms of :class:`RelaxedOneHotCategorical`."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.temperature = temperature
        plain = OneHotCategorical(probs, logits, validate_args=validate_args)
        self.logits, self.probs = plain.logits, plain.probs
        super().__init__(plain.batch_shape, plain.event_shape, validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        u = open_uniform(self.logits, self._extended_shape(sample_shape))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value: Any) -> Any:
        k = self._event_shape[0]
        self._validate_sample(value)
        temperature = FUNCTIONS["zeros_like"](self.logits[..., 0]) + self.temperature
        score = self.logits - value * self.temperature
        score = (score - score.logsumexp(-1, keepdim=True)).sum(-1)
        return score + math.lgamma(k) + (k - 1) * temperature.log()


class RelaxedOneHotCategorical(TransformedDistribution):
    """Points of a simplex that approach one-hot vectors as ``temperature`` falls (Jang et al. 2016)."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(ExpRelaxedCategorical(temperature, probs, logits), ExpTransform(),
                         validate_args=validate_args)

    temperature = property(lambda self: self.base_dist.temperature)
    logits = property(lambda self: self.base_dist.logits)
    probs = property(lambda self: self.base_dist.probs)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Any:
        """The simplex."""
        return constraints.simplex


class VonMises(_LocationScale):
    """The von Mises distribution of angles about ``loc``."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    has_rsample = False
    _names = ("loc", "concentration")
    concentration: Any

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        super().__init__(loc, concentration, validate_args)

    @property
    def variance(self) -> Any:
        """One minus the mean resultant length."""
        k = self.concentration
        return 1 - FUNCTIONS["i1e"](k) / FUNCTIONS["i0e"](k)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        return FUNCTIONS["_von_mises"](self.loc.expand(shape), self.concentration.expand(shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k = self.concentration
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - FUNCTIONS["i0e"](k).log()
