"""Invertible functions for :class:`clgrad.distributions.TransformedDistribution`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clgrad.distributions import constraints
from clgrad.distributions.distribution import sum_rightmost
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor


class Transform:
    """Base class: ``transform(x)``, ``transform.inv(y)``, and log abs det of the derivative.

    Attributes:
        domain, codomain: constraints of x and of y.
        bijective: whether it can be inverted.
        sign: of the derivative, where that is known.
    """

    domain: Any = constraints.real
    codomain: Any = constraints.real
    bijective = True
    sign: Any = 1

    def __init__(self, cache_size: int = 0):
        self._cache_size = cache_size

    @property
    def inv(self) -> Transform:
        """The inverse transform."""
        return _Inverse(self)

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log abs(dy / dx), summed over the dimensions of an event."""
        raise NotImplementedError

    def forward_shape(self, shape: Any) -> Any:
        """The shape of y for a shape of x."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of x for a shape of y."""
        return shape

    def __repr__(self) -> str:
        return type(self).__name__ + "()"


class _Inverse(Transform):
    def __init__(self, forward: Transform):
        super().__init__()
        self._forward, self.bijective, self.sign = forward, forward.bijective, forward.sign
        self.domain, self.codomain = forward.codomain, forward.domain

    @property
    def inv(self) -> Transform:
        return self._forward

    def __call__(self, x: Any) -> Any:
        return self._forward._inverse(x)

    def _inverse(self, y: Any) -> Any:
        return self._forward(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._forward.log_abs_det_jacobian(y, x)

    def __repr__(self) -> str:
        return f"{self._forward!r}.inv"


class ComposeTransform(Transform):
    """Several transforms, the first one first."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0):
        super().__init__(cache_size)
        self.parts = list(parts)
        self.bijective = all(part.bijective for part in self.parts)
        self.sign = math.prod(part.sign for part in self.parts)
        if self.parts:
            self.domain, self.codomain = self.parts[0].domain, self.parts[-1].codomain

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part._inverse(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        total = FUNCTIONS["zeros_like"](x)
        event = max(self.domain.event_dim, self.codomain.event_dim)
        total = sum_rightmost(total, event)
        for part in self.parts:
            following = part(x)
            own = max(part.domain.event_dim, part.codomain.event_dim)
            total = total + sum_rightmost(part.log_abs_det_jacobian(x, following), event - own)
            x = following
        return total


class ExpTransform(Transform):
    """y = exp(x)."""

    codomain = constraints.positive

    def __call__(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class PowerTransform(Transform):
    """y = x ** exponent for positive x."""

    domain = codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0):
        super().__init__(cache_size)
        self.exponent = exponent

    def __call__(self, x: Any) -> Any:
        return x**self.exponent

    def _inverse(self, y: Any) -> Any:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp(-x))."""

    codomain = constraints.unit_interval

    def __call__(self, x: Any) -> Any:
        return x.sigmoid()

    def _inverse(self, y: Any) -> Any:
        y = y.clamp(min=1e-38, max=1 - 1e-7)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        softplus = FUNCTIONS["softplus"]
        return -softplus(-x) - softplus(x)


class TanhTransform(Transform):
    """y = tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def __call__(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2.0 * (math.log(2.0) - x - FUNCTIONS["softplus"](-2.0 * x))


class SoftplusTransform(Transform):
    """y = log(1 + exp(x))."""

    codomain = constraints.positive

    def __call__(self, x: Any) -> Any:
        return FUNCTIONS["softplus"](x)

    def _inverse(self, y: Any) -> Any:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -FUNCTIONS["softplus"](-x)


class AbsTransform(Transform):
    """y = abs(x), which has no inverse; the positive one is taken."""

    codomain = constraints.positive
    bijective = False

    def __call__(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y


class SoftmaxTransform(Transform):
    """y = exp(x) normalised, which has no inverse; log(y) is taken."""

    domain, codomain = constraints.real_vector, constraints.simplex
    bijective = False

    def __call__(self, x: Any) -> Any:
        return x.softmax(-1)

    def _inverse(self, y: Any) -> Any:
        return y.log()


class AffineTransform(Transform):
    """y = loc + scale * x; ``event_dim`` last dimensions belong to one value."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim
        if event_dim:
            self.domain = self.codomain = constraints.independent(constraints.real, event_dim)
        self.sign = scale.sign() if isinstance(scale, Tensor) else 1 if scale > 0 else -1

    def __call__(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        slope = self.scale.abs().log() if isinstance(self.scale, Tensor) else math.log(abs(self.scale))
        return sum_rightmost(FUNCTIONS["zeros_like"](x) + slope, self.event_dim)


identity_transform = ComposeTransform([])
