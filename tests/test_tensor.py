"""The Tensor class: facts, values on the host, NumPy's memory, copies and pickles, typed constructors."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same, assert_same_error, assert_same_outcome, pair, values


def test_facts(torch):
    for library in (clgrad, torch):
        x = library.zeros(2, 3, dtype=library.float64)
        assert x.shape == x.size() == (2, 3)
        assert (x.size(1), x.size(-2), x.size()[1]) == (3, 2, 3)
        assert (x.ndim, x.dim(), x.ndimension(), len(x)) == (2, 2, 2, 2)
        assert (x.numel(), x.nelement(), x.itemsize, x.element_size(), x.nbytes) == (6, 6, 8, 8, 48)
        assert (x.stride(), x.stride(0), x.t().stride(), x[1].storage_offset()) == ((3, 1), 3, (1, 3), 3)
        assert (x.is_contiguous(), x.t().is_contiguous()) == (True, False)
        assert (x.is_floating_point(), x.is_complex(), x.is_signed(), x.is_cuda, x.is_sparse) == (
            True, False, True, False, False)
        assert (x.is_leaf, x.requires_grad, x.grad, x.grad_fn, x.output_nr) == (True, False, None, None, 0)
        assert x.get_device() == -1
        assert (str(x.device), str(x.dtype)) == ("cpu", "torch.float64")
        assert repr(x.shape) == "torch.Size([2, 3])"
        assert type(x.shape + (1,)) is type((1,) + x.shape) is library.Size
        assert (x.shape + np.array([1, 2])).tolist() == [3, 5]
        for left, right in (([1], x.shape), (x.shape, [1]), (x.shape, 1), (x, x.shape), (x.shape, x)):
            with pytest.raises(TypeError):
                operator.add(left, right)
        assert x.size().numel() == 6
        a, b = x.shape
        assert (a, b, x.shape[:1], x.shape[::-1]) == (2, 3, (2,), (3, 2))
        assert x.type() == "torch.DoubleTensor"
        assert x.data_ptr() + 24 == x[1].data_ptr()
        with pytest.raises(IndexError):
            x.size(2)


def test_item_and_tolist(torch):
    for library in (clgrad, torch):
        for value, dtype, kind in [(2.5, "float32", float), (3, "int64", int), (True, "bool", bool),
                                   (0.5, "bfloat16", float), (200, "uint8", int), (-1.5, "float16", float)]:
            x = library.tensor(value, dtype=getattr(library, dtype))
            assert x.item() == value
            assert type(x.item()) is kind
            assert type(x.tolist()) is kind
            assert library.tensor([[value]], dtype=getattr(library, dtype)).item() == value
        assert library.tensor([[1, 2], [3, 4]])[:, 1].tolist() == [2, 4]
        with pytest.raises(RuntimeError):
            library.zeros(2).item()
        with pytest.raises(RuntimeError):
            library.zeros(0).item()
        assert library.zeros(0, 2).tolist() == []
        assert library.zeros(2, 0).tolist() == [[], []]


def test_numbers_and_truth(torch):
    for library in (clgrad, torch):
        assert bool(library.tensor([[1.5]])) is True
        assert not library.tensor(0)
        with pytest.raises(RuntimeError, match="more than one value"):
            bool(library.ones(2))
        with pytest.raises(RuntimeError):
            bool(library.ones(0))
        assert (float(library.tensor(2)), int(library.tensor(2.9))) == (2.0, 2)
        names = ["a", "b", "c"]
        assert names[library.tensor(2)] == "c"
        assert list(range(library.tensor(3))) == [0, 1, 2]
        with pytest.raises(TypeError):
            names[library.tensor(1.0)]
        with pytest.raises(TypeError):
            names[library.tensor([1, 2])]


def test_sequences(torch):
    for library in (clgrad, torch):
        x = library.arange(6).reshape(3, 2)
        assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
        assert 4 in x
        assert 9 not in x
        for wrong in (len, iter):
            with pytest.raises(TypeError):
                wrong(library.tensor(1))
        a, b, c = library.tensor([1, 2, 3])
        assert (a + b + c).item() == 6


def test_hash_is_identity():
    x, y = clgrad.ones(1), clgrad.ones(1)
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1


def test_operators_with_arrays_and_wrong_operands(torch):
    for library in (clgrad, torch):
        x = library.tensor([1.0, 2.0], dtype=library.float64)
        assert (2 - x).tolist() == [1, 0]
        assert (2 / x).tolist() == [2, 1]
        assert (2 ** x).tolist() == [2, 4]
        assert (7 // x).tolist() == [7, 3]
        assert (7 % x).tolist() == [0, 1]
        assert (x * np.float64(2)).tolist() == [2, 4]
        assert abs(-x).tolist() == [1, 2]
        assert (~library.tensor([True, False])).tolist() == [False, True]
        assert (library.tensor([5]) & 4 | 2).tolist() == [6]
        assert (x == 1).tolist() == [True, False]
        assert (x == None) is False  # noqa: E711
        assert x != "a"
        for wrong in (lambda x=x: x + "a", lambda x=x: "a" * x, lambda x=x: x < None):
            with pytest.raises(TypeError):
                wrong()


@pytest.mark.parametrize("program", [
    lambda t: t.ones(2, dtype=t.int64).__iadd__(1),
    lambda t: t.ones(2).__iadd__(t.ones(2, dtype=t.float64)),
    lambda t: t.ones(2, dtype=t.float16).__imul__(2.5),
    lambda t: t.ones(2, dtype=t.uint8).__isub__(t.ones(1, dtype=t.int64)),
    lambda t: t.ones(2, dtype=t.bool).__ior__(t.zeros(2, dtype=t.bool)),
    lambda t: t.ones(2).__itruediv__(t.tensor(2)),
    lambda t: t.full((2,), 7).__ifloordiv__(2),
    lambda t: t.ones(2, 3).add_(t.ones(3), alpha=2),
    lambda t: t.ones(2).__ipow__(2),
])
def test_in_place_keeps_the_dtype(program, torch):
    assert_same(program(clgrad), program(torch))


@pytest.mark.parametrize("program", [
    lambda t: t.ones(2, dtype=t.int64).__iadd__(1.5),
    lambda t: t.ones(2, dtype=t.int64).__itruediv__(2),
    lambda t: t.ones(2, dtype=t.bool).__iadd__(1),
    lambda t: t.ones(2, dtype=t.int32).mul_(t.ones(2)),
    lambda t: t.ones(2).add_(t.ones(3)),
    lambda t: t.ones(2, dtype=t.bool) - t.ones(2, dtype=t.bool),
    lambda t: t.ones(2).type("torch.NoTensor"),
    lambda t: t.ones(2).__setattr__("grad", t.ones(3)),
    lambda t: t.ones(2).__setattr__("grad", 3),
    lambda t: t.ones(2, dtype=t.int64).__setattr__("requires_grad", True),
    lambda t: (t.ones(2, requires_grad=True) * 2).__setattr__("requires_grad", False),
    lambda t: t.ones(2, requires_grad=True).numpy(),
    lambda t: t.ones(2, dtype=t.bfloat16).numpy(),
])
def test_errors(program, torch):
    assert_same_error(torch, program)


def test_numpy_shares_memory_both_ways():
    t = clgrad.ones(3)
    a = t.numpy()
    assert a.dtype == np.float32
    t.add_(1)
    assert a.tolist() == [2, 2, 2]
    np.add(a, 1, out=a)
    assert t.tolist() == [3, 3, 3]
    assert (t * 2).tolist() == [6, 6, 6]
    window = t[1:]
    window.mul_(10)
    assert a.tolist() == [3, 30, 30]
    b = t.view(3, 1).numpy()
    b[0, 0] = -1
    assert (a[0], t[0].item()) == (-1, -1)
    moved = np.add(a, 1)
    moved[:] = 0
    assert t.tolist() == [-1, 30, 30]


def test_a_tensor_shares_an_array_both_ways():
    a = np.zeros((2, 3))
    t = clgrad.from_numpy(a)
    assert t.dtype is clgrad.float64
    a[0, 1] = 5
    assert t[0, 1].item() == 5
    t.add_(1)
    assert a.tolist() == [[1, 6, 1], [1, 1, 1]]
    t[1] = 9
    assert a[1].tolist() == [9, 9, 9]
    assert t.numpy()[1, 2] == 9
    assert np.shares_memory(t.numpy(), a)
    clgrad.add(t, 1, out=t)
    assert a[0, 0] == 2
    t.detach().t()[2].fill_(-3)
    assert a[:, 2].tolist() == [-3, -3]


@pytest.mark.parametrize("window", [
    lambda a: a.T, lambda a: a[:, ::2], lambda a: a[1:, 1], lambda a: a[::2, 1:4], lambda a: a[1:2],
    lambda a: a.T[1:3], lambda a: a[3:], lambda a: a[2, 3:4].reshape(())])
def test_strided_arrays_are_shared_too(window):
    whole = np.arange(15.0).reshape(3, 5)
    a = window(whole)
    t = clgrad.from_numpy(a)
    np.testing.assert_array_equal(values(t), a)
    assert t.shape == a.shape
    t.mul_(2)
    np.testing.assert_array_equal(values(t), a)
    if a.size:
        assert not np.array_equal(whole, np.arange(15.0).reshape(3, 5))
        a[...] = 7
        assert (t == 7).all()
    outside = np.ones_like(whole, bool)
    window(outside)[...] = False
    np.testing.assert_array_equal(whole[outside], np.arange(15.0).reshape(3, 5)[outside])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_dtypes_go_to_numpy_and_back(dtype):
    a = np.array([0, 1, 1, 0]).astype(dtype)
    t = clgrad.from_numpy(a)
    assert str(t.dtype) == f"torch.{dtype}"
    assert t.numpy().dtype == a.dtype
    np.testing.assert_array_equal(clgrad.tensor(a).numpy(), a)
    assert np.asarray(t).dtype == a.dtype
    assert np.array(t, dtype=np.float64).tolist() == a.astype(float).tolist()


def test_numpy_functions_take_tensors():
    t = clgrad.tensor([[1.0, 4.0], [9.0, 16.0]])
    np.testing.assert_array_equal(np.sqrt(t.numpy()), [[1, 2], [3, 4]])
    assert np.asarray(t).sum() == 30
    assert np.transpose(t.numpy(), (1, 0)).shape == (2, 2)
    assert t.numpy(force=True).tolist() == t.tolist()
    assert clgrad.ones(2, dtype=clgrad.bfloat16, requires_grad=True).numpy(force=True).tolist() == [1, 1]


def test_arrays_outlive_their_tensors():
    arrays = [(clgrad.full((1000,), float(n)) + 0).numpy() for n in range(20)]
    for _ in range(20):
        clgrad.rand(1000)
    assert [a[0] for a in arrays] == list(range(20))
    assert all((a == a[0]).all() for a in arrays)


def test_tensors_outlive_their_arrays():
    tensors = [clgrad.from_numpy(np.full(1000, float(n))) * 1 for n in range(20)]
    assert [t.mean().item() for t in tensors] == list(range(20))


@pytest.mark.parametrize("made", [
    lambda: clgrad.arange(6.0).reshape(2, 3), lambda: clgrad.tensor([1, 2]),
    lambda: clgrad.ones(2, dtype=clgrad.bfloat16),
    lambda: clgrad.arange(6.0).reshape(2, 3).t(), lambda: clgrad.zeros(0, 3), lambda: clgrad.tensor(True),
    lambda: clgrad.ones(2, requires_grad=True), lambda: clgrad.nn.Parameter(clgrad.ones(2))])
def test_pickles_and_deep_copies(made):
    x = made()
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert type(y) is type(x)
        assert (y.shape, y.dtype, y.requires_grad, str(y.device)) == (x.shape, x.dtype, x.requires_grad, str(x.device))
        assert y.tolist() == x.tolist()
        with clgrad.no_grad():
            y.zero_()
        assert x.tolist() == made().tolist(), "a copy has memory of its own"


def test_deep_copies_of_graphs():
    x = clgrad.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)
    x.grad = clgrad.full((2,), 3.0)
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]
    assert both[0].grad.tolist() == [3, 3]
    assert both[0].grad is not x.grad


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # says PyTorch
def test_copies_share_what_their_originals_share(torch):
    for t in (clgrad, torch):
        x = t.zeros(3, 4)
        part = t.zeros(2, 8)[:, 1:3]
        copies = copy.deepcopy([x, x.view(12), x[1:, 2:], x.untyped_storage(), x.storage(), part, part.expand(2, 2, 2)])
        copies[0].add_(1)
        assert [float(c.sum()) for c in copies[:3]] == [12, 12, 4] and x.sum() == 0
        assert {c.data_ptr() for c in (copies[0], *copies[3:5])} == {copies[0].data_ptr()}
        assert copies[5].storage_offset() == 1 and copies[5].stride() == (8, 1) and copies[6].stride() == (0, 8, 1)
        assert copies[6].data_ptr() == copies[5].data_ptr() != part.data_ptr()


def test_a_copy_of_a_parameter_has_no_gradient(torch):
    for t in (clgrad, torch):
        layer = t.nn.Linear(2, 3)
        layer.tied = layer.weight
        layer.weight.note = 1
        layer(t.ones(1, 2)).sum().backward()
        other = copy.deepcopy(layer)
        assert other.weight.grad is None and not hasattr(other.weight, "note") and other.tied is other.weight
        assert type(other.weight) is t.nn.Parameter and other.weight.data_ptr() != layer.weight.data_ptr()
        leaf = t.ones(2, requires_grad=True)
        leaf.grad = t.ones(2)
        assert copy.deepcopy(leaf).grad.tolist() == [1, 1] and copy.deepcopy(leaf).requires_grad


def test_typed_constructors():
    assert isinstance(clgrad.FloatTensor([1]), clgrad.FloatTensor)
    assert isinstance(clgrad.ones(1), clgrad.FloatTensor)
    assert not isinstance(clgrad.ones(1), clgrad.LongTensor)
    assert isinstance(clgrad.ones(1), clgrad.Tensor)
    assert clgrad.ones(1).type(clgrad.LongTensor).dtype is clgrad.int64
    assert clgrad.ones(1).type("torch.IntTensor").dtype is clgrad.int32
    assert clgrad.ones(1).type(clgrad.float64).type() == "torch.DoubleTensor"
    assert clgrad.ones(1).type_as(clgrad.tensor([1])).dtype is clgrad.int64
    assert clgrad.Tensor(clgrad.ones(2)).tolist() == [1, 1]
    with pytest.raises(TypeError):
        clgrad.FloatTensor("abc")


def test_result_types_and_limits(torch):
    for library in (clgrad, torch):
        assert str(library.result_type(library.ones(1, dtype=library.int32), 2.5)) == "torch.float32"
        assert str(library.promote_types(library.uint8, library.int8)) == "torch.int16"
        assert library.can_cast(library.float64, library.int32) is False
        assert library.iinfo(library.int16).max == 32767
        assert library.finfo(library.float16).eps == 2**-10
        assert library.is_tensor(library.ones(1))
        assert library.numel(library.ones(2, 3)) == 6
        assert library.is_floating_point(library.ones(1))
        assert library.is_nonzero(library.ones(1))
    for name in ("float16", "bfloat16", "float32", "float64"):
        a, b = clgrad.finfo(getattr(clgrad, name)), torch.finfo(getattr(torch, name))
        assert (a.bits, a.max, a.min, a.eps, a.tiny) == (b.bits, b.max, b.min, b.eps, b.tiny)


def test_squares_of_the_tutorial(torch):
    """x**2 * exp(x): the derivative by autograd equals the one by hand."""
    x, _ = pair(torch, np.linspace(-1, 1, 12).reshape(3, 4).astype(np.float32), requires_grad=True)
    y = x**2 * clgrad.exp(x)
    y.backward(clgrad.ones(y.size()))
    by_hand = 2 * values(x) * np.exp(values(x)) + values(x) ** 2 * np.exp(values(x))
    np.testing.assert_allclose(values(x.grad), by_hand, rtol=1e-5, atol=1e-6)


def test_dict_holds_only_the_programs_own_attributes():
    class Named(clgrad.Tensor):
        pass
    x = clgrad.ones(2, 3, requires_grad=True)
    view = x.view(6)
    (view * 2).sum().backward()
    named = clgrad.ones(2).as_subclass(Named)
    for tensor in (x, view, named, clgrad.nn.Parameter(clgrad.ones(2)), Named([1.0])):
        assert tensor.__dict__ == {}
    named.label = ["a"]
    made = clgrad.Tensor._make_subclass(Named, clgrad.ones(2), True)
    assert type(made) is Named and made.requires_grad and made.is_leaf
    other = clgrad.zeros(3).as_subclass(Named)
    other.__dict__.update(named.__dict__)  # as subclasses of Tensor in libraries do
    assert other.label == ["a"] and other.tolist() == [0.0] * 3
    assert copy.deepcopy(named).__dict__ == pickle.loads(pickle.dumps(clgrad.ones(1))).__dict__ | {"label": ["a"]}


def test_a_shallow_copy_shares_the_memory():
    x = clgrad.tensor([1.0, 2.0])
    x.label = "a"
    y = copy.copy(x)
    y.fill_(3)
    assert y is not x and x.tolist() == [3.0, 3.0] and y.label == "a"
    parameter = clgrad.nn.Parameter(clgrad.ones(2))
    other = copy.copy(parameter)
    assert type(other) is clgrad.nn.Parameter and other.requires_grad and other.data_ptr() == parameter.data_ptr()


def test_storages_are_copied_deeply():
    x = clgrad.tensor([1.0, 2.0])
    for storage in (x.storage(), x.untyped_storage()):
        other = copy.deepcopy(storage)
        assert type(other) is type(storage) and other.tolist() == storage.tolist()
        assert other.data_ptr() != storage.data_ptr()


@pytest.mark.parametrize("name", ["add", "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand"])
def test_unknown_operands_are_left_to_the_other_side(name):
    assert getattr(clgrad.ones(2), f"__{name}__")(object()) is NotImplemented


def test_module_load(torch):
    def program(t):
        x, y = t.zeros(2), t.tensor([1.0, 2.0], dtype=t.float64)
        return x.module_load(y), x, x.module_load(y.requires_grad_(), assign=True)
    assert_same_outcome(torch, program)
