"""The bags of rows with what is known of them, and arithmetic of sizes: against PyTorch."""

from __future__ import annotations

import pytest

import clgrad
from tests.compare import assert_same, assert_same_outcome, pair


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_bags(mode, torch, rng):
    w, v = pair(torch, rng.normal(size=(6, 3)), "float64")
    (i, j), (o, p) = pair(torch, [0, 2, 5, 2, 1]), pair(torch, [0, 2])
    assert_same(clgrad.embedding_bag(w, i, o, False, mode)[:1], torch.embedding_bag(v, j, p, False, mode)[:1])
    assert_same(clgrad.embedding_bag(w, i, o, False, 1)[1:3], torch.embedding_bag(v, j, p, False, 1)[1:3])


def test_bags_in_the_order_of_old_programs(torch, rng):
    w, v = pair(torch, rng.normal(size=(6, 3)), "float64")
    (i, j), (o, p) = pair(torch, [0, 2, 5, 2, 1]), pair(torch, [0, 2])
    for t, *operands in ((clgrad, w, i, o), (torch, v, j, p)):
        with pytest.warns(UserWarning, match="Argument order of nn.functional.embedding_bag was changed"):
            found = t.nn.functional.embedding_bag(*operands)
        expected = torch.nn.functional.embedding_bag(j, v, p)
        assert found.tolist() == [pytest.approx(row) for row in expected.tolist()]


def test_rows_scaled_in_place(torch, rng):
    w, v = pair(torch, rng.normal(size=(6, 3)), "float64")
    i, j = pair(torch, [0, 2])
    assert clgrad.embedding_renorm_(w, i, 0.5, 2.0) is w
    assert_same(w, torch.embedding_renorm_(v, j, 0.5, 2.0))


@pytest.mark.parametrize("call", [
    lambda t: t.sym_int(-2.5), lambda t: t.sym_float(3), lambda t: t.sym_not(True), lambda t: t.sym_max(1, 2.0),
    lambda t: t.sym_min(3, 2), lambda t: t.sym_sum([1, 2]), lambda t: t.sym_ite(True, 1, 2),
    lambda t: isinstance(t.zeros(2).shape[0], t.SymInt)])
def test_sizes(call, torch):
    assert_same_outcome(torch, call)


def test_products_of_nothing():
    x = clgrad.ones(3, 0, requires_grad=True)
    g, = clgrad.autograd.grad(x.prod(1).sum(), x, create_graph=True)
    assert tuple(g.shape) == (3, 0)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("width", [3, 8, 21, 70])
def test_bags_between_offsets(mode, last, width, torch, rng):
    table, places = rng.normal(size=(9, width)), rng.integers(0, 9, 40)
    found = []
    for library in (clgrad, torch):
        weight = library.tensor(table, requires_grad=True)
        offsets = library.tensor([0, 5, 5, 17, 40 if last else 38])
        bags = library.nn.functional.embedding_bag(library.tensor(places), weight, offsets, mode=mode,
                                                   include_last_offset=last)
        (bags * bags).sum().backward()
        found.append((bags.detach(), weight.grad))
    assert_same(*found, 1e-12)


@pytest.mark.parametrize("changed", [(0, 1), (2, 100)])
def test_offsets_that_were_changed_in_place_are_checked(changed, torch):
    def program(t):
        offsets = t.arange(3)
        offsets[changed[0]] = changed[1]
        return t.nn.functional.embedding_bag(t.ones(12, dtype=t.int64), t.ones(10, 4), offsets)
    assert_same_outcome(torch, program)


def test_a_row_that_is_not_in_a_bag_is_not_in_its_sum():
    """Vectors reach beyond the end of a row; what stands there is not added."""
    table = clgrad.arange(12.0).reshape(4, 3)
    table[::2] = float("nan")
    bags = clgrad.nn.functional.embedding_bag(clgrad.tensor([1, 3, 1]), table, clgrad.tensor([0, 2]), mode="sum")
    assert bags.tolist() == [[12.0, 14.0, 16.0], [3.0, 4.0, 5.0]]
