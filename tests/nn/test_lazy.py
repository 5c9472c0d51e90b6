"""Parameters and buffers that wait for their shapes: what may be done with them, and what is an error."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import clgrad
from clgrad import nn

REFUSED = {
    "add": lambda t, p: p + p,
    "a number": lambda t, p: 1 + p,
    "numel": lambda t, p: p.numel(),
    "relu": lambda t, p: p.relu(),
    "empty_like": lambda t, p: t.empty_like(p),
    "linear": lambda t, p: t.nn.functional.linear(t.ones(2, 2), p),
    "stack": lambda t, p: t.stack([p, p]),
    "index": lambda t, p: p[0],
    "view": lambda t, p: p.view(3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operators_refuse_a_parameter_without_a_shape(name, torch):
    for t in (torch, clgrad):
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            REFUSED[name](t, t.nn.UninitializedParameter())


def test_a_parameter_without_a_shape_is_converted_copied_and_pickled():
    waiting = nn.UninitializedParameter()
    assert waiting.size() == (0,) and waiting.is_floating_point() and waiting.get_device() == -1
    for made in (waiting.double(), waiting.to("cpu", clgrad.float64)):
        assert type(made) is nn.UninitializedParameter and made.dtype is clgrad.float64 and made.requires_grad
    for made in (copy.deepcopy(waiting.half()), pickle.loads(pickle.dumps(waiting.half()))):
        assert type(made) is nn.UninitializedParameter and made.dtype is clgrad.float16
    waiting.materialize((2, 3))
    assert type(waiting) is nn.Parameter and waiting.shape == (2, 3)


def test_lazy_layers_are_saved_before_their_first_call():
    net = nn.Sequential(nn.LazyConv2d(3, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(5)).double()
    file = io.BytesIO()
    clgrad.save(net.state_dict(), file)
    file.seek(0)
    state = clgrad.load(file)
    assert isinstance(state["0.weight"], nn.UninitializedParameter)
    assert isinstance(state["1.running_mean"], nn.UninitializedBuffer)
    other = copy.deepcopy(net)
    x = clgrad.ones(2, 3, 6, 6, dtype=clgrad.float64)
    expected = net(x)
    assert expected.dtype is clgrad.float64
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other.eval()(x).detach().numpy(), net.eval()(x).detach().numpy())
