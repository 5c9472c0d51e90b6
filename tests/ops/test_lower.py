"""Operators that programs reach by PyTorch's lower-level names: against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck
from tests.compare import assert_same, assert_same_error, pair


@pytest.mark.parametrize("call", [
    lambda t, x: t.norm_except_dim(x, 2, 1),
    lambda t, x: t._weight_norm(x, x[:, :1], 0), lambda t, x: t._softmax(x, 1, False),
    lambda t, x: t._log_softmax(x, 0, False), lambda t, x: t._shape_as_tensor(x), lambda t, x: t._stack([x, x], 1),
    lambda t, x: t._chunk_cat([x, x[:, :2]], 1, 3), lambda t, x: t.slice_copy(x, 1, 1, 4, 2),
    lambda t, x: t._int_mm(x.to(t.int8), x.t().to(t.int8)), lambda t, x: t._addmm_activation(x[:, :4], x, x.t())])
def test_functions(call, torch, rng):
    x, y = pair(torch, rng.normal(size=(4, 5)) * 5, "float64")
    assert_same(call(clgrad, x), call(torch, y))


@pytest.mark.parametrize("rows, size", [([0, 0, 2, 2, 3], 5), ([], 3), ([1, 1], 2)])
def test_rows_of_sorted_elements(rows, size, torch):
    x, y = pair(torch, np.array(rows), "int64")
    for settings in ({}, {"out_int32": True}):
        assert_same(clgrad._convert_indices_from_coo_to_csr(x, size, **settings),
                    torch._convert_indices_from_coo_to_csr(y, size, **settings))


def test_softmax_of_nothing_has_a_gradient_of_zero(torch):
    results = []
    for t in (clgrad, torch):
        x = t.tensor([[1.0, 2.0], [-float("inf")] * 2], requires_grad=True)
        y = t.ops.aten._safe_softmax.default(x, 1)
        y.backward(t.tensor([[1.0, 3.0], [1.0, 2.0]]))
        results.append((y.detach(), x.grad))
    assert_same(*results)


def test_gradients_of_pools_from_the_places_of_the_largest(torch, rng):
    found = []
    for t, x in zip((clgrad, torch), pair(torch, rng.normal(size=(2, 3, 6, 6))), strict=True):
        y, places = t.nn.functional.max_pool2d(x, 3, 2, return_indices=True)
        found.append(t.ops.aten.max_pool2d_with_indices_backward.default(y, x, [3, 3], [2, 2], [0, 0], [1, 1], False, places))
    assert_same(*found)


def test_the_gradient_of_a_pool_counts_as_depending_on_the_input_and_keeps_its_format(torch, rng):
    found = []
    for t, x in zip((clgrad, torch), pair(torch, rng.normal(size=(2, 3, 4, 6))), strict=True):
        x = x.contiguous(memory_format=t.channels_last).requires_grad_()
        y, places = t.nn.functional.max_pool2d(x.detach(), 2, return_indices=True)
        made = t.ops.aten.max_pool2d_with_indices_backward(y, x, [2, 2], [2, 2], [0, 0], [1, 1], False, places)
        (grad,) = t.autograd.grad(made.sum(), x)
        found.append((made.requires_grad, made.stride(), made.detach(), grad))
    assert_same(*found)


def test_norms_under_their_old_names(rng):
    x = clgrad.tensor(rng.normal(size=(3, 4)))
    assert_same(clgrad.frobenius_norm(x, [1]).tolist(), clgrad.linalg.vector_norm(x, dim=1).tolist())
    assert clgrad.nuclear_norm(x).item() == pytest.approx(np.linalg.norm(x.numpy(), "nuc"))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "amax", "min", "amin", "prod"])
@pytest.mark.parametrize("initial", [None, 2.0])
def test_segments(reduce, initial, torch, rng):
    x, y = pair(torch, rng.normal(size=(6, 3)), "float64")
    lengths, other = pair(torch, [2, 0, 3, 1])
    assert_same(clgrad.segment_reduce(x, reduce, lengths=lengths, initial=initial),
                torch.segment_reduce(y, reduce, lengths=other, initial=initial))
    offsets, other = pair(torch, [0, 2, 2, 5, 6])
    assert_same(clgrad.segment_reduce(x, reduce, offsets=offsets, initial=initial),
                torch.segment_reduce(y, reduce, offsets=other, initial=initial))


def test_segments_of_rows_and_their_gradients(torch, rng):
    x, y = pair(torch, rng.normal(size=(2, 4, 3)), "float64")
    lengths, other = pair(torch, [[1, 3], [2, 2]])
    assert_same(clgrad.segment_reduce(x, "sum", lengths=lengths, axis=1),
                torch.segment_reduce(y, "sum", lengths=other, axis=1))
    for reduce in ("mean", "max", "prod"):
        assert gradcheck(lambda t, kind=reduce: clgrad.segment_reduce(t, kind, lengths=lengths, axis=1),
                         x.clone().requires_grad_())


def test_masked_places(torch, rng):
    x, y = pair(torch, rng.normal(size=(4, 5)), "float64")
    mask, other = pair(torch, rng.random((3, 2)) > 0.5)
    rows = np.where(np.array(mask.tolist()), 1, 99)
    for t, base, held in ((clgrad, x, mask), (torch, y, other)):
        places = [t.tensor(rows), t.tensor([[0, 4]])]
        found = t._unsafe_masked_index(base, held, places, 3.0)
        summed = t._unsafe_masked_index_put_accumulate(base, held, places, found)
        if t is clgrad:
            own = found, summed
    assert_same(own, (found, summed))


@pytest.mark.parametrize("call", [
    lambda t: t.segment_reduce(t.ones(3), "sum"), lambda t: t.segment_reduce(t.ones(3), "any", lengths=t.tensor([3])),
    lambda t: t.segment_reduce(t.ones(3), "sum", lengths=t.tensor([2])),
    lambda t: t.segment_reduce(t.ones(3), "sum", lengths=t.tensor([4, -1])),
    lambda t: t.segment_reduce(t.ones(3), "sum", lengths=t.tensor([3]), indices=t.tensor([0])),
    lambda t: t._convert_indices_from_coo_to_csr(t.tensor([[0, 1]]), 3),
    lambda t: t._int_mm(t.ones(2, 2), t.ones(2, 2))])
def test_errors(call, torch):
    assert_same_error(torch, call)
