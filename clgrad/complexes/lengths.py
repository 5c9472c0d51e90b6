"""Rules of what depends on absolute values, or on whether a number is zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.complexes.rules import rule
from clgrad.ops.arguments import called
from clgrad.ops.complexes import imag, real
from clgrad.ops.registry import FUNCTIONS


def _only(given: dict[str, Any]) -> Any:
    return next(iter(given.values()))


@rule("abs")
def _abs(function: Callable, given: dict[str, Any]) -> Any:
    x = _only(given)
    return FUNCTIONS["hypot"](real(x), imag(x))


@rule("abs_")
def _abs_in_place(function: Callable, given: dict[str, Any]) -> Any:
    raise RuntimeError("In-place abs is not supported for complex tensors.")


@rule("angle")
def _angle(function: Callable, given: dict[str, Any]) -> Any:
    x = _only(given)
    return FUNCTIONS["atan2"](imag(x), real(x))


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
    return called(function, {**given, "input": real(x)}) + called(function, {**given, "input": imag(x)})


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
