"""The lower-level forms of normalisation and dropout, which return what their gradients need beside the result."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.ops.copying import empty
from clgrad.ops.normalization import batch_norm, group_norm, layer_norm
from clgrad.ops.output import store
from clgrad.ops.random import bernoulli_
from clgrad.ops.registry import FUNCTIONS, operator


def _moments(x: Any, weight: Any, dims: list[int], eps: float, keepdim: bool = False) -> tuple[Any, Any]:
    """Means and 1 / standard deviations over dimensions, in the weight's dtype, without weight in the input's."""
    kind = (x if weight is None else weight).spec.dtype
    values = x.to(x.spec.dtype.compute)
    mean = values.mean(dims, keepdim=True) if values.spec.numel else values.sum(dims, keepdim=True)
    rstd = ((values - mean).square().mean(dims, keepdim=True) + eps).rsqrt()
    if not keepdim:
        mean, rstd = mean.squeeze(dims), rstd.squeeze(dims)
    return mean.to(kind), rstd.to(kind)


@operator("native_layer_norm", method=False)
def native_layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> tuple:
    """(:func:`layer_norm`, means, 1 / standard deviations), the last two with normalised dimensions of size 1."""
    result = layer_norm(input, normalized_shape, weight, bias, eps)
    dims = list(range(input.spec.ndim - len(tuple(normalized_shape)), input.spec.ndim))
    mean, rstd = _moments(input.detach(), weight, dims, eps, keepdim=True)
    return result, mean, rstd


@operator("native_group_norm", method=False)
def native_group_norm(input: Any, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float) -> tuple:
    """(:func:`group_norm`, means (N, group), 1 / standard deviations) of N samples of C channels of HxW elements."""
    if prod(input.spec.shape) != N * C * HxW:
        raise RuntimeError(f"native_group_norm: expected {N * C * HxW} elements, got shape {list(input.spec.shape)}")
    result = group_norm(input, group, weight, bias, eps)
    mean, rstd = _moments(input.reshape(N, group, C // group * HxW), weight, [2], eps)
    return result, mean, rstd


@operator("native_batch_norm", method=False)
def native_batch_norm(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool,
                      momentum: float, eps: float, *, out: Any = None) -> tuple:
    """(:func:`batch_norm`, means, 1 / standard deviations); the last two are empty when not training."""
    result = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        kind, place = (input if weight is None else weight).spec.dtype, input.spec.device
        return store("native_batch_norm", (result, empty((0,), kind, place), empty((0,), kind, place)), out, exact=True)
    mean, rstd = _moments(input.detach(), weight, [d for d in range(input.spec.ndim) if d != 1], eps)
    return store("native_batch_norm", (result, mean, rstd), out, exact=True)


@operator("_native_batch_norm_legit", method=False)
def native_batch_norm_legit(input: Any, weight: Any, bias: Any, *args: Any, out: Any = None) -> tuple:
    """:func:`native_batch_norm`, with or without ``running_mean, running_var`` before ``training, momentum, eps``."""
    return native_batch_norm(input, weight, bias, *((None, None, *args) if len(args) == 3 else args), out=out)


@operator("_batch_norm_with_update", method=False)
def batch_norm_with_update(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float,
                           eps: float) -> tuple:
    """:func:`native_batch_norm` in training, and the bytes that a library for it would keep: none."""
    made = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *made, empty((0,), dtypes.uint8, input.spec.device)


@operator("native_dropout", method=False)
def native_dropout(input: Any, p: float, train: bool | None) -> tuple:
    """(what :func:`dropout` leaves, the mask of what stays)."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")
    if train is False:
        return input.clone(), FUNCTIONS["ones_like"](input, dtype=dtypes.bool)
    kept = bernoulli_(empty(input.spec.shape, dtypes.bool, input.spec.device), 1 - p)
    return FUNCTIONS["where"](kept, input * (0.0 if p == 1 else 1 / (1 - p)), 0.0), kept
