"""Rules of what depends on absolute values, or on whether a number is zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.complexes.rules import imag_of, real_of, rule
from clgrad.dtypes import type_name
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


@rule("sgn")
def _sgn(function: Callable, given: dict[str, Any]) -> Any:
    x = _only(given)
    return pointwise.call(_QUOTIENT, (x, FUNCTIONS["abs"](x)))


@rule("linalg_vector_norm", "vector_norm")
def _of_length(function: Callable, given: dict[str, Any]) -> Any:
    """The operator on absolute values."""
    name, x = next(iter(given.items()))
    kind = given.get("dtype")
    if kind is not None and not kind.is_complex:
        raise RuntimeError(f"linalg.vector_norm: dtype {kind} should be complex for complex inputs, but got "
                           f"{type_name(kind)}")
    return called(function, {**given, name: FUNCTIONS["abs"](x), **({} if kind is None else {"dtype": kind.to_real()})})


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


@rule("var_mean", "std_mean")
def _spread_and_mean(function: Callable, given: dict[str, Any]) -> Any:
    of_parts = called(function, {**given, "input": real_of(given["input"])})
    spread = called(FUNCTIONS[function.__name__[:3]], {**given, "out": None})
    return type(of_parts)(spread, FUNCTIONS["mean"](given["input"], given["dim"], given["keepdim"]))
