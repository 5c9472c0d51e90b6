"""Scatter, index_*, masked_*, put, take and their kin against PyTorch: values, in-place forms, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error

RNG = np.random.default_rng(7)
X, SRC = RNG.normal(size=(4, 5)), RNG.normal(size=(3, 5))
INDEX = RNG.integers(0, 4, (3, 5))
ROWS = np.array([2, 0, 2])
MASK = X > 0.2

# (a function of the library, x and src), its name with x as the first argument.
PROGRAMS = {
    "gather": lambda t, x, s: x.gather(0, t.tensor(INDEX)),
    "gather of a part": lambda t, x, s: t.gather(x, 1, t.tensor(INDEX[:2, :2])),
    "gather of int32": lambda t, x, s: x.gather(0, t.tensor(INDEX, dtype=t.int32)),
    "take": lambda t, x, s: x.take(t.tensor([[0, -1], [7, 7]])),
    "take_along_dim": lambda t, x, s: t.take_along_dim(x, t.tensor([[1], [0], [-2], [4]]), 1),
    "index_select": lambda t, x, s: x.index_select(-1, t.tensor(ROWS)),
    "scatter": lambda t, x, s: x.scatter(0, t.tensor(INDEX[:1]), s[:1]),
    "scatter value": lambda t, x, s: x.scatter(0, t.tensor(INDEX), 2.5),
    "scatter_add": lambda t, x, s: x.scatter_add(0, t.tensor(INDEX), s),
    "scatter_add of a part": lambda t, x, s: x.scatter_add(1, t.tensor(INDEX[:2, :3]), s[:2, :3]),
    "scatter_add behind": lambda t, x, s: s.scatter_add(1, t.tensor(INDEX), x[:3]),
    "index_add": lambda t, x, s: x.index_add(0, t.tensor(ROWS), s, alpha=-2),
    "index_copy": lambda t, x, s: x.index_copy(0, t.tensor([1, 3, 0]), s),
    "index_fill": lambda t, x, s: x.index_fill(1, t.tensor([1, -1]), 3.0),
    "index_fill by a tensor": lambda t, x, s: x.index_fill(1, t.tensor(ROWS), s[0, 0]),
    "masked_fill": lambda t, x, s: x.masked_fill(t.tensor(MASK), -1),
    "masked_fill broadcast": lambda t, x, s: x.masked_fill(t.tensor(MASK[:, :1]), s[0, 0]),
    "masked_select": lambda t, x, s: x.masked_select(t.tensor(MASK)),
    "masked_select broadcast": lambda t, x, s: x.masked_select(t.tensor(MASK[0])),
    "masked_scatter": lambda t, x, s: x.masked_scatter(t.tensor(MASK), s),
    "put": lambda t, x, s: x.put(t.tensor([0, -1, 7]), s[0, :3]),
    "put accumulating": lambda t, x, s: x.put(t.tensor([0, 7, 7]), s[0, :3], accumulate=True),
    "where": lambda t, x, s: t.where(t.tensor(MASK), x, s[:1]),
    "where with a number": lambda t, x, s: t.where(t.tensor(MASK), 1, x),
    "select_scatter": lambda t, x, s: x.select_scatter(s[0], 0, -1),
    "slice_scatter": lambda t, x, s: x.slice_scatter(s[:2], 0, 1, None, 2),
    "diagonal_scatter": lambda t, x, s: x.diagonal_scatter(s[0, :4], 1),
    "repeat_interleave": lambda t, x, s: x.repeat_interleave(2, 0),
    "repeat_interleave by a tensor": lambda t, x, s: x.repeat_interleave(t.tensor([2, 0, 1, 3]), 0),
    "repeat_interleave of all": lambda t, x, s: t.repeat_interleave(x, 3),
    **{f"scatter_reduce {how} {whole}": lambda t, x, s, how=how, whole=whole: x.scatter_reduce(
        0, t.tensor(INDEX), s, how, include_self=whole)
       for how in ("sum", "prod", "mean", "amax", "amin") for whole in (True, False)},
    **{f"index_reduce {how} {whole}": lambda t, x, s, how=how, whole=whole: x.index_reduce(
        0, t.tensor(ROWS), s, how, include_self=whole)
       for how in ("prod", "mean", "amax", "amin") for whole in (True, False)},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name, torch):
    results = []
    for t in (clgrad, torch):
        # x is a transpose: strides of its own.
        base, s = t.tensor(np.ascontiguousarray(X.T), requires_grad=True), t.tensor(SRC, requires_grad=True)
        y = PROGRAMS[name](t, base.t(), s)
        (y.sin() * y).sum().backward()
        results.append((y, base.grad, t.zeros_like(s) if s.grad is None else s.grad))
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["gather", "scatter", "index_add", "index_copy", "index_fill by a tensor", "masked_select",
                                  "masked_scatter", "put accumulating", "scatter_reduce mean False",
                                  "scatter_reduce amax True", "index_reduce prod True"])
def test_second_derivatives(name):
    x = clgrad.tensor(X, requires_grad=True)
    s = clgrad.tensor(SRC, requires_grad="gather" not in name and "select" not in name)
    assert gradgradcheck(lambda a, b: PROGRAMS[name](clgrad, a ** 3, b ** 3), (x, s), atol=1e-3)


IN_PLACE = {
    "scatter_": lambda t, x, s: x.scatter_(0, t.tensor(INDEX[:1]), s[:1]),
    "scatter_add_": lambda t, x, s: x.scatter_add_(0, t.tensor(INDEX), s),
    "scatter_reduce_": lambda t, x, s: x.scatter_reduce_(0, t.tensor(INDEX), s, "amax"),
    "index_add_": lambda t, x, s: x.index_add_(0, t.tensor(ROWS), s),
    "index_copy_": lambda t, x, s: x.index_copy_(0, t.tensor([1, 3, 0]), s),
    "index_fill_": lambda t, x, s: x.index_fill_(1, t.tensor([1, -1]), 3.0),
    "index_put_": lambda t, x, s: x.index_put_((t.tensor(ROWS),), s, accumulate=True),
    "masked_fill_": lambda t, x, s: x.masked_fill_(t.tensor(MASK), 0.5),
    "masked_scatter_": lambda t, x, s: x.masked_scatter_(t.tensor(MASK), s),
    "put_": lambda t, x, s: x.put_(t.tensor([0, -1, 7]), s[0, :3]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms(name, torch):
    results = []
    for t in (clgrad, torch):
        leaf, s = t.tensor(X, requires_grad=True), t.tensor(SRC, requires_grad=True)
        whole = (leaf * 2).repeat(2, 1)
        x = whole[2:6]
        assert IN_PLACE[name](t, x, s) is x
        (whole * whole.cos()).sum().backward()
        results.append((whole, leaf.grad, t.zeros_like(s) if s.grad is None else s.grad))
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected, rtol=1e-9)


def test_a_strided_target_in_place():
    x = clgrad.zeros(4, 6)
    x.t()[1:3].index_add_(1, clgrad.tensor([3, 3, 0]), clgrad.ones(2, 3))
    assert x.tolist() == [[0, 1, 1, 0, 0, 0], [0] * 6, [0] * 6, [0, 2, 2, 0, 0, 0]]


def test_zero_dimensional_operands(torch):
    for program in (lambda t: t.tensor(3.0).gather(0, t.tensor([0])),
                    lambda t: t.tensor(3.0).gather(0, t.tensor(0)),
                    lambda t: t.tensor(3.0).index_select(0, t.tensor([0])),
                    lambda t: t.tensor(3.0).index_select(0, t.tensor(0)),
                    lambda t: t.tensor(3.0).scatter(0, t.tensor(0), t.tensor(4.0)),
                    lambda t: t.tensor(3.0).index_add(0, t.tensor([0]), t.tensor(4.0)),
                    lambda t: t.tensor(3.0).index_fill(0, t.tensor(0), 1),
                    lambda t: t.tensor(3.0).take(t.tensor([0, 0])),
                    lambda t: t.tensor(3.0).masked_select(t.tensor(True)),
                    lambda t: t.tensor(3.0).masked_fill(t.tensor([True, False]), 1),
                    lambda t: t.zeros(3).gather(0, t.zeros(0, dtype=t.int64)),
                    lambda t: t.zeros(3, 0).index_select(0, t.tensor([1, 1])),
                    lambda t: t.zeros(0).index_add(0, t.zeros(0, dtype=t.int64), t.zeros(0))):
        assert_same(program(clgrad), program(torch))


@pytest.mark.parametrize("how", ["max", "min"])
def test_other_names_of_reductions(how, torch):
    assert_same(*(t.zeros(3).scatter_reduce_(0, t.tensor([0, 1, 1]), t.tensor([1.0, -2, 3]), how) for t in (clgrad, torch)))
    assert_same_error(torch, lambda t: t.zeros(3).index_reduce(0, t.tensor([0]), t.ones(1), how))


def test_nan_wins_an_extreme():
    x = clgrad.tensor([1.0, 2.0]).scatter_reduce(0, clgrad.tensor([0, 0, 1]), clgrad.tensor([float("nan"), 3, 0]), "amax")
    assert np.isnan(x[0].item()) and x[1].item() == 2


def test_sums_of_half_precision_are_made_in_single():
    values = clgrad.full((4096,), 0.01, dtype=clgrad.float16)
    found = clgrad.zeros(1, dtype=clgrad.float16).index_add(0, clgrad.zeros(4096, dtype=clgrad.int64), values)
    assert abs(found.item() - 4096 * float(np.float16(0.01))) < 0.05


def test_results_are_the_same_in_every_run():
    index = clgrad.tensor(RNG.integers(0, 17, 20000))
    values = clgrad.tensor(RNG.normal(size=20000).astype(np.float32))
    runs = {tuple(clgrad.zeros(17).index_add(0, index, values).tolist()) for _ in range(3)}
    assert len(runs) == 1


def test_out(torch):
    for t in (clgrad, torch):
        out = t.empty(0)
        found = t.gather(t.arange(4.0), 0, t.tensor([3, 1]), out=out)
        assert found is out and out.tolist() == [3.0, 1.0]
    with pytest.raises(RuntimeError, match="Expected out tensor to have dtype"):
        clgrad.take(clgrad.ones(2), clgrad.tensor([0]), out=clgrad.empty(1, dtype=clgrad.int64))


def test_masks_and_their_places(torch):
    for shape in [(), (0,), (5000,), (33, 70), (2, 3, 4, 5), (3, 0, 2), (1,) * 9 + (3,)]:
        values = RNG.integers(0, 3, shape)
        for dtype in ("bool", "float16" if len(shape) == 1 else "int64"):
            found, expected = (t.tensor(values).to(getattr(t, dtype)) for t in (clgrad, torch))
            assert_same(found.nonzero(), expected.nonzero())
        assert_same(clgrad.nonzero(found, as_tuple=True), torch.nonzero(expected, as_tuple=True))
        assert_same(clgrad.where(found), torch.where(expected))
        assert_same(clgrad.argwhere(found), torch.argwhere(expected))
        assert_same(found.masked_select(found > 0), expected.masked_select(expected > 0))


def test_scatter_with_reduce():
    x, index = clgrad.tensor([1.0, 2.0, 3.0]), clgrad.tensor([0, 2, 0])
    assert x.scatter(0, index, clgrad.tensor([5.0, 6.0, 7.0]), reduce="add").tolist() == [13.0, 2.0, 9.0]
    assert x.scatter_(0, index, 2.0, reduce="multiply").tolist() == [4.0, 2.0, 6.0]


@pytest.mark.parametrize("program", [
    lambda t: t.bincount(t.tensor([1, 5, 1, 0])),
    lambda t: t.bincount(t.tensor([1, 2], dtype=t.uint8), minlength=6),
    lambda t: t.bincount(t.tensor([1, 2, 1]), weights=t.tensor([0.5, 1.0, 2.0])),
    lambda t: t.bincount(t.tensor([], dtype=t.int64), minlength=2),
    lambda t: t.isin(t.tensor([[1, 2], [3, 4]]), t.tensor([2, 3])),
    lambda t: t.isin(t.arange(3000), t.arange(2000.0, 5000.0)).sum(),
    lambda t: t.isin(t.tensor([1.5, 2]), 2, invert=True),
    lambda t: t.isin(3, t.tensor([1, 3])),
    lambda t: t.isin(t.tensor([1]), t.tensor([])),
    lambda t: t.repeat_interleave(t.tensor([2, 0, 3])),
    lambda t: t.repeat_interleave(t.tensor([2, 0, 3]), output_size=5),
    lambda t: t.tril_indices(4, 3, -1),
    lambda t: t.tril_indices(3, 5, 2, dtype=t.int32),
    lambda t: t.triu_indices(4, 3, 1),
    lambda t: t.triu_indices(0, 3),
    lambda t: t.unravel_index(t.tensor([[0, 5], [11, 7]]), (3, 4)),
    lambda t: t.unravel_index(t.tensor([[0, 5], [11, 7]], dtype=t.int32), (3, 4)),
    lambda t: t.nonzero_static(t.tensor([1, 0, 1]), size=4),
    lambda t: t.nonzero_static(t.tensor([1, 0, 1]), size=1),
    lambda t: t.where(t.tensor([True, False]), 1, 2.5),
    lambda t: t.where(t.tensor([True, False]), 1, 2),
    lambda t: t.tensor([1, 2]).where(t.tensor([True, False]), 0.5),
    lambda t: t.tensor([1, 2]).masked_fill(t.tensor([True, False]), 0.5),
    lambda t: t.nn.functional.one_hot(t.tensor([[0, 2], [1, 0]])),
    lambda t: t.nn.functional.one_hot(t.tensor([0, 2]), 5),
])
def test_counting_and_choosing(program, torch):
    assert_same(program(clgrad), program(torch))


@pytest.mark.parametrize("program", [
    lambda t: t.ones(3).gather(0, t.tensor([3])),
    lambda t: t.ones(3).gather(0, t.ones(2)),
    lambda t: t.ones(3, 3).gather(0, t.zeros(2, dtype=t.int64)),
    lambda t: t.ones(3).index_select(0, t.tensor([-1])),
    lambda t: t.ones(3).take(t.tensor([3])),
    lambda t: t.ones(3).scatter(0, t.tensor([0]), t.ones(1, dtype=t.float64)),
    lambda t: t.ones(3).scatter(0, t.tensor([0]), 1.0, reduce="max"),
    lambda t: t.ones(3).scatter_add(0, t.tensor([0, 1]), t.ones(1)),
    lambda t: t.ones(3).index_add(0, t.tensor([7]), t.ones(1)),
    lambda t: t.ones(3).index_copy(0, t.tensor([0, 1]), t.ones(3)),
    lambda t: t.ones(3).index_fill(0, t.tensor([9]), 1.0),
    lambda t: t.ones(3).masked_fill(t.ones(3), 1.0),
    lambda t: t.ones(3).masked_select(t.ones(2, dtype=t.bool)),
    lambda t: t.ones(3).masked_scatter(t.ones(3, dtype=t.bool), t.ones(2)),
    lambda t: t.ones(3).put(t.tensor([0]), t.ones(2)),
    lambda t: t.where(t.ones(2), 1, 2),
    lambda t: t.bincount(t.tensor([-1])),
    lambda t: t.repeat_interleave(t.tensor([-1])),
    lambda t: t.nn.functional.one_hot(t.tensor([-1])),
    lambda t: t.nn.functional.embedding(t.tensor([3]), t.ones(3, 2)),
    lambda t: t.unravel_index(t.tensor([0.5]), (2,)),
])
def test_errors_are_those_of_pytorch(program, torch):
    assert_same_error(torch, program)


def test_gradcheck_of_a_gather():
    x = clgrad.tensor(X, requires_grad=True)
    assert gradcheck(lambda t: clgrad.gather(t, 0, clgrad.tensor(INDEX)), (x,))
