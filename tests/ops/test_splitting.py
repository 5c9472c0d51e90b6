"""Tensors taken apart: one node for all views of them, and gradients of all, some and the second order."""

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck

WAYS = {
    "split": (lambda x: x.split(2, 1), "SplitBackward0"),
    "uneven": (lambda x: x.split(4, 1), "SplitBackward0"),
    "chunk": (lambda x: x.chunk(3, 1), "SplitBackward0"),
    "sections": (lambda x: x.split([1, 0, 5], 1), "SplitWithSizesBackward0"),
    "split_with_sizes": (lambda x: x.split_with_sizes([2, 4], -1), "SplitWithSizesBackward0"),
    "unbind": (lambda x: x.unbind(1), "UnbindBackward0"),
    "iteration": (list, "UnbindBackward0"),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_node(way):
    apart, name = WAYS[way]
    x = clgrad.ones(4, 6, requires_grad=True)
    pieces = apart(x)
    assert {piece.grad_fn for piece in pieces} == {pieces[0].grad_fn}
    assert pieces[0].grad_fn.name() == name
    assert [piece.output_nr for piece in pieces] == list(range(len(pieces)))
    with pytest.raises(RuntimeError, match="output of a function that returns multiple views"):
        pieces[0].add_(1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("used", [slice(None), slice(0, 1), slice(None, None, 2)])
def test_gradients(way, used):
    apart, _ = WAYS[way]
    x = clgrad.tensor(np.random.default_rng(0).normal(size=(4, 6)), requires_grad=True)

    def f(x):
        return [(piece * piece).sin() for piece in apart(x)[used]]
    assert gradcheck(f, (x,))
    assert gradgradcheck(f, (x,))


def test_unsafe_pieces_may_change():
    x = clgrad.arange(6.0, requires_grad=True)
    a, b = (x * 2).unsafe_split(3)
    a.mul_(10)
    (a.sum() + b.sum()).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [20, 20, 20, 2, 2, 2])


def test_launches_of_gradients(monkeypatch):
    """All pieces: one launch puts them together. One of many: one copy."""
    x = clgrad.ones(64, 8, requires_grad=True)
    launched = []
    monkeypatch.setattr(x.device.compute, "recorder", lambda bound, *_: launched.append(bound.kernel.name))
    x.unbind(0)[5].backward(clgrad.ones(8))
    few = len(launched)
    clgrad.autograd.backward(x.chunk(4, 1), [clgrad.ones(64, 2)] * 4)
    assert few <= 4
    assert launched[few:] == ["concatenate", "pointwise_add"]


@pytest.mark.parametrize("way", ["chunk", "sections", "unbind"])
def test_gradients_that_lie_side_by_side_are_the_whole(way):
    """Nothing is copied where the gradients of all pieces are windows on one memory, as the pieces are; else it is."""
    seed = clgrad.randn(6, 6)
    for moved in (False, True):
        base = clgrad.randn(6, 6, requires_grad=True)
        x = base * 1
        kept = []
        x.register_hook(lambda g, kept=kept: kept.append(g))
        pieces = WAYS[way][0](x)
        grads = WAYS[way][0](seed.clone() if not moved else clgrad.cat([seed, seed])[:6])
        given = [g.clone() for g in grads] if moved else list(grads)
        clgrad.autograd.backward(pieces, given)
        assert clgrad.equal(base.grad, seed)
        assert (kept[0].data_ptr() == given[0].data_ptr()) is (not moved)
    x = clgrad.randn(6, 6, requires_grad=True)
    pieces = WAYS[way][0](x * 1)
    grads = list(WAYS[way][0](seed))
    swapped = [grads[1], grads[0], *grads[2:]] if way != "sections" else grads[::-1]
    if all(a.shape == b.shape for a, b in zip(pieces, swapped, strict=True)):
        clgrad.autograd.backward(pieces, swapped)
        expected = clgrad.stack(swapped, 1) if way == "unbind" else clgrad.cat(swapped, 1)
        assert clgrad.equal(x.grad, expected)
