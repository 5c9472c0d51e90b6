"""Random draws with parameters of their own for each element: gamma, Poisson and binomial numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import attach, needs_graph
from clgrad.autograd.refused import no_derivative, refuse_gradient
from clgrad.ops.copying import from_array, to_array, unwritten
from clgrad.ops.products import constant_of
from clgrad.ops.random import Generator, default_generator, fill_random
from clgrad.ops.registry import FUNCTIONS, operator

_ROUNDS = 8  # of rejection: fewer than one number in 10^10 is still rejected after so many


def _uniform(like: Any, generator: Generator | None) -> Any:
    return fill_random(unwritten(like.spec.shape, like.spec.dtype, like.spec.device), "UNIFORM", 0, 1, generator)


@operator("_standard_gamma")
def _standard_gamma(input: Any, generator: Generator | None = None) -> Any:
    """Gamma distributed numbers of shape parameter ``input`` and rate 1, differentiable by ``input``.

    Marsaglia and Tsang (2000), below 1 with a uniform number's power; the gradient is implicit (Figurnov et al. 2018):
    minus the distribution function's derivative by the shape over the density.
    """
    with no_grad():
        alpha = input.detach()
        raised = alpha.where(alpha >= 1, alpha + 1)
        d = raised - 1.0 / 3.0
        found = d
        for _ in range(_ROUNDS):
            x = fill_random(unwritten(alpha.spec.shape, alpha.spec.dtype, alpha.spec.device), "NORMAL", 0, 1, generator)
            v = (1 + x / (9.0 * d).sqrt()) ** 3
            fits = (1 - _uniform(alpha, generator)).log() < 0.5 * x * x + d - d * v + d * v.clamp(min=1e-30).log()
            found = (d * v).where((v > 0) & fits, found)
        boost = ((1 - _uniform(alpha, generator)).log() / alpha).exp()
        found = found.where(alpha >= 1, found * boost)
        found = found.clamp(min=float(np.finfo(alpha.spec.dtype.numpy).tiny)
                            if alpha.spec.dtype in (dtypes.float32, dtypes.float64) else 1e-7)
    if needs_graph(input):
        attach(found, "StandardGamma", (input,), lambda g: g * _gamma_slope(alpha, found.detach()))
    return found


def _gamma_slope(alpha: Any, x: Any) -> Any:
    """How a standard gamma number moves with its shape parameter, by a central difference in float64."""
    with no_grad():
        a, value = alpha.double(), x.double()
        step = 1e-4 * a.clamp(max=1.0)
        igamma = FUNCTIONS["igamma"]
        slope = (igamma(a + step, value) - igamma(a - step, value)) / (2 * step)
        log_density = (a - 1) * value.log() - value - a.lgamma()
        return (-slope / log_density.exp()).to(x.spec.dtype)


def _on_host(name: str, like: Any, parameters: tuple, generator: Generator | None) -> Any:
    """NumPy's draws, made on the host from this stream's seed and position."""
    seed, first = (generator or default_generator).take(1)
    stream = np.random.Generator(np.random.Philox(key=seed, counter=first))
    values = getattr(stream, name)(*[np.asarray(to_array(p.detach().double())) for p in parameters])
    return from_array(np.asarray(values, np.float64).reshape(like.spec.shape), dtypes.float64,
                      like.spec.device).to(like.spec.dtype)


@operator("poisson", method=False)
def poisson(input: Any, generator: Generator | None = None) -> Any:
    """Poisson distributed numbers of the rates ``input``, drawn on the host.

    Raises:
        RuntimeError: a negative rate.
    """
    if not bool((input.detach() >= 0).all()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return constant_of(_on_host("poisson", input, (input,), generator), input)


@operator("binomial", method=False)
def binomial(count: Any, prob: Any, generator: Generator | None = None) -> Any:
    """How many of ``count`` trials of probability ``prob`` succeed, drawn on the host."""
    count, prob = FUNCTIONS["broadcast_tensors"](count, prob)
    numbers = count.detach().to(dtypes.int64)
    seed, first = (generator or default_generator).take(1)
    stream = np.random.Generator(np.random.Philox(key=seed, counter=first))
    values = stream.binomial(np.asarray(to_array(numbers)), np.asarray(to_array(prob.detach().double())))
    drawn = from_array(np.asarray(values, np.float64).reshape(prob.spec.shape), dtypes.float64,
                       prob.spec.device).to(prob.spec.dtype)
    return refuse_gradient(drawn, [count, prob], no_derivative("binomial"))


@operator("_von_mises", method=False)
def _von_mises(loc: Any, concentration: Any) -> Any:
    """Angles of the von Mises distribution, drawn on the host."""
    return _on_host("vonmises", loc, (loc, concentration), None)
