"""Normalisation over batches, layers and groups: one launch forward, one backward on CPUs, compositions elsewhere.

Sources: Ioffe and Szegedy 2015 (batch), Ba et al. 2016 (layer), Wu and He 2018 (group), Ulyanov et al. 2016 (instance),
Zhang and Sennrich 2019 (root mean square).
"""

from __future__ import annotations

import operator as op
from functools import lru_cache
from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.kernels.norm import Groups
from clgrad.ops.composed_norms import by_given, by_own, by_root_mean_square, per_channel, scaled
from clgrad.ops.copying import cast
from clgrad.ops.memory_formats import keeps_format
from clgrad.ops.norm_launches import Norm
from clgrad.ops.registry import operator
from clgrad.spec import Spec

_MOST = 1024  # combinations of specs and settings that are remembered, of each operator


def _check_dtypes(name: str, own: Spec, *given: Spec | None) -> None:
    """RuntimeError where weights or statistics have neither the input's dtype nor, beside half precision, float32."""
    if not own.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(own.dtype)}'")
    kinds = {t.dtype for t in given if t is not None}
    if kinds - {own.dtype} and (own.dtype.itemsize > 2 or kinds != {own.dtype.compute}):
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype." if kinds == {dtypes.float32} else
                           "mixed dtype (CPU): expect parameter to have scalar type of Float")


def _update(running: Any, value: Any, momentum: float) -> None:
    if running is not None:
        with no_grad():
            running.mul_(1 - momentum).add_(value.detach().to(running.dtype), alpha=momentum)


@operator("batch_norm", method=False)
@keeps_format
def batch_norm(input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5, cudnn_enabled: bool = False) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel (dimension 1).

    When training, mean and (biased) variance are the batch's, and the running ones move towards them (the variance
    unbiased) by the share ``momentum``; else the running ones are used.

    Raises:
        ValueError: training on one value a channel; ``eps`` is negative, or, when training, not positive.
        RuntimeError: statistics or weights of another size than the channels.
    """
    if eps < 0 or training and eps == 0:
        raise ValueError(f"batch_norm eps must be {'positive during training' if training else 'non-negative'}, but got "
                         f"{eps}")
    return _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


def _check_per_channel(channels: int, **given: Spec | None) -> None:
    """RuntimeError where one of the tensors has not a value a channel."""
    for name, values in given.items():
        if values is not None and values.numel != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {values.numel}")
        if values is not None and values.ndim != 1 and name.startswith("running"):
            raise RuntimeError(f"TensorAccessor expected 1 dims but tensor has {values.ndim}")


def _spec(t: Any) -> Spec | None:
    return None if t is None else t.spec


@lru_cache(_MOST)
def _known_batch_norm(x: Spec, weight: Spec | None, bias: Spec | None, running_mean: Spec | None,
                      running_var: Spec | None, training: bool, momentum: float, eps: float) -> Norm:
    _check_dtypes("batch_norm", x, weight, bias, running_mean, running_var)
    if x.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input of 2 or more dimensions, got {list(x.shape)}")
    samples, channels, *rest = x.shape
    _check_per_channel(channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError(f"running_{'mean' if running_mean is None else 'var'} must be defined in evaluation mode")
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if training and x.numel == channels:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.size}")
    dims = [d for d in range(x.ndim) if d != 1]

    def composed(x: Any, weight: Any, bias: Any, running: tuple) -> Any:
        if not training:
            mean, var = running
            return by_given(x, mean, var, weight, bias, eps)
        return by_own(x, dims, per_channel(x, weight), per_channel(x, bias), eps)
    spatial = prod(rest)
    groups = Groups(channels, samples, spatial, channels * spatial, spatial, 1, 3)
    track = bool(training) and running_mean is not None
    return Norm("NativeBatchNorm", x, weight, bias, groups, eps, composed, (running_mean, running_var),
                 momentum if track else 0.0, given=not training, track=track)


def _batch_norm(x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
                eps: float) -> Any:
    if not x.spec.numel:
        return scaled(x.clone(), per_channel(x, weight), per_channel(x, bias))
    known = _known_batch_norm(x.spec, _spec(weight), _spec(bias), _spec(running_mean), _spec(running_var), training,
                              momentum, eps)
    if training and known.kind is None:
        dims, values = [d for d in range(x.ndim) if d != 1], cast(x.detach(), x.spec.dtype.compute)
        _update(running_mean, values.mean(dims), momentum)
        _update(running_var, values.var(dims), momentum)
    return known(x, weight, bias, (running_mean, running_var))


@operator("layer_norm", method=False)
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
               cudnn_enable: bool = False) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, whose sizes are ``normalized_shape``."""
    return _over_last("layer_norm", input, normalized_shape, weight, bias, eps, False)


@operator("rms_norm", method=False)
@keeps_format
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions; ``eps`` by default that of the arithmetic's dtype."""
    if eps is None:
        eps = 2.0**-52 if input.dtype.name == "float64" else 2.0**-23
    return _over_last("rms_norm", input, normalized_shape, weight, None, eps, True)


def _over_last(name: str, x: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float, rms: bool) -> Any:
    if isinstance(normalized_shape, int):
        raise TypeError(f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints, not int")
    known = _known_over_last(name, x.spec, tuple(normalized_shape), _spec(weight), _spec(bias), eps, rms)
    return known(x, weight, bias)


@lru_cache(_MOST)
def _known_over_last(name: str, x: Spec, normalized_shape: tuple, weight: Spec | None, bias: Spec | None, eps: float,
                     rms: bool) -> Norm:
    shape = tuple([op.index(size) for size in normalized_shape])
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
                           "but got normalized_shape = []")
    if x.shape[-len(shape):] != shape:
        expected = ", ".join(["*", *map(str, shape)])
        raise RuntimeError(f"{name}: Given normalized_shape={list(shape)}, expected input with shape [{expected}], but "
                           f"got input of size{list(x.shape)}")
    for label, values in (("weight", weight), ("bias", bias)):
        if values is not None and values.shape != shape:
            raise RuntimeError(f"Expected {label} to be of same shape as normalized_shape, but got {label} of shape "
                               f"{list(values.shape)} and normalized_shape = {list(shape)}")
    if rms and not x.dtype.is_floating_point:
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{dtypes.type_name(x.dtype)}'")
    if not rms:
        _check_dtypes("LayerNormKernelImpl", x, weight, bias)
    dims = list(range(x.ndim - len(shape), x.ndim))

    def composed(x: Any, weight: Any, bias: Any, running: tuple) -> Any:
        return by_root_mean_square(x, dims, weight, eps) if rms else by_own(x, dims, weight, bias, eps)
    length = prod(shape)
    groups = Groups(x.numel // max(length, 1), 1, length, length, length, 1, 1)
    return Norm("FusedRmsNorm" if rms else "NativeLayerNorm", x, weight, bias, groups, eps, composed, rms=rms)


@operator("group_norm", method=False)
@keeps_format
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5,
               cudnn_enabled: bool = False) -> Any:
    """Normalises each sample's groups of channels (dimension 1), then scales and shifts each channel."""
    return _group_norm(input, num_groups, weight, bias, eps)


def _group_norm(x: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> Any:
    return _known_group_norm(x.spec, num_groups, _spec(weight), _spec(bias), eps)(x, weight, bias)


@lru_cache(_MOST)
def _known_group_norm(x: Spec, num_groups: int, weight: Spec | None, bias: Spec | None, eps: float) -> Norm:
    if x.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {x.ndim}")
    (count, channels), num_groups = x.shape[:2], op.index(num_groups)
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(x.shape)} and num_groups={num_groups}")
    for label, values in (("weight", weight), ("bias", bias)):
        if values is not None and values.shape != (channels,):
            raise RuntimeError(f"Expected {label} to be a vector of size equal to the number of channels in input, but got "
                               f"{label} of shape {list(values.shape)} and input of shape {list(x.shape)}")
    _check_dtypes("GroupNormKernelImpl", x, weight, bias)
    each, spatial = channels // num_groups, prod(x.shape[2:])
    if count * each * spatial == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(x.shape)}")

    def composed(x: Any, weight: Any, bias: Any, running: tuple) -> Any:
        flat = x.contiguous().view(count, num_groups, each * spatial)
        normal = by_own(flat, [2], None, None, eps).view(x.shape)
        weight, bias = per_channel(x, weight), per_channel(x, bias)
        normal = normal if weight is None else normal * weight
        return normal if bias is None else normal + bias
    groups = Groups(count * num_groups, each, spatial, spatial, each * spatial, num_groups, 2)
    return Norm("NativeGroupNorm", x, weight, bias, groups, eps, composed)


@operator("instance_norm", method=False)
def instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
                  cudnn_enabled: bool = False) -> Any:
    """Batch normalisation of each sample on its own.

    Running statistics may have another dtype than the input.
    """
    if not use_input_stats:
        running_mean, running_var = (t if t is None else t.to(input.dtype) for t in (running_mean, running_var))
        return batch_norm(input.contiguous(), running_mean, running_var, weight, bias, False, momentum, eps)
    size = prod(input.shape[2:])
    if size == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    channels = input.shape[1]
    _check_per_channel(channels, running_mean=_spec(running_mean), running_var=_spec(running_var),
                       weight=_spec(weight), bias=_spec(bias))
    if running_mean is not None:
        with no_grad():
            dims = list(range(2, input.ndim))
            _update(running_mean, input.mean(dims).mean(0), momentum)
            _update(running_var, input.var(dims).mean(0), momentum)
    return _group_norm(input, channels, weight, bias, eps)
