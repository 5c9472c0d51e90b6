"""Operators that make one value of many: sums, extremes, norms, soft maxima."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.creation import full
from clgrad.nn import functional as F
from clgrad.onnx.operators.table import axis_of, implements, ints, ops


def _extreme(name: str, worst: float) -> Callable:
    def reduced(x: Any, axes: list[int], keep: bool) -> Any:
        if x.dtype is dtypes.bool:
            return (ops.all if worst > 0 else ops.any)(x, axes, keep)
        if x.numel() == 0:
            shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
            shape = shape if keep else [size for axis, size in enumerate(x.shape) if axis not in axes]
            return full(shape, worst, dtype=x.dtype, device=x.device)
        return getattr(ops, name)(x, axes, keep)
    return reduced


def _prod(x: Any, axes: list[int], keep: bool) -> Any:
    for axis in sorted(axes, reverse=True):
        x = ops.prod(x, axis, keep)
    return x


def _log_sum_exp(x: Any, axes: list[int], keep: bool) -> Any:
    return ops.logsumexp(x, axes, keep) if x.numel() else ops.log(ops.sum(x, axes, keep))


def _mean(x: Any, axes: list[int], keep: bool) -> Any:
    if x.is_floating_point():
        return ops.mean(x, axes, keep)
    return ops.div(ops.sum(x, axes, keep), math.prod(x.shape[axis] for axis in axes), rounding_mode="trunc")


_REDUCTIONS: dict[str, tuple[Callable, Callable]] = {  # the reduction, and what it is of a single element
    "ReduceSum": (ops.sum, lambda x: x),
    "ReduceMean": (_mean, lambda x: x),
    "ReduceMax": (_extreme("amax", -math.inf), lambda x: x),
    "ReduceMin": (_extreme("amin", math.inf), lambda x: x),
    "ReduceProd": (_prod, lambda x: x),
    "ReduceL1": (lambda x, axes, keep: ops.sum(ops.abs(x), axes, keep), ops.abs),
    "ReduceL2": (lambda x, axes, keep: ops.sqrt(ops.sum(x * x, axes, keep)), ops.abs),
    "ReduceSumSquare": (lambda x, axes, keep: ops.sum(x * x, axes, keep), ops.square),
    "ReduceLogSum": (lambda x, axes, keep: ops.log(ops.sum(x, axes, keep)), ops.log),
    "ReduceLogSumExp": (_log_sum_exp, lambda x: x),
}


def _enter(name: str, function: Callable, alone: Callable) -> None:
    @implements(name)
    def reduction(x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Any:
        wanted = ints(axes)
        if not wanted and noop_with_empty_axes:
            return alone(x)
        places = [axis_of(axis, x.dim()) for axis in wanted] if wanted else list(range(x.dim()))
        if not places:  # a tensor of no dimensions
            return alone(x)
        return function(x, places, bool(keepdims)).to(x.dtype)


for _name, (_function, _alone) in _REDUCTIONS.items():
    _enter(_name, _function, _alone)


# The softmax family: over one axis, before operator set 13 over all from an axis on.

def _hardmax(x: Any, axis: int) -> Any:
    places = ops.argmax(x, axis, True)
    return ops.scatter(ops.zeros_like(x), axis, places, ops.full_like(places, 1, dtype=x.dtype))


def _enter_softmax(name: str, function: Callable) -> None:
    @implements(name, since=13)
    def along(x: Any, *, axis: int = -1) -> Any:
        return function(x, axis)

    @implements(name)
    def from_axis_on(x: Any, *, axis: int = 1) -> Any:
        rows = x.reshape(math.prod(x.shape[:axis_of(axis, x.dim())]), -1)
        return function(rows, 1).reshape(x.shape)


for _name, _function in {"Softmax": ops.softmax, "LogSoftmax": ops.log_softmax, "Hardmax": _hardmax}.items():
    _enter_softmax(_name, _function)


@implements("LpNormalization")
def lp_normalization(x: Any, *, axis: int = -1, p: int = 2) -> Any:
    """The values divided by their norm along an axis; where that is 0, zeros."""
    norm = ops.sum(ops.abs(x), axis, True) if p == 1 else ops.sqrt(ops.sum(x * x, axis, True))
    return ops.where(norm == 0, ops.mul(x, 0), x / norm)


@implements("MeanVarianceNormalization")
def mean_variance_normalization(x: Any, *, axes: Any = (0, 2, 3)) -> Any:
    """The values with mean 0 and variance 1 over some axes."""
    centred = x - ops.mean(x, list(axes), True)
    return centred / (ops.sqrt(ops.mean(centred * centred, list(axes), True)) + 1e-9)


@implements("LRN")
def local_response_normalization(x: Any, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Any:
    """Values divided by a power of the mean square of their neighbouring channels (Krizhevsky et al. 2012)."""
    before, after = (size - 1) // 2, size // 2
    squares = F.pad(x * x, [0, 0] * (x.dim() - 2) + [before, after])
    total = squares.narrow(1, 0, x.shape[1])
    for shift in range(1, size):
        total = total + squares.narrow(1, shift, x.shape[1])
    return x / (bias + alpha / size * total) ** beta
