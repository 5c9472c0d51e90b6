"""Small helpers that programs and libraries take from PyTorch: trees, futures, checks, Sobol's points, unsigned integers."""

from __future__ import annotations

import pickle
from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest
from scipy.stats import qmc

import clgrad
from clgrad.futures import Future, collect_all, wait_all
from clgrad.utils import _pytree as trees
from tests.compare import assert_same_outcome

Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize("tree", [
    1, (), [1, (2, 3)], {"b": 1, "a": [2]}, OrderedDict(x=1), Pair(1, [2]), deque([1, 2], maxlen=3),
    defaultdict(list, k=(1,)), [None, {"a": None}]], ids=repr)
def test_trees_as_pytorch_has_them(tree):
    reference = pytest.importorskip("torch").utils._pytree
    leaves, spec = trees.tree_flatten(tree)
    expected, form = reference.tree_flatten(tree)
    assert leaves == expected and spec.num_leaves == len(leaves) and spec.num_nodes == form.num_nodes
    assert [part.num_nodes for part in spec.children()] == [part.num_nodes for part in form.children()]
    assert all(spec.child(n) is part for n, part in enumerate(spec.children()))
    assert trees.tree_unflatten(leaves, spec) == tree
    assert trees.tree_map(lambda x: (x, x), tree) == reference.tree_map(lambda x: (x, x), tree)
    assert trees.tree_map(lambda x, y: x == y, tree, tree) == trees.tree_map(lambda _: True, tree)


ALIKE = [({"a": 1, "b": 2}, {"b": 3, "a": 4}), ({"a": 1, "b": 2}, OrderedDict(b=3, a=4)), ({"a": 1}, {"b": 1}),
         (defaultdict(list, a=1), {"a": 3}), (Pair(1, 2), Pair(3, 4)), (Pair(1, 2), (3, 4)), ((1, 2), Pair(3, 4)),
         ([1, 2], (1, 2)), ([1, 2], [1]), ([1], 5), (deque([1], maxlen=3), deque([2])), ([1], [[2, 3]]), (1, [2])]


@pytest.mark.parametrize(("tree", "other"), ALIKE, ids=repr)
def test_parts_of_a_tree_at_the_leaves_of_another(tree, other, torch):
    assert_same_outcome(torch, lambda t: t.utils._pytree.tree_structure(tree).flatten_up_to(other))


def test_classes_of_nodes(torch):
    reference = torch.utils._pytree
    for tree in ([], (), {}, Pair(1, 2), deque(), 3, None):
        kind = trees._get_node_type(tree)
        assert kind is reference._get_node_type(tree)
        assert (kind in trees.SUPPORTED_NODES) == (kind in reference.SUPPORTED_NODES)
    assert trees.tree_structure(Pair(1, 2)).type is reference.tree_structure(Pair(1, 2)).type
    assert trees.tree_leaves([clgrad.Size([2, 3]), 4]) == reference.tree_leaves([torch.Size([2, 3]), 4])


def test_trees_of_classes_and_errors():
    class Box:
        def __init__(self, held):
            self.held = held
    trees.register_pytree_node(Box, lambda box: ([box.held], None), lambda parts, _: Box(*parts))
    assert trees.tree_leaves([Box([1, 2]), 3]) == [1, 2, 3]
    assert trees.tree_map_only(int, lambda x: -x, [1, "a", Box(2)])[:2] == [-1, "a"]
    assert trees.tree_any_only(str, str.isupper, ["A", 1]) and not trees.tree_all(lambda x: x > 1, [1, 2])
    with pytest.raises(ValueError, match="already registered"):
        trees.register_pytree_node(Box, None, None)
    with pytest.raises(ValueError, match="3 items"):
        trees.tree_unflatten([1], trees.tree_structure([1, 2, 3]))
    with pytest.raises(ValueError, match="mismatch"):
        trees.tree_map(max, [1, 2], (1, 2))


def test_futures():
    future = Future()
    following = future.then(lambda f: f.wait() + 1)
    assert not future.done()
    with pytest.raises(RuntimeError, match="not completed"):
        future.value()
    future.set_result(1)
    assert following.wait() == 2 and wait_all([future, following]) == [1, 2] and collect_all([]).wait() == []
    with pytest.raises(RuntimeError, match="once"):
        future.set_result(2)
    failed = future.then(lambda f: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed.wait()


def test_checks():
    clgrad._check(True)
    clgrad._assert(clgrad.tensor(1.0), "there")
    for check, error in ((clgrad._check, RuntimeError), (clgrad._check_value, ValueError),
                         (clgrad._check_index, IndexError), (clgrad._check_type, TypeError)):
        with pytest.raises(error, match="what is wrong"):
            check(False, lambda: "what is wrong")
    with pytest.raises(AssertionError, match="gone"):
        clgrad._assert(False, "gone")
    with pytest.raises(RuntimeError):
        clgrad._check_tensor_all(clgrad.tensor([True, False]))


def test_sobol_points():
    engine = clgrad.quasirandom.SobolEngine(4)
    expected = qmc.Sobol(4, scramble=False).random_base2(4)
    np.testing.assert_array_equal(engine.draw(16).numpy(), expected.astype(np.float32))
    assert engine.reset().fast_forward(5).draw(2).tolist() == expected[5:7].tolist()
    with pytest.raises(ValueError, match="power of 2"):
        engine.draw_base2(2)
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(clgrad.quasirandom.SobolEngine(9).draw(50).numpy(),
                                  torch.quasirandom.SobolEngine(9).draw(50).numpy())


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64"])
def test_unsigned_integers(name):
    kind, own = getattr(clgrad, name), np.dtype(name)
    highest = np.iinfo(own).max
    values = np.array([0, 1, highest], own)
    x = clgrad.from_numpy(values.copy())
    assert x.dtype is kind and (clgrad.iinfo(kind).max, kind.is_signed) == (highest, False)
    assert x.tolist() == values.tolist() == clgrad.tensor(values.tolist(), dtype=kind).tolist()
    np.testing.assert_array_equal((x + x).numpy(), values + values)
    np.testing.assert_array_equal((x // 2).numpy(), values // 2)
    np.testing.assert_array_equal((x > 1).numpy(), values > 1)
    np.testing.assert_array_equal(x.double().numpy(), values.astype(np.float64))
    np.testing.assert_array_equal(clgrad.cat([x, x.flip(0)]).sort()[0].numpy(), np.sort(np.concatenate([values, values])))
    assert clgrad.promote_types(kind, clgrad.float16) is clgrad.float16
    with pytest.raises(RuntimeError, match="Promotion for uint16, uint32, uint64"):
        x + clgrad.tensor([1])


@pytest.mark.parametrize("name", ["bit", "complex32", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 8)),
                                  "float8_e8m0fnu"])
def test_facts_of_dtypes_that_no_tensor_has(name, torch):
    def facts(library):
        kind = getattr(library, name)
        return repr(kind), kind.itemsize, kind.is_floating_point, kind.is_complex, kind.is_signed
    assert facts(clgrad) == facts(torch)
    with pytest.raises(TypeError, match="requires an integer input type"):
        clgrad.iinfo(getattr(clgrad, name))


@pytest.mark.parametrize("name", ["complex32", "chalf", "float8_e4m3fn", "uint4"])
def test_dtypes_that_no_tensor_has(name):
    kind = getattr(clgrad, name)
    assert clgrad.zeros(1).dtype != kind and kind.is_complex == name.startswith("c")
    with pytest.raises(NotImplementedError, match="clgrad has no tensors of"):
        clgrad.zeros(2, dtype=kind)
    with pytest.raises(NotImplementedError, match="clgrad has no tensors of"):
        clgrad.ones(2).to(kind)


def test_handles_of_hooks():
    hooks, more = OrderedDict(), OrderedDict()
    handle = clgrad.utils.hooks.RemovableHandle(hooks, extra_dict=more)
    hooks[handle.id] = more[handle.id] = print
    handle.remove()
    handle.remove()
    assert not hooks and not more
    assert clgrad.get_device_module("cpu") is clgrad.cpu and clgrad.return_types.max is type(clgrad.ones(1, 2).max(1))


@pytest.mark.parametrize("n", [1, 4, 5])
def test_frequencies(n):
    np.testing.assert_allclose(clgrad.fft.fftfreq(n, 0.5).numpy(), np.fft.fftfreq(n, 0.5))
    np.testing.assert_allclose(clgrad.fft.rfftfreq(n, 0.5).numpy(), np.fft.rfftfreq(n, 0.5))
    x = np.arange(3.0 * n).reshape(n, 3)
    np.testing.assert_array_equal(clgrad.fft.fftshift(clgrad.tensor(x)).numpy(), np.fft.fftshift(x))
    np.testing.assert_array_equal(clgrad.fft.ifftshift(clgrad.tensor(x), 0).numpy(), np.fft.ifftshift(x, 0))


def test_a_tensor_says_its_layout():
    x, y = clgrad.ones(1), clgrad.zeros(2, 3, dtype=clgrad.int64)
    assert x.layout is clgrad.strided and isinstance(x.layout, clgrad.layout) and str(x.layout) == "torch.strided"
    assert x.layout == y.layout and {x.layout: 1}[y.layout] == 1
    assert pickle.loads(pickle.dumps(x.layout)) is clgrad.strided
    with pytest.raises(AttributeError):
        x.layout = clgrad.sparse_coo
    assert clgrad.nn.Parameter(x).layout is clgrad.strided
    assert clgrad.zeros(1, layout=clgrad.sparse_coo).layout is clgrad.sparse_coo


def test_layouts_that_no_tensor_has():
    x = clgrad.ones(1)
    assert x.layout != clgrad.sparse_coo and clgrad.sparse_coo is not clgrad.sparse_csr
    assert clgrad.sparse_coo not in (clgrad.strided, x.layout)
    with pytest.raises(RuntimeError, match="sparse_coo is not supported"):
        clgrad.ones(1, layout=clgrad.sparse_coo)
    assert clgrad.finfo(clgrad.float8_e8m0fnu).min == 2.0 ** -127
    assert (clgrad.finfo(clgrad.float8_e4m3fn).max, clgrad.finfo(clgrad.float8_e5m2).max) == (448, 57344)
