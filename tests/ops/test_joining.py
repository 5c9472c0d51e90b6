"""Tensors put together, cat and stack, against NumPy and PyTorch: many pieces, parts of others, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error

COUNTS = [1, 2, 3, 5, 9, 33, 70]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["uint8", "float16", "int32", "float64"])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_cat_of_many(count, kind, dim, rng):
    shapes = [[k % 4 if d == dim else size for d, size in enumerate((3, 5, 7))] for k in range(1, count + 1)]
    arrays = [(9 * rng.normal(size=shape)).astype(kind) for shape in shapes]
    np.testing.assert_array_equal(clgrad.cat([clgrad.tensor(a) for a in arrays], dim).numpy(), np.concatenate(arrays, dim))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_stack_of_parts(count, dim, rng):
    whole = rng.normal(size=(4, count, 6))
    x = clgrad.tensor(whole)
    for parts, expected in (([x[:, k] for k in range(count)], [whole[:, k] for k in range(count)]),
                            ([x[:, k].t() for k in range(count)], [whole[:, k].T for k in range(count)]),
                            ([x[:, k, ::2] for k in range(count)], [whole[:, k, ::2] for k in range(count)]),
                            ([x[1:, k, 2:5] for k in range(count)], [whole[1:, k, 2:5] for k in range(count)]),
                            ([x[:1, k].expand(3, 6) for k in range(count)],
                             [np.broadcast_to(whole[:1, k], (3, 6)) for k in range(count)])):
        np.testing.assert_array_equal(clgrad.stack(parts, dim).numpy(), np.stack(expected, dim))


def test_large_pieces(rng):
    arrays = [rng.normal(size=(n, 333)).astype(np.float32) for n in (900, 1, 77)]
    np.testing.assert_array_equal(clgrad.cat([clgrad.tensor(a) for a in arrays]).numpy(), np.concatenate(arrays))
    arrays = [rng.normal(size=(300, n)).astype(np.float32) for n in (900, 1, 77)]
    np.testing.assert_array_equal(clgrad.cat([clgrad.tensor(a) for a in arrays], 1).numpy(), np.concatenate(arrays, 1))


def test_memory_that_others_hold(rng):
    array = rng.normal(size=(6, 5)).astype(np.float32)
    x = clgrad.from_numpy(array)
    array += 1
    np.testing.assert_array_equal(clgrad.cat([x[:2], clgrad.zeros(1, 5), x[3:]]).numpy(),
                                  np.concatenate([array[:2], np.zeros((1, 5)), array[3:]]))


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("program", [
    lambda t, none: t.cat([none, t.arange(3)]), lambda t, none: t.cat([t.ones(2, 3, dtype=t.int64), none], 1),
    lambda t, none: t.cat([none, none]), lambda t, none: t.cat([none, t.ones(2, dtype=t.float16), none]),
    lambda t, none: t.cat([t.ones(1, dtype=t.uint8), none, t.ones(0, dtype=t.int16)])])
def test_dtypes_of_tensors_of_nothing_count(program, kind, torch):
    assert_same(*(program(library, library.empty(0, dtype=getattr(library, kind))) for library in (clgrad, torch)))


def test_gradients_beside_tensors_of_nothing():
    x, none = clgrad.ones(2, 3, requires_grad=True), clgrad.empty(0)
    clgrad.cat([none, x, none, x * 2], 1).backward(clgrad.arange(12.0).view(2, 6))
    assert x.grad.tolist() == [[6, 9, 12], [24, 27, 30]]


@pytest.mark.parametrize("program", [
    lambda t, x, y: t.cat([x, y, x[:1]]), lambda t, x, y: t.cat((x, y.t(), y.t()), dim=-1) if x.shape == y.t().shape else
    t.cat((x, x), 1), lambda t, x, y: t.stack([x, y, x]), lambda t, x, y: t.stack([x, y], -1),
    lambda t, x, y: t.stack([x.sum(), y.sum(), x[0, 0]]), lambda t, x, y: t.stack([x, y.to(t.float64)], 1)])
def test_gradients(program, torch, rng):
    values, results = [rng.normal(size=(3, 3)).astype(np.float32) for _ in range(2)], []
    for library in (clgrad, torch):
        x, y = (library.tensor(v, requires_grad=True) for v in values)
        out = program(library, x, y)
        (out * out).sum().backward()
        results.append((out, type(out.grad_fn).__name__, x.grad, y.grad))
    assert results[0][1] == results[1][1]
    for mine, theirs in zip(results[0][::2] + results[0][3:], results[1][::2] + results[1][3:], strict=True):
        assert_same(mine, theirs)


def test_higher_derivatives(rng):
    x, y = (clgrad.tensor(rng.normal(size=(2, 3)), requires_grad=True) for _ in range(2))
    for program in (lambda x, y: clgrad.cat([x * y, y], 1), lambda x, y: clgrad.stack([x * x, y * x], 1)):
        assert gradcheck(program, (x, y))
        assert gradgradcheck(program, (x, y))


@pytest.mark.parametrize("program", [
    lambda t: t.cat([t.ones(2)], True), lambda t: t.stack([t.ones(2)], False), lambda t: t.cat([t.ones(2)], 1.0),
    lambda t: t.stack([t.ones(2), t.ones(3)]), lambda t: t.stack([1, 2]), lambda t: t.stack(t.ones(2, 2)),
    lambda t: t.stack([]), lambda t: t.cat([t.ones(2), t.ones(2, 3)]), lambda t: t.cat(t.ones(3)),
    lambda t: t.cat([t.ones(2, 3), t.ones(3, 2)]), lambda t: t.cat([t.tensor(1.0)]), lambda t: t.cat([t.ones(2)], 1),
    lambda t: t.stack([t.ones(2)], 2)])
def test_what_does_not_fit(program, torch):
    assert_same_error(torch, program)


def test_a_thousand_complex_and_sparse_tensors():
    """Long lists of tensors are looked into, those of numbers are data."""
    parts = [clgrad.tensor([n + 1j]) for n in range(1200)]
    expected = np.arange(1200) + 1j
    np.testing.assert_array_equal(clgrad.stack(parts).numpy()[:, 0], expected)
    np.testing.assert_array_equal(clgrad.cat(tuple(parts)).numpy(), expected)
    sparse = [clgrad.tensor([float(n)]).to_sparse() for n in range(1200)]
    np.testing.assert_array_equal(clgrad.cat(sparse).to_dense().numpy(), expected.real)
