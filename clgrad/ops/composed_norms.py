"""Normalisation composed of reductions and pointwise operators: where there is no kernel, and for higher derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.ops.copying import cast
from clgrad.ops.registry import FUNCTIONS


def per_channel(x: Any, values: Any) -> Any:
    """A vector along dimension 1 of x."""
    return None if values is None else values.view([values.numel() if d == 1 else 1 for d in range(x.ndim)])


def in_arithmetic(composed: Callable, x: Any, weight: Any, bias: Any, running: tuple) -> Any:
    """``composed(x, weight, bias, running)`` in the dtype of arithmetic, rounded once, as the kernels do it."""
    own = x.spec.dtype
    given = [None if t is None else cast(t, t.spec.dtype.compute) for t in (x, weight, bias)]
    result = composed(*given, running)
    return cast(result, own) if result.spec.dtype is own.compute else result


def scaled(x: Any, weight: Any, bias: Any) -> Any:
    """x * weight + bias, each of which may be None."""
    if weight is None:
        return x if bias is None else x + bias
    return x * weight if bias is None else FUNCTIONS["addcmul"](bias, x, weight)


def by_given(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Channels (dimension 1) normalised by given statistics: one multiplication and addition of the large tensor."""
    inverse = (var + eps).rsqrt()
    scale = inverse if weight is None else inverse * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return FUNCTIONS["addcmul"](per_channel(x, shift), x, per_channel(x, scale))


def by_own(x: Any, dims: list[int], weight: Any, bias: Any, eps: float) -> Any:
    """x normalised by its mean and variance over ``dims``; weight and bias broadcast."""
    centred = x - x.mean(dims, keepdim=True)
    inverse = ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()
    return scaled(centred * inverse, weight, bias)


def by_root_mean_square(x: Any, dims: list[int], weight: Any, eps: float) -> Any:
    """x divided by the root of its mean square over ``dims``."""
    return scaled(x * ((x * x).mean(dims, keepdim=True) + eps).rsqrt(), weight, None)
