"""Normalisations over batches, layers, channels and groups."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.nn import functional as F
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.table import axis_of, implements, ops


def _per_channel(value: Any, x: Any) -> Any:
    return value.reshape([1, -1] + [1] * (x.dim() - 2))


@implements("BatchNormalization")
def batch_norm(x: Any, scale: Any, bias: Any, mean: Any, var: Any, *, epsilon: float = 1e-5, momentum: float = 0.9,
               training_mode: int = 0, spatial: int = 1, outputs: int = 1) -> Any:
    """Channels normalised by the given mean and variance, or in training by the batch's; then those are returned too."""
    if not spatial:
        raise OnnxError("BatchNormalization with spatial=0, statistics for each element, is not there")
    if not training_mode:
        y = F.batch_norm(x, mean.to(x.dtype), var.to(x.dtype), scale.to(x.dtype), bias.to(x.dtype), False, 0.0, epsilon)
        return y if outputs == 1 else (y,) + (mean, var, mean, var)[:outputs - 1]
    axes = [axis for axis in range(x.dim()) if axis != 1]
    own_mean = ops.mean(x, axes)
    own_var = ops.var(x, axes, correction=0)
    y = (x - _per_channel(own_mean, x)) / ops.sqrt(_per_channel(own_var, x) + epsilon)
    y = y * _per_channel(scale, x) + _per_channel(bias, x)
    running = [(old * momentum + new * (1 - momentum)).to(old.dtype) for old, new in ((mean, own_mean), (var, own_var))]
    return (y, *running)[:outputs] if outputs > 1 else y


@implements("InstanceNormalization")
def instance_norm(x: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5) -> Any:
    """Each channel of each sample normalised by itself."""
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@implements("LayerNormalization")
def layer_norm(x: Any, scale: Any, bias: Any = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1,
               outputs: int = 1) -> Any:
    """All from ``axis`` on normalised together; the mean and the inverse of the standard deviation besides."""
    start = axis_of(axis, x.dim())
    shape = list(x.shape[start:])
    if outputs == 1 and list(scale.shape) == shape and (bias is None or list(bias.shape) == shape):
        return F.layer_norm(x, shape, scale, bias, epsilon)
    axes = list(range(start, x.dim()))
    wide = x.to(dtypes.float32) if stash_type == 1 and x.dtype.itemsize < 4 else x
    mean = ops.mean(wide, axes, True)
    inverse = ops.rsqrt(ops.mean((wide - mean) ** 2, axes, True) + epsilon)
    y = ((wide - mean) * inverse).to(x.dtype) * scale
    y = y if bias is None else y + bias
    return (y, mean, inverse)[:outputs] if outputs > 1 else y


@implements("RMSNormalization")
def rms_norm(x: Any, scale: Any, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Any:
    """All from ``axis`` on divided by their root mean square."""
    axes = list(range(axis_of(axis, x.dim()), x.dim()))
    wide = x.to(dtypes.float32) if stash_type == 1 and x.dtype.itemsize < 4 else x
    return (wide * ops.rsqrt(ops.mean(wide * wide, axes, True) + epsilon)).to(x.dtype) * scale


@implements("GroupNormalization", since=21)
def group_norm(x: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1) -> Any:
    """Groups of channels normalised together; scale and bias for each channel."""
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@implements("GroupNormalization", since=18)
def group_norm_18(x: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5, num_groups: int) -> Any:
    """Groups of channels normalised together; scale and bias for each group."""
    parts = F.group_norm(x, num_groups, None, None, epsilon).reshape(x.shape[0], num_groups, -1)
    scaled = parts * scale.reshape(1, -1, 1) + bias.reshape(1, -1, 1)
    return scaled.reshape(x.shape)
