"""Softmax, cross entropy and negative log likelihood, each one launch."""

from __future__ import annotations

import warnings
from functools import partial
from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.formal import make_formal
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach
from clgrad.autograd.recorded import recorded_gradients
from clgrad.autograd.walks import determined_by
from clgrad.kernels import cross_entropy as loss_kernels
from clgrad.kernels import softmax as softmax_kernels
from clgrad.ops.copying import cast
from clgrad.ops.execute import blank, check_device, check_specs, execute
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import Shape, normalize_dim
from clgrad.spec import Spec, contiguous_spec

_plans: dict[tuple, Any] = {}
make_formal("NllLoss")


def _cached(make: Any, *key: Any, **options: Any) -> Any:
    full = (make, key, tuple(options.items()))
    plan = _plans.get(full)
    if plan is None:
        plan = _plans[full] = make(*key, **options)
    return plan


class _Ready:
    """What is known of a softmax before its data."""

    __slots__ = ("axis", "sizes", "device", "spec", "plan")

    def __init__(self, name: str, x: Any, dim: int, log: bool):
        own = x.spec
        if not own.dtype.is_floating_point:
            raise NotImplementedError(f"\"{name}_kernel_impl\" not implemented for '{dtypes.type_name(own.dtype)}'")
        self.axis = normalize_dim(dim, own.ndim)
        shape = own.shape or (1,)
        self.sizes = prod(shape[:self.axis]), shape[self.axis], prod(shape[self.axis + 1:])
        self.device = check_device(name, x)
        self.spec = contiguous_spec(own.shape, own.dtype, own.device)
        self.plan = softmax_kernels.plan(self.device, own.dtype, *self.sizes, log=log)


_ready: dict[tuple, _Ready] = {}


def _softmax(name: str, x: Any, dim: int | None, kind: Any, log: bool) -> Any:
    if kind is not None:
        x = cast(x, kind)
    if dim is None:
        raise TypeError(f"{name}() missing 1 required positional argument: 'dim'")
    if type(dim) is not int:  # True is no dimension, though equal to 1
        dim = normalize_dim(dim, x.spec.ndim)
    key = (x.spec, dim, log)
    ready = _ready.get(key)
    if ready is None:
        ready = _ready[key] = _Ready(name, x, dim, log)
    if x.spec is not ready.spec:
        x = x.contiguous()
    out = blank(ready.spec)
    execute(ready.plan, (x,), (out,))
    if mode.enabled and x._requires_grad:
        saved = Saved(name, [])
        axis, device, sizes = ready.axis, ready.device, ready.sizes

        def backward(g: Any) -> Any:
            (y,) = saved.unpack()
            if mode.enabled:
                return g - y.exp() * g.sum(axis, keepdim=True) if log else y * (g - (g * y).sum(axis, keepdim=True))
            dx = blank(y.spec)
            plan = _cached(softmax_kernels.backward_plan, device, y.spec.dtype, *sizes, log=log)
            execute(plan, (g.contiguous(), y), (dx,))
            return dx
        attach(out, "LogSoftmax" if log else "Softmax", (x,), backward, saved)
        saved.add_output(out)
    return out


@operator("softmax")
def softmax(input: Any, dim: int | None = None, dtype: Any = None, _stacklevel: int = 3, *, out: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along a dimension.

    >>> import clgrad
    >>> clgrad.softmax(clgrad.zeros(4), dim=0)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return store("softmax", _softmax("softmax", input, dim, dtype, False), out, exact=True)


@operator("log_softmax")
def log_softmax(input: Any, dim: int | None = None, dtype: Any = None, _stacklevel: int = 3, *, out: Any = None) -> Any:
    """log(softmax(x)) along a dimension, without overflow."""
    return store("log_softmax", _softmax("log_softmax", input, dim, dtype, True), out, exact=True)


def _old_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The modern spelling of ``size_average`` and ``reduce``."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "mean" if size_average in (None, True) else "sum"
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
                      UserWarning, stacklevel=4)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _check_classes(name: str, own: Spec, target: Spec, weight: Spec | None) -> None:
    """Raises PyTorch's errors where shapes or dtypes of a loss with class indices do not go together."""
    shape = target.shape
    if own.ndim == 0:
        raise ValueError(f"{name}: Expected 1 or more dimensions (got 0)")
    if own.ndim > 1 and own.shape[:1] != shape[:1]:
        raise ValueError(f"{name}: Expected input batch_size ({own.shape[0]}) to match target batch_size "
                         f"({shape[0] if shape else 0}).")
    expected = (own.shape[0], *own.shape[2:]) if own.ndim > 1 else ()
    if shape != expected and not (own.ndim == 1 and shape == (1,)):
        _refuse_target(name, own, shape, expected)
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(f"{name}: expected target dtype to be Long or Byte, but got {dtypes.type_name(target.dtype)}")
    if not own.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(own.dtype)}'")
    if weight is not None and weight.dtype is not own.dtype:
        raise RuntimeError(f"{name}: weight: expected scalar type {dtypes.type_name(own.dtype)} but found "
                           f"{dtypes.type_name(weight.dtype)}")
    if weight is not None and own.ndim != 4:
        _check_weight(name, own.shape[1 if own.ndim > 1 else 0], weight, own.ndim > 2)
    elif weight is not None and weight.numel != own.shape[1]:
        raise RuntimeError(f"{name}: weight tensor should be defined either for all or no classes, but got a weight of shape "
                           f"{list(weight.shape)} for {own.shape[1]} classes")


def _refuse_target(name: str, own: Spec, shape: Shape, expected: Shape) -> None:
    """Raises what PyTorch says of targets of class indices that have another shape than ``expected``."""
    if own.ndim < 3 and len(shape) > 1:
        raise RuntimeError(f"{name}: 0D or 1D target tensor expected, multi-target not supported")
    if own.ndim == 1:
        raise ValueError(f"{name}: For 1D input, 1D target must have size 1, but got target size: {shape[0]}")
    if own.ndim == 4 and len(shape) != 3:
        raise RuntimeError(f"{name}: only batches of spatial targets supported (3D tensors) but got targets of dimension: "
                           f"{len(shape)}")
    if own.ndim == 4:
        raise RuntimeError(f"{name}: size mismatch (got input: {list(own.shape)} , target: {list(shape)}")
    raise RuntimeError(f"{name}: Expected target size {list(expected)}, got {list(shape)} for input of size "
                       f"{list(own.shape)}")


def _check_weight(name: str, classes: int, weight: Spec, any_shape: bool = False) -> None:
    if weight.shape != (classes,) and not (any_shape and weight.numel == classes):
        raise RuntimeError(f"{name}: weight tensor should be defined either for all {classes} classes or no classes "
                           f"but got weight tensor of shape: {list(weight.shape)}")


@determined_by()
class _ClassLoss:
    """What is known of a loss with class indices before its data: plans for both directions, specs of what they write."""

    __slots__ = ("plan", "backward", "loss", "scores", "total", "device")

    def __init__(self, name: str, own: Spec, target: Spec, weight: Spec | None, ignore_index: int, reduction: str,
                 smoothing: float, logits: bool):
        shape = target.shape
        batched = own.ndim > 1
        _check_classes(name, own, target, weight)
        samples, classes, inner = (own.shape[0], own.shape[1], prod(own.shape[2:])) if batched else (1, own.shape[0], 1)
        self.device = check_specs(name, own, target, weight)
        self.loss = contiguous_spec(shape if reduction == "none" else (), own.dtype, own.device)
        message = f"{name}: a target is out of bounds: it must be in [0, {classes}) or ignore_index"
        if target.numel == 0:
            self.plan = None
            return
        options = dict(logits=logits, weighted=weight is not None, reduction=reduction, ignore_index=ignore_index,
                       smoothing=smoothing)
        self.plan = loss_kernels.plan(self.device, own.dtype, samples, classes, inner, message=message,
                                      **options)  # type: ignore[arg-type]
        self.backward = loss_kernels.backward_plan(self.device, own.dtype, samples, classes, inner,
                                                   **options)  # type: ignore[arg-type]
        self.scores = contiguous_spec((self.plan.lse_elements,), own.dtype.compute, own.device)
        self.total = contiguous_spec((1,), own.dtype.compute, own.device)


_class_losses: dict[tuple, _ClassLoss] = {}


def _class_loss(name: str, x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float,
                logits: bool) -> Any:
    key = (name, x.spec, target.spec, None if weight is None else weight.spec, ignore_index, reduction, smoothing, logits)
    ready = _class_losses.get(key)
    if ready is None:
        ready = _class_losses[key] = _ClassLoss(*key)
    plan: Any = ready.plan
    if plan is None:
        return ((x.sum() * 0 / 0) if reduction == "mean" else x.sum() * 0 if reduction == "sum" else
                blank(ready.loss) + x.sum() * 0)
    if target.spec.dtype is not dtypes.int64 or not target.spec.contiguous:
        target = cast(target, dtypes.int64).contiguous()
    x = x if x.spec.contiguous else x.contiguous()
    weight = None if weight is None else weight.detach().reshape(-1).contiguous()
    out, scores, total = blank(ready.loss), blank(ready.scores), blank(ready.total)
    execute(plan, (x, target, weight), (out, scores, total))
    if mode.enabled and x._requires_grad:
        saved = Saved(name, [x, target, weight, scores, total])

        def backward(g: Any) -> Any:
            x, target, weight, scores, total = saved.unpack()
            if mode.enabled:
                composed = partial(_composed, target=target, weight=weight, ignore_index=ignore_index, reduction=reduction,
                                   smoothing=smoothing, logits=logits)
                return recorded_gradients(saved, composed, (x,), (g,))[0]
            dx = blank(contiguous_spec(x.spec.shape, x.spec.dtype, x.spec.device))
            execute(ready.backward, (g.contiguous(), x, target, weight, scores, total), (dx,))
            return dx
        attach(out, "NllLoss", (x,), backward, saved)
    return out


def _composed(x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float, logits: bool) -> Any:
    """The loss as Tensor operations, for derivatives of higher order."""
    scores = log_softmax(x, 1 if x.spec.ndim > 1 else 0) if logits else x
    axis = 1 if x.spec.ndim > 1 else 0
    classes = x.spec.shape[axis]
    positions = FUNCTIONS["arange"](classes, device=x.device).view(-1, *(1,) * (x.spec.ndim - axis - 1))
    kept = target.ne(ignore_index)
    chosen = (target.unsqueeze(axis).eq(positions) & kept.unsqueeze(axis)).to(scores.dtype)
    shares = scores.new_ones(classes) if weight is None else weight
    shares = shares.view(-1, *(1,) * (x.spec.ndim - axis - 1))
    smooth = kept.unsqueeze(axis).to(scores.dtype) * shares * (smoothing / classes)
    terms = -(chosen * shares * (1 - smoothing) + smooth) * scores
    losses = terms.sum(axis)
    total = (chosen * shares).sum()
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.sum() / total


@operator("cross_entropy", method=False)
def cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                  ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Any:
    """The cross entropy of unnormalised scores (N, C, ...) and targets: class indices (N, ...) or probabilities.

    One launch forward, one backward. A target outside of [0, C) is an IndexError when the loss is read.
    """
    reduction = _old_reduction(size_average, reduce, reduction)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target.spec.shape == input.spec.shape and input.spec.ndim:
        if not target.spec.dtype.is_floating_point:
            raise RuntimeError("cross_entropy: Expected floating point type for target with class probabilities, got "
                               f"{dtypes.type_name(target.spec.dtype)}")
        if ignore_index >= 0:
            raise RuntimeError("cross_entropy: ignore_index is not supported for floating point target")
        return _probability_loss(input, target, weight, reduction, label_smoothing)
    return _class_loss("cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing, True)


def _probability_loss(x: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Any:
    axis = 1 if x.spec.ndim > 1 else 0
    classes = x.spec.shape[axis]
    if weight is not None:
        _check_weight("cross_entropy", classes, weight.spec)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / max(classes, 1)
    terms = -(log_softmax(x, axis) * target)
    if weight is not None:
        terms = terms * weight.view(-1, *(1,) * (x.spec.ndim - axis - 1))
    losses = terms.sum(axis)
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / (x.spec.numel // max(classes, 1))  # of nothing NaN


@operator("nll_loss", method=False)
def nll_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
             reduce: bool | None = None, reduction: str = "mean") -> Any:
    """The negative log likelihood of log-probabilities (N, C, ...) and class indices (N, ...)."""
    reduction = _old_reduction(size_average, reduce, reduction)
    return _class_loss("nll_loss", input, target, weight, ignore_index, reduction, 0.0, False)
