"""Views against PyTorch: where they lie, what they share, and what flows back through them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, values

# name: (shape of the input, program over the library and the tensor)
VIEWS = {
    "view": ((2, 3, 4), lambda t, x: x.view(6, 4)),
    "view_infer": ((2, 3, 4), lambda t, x: x.view(2, -1)),
    "view_size": ((2, 3, 4), lambda t, x: x.view(t.Size([4, 6]))),
    "view_ones": ((2, 3, 4), lambda t, x: x.view(1, 2, 1, 12, 1)),
    "view_scalar": ((1, 1), lambda t, x: x.view(())),
    "view_empty": ((0, 3), lambda t, x: x.view(3, 0, 5)),
    "view_as": ((2, 3, 4), lambda t, x: x.view_as(t.zeros(4, 6))),
    "reshape": ((2, 3, 4), lambda t, x: x.reshape(3, 8)),
    "reshape_function": ((2, 3, 4), lambda t, x: t.reshape(x, (-1,))),
    "reshape_as": ((2, 3, 4), lambda t, x: x.reshape_as(t.zeros(24))),
    "permute": ((2, 3, 4), lambda t, x: x.permute(2, 0, -2)),
    "permute_function": ((2, 3, 4), lambda t, x: t.permute(x, (1, 0, 2))),
    "transpose": ((2, 3, 4), lambda t, x: x.transpose(0, -1)),
    "transpose_scalar": ((), lambda t, x: x.transpose(0, -1)),
    "swapaxes": ((2, 3, 4), lambda t, x: t.swapaxes(x, 1, 2)),
    "t": ((2, 3), lambda t, x: x.t()),
    "t_vector": ((3,), lambda t, x: x.t()),
    "T": ((2, 3), lambda t, x: x.T),
    "mT": ((2, 3, 4), lambda t, x: x.mT),
    "movedim": ((2, 3, 4), lambda t, x: x.movedim(0, -1)),
    "movedim_several": ((2, 3, 4, 5), lambda t, x: t.movedim(x, (0, 3), (2, 0))),
    "expand": ((3, 1), lambda t, x: x.expand(2, 3, 4)),
    "expand_one_in_front": ((3, 1), lambda t, x: x.expand(1, 3, 4)),
    "tensor_split_tensor": ((7, 2), lambda t, x: t.tensor_split(x, t.tensor([1, 4]))[1]),
    "expand_keep": ((3, 1), lambda t, x: x.expand(-1, 4)),
    "expand_as": ((3, 1), lambda t, x: x.expand_as(t.zeros(3, 5))),
    "expand_huge": ((1, 2), lambda t, x: x.unsqueeze(0).expand(10000000000000, 3, 2)),
    "broadcast_to": ((3, 1), lambda t, x: t.broadcast_to(x, (2, 3, 2))),
    "narrow": ((4, 5), lambda t, x: x.narrow(1, 1, 3)),
    "narrow_negative": ((4, 5), lambda t, x: t.narrow(x, -1, -2, 2)),
    "select": ((4, 5), lambda t, x: x.select(1, -2)),
    "unsqueeze": ((4, 5), lambda t, x: x.unsqueeze(1)),
    "unsqueeze_last": ((4, 5), lambda t, x: x.unsqueeze(-1)),
    "unsqueeze_scalar": ((), lambda t, x: t.unsqueeze(x, dim=0)),
    "squeeze": ((1, 3, 1), lambda t, x: x.squeeze()),
    "squeeze_dim": ((1, 3, 1), lambda t, x: x.squeeze(-1)),
    "squeeze_several": ((1, 3, 1), lambda t, x: x.squeeze((0, 1))),
    "squeeze_scalar": ((), lambda t, x: x.squeeze(0)),
    "flatten": ((2, 3, 4), lambda t, x: t.flatten(x, 1)),
    "flatten_scalar": ((), lambda t, x: x.flatten()),
    "ravel": ((2, 3), lambda t, x: x.ravel()),
    "unflatten": ((2, 6), lambda t, x: x.unflatten(1, (2, -1))),
    "diagonal": ((3, 4), lambda t, x: x.diagonal()),
    "diagonal_offset": ((2, 3, 4), lambda t, x: x.diagonal(1, 0, 2)),
    "diagonal_below": ((4, 3), lambda t, x: t.diagonal(x, -2)),
    "diagonal_outside": ((3, 3), lambda t, x: x.diagonal(5)),
    "unfold": ((7,), lambda t, x: x.unfold(0, 3, 2)),
    "unfold_middle": ((2, 6, 3), lambda t, x: x.unfold(1, 2, 1)),
    "chunk": ((7, 2), lambda t, x: x.chunk(3)[-1]),
    "split": ((7, 2), lambda t, x: x.split(3)[2]),
    "split_sizes": ((7, 2), lambda t, x: t.split(x, [1, 4, 2])[1]),
    "tensor_split": ((7, 2), lambda t, x: t.tensor_split(x, 3)[1]),
    "tensor_split_places": ((7, 2), lambda t, x: x.tensor_split([2, 5])[1]),
    "unbind": ((3, 4), lambda t, x: x.unbind(1)[2]),
    "as_strided": ((12,), lambda t, x: x.as_strided((2, 3), (4, 1), 1)),
    "detach": ((3, 4), lambda t, x: x.detach()),
    "int": ((3, 4), lambda t, x: x[1]),
    "int_negative": ((3, 4), lambda t, x: x[-1, -2]),
    "slice": ((5, 6), lambda t, x: x[1:4]),
    "slice_step": ((5, 6), lambda t, x: x[::2, 1::3]),
    "slice_beyond": ((5, 6), lambda t, x: x[3:100, -100:2]),
    "slice_empty": ((5, 6), lambda t, x: x[4:2]),
    "slice_past_the_end": ((5, 6), lambda t, x: x[7:]),
    "none": ((3, 4), lambda t, x: x[:, None, 1]),
    "ellipsis": ((2, 3, 4), lambda t, x: x[..., 1]),
    "ellipsis_middle": ((2, 3, 4), lambda t, x: x[1, ..., 1:3]),
    "ellipsis_nothing": ((2, 3), lambda t, x: x[0, ..., 1]),
    "everything": ((2, 3, 4), lambda t, x: x[None, 1, ..., None, ::2]),
    "tensor_index": ((3, 4), lambda t, x: x[t.tensor(2), t.tensor(-1)]),
    "numpy_index": ((3, 4), lambda t, x: x[np.int64(1)]),
    "scalar_ellipsis": ((), lambda t, x: x[...]),
    "scalar_none": ((), lambda t, x: x[None]),
    "colon": ((3, 4), lambda t, x: x[:]),
}
LAYOUTS = {"contiguous": lambda x: x, "sliced": lambda x: x}


def made(library, shape, layout):
    """Distinct numbers, in a tensor that begins within its storage and is not dense where ``layout`` says so."""
    count = int(np.prod(shape))
    if layout == "contiguous" or not shape:
        return library.arange(float(count)).reshape(shape)
    wide = (*shape[:-1], 2 * shape[-1] + 3)
    base = library.arange(float(np.prod(wide))).reshape(wide)
    return base[..., 2:2 * shape[-1] + 2:2]


def place(view):
    return tuple(view.shape), tuple(view.stride()), view.storage_offset(), view.is_contiguous()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_lies_where_pytorch_has_it(name, layout, torch):
    shape, program = VIEWS[name]
    x, y = made(clgrad, shape, layout), made(torch, shape, layout)
    try:
        expected = program(torch, y)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            program(clgrad, x)
        return
    before = x.device.compute.clock.submitted
    found = program(clgrad, x)
    if expected.untyped_storage().data_ptr() == y.untyped_storage().data_ptr():
        assert x.device.compute.clock.submitted == before, "a view launched a kernel"
        assert found.memory is x.memory
        assert place(found) == place(expected)
    if expected.numel() < 1e6:
        np.testing.assert_array_equal(values(found), values(expected))


@pytest.mark.parametrize("name", [n for n in VIEWS if "expand" not in n and "broadcast" not in n and "unfold" not in n])
def test_writing_is_seen_on_both_sides(name, torch):
    shape, program = VIEWS[name]
    x, y = made(clgrad, shape, "contiguous"), made(torch, shape, "contiguous")
    view, reference = program(clgrad, x), program(torch, y)
    view.mul_(10)
    reference.mul_(10)
    np.testing.assert_array_equal(values(x), values(y))
    x.add_(1000)
    y.add_(1000)
    np.testing.assert_array_equal(values(view), values(reference))


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("detach", "expand_huge")])
def test_gradients(name):
    shape, program = VIEWS[name]
    x = clgrad.tensor(np.random.default_rng(1).normal(size=shape), requires_grad=True)
    assert gradcheck(lambda v: program(clgrad, v), x)


@pytest.mark.parametrize("name", ["view", "permute", "expand", "slice_step", "diagonal", "unfold", "select", "squeeze",
                                  "as_strided"])
def test_second_gradients(name):
    shape, program = VIEWS[name]
    x = clgrad.tensor(np.random.default_rng(1).normal(size=shape), requires_grad=True)
    assert gradgradcheck(lambda v: program(clgrad, v * v * v), x)


@pytest.mark.parametrize("program", [
    lambda t: t.zeros(2, 3).view(5),
    lambda t: t.zeros(2, 3).view(-1, -1),
    lambda t: t.zeros(2, 3).view(-2, 3),
    lambda t: t.zeros(2, 3).view(4, -1),
    lambda t: t.zeros(0, 3).view(0, -1),
    lambda t: t.zeros(2, 3).t().view(6),
    lambda t: t.zeros(2, 3).reshape(7),
    lambda t: t.zeros(2, 3).permute(0, 0),
    lambda t: t.zeros(2, 3).permute(0),
    lambda t: t.zeros(2, 3).permute(0, 2),
    lambda t: t.zeros(2, 3).transpose(0, 2),
    lambda t: t.zeros(2, 3, 4).t(),
    lambda t: t.zeros(2, 3).expand(2),
    lambda t: t.zeros(2, 3).expand(2, 4),
    lambda t: t.zeros(2, 3).expand(-1, 2, 3),
    lambda t: t.zeros(4).narrow(0, 2, 3),
    lambda t: t.zeros(4).narrow(0, 5, 0),
    lambda t: t.zeros(4).narrow(1, 0, 1),
    lambda t: t.zeros(4).narrow(0, 0, -1),
    lambda t: t.zeros(4).select(0, 4),
    lambda t: t.zeros(()).select(0, 0),
    lambda t: t.zeros(4).unsqueeze(3),
    lambda t: t.zeros(4).squeeze(2),
    lambda t: t.zeros(2, 3).flatten(1, 0),
    lambda t: t.zeros(2, 6).unflatten(1, (4, 2)), lambda t: t.tensor(1).unflatten(0, [1]),
    lambda t: t.zeros(2, 3).diagonal(0, 1, 1),
    lambda t: t.zeros(4).unfold(0, 5, 1),
    lambda t: t.zeros(4).unfold(0, 2, 0),
    lambda t: t.zeros(4).chunk(0),
    lambda t: t.zeros(4).split(-1),
    lambda t: t.zeros(4).split([1, 2]),
    lambda t: t.zeros(()).unbind(0),
    lambda t: t.zeros(4).as_strided((3, 3), (3, 1)),
    lambda t: t.zeros(4).as_strided((2,), (1, 1)),
    lambda t: t.zeros(()).tensor_split(1),
    lambda t: t.zeros(4).tensor_split(t.tensor(1.1)),
    lambda t: t.zeros(4).tensor_split(t.zeros(1, 1, dtype=t.int64)),
    lambda t: t.zeros(4).resize_(2, 4, 2 ** 29, 2 ** 29),
    lambda t: t.zeros(4).resize_(8, 8, 2 ** 29, 2 ** 29),
    lambda t: t.zeros(4).resize_(0, 4, 2 ** 29, 2 ** 40),
    lambda t: t.zeros(4).resize_(2 ** 45),
    lambda t: t.zeros(4).__delitem__(0),
    lambda t: t.zeros(4).flip(),
    lambda t: t.nonzero(t.zeros(4), as_tuple=True, out=t.empty(0, dtype=t.int64)),
    lambda t: t.zeros(4)[4],
    lambda t: t.zeros(4)[-5],
    lambda t: t.zeros(4)[0, 0],
    lambda t: t.zeros(())[0],
    lambda t: t.zeros(4)[::-1],
    lambda t: t.zeros(4)[::0],
    lambda t: t.zeros(2, 3).mT.T.view(7),
    lambda t: t.zeros(2).mT,
])
def test_errors_are_those_of_pytorch(program, torch):
    assert_same_error(torch, program)


@pytest.mark.parametrize("program", [
    lambda t, x: x.__setitem__(1, 100.0),
    lambda t, x: x.__setitem__((slice(None), 1), t.tensor([7.0, 8.0, 9.0])),
    lambda t, x: x.__setitem__((slice(None, None, 2), slice(1, None)), t.tensor(5)),
    lambda t, x: x.__setitem__(..., t.arange(4.0)),
    lambda t, x: x.__setitem__((0, ...), t.ones(1, 1, 4)),
    lambda t, x: x.__setitem__((slice(0, 2), 0), t.tensor([3.0, 4.0])),
    lambda t, x: x.__setitem__(slice(5, 9), 3.0),
    lambda t, x: x[1].__setitem__(slice(0, 2), x[0, 2:]),
    lambda t, x: x.t().__setitem__(0, -1.0),
])
def test_assignment_by_index(program, torch):
    x, y = made(clgrad, (3, 4), "contiguous"), made(torch, (3, 4), "contiguous")
    program(clgrad, x)
    program(torch, y)
    np.testing.assert_array_equal(values(x), values(y))


@pytest.mark.parametrize("program", [
    lambda t: t.zeros(3, 4).__setitem__(0, t.zeros(3)),
    lambda t: t.zeros(3, 4).__setitem__(3, 0.0),
    lambda t: t.zeros(3, 4).__setitem__((0, 0, 0), 0.0),
    lambda t: t.zeros(3, 4).__setitem__(0, t.zeros(2, 4)),
])
def test_bad_assignments(program, torch):
    assert_same_error(torch, program)


def test_view_as_another_dtype(torch):
    data = np.array([[1.5, -2.0], [0.25, 8.0]], np.float32)
    x, y = clgrad.tensor(data), torch.tensor(data)
    for name in ("int32", "uint8", "int16", "float64", "int64"):
        found, expected = x.view(getattr(clgrad, name)), y.view(getattr(torch, name))
        assert place(found) == place(expected)
        np.testing.assert_array_equal(values(found), values(expected))
    for misfit, what in ((clgrad.zeros(3), "size"), (clgrad.zeros(4)[1:3], "storage_offset"),
                         (clgrad.zeros(4).as_strided((2, 2), (1, 1)), "stride")):
        with pytest.raises(RuntimeError, match=rf"self.{what}\(.*\) must be divisible by 2"):
            misfit.view(clgrad.float64)
    with pytest.raises(RuntimeError):
        x.t().view(clgrad.uint8)


shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def shapes_and_indices(draw):
    shape = draw(shapes)
    items = []
    for size in shape[:draw(st.integers(0, len(shape)))]:
        kinds = [st.slices(size).filter(lambda s: s.step is None or 0 < s.step < 2**31)]
        if size:
            kinds.append(st.integers(-size, size - 1))
        items.append(draw(st.one_of(kinds)))
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), None)
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return shape, tuple(items)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(shapes_and_indices())
def test_any_basic_index(torch, case):
    shape, index = case
    try:
        expected = made(torch, shape, "contiguous")[index]
    except IndexError:
        with pytest.raises(IndexError):
            made(clgrad, shape, "contiguous")[index]
        return
    found = made(clgrad, shape, "contiguous")[index]
    assert place(found) == place(expected)
    np.testing.assert_array_equal(values(found), values(expected))


def test_a_step_beyond_64_bits(torch):
    for n in (0, 1):  # PyTorch cannot describe a longer one
        assert place(clgrad.ones(n)[::1 << 63]) == place(torch.ones(n)[::1 << 63])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_any_chain_of_views(torch, data):
    """Permutations, slices and reshapes one after the other lie where PyTorch has them, or need a copy as there."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    x, y = made(clgrad, shape, "contiguous"), made(torch, shape, "contiguous")
    for _ in range(data.draw(st.integers(1, 3))):
        order = data.draw(st.permutations(range(y.ndim)))
        x, y = x.permute(order), y.permute(order)
        dim = data.draw(st.integers(0, y.ndim - 1))
        cut = slice(data.draw(st.integers(0, y.shape[dim] - 1)), None, data.draw(st.integers(1, 2)))
        index = (slice(None),) * dim + (cut,)
        x, y = x[index], y[index]
        assert place(x) == place(y)
        if data.draw(st.booleans()):
            count = y.numel()
            first = data.draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0]))
            try:
                viewed = y.view(first, -1)
            except RuntimeError:
                with pytest.raises(RuntimeError):
                    x.view(first, -1)
                x, y = x.reshape(first, -1), y.reshape(first, -1)
            else:
                x, y = x.view(first, -1), viewed
            np.testing.assert_array_equal(values(x), values(y))


def test_a_reshape_that_copies_is_no_view():
    x = clgrad.ones(2, 3, requires_grad=True)
    y = (x * 1).t().reshape(6)
    assert not y._is_view() and y.grad_fn.name() == "UnsafeViewBackward0"
    assert not clgrad.ones(2, 3).t().flatten()._is_view()
    y.mul_(2)  # it changes nothing else, and its gradient passes
    y.sum().backward()
    assert x.grad.tolist() == [[2.0] * 3] * 2
    assert clgrad.ones(6)[::2].ravel().is_contiguous()


@pytest.mark.parametrize("window", [((5, 5), (0, 1), 0), ((2, 3), (1, 1), 1)])
def test_gradients_of_a_window_on_an_expanded_tensor(window):
    x = clgrad.tensor(np.arange(5.0), requires_grad=True)
    assert gradcheck(lambda v: v.expand(5, 5).as_strided(*window), x)


def test_copies_of_slices_are_contiguous():
    x = clgrad.rand(2, 4, 3, 3).to(memory_format=clgrad.channels_last)
    assert clgrad.slice_copy(x, 0, 0, 2).is_contiguous()
    assert clgrad.as_strided_copy(x, (2, 2), (1, 2)).is_contiguous()


def test_masks_of_bytes_are_deprecated():
    with pytest.warns(UserWarning, match="uint8 is now deprecated"):
        assert clgrad.arange(3)[clgrad.tensor([1, 0, 1], dtype=clgrad.uint8)].tolist() == [0, 2]


def test_windows_of_nothing_may_begin_anywhere(torch):
    assert_same(clgrad.zeros(3).as_strided((0, 5), (10, 2), 9), torch.zeros(3).as_strided((0, 5), (10, 2), 9))


def test_a_number_is_its_own_transpose():
    x = clgrad.tensor(2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated is said once
        assert x.mT.item() == x.mH.item() == 2
