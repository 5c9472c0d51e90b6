"""Gradients of several operands of a pointwise operator, which one launch computes where operands are alike."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same

FUNCTIONS = {
    "mul": lambda t, x, y: x * y, "div": lambda t, x, y: x / y, "atan2": lambda t, x, y: t.atan2(x, y),
    "pow": lambda t, x, y: x.abs() ** y, "hypot": lambda t, x, y: t.hypot(x, y), "maximum": lambda t, x, y: t.maximum(x, y),
    "addcmul": lambda t, x, y: t.addcmul(x * y, x, y, value=0.5), "lerp": lambda t, x, y: t.lerp(x, y, x.sigmoid()),
    "huber": lambda t, x, y: t.nn.functional.huber_loss(x, y + 0 * x, reduction="none", delta=0.7),
    "where": lambda t, x, y: t.where(x > 0, x * y, y), "logaddexp": lambda t, x, y: t.logaddexp(x, y)}
OPERANDS = {
    "alike": lambda x, y: (x, y), "transposed": lambda x, y: (x.t(), y.t()), "crossed": lambda x, y: (x[:, :3], y[:, :3].t()),
    "broadcast": lambda x, y: (x, y[0]), "one": lambda x, y: (x, y[0, 0]), "strided": lambda x, y: (x[::2, 1:], y[1::2, :-1]),
    "empty": lambda x, y: (x[:0], y[:0]), "the same": lambda x, y: (x, x)}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("layout", OPERANDS)
@pytest.mark.parametrize("seed", ["ones", "own", "transposed"])
def test_gradients(name, layout, seed, torch, rng):
    arrays = [rng.uniform(-2, 2, (3 if layout == "crossed" else 4, 5)).astype(np.float32) for _ in range(2)]
    found = []
    for t in (clgrad, torch):
        x, y = (t.from_numpy(a.copy()).requires_grad_() for a in arrays)
        z = FUNCTIONS[name](t, *OPERANDS[layout](x, y))
        g = t.arange(z.numel(), dtype=z.dtype).view(z.shape) / 7
        if seed == "ones":
            z.sum().backward()
        else:
            z.backward(g if seed == "own" else g.t().contiguous().t())
        found.append([v.grad for v in (x, y) if v.grad is not None])
    assert_same(*found, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_dtypes(kind, torch):
    found = []
    for t in (clgrad, torch):
        x, y = (t.tensor([a, 0.5, 2.25, -1.5], dtype=getattr(t, kind), requires_grad=True) for a in (-1.0, 0.5))
        (x * y).sum().backward()
        found.append([x.grad, y.grad])
    assert_same(*found, rtol=0, atol=0)


def test_one_launch_gives_both(monkeypatch):
    x, y = clgrad.randn(4, 5, requires_grad=True), clgrad.randn(4, 5, requires_grad=True)
    z, g, launched = x * y, clgrad.randn(4, 5), []
    monkeypatch.setattr(x.device.compute, "recorder", lambda bound, *_: launched.append(bound.kernel.name))
    dx, dy = clgrad.autograd.grad(z, (x, y), g, retain_graph=True)
    assert len(launched) == 1
    assert clgrad.equal(dx, g * y) and clgrad.equal(dy, g * x)
    launched.clear()
    (dy,) = clgrad.autograd.grad(z, y, g)
    assert launched == ["pointwise_mul_grad_b"]
