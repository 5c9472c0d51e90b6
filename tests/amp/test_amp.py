"""Autocast's dtypes operator by operator, its switches, custom functions, and the scaler of gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clgrad
from clgrad.cuda import amp as cuda_amp
from clgrad.nn import functional as F
from tests.compare import assert_same_outcome


def results(lib, dtype):
    functional = lib.nn.functional
    x, w, image, kernel = (lib.linspace(-1, 1, math.prod(s)).reshape(s) for s in ((2, 3), (3, 3), (1, 2, 4, 4),
                                                                               (3, 2, 3, 3)))
    with lib.autocast("cpu", dtype=getattr(lib, dtype)):
        y = functional.linear(x, w)
        found = [x @ w.t(), y, functional.conv2d(image, kernel), lib.addmm(lib.zeros(3), x, w.t()),
                 functional.cross_entropy(y, lib.tensor([0, 1])), functional.mse_loss(y, lib.zeros(2, 3)),
                 lib.bmm(x[None], w.t()[None]), y + 1, x + y, x.double() @ w.t().double()]
    return found


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtypes_of_results(torch, dtype):
    for ours, theirs in zip(results(clgrad, dtype), results(torch, dtype), strict=True):
        assert ours.dtype.name == str(theirs.dtype).split(".")[1]
        np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), rtol=2e-2, atol=2e-2)


def test_float32_list_and_gradients():
    w = clgrad.ones(3, 3, requires_grad=True)
    with clgrad.amp.autocast("cpu"):
        y = clgrad.ones(2, 3) @ w
        loss = F.mse_loss(y, clgrad.zeros(2, 3))
    assert y.dtype is clgrad.bfloat16 and loss.dtype is clgrad.float32
    loss.backward()
    assert w.grad.dtype is clgrad.float32
    assert w.grad.tolist() == [[pytest.approx(2.0)] * 3] * 3


def test_switches():
    assert not clgrad.is_autocast_enabled("cpu") and not clgrad.is_autocast_enabled("mps")
    with pytest.raises(RuntimeError, match="Invalid device string: 'nowhere'"):
        clgrad.is_autocast_enabled("nowhere")
    with clgrad.autocast("cpu", dtype=clgrad.float16):
        assert clgrad.is_autocast_enabled("cpu") and clgrad.get_autocast_dtype("cpu") is clgrad.float16
        with clgrad.autocast("cpu", enabled=False):
            assert (clgrad.ones(2, 2) @ clgrad.ones(2, 2)).dtype is clgrad.float32
        assert (clgrad.ones(2, 2) @ clgrad.ones(2, 2)).dtype is clgrad.float16
    assert not clgrad.is_autocast_cpu_enabled() and clgrad.get_autocast_cpu_dtype() is clgrad.bfloat16

    @clgrad.autocast("cpu")
    def product():
        return (clgrad.ones(2, 2) @ clgrad.ones(2, 2)).dtype
    assert product() is clgrad.bfloat16
    with cuda_amp.autocast():
        assert clgrad.is_autocast_enabled() and (clgrad.ones(2, 2) @ clgrad.ones(2, 2)).dtype is clgrad.float32
    with pytest.raises(RuntimeError, match="Invalid device string: 'nowhere'"):
        clgrad.autocast("nowhere")
    with pytest.raises(TypeError, match="requires a callable, but got Tensor"):
        clgrad.autocast("cpu")(clgrad.ones(2))
    assert clgrad.clear_autocast_cache() is None
    with pytest.raises(ValueError, match="of type `str`"):
        clgrad.autocast(3)
    with pytest.warns(UserWarning, match="Disabling autocast"):
        clgrad.autocast("cpu", dtype=clgrad.float64)


def test_custom_functions():
    seen = []

    class Square(clgrad.autograd.Function):
        @staticmethod
        @clgrad.amp.custom_fwd(device_type="cpu", cast_inputs=clgrad.float32)
        def forward(ctx, x):
            seen.append((x.dtype, clgrad.is_autocast_enabled("cpu")))
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @clgrad.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(clgrad.is_autocast_enabled("cpu"))
            return 2 * g * ctx.saved_tensors[0]
    x = clgrad.ones(2, dtype=clgrad.bfloat16, requires_grad=True)
    with clgrad.autocast("cpu"):
        y = Square.apply(x)
    y.sum().backward()
    assert seen == [(clgrad.float32, False), False] and y.dtype is clgrad.float32


def test_scaler():
    p = clgrad.nn.Parameter(clgrad.ones(2))
    optimizer = clgrad.optim.SGD([p], lr=1.0)
    scaler = clgrad.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    scaler.scale(p.sum()).backward()
    assert p.grad.tolist() == [4.0, 4.0]
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="step.. has already been called"):
        scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [0.0, 0.0] and scaler.get_scale() == 4.0
    p.grad = clgrad.tensor([1.0, math.inf])
    assert scaler.step(optimizer) is None
    scaler.update()
    assert p.tolist() == [0.0, 0.0] and scaler.get_scale() == 2.0
    for _ in range(2):
        p.grad = clgrad.zeros(2)
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 4.0
    other = cuda_amp.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    assert clgrad.amp.GradScaler(enabled=False).scale(3) == 3
    with pytest.raises(RuntimeError, match="No inf checks"):
        scaler.update()


def test_lists_of_operators(torch):
    """What PyTorch computes in float32 on CPUs, and where targets may have fewer dimensions."""
    def program(t):
        with t.autocast("cpu", dtype=t.bfloat16):
            low = t.ones(1, 1, 2, 2, 2, dtype=t.bfloat16)
            return [t.nn.functional.avg_pool3d(low, 2), t.nn.functional.avg_pool2d(low[0], 2),
                    t.margin_ranking_loss(t.ones(2, 2), t.zeros(2, 2), t.ones(2), reduction=1)]
    assert_same_outcome(torch, program)
