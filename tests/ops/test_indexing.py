"""``x[...]`` read and assigned with every kind of index, against PyTorch and NumPy; its gradients; its errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error
from tests.runtime.scripts import run

SHAPE = (3, 4, 5)


def _mask(t, *shape):
    return t.tensor((np.arange(int(np.prod(shape))) % 3 == 0).reshape(shape))


# Index expressions over a tensor of SHAPE, for either library.
EXPRESSIONS = {
    "vector": lambda t: t.tensor([2, 0, -1, 2]),
    "int32": lambda t: t.tensor([2, 0], dtype=t.int32),
    "matrix": lambda t: t.tensor([[0, 1], [2, -3]]),
    "scalar tensor": lambda t: t.tensor(-1),
    "list": lambda t: [0, 2],
    "long list": lambda t: [0, 2] * 20,
    "empty list": lambda t: [],
    "range": lambda t: range(2),
    "array": lambda t: np.array([1, -1]),
    "small array": lambda t: np.array([1, 2], dtype=np.int16),
    "nested lists": lambda t: [[0, 1], [1, 0]],
    "list of tensors": lambda t: [t.tensor([0]), t.tensor([3])],
    "list with a slice": lambda t: [0, slice(1, 3)],
    "list of bools": lambda t: [True, False, True],
    "tuple of lists": lambda t: ([0, 2], [1, 3]),
    "broadcast": lambda t: (t.tensor([[0], [2]]), t.tensor([1, 3, 0])),
    "apart": lambda t: ([0, 2], slice(None), [1, 4]),
    "apart by an integer": lambda t: ([0, 2], 1, [1, 4]),
    "integer in front": lambda t: (0, slice(None), [1, 4]),
    "neighbours behind": lambda t: (slice(None), [1, 0], [1, 4]),
    "middle": lambda t: (slice(None), [1, 0, 3], slice(None, None, 2)),
    "last": lambda t: (Ellipsis, [4, 4, 0]),
    "None before": lambda t: (None, [1, 0]),
    "None between": lambda t: ([1, 0], None, [2, 3]),
    "zero-d with a vector": lambda t: (t.tensor([1, 0]), slice(None), t.tensor(3)),
    "True": lambda t: True,
    "False": lambda t: False,
    "True and a list": lambda t: (True, [0, 1]),
    "True inside": lambda t: (slice(None), True, [0, 1]),
    "tensor True": lambda t: t.tensor(True),
    "mask": lambda t: _mask(t, *SHAPE),
    "mask of rows": lambda t: _mask(t, 3),
    "mask of two dimensions": lambda t: _mask(t, 3, 4),
    "mask behind": lambda t: (slice(None), _mask(t, 4)),
    "mask of two behind": lambda t: (slice(1, None), _mask(t, 4, 5)),
    "mask and list": lambda t: (_mask(t, 3), slice(None), [0, 1]),
    "mask of nothing": lambda t: t.zeros(*SHAPE, dtype=t.bool),
    "array of bools": lambda t: np.array([True, False, True]),
    "empty tensor": lambda t: t.zeros(0, dtype=t.int64),
    "empty of two": lambda t: t.zeros(0, 2, dtype=t.int64),
}


def _values():
    return np.arange(np.prod(SHAPE), dtype=np.float64).reshape(SHAPE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_reading_and_assigning(name, torch):
    found, expected = (t.tensor(_values()) for t in (clgrad, torch))
    index, reference = (EXPRESSIONS[name](t) for t in (clgrad, torch))
    got = found[index]
    assert_same(got, expected[reference])
    assert got.is_contiguous()
    for _, x, i in ((clgrad, found, index), (torch, expected, reference)):
        x[i] = -1.5
        x.transpose(0, 2).transpose(0, 2)[i] += 3
    assert_same(found, expected)
    shape = tuple(got.shape)
    for t, x, i in ((clgrad, found, index), (torch, expected, reference)):
        x[i] = t.ones(shape[1:], dtype=t.float64) * 7
    assert_same(found, expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_strided_and_differentiated(name, torch):
    weight = np.random.default_rng(0).normal(size=SHAPE)
    grads = []
    for t in (clgrad, torch):
        base = t.tensor(np.ascontiguousarray(_values().transpose(2, 0, 1)), requires_grad=True)
        x = base.permute(1, 2, 0)
        y = x[EXPRESSIONS[name](t)]
        z = x * t.tensor(weight)
        z[EXPRESSIONS[name](t)] = y * y
        (z.cos().sum() + (y * y).sum()).backward()
        grads.append(base.grad)
    assert_same(grads[0], grads[1], rtol=1e-9)


@st.composite
def _indexing(draw):
    """A shape, and an index of it as nested Python objects: slices, integers, None, lists of indices, a mask."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    common = draw(st.sampled_from([(1,), (2,), (3, 1), (2, 2), (0,)]))
    items, d = [], 0
    while d < len(shape):
        kind = draw(st.sampled_from(["slice", "integer", "vector", "none", "mask", "stop"]))
        if kind == "stop":
            break
        if kind == "none":
            items.append(None)
            continue
        if kind == "slice":
            ends = st.none() | st.integers(-5, 5)
            items.append(slice(draw(ends), draw(ends), draw(st.none() | st.integers(1, 3))))
        elif kind == "integer":
            items.append(draw(st.integers(-shape[d], shape[d] - 1)))
        elif kind == "mask":
            items.append(np.arange(shape[d]) < max(common[-1], 1) if shape[d] >= max(common[-1], 1) else slice(None))
        else:
            count = int(np.prod(common))
            items.append(np.array(draw(st.lists(st.integers(-shape[d], shape[d] - 1), min_size=count, max_size=count)),
                                  np.int64).reshape(common))
        d += 1
    if draw(st.booleans()) and not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    return shape, items


def _for(t, items):
    return tuple(t.tensor(i) if isinstance(i, np.ndarray) else i for i in items)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(_indexing())
def test_random_expressions(torch, drawn):
    shape, items = drawn
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found, expected = clgrad.tensor(values), torch.tensor(values)
    try:
        wanted = expected[_for(torch, items)]
    except (IndexError, RuntimeError):
        with pytest.raises(IndexError):
            found[_for(clgrad, items)].tolist()
        return
    assert_same(found[_for(clgrad, items)], wanted)
    fresh = np.arange(wanted.numel(), dtype=np.float32).reshape(tuple(wanted.shape)) + 100
    found[_for(clgrad, items)] = clgrad.tensor(fresh)
    expected[_for(torch, items)] = torch.tensor(fresh)
    assert_same(found, expected)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32"])
def test_every_dtype(dtype, torch):
    values = np.arange(12).reshape(3, 4) % 5
    found, expected = (t.tensor(values).to(getattr(t, dtype)) for t in (clgrad, torch))
    for t, x in ((clgrad, found), (torch, expected)):
        x[[2, 0]] = x[[0, 1]]
        x[x > 2] = 1
        x.index_put_((t.tensor([0, 0, 1]),), t.ones(3, 4).to(x.dtype), accumulate=True)
    assert_same(found.float(), expected.float())


@pytest.mark.filterwarnings("ignore")
def test_a_mask_of_bytes(torch):
    found, expected = (t.tensor(_values())[_mask(t, 3, 4).to(t.uint8)] for t in (clgrad, torch))
    assert_same(found, expected)


def test_the_last_of_several_values_stays():
    x = clgrad.zeros(3)
    x[clgrad.tensor([1, 1, 0, 1])] = clgrad.tensor([5., 6., 7., 8.])
    assert x.tolist() == [7., 8., 0.]


def test_index_put_accumulates_in_order(torch):
    rng = np.random.default_rng(3)
    places, values = rng.integers(0, 10, 5000), rng.normal(size=5000).astype(np.float32)
    expected = np.zeros(10, np.float32)
    np.add.at(expected, places, values)
    found = clgrad.zeros(10).index_put((clgrad.tensor(places),), clgrad.tensor(values), accumulate=True)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_second_derivatives():
    x = clgrad.randn(3, 4, dtype=clgrad.float64, requires_grad=True)
    v = clgrad.randn(2, 1, dtype=clgrad.float64, requires_grad=True)
    rows = (clgrad.tensor([2, 0]),)
    assert gradcheck(lambda a: a[[0, 2, 0], [1, 1, 1]], (x,))
    assert gradgradcheck(lambda a: (a ** 3)[[0, 2, 0], [1, 1, 1]], (x,))
    assert gradcheck(lambda a, b: (a * a).index_put(rows, b * b), (x, v))
    assert gradgradcheck(lambda a, b: (a ** 3).index_put(rows, b ** 3, accumulate=True), (x, v))
    assert gradgradcheck(lambda a: (a ** 3)[a > 0], (x,))


@pytest.mark.parametrize("program", [
    lambda t, x: x[::-1],
    lambda t, x: x[0, 0, 0, 0],
    lambda t, x: x[[3]],
    lambda t, x: x[:, t.tensor([-5])],
    lambda t, x: x[[0, 1], [0, 1, 2]],
    lambda t, x: x[t.tensor([0.5])],
    lambda t, x: x[1.5],
    lambda t, x: x[t.zeros(2, 2, dtype=t.bool)],
    lambda t, x: x[t.tensor([1], dtype=t.int8)],
    lambda t, x: x.__setitem__([0, 1], t.ones(7)),
    lambda t, x: x.__setitem__(x > 3, t.ones(2)),
    lambda t, x: x.__setitem__([9], 0.0),
    lambda t, x: x.__setitem__(0, [1.0]),
    lambda t, x: x.__setitem__(x > 3, ()),
    lambda t, x: x.bool().__setitem__(0, None),
    lambda t, x: x.long().__setitem__(0, "a"),
    lambda t, x: x.index_put((t.tensor([0]),), t.tensor(1)),
    lambda t, x: x.__setitem__([0, 1], t.tensor(1)),
    lambda t, x: x.__setitem__((slice(None), [1]), t.ones(1, dtype=t.float64)),
    lambda t, x: x.__setitem__(x > 57, t.ones(2, dtype=t.float64)),
    lambda t, x: x.index_put([t.tensor([0])] * 4, t.tensor(1.0)),
    lambda t, x: t.zeros(0, 2)[[0]],
])
def test_errors_are_those_of_pytorch(program, torch):
    assert_same_error(torch, lambda t: program(t, t.arange(60.0).reshape(SHAPE)))


def test_an_index_that_only_the_device_knows_is_found_later():
    n = 1 << 18
    index = clgrad.arange(n) + 1
    x = clgrad.zeros(n)
    with pytest.raises(IndexError, match=f"size {n}"):
        x[index].tolist()
    with pytest.raises(IndexError, match=f"size {n}"):
        x[index] = 9.0
        x.tolist()
    assert x[0].item() == 0 and x.sum().item() == 9.0 * (n - 1)
    assert clgrad.equal(x[index - 1], x)


WINDOWS = [
    (0,), (-2,), (1, 2), (slice(None),), (slice(1, 9, 2),), (slice(3, 1), 0), (Ellipsis, 1), (0, Ellipsis), (Ellipsis,),
    (1, Ellipsis, slice(0, 2), 0), (slice(-1, None), slice(None, None, 3), -1), (3, 2, 3), (slice(4, 9), Ellipsis),
    (slice(None, None, 5), slice(None, None, 4)), (Ellipsis, 0, Ellipsis), (Ellipsis, Ellipsis)]


@pytest.mark.parametrize("index", WINDOWS, ids=str)
def test_windows_are_those_of_views_one_after_the_other(index, torch):
    expected = torch.arange(60).view(3, 4, 5).expand(2, 3, 4, 5)[1].transpose(0, 1)[..., 1:]
    x = clgrad.arange(60.).view(3, 4, 5).expand(2, 3, 4, 5)[1].transpose(0, 1)[..., 1:]
    recorded = x.detach().requires_grad_()[index if len(index) > 1 else index[0]]
    found, wanted = x[index if len(index) > 1 else index[0]], expected[index]
    for made in (found, recorded):
        assert (made.shape, made.stride(), made.storage_offset()) == (
            wanted.shape, wanted.stride(), wanted.storage_offset())
    assert found.tolist() == wanted.tolist() and found._is_view()


@pytest.mark.parametrize("index", [5, -6, (0, 9), (0, 0, 0, 0), (0, slice(None, None, 0)), "a", (slice("a"),),
                                   (0, Ellipsis, Ellipsis, 0)], ids=str)
def test_windows_that_are_wrong(index, torch):
    found = []
    for library in (torch, clgrad):
        with pytest.raises((IndexError, ValueError, TypeError, RuntimeError)) as caught:
            library.zeros(5, 4, 3)[index]
        found.append((type(caught.value), str(caught.value)))
    assert found[0][0] is found[1][0]


def test_windows_follow_changes_of_their_base():
    x, w = clgrad.zeros(2, 3), clgrad.ones(3, requires_grad=True)
    row, element = x[1], x[1, 2]
    x[1] = w * 2
    assert element.tolist() == 2 and row.requires_grad
    (row * row).sum().backward()
    assert w.grad.tolist() == [8.] * 3
    element += 1
    assert x.tolist() == [[0, 0, 0], [2, 2, 3]]


def test_single_elements_are_written_where_they_lie():
    for make in (lambda: clgrad.zeros(2, 3), lambda: clgrad.zeros(2, 3) + 0, lambda: clgrad.tensor([[0.] * 3] * 2),
                 lambda: clgrad.from_numpy(np.zeros((2, 3), np.float32)), lambda: clgrad.zeros(3, 2).t()):
        x = make()
        version, y = x._version, x.reshape(-1)[:0]
        x[1, 0], x[0, -1] = 2.5, -1
        assert x.tolist() == [[0, 0, -1], [2.5, 0, 0]] and x._version > version and not y.numel()
    array = np.zeros(3, np.float32)
    x = clgrad.from_numpy(array)
    x[1] = 4
    assert array.tolist() == [0, 4, 0]
    x = clgrad.ones(3, requires_grad=True)
    y = x * 1
    z = y.exp()
    y[0] = 3.0
    z.sum().backward()
    assert clgrad.allclose(x.grad, clgrad.ones(3).exp())
    y = x * 1
    z = y * y
    y[0] = 3.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_assigning_to_a_leaf_is_refused():
    x = clgrad.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        x[[0]] = 1.0


def test_reading_a_value_from_memory_of_its_own_tells_of_a_wrong_index():
    run("""
    import clgrad
    x, far = clgrad.ones(4, device="cuda"), clgrad.tensor([9], device="cuda")
    for read in (lambda y: y.item(), lambda y: y.tolist(), lambda y: y.cpu().numpy()):
        try:
            read(x[far + 0] + 1)
        except IndexError as error:
            assert "out of bounds" in str(error)
        else:
            raise SystemExit("no error")
    assert (x[far - 8] + 1).item() == 2
    """, CLGRAD_DISCRETE="1")
