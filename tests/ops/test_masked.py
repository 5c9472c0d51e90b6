"""torch.masked: every function with and without a mask against PyTorch, its gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair

DIMS = (None, (), 0, -1, (0, 2))
REDUCTIONS = ["sum", "prod", "amax", "amin", "logsumexp", "mean", "var", "std", "norm"]
ALONG = ["cumsum", "cumprod", "softmax", "log_softmax", "softmin", "median", "argmax", "argmin"]
MASKS = {"none": None, "some": (2, 3, 4), "broadcast": (3, 1), "number": (), "nothing": (2, 1, 1)}


def masks(torch, kind, rng):
    shape = MASKS[kind]
    if shape is None:
        return None, None
    data = np.zeros(shape, bool) if kind == "nothing" else rng.random(shape) < 0.6
    return pair(torch, data)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, kind, torch, rng):
    x, y = pair(torch, rng.normal(size=(2, 3, 4)).astype(np.float32))
    a, b = masks(torch, kind, rng)
    for dim in DIMS:
        for keepdim in (False, True):
            assert_same(getattr(clgrad.masked, name)(x, dim=dim, keepdim=keepdim, mask=a),
                        getattr(torch.masked, name)(y, dim=dim, keepdim=keepdim, mask=b), 1e-5, 1e-6)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("name", ALONG)
def test_functions_along_a_dimension(name, kind, torch, rng):
    x, y = pair(torch, rng.normal(size=(2, 3, 4)).astype(np.float32))
    a, b = masks(torch, kind, rng)
    for dim in (0, -1):
        assert_same(getattr(clgrad.masked, name)(x, dim, mask=a), getattr(torch.masked, name)(y, dim, mask=b), 1e-5, 1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "bool"])
def test_integers(dtype, torch, rng):
    x, y = pair(torch, rng.integers(0, 9, (3, 5)), dtype)
    a, b = pair(torch, np.tile([True, False, True, True, False], (3, 1)))
    for name in ("sum", "prod", *(() if dtype == "bool" else ("amax", "amin", "argmax", "argmin", "median", "var", "std",
                                                              "cumsum", "cumprod"))):
        assert_same(getattr(clgrad.masked, name)(x, 1, mask=a), getattr(torch.masked, name)(y, 1, mask=b), 1e-5)
    assert_same(clgrad.masked.mean(x, 1, dtype=clgrad.float64, mask=a), torch.masked.mean(y, 1, dtype=torch.float64, mask=b))


@pytest.mark.parametrize("ord", [0, 1, 2.0, 3.5, np.inf, -np.inf])
def test_norms(ord, torch, rng):
    x, y = pair(torch, rng.normal(size=(3, 4)).astype(np.float32))
    a, b = pair(torch, rng.random((3, 4)) < 0.6)
    assert_same(clgrad.masked.norm(x, ord, 1, mask=a), torch.masked.norm(y, ord, 1, mask=b), 1e-5)
    assert_same(clgrad.masked.normalize(x, ord, 1, mask=a), torch.masked.normalize(y, ord, 1, mask=b), 1e-5)


def test_options(torch, rng):
    x, y = pair(torch, rng.normal(size=(3, 4)).astype(np.float32))
    a, b = pair(torch, rng.random((3, 4)) < 0.6)
    c, d = pair(torch, rng.random((4,)) < 0.5)
    assert_same(clgrad.masked.logaddexp(x, x * 2, input_mask=a, other_mask=c),
                torch.masked.logaddexp(y, y * 2, input_mask=b, other_mask=d))
    for option in ({"unbiased": False}, {"correction": 0}, {"correction": 2}, {"dtype": "float64"}):
        mine, other = ({key: getattr(library, value) if isinstance(value, str) else value for key, value in option.items()}
                       for library in (clgrad, torch))
        assert_same(clgrad.masked.var(x, 1, mask=a, **mine), torch.masked.var(y, 1, mask=b, **other), 1e-5)
    assert_same(clgrad.masked.sum(x, dtype=clgrad.int64), torch.masked.sum(y, dtype=torch.int64))


@pytest.mark.parametrize("name", [*REDUCTIONS, "cumprod", "softmax", "normalize"])
def test_gradients(name, rng):
    mask = clgrad.tensor([[True, False, True], [True, True, True]])
    x = clgrad.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    arguments = (2.0, 1) if name in ("norm", "normalize") else (1,)

    def function(t):
        return getattr(clgrad.masked, name)(t, *arguments, mask=mask)
    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


@pytest.mark.parametrize("program", [
    lambda t: t.masked.sum(t.ones(3), mask=t.ones(2, 3, dtype=t.bool)),
    lambda t: t.masked.sum(t.ones(3), mask=t.ones(2, dtype=t.bool)),
    lambda t: t.masked.sum(t.ones(2, 3), 2),
    lambda t: t.masked.sum(t.ones(2, 3), (0, 0)),
    lambda t: t.masked.amax(t.ones(3, dtype=t.bool), mask=t.ones(3, dtype=t.bool)),
    lambda t: t.masked.mean(t.ones(3, dtype=t.int64)),
    lambda t: t.masked.median(t.ones(3, dtype=t.int64), 0, mask=t.zeros(3, dtype=t.bool)),
    lambda t: t.masked.var(t.ones(3), unbiased=True, correction=1),
])
def test_errors(program, torch):
    assert_same_error(torch, program)
