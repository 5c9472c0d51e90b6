"""Gradients that are sparse: of tables of vectors and of gathered elements, and the optimizers that take them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import clgrad
from tests.sparse.samples import plain

_ROWS = [[1, 4, 1], [0, 2, 4]]
TABLES = {
    "embedding": lambda t, w: t.nn.functional.embedding(t.tensor(_ROWS), w, sparse=True),
    "embedding with a row of padding": lambda t, w: t.nn.functional.embedding(t.tensor(_ROWS), w, padding_idx=4, sparse=True),
    "embedding_bag": lambda t, w: t.nn.functional.embedding_bag(t.tensor(_ROWS), w, mode="sum", sparse=True),
    "embedding_bag of means": lambda t, w: t.nn.functional.embedding_bag(
        t.tensor([1, 4, 1, 0]), w, t.tensor([0, 3]), sparse=True),
    "gather": lambda t, w: t.gather(w, 1, t.tensor([[0, 2], [1, 1]]), sparse_grad=True),
    "gather rows": lambda t, w: t.gather(w, 0, t.tensor([[0, 2, 5], [1, 1, 0]]), sparse_grad=True),
    "twice": lambda t, w: (t.nn.functional.embedding(t.tensor(_ROWS), w, sparse=True).sum()
                           + t.nn.functional.embedding(t.tensor([3, 1]), w, sparse=True).square().sum()),
    "sparse and dense": lambda t, w: t.nn.functional.embedding(t.tensor(_ROWS), w, sparse=True).sum() + w.square().sum(),
    "dense and sparse": lambda t, w: w.square().sum() + t.nn.functional.embedding(t.tensor(_ROWS), w, sparse=True).sum(),
}


def _weight(library: Any) -> Any:
    return library.tensor(np.random.default_rng(0).normal(size=(6, 3)), dtype=library.float64, requires_grad=True)


@pytest.mark.parametrize("name", TABLES)
def test_as_pytorch(torch, name):
    found, expected = (_weight(library) for library in (clgrad, torch))
    for library, weight in ((clgrad, found), (torch, expected)):
        result = TABLES[name](library, weight)
        scale = library.arange(result.numel(), dtype=library.float64).reshape(result.shape) + 1
        (result * scale).sum().backward()
    assert plain(found.grad) == plain(expected.grad)
    if found.grad.is_sparse:
        assert found.grad.sparse_dim() == expected.grad.sparse_dim() and found.grad._nnz() == expected.grad._nnz()


@pytest.mark.parametrize("name", ["embedding", "gather", "embedding_bag"])
def test_passes_add_up_as_pytorch(torch, name):
    found, expected = (_weight(library) for library in (clgrad, torch))
    for library, weight in ((clgrad, found), (torch, expected)):
        for _ in range(6):  # passes that are alike are repeated without their nodes
            (TABLES[name](library, weight) * 2).tanh().exp().sum().backward()
        weight.square().sum().backward()
    assert str(found.grad.layout) == str(expected.grad.layout)
    np.testing.assert_allclose(found.grad.to_dense().tolist(), expected.grad.to_dense().tolist(), 1e-9)


OPTIMIZERS = {
    "SGD": lambda t, p: t.optim.SGD(p, lr=0.1),
    "SGD with a momentum": lambda t, p: t.optim.SGD(p, lr=0.1, momentum=0.9),
    "SGD, nesterov": lambda t, p: t.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "Adagrad": lambda t, p: t.optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    "SparseAdam": lambda t, p: t.optim.SparseAdam(p, lr=0.1, betas=(0.8, 0.9)),
    "SparseAdam, maximize": lambda t, p: t.optim.SparseAdam(p, lr=0.1, maximize=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_step_as_pytorch(torch, name):
    weights = []
    for library in (clgrad, torch):
        weight = _weight(library)
        optimizer = OPTIMIZERS[name](library, [weight])
        for rows in (_ROWS, [[1, 1, 5]], [[0, 2, 3]], _ROWS):
            optimizer.zero_grad()
            library.nn.functional.embedding(library.tensor(rows), weight, sparse=True).square().sum().backward()
            assert weight.grad.is_sparse
            optimizer.step()
        weights.append(weight.detach().tolist())
    np.testing.assert_allclose(*weights, 1e-6)


def test_rows_of_a_table_that_is_not_contiguous():
    weights = []
    for turned in (False, True):
        weight = _weight(clgrad).detach()
        weight = weight.t().contiguous().t() if turned else weight
        weight.requires_grad_()
        optimizer = clgrad.optim.Adagrad([weight], lr=0.1)
        clgrad.nn.functional.embedding(clgrad.tensor(_ROWS), weight, sparse=True).square().sum().backward()
        optimizer.step()
        weights.append(weight.detach().tolist())
    np.testing.assert_allclose(*weights, 1e-9)


REFUSED = {
    "Adam": lambda t, w: _stepped(t, t.optim.Adam([w]), w, True),
    "RMSprop": lambda t, w: _stepped(t, t.optim.RMSprop([w]), w, True),
    "Adagrad with weight decay": lambda t, w: _stepped(t, t.optim.Adagrad([w], weight_decay=0.1), w, True),
    "SGD with weight decay": lambda t, w: _stepped(t, t.optim.SGD([w], lr=0.1, weight_decay=0.1), w, True),
    "SparseAdam of dense gradients": lambda t, w: _stepped(t, t.optim.SparseAdam([w]), w, False),
    "sparse parameter": lambda t, w: t.optim.SparseAdam([t.eye(3).to_sparse()]),
    "by frequency": lambda t, w: t.nn.functional.embedding(t.tensor([1]), w, scale_grad_by_freq=True,
                                                           sparse=True).sum().backward(),
    "maxima": lambda t, w: t.nn.functional.embedding_bag(t.tensor([[1]]), w, mode="max", sparse=True),
}


def _stepped(library: Any, optimizer: Any, weight: Any, sparse: bool) -> None:
    library.nn.functional.embedding(library.tensor(_ROWS), weight, sparse=sparse).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_pytorch(torch, name):
    errors = []
    for library in (torch, clgrad):
        weight = _weight(library)
        before = weight.detach().clone()
        with pytest.raises(Exception) as raised, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            REFUSED[name](library, weight)
        errors.append(raised.value)
        assert weight.detach().tolist() == before.tolist()
    assert isinstance(errors[1], type(errors[0]))


def test_gradients_of_gradients():
    weight = _weight(clgrad)
    rows = clgrad.nn.functional.embedding(clgrad.tensor([1, 1, 2]), weight, sparse=True)
    (found,) = clgrad.autograd.grad((rows ** 3).sum(), weight, create_graph=True)
    assert found.is_sparse and found.requires_grad
    (again,) = clgrad.autograd.grad(found.to_dense().sum(), weight)
    expected = weight.detach() * 6 * clgrad.tensor([0.0, 2, 1, 0, 0, 0], dtype=clgrad.float64).unsqueeze(1)
    np.testing.assert_allclose(again.to_dense().tolist(), expected.tolist(), 1e-9)


def test_a_gradient_of_rows_keeps_their_numbers(torch):
    """Programs write the next batch into the tensor of indices before the optimizer steps."""
    for t in (clgrad, torch):
        table, indices = t.nn.Embedding(10, 3, sparse=True), t.tensor([7, 1, 3])
        table(indices).sum().backward()
        indices.fill_(8)
        assert table.weight.grad._indices().tolist() == [[7, 1, 3]]
        table(indices).sum().backward()
        assert table.weight.grad.coalesce().indices().tolist() == [[1, 3, 7, 8]]


@pytest.mark.parametrize("rows, shape", [(0, (0,)), (10, (2, 4))])
def test_tables_without_columns(torch, rows, shape):
    for t in (clgrad, torch):
        table = t.nn.Embedding(rows, 0, sparse=True)
        found = table(t.zeros(shape, dtype=t.int64))
        found.sum().backward()
        assert found.shape == (*shape, 0) and table.weight.grad.is_sparse and table.weight.grad.shape == (rows, 0)
