"""Norms of gradients, modules without initial values, calls with other tensors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad


@pytest.mark.parametrize("norm_type", [0, 1, 2, 3.5, float("inf"), -float("inf"), "inf"])
def test_norms(torch, norm_type):
    def program(lib):
        parameters = [lib.nn.Parameter(lib.zeros(shape)) for shape in ((2, 3), (4,), ())]
        for number, p in enumerate(parameters):
            p.grad = (lib.arange(float(p.numel())) - 2.25 + number).reshape(p.shape)
        total = lib.nn.utils.clip_grad_norm_((p for p in parameters), 1.5, norm_type, foreach=False)
        return [total.item(), *(x for p in parameters for x in p.grad.reshape(-1).tolist())]
    np.testing.assert_allclose(program(clgrad), program(torch), rtol=1e-5)


def test_the_edges_of_clipping():
    p = clgrad.nn.Parameter(clgrad.zeros(2))
    p.grad = clgrad.tensor([float("inf"), 1.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        clgrad.nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    with pytest.warns(UserWarning, match="empty generator"):
        assert clgrad.nn.utils.clip_grad_norm_((q for q in ()), 1.0).item() == 0
    p.grad = clgrad.tensor([3.0, 4.0])
    with pytest.warns(FutureWarning, match="deprecated"):
        assert clgrad.nn.utils.clip_grad_norm(p, 1.0).item() == pytest.approx(5)


def test_skip_init():
    before = clgrad.get_rng_state()
    layer = clgrad.nn.utils.skip_init(clgrad.nn.Linear, 2, 3, bias=False)
    clgrad.nn.utils.skip_init(clgrad.nn.TransformerEncoderLayer, 4, 2, 8)
    assert clgrad.equal(clgrad.get_rng_state(), before)  # nothing was drawn
    assert layer.weight.shape == (3, 2) and layer.weight.requires_grad
    with pytest.raises(RuntimeError, match="device"):
        clgrad.nn.utils.skip_init(clgrad.nn.ReLU)


def test_stateless_calls():
    layer = clgrad.nn.Linear(2, 1)
    state = {"weight": clgrad.ones(1, 2), "bias": clgrad.zeros(1)}
    with pytest.warns(FutureWarning, match="deprecated"):
        found = clgrad.nn.utils.stateless.functional_call(layer, state, clgrad.tensor([1.0, 2.0]))
    assert found.tolist() == [3.0]
