"""Layers of programs' own that replace or call parts of PyTorch's layers."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad


def standardised(t):
    """A convolution with standardised weights (Qiao et al. 2019)."""
    class Standardised(t.nn.Conv2d):
        def forward(self, input):
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(input, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5), self.bias)
    return Standardised(4, 4, 3, padding=1, padding_mode="reflect"), (2, 4, 5, 6)


def replaced_convolution(t):
    class Doubled(t.nn.Conv1d):
        def _conv_forward(self, input, weight, bias):
            return super()._conv_forward(input, weight * 2, bias)
    return t.nn.Sequential(Doubled(3, 4, 2), t.nn.ReLU()), (2, 3, 6)


def enlarging(t):
    class Enlarging(t.nn.ConvTranspose2d):
        def forward(self, input, output_size=None):
            extra = self._output_padding(input, output_size, self.stride, self.padding, self.kernel_size, 2, self.dilation)
            return t.nn.functional.conv_transpose2d(input, self.weight.abs(), None, self.stride, self.padding, extra)

    class Sized(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.up = Enlarging(4, 2, 3, stride=2, padding=1)

        def forward(self, x):
            return self.up(x, output_size=(10, 9))
    return Sized(), (2, 4, 5, 5)


def norm_of_any_rank(t):
    class AnyRank(t.nn.modules.batchnorm._BatchNorm):
        def _check_input_dim(self, input):
            if input.dim() < 2:
                raise ValueError("too few dimensions")
    return AnyRank(4), (3, 4, 2, 2, 2)


def checked_norm(t):
    class Checked(t.nn.BatchNorm2d):
        def forward(self, input):
            self._check_input_dim(input)
            return t.nn.functional.batch_norm(input, None, None, self.weight, self.bias, True, 0.1, self.eps)
    return Checked(4), (3, 4, 2, 2)


def checked_instance_norm(t):
    class Checked(t.nn.InstanceNorm2d):
        def forward(self, input):
            self._check_input_dim(input)
            return super().forward(input) * 2
    return Checked(4, affine=True), (3, 4, 2, 3)


def encoder_that_keeps_weights(t):
    class Keeping(t.nn.TransformerEncoderLayer):
        def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
            x, self.kept = self.self_attn(x, x, x, attn_mask=attn_mask, key_padding_mask=key_padding_mask, need_weights=True,
                                          is_causal=is_causal)
            return self.dropout1(x)

        def _ff_block(self, x):
            return super()._ff_block(x) * self.kept.sum()
    return t.nn.TransformerEncoder(Keeping(4, 2, 8, 0.0, batch_first=True), 2), (3, 5, 4)


def decoder_with_its_own_order(t):
    class Ordered(t.nn.TransformerDecoderLayer):
        def forward(self, tgt):
            x = self._mha_block(self.norm1(tgt), tgt * 2, None, None)
            return self._ff_block(self.norm2(x + self._sa_block(x, None, None)))
    return Ordered(4, 2, 8, 0.0, batch_first=True), (3, 5, 4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning", "ignore:enable_nested_tensor:UserWarning")
@pytest.mark.parametrize("make", [standardised, replaced_convolution, enlarging, norm_of_any_rank, checked_norm,
                                  checked_instance_norm, encoder_that_keeps_weights, decoder_with_its_own_order])
def test_layers_that_are_made_of_parts_of_others(make, torch, rng):
    theirs, shape = make(torch)
    ours, _ = make(clgrad)
    values = {name: rng.standard_normal(value.shape) for name, value in theirs.named_parameters()}
    x, found = rng.standard_normal(shape), []
    for t, layer in ((clgrad, ours), (torch, theirs)):
        layer = layer.double()
        with t.no_grad():
            for name, parameter in layer.named_parameters():
                parameter.copy_(t.from_numpy(values[name]))
        out = layer(t.from_numpy(x))
        (out * out).sum().backward()
        found.append([out.detach().numpy(), *(p.grad.numpy() for p in layer.parameters() if p.grad is not None)])
    for got, expected in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_what_checks_of_dimensions_refuse():
    with pytest.raises(ValueError, match="expected 4D input"):
        checked_norm(clgrad)[0](clgrad.zeros(2, 4))
    with pytest.raises(ValueError, match="too few dimensions"):
        norm_of_any_rank(clgrad)[0](clgrad.zeros(4))
    with pytest.raises(ValueError, match="expected 3D or 4D input"):
        checked_instance_norm(clgrad)[0](clgrad.zeros(2, 4))


def test_members_that_a_function_finds():
    layer = clgrad.nn.Sequential(clgrad.nn.Linear(2, 3), clgrad.nn.BatchNorm1d(3))
    layer.append(layer[0])

    def found(**options):
        return [name for name, _ in layer._named_members(lambda module: module._parameters.items(), **options)]
    assert found(prefix="net") == [f"net.{name}" for name, _ in layer.named_parameters()]
    assert found(remove_duplicate=False)[-2:] == ["2.weight", "2.bias"]
    assert found(recurse=False) == []


@pytest.mark.parametrize("make", [
    lambda nn: nn.Linear(4, 2), lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2, bias=False)),
    lambda nn: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.GroupNorm(1, 4)),
])
def test_hooks_of_parameters_run_in_pytorchs_order(make, torch):
    orders = []
    for t in (clgrad, torch):
        layer, order = make(t.nn), []
        for name, parameter in layer.named_parameters():
            parameter.register_hook(lambda grad, name=name, order=order: order.append(name))
        layer(t.ones(3, 4)).sum().backward()
        orders.append(order)
    assert orders[0] == orders[1]
