"""Divisions: quotients, rounded ones, remainders. Integers are not divided by zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.ops import pointwise
from clgrad.ops.copying import to_array
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator, publish

ROWS = REGISTRY.pointwise


def _category(x: Any) -> int:
    return x.spec.dtype.category if isinstance(x, TensorBase) else dtypes.of_number(x).category


def check_divisor(input: Any, other: Any) -> None:
    """RuntimeError where integers would be divided by zero; a tensor is looked at where its memory is the host's."""
    if max(_category(other), _category(input)) != 1:
        return
    if not isinstance(other, TensorBase):
        zero = not other
    else:
        zero = other.spec.device.type == "cpu" and not to_array(other).all()  # type: ignore[attr-defined]
    if zero:
        raise RuntimeError("ZeroDivisionError")


_div, _div_in_place = FUNCTIONS["div"], FUNCTIONS["div_"]
_MODES = {None: "div", "floor": "_div_floor", "trunc": "_div_trunc"}


def _rounded(rounding_mode: str | None) -> Any:
    if rounding_mode not in _MODES:
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"'{rounding_mode}'")
    return ROWS[_MODES[rounding_mode]]


def _is_half(*operands: Any) -> bool:
    """Whether a quotient is one of 16 bits, which is rounded to the dtype before its fraction is cut off."""
    return any(isinstance(t, TensorBase) and t.spec.dtype in (dtypes.float16, dtypes.bfloat16) for t in operands)


@operator("div", "divide", "true_divide")
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """``input / other``; ``rounding_mode`` "floor" or "trunc" gives the rounded quotient."""
    if rounding_mode is None:
        return _div(input, other, out=out)
    check_divisor(input, other)
    if rounding_mode == "trunc" and _is_half(input, other):
        return FUNCTIONS["trunc"](_div(input, other), out=out)
    return pointwise.call(_rounded(rounding_mode), (input, other), (), out)


@operator("div_", "divide_", "true_divide_", function=False)
def div_(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """:func:`div` in place."""
    if rounding_mode is not None:
        check_divisor(input, other)
    if rounding_mode == "trunc" and _is_half(input):
        return _div_in_place(input, other).trunc_()
    return pointwise.call_in_place(_rounded(rounding_mode), (input, other))


def _checked(name: str) -> None:
    """Lets an operator of the table, and its in-place form, look at the divisor first."""
    for form in (name, f"{name}_"):
        plain: Callable = FUNCTIONS[form]

        def checked(input: Any, other: Any, *, plain: Callable = plain, **out: Any) -> Any:
            check_divisor(input, other)
            return plain(input, other, **out)
        checked.__name__ = checked.__qualname__ = form
        checked.__module__, checked.__doc__ = "clgrad", plain.__doc__
        publish(checked, form)


for _name in ("floor_divide", "remainder", "fmod"):
    _checked(_name)
