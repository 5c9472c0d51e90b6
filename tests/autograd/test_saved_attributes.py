"""``grad_fn._saved_self`` and ``_raw_saved_self``: what nodes keep for the backward pass, against PyTorch."""

import numpy as np
import pytest

import clgrad

PROGRAMS = {
    "exp": lambda t, x, w: x.exp(), "mul": lambda t, x, w: x * w, "mul by its like": lambda t, x, w: x * w.detach(),
    "div": lambda t, x, w: x / w, "pow": lambda t, x, w: x ** 2, "pow of tensors": lambda t, x, w: x ** w,
    "lerp": lambda t, x, w: t.lerp(x, w, w), "addcdiv": lambda t, x, w: t.addcdiv(x, w, w),
    "clamp": lambda t, x, w: t.clamp(x, w, w), "hypot": lambda t, x, w: t.hypot(x, w),
    "where": lambda t, x, w: t.where(x > 0.5, x, w), "masked_fill": lambda t, x, w: x.masked_fill(x > 0.5, 0),
    "prelu": lambda t, x, w: t.nn.functional.prelu(x, w[0]), "mm": lambda t, x, w: x @ w,
    "conv2d": lambda t, x, w: t.nn.functional.conv2d(x[None, None], w[None, None]),
    "softmax": lambda t, x, w: x.softmax(0), "logsumexp": lambda t, x, w: x.logsumexp(0),
    "std": lambda t, x, w: x.std(), "norm": lambda t, x, w: t.linalg.vector_norm(x), "amax": lambda t, x, w: x.amax(0),
    "max": lambda t, x, w: x.max(0).values, "sort": lambda t, x, w: x.sort(0).values,
    "topk": lambda t, x, w: x.topk(2).values, "cumprod": lambda t, x, w: x.cumprod(0),
    "scatter": lambda t, x, w: x.scatter(0, t.tensor([[1, 0, 2]]), w), "cdist": lambda t, x, w: t.cdist(x, w),
    "pdist": lambda t, x, w: t.pdist(x), "qr": lambda t, x, w: t.linalg.qr(x)[0], "inv": lambda t, x, w: t.linalg.inv(x),
    "pinv": lambda t, x, w: t.linalg.pinv(x), "cross": lambda t, x, w: t.linalg.cross(x, w),
    "gelu": lambda t, x, w: t.nn.functional.gelu(x),
    "median": lambda t, x, w: x.median(), "in place": lambda t, x, w: x.clone().mul_(w),
}


def _saved(torch, program):
    generator = np.random.default_rng(0)
    x, w = (torch.tensor(generator.random((3, 3)), requires_grad=True) for _ in range(2))
    node = program(torch, x, w).grad_fn
    found = {name: getattr(node, name) for name in dir(node) if name.startswith("_saved_")}
    # Settings of the operator, which are no tensors, are PyTorch's alone.
    return {name: None if value is None else value.tolist() for name, value in found.items()
            if isinstance(value, torch.Tensor) or value is None and name == "_saved_self"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_nodes_show_what_they_saved(name):
    torch = pytest.importorskip("torch")
    got, wanted = _saved(clgrad, PROGRAMS[name]), _saved(torch, PROGRAMS[name])
    assert got.keys() == wanted.keys()
    for attribute, value in wanted.items():
        if value is None:
            assert got[attribute] is None
        else:
            np.testing.assert_allclose(got[attribute], value, rtol=1e-6, atol=1e-12)


def test_the_objects_that_were_saved_are_shown():
    a = clgrad.randn(5, requires_grad=True)
    b = a * a
    c, d = a * b, a.exp()
    assert b.grad_fn._saved_self is a and c.grad_fn._saved_other is b
    assert d.grad_fn._saved_result is not d and d.grad_fn._saved_result.grad_fn is d.grad_fn
    with clgrad.no_grad():
        assert d.grad_fn._saved_result.grad_fn is d.grad_fn
    assert {"_saved_result", "_raw_saved_result"} <= set(dir(d.grad_fn))
    with pytest.raises(AttributeError, match="'ExpBackward0' object has no attribute '_saved_other'"):
        _ = d.grad_fn._saved_other


def test_what_is_gone_or_has_changed_is_not_shown():
    a = clgrad.randn(5, requires_grad=True)
    y = a.exp()
    y.sum().backward()
    with pytest.raises(RuntimeError, match="directly access saved tensors after they have already been freed"):
        _ = y.grad_fn._saved_result
    with pytest.raises(RuntimeError, match="after it has been freed"):
        y.grad_fn._raw_saved_result.register_hooks(lambda t: t, lambda t: t)
    b = a * 1
    z = b * b
    b.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        _ = z.grad_fn._saved_self


def test_a_saved_tensor_that_was_detached_in_place_is_refused():
    a = clgrad.tensor(1., requires_grad=True).clone()
    b = a.sin()
    a.detach_()
    with pytest.raises(RuntimeError, match="saved tensor that has been detached in-place"):
        b.backward()
    leaf = clgrad.tensor([3.], requires_grad=True)
    y = leaf * leaf
    leaf.requires_grad_(False)
    y.backward()


@pytest.mark.parametrize("leaf", [True, False])
def test_hooks_on_one_saved_tensor(leaf):
    a = clgrad.tensor([3.], requires_grad=True)
    x = a if leaf else a * 1
    y = x * x
    y.grad_fn._raw_saved_self.register_hooks(lambda t: 2 * t, lambda t: t)
    assert y.grad_fn._saved_self.tolist() == [6] and y.grad_fn._saved_self.grad_fn is x.grad_fn
    y.backward()
    assert a.grad.tolist() == [9]


def test_hooks_that_cannot_be_registered():
    a, w = clgrad.randn(5, requires_grad=True), clgrad.randn(5)
    with pytest.raises(RuntimeError, match="Trying to create a SavedTensor object from Python is forbidden"):
        clgrad.autograd.SavedTensor()
    with pytest.raises(RuntimeError, match="with value None is forbidden"):
        (a * w).grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t)
    y = a * a
    raw = y.grad_fn._raw_saved_self
    assert isinstance(raw, clgrad.autograd.SavedTensor)
    for hooks in ((1, 1), (lambda t: t,), ()):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            raw.register_hooks(*hooks)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        raw.register_hooks(lambda t, more: t, lambda t: t)
    with pytest.raises(RuntimeError, match="pack hook is modifying its input in place"):
        raw.register_hooks(lambda t: t.mul_(2), lambda t: t)
    raw.register_hooks(lambda t: t, lambda t: 1)
    with pytest.raises(RuntimeError, match="hooks have already been set"):
        raw.register_hooks(lambda t: t, lambda t: t)
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor"):
        _ = y.grad_fn._saved_self


def test_hooks_on_what_a_users_function_saved():
    class Double(clgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x, keep):
            if keep:
                ctx.save_for_backward(x, None)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return sum(t for t in ctx.saved_tensors if t is not None) * g, None

    a = clgrad.tensor([3.], requires_grad=True)
    assert Double.apply(a, False).grad_fn._raw_saved_tensors == ()
    y = Double.apply(a, True)
    first, second = y.grad_fn._raw_saved_tensors
    with pytest.raises(RuntimeError, match="with value None is forbidden"):
        second.register_hooks(lambda t: t, lambda t: t)
    first.register_hooks(lambda t: t + 1, lambda t: t * 10)
    y.backward()
    assert a.grad.tolist() == [40]
    with pytest.raises(RuntimeError, match="already been freed"):
        _ = y.grad_fn._raw_saved_tensors
