"""Errors of jacobian, hessian and the products with them: in PyTorch's classes and words."""

from __future__ import annotations

import pytest

import clgrad

CASES = {
    "an output without gradient": lambda t, f: f.jacobian(lambda x: x.detach(), t.ones(2), strict=True),
    "an output that is independent": lambda t, f: f.jacobian(
        lambda x: t.ones(2, requires_grad=True) * 2, t.ones(2), strict=True),
    "a linear function": lambda t, f: f.hessian(lambda x: (3 * x).sum(), t.ones(2), strict=True),
    "strict and vectorized": lambda t, f: f.jacobian(lambda x: x * x, t.ones(2), strict=True, vectorize=True),
    "several outputs": lambda t, f: f.hessian(lambda x: (x.sum(), x.sum()), t.ones(2)),
    "several elements": lambda t, f: f.hessian(lambda x: x * x, t.ones(2)),
    "no vector": lambda t, f: f.vjp(lambda x: x * x, t.ones(2)),
    "no vector for inputs": lambda t, f: f.jvp(lambda x: x * x, t.ones(2)),
    "two vectors": lambda t, f: f.vjp(lambda x: x * x, t.ones(2), (t.ones(2), t.ones(2))),
    "a vector's size": lambda t, f: f.vjp(lambda x: x * x, t.ones(2), t.ones(3)),
    "a constant product": lambda t, f: f.vhp(lambda x: x.detach().sum(), t.ones(2), t.ones(2), strict=True),
}


@pytest.mark.parametrize("case", CASES)
def test_errors_are_pytorchs(case, torch):
    errors = []
    for t in (torch, clgrad):
        with pytest.raises((RuntimeError, TypeError)) as caught:
            CASES[case](t, t.autograd.functional)
        errors.append(caught)
    assert errors[1].type is errors[0].type
    words = str(errors[0].value).replace("torch.autograd", "").split(". ")[0]
    assert " ".join(words.split()[-7:]).rstrip(".") in str(errors[1].value)
