"""Tensors that are saved for the backward pass and changed in place before it, where that is allowed."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd.graph import allow_mutation_on_saved_tensors

CHANGES = {
    "operator": lambda b, t: b.sin_(),
    "view": lambda b, t: b[:1].mul_(10),
    "place": lambda b, t: b.__setitem__(0, 7.0),
    "out": lambda b, t: t.sin(b, out=b),
    "composed out": lambda b, t: t.cumsum(b.clone(), 0, out=b),
    "random": lambda b, t: b.normal_(),
    "copy": lambda b, t: b.copy_(t.zeros(3, dtype=t.float64)),
    "foreach": lambda b, t: t._foreach_add_([b], 1.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_what_was_saved_is_copied_before_it_is_changed(change):
    a = clgrad.tensor([1.0, 2.0, 3.0], dtype=clgrad.float64, requires_grad=True)
    with allow_mutation_on_saved_tensors() as copies:
        b = clgrad.tensor([4.0, 5.0, 6.0], dtype=clgrad.float64)
        out = (a * b).sum()
        change(b, clgrad)
        assert len(copies.cloned) == 1
        out.backward()
        assert len(copies.cloned) == 0
    np.testing.assert_array_equal(a.grad.numpy(), [4.0, 5.0, 6.0])


def test_each_version_is_copied_once_and_dies_with_the_graph():
    a = clgrad.rand(2, requires_grad=True).clone()
    with allow_mutation_on_saved_tensors() as copies:
        b, b2 = a ** 2, a ** 2
        a.sin_()
        c = a ** 2
        a.sin_()
        assert len(copies.cloned) == 2
        del b, b2
        assert len(copies.cloned) == 1
        del c
        assert len(copies.cloned) == 0


@pytest.mark.parametrize("program", [
    lambda y: y.mul_(y).mul_(y).sin_(),
    lambda y: y.mul_(y).add_(y).div_(2).pow_(2),
    lambda y: y.addcmul_(y, y).sigmoid_().log_().tanh_(),
    lambda y: (y * y, y.sigmoid_())[0].sum() + y,
])
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_tensors_changed_by_their_own_values(program, torch):
    found = []
    for t in (clgrad, torch):
        x = t.tensor([1.0, 2.0, 3.0], dtype=t.float64, requires_grad=True)
        with t.autograd.graph.allow_mutation_on_saved_tensors():
            program(x * 1).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_step_of_an_optimizer_may_come_before_the_backward_pass(kind):
    w = clgrad.nn.Parameter(clgrad.tensor([2.0]))
    optimizer = getattr(clgrad.optim, kind)([w], lr=0.5)
    with allow_mutation_on_saved_tensors():
        out = (w * w).sum()
        w.grad = clgrad.zeros(1).add_(1)
        optimizer.step()
        w.grad = None
        out.backward()
    assert w.grad.item() == 4.0


def test_outside_of_the_block_there_is_nothing_to_go_back_to():
    a = clgrad.rand(2, requires_grad=True)
    with allow_mutation_on_saved_tensors():
        out = (a ** 2).sum()
        with pytest.raises(RuntimeError, match="cannot be nested"), allow_mutation_on_saved_tensors():
            pass
    with pytest.raises(AssertionError, match="Trying to backward outside"):
        out.backward()
