"""Look-ups in sorted sequences, distinct elements, histograms, statistics: against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck
from tests.compare import assert_same, assert_same_error, pair


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int64", "float16", "uint8"])
def test_places(dtype, right, torch, rng):
    for shape, wanted in (((9,), (4, 7)), ((3, 9), (3, 5)), ((0,), (4,))):
        (s, t), (v, w) = (pair(torch, a, dtype) for a in (np.sort(rng.integers(0, 6, shape)), rng.integers(0, 8, wanted)))
        assert_same(clgrad.searchsorted(s, v, right=right), torch.searchsorted(t, w, right=right))
        assert_same(clgrad.searchsorted(s, v, side="right", out_int32=True),
                    torch.searchsorted(t, w, side="right", out_int32=True))
    assert_same(clgrad.bucketize(v, s, right=right), torch.bucketize(w, t, right=right))


def test_nan_belongs_at_the_end_and_sorters(torch):
    s, t = pair(torch, [3.0, 1.0, 2.0])
    v, w = pair(torch, [float("nan"), 2.0])
    assert_same(clgrad.searchsorted(s, v, sorter=s.argsort()), torch.searchsorted(t, w, sorter=t.argsort()))
    assert_same(clgrad.searchsorted(s.sort().values, 1.5), torch.searchsorted(t.sort().values, 1.5))


@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_distinct(dtype, dim, torch, rng):
    x, y = pair(torch, rng.integers(0, 2, (6, 3)), dtype)
    for name in ("unique", "unique_consecutive"):
        assert_same(getattr(x, name)(return_inverse=True, return_counts=True, dim=dim),
                    getattr(y, name)(return_inverse=True, return_counts=True, dim=dim))
        assert_same(getattr(x, name)(dim=dim), getattr(y, name)(dim=dim))


def test_distinct_of_nothing(torch):
    x, y = pair(torch, np.zeros((0,), np.float32))
    assert_same(x.unique(return_counts=True), y.unique(return_counts=True))


def test_histograms(torch, rng):
    x, y = pair(torch, rng.normal(size=200))
    w, v = pair(torch, rng.random(200))
    assert_same(x.histc(7), y.histc(7))
    assert_same(x.histc(5, -1, 1), y.histc(5, -1, 1))
    edges, other = pair(torch, [-2.0, -0.5, 0.0, 3.0], "float64")
    for options in ({}, {"density": True}, {"weight": True}):
        a, b = ({**options, "weight": z} if "weight" in options else options for z in (w, v))
        assert_same(tuple(clgrad.histogram(x, 9, **a)), tuple(torch.histogram(y, 9, **b)))
        assert_same(tuple(clgrad.histogram(x, edges, **a)), tuple(torch.histogram(y, other, **b)))
    assert clgrad.histogram(x, edges).bin_edges.data_ptr() != edges.data_ptr()


@pytest.mark.parametrize("program", [
    lambda t: t.histogram(t.ones(()), t.ones((), dtype=t.float64)), lambda t: t.histogram(t.ones(3), t.ones(())),
    lambda t: t.histogram(t.ones(3), t.ones(1)), lambda t: t.histogram(t.ones(3), t.ones(2), range=(0, 1)),
    lambda t: t.histogramdd(t.ones(3, 1), [t.ones(1)]),
    lambda t: t.histogram(t.ones(3), t.ones(0)), lambda t: t.histogram(t.ones(3), 2, weight=t.ones(2)),
    lambda t: t.histogram(t.ones(3), 2, weight=t.ones(3, dtype=t.float64)), lambda t: t.histogram(t.ones(3), 2, range=(1.0,)),
    lambda t: t.histogram(t.ones(3), 2, range=(2.0, 1.0)), lambda t: t.histogram(t.ones(3), 2, range=(0.0, float("inf"))),
])
def test_errors_of_histograms(program, torch):
    assert_same_error(torch, program)


def test_histograms_of_points_without_coordinates(torch):
    for shape in ((3, 0), (2, 0, 0)):
        (found, edges), (wanted, other) = (t.histogramdd(t.ones(shape), []) for t in (clgrad, torch))
        assert_same(found, wanted)
        assert edges == other == ()


def test_a_histogram_of_nothing_covers_0_to_1(torch):
    assert_same(tuple(clgrad.histogram(clgrad.empty(0), 3)), tuple(torch.histogram(torch.empty(0), 3)))



@pytest.mark.parametrize("call", [
    lambda t, x: t.diff(x, 2, 0), lambda t, x: t.diff(x, append=x[:, :1]), lambda t, x: t.trapezoid(x),
    lambda t, x: t.trapezoid(x, x.abs() + 1, dim=0), lambda t, x: t.cumulative_trapezoid(x, dx=0.5),
    lambda t, x: t.cov(x), lambda t, x: t.corrcoef(x), lambda t, x: t.nansum(x, 1), lambda t, x: t.nanmean(x, 0, True),
    lambda t, x: t.std_mean(x, 1, unbiased=False, keepdim=True), lambda t, x: t.var_mean(x, False)])
def test_statistics(call, torch, rng):
    x, y = pair(torch, rng.normal(size=(4, 5)))
    assert_same(call(clgrad, x), call(torch, y))
    x.requires_grad_()
    first = call(clgrad, x)
    if not isinstance(first, tuple):
        assert gradcheck(lambda z: call(clgrad, z), (x,))


@pytest.mark.parametrize("step", [2, 0.5, lambda t: t.tensor(2), lambda t: t.tensor(0.5, dtype=t.float64)])
@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_steps_of_trapezoids_are_numbers(step, dtype, torch):
    results = []
    for t in (clgrad, torch):
        y, dx = t.arange(4).to(getattr(t, dtype)), step(t) if callable(step) else step
        results.append([t.trapezoid(y, dx=dx), t.trapz(y, dx=dx), t.cumulative_trapezoid(y, dx=dx)])
    assert_same(*results)
    assert_same_error(torch, lambda t: t.trapz(t.ones(3), dx=t.ones(1)))


def test_sums_without_nan(torch):
    x, y = pair(torch, [[1.0, float("nan")], [float("nan"), float("nan")]])
    assert_same([x.nansum(), x.nansum(1), x.nanmean(1)], [y.nansum(), y.nansum(1), y.nanmean(1)])


@pytest.mark.parametrize("program", [
    lambda t: t.searchsorted(t.ones(2, 3), t.ones(3, 3)),
    lambda t: t.searchsorted(t.ones(3), t.ones(3), side="middle"), lambda t: t.bucketize(t.ones(3), t.ones(3, 3)),
    lambda t: t.histc(t.ones(3), bins=0), lambda t: t.diff(t.tensor(1.0)), lambda t: t.cov(t.ones(2, 2, 2)),
    lambda t: t.nanmean(t.ones(3, dtype=t.int64))])
def test_errors(program, torch):
    assert_same_error(torch, program)


def test_hash_tensor():
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    bits = x.astype(np.float64).view(np.uint64)
    found = clgrad.hash_tensor(clgrad.tensor(x))
    assert found.dtype is clgrad.uint64
    assert found.item() == np.bitwise_xor.reduce(bits, axis=None)
    assert clgrad.hash_tensor(clgrad.tensor(x), 1).tolist() == np.bitwise_xor.reduce(bits, axis=1).tolist()
    assert clgrad.tensor(x).hash_tensor((0, 1), keepdim=True).shape == (1, 1)
    assert clgrad.hash_tensor(clgrad.tensor([5, 3, 9])).item() == 5 ^ 3 ^ 9
    with pytest.raises(IndexError, match="non-zero size"):
        clgrad.hash_tensor(clgrad.ones(0, 3), 0)
    with pytest.raises(RuntimeError, match="mode"):
        clgrad.hash_tensor(clgrad.ones(3), mode=1)


def test_trapezoids_of_nothing():
    assert clgrad.cumulative_trapezoid(clgrad.ones(0, 3), dim=0).shape == (0, 3)
    assert clgrad.cumulative_trapezoid(clgrad.ones(2, 3, 0), dim=1).shape == (2, 2, 0)
    for function in (clgrad.trapezoid, clgrad.cumulative_trapezoid):
        with pytest.raises(IndexError, match="no dimensions"):
            function(clgrad.tensor(4.0))


def test_sequences_that_are_not_sorted(torch, rng):
    sequence, numbers = rng.normal(size=37), rng.normal(size=100)
    for right in (False, True):
        found = [library.searchsorted(library.tensor(sequence), library.tensor(numbers), right=right).tolist()
                 for library in (clgrad, torch)]
        assert found[0] == found[1]


def test_slopes_over_steps_of_zero(torch):
    x, y = pair(torch, [1.0, 2.0, 4.0, 7.0])
    assert_same(clgrad.gradient(x, spacing=0.0, edge_order=2), torch.gradient(y, spacing=0.0, edge_order=2))
