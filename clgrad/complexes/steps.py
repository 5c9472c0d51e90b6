"""Rules of operators that are other operators one after the other: products and sums of many numbers."""

from __future__ import annotations

import operator as op
from collections.abc import Callable
from math import inf, nan
from typing import Any

from clgrad.complexes.rules import rule
from clgrad.ops.complexes import real
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import normalize_dim


@rule("prod")
def _prod(function: Callable, given: dict[str, Any]) -> Any:
    """Halves are multiplied with each other until one number is left: the sum of errors grows with the logarithm."""
    x, dim, keepdim, kind = given["input"], given["dim"], given["keepdim"], given["dtype"]
    if not (kind or x.spec.dtype).is_complex:
        return NotImplemented
    x = x.to(kind or x.spec.dtype)
    if dim is None:
        x, dim, keepdim = x.reshape(-1), 0, False
    axis = normalize_dim(dim, x.spec.ndim)
    if not x.spec.ndim:
        return x.clone()
    if not x.spec.shape[axis]:
        ones = [1 if d == axis else size for d, size in enumerate(x.spec.shape)]
        found = x.new_ones(ones)
    else:
        found = x
        while (size := found.spec.shape[axis]) > 1:
            half = size // 2
            pairs = found.narrow(axis, 0, half) * found.narrow(axis, half, half)
            found = FUNCTIONS["cat"]([pairs, found.narrow(axis, 2 * half, 1)], axis) if size % 2 else pairs
    found = found.clone() if found is x else found
    return found if keepdim else found.squeeze(axis)


@rule("cumprod")
def _cumprod(function: Callable, given: dict[str, Any]) -> Any:
    kind = given["dtype"] or given["input"].spec.dtype
    if not kind.is_complex:
        return NotImplemented
    return _scanned(op.mul, given["input"].to(kind), given["dim"])


def _scanned(combined: Callable, x: Any, dim: int) -> Any:
    """Each number with that 1, 2, 4 ... before (Hillis and Steele, "Data parallel algorithms", 1986)."""
    axis, step = normalize_dim(dim, x.spec.ndim), 1
    size = x.spec.shape[axis] if x.spec.ndim else 0
    while step < size:
        later = combined(x.narrow(axis, step, size - step), x.narrow(axis, 0, size - step))
        x = FUNCTIONS["cat"]([x.narrow(axis, 0, step), later], axis)
        step *= 2
    return x.clone() if step == 1 else x


@rule("logsumexp")
def _logsumexp(function: Callable, given: dict[str, Any]) -> Any:
    x, dim = given["input"], given["dim"]
    largest = real(x).detach().amax(dim, keepdim=True)
    shift = FUNCTIONS["where"](largest.isfinite(), largest, 0)
    found = FUNCTIONS["log"](FUNCTIONS["sum"](FUNCTIONS["exp"](x - shift), dim, True)) + shift
    return found if given["keepdim"] else FUNCTIONS["sum"](found, dim)


@rule("logaddexp")
def _logaddexp(function: Callable, given: dict[str, Any]) -> Any:
    """From the operand with the larger real part on; two infinite ones leave no difference to take."""
    a, b = FUNCTIONS["broadcast_tensors"](given["a"], given["b"])
    where, exp = FUNCTIONS["where"], FUNCTIONS["exp"]
    swapped = real(a) < real(b)
    large, small = where(swapped, b, a), where(swapped, a, b)
    equal = real(large).isinf() & real(large).eq(real(small))
    regular = large + FUNCTIONS["log1p"](exp(where(equal, -1.0, small - large)))
    infinite = where(real(a) < 0, b, FUNCTIONS["log"](exp(where(equal, a, 0.0)) + exp(where(equal, b, 0.0))))
    return where(a.isnan() | b.isnan(), complex(nan, nan), where(equal, infinite, regular))


@rule("ldexp")
def _ldexp(function: Callable, given: dict[str, Any]) -> Any:
    return given["x"] * FUNCTIONS["pow"](2.0, given["e"])


@rule("logcumsumexp")
def _logcumsumexp(function: Callable, given: dict[str, Any]) -> Any:
    """In the steps of ``cumprod``: a largest number for all sums would leave nothing of sums that are far smaller."""
    x = given["input"]
    zeros = real(x).eq(-inf)  # of which the angle says nothing
    return _scanned(FUNCTIONS["logaddexp"], FUNCTIONS["where"](zeros, complex(-inf, 0), x), given["dim"])
