"""Sorting and what is picked from sorted rows, against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair

NAN = float("nan")
CALLS = {
    "sort": lambda x: tuple(x.sort(dim=0, descending=True, stable=True)),
    "argsort": lambda x: x.argsort(dim=-1, stable=True),
    "msort": lambda x: x.msort(),
    "topk": lambda x: x.topk(2).values,
    "smallest": lambda x: x.topk(1, 0, largest=False).values,
    "kthvalue": lambda x: x.kthvalue(2, 0, True).values,
    "median": lambda x: x.median(),
    "median of rows": lambda x: x.median(1).values,
    "nanmedian": lambda x: x.nanmedian(0, True).values,
    "mode": lambda x: tuple(x.nan_to_num(7.0).mode(1)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("data", [[[3.0, 1.0, 2.0], [NAN, 0.5, -1.0], [2.0, 2.0, -0.0]],
                                  np.random.default_rng(0).normal(size=(9, 5, 7))], ids=["small", "cube"])
def test_against_pytorch(name, data, torch):
    x, y = pair(torch, np.array(data, np.float32))
    assert_same(CALLS[name](x), CALLS[name](y))
    assert_same(CALLS[name](x.transpose(0, 1)), CALLS[name](y.transpose(0, 1)))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float16", "bfloat16", "float64"])
def test_dtypes(dtype, torch, rng):
    x, y = pair(torch, rng.integers(0, 5, (4, 9)), dtype)
    for call in (lambda t: tuple(t.sort(dim=1, stable=True)), lambda t: t.topk(3).values, lambda t: t.kthvalue(2).values,
                 lambda t: tuple(t.mode())):
        assert_same(call(x), call(y))


def test_scalars_and_empty(torch):
    for data in (2.5, np.zeros((0, 3), np.float32), np.zeros((3, 0), np.float32)):
        x, y = pair(torch, data)
        assert_same(tuple(x.sort()), tuple(y.sort()))
    x, y = pair(torch, 2.5)
    assert_same([x.median(), tuple(x.topk(1)), x.kthvalue(1).values, tuple(x.mode())],
                [y.median(), tuple(y.topk(1)), y.kthvalue(1).values, tuple(y.mode())])


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantiles(name, interpolation, torch, rng):
    data = rng.normal(size=(6, 5))
    data[2, 1] = NAN
    x, y = pair(torch, data)
    for q in (0.3, [0.0, 0.45, 1.0]):
        for options in ({}, {"dim": 0}, {"dim": 1, "keepdim": True}):
            a, b = ((lib.tensor(q, dtype=t.dtype) if isinstance(q, list) else q) for lib, t in ((clgrad, x), (torch, y)))
            assert_same(getattr(x, name)(a, interpolation=interpolation, **options),
                        getattr(y, name)(b, interpolation=interpolation, **options))


@pytest.mark.parametrize("call", [lambda x: x.sort(0).values, lambda x: x.topk(2).values, lambda x: x.median(1).values,
                                  lambda x: x.quantile(0.3, 1), lambda x: x.kthvalue(2).values])
def test_gradients(call, rng):
    x = clgrad.tensor(rng.permutation(12).reshape(3, 4) / 3.0, requires_grad=True)
    assert gradcheck(call, (x,)) and gradgradcheck(call, (x,))


def test_results_have_names_and_out():
    values, indices = clgrad.empty(0), clgrad.empty(0, dtype=clgrad.int64)
    found = clgrad.sort(clgrad.tensor([2.0, 1.0]), out=(values, indices))
    assert found.values is values and indices.tolist() == [1, 0]
    assert repr(found).startswith("torch.return_types.sort(\nvalues=")


@pytest.mark.parametrize("program", [
    lambda t: t.ones(3).topk(4), lambda t: t.ones(3).kthvalue(0), lambda t: t.ones(3).sort(1),
    lambda t: t.ones(3).quantile(1.5), lambda t: t.ones(3, dtype=t.int64).quantile(0.5), lambda t: t.ones(0, 2).mode(0),
    lambda t: t.ones(3).quantile(0.5, interpolation="cubic")])
def test_errors(program, torch):
    assert_same_error(torch, program)


@pytest.mark.parametrize("name", ["max", "min", "median", "nanmedian"])
@pytest.mark.parametrize("numbers", [[1.0, 2.0, 1.0, 2.0], [0.0, math.nan, math.nan, 3.0], [math.nan, math.nan], [5.0]])
def test_equals_share_the_gradient_of_one_of_all(name, numbers, torch):
    results = []
    for library in (clgrad, torch):
        x = library.tensor(numbers, dtype=library.float64, requires_grad=True)
        y = getattr(x, name)()
        (first,) = library.autograd.grad(y * 3, x, create_graph=True)
        (second,) = library.autograd.grad((first * first).sum() * y, x)
        results.append((y.grad_fn.name(), first, second))
    (found, *gradients), (expected, *wanted) = results
    assert found == expected
    assert_same(gradients, wanted)


@pytest.mark.parametrize("pick", [lambda x: x.median(1), lambda x: x.nanmedian(0, True), lambda x: x.mode(0),
                                  lambda x: x.kthvalue(2, 1)])
def test_what_is_picked_from_rows_is_one_node(pick, torch):
    results = []
    for library in (clgrad, torch):
        x = library.tensor([[3.0, 1.0, 2.0], [0.5, 7.0, 0.25]], requires_grad=True)
        values, _ = pick(x)
        (values * values).sum().backward()
        results.append((values.grad_fn.name(), values.grad_fn.next_functions[0][0].name(), x.grad.tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [None, 0, 1, 2])
def test_several_quantiles_lie_in_memory_as_pytorchs(dim, keepdim, torch, rng):
    x, y = pair(torch, rng.normal(size=(3, 4, 5)))
    shares, theirs = pair(torch, [0.25, 0.5, 0.9], "float64")
    found, expected = clgrad.quantile(x, shares, dim, keepdim), torch.quantile(y, theirs, dim, keepdim)
    assert_same(found, expected)
    assert found.squeeze().stride() == expected.squeeze().stride()
