"""Pooling against PyTorch: windows of every kind, indices, NaN, ties, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair, values

CASES = {
    "max": ("max_pool2d", (2, 3, 6, 8), (2,), {}),
    "max_pair": ("max_pool2d", (2, 3, 6, 8), ((2, 3),), {}),
    "max_stride": ("max_pool2d", (2, 3, 7, 8), (3, 2), {"padding": 1}),
    "max_overlapping": ("max_pool2d", (1, 2, 6, 6), (3, 1), {}),
    "max_dilation": ("max_pool2d", (1, 2, 9, 9), (3,), {"dilation": 2, "stride": 1}),
    "max_ceil": ("max_pool2d", (1, 2, 7, 8), (3, 2), {"ceil_mode": True}),
    "max_unbatched": ("max_pool2d", (3, 6, 6), (2,), {}),
    "max_1d": ("max_pool1d", (2, 3, 9), (2,), {}),
    "max_3d": ("max_pool3d", (1, 2, 4, 4, 6), (2,), {}),
    "avg": ("avg_pool2d", (2, 3, 6, 8), (2,), {}),
    "avg_padding": ("avg_pool2d", (2, 3, 7, 7), (3, 2), {"padding": 1}),
    "avg_no_pad": ("avg_pool2d", (2, 3, 7, 7), (3, 2), {"padding": 1, "count_include_pad": False}),
    "avg_ceil": ("avg_pool2d", (2, 3, 7, 8), (3, 2), {"ceil_mode": True}),
    "avg_divisor": ("avg_pool2d", (2, 3, 6, 6), (2,), {"divisor_override": 3}),
    "avg_1d": ("avg_pool1d", (2, 3, 9), (3, 2), {}),
    "avg_3d": ("avg_pool3d", (1, 2, 4, 4, 6), (2,), {}),
    "adaptive_avg": ("adaptive_avg_pool2d", (2, 3, 7, 8), ((3, 5),), {}),
    "adaptive_avg_none": ("adaptive_avg_pool2d", (2, 3, 7, 8), ((None, 1),), {}),
    "adaptive_avg_1d": ("adaptive_avg_pool1d", (2, 3, 7), (3,), {}),
    "adaptive_max": ("adaptive_max_pool2d", (2, 3, 7, 8), ((3, 5),), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name, torch, rng):
    function, shape, args, options = CASES[name]
    x, y = pair(torch, rng.permutation(int(np.prod(shape))).reshape(shape) / 8.0, requires_grad=True)
    found = getattr(clgrad, function)(x, *args, **options)
    expected = getattr(torch.nn.functional, function)(y, *args, **options)
    assert_same(found, expected, 1e-12)
    (found * found).sum().backward()
    (expected * expected).sum().backward()
    assert_same(x.grad, y.grad, 1e-12)


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (3, 5, 28, 28), (2, 3, 7, 37)])
def test_float32(shape, torch, rng):
    x, y = pair(torch, rng.normal(size=shape).astype(np.float32))
    for pool, args in [("max_pool2d", (2,)), ("avg_pool2d", (2,)), ("max_pool2d", (3, 2))]:
        assert_same(getattr(clgrad.nn.functional, pool)(x, *args), getattr(torch.nn.functional, pool)(y, *args))
    strided = x.transpose(2, 3)[:, 1:]
    assert_same(clgrad.max_pool2d(strided, 2), torch.max_pool2d(y.transpose(2, 3)[:, 1:], 2))


def test_indices_ties_and_nan(torch):
    data = np.array([[[[1, 1, 2, np.nan], [1, 1, 5, 7], [-np.inf] * 4, [-np.inf] * 4]]], np.float32)
    x, y = pair(torch, data)
    found = clgrad.nn.functional.max_pool2d(x, 2, return_indices=True)
    assert_same(found, torch.nn.functional.max_pool2d(y, 2, return_indices=True))
    assert found[1].tolist() == [[[[0, 3], [8, 10]]]]


def test_an_overlapping_maximum_collects_all_gradients(torch):
    x, y = pair(torch, np.array([[[0.0, 9.0, 0.0, 0.0]]]), requires_grad=True)
    clgrad.max_pool1d(x, 2, 1).sum().backward()
    torch.max_pool1d(y, 2, 1).sum().backward()
    assert_same(x.grad, y.grad)
    assert x.grad.tolist()[0][0][1] == 2


@pytest.mark.parametrize("function", [
    lambda x: clgrad.avg_pool2d(x, 2, 1, padding=1), lambda x: clgrad.adaptive_avg_pool2d(x, (2, 1)),
    lambda x: clgrad.max_pool2d(x, 2, 1)])
def test_gradients_to_second_order(function, rng):
    x = clgrad.tensor(rng.permutation(9).reshape(1, 1, 3, 3) / 4.0 - 1.1, requires_grad=True)
    assert gradcheck(function, x)
    assert gradgradcheck(lambda v: function(v * v * v), x)


def test_half_precision(rng):
    data = rng.normal(size=(1, 2, 4, 4))
    for name in ("float16", "bfloat16"):
        x = clgrad.tensor(data).to(getattr(clgrad, name))
        found = clgrad.avg_pool2d(x, 2)
        assert found.dtype is getattr(clgrad, name)
        expected = values(x).reshape(1, 2, 2, 2, 2, 2).mean((3, 5))
        np.testing.assert_allclose(values(found), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("program", [
    lambda t: t.nn.functional.max_pool2d(t.ones(3, 3), 2),
    lambda t: t.nn.functional.max_pool2d(t.ones(1, 1, 3, 3), 4),
    lambda t: t.nn.functional.max_pool2d(t.ones(1, 1, 3, 3), 2, padding=2),
    lambda t: t.nn.functional.max_pool2d(t.ones(1, 1, 3, 3), 0),
    lambda t: t.nn.functional.avg_pool2d(t.ones(1, 1, 3, 3), 2, stride=0),
    lambda t: t.nn.functional.avg_pool2d(t.ones(1, 1, 3, 3), 2, divisor_override=0),
    lambda t: t.nn.functional.avg_pool2d(t.ones(1, 1, 0, 3), 2),
    lambda t: t.nn.functional.adaptive_avg_pool2d(t.ones(1, 1, 3, 3), -1),
])
def test_errors(program, torch):
    assert_same_error(torch, program)
