"""Batch normalisation folded into the layer before it, for inference."""

from __future__ import annotations

import copy
from typing import Any

from clgrad.nn.parameter import Parameter
from clgrad.ops.registry import FUNCTIONS


def fuse_conv_bn_weights(conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any,
                         transpose: bool = False) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution that does what a convolution and batch normalisation did.

    ``conv_b``, ``bn_w`` and ``bn_b`` may be None; ``transpose``: the weight is that of a transposed convolution.
    """
    zeros = FUNCTIONS["zeros_like"](bn_rm)
    scale = (1.0 if bn_w is None else bn_w) * (bn_rv + bn_eps).rsqrt()
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    bias = ((zeros if conv_b is None else conv_b) - bn_rm) * scale + (zeros if bn_b is None else bn_b)
    weight = (conv_w * scale.reshape(shape)).to(conv_w.dtype)
    return (Parameter(weight.detach(), conv_w.requires_grad),
            Parameter(bias.detach().to((conv_w if conv_b is None else conv_b).dtype),
                      conv_b is not None and conv_b.requires_grad))


def _check(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of a convolution that does what it and a batch normalisation after it do, both in evaluation mode."""
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps,
                                                    bn.weight, bn.bias, transpose)
    return fused


def fuse_linear_bn_weights(linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any,
                           bn_b: Any) -> tuple[Parameter, Parameter]:
    """:func:`fuse_conv_bn_weights` for a linear layer."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """:func:`fuse_conv_bn_eval` for a linear layer."""
    _check(linear, bn)
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps,
                                                      bn.weight, bn.bias)
    return fused
