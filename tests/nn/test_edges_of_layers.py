"""Layers and losses at the edges: no classes, features that do not fit, statistics that nobody asked for."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.nn import functional as F


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_nothing_is_pytorchs(shape, reduction, smoothing):
    torch = pytest.importorskip("torch")
    expected, got = (t.nn.functional.cross_entropy(t.zeros(shape), t.zeros(shape), reduction=reduction,
                                                   label_smoothing=smoothing).numpy() for t in (torch, clgrad))
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_instance_norm_says_what_does_not_fit(rank):
    kind = getattr(clgrad.nn, f"InstanceNorm{rank}d")
    x = clgrad.rand(2, 3, *(4,) * rank)
    with pytest.warns(UserWarning, match="dim=1 does not match num_features"):
        kind(5)(x)
    with pytest.warns(UserWarning, match="dim=0 does not match num_features"):
        kind(5)(x[0])
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="running_mean should contain 3 elements not 5"):
        kind(5, track_running_stats=True)(x)
    state = dict(kind(3, track_running_stats=True).state_dict())
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match=rf'buffer\(s\) "running_mean" and "running_var" for InstanceNorm{rank}d'):
        kind(3).load_state_dict(state)


def test_a_variance_may_be_changed_before_the_backward_pass():
    x = clgrad.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 9.0]], dtype=clgrad.float64, requires_grad=True)
    variance, mean = clgrad.var_mean(x, 1)
    variance.mul_(2)
    (variance.sum() + 3 * mean.sum()).backward()
    values = x.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), 2 * (values - values.mean(1, keepdims=True)) + 1, rtol=1e-12)
    root = clgrad.std(x, 1)
    root.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        root.sum().backward()
    assert F.cross_entropy(clgrad.zeros(0, 3), clgrad.zeros(0, dtype=clgrad.int64), reduction="sum").item() == 0
