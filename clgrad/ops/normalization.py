"""Normalisation over batches, layers and groups: one launch forward, one backward on CPUs, compositions elsewhere.

Sources: Ioffe and Szegedy 2015 (batch), Ba et al. 2016 (layer), Wu and He 2018 (group), Ulyanov et al. 2016 (instance),
Zhang and Sennrich 2019 (root mean square).
"""

from __future__ import annotations

import operator as op
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd import engine
from clgrad.autograd.grad_mode import enable_grad, mode, no_grad
from clgrad.autograd.graph import Saved, attach, mark_changed, needs_graph
from clgrad.kernels import norm as kernels
from clgrad.kernels.norm import Groups, Kind
from clgrad.ops.composed_norms import by_given, by_own, by_root_mean_square, in_arithmetic, per_channel, scaled
from clgrad.ops.copying import cast, empty
from clgrad.ops.execute import check_device, execute
from clgrad.ops.memory_formats import keeps_format
from clgrad.ops.registry import operator

_plan = lru_cache(maxsize=1024)(kernels.plan)
_backward_plan = lru_cache(maxsize=1024)(kernels.backward_plan)


def _kind(x: Any, weight: Any, bias: Any, running: tuple, **options: bool) -> Kind | None:
    """The kernel's variant for these operands, None where there is none."""
    own = x.layout
    small = [t.layout.dtype for t in (weight, bias, *running) if t is not None]
    if not own.device.compute.is_cpu or not own.numel or not own.dtype.is_floating_point:
        return None
    if any(t is not None and not t.layout.contiguous for t in running):  # they are changed where they are
        return None
    if any(kind is not small[0] for kind in small) or (small and small[0] not in (own.dtype, own.dtype.compute)):
        return None
    return Kind(own.dtype, small[0] if small else own.dtype, weight is not None, bias is not None, **options)


def _check_dtypes(name: str, x: Any, *given: Any) -> None:
    """RuntimeError where weights or statistics have neither the input's dtype nor, beside half precision, float32."""
    own = x.layout.dtype
    if not own.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(own)}'")
    kinds = {t.layout.dtype for t in given if t is not None}
    if kinds - {own} and (own.itemsize > 2 or kinds != {own.compute}):
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype." if kinds == {dtypes.float32} else
                           "mixed dtype (CPU): expect parameter to have scalar type of Float")


def _normalize(name: str, x: Any, weight: Any, bias: Any, g: Groups, kind: Kind, eps: float, composed: Callable,
               running: tuple = (None, None), momentum: float = 0.0) -> tuple[Any, Any, Any]:
    """(result, means, 1 / standard deviations). ``composed(x, weight)`` is the result without bias, as a composition."""
    x = x.contiguous()
    weight, bias = (None if t is None else t.contiguous() for t in (weight, bias))
    own = x.layout
    device = check_device(name, x, weight, bias, *running)
    out = empty(own.shape, own.dtype, own.device)
    means, rstds = (empty((g.groups,), own.dtype.compute, own.device) for _ in range(2))
    reads: tuple = (x, weight, bias)
    if kind.track:
        for t in running:
            mark_changed(t)
    execute(_plan(device, kind, g, float(eps), float(momentum)), reads, (out, means, rstds, *running))
    if needs_graph(x, weight, bias):
        saved = Saved(name, [x, weight, means, rstds])
        needed = [t is not None and t._requires_grad for t in (x, weight, bias)]

        def backward(dy: Any) -> tuple:
            x, weight, means, rstds = saved.unpack()
            if mode.enabled:
                return _recorded(dy, x, weight, needed, g, composed)
            plan = _backward_plan(device, kind, g, needed[1] or needed[2])
            dx = empty(own.shape, own.dtype, own.device)
            if not (needed[1] or needed[2]):
                execute(plan, (dy.contiguous(), x, weight, means, rstds), (dx, dx, dx))
                return dx, None, None
            # Two tensors with memory of their own: the engine keeps them as they are.
            parts = [empty(shape if plan.parts == 1 and shape is not None else (plan.parts, g.weights),
                           own.dtype.compute, own.device) for shape in shapes]
            execute(plan, (dy.contiguous(), x, weight, means, rstds), (dx, *parts))
            dw, db = (None if not need else t if plan.parts == 1 else t.sum(0).view(shape)
                      for t, need, shape in zip(parts, needed[1:], shapes, strict=True))
            return dx, dw, db
        shapes = [None if t is None else t.layout.shape for t in (weight, bias)]
        attach(out, name, (x, weight, bias), backward, saved)
    return out, means, rstds


def _recorded(dy: Any, x: Any, weight: Any, needed: list[bool], g: Groups, composed: Callable) -> tuple:
    """The gradients as Tensor operations in the dtype of arithmetic, for derivatives of higher order."""
    with enable_grad():
        wanted = [t for t, need in zip((x, weight), needed, strict=False) if need]
        result = composed(*(None if t is None else cast(t, t.layout.dtype.compute) for t in (x, weight)))
        found = list(engine.grad(result, wanted, cast(dy, result.layout.dtype), create_graph=True)) if wanted else []
        dx = found.pop(0) if needed[0] else None
        dw = found.pop(0) if needed[1] else None
        if not needed[2]:
            return dx, dw, None
        # A bias of elements is summed to its shape by the engine; one of channels stands at dimension 1.
        return dx, dw, dy if g.affine == 1 else dy.sum([d for d in range(dy.layout.ndim) if d != 1])


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
    return _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def _check_per_channel(channels: int, **given: Any) -> None:
    """RuntimeError where one of the tensors has not a value a channel."""
    for name, values in given.items():
        if values is not None and values.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {values.numel()}")
        if values is not None and values.layout.ndim != 1 and name.startswith("running"):
            raise RuntimeError(f"TensorAccessor expected 1 dims but tensor has {values.layout.ndim}")


def _batch_norm(x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float,
                eps: float) -> tuple:
    if not x.numel():
        return scaled(x.clone(), per_channel(x, weight), per_channel(x, bias)), None, None
    _check_dtypes("batch_norm", x, weight, bias, running_mean, running_var)
    if x.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input of 2 or more dimensions, got {list(x.shape)}")
    channels = x.shape[1]
    _check_per_channel(channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    count = x.numel() // channels
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError(f"running_{'mean' if running_mean is None else 'var'} must be defined in evaluation mode")
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if training and count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
    dims = [d for d in range(x.ndim) if d != 1]
    track = training and running_mean is not None and running_var is not None
    running = (running_mean, running_var) if track or not training else (None, None)

    def composed(x: Any, weight: Any, bias: Any = None) -> Any:
        if not training:
            return by_given(x, running_mean, running_var, weight, bias, eps)
        return by_own(x, dims, per_channel(x, weight), per_channel(x, bias), eps)
    kind = _kind(x, weight, bias, running, given=not training, track=track)
    if kind is not None and (not track or momentum is not None):
        spatial = prod(x.shape[2:])
        groups = Groups(channels, x.shape[0], spatial, channels * spatial, spatial, 1, 3)
        return _normalize("NativeBatchNorm", x, weight, bias, groups, kind, eps, composed, running, momentum)
    if training:
        values = cast(x.detach(), x.layout.dtype.compute)
        _update(running_mean, values.mean(dims), momentum)
        _update(running_var, values.var(dims), momentum)
    return in_arithmetic(composed, x, weight, bias), None, None


@operator("layer_norm", method=False)
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
               cudnn_enable: bool = False) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, whose sizes are ``normalized_shape``."""
    return _over_last("layer_norm", input, normalized_shape, weight, bias, eps, False)[0]


@operator("rms_norm", method=False)
@keeps_format
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions; ``eps`` by default that of the arithmetic's dtype."""
    if eps is None:
        eps = 2.0**-52 if input.dtype.name == "float64" else 2.0**-23
    return _over_last("rms_norm", input, normalized_shape, weight, None, eps, True)[0]


def _over_last(name: str, x: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float, rms: bool) -> tuple:
    if isinstance(normalized_shape, int):
        raise TypeError(f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints, not int")
    shape = tuple([op.index(size) for size in normalized_shape])
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
                           "but got normalized_shape = []")
    if tuple(x.shape[-len(shape):]) != shape:
        expected = ", ".join(["*", *map(str, shape)])
        raise RuntimeError(f"{name}: Given normalized_shape={list(shape)}, expected input with shape [{expected}], but "
                           f"got input of size{list(x.shape)}")
    for label, values in (("weight", weight), ("bias", bias)):
        if values is not None and tuple(values.shape) != shape:
            raise RuntimeError(f"Expected {label} to be of same shape as normalized_shape, but got {label} of shape "
                               f"{list(values.shape)} and normalized_shape = {list(shape)}")
    if rms and not x.layout.dtype.is_floating_point:
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{dtypes.type_name(x.layout.dtype)}'")
    if not rms:
        _check_dtypes("LayerNormKernelImpl", x, weight, bias)
    dims = list(range(x.ndim - len(shape), x.ndim))

    def composed(x: Any, weight: Any, bias: Any = None) -> Any:
        return by_root_mean_square(x, dims, weight, eps) if rms else by_own(x, dims, weight, bias, eps)
    kind = _kind(x, weight, bias, (), rms=rms)
    if kind is None:
        return in_arithmetic(composed, x, weight, bias), None, None
    length = prod(shape)
    groups = Groups(x.numel() // length, 1, length, length, length, 1, 1)
    return _normalize("FusedRmsNorm" if rms else "NativeLayerNorm", x, weight, bias, groups, kind, eps, composed)


@operator("group_norm", method=False)
@keeps_format
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5,
               cudnn_enabled: bool = False) -> Any:
    """Normalises each sample's groups of channels (dimension 1), then scales and shifts each channel."""
    return _group_norm(input, num_groups, weight, bias, eps)[0]


def _group_norm(x: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> tuple:
    if x.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {x.ndim}")
    (count, channels), num_groups = x.shape[:2], op.index(num_groups)
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(x.shape)} and num_groups={num_groups}")
    for label, values in (("weight", weight), ("bias", bias)):
        if values is not None and tuple(values.shape) != (channels,):
            raise RuntimeError(f"Expected {label} to be a vector of size equal to the number of channels in input, but got "
                               f"{label} of shape {list(values.shape)} and input of shape {list(x.shape)}")
    _check_dtypes("GroupNormKernelImpl", x, weight, bias)
    each, spatial = channels // num_groups, prod(x.shape[2:])
    if count * each * spatial == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(x.shape)}")

    def composed(x: Any, weight: Any, bias: Any = None) -> Any:
        flat = x.contiguous().view(count, num_groups, each * spatial)
        normal = by_own(flat, [2], None, None, eps).view(x.shape)
        weight, bias = per_channel(x, weight), per_channel(x, bias)
        normal = normal if weight is None else normal * weight
        return normal if bias is None else normal + bias
    kind = _kind(x, weight, bias, ())
    if kind is None:
        return in_arithmetic(composed, x, weight, bias), None, None
    groups = Groups(count * num_groups, each, spatial, spatial, each * spatial, num_groups, 2)
    return _normalize("NativeGroupNorm", x, weight, bias, groups, kind, eps, composed)


@operator("instance_norm", method=False)
def instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                  use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
                  cudnn_enabled: bool = False) -> Any:
    """Batch normalisation of each sample on its own."""
    if not use_input_stats:
        return batch_norm(input.contiguous(), running_mean, running_var, weight, bias, False, momentum, eps)
    channels = input.shape[1]
    size = prod(input.shape[2:])
    if size == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    _check_per_channel(channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if running_mean is not None:
        with no_grad():
            dims = list(range(2, input.ndim))
            _update(running_mean, input.mean(dims).mean(0), momentum)
            _update(running_var, input.var(dims).mean(0), momentum)
    return _group_norm(input, channels, weight, bias, eps)[0]
