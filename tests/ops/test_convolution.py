"""Convolutions against PyTorch: every option, unbatched input, gradients to second order, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, assert_same_outcome

# name: (function, input, weight, options); with a bias of the right length unless it says otherwise
CASES = {
    "plain": ("conv2d", (2, 3, 7, 8), (4, 3, 3, 3), {}),
    "no_bias": ("conv2d", (2, 3, 7, 8), (4, 3, 3, 3), {"bias": None}),
    "one_by_one": ("conv2d", (2, 3, 5, 5), (4, 3, 1, 1), {}),
    "stride": ("conv2d", (2, 3, 9, 8), (4, 3, 3, 2), {"stride": (2, 3)}),
    "padding": ("conv2d", (1, 2, 5, 6), (3, 2, 3, 5), {"padding": (1, 2)}),
    "dilation": ("conv2d", (2, 2, 9, 9), (3, 2, 3, 2), {"dilation": (2, 3)}),
    "groups": ("conv2d", (2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ("conv2d", (2, 4, 6, 6), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    "everything": ("conv2d", (2, 4, 11, 10), (6, 2, 3, 2), {"stride": (2, 1), "padding": (2, 1), "dilation": (1, 2),
                                                            "groups": 2}),
    "same": ("conv2d", (2, 2, 6, 7), (3, 2, 3, 5), {"padding": "same"}),
    "same_even": ("conv2d", (2, 2, 6, 7), (3, 2, 2, 4), {"padding": "same"}),
    "valid": ("conv2d", (2, 2, 6, 7), (3, 2, 3, 3), {"padding": "valid"}),
    "unbatched": ("conv2d", (3, 7, 8), (4, 3, 3, 3), {}),
    "empty_batch": ("conv2d", (0, 3, 7, 8), (4, 3, 3, 3), {}),
    "conv1d": ("conv1d", (2, 3, 9), (4, 3, 3), {}),
    "conv1d_options": ("conv1d", (2, 4, 12), (6, 2, 3), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}),
    "conv1d_unbatched": ("conv1d", (3, 9), (4, 3, 3), {"padding": "same"}),
    "transposed": ("conv_transpose2d", (2, 3, 4, 5), (3, 4, 3, 3), {}),
    "transposed_options": ("conv_transpose2d", (2, 4, 4, 5), (4, 3, 3, 2),
                           {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2), "groups": 2}),
    "transposed_dilation": ("conv_transpose2d", (1, 2, 4, 4), (2, 3, 3, 3), {"dilation": 2, "bias": None}),
    "transposed_unbatched": ("conv_transpose2d", (3, 4, 5), (3, 4, 3, 3), {"stride": 2}),
    "transposed_1d": ("conv_transpose1d", (2, 3, 5), (3, 4, 4), {"stride": 2, "padding": 1}),
}


def operands(library, name, dtype=np.float64):
    function, x_shape, w_shape, options = CASES[name]
    draws = np.random.default_rng(5)
    options = dict(options)
    outputs = w_shape[1] * options.get("groups", 1) if "transpose" in function else w_shape[0]
    arrays = [draws.normal(size=s).astype(dtype) for s in (x_shape, w_shape, (outputs,))]
    x, w, b = (library.tensor(a, requires_grad=True) for a in arrays)
    if "bias" in options:
        b = options.pop("bias")
    return getattr(library, function), (x, w, b), options


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_values_and_gradients(name, torch):
    results = []
    for library in (clgrad, torch):
        function, tensors, options = operands(library, name)
        y = function(*tensors, **options)
        (y * y).sum().backward()
        results.append([y.detach(), *(t.grad for t in tensors if t is not None)])
    assert_same(results[0], results[1], 1e-9, 1e-9)


@pytest.mark.parametrize("name", ["plain", "everything", "conv1d", "transposed_options"])
def test_float32(name, torch):
    results = []
    for library in (clgrad, torch):
        function, tensors, options = operands(library, name, np.float32)
        results.append(function(*tensors, **options).detach())
    assert_same(results[0], results[1], 1e-4, 1e-4)


def test_groups_may_be_a_tensor(torch):
    def program(t):
        two, F = t.tensor(2), t.nn.functional
        return [F.conv1d(t.ones(1, 2, 3), t.ones(2, 1, 2), groups=two),
                F.conv2d(t.ones(1, 2, 3, 3), t.ones(2, 1, 2, 2), groups=two),
                F.conv_transpose1d(t.ones(1, 2, 3), t.ones(2, 1, 2), groups=two),
                F.conv3d(t.ones(1, 2, 3, 3, 3), t.ones(2, 1, 2, 2, 2), groups=two),
                F.conv_transpose3d(t.ones(1, 2, 3, 3, 3), t.ones(2, 1, 2, 2, 2), groups=two)]
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("layout", ["channels_last", "sliced"])
def test_layouts_of_input_and_weight(layout, torch, rng):
    def laid_out(x):
        if layout == "channels_last":
            return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        wide = x.new_zeros(x.shape[0], x.shape[1] + 1, x.shape[2], 2 * x.shape[3])
        wide[:, 1:, :, ::2] = x
        return wide[:, 1:, :, ::2]
    data, weight = rng.normal(size=(2, 3, 6, 6)), rng.normal(size=(4, 3, 3, 3))
    found = clgrad.conv2d(laid_out(clgrad.tensor(data)), laid_out(clgrad.tensor(weight)))
    assert_same(found, torch.conv2d(torch.tensor(data), torch.tensor(weight)), 1e-9)


SMALL = {
    "plain": (clgrad.conv2d, (1, 2, 3, 3), (2, 2, 2, 2), {}),
    "options": (clgrad.conv2d, (1, 2, 4, 3), (2, 1, 2, 2), {"stride": (2, 1), "padding": 1, "groups": 2}),
    "conv1d": (clgrad.conv1d, (2, 1, 4), (2, 1, 2), {"dilation": 2}),
    "transposed": (clgrad.conv_transpose2d, (1, 2, 2, 2), (2, 1, 2, 2), {"stride": 2}),
}


@pytest.mark.parametrize("name", SMALL)
def test_gradients_to_second_order(name, rng):
    function, x_shape, w_shape, options = SMALL[name]
    outputs = w_shape[1] if "transposed" in name else w_shape[0]
    tensors = tuple(clgrad.tensor(rng.normal(size=s), requires_grad=True) for s in (x_shape, w_shape, (outputs,)))
    assert gradcheck(lambda *t: function(*t, **options), tensors)
    assert gradgradcheck(lambda *t: function(*t, **options), tensors)


@pytest.mark.parametrize("wanted", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1)])
def test_only_what_is_wanted_gets_a_gradient(wanted, rng):
    x, w, b = (clgrad.tensor(rng.normal(size=s), requires_grad=bool(g))
               for s, g in zip(((1, 2, 4, 4), (3, 2, 3, 3), (3,)), wanted, strict=True))
    clgrad.conv2d(x, w, b).sum().backward()
    assert [t.grad is not None for t in (x, w, b)] == [bool(g) for g in wanted]
    if wanted[2]:
        np.testing.assert_allclose(b.grad.numpy(), [4.0, 4.0, 4.0])


@pytest.mark.parametrize("program", [
    lambda t: t.conv2d(t.ones(2, 3), t.ones(4, 3, 3, 3)),
    lambda t: t.conv2d(t.ones(1, 2, 5, 5), t.ones(4, 3, 3, 3)),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3)),
    lambda t: t.conv2d(t.ones(1, 3, 2, 2), t.ones(4, 3, 3, 3)),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3), t.ones(3)),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3), stride=0),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3), padding=-1),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3), dilation=0),
    lambda t: t.conv2d(t.ones(1, 4, 5, 5), t.ones(3, 2, 3, 3), groups=2),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3), padding="same", stride=2),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3), padding="some"),
    lambda t: t.conv2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3, dtype=t.float64)),
    lambda t: t.conv1d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3)),
    lambda t: t.conv_transpose2d(t.ones(1, 3, 5, 5), t.ones(3, 4, 3, 3), output_padding=1),
    lambda t: t.conv_transpose2d(t.ones(1, 3, 5, 5), t.ones(4, 3, 3, 3)),
    lambda t: t.conv2d([1.0], t.ones(4, 3, 3, 3)),
])
def test_errors(program, torch):
    assert_same_error(torch, program)
