"""Tangents that travel forwards: dual tensors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import forward_ad as fwAD

PROGRAMS = {
    "pointwise": lambda x, y: (x * y).sin() + x.exp() / y,
    "product": lambda x, y: x @ y.t(),
    "reduction": lambda x, y: (x * x).sum(1) * 2,
    "linear in one": lambda x, y: y * 3 + 1,
    "functions": lambda x, y: clgrad.nn.functional.softmax(clgrad.nn.functional.gelu(x), dim=1),
    "indexing": lambda x, y: clgrad.cat([x[:, 1:], y[:, :1]], 1).max(1)[0],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_tangents_are_directional_derivatives(program, rng):
    x, dx, y, dy = (clgrad.tensor(rng.uniform(0.5, 2, (3, 4))) for _ in range(4))
    run, step = PROGRAMS[program], 1e-6
    with fwAD.dual_level():
        primal, tangent = fwAD.unpack_dual(run(fwAD.make_dual(x, dx), fwAD.make_dual(y, dy)))
    np.testing.assert_array_equal(primal.detach().numpy(), run(x, y).numpy())
    slope = (run(x + step * dx, y + step * dy) - run(x - step * dx, y - step * dy)) / (2 * step)
    np.testing.assert_allclose(tangent.numpy(), slope.numpy(), rtol=1e-6, atol=1e-8)
    assert not tangent.requires_grad
    assert not primal.requires_grad


def test_values_without_tangents():
    x = clgrad.ones(2)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, clgrad.full((2,), 3.0))
        assert fwAD.unpack_dual(x).tangent is None
        assert fwAD.unpack_dual(clgrad.ones(2, requires_grad=True) * 2).tangent is None
        assert fwAD.unpack_dual(dual).tangent.tolist() == [3.0, 3.0]
        assert fwAD.unpack_dual(dual.detach()).tangent is None
        assert fwAD.unpack_dual(dual * 0 + 1).tangent.tolist() == [0.0, 0.0]
        primal, tangent = fwAD.unpack_dual(dual.clone().mul_(dual))
        assert primal.tolist() == [1.0, 1.0]
        assert tangent.tolist() == [6.0, 6.0]
    assert fwAD.unpack_dual(dual).tangent is None


def test_modules_and_gradients_of_tangents():
    layer = clgrad.nn.Linear(2, 1, bias=False)
    x = clgrad.tensor([[1.0, 2.0]])
    with fwAD.dual_level():
        tangent = fwAD.unpack_dual(layer(fwAD.make_dual(x, clgrad.tensor([[3.0, 4.0]])))).tangent
        tangent.sum().backward()
    assert layer.weight.grad.tolist() == [[3.0, 4.0]]
    w = clgrad.tensor(2.0, requires_grad=True)
    with fwAD.dual_level():
        fwAD.unpack_dual(fwAD.make_dual(w, clgrad.tensor(1.0)) ** 3).tangent.backward()
    assert w.grad.item() == 12.0  # the second derivative


def test_errors():
    x = clgrad.ones(2)
    with pytest.raises(RuntimeError, match="no level exists"):
        fwAD.make_dual(x, x)
    with pytest.raises(RuntimeError, match="not the last one"):
        fwAD.exit_dual_level()
    with fwAD.dual_level():
        with pytest.raises(RuntimeError, match="Nested"):
            fwAD.enter_dual_level()
        with pytest.raises(RuntimeError, match="shape and dtype"):
            fwAD.make_dual(x, clgrad.ones(3))
        with pytest.raises(ValueError, match="floating point"):
            fwAD.make_dual(clgrad.ones(2, dtype=clgrad.int64), x)
        with pytest.raises(TypeError, match="must be Tensor"):
            fwAD.make_dual(x, 1.0)
    assert fwAD.enter_dual_level() == 0
    fwAD.exit_dual_level(level=0)


def test_strict_products_refuse_outputs_that_do_not_depend_on_the_inputs():
    x = clgrad.ones(2)
    with pytest.raises(RuntimeError, match="independent of the inputs"):
        clgrad.func.jvp(lambda v: (v * 2, x * 2), (x,), (x,), strict=True)
    assert [part.tolist() for part in clgrad.func.jvp(lambda v: (v * 2, x * 2), (x,), (x,))[1]] == [[2, 2], [0, 0]]


def test_random_numbers_within_vmap():
    def draws(x):
        return x + clgrad.rand(2)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        clgrad.vmap(draws)(clgrad.zeros(2, 2))
    first, second = clgrad.vmap(draws, randomness="same")(clgrad.zeros(2, 2)).tolist()
    assert first == second
    first, second = clgrad.vmap(draws, randomness="different")(clgrad.zeros(2, 2)).tolist()
    assert first != second


def test_a_formula_without_a_derivative_at_zero_has_a_product():
    """PyTorch gives NaN here: its formula for the gradient takes the logarithm of a zero."""
    x, v = clgrad.tensor([1.0, 2.0], dtype=clgrad.float64), clgrad.tensor([3.0, 4.0], dtype=clgrad.float64)
    share = np.exp(2.0) / (np.exp(1.0) + np.exp(2.0))
    expected = [3.0, 3.0 * (1 - share) + 4.0 * share]
    np.testing.assert_allclose(clgrad.autograd.functional.jvp(lambda x: x.logcumsumexp(0), x, v)[1].tolist(), expected)
    np.testing.assert_allclose(clgrad.func.jvp(lambda x: x.logcumsumexp(0), (x,), (v,))[1].tolist(), expected)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        tangent = fwAD.unpack_dual(dual.logcumsumexp(0)).tangent
    np.testing.assert_allclose(tangent.tolist(), expected)
