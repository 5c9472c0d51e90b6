"""Normalisation over batches, layers and groups, composed of reductions and pointwise operators.

Sources: Ioffe and Szegedy 2015 (batch), Ba et al. 2016 (layer), Wu and He 2018 (group), Ulyanov et al. 2016 (instance),
Zhang and Sennrich 2019 (root mean square).
"""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad.autograd.grad_mode import no_grad
from clgrad.ops.registry import FUNCTIONS, operator


def _per_channel(x: Any, values: Any) -> Any:
    """A vector along dimension 1 of x."""
    return values.view([-1 if d == 1 else 1 for d in range(x.ndim)])


def _affine(x: Any, mean: Any, inverse: Any, weight: Any, bias: Any) -> Any:
    """(x - mean) * inverse * weight + bias as one multiplication and addition of the large tensor."""
    scale = inverse if weight is None else inverse * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return FUNCTIONS["addcmul"](shift, x, scale)


def _update(running: Any, value: Any, momentum: float) -> None:
    if running is not None:
        with no_grad():
            running.mul_(1 - momentum).add_(value.detach().to(running.dtype), alpha=momentum)


@operator("batch_norm", method=False)
def batch_norm(input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5, cudnn_enabled: bool = False) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel (dimension 1).

    When training, mean and (biased) variance are the batch's, and the running ones move towards them (the variance
    unbiased) by the share ``momentum``; else the running ones are used.

    Raises:
        ValueError: training on one value a channel.
        RuntimeError: statistics or weights of another size than the channels.
    """
    if not input.numel():
        return input.clone()
    if input.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input of 2 or more dimensions, got {list(input.shape)}")
    channels = input.shape[1]
    for name, values in {"running_mean": running_mean, "running_var": running_var, "weight": weight,
                         "bias": bias}.items():
        if values is not None and values.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {values.numel()}")
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
        mean, var = running_mean, running_var
    else:
        count = input.numel() // max(channels, 1)
        if count == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
        dims = [d for d in range(input.ndim) if d != 1]
        mean = input.mean(dims)
        var = input.var(dims, correction=0)
        _update(running_mean, mean, momentum)
        _update(running_var, var.detach() * (count / (count - 1)), momentum)
    inverse = (var + eps).rsqrt()
    weight, bias = (None if v is None else _per_channel(input, v) for v in (weight, bias))
    return _affine(input, _per_channel(input, mean), _per_channel(input, inverse), weight, bias)


@operator("layer_norm", method=False)
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
               cudnn_enable: bool = False) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, whose sizes are ``normalized_shape``."""
    shape = tuple(normalized_shape)
    _check_last("layer_norm", input, shape)
    dims = list(range(input.ndim - len(shape), input.ndim))
    centred = input - input.mean(dims, keepdim=True)
    inverse = (input.var(dims, correction=0, keepdim=True) + eps).rsqrt()
    result = centred * inverse
    if weight is None:
        return result if bias is None else result + bias
    return result * weight if bias is None else FUNCTIONS["addcmul"](bias, result, weight)


def _check_last(name: str, x: Any, shape: tuple) -> None:
    if not shape or tuple(x.shape[-len(shape):]) != shape:
        expected = ", ".join(["*", *map(str, shape)])
        raise RuntimeError(f"{name}: Given normalized_shape={list(shape)}, expected input with shape [{expected}], but "
                           f"got input of size {list(x.shape)}")


@operator("rms_norm", method=False)
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions; ``eps`` by default the dtype's own."""
    shape = tuple(normalized_shape)
    _check_last("rms_norm", input, shape)
    if eps is None:
        eps = {"float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}.get(input.dtype.name, 2.0**-23)
    dims = list(range(input.ndim - len(shape), input.ndim))
    result = input * ((input * input).mean(dims, keepdim=True) + eps).rsqrt()
    return result if weight is None else result * weight


@operator("group_norm", method=False)
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5,
               cudnn_enabled: bool = False) -> Any:
    """Normalises each sample's groups of channels (dimension 1), then scales and shifts each channel."""
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    count, channels = input.shape[:2]
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(input.shape)} and num_groups={num_groups}")
    flat = input.reshape(count, num_groups, channels // num_groups * prod(input.shape[2:]))
    centred = flat - flat.mean(2, keepdim=True)
    result = (centred * (flat.var(2, correction=0, keepdim=True) + eps).rsqrt()).view(input.shape)
    weight, bias = (None if v is None else _per_channel(input, v) for v in (weight, bias))
    if weight is None:
        return result if bias is None else result + bias
    return result * weight if bias is None else FUNCTIONS["addcmul"](bias, result, weight)


@operator("instance_norm", method=False)
def instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
                  cudnn_enabled: bool = False) -> Any:
    """Batch normalisation of each sample on its own."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count, channels = input.shape[:2]
    size = prod(input.shape[2:])
    if size == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    if running_mean is not None:
        with no_grad():
            dims = list(range(2, input.ndim))
            _update(running_mean, input.mean(dims).mean(0), momentum)
            _update(running_var, input.var(dims).mean(0), momentum)
    return group_norm(input, channels, weight, bias, eps)
