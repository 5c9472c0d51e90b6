"""Jacobians by one backward walk, whose gradients are a batch: of many nodes, in batches, differentiated again."""

from __future__ import annotations

import math

import pytest

import clgrad
from tests.compare import assert_same


def numbers(t, *shape):
    return t.linspace(-1, 1, math.prod(shape), dtype=t.float64).view(shape)


def layers(t, x):
    net = t.nn.functional
    return net.linear(net.gelu(net.linear(x, numbers(t, 4, 6), numbers(t, 4))), numbers(t, 3, 4))


def put(t, x):
    y = x * 2
    y[1:3] = x[:2] ** 2
    y.view(2, 3)[0].mul_(3)
    return y


FUNCTIONS = {
    "layers": layers, "product": lambda t, x: numbers(t, 3, 6) @ x.sin(),
    "pieces": lambda t, x: t.cat([x[:2] * x[4:], x.view(2, 3).unbind(0)[1].exp(), t.stack([x[0], x[5]])]),
    "places": put, "several": lambda t, x: (x.sum(), x * x[0], x.prod()),
    "convolution": lambda t, x: t.nn.functional.conv2d(x.view(1, 1, 2, 3), numbers(t, 2, 1, 2, 2)).relu().flatten(),
    "pool": lambda t, x: t.nn.functional.max_pool2d(x.view(1, 1, 2, 3), (2, 2), 1).flatten() ** 2,
    "loss": lambda t, x: t.nn.functional.cross_entropy(x.view(2, 3), t.tensor([0, 2]), reduction="none"),
    "norm": lambda t, x: t.nn.functional.layer_norm(x.view(2, 3), (3,)), "choice": lambda t, x: x.sort()[0].cumsum(0)[::2],
    "softmax": lambda t, x: x.view(2, 3).softmax(1), "index": lambda t, x: x[t.tensor([0, 0, 5])] * x[x > 0.5].sum(),
    "nothing": lambda t, x: t.ones(2, dtype=x.dtype),
    "distance": lambda t, x: (x.view(3, 2)[:, None] - x.view(3, 2)).norm(dim=-1)[0, 1:],
    "copies": lambda t, x: (x.expand(2, 6) * x).maximum(x.detach()).reshape(-1)[3:9]}


def point(t):
    return t.tensor([0.4, -0.3, 1.1, 0.9, 2.0, -1.2], dtype=t.float64)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians(name, torch):
    found = [t.func.jacrev(lambda x, t=t: FUNCTIONS[name](t, x))(point(t)) for t in (clgrad, torch)]
    assert_same(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("name", ["layers", "product", "pieces", "softmax", "pool", "loss"])
def test_jacobians_of_jacobians(name, torch):
    found = []
    for t in (clgrad, torch):
        jacobian = t.func.jacrev(lambda x, t=t: FUNCTIONS[name](t, x))
        found.append((t.func.jacrev(jacobian)(point(t)), t.func.jacfwd(jacobian)(point(t))))
    assert_same(*found, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["layers", "product", "softmax", "norm", "convolution"])
def test_jacobians_of_many_points(name, torch):
    found = []
    for t in (clgrad, torch):
        points = t.stack([point(t), point(t) + 0.25, -point(t)])
        found.append(t.func.vmap(t.func.jacrev(lambda x, t=t: FUNCTIONS[name](t, x)))(points))
    assert_same(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7])
def test_jacobians_in_chunks(chunk_size, torch):
    found = [t.func.jacrev(lambda x: x[:3].outer(x).sum(1), chunk_size=chunk_size)(point(t)) for t in (clgrad, torch)]
    assert_same(*found, rtol=1e-9, atol=1e-12)


def test_products_with_many_vectors(torch):
    found = []
    for t in (clgrad, torch):
        y, product = t.func.vjp(lambda a, b: (a.sin() * b, a @ b), point(t), point(t) * 2)
        vectors = numbers(t, 4, 6)
        found.append(t.func.vmap(product)((vectors, vectors[:, 0])))
    assert_same(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("create", [False, True])
def test_gradients_by_many_seeds(create, torch):
    found = []
    for t in (clgrad, torch):
        x, unused = point(t).requires_grad_(), point(t).requires_grad_()
        y = (x ** 3).view(2, 3).sum(0)
        seeds = t.eye(3, dtype=t.float64)

        def rows(seed):
            return t.autograd.grad(y, (x, unused), seed, create_graph=create, allow_unused=True)[0]  # noqa: B023
        jacobian = t.func.vmap(rows)(seeds)
        found.append([jacobian, *([t.autograd.grad(jacobian.sum(), x)[0]] if create else [])])
        assert jacobian.requires_grad is create
    assert_same(*found, rtol=1e-9, atol=1e-12)


def test_an_input_that_was_not_used_is_an_error_for_many_seeds():
    x, unused = point(clgrad).requires_grad_(), point(clgrad).requires_grad_()
    y = x * 2
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        clgrad.func.vmap(lambda seed: clgrad.autograd.grad(y, (x, unused), seed)[0])(clgrad.eye(6, dtype=clgrad.float64))


def test_a_program_s_own_operator_is_asked_for_each():
    class Double(clgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return clgrad.from_numpy(x.detach().numpy() * 2)

        @staticmethod
        def backward(ctx, g):
            return clgrad.from_numpy(g.detach().numpy() * 2)
    found = clgrad.func.jacrev(lambda x: Double.apply(x)[:3])(point(clgrad))
    assert clgrad.equal(found, 2 * clgrad.eye(6, dtype=clgrad.float64)[:3])


def test_one_walk_makes_all_rows(monkeypatch):
    device, count = clgrad.zeros(1).device.compute, []
    run = type(device).run
    monkeypatch.setattr(type(device), "run", lambda self, *given: count.append(1) or run(self, *given))
    matrix, numbers = clgrad.randn(40, 6, dtype=clgrad.float64), []
    for rows in (2, 40):
        count.clear()
        clgrad.func.jacrev(lambda x, rows=rows: matrix[:rows] @ x.sin())(point(clgrad))
        numbers.append(len(count))
    assert numbers[0] == numbers[1]
