"""Weights as length and direction, batch normalisation folded into layers."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad import nn


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PyTorch's own
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(torch, dim):
    found = []
    for lib in (clgrad, torch):
        layer = lib.nn.Linear(3, 2)
        with lib.no_grad():
            layer.weight.copy_(lib.linspace(-1, 1, 6).reshape(2, 3))
            layer.bias.fill_(0.5)
        layer = lib.nn.utils.weight_norm(layer, dim=dim)
        layer(lib.tensor([[1.0, 2.0, -1.0]])).sum().backward()
        found.append((sorted(layer.state_dict()), layer.weight_g.grad.tolist(), layer.weight_v.grad.tolist()))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(np.ravel(found[0][1]), np.ravel(found[1][1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-5, atol=1e-6)


def test_removing_weight_norm():
    layer = nn.Linear(3, 2)
    before = layer.weight.tolist()
    nn.utils.weight_norm(layer)
    with pytest.raises(RuntimeError, match="two weight_norm hooks"):
        nn.utils.weight_norm(layer)
    nn.utils.remove_weight_norm(layer)
    assert set(layer.state_dict()) == {"weight", "bias"}
    np.testing.assert_allclose(layer.weight.tolist(), before, rtol=1e-5)
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_weight_norm(layer)


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_fusion(kind):
    layer, bn = ((nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)) if kind == "conv" else (nn.Linear(4, 3), nn.BatchNorm1d(3)))
    x = clgrad.randn(4, 2, 5, 5) if kind == "conv" else clgrad.randn(4, 4)
    bn(layer(x))
    with pytest.raises(AssertionError, match="only for eval"):
        nn.utils.fuse_conv_bn_eval(layer, bn)
    layer.eval()
    bn.eval()
    fused = (nn.utils.fuse_conv_bn_eval if kind == "conv" else nn.utils.fuse_linear_bn_eval)(layer, bn)
    np.testing.assert_allclose(fused(x).detach().numpy(), bn(layer(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("weight", "bias"), [(True, False), (False, True), (False, None)])
def test_what_is_fused_asks_for_gradients_as_before(weight, bias):
    layer, bn = nn.Conv2d(2, 3, 3, bias=bias is not None), nn.BatchNorm2d(3)
    layer.weight.requires_grad = weight
    if bias is not None:
        layer.bias.requires_grad = bias
    fused = nn.utils.fuse_conv_bn_eval(layer.eval(), bn.eval())
    assert (fused.weight.requires_grad, fused.bias.requires_grad) == (weight, bool(bias))


def test_spectral_norm():
    layer = nn.utils.spectral_norm(nn.Conv2d(2, 3, 3), n_power_iterations=40)
    assert set(layer.state_dict()) == {"bias", "weight_orig", "weight_u", "weight_v"}
    layer(clgrad.randn(1, 2, 5, 5)).sum().backward()
    want = layer.weight_orig.detach().numpy().reshape(3, -1)
    np.testing.assert_allclose(layer.weight.detach().numpy().reshape(3, -1), want / np.linalg.norm(want, 2), rtol=1e-3)
    assert layer.weight_orig.grad is not None
    nn.utils.remove_spectral_norm(layer)
    assert set(layer.state_dict()) == {"bias", "weight"}
    assert np.linalg.norm(layer.weight.detach().numpy().reshape(3, -1), 2) == pytest.approx(1.0, rel=1e-3)
