"""Simulated quantisation against PyTorch: values, gradients, errors."""

from __future__ import annotations

import pytest

from tests.compare import assert_same_outcome


@pytest.mark.parametrize("call", [
    lambda t, x: t.fake_quantize_per_tensor_affine(x, 0.1, 5, -5, 10),
    lambda t, x: t.fake_quantize_per_tensor_affine(x, t.tensor(0.1), t.tensor(3), 0, 255),
    lambda t, x: t.fake_quantize_per_tensor_affine(x, 0.1, 300, 0, 255),
    lambda t, x: t.fake_quantize_per_tensor_affine(x, 0.1, 0, 255, 0),
    lambda t, x: t.fake_quantize_per_tensor_affine(x.long(), 0.1, 0, 0, 255),
    lambda t, x: t.fake_quantize_per_channel_affine(x, t.tensor([0.1, 0.2]), t.zeros(2, dtype=t.int32), 0, 0, 255),
    lambda t, x: t.fake_quantize_per_channel_affine(x, t.full((4,), 0.1), t.full((4,), 0.5), 1, -8, 7),
    lambda t, x: t.fake_quantize_per_channel_affine(x, t.tensor([0.1]), t.zeros(1, dtype=t.int32), 0, 0, 255),
    lambda t, x: t.fake_quantize_per_channel_affine(x, t.tensor([0.1, 0.2]), t.zeros(2, dtype=t.int64), 0, 0, 255)])
def test_fake_quantization(call, torch):
    def program(t):
        x = (t.arange(8.0).reshape(2, 4) / 2.9 - 1).requires_grad_()
        y = call(t, x)
        y.sum().backward()
        return y, x.grad
    assert_same_outcome(torch, program)
