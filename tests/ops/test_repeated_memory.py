"""Tensors whose elements share memory, and operands that share memory with what is written: as PyTorch treats them."""

from __future__ import annotations

import pytest

import clgrad


def _outcome(torch, program):
    names = {"torch": torch, "x": torch.ones(2, 1).expand(2, 3), "y": torch.arange(6.), "i": torch.tensor([2, 1, 0])}
    try:
        exec(program, names)
    except RuntimeError as error:
        return "unsupported operation" in str(error)
    return names["x"].tolist(), names["y"].tolist()


@pytest.mark.filterwarnings("ignore:Use of .* on expanded tensors is deprecated")
@pytest.mark.parametrize("program", [
    "x.masked_fill_(torch.tensor([[True, False, True], [False, False, False]]), 2)", "x.index_fill_(0, torch.tensor([1]), 2)",
    "x.masked_fill_(torch.tensor([False, True, True]), torch.tensor(3.))", "x.index_fill_(1, torch.tensor([1]), 2)",
    "x[torch.tensor([0])] = 2", "x[torch.tensor([[True, False, True], [False, False, False]])] = 2",
    "x.index_add_(0, torch.tensor([0]), torch.ones(1, 3))", "x.index_copy_(0, torch.tensor([0]), torch.ones(1, 3))",
    "x.index_put_((torch.tensor([0, 1]),), torch.tensor([[1., 2., 3.], [4., 5., 6.]]))",
    "x.index_put_((torch.tensor([0, 1]), torch.tensor([0, 1])), torch.tensor([2., 3.]), accumulate=True)",
    "x[torch.tensor([0, 1])] = torch.tensor([4., 5., 6.])", "x[torch.tensor([True, False])] = torch.tensor([4., 5., 6.])",
    "y[:2].view(2, 1).expand(2, 3)[:, torch.tensor([1])] = 7",
    "x.scatter_(0, torch.tensor([[0]]), 2.)", "x.add_(1)", "torch.add(torch.ones(2, 3), 1, out=x)",
])
def test_writing_repeated_elements(torch, program):
    assert _outcome(clgrad, program) == _outcome(torch, program)


def test_writing_repeated_elements_is_warned_of():
    with pytest.warns(UserWarning, match="masked_fill_ on expanded tensors"):
        clgrad.ones(1).expand(3).masked_fill_(clgrad.tensor([True, False, True]), 2)


@pytest.mark.parametrize("program", [
    "y.index_add_(0, i, y[:3])", "y.index_copy_(0, i, y[:3])", "y.put_(i, y[:3])", "y.scatter_(0, i, y[:3])",
    "y.index_put_((i,), y[:3])", "i.index_add_(0, i, i.clone())", "i.index_copy_(0, i.clone(), i)", "i.put_(i, i.clone())",
    "i.index_fill_(0, i, 0)", "i.index_put_((i,), i.clone())", "y.index_add_(0, i, y[3:].clone())",
    "y[:3].index_add_(0, i, y[3:])",
])
def test_writing_what_is_read(torch, program):
    assert _outcome(clgrad, program) == _outcome(torch, program)


@pytest.mark.parametrize("make", [
    lambda library, x: library.rand_like(x), lambda library, x: library.randn_like(x),
    lambda library, x: library.randint_like(x, 5), lambda library, x: library.zeros_like(x),
])
@pytest.mark.parametrize("view", [
    lambda library: library.zeros(4, 3, 8, 8).contiguous(memory_format=library.channels_last)[:, :, ::2, ::2],
    lambda library: library.zeros(4, 3, 2).permute(2, 0, 1), lambda library: library.zeros(3, 1).expand(2, 3, 4),
])
def test_strides_of_random_tensors_like_others(torch, make, view):
    expected, found = (make(library, view(library)) for library in (torch, clgrad))
    assert (tuple(found.shape), found.stride()) == (tuple(expected.shape), expected.stride())
    x = clgrad.randn_like(clgrad.zeros(2, 3, 4, 4), memory_format=clgrad.channels_last, requires_grad=True)
    assert x.requires_grad and x.is_leaf and x.is_contiguous(memory_format=clgrad.channels_last)


@pytest.mark.parametrize("program", ["y[1:] = y[2]", "y[:2] = y[1:2]", "x = y.view(2, 3); x[1] = x[1][1]"])
def test_parts_take_one_of_their_own_elements(torch, program):
    assert _outcome(clgrad, program) == _outcome(torch, program)
