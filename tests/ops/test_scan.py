"""Running sums, products and extremes against NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_sums_and_products(name, dim, rng):
    x = rng.normal(size=(3, 5, 4))
    found = getattr(clgrad, name)(clgrad.tensor(x).transpose(0, 2), dim)
    np.testing.assert_allclose(found.numpy(), getattr(np, name)(x.transpose(2, 1, 0), dim), rtol=1e-12)


def test_integers_are_summed_in_int64():
    found = clgrad.tensor([100, 100, 100], dtype=clgrad.int8).cumsum(0)
    assert found.dtype is clgrad.int64 and found.tolist() == [100, 200, 300]


def test_log_of_sums(rng):
    x = rng.normal(size=(2, 6)) * 300
    np.testing.assert_allclose(clgrad.logcumsumexp(clgrad.tensor(x), 1).numpy(), np.logaddexp.accumulate(x, 1), rtol=1e-12)


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_extremes(name, torch):
    x = [[1.0, 3.0, 3.0, float("nan"), 2.0], [-1.0, -1.0, -2.0, 5.0, 5.0]]
    found, expected = (getattr(library, name)(library.tensor(x), 1) for library in (clgrad, torch))
    np.testing.assert_array_equal(found.values.numpy(), expected.values.numpy())
    assert found.indices.tolist() == expected.indices.tolist()


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp"])
def test_gradients(name, rng):
    x = clgrad.tensor(rng.uniform(0.5, 2.0, (2, 3)), requires_grad=True)
    assert gradcheck(lambda t: getattr(t, name)(1), (x,))
    assert gradgradcheck(lambda t: getattr(t, name)(1), (x,))


def test_gradient_of_products_with_zeros():
    x = clgrad.tensor([[2.0, 0.0, 3.0], [0.0, 4.0, 0.0]], dtype=clgrad.float64, requires_grad=True)
    assert gradcheck(lambda t: t.cumprod(1), (x,))
    assert gradcheck(lambda t: t.prod(1), (x,))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_gradients_of_extremes(name, rng):
    x = clgrad.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    assert gradcheck(lambda t: getattr(t, name)(0).values, (x,))


def test_in_place():
    x = clgrad.tensor([1.0, 2.0, 3.0])
    assert x.cumsum_(0) is x and x.tolist() == [1, 3, 6]
    assert x.cumprod_(0).tolist() == [1, 3, 18]
