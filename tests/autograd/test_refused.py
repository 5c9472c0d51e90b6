"""Operators whose gradients PyTorch does not give: their results require one, and asking for it is PyTorch's error."""

from __future__ import annotations

import pytest

import clgrad
from tests.compare import assert_same


def leaf(t):
    return t.tensor([1.5, 0.5, 2.0], requires_grad=True)


REFUSED = {
    "a quotient": lambda t, x: x // 2,
    "a number's quotient": lambda t, x: 2 // x,
    "an integer's quotient": lambda t, x: t.tensor([5, 6, 7]) // x,
    "heaviside": lambda t, x: t.heaviside(x, t.ones(3)),
    "its value at zero": lambda t, x: t.heaviside(t.zeros(3), x),
    "igamma": lambda t, x: t.igamma(x, t.ones(3)),
    "igammac": lambda t, x: t.igammac(x, t.ones(3)),
    "distinct elements": lambda t, x: x.unique(),
    "distinct rows": lambda t, x: t.unique(x[:, None], dim=0),
    "runs": lambda t, x: x.unique_consecutive(),
    "a histogram": lambda t, x: t.histogram(x, 4).hist,
    "a weighted histogram": lambda t, x: t.histogram(t.ones(3), t.tensor([0.0, 1.0, 2.0]), weight=x).hist,
    "a histogram of points": lambda t, x: t.histogramdd(x[:, None], [2]).hist,
    "sums of weights": lambda t, x: t.bincount(t.tensor([0, 1, 1]), x),
    "binomial numbers": lambda t, x: t.binomial(t.full((3,), 4.0), x.sigmoid()),
    "packed reflections": lambda t, x: t.geqrf(x[None]).a,
    "where a mask leaves it out": lambda t, x: t.where(x > 0, x, x // 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_gradients(torch, name):
    seen = []
    for t in (clgrad, torch):
        result = REFUSED[name](t, leaf(t))
        with pytest.raises(RuntimeError) as error:
            result.sum().backward()
        seen.append((result.requires_grad, result.grad_fn.name(), type(error.value), str(error.value)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("change", [lambda t, y: y.floor_divide_(2), lambda t, y: y.heaviside_(t.ones(3))])
def test_refused_in_place(torch, change):
    for t in (clgrad, torch):
        y = leaf(t) * 1
        change(t, y)
        assert type(y.grad_fn).__name__ == "NotImplemented"
        with pytest.raises(RuntimeError, match="derivative for aten::.* is not implemented"):
            y.sum().backward()


def test_nothing_is_refused_that_does_not_ask(torch):
    results = []
    for t in (clgrad, torch):
        x = leaf(t)
        ((x // 2).detach() + x).sum().backward()
        with t.no_grad():
            assert not x.unique().requires_grad and not (x // 2).requires_grad
        assert not t.igamma(t.ones(3), t.ones(3)).requires_grad
        results.append(x.grad)
    assert_same(*results)


DRAWS = {"uniform": lambda y: y.uniform_(), "normal": lambda y: y.normal_(1.0, 2.0), "random": lambda y: y.random_(3),
         "bernoulli": lambda y: y.bernoulli_(0.5), "exponential": lambda y: y.exponential_(), "cauchy": lambda y: y.cauchy_(),
         "log_normal": lambda y: y.log_normal_(), "geometric": lambda y: y.geometric_(0.5)}


@pytest.mark.parametrize("name", DRAWS)
def test_numbers_drawn_in_place_end_the_gradient_of_what_was_there(torch, name):
    gradients = []
    for t in (clgrad, torch):
        x = leaf(t)
        y = x * 2
        DRAWS[name](y[1:])
        assert y.requires_grad
        y.sum().backward()
        gradients.append(x.grad)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            DRAWS[name](leaf(t))
    assert_same(*gradients)
