"""Derivatives of derivatives of pointwise operators, which are found as formulas."""

from __future__ import annotations

import pytest

import clgrad
from clgrad.ops.derivation import derivative
from clgrad.ops.formula import Formula
from tests.compare import assert_same

FUNCTIONS = {
    "tanh": lambda t, x: x.tanh(), "sine": lambda t, x: x.sin(), "a power": lambda t, x: x ** 5,
    "powers": lambda t, x: 1.5 ** x, "a quotient": lambda t, x: (x + 2) / (x * x), "acosh": lambda t, x: (x + 2).acosh(),
    "softplus": lambda t, x: t.nn.functional.softplus(x, 2.0), "gelu": lambda t, x: t.nn.functional.gelu(x),
    "mish": lambda t, x: t.nn.functional.mish(x), "elu": lambda t, x: t.nn.functional.elu(x - 0.5, 2.0),
    "lgamma": lambda t, x: x.lgamma(), "zeta": lambda t, x: t.special.zeta(3.5, x), "hypot": lambda t, x: t.hypot(x, x * x)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_to_the_fourth(name, torch):
    found = []
    for t in (clgrad, torch):
        x = t.tensor([0.3, 0.9, 1.4], dtype=t.float64, requires_grad=True)
        values = [FUNCTIONS[name](t, x)]
        for _ in range(4):
            values.append(t.autograd.grad(values[-1].sum(), x, create_graph=True)[0])
        found.append(values)
    assert_same(*found, rtol=1e-9, atol=1e-9)


def test_where_a_choice_is_not_taken_nothing_arrives(torch):
    for function in (lambda t, x: x.relu(), lambda t, x: x.clamp(min=0.0), lambda t, x: t.nn.functional.hardtanh(x)):
        found = []
        for t in (clgrad, torch):
            x = t.tensor([-1.0, 0.0, 2.0], requires_grad=True)
            g = t.ones(3, requires_grad=True)
            (first,) = t.autograd.grad(function(t, x), x, g, create_graph=True)
            found.append(t.autograd.grad(first, [x, g], t.tensor([float("inf"), 1.0, 1.0]), allow_unused=True))
        for own, expected in zip(*found, strict=True):
            assert (own is None) == (expected is None)
            assert own is None or own.tolist() == expected.tolist()


@pytest.mark.parametrize(("formula", "operand", "expected"), [
    ("a * b", "a", "g * b"), ("a / b", "b", "-(a / b * g / b)"), ("u - a", "a", "-g"),
    ("exp(2 * a)", "a", "2 * g * exp(2 * a)"), ("where(a > 0, a, b)", "a", "where(a > 0, g, 0)"),
    ("where(a > 0, u, b)", "a", "0"), ("u * sign(a)", "a", "0"), ("pi * a", "pi", "g * a")])
def test_formulas(formula, operand, expected):
    assert derivative(Formula(formula), operand).text == expected


def test_functions_without_a_derivative():
    assert derivative(Formula("igamma(a, b)"), "a") is None
    assert derivative(Formula("u * _exponent(a)"), "a") is None
    assert derivative(Formula("u * _exponent(a)"), "u").text == "g * _exponent(a)"
