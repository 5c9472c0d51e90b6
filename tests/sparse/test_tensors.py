"""Sparse tensors themselves: how they are made and shown, their place in the graph, copies and pickles."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import clgrad
from tests.sparse.samples import COORDINATES, coordinates, dense, plain

MADE = {
    "lists": lambda t: t.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0]),
    "size": lambda t: t.sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (3, 4)),
    "dtype": lambda t: t.sparse_coo_tensor([[0, 1], [2, 0]], [3, 4], (3, 4), dtype=t.float64),
    "integers": lambda t: t.sparse_coo_tensor(t.tensor([[0, 1]], dtype=t.int32), [3, 4]),
    "bool": lambda t: t.sparse_coo_tensor([[0, 1]], [True, False], (5,)),
    "hybrid": lambda t: t.sparse_coo_tensor([[0, 1]], [[1.0, 2], [3, 4]], (3, 2)),
    "nothing": lambda t: t.sparse_coo_tensor((2, 3)),
    "nothing, of float64": lambda t: t.sparse_coo_tensor((2, 3), dtype=t.float64),
    "no indices": lambda t: t.sparse_coo_tensor(t.zeros(2, 0, dtype=t.int64), t.zeros(0, 3), (2, 2, 3)),
    "no dimension": lambda t: t.sparse_coo_tensor(t.zeros(0, 3, dtype=t.int64), t.ones(3)),
    "requires_grad": lambda t: t.sparse_coo_tensor([[0, 1]], [3.0, 4.0], (3,), requires_grad=True),
    "is_coalesced": lambda t: t.sparse_coo_tensor([[0, 1]], [3.0, 4.0], (3,), is_coalesced=True),
    "FloatTensor": lambda t: t.sparse.FloatTensor(t.tensor([[0, 1]]), t.tensor([3.0, 4.0]), t.Size([4])),
    "DoubleTensor": lambda t: t.sparse.DoubleTensor(2, 3),
    "zeros": lambda t: t.zeros(2, 3, layout=t.sparse_coo),
    "zeros of rows": lambda t: t.zeros(2, 3, layout=t.sparse_csr, dtype=t.int32),
    "empty": lambda t: t.empty(2, 3, layout=t.sparse_coo, dtype=t.float64),
    "zeros_like": lambda t: t.zeros_like(t.eye(3), layout=t.sparse_csc),
    "zeros_like of blocks": lambda t: t.zeros_like(t.eye(4).to_sparse_bsr((2, 2)), layout=t.sparse_bsc),
    "ones_like of rows": lambda t: t.ones_like(t.eye(3).to_sparse_csr(), dtype=t.int64),
    "all summed, of rows": lambda t: t.eye(3).to_sparse_csr().sum((0, 1), keepdim=True),
    "csr": lambda t: t.sparse_csr_tensor([0, 2, 3], [0, 1, 1], [1.0, 2, 3]),
    "csr, sized": lambda t: t.sparse_csr_tensor([0, 2, 3], [0, 1, 1], [1.0, 2, 3], (2, 5)),
    "csr of int32": lambda t: t.sparse_csr_tensor(t.tensor([0, 1], dtype=t.int32), t.tensor([0], dtype=t.int32), [2]),
    "csr, a batch": lambda t: t.sparse_csr_tensor([[0, 1, 2], [0, 0, 2]], [[0, 1], [0, 1]], [[1.0, 2], [3, 4]]),
    "csc": lambda t: t.sparse_csc_tensor([0, 2, 3], [0, 1, 1], [1.0, 2, 3], (2, 2)),
    "bsr": lambda t: t.sparse_bsr_tensor([0, 1, 2], [1, 0], [[[1.0, 2], [3, 4]], [[5, 6], [7, 8]]]),
    "bsc": lambda t: t.sparse_bsc_tensor([0, 1, 2], [1, 0], [[[1.0, 2, 3]], [[4, 5, 6]]], (2, 6)),
    "compressed": lambda t: t.sparse_compressed_tensor([0, 1, 2], [0, 1], [1.0, 2], layout=t.sparse_csr),
    "spdiags": lambda t: t.sparse.spdiags(t.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]), t.tensor([0, 1, -2]), (3, 4)),
    "spdiags, csr": lambda t: t.sparse.spdiags(t.tensor([1.0, 2, 3]), t.tensor(-1), (4, 3), t.sparse_csr),
    "to_sparse": lambda t: t.tensor([[0.0, 2], [3, 0]]).to_sparse(),
    "to_sparse, hybrid": lambda t: t.tensor([[0.0, 2], [0, 0], [3, 0]]).to_sparse(1),
    "to_sparse of a number": lambda t: t.tensor(3.0).to_sparse(),
    "to_sparse_csr": lambda t: t.tensor([[0.0, 2, 1], [3, 0, 0]]).to_sparse_csr(),
    "to_sparse_csr, a batch": lambda t: t.tensor([[[0.0, 2], [3, 0]], [[1, 1], [0, 0]]]).to_sparse_csr(),
    "to_sparse_csr, hybrid": lambda t: t.tensor([[[0.0, 2], [0, 0]], [[1, 1], [0, 0]]]).to_sparse_csr(dense_dim=1),
    "to_sparse_csc": lambda t: t.tensor([[0.0, 2, 1], [3, 0, 0]]).to_sparse_csc(),
    "to_sparse_bsr": lambda t: t.tensor([[0.0, 2, 1, 0], [3, 0, 0, 0]]).to_sparse_bsr((1, 2)),
    "to_sparse_bsc": lambda t: t.tensor([[0.0, 2, 0, 0], [3, 0, 0, 4]]).to_sparse_bsc((2, 2)),
    "csr to coo": lambda t: t.tensor([[0.0, 2, 1], [3, 0, 0]]).to_sparse_csr().to_sparse(),
    "csc to csr": lambda t: t.tensor([[0.0, 2, 1], [3, 0, 0]]).to_sparse_csc().to_sparse_csr(),
    "bsr to csr": lambda t: t.tensor([[0.0, 2, 1, 0], [3, 0, 0, 0]]).to_sparse_bsr((1, 2)).to_sparse().to_sparse_csr(),
    "transposed rows": lambda t: t.tensor([[0.0, 2, 1], [3, 0, 0]]).to_sparse_csr().t(),
    "half": lambda t: t.sparse_coo_tensor([[0, 1]], [3.0, 4.0], (3,)).half(),
    "Parameter": lambda t: t.nn.Parameter(t.sparse_coo_tensor([[0, 1]], [3.0, 4.0], (3,))),
    "result": lambda t: t.sparse_coo_tensor([[0, 1]], [3.0, 4.0], (3,), requires_grad=True) * 2,
    "masked": lambda t: t.tensor([[1.0, 2], [3, 4]]).sparse_mask(t.eye(2).to_sparse()),
    "long": lambda t: (t.arange(4000).reshape(40, 100) % 3).to_sparse(),
    "wide": lambda t: (t.arange(1, 13).reshape(3, 4) * 1e5).to(t.float64).to_sparse_csr(),
}


def _parts(x: Any) -> list:
    names = {"torch.sparse_coo": ("_indices",), "torch.sparse_csr": ("crow_indices", "col_indices"),
             "torch.sparse_bsr": ("crow_indices", "col_indices"), "torch.sparse_csc": ("ccol_indices", "row_indices"),
             "torch.sparse_bsc": ("ccol_indices", "row_indices")}[str(x.layout)]
    found = [plain(getattr(x, name)()) for name in (*names, "_values" if names == ("_indices",) else "values")]
    return [*found, x._nnz(), x.sparse_dim(), x.dense_dim(), x.requires_grad, x.is_leaf, x.is_sparse, x.is_sparse_csr]


@pytest.mark.parametrize("name", MADE)
def test_made_as_pytorch(torch, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = MADE[name](clgrad), MADE[name](torch)
        assert _parts(found) == _parts(expected)
        assert plain(found) == plain(expected)
    if found.layout is clgrad.sparse_coo:
        assert found.is_coalesced() == expected.is_coalesced() or found._nnz() < 2


@pytest.mark.parametrize("name", MADE)
def test_shown_as_pytorch(torch, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert repr(MADE[name](clgrad)) == repr(MADE[name](torch))


BAD = {
    "indices of one dimension": lambda t: t.sparse_coo_tensor([0, 1], [1.0, 2], (2, 2)),
    "more values": lambda t: t.sparse_coo_tensor([[0, 1]], [1.0, 2, 3], (2,)),
    "fewer sizes": lambda t: t.sparse_coo_tensor([[0, 1], [0, 1]], [1.0, 2], (2,)),
    "other sizes of values": lambda t: t.sparse_coo_tensor([[0, 1], [0, 1]], [[1.0, 2], [3, 4]], (2, 2, 3)),
    "a negative index": lambda t: t.sparse_coo_tensor([[0, -1]], [1.0, 2]),
    "a negative index, checked": lambda t: t.sparse_coo_tensor([[0, -1]], [1.0, 2], (2,), check_invariants=True),
    "out of range": lambda t: t.sparse_coo_tensor([[0, 5]], [1.0, 2], (2,), check_invariants=True),
    "not coalesced": lambda t: t.sparse_coo_tensor([[1, 0]], [1.0, 2], (2,), is_coalesced=True, check_invariants=True),
    "text": lambda t: t.sparse_coo_tensor([[1, 0]], "values", (2,)),
    "no arguments": lambda t: t.sparse_coo_tensor(),
    "gradient of integers": lambda t: t.sparse_coo_tensor([[1, 0]], [1, 2], (2,), requires_grad=True),
    "csr: end": lambda t: t.sparse_csr_tensor([0, 1, 3], [0, 1], [1.0, 2], (2, 2), check_invariants=True),
    "csr: column": lambda t: t.sparse_csr_tensor([0, 1, 2], [0, 3], [1.0, 2], (2, 2), check_invariants=True),
    "csr: order": lambda t: t.sparse_csr_tensor([0, 2, 2], [1, 0], [1.0, 2], (2, 2), check_invariants=True),
    "csr: start": lambda t: t.sparse_csr_tensor([1, 2, 2], [1, 0], [1.0, 2], (2, 2), check_invariants=True),
    "csr: falling": lambda t: t.sparse_csr_tensor([0, 2, 1], [1], [1.0], (2, 2), check_invariants=True),
    "csr: count": lambda t: t.sparse_csr_tensor([0, 1, 2], [0, 1], [1.0, 2, 3], (2, 2), check_invariants=True),
    "csc: order": lambda t: t.sparse_csc_tensor([0, 2, 2], [1, 0], [1.0, 2], (2, 2), check_invariants=True),
    "no layout": lambda t: t.sparse_compressed_tensor([0, 1], [0], [1.0]),
    "bsr of vectors": lambda t: t.sparse_bsr_tensor([0, 1], [0], [1.0]),
    "blocks that do not fit": lambda t: t.eye(3).to_sparse_bsr((2, 2)),
    "no block size": lambda t: t.eye(4).to_sparse(layout=t.sparse_bsr),
    "matrices of different counts": lambda t: t.tensor([[[1.0, 0]], [[1, 1]]]).to_sparse_csr(),
    "no sparse dimension": lambda t: t.eye(2).to_sparse(0),
    "too many": lambda t: t.eye(2).to_sparse(3),
    "zeros of a vector": lambda t: t.zeros(3, layout=t.sparse_csr),
    "ones": lambda t: t.ones(3, layout=t.sparse_coo),
    "mask of another shape": lambda t: t.eye(2).sparse_mask(t.eye(3).to_sparse()),
    "double diagonals": lambda t: t.sparse.spdiags(t.eye(2), t.tensor([1, 1]), (2, 2)),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_as_pytorch(torch, name):
    def error(library: Any) -> Exception:
        with pytest.raises(Exception) as raised, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            BAD[name](library)
        return raised.value
    assert isinstance(error(clgrad), type(error(torch)))


def test_invariants_are_checked_in_a_region():
    checks = clgrad.sparse.check_sparse_tensor_invariants
    assert not checks.is_enabled()
    with checks():
        with pytest.raises(RuntimeError, match="size is 2 but found index 5"):
            clgrad.sparse_coo_tensor([[5]], [1.0], (2,))
        with checks(False):
            clgrad.sparse_coo_tensor([[5]], [1.0], (2,))
    checks.enable()
    assert checks.is_enabled()
    checks.disable()

    @checks()
    def make() -> Any:
        return clgrad.sparse_coo_tensor([[5]], [1.0], (2,))
    with pytest.raises(RuntimeError):
        make()


def test_isinstance_of_old_classes():
    x = clgrad.sparse_coo_tensor([[0]], [1.0], (2,))
    assert isinstance(x, clgrad.sparse.FloatTensor) and not isinstance(x, clgrad.sparse.LongTensor)
    assert not isinstance(clgrad.ones(2), clgrad.sparse.FloatTensor)
    assert type(x) is clgrad.Tensor


def test_an_index_out_of_range_is_found_when_values_are_added():
    x = clgrad.sparse_coo_tensor([[0, 7]], [1.0, 2.0], (2,))
    with pytest.raises((IndexError, RuntimeError)):
        x.to_dense().tolist()


# The graph.

def test_a_leaf_gets_a_sparse_gradient_of_its_pattern():
    x = coordinates(clgrad, "coalesced").requires_grad_()
    d = dense(clgrad, 5, 2)
    (x @ d).sum().backward()
    assert x.grad.is_sparse and x.grad.is_coalesced() and x.is_leaf
    np.testing.assert_allclose(x.grad.values().tolist(), d.sum(1)[x.detach().indices()[1]].tolist())
    (x @ d).sum().backward()  # is added
    np.testing.assert_allclose(x.grad.values().tolist(), (2 * d.sum(1)[x.detach().indices()[1]]).tolist())
    x.sum().backward()
    assert x.grad.is_sparse
    x.to_dense(masked_grad=False).sum().backward()
    assert not x.grad.is_sparse  # everything beside the pattern has a gradient, too


def test_gradients_are_given_and_hooked():
    x = coordinates(clgrad, "coalesced").requires_grad_()
    seen = []
    x.register_hook(lambda g: seen.append(g.is_sparse))
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 3)
    total = clgrad.sparse.sum(y)
    (found,) = clgrad.autograd.grad(total, x, retain_graph=True)
    assert found.to_dense().unique().tolist() == [0.0, 6.0]
    total.backward()
    assert seen == [True, True] and y.grad is not None
    assert y.grad_fn.name() == "MulBackward0" and y.requires_grad and not y.is_leaf
    assert x.detach().requires_grad is False


def test_a_gradient_from_outside_may_be_sparse_or_dense():
    for given in (clgrad.eye(3), clgrad.eye(3).to_sparse()):
        values = clgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
        x = clgrad.sparse_coo_tensor([[0, 1, 1], [0, 1, 0]], values, (3, 3))
        (x * 2).backward(given)
        assert values.grad.tolist() == [2.0, 2.0, 0.0]


def test_gradients_of_both_kinds_are_added():
    weight = clgrad.ones(3, 2, requires_grad=True)
    mask = clgrad.tensor([[1.0, 0], [0, 0], [0, 1]]).to_sparse()
    (weight.sparse_mask(mask).values().sum() + (weight * 2).sum()).backward()
    assert weight.grad.tolist() == [[3, 2], [2, 2], [2, 3]]


def test_a_function_of_a_program_saves_sparse_tensors():
    """As implementations of graph attention do: the gradient of the values alone is computed."""
    class Product(clgrad.autograd.Function):
        @staticmethod
        def forward(ctx, indices, values, shape, b):
            a = clgrad.sparse_coo_tensor(indices, values, shape)
            ctx.save_for_backward(a, b)
            return clgrad.matmul(a, b)

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            whole = g.matmul(b.t())
            places = a._indices()[0] * a.shape[1] + a._indices()[1]
            return None, whole.view(-1)[places], None, a.t().matmul(g)
    indices = clgrad.tensor([[0, 0, 1], [1, 2, 0]])
    values, b = clgrad.rand(3, requires_grad=True), clgrad.rand(3, 2, requires_grad=True)
    Product.apply(indices, values, (2, 3), b).square().sum().backward()
    found = values.grad.tolist(), b.grad.tolist()
    values.grad = b.grad = None
    (clgrad.sparse_coo_tensor(indices, values, (2, 3)) @ b).square().sum().backward()
    np.testing.assert_allclose(found[0], values.grad.tolist(), 1e-5)
    np.testing.assert_allclose(found[1], b.grad.tolist(), 1e-5)


def test_a_change_in_place_of_what_was_saved_is_noticed():
    x = coordinates(clgrad, "coalesced")
    d = dense(clgrad, 5, 2).requires_grad_()
    y = x @ d
    x._values().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_changes_in_place_have_gradients():
    x = coordinates(clgrad, "coalesced").requires_grad_()
    y = x.clone()
    y.mul_(3).add_(x)
    clgrad.sparse.sum(y).backward()
    assert x.grad.values().tolist() == [4.0] * 4
    assert y._version == 2


def test_an_optimizer_steps_on_a_sparse_gradient():
    weight = clgrad.nn.Parameter(clgrad.ones(4, 2))
    weight.grad = clgrad.sparse_coo_tensor([[1, 3, 1]], clgrad.ones(3, 2), (4, 2))
    weight.data.add_(weight.grad, alpha=-0.5)
    assert weight.tolist() == [[1, 1], [0, 0], [1, 1], [0.5, 0.5]]


def test_a_program_without_rules_gets_no_wrong_numbers():
    """What is no operator looks for memory, and finds none."""
    x = clgrad.eye(3).to_sparse()
    for ask in (lambda: x.storage(), lambda: x.untyped_storage(), lambda: np.asarray(x), lambda: x.__dlpack__(),
                lambda: x.set_(clgrad.ones(9)), lambda: clgrad.from_dlpack(x), lambda: x[0:1, [0]],
                lambda: x.as_strided((3,), (1,))):
        with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
            ask()


# Copies and pickles.

@pytest.mark.parametrize("sample", COORDINATES)
def test_copies_and_pickles(sample):
    x = coordinates(clgrad, sample).requires_grad_()
    for again in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x)), x.detach().clone().requires_grad_()):
        assert plain(again) == plain(x) and again.requires_grad and again.is_coalesced() == x.is_coalesced()
        assert again._indices().tolist() == x._indices().tolist()
    alone = copy.deepcopy(x).detach()
    alone.zero_()
    assert x._nnz() == coordinates(clgrad, sample)._nnz()


def test_compressed_copies():
    for x in (clgrad.eye(4).to_sparse_csr(), clgrad.eye(4).to_sparse_bsc((2, 2))):
        for again in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert plain(again) == plain(x)


def test_sparse_tensors_are_buffers_and_parameters():
    module = clgrad.nn.Module()
    module.register_buffer("adjacency", clgrad.eye(3).to_sparse())
    module.weight = clgrad.nn.Parameter(clgrad.eye(3).to_sparse())
    module = module.double()
    assert module.adjacency.dtype is clgrad.float64 and module.adjacency.is_sparse
    assert module.weight.is_sparse and module.weight.dtype is clgrad.float64
    clgrad.sparse.sum(module.weight).backward()
    assert module.weight.grad.is_sparse


def test_resized(torch):
    def of(library: Any) -> list:
        x = coordinates(library, "hybrid")
        x.sparse_resize_((6, 5, 3), 2, 1)
        first = plain(x)
        x.sparse_resize_and_clear_((2, 3), 1, 1)
        return [first, plain(x), x._nnz()]
    assert of(clgrad) == of(torch)


def test_scipy_agrees_on_products():
    scipy = pytest.importorskip("scipy.sparse", reason="SciPy, the reference, is not installed")
    a, b = (scipy.random(40, 30, 0.1, random_state=seed) for seed in (1, 2))
    x, y = (clgrad.sparse_coo_tensor(np.stack([m.row, m.col]).tolist(), m.data, m.shape) for m in (a, b))
    right = np.random.default_rng(0).normal(size=(30, 7))
    np.testing.assert_allclose((x @ clgrad.tensor(right)).tolist(), a @ right, 1e-9, 1e-12)
    np.testing.assert_allclose((x @ y.t()).to_dense().tolist(), (a @ b.T).toarray(), 1e-9, 1e-12)
    np.testing.assert_allclose((x + y).to_dense().tolist(), (a + b).toarray(), 1e-9, 1e-12)
    np.testing.assert_allclose((x * y).to_dense().tolist(), a.multiply(b).toarray(), 1e-9, 1e-12)
    rows = x.to_sparse_csr()
    assert rows.crow_indices().tolist() == a.tocsr().indptr.tolist()
    np.testing.assert_allclose((rows @ clgrad.tensor(right)).tolist(), a @ right, 1e-9, 1e-12)


def test_a_program_without_sparse_tensors_is_not_listened_to():
    """The flag that every call tests is off until the first sparse tensor is there."""
    code = ("import clgrad; from clgrad.autograd.listening import switch; clgrad.sparse.FloatTensor; clgrad.ones(2) + 1;"
            "before = switch.on; clgrad.eye(2).to_sparse(); print(before, switch.on)")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "True"]


def test_layers_in_a_row_take_a_sparse_matrix():
    rows = clgrad.nn.Sequential(clgrad.nn.Linear(3, 4), clgrad.nn.ReLU(), clgrad.nn.Linear(4, 2))
    x = clgrad.eye(3)
    rows(x.to_sparse()).sum().backward()
    found = [p.grad.tolist() for p in rows.parameters()]
    rows.zero_grad()
    rows(x).sum().backward()
    for one, parameter in zip(found, rows.parameters(), strict=True):
        np.testing.assert_allclose(one, parameter.grad.tolist(), 1e-5, 1e-6)


def test_random_values_at_the_places_of_a_tensor():
    x = clgrad.eye(50).to_sparse_csr()
    clgrad.manual_seed(1)
    normal, uniform = clgrad.randn_like(x, dtype=clgrad.float64), clgrad.rand_like(x)
    assert normal.layout is clgrad.sparse_csr and normal.dtype is clgrad.float64 and normal._nnz() == 50
    assert abs(normal.values().mean().item()) < 0.5 and 0.5 < normal.values().std().item() < 1.5
    assert 0.2 < uniform.values().mean().item() < 0.8 and not uniform.to_dense().tril(-1).any()


def test_products_at_places(torch):
    """sampled_addmm, of matrices and of batches, and its gradients."""
    for shape in ((3, 4, 2), (2, 3, 4, 2), (0, 3, 2), (3, 4, 0)):
        *batch, high, wide, inner = shape
        rng = np.random.default_rng(0)
        sampled = rng.normal(size=(*batch, high, wide))
        sampled[..., 0] = 0
        arrays = sampled, rng.normal(size=(*batch, high, inner)), rng.normal(size=(*batch, inner, wide))
        results, gradients = [], []
        for library in (clgrad, torch):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                x, a, b = (library.tensor(array) for array in arrays)
                x = x.to_sparse_csr().requires_grad_()
                a, b = a.requires_grad_(), b.requires_grad_()
                found = library.sparse.sampled_addmm(x, a, b, beta=0.5, alpha=2)
                results.append(plain(found))
                if not batch:
                    (found.to_dense() * 3).sum().backward()
                    gradients.append([plain(t.grad) for t in (x, a, b)])
        assert results[0] == results[1]
        assert not gradients or gradients[0] == gradients[1]


@pytest.mark.parametrize("reduce", ["sum", "mean", "amax", "amin"])
def test_products_that_are_reduced(torch, reduce):
    found = []
    for library in (clgrad, torch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = coordinates(library, "coalesced").to_sparse_csr().requires_grad_()
            d = dense(library, 5, 3).requires_grad_()
            result = library.sparse.mm(x, d, reduce)
            (result * dense(library, 4, 3, seed=2)).sum().backward()
            found.append([plain(t) for t in (result, x.grad, d.grad)])
    assert found[0] == found[1]


def test_solving():
    matrix = clgrad.tensor([[4.0, 1, 0], [1, 3, 0], [0, 1, 2]], dtype=clgrad.float64)
    right = clgrad.tensor([1.0, 2, 3], dtype=clgrad.float64)
    found = clgrad.sparse.spsolve(matrix.to_sparse_csr(), right)
    np.testing.assert_allclose((matrix @ found).tolist(), right.tolist())


COMPARED = {
    "same": lambda t: t.testing.assert_close(t.eye(3).to_sparse(), t.eye(3).to_sparse()),
    "nearly": lambda t: t.testing.assert_close(t.eye(3).to_sparse(), t.eye(3).to_sparse() * (1 + 1e-7)),
    "rows": lambda t: t.testing.assert_close(t.eye(3).to_sparse_csr(), t.eye(3).to_sparse_csr()),
    "layouts": lambda t: t.testing.assert_close(t.eye(3).to_sparse_csr(), t.eye(3).to_sparse(), check_layout=False),
    "other layouts": lambda t: t.testing.assert_close(t.eye(3).to_sparse_csr(), t.eye(3).to_sparse()),
    "dense": lambda t: t.testing.assert_close(t.eye(3), t.eye(3).to_sparse()),
    "values": lambda t: t.testing.assert_close(t.eye(3).to_sparse(), t.eye(3).to_sparse() * 2),
    "counts": lambda t: t.testing.assert_close(t.eye(3).to_sparse(), t.ones(3, 3).to_sparse()),
    "places": lambda t: t.testing.assert_close(t.eye(3).to_sparse(), t.eye(3).flip(0).to_sparse()),
    "columns": lambda t: t.testing.assert_close(t.eye(3).to_sparse_csc(), t.eye(3).to_sparse_csc() * 3),
}


@pytest.mark.parametrize("name", COMPARED)
def test_compared_as_pytorch(torch, name):
    outcomes = []
    for library in (clgrad, torch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcomes.append(COMPARED[name](library))
            except AssertionError as error:
                outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr"])
def test_checks_of_gradients(layout, masked):
    check = clgrad.sparse.as_sparse_gradcheck(clgrad.autograd.gradcheck)
    x = coordinates(clgrad, "coalesced").to_sparse(layout=getattr(clgrad, layout)).requires_grad_()
    d = dense(clgrad, 5, 2).requires_grad_()
    assert check(lambda x, d: x @ d, (x, d), masked=masked)
    assert check(lambda x: x * 2, (x,), masked=masked)

    class Wrong(clgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        check(lambda x: Wrong.apply(x.to_dense()), (x,), masked=masked)


@pytest.mark.parametrize(("program", "derived"), [
    (lambda t, a, b: a * t.sparse_coo_tensor(t.zeros((0, 1), dtype=t.int64), b.sum(), ()), True),
    (lambda t, a, b: t.sparse_coo_tensor(t.zeros((0, 1), dtype=t.int64), b.sum().reshape(1), ()) * a, True),
    (lambda t, a, b: a * t.sparse_coo_tensor([[1, 3]], b[:, :1], (4, 1)), False),  # PyTorch has no gradient of these
    (lambda t, a, b: t.sparse_coo_tensor([[1, 3]], b[:, :1], (4, 1)) * a, False),
    (lambda t, a, b: t.sparse_coo_tensor([[2]], b[:1], (4, 3)) * a, True),
    (lambda t, a, b: t.sparse_coo_tensor([[1], [2]], b[0, 0], (2, 3)), True),
])
def test_products_with_dense_dimensions_of_one_and_single_numbers_are_pytorchs(program, derived, torch):
    results = []
    for t in (torch, clgrad):
        values = t.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], requires_grad=derived)
        other = t.tensor([[2.0, 3, 4], [5, 6, 7]], requires_grad=derived)
        found = program(t, t.sparse_coo_tensor([[0, 1, 2]], values, (4, 3)), other).to_dense()
        if derived:
            (found * t.arange(found.numel()).reshape(found.shape)).sum().backward()
        results.append([found.tolist(), *(None if v.grad is None else v.grad.tolist() for v in (values, other))])
    assert results[1] == results[0]
