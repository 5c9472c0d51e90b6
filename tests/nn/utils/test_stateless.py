"""Modules called with other tensors, against PyTorch: what they hold meanwhile and afterwards, tied weights, errors."""

from __future__ import annotations

import pytest

from tests.compare import assert_same_error, assert_same_outcome


def module_of(t):
    class Counting(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", t.zeros(()))
            self.w = t.nn.Parameter(t.ones(1))
            self.v = self.w
            self.inner = t.nn.Linear(1, 1, bias=False)

        def forward(self, x):
            self.n = self.n + 1
            return x * self.w + self.v * 10 + getattr(self, "more", 0) + getattr(self.inner, "more", 0)
    return Counting()


def called(t, given, **options):
    module = module_of(t)
    result = t.func.functional_call(module, given, t.ones(1), **options)
    return result, given, module.n, module.w, hasattr(module, "more"), hasattr(module.inner, "more")


def within(t):
    module, given = module_of(t), {"w": t.full((1,), 7.0), "n": t.tensor(2.0)}
    with t.nn.utils.stateless._reparametrize_module(module, given):
        inside = module(t.ones(1)), module.w
    return inside, module.w, module.v, module.n, given["n"]


def left_by_an_error(t):
    module, given = module_of(t), {"n": t.tensor(1.0)}
    try:
        with t.nn.utils.stateless._reparametrize_module(module, given, tie_weights=True):
            module.n = t.tensor(9.0)
            raise ZeroDivisionError
    except ZeroDivisionError:
        return module.n, given["n"]


@pytest.mark.parametrize("program", [
    within, left_by_an_error, lambda t: called(t, {"n": t.tensor(5.0)}),
    lambda t: called(t, ({"n": t.tensor(5.0)}, {"w": t.full((1,), 2.0)})), lambda t: called(t, {"more": t.ones(1)}),
    lambda t: called(t, {"inner.more": t.ones(1)}), lambda t: called(t, {"w": t.full((1,), 3.0)}),
    lambda t: called(t, {"w": t.full((1,), 3.0)}, tie_weights=False),
    lambda t: called(t, {"w": t.ones(1), "n": t.ones(()), "inner.weight": t.ones(1, 1)}, strict=True)])
def test_other_tensors(torch, program):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", [
    lambda t: called(t, {"more": t.ones(1)}, strict=True), lambda t: called(t, {"absent.weight": t.ones(1)}),
    lambda t: called(t, {"w": t.ones(1), "v": t.zeros(1)}),
    lambda t: t.nn.utils.stateless._reparametrize_module(module_of(t), {"w": t.ones(1)}, strict=True).__enter__()])
def test_refusals(torch, program):
    assert_same_error(torch, program)
