"""Rules of what depends on absolute values, or on whether a number is zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.complexes.rules import imag_of, real_of, rule
from clgrad.ops import pointwise
from clgrad.ops.arguments import called
from clgrad.ops.registry import FUNCTIONS, REGISTRY

_QUOTIENT = REGISTRY.pointwise["_quotient_or_zero"]


def _only(given: dict[str, Any]) -> Any:
    return next(iter(given.values()))


@rule("abs")
def _abs(function: Callable, given: dict[str, Any]) -> Any:
    x = _only(given)
    return FUNCTIONS["hypot"](real_of(x), imag_of(x))


@rule("angle")
def _angle(function: Callable, given: dict[str, Any]) -> Any:
    x = _only(given)
    return FUNCTIONS["atan2"](imag_of(x), real_of(x))


@rule("sign")
def _sgn(function: Callable, given: dict[str, Any]) -> Any:
    x = _only(given)
    return pointwise.call(_QUOTIENT, (x, FUNCTIONS["abs"](x)))


@rule("l1_loss")
def _l1_loss(function: Callable, given: dict[str, Any]) -> Any:
    lengths = FUNCTIONS["abs"](given["input"] - given["target"])
    return called(function, {**given, "input": lengths, "target": FUNCTIONS["zeros_like"](lengths)})


@rule("softsign")
def _softsign(function: Callable, given: dict[str, Any]) -> Any:
    x = _only(given)
    return x / (1 + FUNCTIONS["abs"](x))


@rule("rms_norm")
def _rms_norm(function: Callable, given: dict[str, Any]) -> Any:
    x, weight, eps = given["input"], given["weight"], given["eps"]
    dims = tuple(range(-len(given["normalized_shape"]), 0))
    eps = FUNCTIONS["finfo"](x.spec.dtype).eps if eps is None else eps
    made = x * FUNCTIONS["rsqrt"](FUNCTIONS["mean"](FUNCTIONS["square"](x), dims, True) + eps)
    return made if weight is None else made * weight


@rule("any", "all", "count_nonzero", "nonzero", "argwhere")
def _of_truth(function: Callable, given: dict[str, Any]) -> Any:
    """The operator on where numbers are not zero."""
    name, x = next(iter(given.items()))
    return called(function, {**given, name: x != 0})


@rule("var")
def _var(function: Callable, given: dict[str, Any]) -> Any:
    x = given["input"]
    return called(function, {**given, "input": real_of(x)}) + called(function, {**given, "input": imag_of(x)})


@rule("std")
def _std(function: Callable, given: dict[str, Any]) -> Any:
    return FUNCTIONS["sqrt"](called(FUNCTIONS["var"], given))


def _with_mean(of_spread: str) -> Callable[[Callable, dict[str, Any]], Any]:
    def both(function: Callable, given: dict[str, Any]) -> Any:
        dim = None if isinstance(given["dim"], bool) else given["dim"]  # then it is ``unbiased``
        return (called(FUNCTIONS[of_spread], {**given, "out": None}),
                FUNCTIONS["mean"](given["input"], dim, given["keepdim"]))
    return both


for _name in ("var", "std"):
    rule(f"{_name}_mean")(_with_mean(_name))
