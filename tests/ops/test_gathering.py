"""gather, index_select, take_along_dim, embedding and scatter_add against PyTorch, with gradients of second order."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "bool", "float16"])
def test_gather(dim, kind, torch, rng):
    x = rng.integers(0, 5, (3, 4, 5))
    index = rng.integers(0, 3, (2, 3, 2) if dim != 2 else (3, 4, 7))
    found = clgrad.gather(clgrad.tensor(x).to(getattr(clgrad, kind)), dim, clgrad.tensor(index))
    expected = torch.gather(torch.tensor(x).to(getattr(torch, kind)), dim, torch.tensor(index))
    assert found.tolist() == expected.tolist() and str(found.dtype) == str(expected.dtype)


def test_index_select_of_strided(rng):
    x = rng.normal(size=(4, 6))
    places = [5, 0, 0, 3]
    np.testing.assert_array_equal(clgrad.tensor(x).t().index_select(0, clgrad.tensor(places)).numpy(), x.T[places])
    np.testing.assert_array_equal(
        clgrad.take_along_dim(clgrad.tensor(x), clgrad.tensor(np.argsort(x, 1)), 1).numpy(), np.sort(x, 1))


def test_scatter_add(torch, rng):
    x, src, index = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), rng.integers(0, 3, (6, 4))
    found = clgrad.tensor(x).scatter_add(0, clgrad.tensor(index), clgrad.tensor(src))
    expected = torch.tensor(x).scatter_add(0, torch.tensor(index), torch.tensor(src))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


def test_gradients(rng):
    x = clgrad.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    index = clgrad.tensor([[0, 2], [1, 1], [3, 0]])
    assert gradcheck(lambda t: clgrad.gather(t, 1, index), (x,))
    assert gradgradcheck(lambda t: clgrad.gather(t * t * t, 1, index), (x,))


def test_embedding(torch, rng):
    weight, words = rng.normal(size=(7, 3)), np.array([[1, 2, 2], [6, 0, 1]])
    ours = clgrad.tensor(weight, requires_grad=True)
    theirs = torch.tensor(weight, requires_grad=True)
    a = clgrad.nn.functional.embedding(clgrad.tensor(words), ours, padding_idx=2)
    b = torch.nn.functional.embedding(torch.tensor(words), theirs, padding_idx=2)
    np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    (a * a).sum().backward()
    (b * b).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("index", [[0, 4], [-1, 1]])
def test_an_index_out_of_range_is_an_index_error(index):
    x = clgrad.arange(4.0)
    with pytest.raises(IndexError, match="out of bounds"):
        x.index_select(0, clgrad.tensor(index)).tolist()
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert x.index_select(0, clgrad.tensor([3])).tolist() == [3.0]


@pytest.mark.parametrize("sparse_grad", [False, True])
@pytest.mark.parametrize("index", [0, [0], [0, 0, 0]])
@pytest.mark.parametrize("values", [2.0, [2.0, 3.0]])
def test_numbers_without_dimensions(values, index, sparse_grad, torch):
    results = []
    for t in (clgrad, torch):
        x = t.tensor(values, requires_grad=True)
        found = t.gather(x, 0, t.tensor(index), sparse_grad=sparse_grad)
        (found * 3).sum().backward()
        results.append((tuple(found.shape), found.tolist(), x.grad.to_dense().tolist()))
    assert results[0] == results[1]


def test_wrong_arguments():
    with pytest.raises(RuntimeError, match="dtype int32/int64"):
        clgrad.gather(clgrad.ones(3), 0, clgrad.ones(2))
    with pytest.raises(RuntimeError, match="same number of dimensions"):
        clgrad.gather(clgrad.ones(3, 3), 0, clgrad.tensor([0]))
