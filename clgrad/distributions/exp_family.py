"""``ExponentialFamily``: densities exp(<t(x), theta> - F(theta) + k(x))."""

from __future__ import annotations

from typing import Any

from clgrad.autograd import enable_grad, grad
from clgrad.distributions.distribution import Distribution


class ExponentialFamily(Distribution):
    """Distributions that are known by natural parameters theta and by F, the logarithm of the normaliser.

    A subclass defines ``_natural_params`` (a tuple of tensors), ``_log_normalizer(*natural_params)`` (F), and
    ``_mean_carrier_measure`` (the expectation of k); the entropy then follows from F and its gradient (Nielsen and Nock
    2010).
    """

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Any:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError

    def entropy(self) -> Any:
        with enable_grad():
            natural = [p.detach().requires_grad_() for p in self._natural_params]
            normalizer = self._log_normalizer(*natural)
            slopes = grad(normalizer.sum(), natural, create_graph=True)
        total = normalizer - self._mean_carrier_measure
        for parameter, slope in zip(natural, slopes, strict=True):
            total = total - (parameter * slope).reshape((*self._batch_shape, -1)).sum(-1)
        return total
