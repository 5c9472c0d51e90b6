"""Derivatives of derivatives, and of single samples: steps of programs that need them, functions of ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Row, tensors, values
from benchmarks.models import set_parameters


def _perceptron(library: Any, *widths: int) -> Any:
    """Linear layers with tanh between them."""
    nn, layers = library.nn, []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    net = nn.Sequential(*layers[:-1])
    set_parameters(library, net, np.random.default_rng(0))
    return net


def _step(library: Any, net: Any, loss_of: Callable[[], Any]) -> Callable:
    """Training on a loss."""
    optimizer = library.optim.SGD(net.parameters(), lr=1e-3)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()
    return step


def burgers(library: Any) -> Callable:
    """A step of a network that is to solve Burgers' equation (Raissi et al. 2019), at 256 points."""
    net = _perceptron(library, 2, 50, 50, 50, 1)
    t, x = tensors(library, (256, 1), (256, 1), requires_grad=True)
    ones = library.ones(256, 1)

    def by(y: Any, variable: Any) -> Any:
        return library.autograd.grad(y, variable, ones, create_graph=True)[0]

    def loss() -> Any:
        u = net(library.cat([t, x], 1))
        along = by(u, x)
        return ((by(u, t) + u * along - 0.01 * by(along, x)) ** 2).mean()
    return _step(library, net, loss)


def penalty(library: Any) -> Callable:
    """A step of a critic whose gradient is to have the length 1 (Gulrajani et al. 2017), on 32 images."""
    nn = library.nn
    net = nn.Sequential(nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2),
                        nn.Flatten(), nn.Linear(32 * 49, 1))
    set_parameters(library, net, np.random.default_rng(0))
    (images,) = tensors(library, (32, 1, 28, 28), requires_grad=True)
    ones = library.ones(32, 1)

    def loss() -> Any:
        scores = net(images)
        (slope,) = library.autograd.grad(scores, images, ones, create_graph=True)
        return scores.mean() + 10 * ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    return _step(library, net, loss)


def adapted(library: Any) -> Callable:
    """A step through a step (Finn et al. 2017): four tasks of ten points each."""
    net = _perceptron(library, 1, 40, 40, 1)
    xs, ys = tensors(library, (4, 10, 1), (4, 10, 1))
    mse, call = library.nn.functional.mse_loss, library.func.functional_call

    def loss() -> Any:
        total, parameters = 0, dict(net.named_parameters())
        for x, y in zip(xs, ys, strict=True):
            slopes = library.autograd.grad(mse(call(net, parameters, (x,)), y), list(parameters.values()), create_graph=True)
            fast = {name: p - 0.01 * g for (name, p), g in zip(parameters.items(), slopes, strict=True)}
            total = total + mse(call(net, fast, (x,)), y)
        return total
    return _step(library, net, loss)


def steps() -> Iterator[Row]:
    """Steps of training that differentiate twice."""
    yield Row("derivatives", "step of a PINN, 2-50-50-50-1, 256 points", burgers, tolerance=1e-3)
    yield Row("derivatives", "step with a gradient penalty, 32x1x28x28", penalty, tolerance=1e-3)
    yield Row("derivatives", "step of MAML, 1-40-40-1, 4 tasks", adapted, tolerance=1e-3)


def _of_samples(library: Any) -> Callable:
    net = _perceptron(library, 784, 128, 10)
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    (x,) = tensors(library, (64, 784))
    y = library.tensor(np.random.default_rng(0).integers(0, 10, 64))

    def loss(p: Any, row: Any, target: Any) -> Any:
        return library.nn.functional.cross_entropy(library.func.functional_call(net, p, (row[None],)), target[None])
    gradients = library.func.vmap(library.func.grad(loss), in_dims=(None, 0, 0))
    return lambda: tuple(gradients(parameters, x, y).values())


def _of_function(transform: str, batch: bool) -> Callable[[Any], Callable]:
    def build(library: Any) -> Callable:
        inner, outer = (library.tensor(values(*shape)) for shape in ((20, 10), (5, 20)))
        scalar = transform == "hessian"
        (points,) = tensors(library, (32, 10))

        def function(x: Any) -> Any:
            result = outer @ library.tanh(inner @ x)
            return result.sum() if scalar else result
        derivative = getattr(library.func, transform)(function)
        return (lambda: library.func.vmap(derivative)(points)) if batch else lambda: derivative(points[0])
    return build


def functions() -> Iterator[Row]:
    """``torch.func``: gradients of samples, Jacobians, Hessians."""
    yield Row("func", "gradients of 64 samples, 784-128-10", _of_samples, tolerance=1e-3)
    for transform in ("jacrev", "jacfwd", "hessian"):
        for batch in (False, True):
            yield Row("func", f"{transform} of 10 numbers{', of 32 points' * batch}", _of_function(transform, batch),
                      tolerance=1e-3)


GROUPS = {"derivatives": steps, "func": functions}
