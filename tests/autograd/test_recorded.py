"""Operators with kernels of their own in walks that are to be differentiated again: composed once, as long as that serves."""

from __future__ import annotations

import pytest

import clgrad
from clgrad.autograd.graph import Saved, attach
from clgrad.autograd.recorded import recorded_gradients
from tests.compare import assert_same


def attention(t, x):
    """PyTorch's own has no second derivatives."""
    if t is clgrad:
        return t.nn.functional.scaled_dot_product_attention(x[None, None], x[None, None] * 2, x[None, None])
    return (x @ (x * 2).T / 6 ** 0.5).softmax(-1) @ x


def networks(t):
    nn = t.nn
    t.manual_seed(0)
    return {"layers": nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)), "norm": nn.LayerNorm(6),
            "loss": lambda x: nn.functional.cross_entropy(x, t.tensor([1, 0, 5])),
            "attention": lambda x: attention(t, x).view(3, 6)}


def built(name, library, torch):
    """The network, with the same numbers in both libraries, and its input."""
    net, reference = networks(library)[name], networks(torch)[name]
    if library is clgrad and isinstance(net, clgrad.nn.Module):
        net.load_state_dict({key: clgrad.from_numpy(value.numpy()) for key, value in reference.state_dict().items()})
    x = library.tensor([[(3 * i + 7 * j) % 5 / 4 for j in range(6)] for i in range(3)], requires_grad=True)
    return net, x


@pytest.mark.parametrize("name", networks(clgrad))
def test_several_walks_over_one_result(name, torch):
    found = []
    for t in (clgrad, torch):
        net, x = built(name, t, torch)
        y = net(x)
        (first,) = t.autograd.grad(y.sum(), x, create_graph=True)
        (second,) = t.autograd.grad((y * y).sum(), x, create_graph=True)
        (third,) = t.autograd.grad((first * second).sum(), x, create_graph=True)
        (third * first).sum().backward()
        found.append([y, first, second, third, x.grad])
    assert_same(*found, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["norm", "loss", "attention"])  # each one node
def test_a_composition_that_a_walk_has_freed_is_made_again(name, torch):
    net, x = built(name, clgrad, torch)
    y = net(x)
    found = []
    for _ in range(2):
        (first,) = clgrad.autograd.grad(y.sum(), x, create_graph=True)
        found.append(clgrad.autograd.grad((first * first).sum(), x)[0])
    assert clgrad.equal(*found)


def test_changed_parameters_are_noticed_in_the_second_walk(torch):
    net, x = built("layers", clgrad, torch)
    y = net(x)
    clgrad.autograd.grad(y.sum(), x, create_graph=True)
    with clgrad.no_grad():
        net[0].weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        clgrad.autograd.grad(y.sum(), x, create_graph=True)


def test_operations_are_composed_once(torch):
    calls = []

    def composed(x):
        calls.append(x)
        return x.exp()

    x = clgrad.tensor([1.0, 2.0], requires_grad=True)
    saved, y = Saved("exp", [x]), clgrad.tensor([0.0, 0.0])
    attach(y, "Exp", (x,), lambda g: recorded_gradients(saved, composed, saved.unpack(), (g,))[0], saved)
    found = [clgrad.autograd.grad(y.sum(), x, create_graph=True)[0] for _ in range(3)]
    assert len(calls) == 1
    assert_same(found[2], torch.tensor([1.0, 2.0]).exp())
    clgrad.autograd.grad(y.sum(), x, create_graph=True, retain_graph=False)
    assert saved.composition is None
