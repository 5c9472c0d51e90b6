"""Rules of operators that are other operators one after the other: products and sums of many numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.complexes.rules import rule
from clgrad.ops.complexes import real
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import normalize_dim


@rule("prod")
def _prod(function: Callable, given: dict[str, Any]) -> Any:
    """Halves are multiplied with each other until one number is left: the sum of errors grows with the logarithm."""
    x, dim, keepdim = given["input"], given["dim"], given["keepdim"]
    if given["dtype"] is not None:
        x = x.to(given["dtype"])
    if not x.spec.dtype.is_complex:
        return function(x, dim, keepdim)
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
    """Each number times that 1, 2, 4 ... before (Hillis and Steele, "Data parallel algorithms", 1986)."""
    x = given["input"] if given["dtype"] is None else given["input"].to(given["dtype"])
    axis, step = normalize_dim(given["dim"], x.spec.ndim), 1
    size = x.spec.shape[axis] if x.spec.ndim else 0
    while step < size:
        later = x.narrow(axis, step, size - step) * x.narrow(axis, 0, size - step)
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
    """From the operand with the larger real part on."""
    a, b = FUNCTIONS["broadcast_tensors"](given["a"], given["b"])
    swapped = real(a) < real(b)
    large, small = FUNCTIONS["where"](swapped, b, a), FUNCTIONS["where"](swapped, a, b)
    return large + FUNCTIONS["log1p"](FUNCTIONS["exp"](small - large))


@rule("ldexp")
def _ldexp(function: Callable, given: dict[str, Any]) -> Any:
    return given["x"] * FUNCTIONS["pow"](2.0, given["e"])


@rule("logcumsumexp")
def _logcumsumexp(function: Callable, given: dict[str, Any]) -> Any:
    x = given["input"]
    if not x.spec.ndim:
        return x.clone()
    largest = real(x).detach().amax(given["dim"], keepdim=True)
    return FUNCTIONS["log"](FUNCTIONS["cumsum"](FUNCTIONS["exp"](x - largest), given["dim"])) + largest
