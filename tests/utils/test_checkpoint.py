"""Checkpoints: nested, differentiated twice, stopped early; what the second run must not do differently."""

from __future__ import annotations

import contextlib
import weakref

import numpy as np
import pytest

import clgrad
from clgrad.utils.checkpoint import (
    CheckpointError,
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)


def again(function):
    return lambda *args: checkpoint(function, *args, use_reentrant=False)


def derivative(function):
    return lambda x: clgrad.autograd.grad(function(x), (x,), create_graph=True)[0]


def smooth(x):
    return x.sin().exp().sin()


def walks_inside(x):
    clgrad.autograd.grad(smooth(x), x)
    return x.sin()


@pytest.mark.parametrize("early_stop", [True, False])
@pytest.mark.parametrize("f", [smooth, walks_inside])
def test_checkpoints_within_checkpoints_and_derivatives(f, early_stop):
    x = clgrad.tensor(0.7, requires_grad=True, dtype=clgrad.float64)
    first = derivative(f)
    second = derivative(first)
    third = derivative(second)
    cases = [(f, again(f)), (f, again(again(f))), (first, derivative(again(again(f)))),
             (second, derivative(again(derivative(again(f))))), (second, again(derivative(derivative(again(f))))),
             (third, derivative(again(derivative(again(derivative(again(f)))))))]
    with set_checkpoint_early_stop(early_stop):
        for plain, nested in cases:
            np.testing.assert_allclose(nested(x).item(), plain(x).item(), rtol=1e-12)


def test_the_graph_of_nested_checkpoints_dies_with_its_result():
    class Mark:
        pass
    x = clgrad.tensor(0.7, requires_grad=True)
    out = derivative(again(again(smooth)))(x)
    mark = Mark()
    out.grad_fn.metadata["mark"] = mark
    reference = weakref.ref(mark)
    del out, mark
    assert reference() is None


@pytest.mark.parametrize("early_stop, runs", [(True, 1), (False, 2)])
def test_the_second_run_stops_after_the_last_tensor_that_is_needed(early_stop, runs):
    calls = []

    def f(x):
        y = x.sin().cos()
        calls.append(1)  # what follows saves nothing
        return y.clone()
    x = clgrad.tensor(1.0, requires_grad=True)
    checkpoint(f, x, use_reentrant=False, early_stop=early_stop).backward()
    assert len(calls) == runs
    np.testing.assert_allclose(x.grad.item(), -np.sin(np.sin(1.0)) * np.cos(1.0), rtol=1e-6)


def test_inner_tensors_are_computed_in_each_pass_and_given_once():
    calls = []

    def f(x):
        calls.append(1)
        return x.exp().exp()
    x = clgrad.tensor(0.5, requires_grad=True)
    y = checkpoint(f, x, use_reentrant=False)
    for _ in range(2):
        y.backward(retain_graph=True)
    assert len(calls) == 3
    np.testing.assert_allclose(x.grad.item(), 2 * np.exp(np.exp(0.5)) * np.exp(0.5), rtol=1e-6)


def test_a_second_run_that_differs_is_refused():
    state = [0]

    def more(x):
        state[0] += 1
        return x.exp().exp() if state[0] == 1 else x.exp() * 2

    def other_shape(x):
        state[0] += 1
        return x[:state[0]].exp().sum()
    x = clgrad.ones(3, requires_grad=True)
    with pytest.raises(CheckpointError, match="A different number of tensors"):
        checkpoint(more, x, use_reentrant=False).sum().backward()
    state[0] = 0
    with pytest.raises(CheckpointError, match="have different metadata"):
        checkpoint(other_shape, x, use_reentrant=False).backward()
    y = x.clone()
    out = checkpoint(lambda t: t.exp().exp(), y, use_reentrant=False)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_the_kind_of_checkpoint_should_be_said():
    x = clgrad.ones(3, requires_grad=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be"):
        checkpoint(clgrad.exp, x)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be"):
        checkpoint_sequential([clgrad.nn.ReLU(), clgrad.nn.Tanh()], 2, x)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad"):
        checkpoint(clgrad.exp, x.detach(), use_reentrant=True)
    with pytest.raises(RuntimeError, match="is incompatible with .grad"):
        clgrad.autograd.grad(checkpoint(clgrad.exp, x, use_reentrant=True).sum(), x)
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(clgrad.exp, x, use_reentrant=False, determinism_check="some")


def block(x, w):
    y = clgrad.nn.functional.layer_norm(x @ w, (4,)).sin()
    return clgrad.nn.functional.linear(y, w).softmax(-1) * y


CHOICES = {
    "nothing": [], "products": [clgrad.ops.aten.mm.default], "norms": [clgrad.ops.aten.layer_norm.default],
    "everything": lambda context, op, *args, **kwargs: CheckpointPolicy.MUST_SAVE,
    "truth": lambda context, op, *args, **kwargs: op == clgrad.ops.aten.sin.default}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=list(CHOICES))
@pytest.mark.parametrize("early_stop", [True, False])
def test_selective_checkpoints_have_the_functions_derivatives(choice, early_stop):
    x, w = (clgrad.randn(4, 4, dtype=clgrad.float64, requires_grad=True) for _ in range(2))

    def contexts():
        return create_selective_checkpoint_contexts(choice)
    plain = clgrad.autograd.grad(block(x, w).sin().sum(), (x, w))
    kept = clgrad.autograd.grad(checkpoint(block, x, w, use_reentrant=False, context_fn=contexts,
                                           early_stop=early_stop).sin().sum(), (x, w))
    for expected, got in zip(plain, kept, strict=True):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


def test_what_is_kept_is_not_computed_again():
    calls = []

    class Counting(clgrad.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            calls.append(func.__name__)
            return func(*args, **(kwargs or {}))
    x = clgrad.rand(3, 3, requires_grad=True)
    asked = []

    def policy(context, op, *args, **kwargs):
        asked.append((op, context.is_recompute))
        return op == clgrad.ops.aten.mm.default

    @contextlib.contextmanager
    def counted(context):
        with Counting(), context:
            yield
    out = checkpoint(lambda t: t.cos().mm(t).sin(), x, use_reentrant=False, early_stop=False,
                     context_fn=lambda: map(counted, create_selective_checkpoint_contexts(policy)))
    out.sum().backward()
    assert [name for name in calls if name in ("cos", "mm", "sin")] == ["cos", "mm", "sin", "cos", "sin"]
    assert asked == [(clgrad.ops.aten.cos, False), (clgrad.ops.aten.mm, False), (clgrad.ops.aten.sin, False)]


def test_selective_checkpoints_refuse_what_they_cannot_do():
    x = clgrad.rand(3, requires_grad=True)

    def run(function, **options):
        return checkpoint(function, x, use_reentrant=False, context_fn=lambda: create_selective_checkpoint_contexts(
            [clgrad.ops.aten.sin.default], **options)).sum()
    with pytest.raises(RuntimeError, match="has been mutated"):
        run(lambda t: t.sin().mul_(2).cos().exp()).backward()
    run(lambda t: t.sin().mul_(2).cos().exp(), allow_cache_entry_mutation=True).backward()
    out = run(lambda t: t.sin().cos().exp())
    out.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="Trying to backward an extra time"):
        out.backward()
    with pytest.raises(ValueError, match="to be an OpOverload"):
        create_selective_checkpoint_contexts([2])
