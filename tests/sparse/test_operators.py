"""Operators on sparse tensors against PyTorch: layout, dtype, values, gradients, errors."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clgrad
from clgrad.sparse.elementwise import PREDICATES, ZERO_AT_ZERO
from tests.sparse.samples import COORDINATES, LAYOUTS, MATRICES, coordinates, dense, plain, second

# Programs of a library, a sparse tensor, another one of its shape, and a dense one.
ANY: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    **{name: (lambda t, s, o, d, name=name: getattr(t, name)(s)) for name in ZERO_AT_ZERO if name != "angle"},
    "neg": lambda t, s, o, d: -s,
    "clone": lambda t, s, o, d: s.clone(),
    "detach": lambda t, s, o, d: s.detach(),
    "coalesce": lambda t, s, o, d: s.coalesce(),
    "to_dense": lambda t, s, o, d: s.to_dense(),
    "double": lambda t, s, o, d: s.double(),
    "float": lambda t, s, o, d: s.float(),
    "to": lambda t, s, o, d: s.to(t.float32, copy=True),
    "sum": lambda t, s, o, d: s.sum(),
    "sum of rows": lambda t, s, o, d: t.sparse.sum(s, 0),
    "sum of the last": lambda t, s, o, d: t.sparse.sum(s, -1),
    "sum with a dimension": lambda t, s, o, d: s.sum(-1, keepdim=True),
    "sum of all": lambda t, s, o, d: t.sparse.sum(s, dtype=t.float64),
    "add": lambda t, s, o, d: s + o,
    "add with alpha": lambda t, s, o, d: t.add(s, o, alpha=0.5),
    "sub": lambda t, s, o, d: s - o,
    "add itself": lambda t, s, o, d: s + s,
    "dense plus": lambda t, s, o, d: d + s,
    "dense minus": lambda t, s, o, d: t.sub(d, s, alpha=2),
    "mul": lambda t, s, o, d: s * o,
    "mul itself": lambda t, s, o, d: s * s,
    "times dense": lambda t, s, o, d: s * d,
    "dense times": lambda t, s, o, d: d * s,
    "times row": lambda t, s, o, d: s * d[0],
    "times column": lambda t, s, o, d: s * d.select(-1, 0).unsqueeze(-1),
    "times number": lambda t, s, o, d: 2 * (s * 1.5),
    "times tensor": lambda t, s, o, d: s * t.tensor(3.0, dtype=t.float64),
    "div": lambda t, s, o, d: s / 4,
    "div by a tensor": lambda t, s, o, d: s / t.tensor(4.0, dtype=t.float64),
    "floor_divide": lambda t, s, o, d: s // 0.1,
    "pow": lambda t, s, o, d: s ** 3,
    "square": lambda t, s, o, d: s.square(),
    "transpose": lambda t, s, o, d: s.transpose(0, 1),
    "permute": lambda t, s, o, d: s.permute(1, 0, *range(2, s.dim())),
    "unsqueeze": lambda t, s, o, d: s.unsqueeze(0),
    "unsqueeze last": lambda t, s, o, d: s.unsqueeze(-1),
    "select": lambda t, s, o, d: s.select(0, 1),
    "select last": lambda t, s, o, d: s.select(-1, 1),
    "item": lambda t, s, o, d: s[0],
    "item of columns": lambda t, s, o, d: s[..., 1],
    "new dimension": lambda t, s, o, d: s[None],
    "index_select": lambda t, s, o, d: s.index_select(0, t.tensor([1, 0, 0])),
    "index_select last": lambda t, s, o, d: s.index_select(-1, t.tensor([2, 1, 2, 2])),
    "narrow_copy": lambda t, s, o, d: s.narrow_copy(0, 1, 1),
    "cat": lambda t, s, o, d: t.cat([s, o]),
    "cat last": lambda t, s, o, d: t.cat([s, o, s], -1),
    "stack": lambda t, s, o, d: t.stack([s, o], 1),
    "unbind": lambda t, s, o, d: s.unbind(0),
    "iteration": lambda t, s, o, d: list(s),
    "any": lambda t, s, o, d: s.any(),
    "norm": lambda t, s, o, d: s.norm(),
    "norm of order 1": lambda t, s, o, d: t.norm(s, 1),
    "sparse_mask": lambda t, s, o, d: d.sparse_mask(o),
    "sparse_mask of sparse": lambda t, s, o, d: s.sparse_mask(o),
    "softmax": lambda t, s, o, d: t.sparse.softmax(s, -1),
    "softmax of columns": lambda t, s, o, d: t.sparse.softmax(s, 0),
    "log_softmax": lambda t, s, o, d: t.sparse.log_softmax(s, 0),
    "zeros_like": lambda t, s, o, d: t.zeros_like(s),
    "empty_like": lambda t, s, o, d: t.empty_like(s),
    "new_zeros": lambda t, s, o, d: s.new_zeros(2, 3),
    "in place": lambda t, s, o, d: s.clone().mul_(2).add_(o).neg_().div_(3),
    "in place, of zeros": lambda t, s, o, d: s.clone().zero_(),
    "in place, copied": lambda t, s, o, d: s.clone().copy_(o),
    "in place, dense": lambda t, s, o, d: d.clone().add_(s, alpha=-2),
    "in place, transposed": lambda t, s, o, d: s.clone().transpose_(0, 1),
    "in place, sine": lambda t, s, o, d: s.clone().sin_(),
    "questions": lambda t, s, o, d: (s.shape, s.dim(), s.numel(), len(s), str(s.layout), s.is_sparse, s.sparse_dim(),
                                     s.dense_dim(), s.is_same_size(o), s.stride(), s.is_contiguous(), s.is_floating_point()),
    "type": lambda t, s, o, d: s.type(),
}
# Programs of matrices alone: a sparse one, another one, and a dense one of the same shape.
OF_MATRICES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "mm": lambda t, s, o, d: t.mm(s, d.t()),
    "matmul": lambda t, s, o, d: s @ d.t(),
    "sparse.mm": lambda t, s, o, d: t.sparse.mm(s, d.t()),
    "spmm": lambda t, s, o, d: t.spmm(s, d.t()),
    "older names": lambda t, s, o, d: (t.dsmm(s, d.t()), t.hsmm(s, d.t()).to_dense(), t.saddmm(
        t.sparse.mm(s, o.t()), s, d.t(), alpha=2).to_dense()),
    "dense mm": lambda t, s, o, d: d.t() @ s,
    "sparse times sparse": lambda t, s, o, d: t.sparse.mm(s, o.t()),
    "mv": lambda t, s, o, d: s.mv(d[0]),
    "vector": lambda t, s, o, d: s @ d[0],
    "from the left": lambda t, s, o, d: d[:, 0] @ s,
    "addmm": lambda t, s, o, d: t.addmm(d[:, :1], s, d.t(), beta=0.5, alpha=2),
    "sparse.addmm": lambda t, s, o, d: t.sparse.addmm(d[:, :4], s, d.t(), beta=0.5, alpha=2),
    "t": lambda t, s, o, d: s.t(),
    "T": lambda t, s, o, d: s.T,
    "linear": lambda t, s, o, d: t.nn.functional.linear(d, s),
    "bmm": lambda t, s, o, d: t.bmm(t.stack([s, s]), t.stack([d.t(), d.t()])),
    "hspmm": lambda t, s, o, d: t.hspmm(s, d.t()),
    "smm": lambda t, s, o, d: t.smm(s, d.t()),
    "two": lambda t, s, o, d: s @ (s.t() @ d),
}
GRADIENTS = ("abs", "neg", "clone", "coalesce", "to_dense", "sum", "sum of rows", "sum of all", "add", "sub", "add itself",
             "dense plus", "mul", "times dense", "times number", "div", "pow", "transpose", "stack", "select", "sparse_mask",
             "mm", "sparse.mm", "sparse times sparse", "addmm", "sparse.addmm", "t", "two", "dense mm", "mv", "log1p",
             "softmax of columns", "log_softmax")
# PyTorch has no gradients of the others, and a wrong one of a softmax along a dimension that is counted from the end.
DIFFERENCES = (*GRADIENTS, "sin", "tanh", "sqrt", "expm1", "index_select", "cat", "unsqueeze", "softmax", "norm",
               "times row", "times column", "select last", "index_select last",
               "cat last", "bmm", "hspmm", "smm", "linear", "in place")
PROGRAMS = {**ANY, **OF_MATRICES}


def _result(library: Any, program: Callable, name: str, dtype: str = "float64") -> Any:
    sparse = coordinates(library, name, dtype)
    other = second(library, tuple(sparse.shape), sparse)
    kind = "float64" if dtype == "bool" else dtype
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program(library, sparse, other, (dense(library, *sparse.shape) * 5).to(getattr(library, kind)))


def _outcome(library: Any, program: Callable, *args: Any) -> Any:
    try:
        return plain(_result(library, program, *args))
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        return error


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_pytorch(torch, name):
    compared = 0
    for sample in COORDINATES if name in ANY else MATRICES:
        expected = _outcome(torch, PROGRAMS[name], sample)
        if isinstance(expected, Exception):
            continue
        found = _outcome(clgrad, PROGRAMS[name], sample)
        assert _close(found, expected), f"{sample}: {found} instead of {expected}"
        compared += 1
    assert compared > 1


def _close(found: Any, expected: Any) -> bool:
    if isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)):
        return len(found) == len(expected) and all(_close(a, b) for a, b in zip(found, expected, strict=True))
    if isinstance(expected, float) and isinstance(found, float):
        return bool(np.isclose(found, expected, rtol=1e-6, atol=1e-7, equal_nan=True))
    return found == expected


DTYPES = ("float32", "int64", "int32", "bool")
OF_DTYPES = ("add", "mul", "dense plus", "sum", "sum of rows", "neg", "coalesce", "to_dense", "transpose", "cat", "select",
             "index_select", "times number", "div", "sign", "sin", "mm", "sparse times sparse", "clone", "any", "square",
             "floor_divide", "sparse_mask")
# PyTorch computes these with dense tensors alone; and what it refuses altogether, as clgrad does.
OF_DENSE_IN_PYTORCH = {("sparse times sparse", "int64"), ("sparse times sparse", "int32"), ("add", "bool"),
                       ("square", "bool")}
OF_NO_BOOLS = {("neg", "bool"), ("mm", "bool"), ("sparse times sparse", "bool")}


@pytest.mark.parametrize(("name", "dtype"), [pair for pair in itertools.product(OF_DTYPES, DTYPES)
                                             if pair not in OF_DENSE_IN_PYTORCH | OF_NO_BOOLS])
def test_dtypes_as_pytorch(torch, name, dtype):
    compared = 0
    for sample in ("coalesced", "duplicates", "empty"):
        expected = _outcome(torch, PROGRAMS[name], sample, dtype)
        if not isinstance(expected, Exception):
            found = _outcome(clgrad, PROGRAMS[name], sample, dtype)
            assert _close(_rounded(found), _rounded(expected)), f"{sample}: {found} instead of {expected}"
            compared += 1
    assert compared > 1


@pytest.mark.parametrize(("name", "dtype"), sorted(OF_DENSE_IN_PYTORCH))
def test_dtypes_as_dense_tensors(torch, name, dtype):
    """Against PyTorch's dense operators."""
    def of(library: Any, sample: str) -> Any:
        s = coordinates(library, sample, dtype)
        o = second(library, tuple(s.shape), s)
        if library is torch:
            s, o = s.to_dense(), o.to_dense()
        return s @ o.t() if name == "sparse times sparse" else PROGRAMS[name](library, s, o, None)
    for sample in ("coalesced", "duplicates", "empty"):
        assert plain(of(clgrad, sample))[1:] == plain(of(torch, sample))[1:]


def _rounded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


# A vector has no columns, and its sum is one number.
WITH_FLAGS = [(name, sample) for name in ("coalesce", "transpose", "add", "mul", "sum of rows", "sin", "times dense", "clone")
              for sample in COORDINATES if sample != "vector" or name not in ("transpose", "sum of rows")]


@pytest.mark.parametrize(("name", "sample"), WITH_FLAGS)
def test_whether_a_result_is_coalesced(torch, name, sample):
    """A result that is said to be coalesced has each place once, in order; and as many values as PyTorch's."""
    found, expected = (_result(library, PROGRAMS[name], sample) for library in (clgrad, torch))
    assert found.layout is clgrad.sparse_coo and expected.layout is torch.sparse_coo
    if found.is_coalesced():
        rows = [tuple(column) for column in found.indices().t().tolist()]
        assert rows == sorted(set(rows))
    assert found.is_coalesced() or not expected.is_coalesced()
    places, wanted = ([*zip(map(tuple, t.indices().t().tolist()), t.values().tolist(), strict=True)]
                      for t in (found.coalesce(), expected.coalesce()))
    if name == "mul":  # PyTorch keeps places of one operand, with zeros
        places, wanted = ([place for place, value in pairs if np.any(value)] for pairs in (places, wanted))
        assert places == wanted
    else:
        assert [place for place, _ in places] == [place for place, _ in wanted]


def _gradients(library: Any, program: Callable, sample: str) -> tuple:
    sparse = coordinates(library, sample).detach().requires_grad_()
    other = second(library, tuple(sparse.shape), sparse).requires_grad_()
    whole = (dense(library, *sparse.shape) * 5).requires_grad_()
    result = program(library, sparse, other, whole)
    result = result.to_dense() if str(result.layout) != "torch.strided" else result
    weight = dense(library, *result.shape, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (result * weight).sum().backward()
    return sparse.grad, other.grad, whole.grad


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_as_pytorch(torch, name):
    compared = 0
    for sample in COORDINATES if name in ANY else MATRICES:
        try:
            expected = _gradients(torch, PROGRAMS[name], sample)
        except (RuntimeError, IndexError):
            continue
        found = _gradients(clgrad, PROGRAMS[name], sample)
        if sample == "empty":
            continue  # no gradient has a value
        compared += 1
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert (one is None) == (other is None), f"{sample}, operand {number}: {one} instead of {other}"
            if one is not None:
                a, b = (np.array(g.to_dense().tolist()) if str(g.layout) != "torch.strided" else np.array(g.tolist())
                        for g in (one, other))
                # A sparse gradient says nothing of other places.
                if str(one.layout) != "torch.strided":
                    there = one.coalesce()
                    marks = clgrad.sparse_coo_tensor(there.indices(), clgrad.ones(there.values().shape), there.shape)
                    mask = np.array(marks.to_dense().tolist()) > 0
                    a, b = a[mask], b[mask]
                np.testing.assert_allclose(a, b, 1e-6, 1e-7, err_msg=f"{sample}, operand {number}")
    assert compared


def _of_values(name: str, sample: str) -> Callable:
    """A program as a function of the values, which stay at their places, to a dense tensor."""
    indices, _, shape = COORDINATES[sample]
    places = clgrad.tensor(np.asarray(indices).tolist(), dtype=clgrad.int64).reshape(len(indices), -1)

    def function(values: Any, whole: Any) -> Any:
        sparse = clgrad.sparse_coo_tensor(places, values, shape)
        other = second(clgrad, shape, sparse)
        return PROGRAMS[name](clgrad, sparse, other, whole).to_dense()
    return function


@pytest.mark.parametrize(("name", "sample"), [(name, sample) for name in DIFFERENCES for sample in ("duplicates", "hybrid")
                                              if name in ANY or sample in MATRICES])
def test_gradients_against_differences(name, sample):
    """Derivatives with respect to values and to a dense operand; the second ones for matrices, where they take less time."""
    if name in ("add itself", "abs", "sqrt", "log1p") and sample == "duplicates":
        sample = "hybrid duplicates"
    values = clgrad.tensor(COORDINATES[sample][1], dtype=clgrad.float64, requires_grad=True)
    whole = dense(clgrad, *COORDINATES[sample][2]).requires_grad_()
    function = _of_values(name, sample)
    assert clgrad.autograd.gradcheck(function, (values, whole), atol=1e-4)
    if sample == "duplicates":
        assert clgrad.autograd.gradgradcheck(function, (values, whole), atol=1e-4)


COMPRESSED = (*ZERO_AT_ZERO, "neg", "clone", "times number", "to_dense", "double", "sum", "mul", "times dense", "dense plus",
              "add", "mm", "matmul", "dense mm", "mv", "addmm", "transpose", "t", "sparse times sparse", "linear", "select",
              "item")
# What PyTorch has for other layouts: on dense tensors.
OF_OTHER_LAYOUTS = {
    ("nan_to_num", "sparse_csr"): lambda t, s, o, d: t.nan_to_num(s),
    ("nan_to_num", "sparse_csc"): lambda t, s, o, d: t.nan_to_num(s),
    ("sparse times sparse", "sparse_csr"): lambda t, s, o, d: s @ o.t(),
    ("mul", "sparse_csc"): lambda t, s, o, d: s * o,
    ("times dense", "sparse_csc"): lambda t, s, o, d: s * d,
    ("add", "sparse_csc"): lambda t, s, o, d: s + o,
}


def _operands(library: Any) -> tuple:
    return coordinates(library, "coalesced"), second(library, (4, 5), coordinates(library, "coalesced")), dense(library, 4, 5)


def _of_compressed(library: Any, name: str, layout: str) -> Any:
    s, o, d = _operands(library)
    program = PROGRAMS.get(name) or (lambda t, s, o, d: getattr(t, name)(s))
    kind = getattr(library, layout)
    return program(library, s.to_sparse(layout=kind), o.to_sparse(layout=kind), d)


@pytest.mark.parametrize(("name", "layout"), [pair for pair in itertools.product(COMPRESSED, LAYOUTS)
                                              if pair not in OF_OTHER_LAYOUTS])
def test_compressed_as_pytorch(torch, name, layout):
    assert _close(plain(_of_compressed(clgrad, name, layout)), plain(_of_compressed(torch, name, layout)))


@pytest.mark.parametrize(("name", "layout"), OF_OTHER_LAYOUTS)
def test_compressed_as_dense_tensors(torch, name, layout):
    """Against PyTorch's dense operators."""
    found = _of_compressed(clgrad, name, layout)
    s, o, d = _operands(torch)
    assert found.layout is getattr(clgrad, layout)
    assert _close(plain(found)[1:], plain(OF_OTHER_LAYOUTS[name, layout](torch, s.to_dense(), o.to_dense(), d))[1:])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["sin", "neg", "times number", "to_dense", "mul", "times dense", "add", "mm", "dense mm",
                                  "mv", "transpose", "sum", "addmm"])
def test_gradients_of_compressed_layouts(name, layout):
    """Against those of the same program on coordinates."""
    def gradients(kind: Any) -> tuple:
        s = coordinates(clgrad, "coalesced").to_sparse(layout=kind).requires_grad_()
        o = second(clgrad, (4, 5), coordinates(clgrad, "coalesced")).to_sparse(layout=kind)
        d = dense(clgrad, 4, 5).requires_grad_()
        result = PROGRAMS[name](clgrad, s, o, d).to_dense()
        (result * dense(clgrad, *result.shape, seed=3)).sum().backward()
        return s.grad, d.grad
    found, expected = gradients(getattr(clgrad, layout)), gradients(clgrad.sparse_coo)
    assert name == "sum" or found[0].layout is getattr(clgrad, layout)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            there = one.to_dense() != 0
            assert clgrad.allclose(one.to_dense()[there], other.to_dense()[there])


@pytest.mark.parametrize("name", PREDICATES)
def test_predicates(torch, name):
    def of(library: Any) -> Any:
        values = library.tensor([0.0, float("inf"), -float("inf"), float("nan"), -2.0])
        return getattr(library, name)(library.sparse_coo_tensor([[0, 1, 2, 3, 4]], values, (6,)).coalesce())
    assert plain(of(clgrad)) == plain(of(torch))


REFUSED = {
    "sort": lambda t, s, d: s.sort(),
    "cos": lambda t, s, d: s.cos(),
    "exp": lambda t, s, d: s.exp(),
    "eq": lambda t, s, d: s == s,
    "where": lambda t, s, d: t.where(d > 0, s, s),
    "view": lambda t, s, d: s.view(-1),
    "conv": lambda t, s, d: t.nn.functional.conv1d(s, s),
    "relu6": lambda t, s, d: t.nn.functional.relu6(s),
    "plus number": lambda t, s, d: s + 1,
    "plus dense": lambda t, s, d: s + d,
    "divided by dense": lambda t, s, d: s / d,
    "to the zeroth": lambda t, s, d: s ** 0,
    "other shape": lambda t, s, d: s + t.eye(3, dtype=t.float64).to_sparse(),
    "other shape of a product": lambda t, s, d: s * t.eye(3, dtype=t.float64).to_sparse(),
    "no matrix product": lambda t, s, d: s @ t.eye(3, dtype=t.float64),
    "other dtype": lambda t, s, d: s @ d.t().float(),
    "numpy": lambda t, s, d: s.numpy(),
    "tolist": lambda t, s, d: s.tolist(),
    "item": lambda t, s, d: s.item(),
    "storage": lambda t, s, d: s.untyped_storage(),
    "data_ptr": lambda t, s, d: s.data_ptr(),
    "reshape": lambda t, s, d: s.reshape(-1),
    "expand": lambda t, s, d: s.expand(2, 4, 5),
    "values of duplicates": lambda t, s, d: coordinates(t, "duplicates").values(),
    "indices of duplicates": lambda t, s, d: coordinates(t, "duplicates").indices(),
    "values of a dense tensor": lambda t, s, d: d.values(),
    "indices of a dense tensor": lambda t, s, d: d.indices(),
    "crow_indices": lambda t, s, d: s.crow_indices(),
    "coalesce of a dense tensor": lambda t, s, d: d.coalesce(),
    "nnz of a dense tensor": lambda t, s, d: d._nnz(),
    "sum of a dense tensor": lambda t, s, d: t.sparse.sum(d),
    "no such dimension": lambda t, s, d: t.sparse.sum(s, 3),
    "cat with a dense tensor": lambda t, s, d: t.cat([s, d]),
    "dense copy": lambda t, s, d: s.clone().copy_(d),
    "leaf in place": lambda t, s, d: s.clone().requires_grad_().mul_(2),
    "integers in place": lambda t, s, d: s.clone().int().sin_(),
    "fill": lambda t, s, d: s.fill_(1),
    "out of range": lambda t, s, d: s.select(0, 7),
    "gradient of integers": lambda t, s, d: s.int().requires_grad_(),
    "condition": lambda t, s, d: bool(s),
    "negative of bools": lambda t, s, d: -s.bool(),
    "product of bools": lambda t, s, d: s.bool() @ d.t().bool(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_pytorch(torch, name):
    program = REFUSED[name]

    def error(library: Any) -> Exception:
        with pytest.raises(Exception) as raised, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program(library, coordinates(library, "coalesced"), dense(library, 4, 5))
        return raised.value
    expected = error(torch)
    assert isinstance(error(clgrad), type(expected)), f"{error(clgrad)!r} instead of {expected!r}"


def test_an_operator_without_a_rule_says_so():
    with pytest.raises(NotImplementedError, match="Could not run 'aten::cumsum' with arguments from the 'SparseCPU' backend"):
        clgrad.eye(3).to_sparse().cumsum(0)
    with pytest.raises(NotImplementedError, match="'SparseCsrCPU' backend"):
        clgrad.cumsum(clgrad.eye(3).to_sparse_csr(), 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("width", [1, 9, 16, 27, 40, 57])
def test_products_of_many_widths(width, dtype):
    """The kernel of weighted rows against the product of the dense matrix, with gradients."""
    rng = np.random.default_rng(width)
    whole = rng.normal(size=(50, 30)) * (rng.uniform(size=(50, 30)) < 0.1)
    kind, tolerance = getattr(clgrad, dtype), 2e-2 if dtype == "float16" else 1e-5
    right, weight = (clgrad.tensor(rng.normal(size=(rows, width)), dtype=kind) for rows in (30, 50))
    found = []
    for matrix in (clgrad.tensor(whole, dtype=kind).to_sparse(), clgrad.tensor(whole, dtype=kind).to_sparse_csr(),
                   clgrad.tensor(whole, dtype=kind)):
        a, b = matrix.requires_grad_(), right.clone().requires_grad_()
        result = a @ b
        (result * weight).sum().backward()
        gradient = a.grad.to_dense() * clgrad.tensor(whole != 0)
        found.append([np.array(t.double().tolist()) for t in (result, gradient, b.grad)])
    for one in found[:2]:
        for x, expected in zip(one, found[2], strict=True):
            np.testing.assert_allclose(x, expected, tolerance, 20 * tolerance)


def test_a_column_out_of_range_of_a_product_is_an_error():
    matrix = clgrad.sparse_coo_tensor([[0, 1], [0, 9]], [1.0, 2.0], (2, 3), is_coalesced=True)
    with pytest.raises((IndexError, RuntimeError)):
        (matrix @ clgrad.ones(3, 4)).tolist()
