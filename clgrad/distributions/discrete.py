"""Discrete distributions."""

from __future__ import annotations

import math
from typing import Any

from clgrad.autograd import enable_grad, no_grad
from clgrad.creation import arange, eye
from clgrad.distributions import constraints
from clgrad.distributions.distribution import (
    Distribution,
    broadcast_all,
    logits_to_probs,
    open_uniform,
    open_unit,
    probs_to_logits,
    standard,
)
from clgrad.distributions.exp_family import ExponentialFamily
from clgrad.ops.registry import FUNCTIONS, REGISTRY
from clgrad.ops.rows import run
from clgrad.shapes import Size


class _Weighted(Distribution):
    """What distributions with either probabilities or logits have in common; the other is computed when first asked for."""

    _binary = True

    def _take(self, probs: Any, logits: Any) -> Any:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        name, value = ("probs", probs) if logits is None else ("logits", logits)
        self._given = name
        self.__dict__[name] = value
        return value

    def _take_numbers(self, probs: Any, logits: Any) -> Any:
        """As :meth:`_take`; numbers become tensors."""
        return self._take(None if probs is None else broadcast_all(probs)[0],
                          None if logits is None else broadcast_all(logits)[0])

    def __getattr__(self, name: str) -> Any:
        convert, other = {"probs": (self._probs_of, "logits"), "logits": (self._logits_of, "probs")}.get(name, (None, ""))
        if convert is not None and other in self.__dict__:
            with enable_grad():
                value = self.__dict__[name] = convert(self.__dict__[other])
            return value
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _probs_of(self, logits: Any) -> Any:
        return logits_to_probs(logits, self._binary)

    def _logits_of(self, probs: Any) -> Any:
        return probs_to_logits(probs, self._binary)

    @property
    def _param(self) -> Any:
        return self.__dict__[self._given]

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self._draw(self._extended_shape(sample_shape))

    def _draw(self, shape: Any) -> Any:
        raise NotImplementedError

    def _counted_support(self, values: Any, expand: bool) -> Any:
        values = values.view((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


_WEIGHTS = {"probs": constraints.unit_interval, "logits": constraints.real}


class Bernoulli(_Weighted, ExponentialFamily):
    """1 with probability ``probs``, else 0; ``logits`` are log-odds."""

    arg_constraints = _WEIGHTS
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        value = self._take_numbers(probs, logits)
        super().__init__(value.shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        probs = self.probs
        return FUNCTIONS["where"](probs == 0.5, float("nan"), (probs >= 0.5).to(probs.dtype))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def _draw(self, shape: Any) -> Any:
        return self.probs.expand(shape).bernoulli()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -FUNCTIONS["_logits_cross_entropy"](logits, value)

    def entropy(self) -> Any:
        return FUNCTIONS["softplus"](self.logits) - self.logits * self.probs

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._counted_support(arange(2, dtype=self._param.dtype, device=self._param.device), expand)

    _mean_carrier_measure = 0

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return (self.logits,)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        (x,) = natural_params
        return FUNCTIONS["softplus"](x)


class Geometric(_Weighted):
    """How many trials of probability ``probs`` fail before the first success."""

    arg_constraints = _WEIGHTS
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        value = self._take_numbers(probs, logits)
        super().__init__(value.shape, validate_args=validate_args)
        if self._validate_args and probs is not None and not bool((value > 0).all()):
            raise ValueError(f"Expected parameter probs (Tensor of shape {tuple(value.shape)}) of distribution "
                             f"{self!r} to be positive but found invalid values:\n{value}")

    @property
    def mean(self) -> Any:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Any:
        return FUNCTIONS["zeros_like"](self.probs)

    @property
    def variance(self) -> Any:
        return (1.0 / self.probs - 1.0) / self.probs

    def _draw(self, shape: Any) -> Any:
        probs = self.probs.expand(shape)
        return (open_uniform(probs, shape).log() / (-probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        return FUNCTIONS["xlog1py"](value, -probs) + probs.log()

    def entropy(self) -> Any:
        probs = self.probs
        return (FUNCTIONS["softplus"](self.logits) - self.logits * probs) / probs


class _Categories(_Weighted):
    _binary = False

    def _categories(self, probs: Any, logits: Any) -> Any:
        value = self._take(probs, logits)
        name = "probs" if logits is None else "logits"
        if value.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        self.__dict__[name] = (value / value.sum(-1, keepdim=True) if logits is None
                               else value.log_softmax(-1))
        self._num_events = value.shape[-1]
        return value

    def _entropy(self) -> Any:
        return FUNCTIONS["_information"](self.logits, self.probs).sum(-1)


class Categorical(_Categories):
    """Numbers below k, with probabilities proportional to ``probs`` (..., k), or to exp(``logits``).

    >>> import clgrad
    >>> d = clgrad.distributions.Categorical(clgrad.tensor([0.25, 0.75]))
    >>> d.log_prob(clgrad.tensor(1)).exp()
    tensor(0.7500)
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        value = self._categories(probs, logits)
        super().__init__(value.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """The numbers below k."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Any:
        return self.probs.detach().sum(-1) * float("nan")

    @property
    def mode(self) -> Any:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Any:
        return self.mean

    def _draw(self, shape: Any) -> Any:
        """The largest of the logarithms with Gumbel noise; what has no probability is never drawn, as it is -inf."""
        logits = self.logits if self._given == "logits" else self.probs.log()
        u = standard("rand", logits, (*shape, self._num_events))
        return run(REGISTRY.pointwise["_gumbel"], (logits, u), open_unit(logits.dtype)).argmax(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        value, logits = value.long(), self.logits
        if value.shape != logits.shape[:-1]:
            shape = FUNCTIONS["broadcast_shapes"](value.shape, logits.shape[:-1])
            value, logits = value.expand(shape), logits.expand((*shape, self._num_events))
        return logits.gather(-1, value.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Any:
        return self._entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._counted_support(arange(self._num_events, device=self._param.device), expand)


class OneHotCategorical(_Categories):
    """:class:`Categorical` whose values are vectors with one 1."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        value = self._categories(probs, logits)
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=validate_args)

    @property
    def _categorical(self) -> Categorical:
        return Categorical(logits=self.logits, validate_args=False)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return self._one_hot(self.probs.argmax(-1))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def _one_hot(self, numbers: Any) -> Any:
        known = arange(self._num_events, device=numbers.device)
        return (numbers.unsqueeze(-1) == known).to(self._param.dtype)

    def _draw(self, shape: Any) -> Any:
        return self._one_hot(self._categorical._draw(shape[:-1]))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Any:
        return self._entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        n = self._num_events
        values = eye(n, dtype=self._param.dtype, device=self._param.device)
        values = values.view((n, *[1] * len(self._batch_shape), n))
        return values.expand((n, *self._batch_shape, n)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """:class:`OneHotCategorical` with the probabilities' gradient (Bengio et al. 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Binomial(_Weighted):
    """How many of ``total_count`` trials of probability ``probs`` succeed."""

    arg_constraints = {"total_count": constraints.nonnegative_integer, **_WEIGHTS}
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None):
        self.total_count, value = broadcast_all(total_count, probs if probs is not None else logits)
        self._take(None if probs is None else value, None if logits is None else value)
        super().__init__(value.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """The numbers up to total_count."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def _draw(self, shape: Any) -> Any:
        return FUNCTIONS["binomial"](self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, logits = self.total_count, self.logits
        ways = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return ways + value * logits - n * FUNCTIONS["softplus"](logits)

    def enumerate_support(self, expand: bool = True) -> Any:
        total = int(self.total_count.max())
        if not int(self.total_count.min()) == total:
            raise NotImplementedError("Inhomogeneous total count not supported by `enumerate_support`.")
        return self._counted_support(arange(1 + total, dtype=self._param.dtype, device=self._param.device), expand)

    def entropy(self) -> Any:
        values = self.enumerate_support(False)
        found = self.log_prob(values)
        return -(found.exp() * found).sum(0)


class NegativeBinomial(_Weighted):
    """How many trials of probability ``probs`` succeed before ``total_count`` failed."""

    arg_constraints = {"total_count": constraints.nonnegative,
                       "probs": constraints.half_open_interval(0.0, 1.0), "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.total_count, value = broadcast_all(total_count, probs if probs is not None else logits)
        self._take(None if probs is None else value, None if logits is None else value)
        super().__init__(value.shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def _draw(self, shape: Any) -> Any:
        rate = FUNCTIONS["_standard_gamma"](self.total_count.expand(shape)) * self.logits.exp()
        return FUNCTIONS["poisson"](rate)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, logits = self.total_count, self.logits
        ways = (n + value).lgamma() - (1.0 + value).lgamma() - n.lgamma()
        return FUNCTIONS["where"](n + value == 0.0, 0.0, ways) - n * FUNCTIONS["softplus"](logits) - value * \
            FUNCTIONS["softplus"](-logits)


class Multinomial(_Categories):
    """How often each category occurs in ``total_count`` draws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        if total_count < 0 and validate_args is not False:
            raise ValueError("Expected parameter total_count of distribution Multinomial to satisfy the constraint "
                             f"IntegerGreaterThan(lower_bound=0), but found invalid values: {total_count}")
        self.total_count = total_count
        value = self._categories(probs, logits)
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Counts with the right sum."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def _draw(self, shape: Any) -> Any:
        one = OneHotCategorical(logits=self.logits, validate_args=False)
        lead = tuple(shape[:len(shape) - len(self._batch_shape) - 1])
        return one.sample((self.total_count, *lead)).sum(0)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        powers = FUNCTIONS["where"]((value == 0) & (logits == -float("inf")), 0.0, logits * value).sum(-1)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + powers

    def entropy(self) -> Any:
        """Of n draws: n entropies of one, less what is lost by not knowing their order."""
        n = self.total_count
        one = Binomial(n, probs=self.probs, validate_args=False)
        counts = one.enumerate_support(expand=False)[1:]
        unordered = (one.log_prob(counts).exp() * (counts + 1).lgamma()).sum((0, -1))
        entropy = Categorical(probs=self.probs, validate_args=False).entropy()
        return n * entropy - math.lgamma(n + 1) + unordered


class Poisson(ExponentialFamily):
    """The Poisson distribution of a rate."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    @property
    def variance(self) -> Any:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return FUNCTIONS["poisson"](self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return FUNCTIONS["xlogy"](value, rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return (self.rate.log(),)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        (x,) = natural_params
        return x.exp()
