"""What rules of complex operators are written with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.ops import complexes, pointwise
from clgrad.ops.arguments import by_name
from clgrad.ops.interception import complex_rules
from clgrad.ops.output import in_place_form, store
from clgrad.ops.registry import FUNCTIONS, METHODS, REGISTRY

Made = Callable[[Callable, dict[str, Any]], Any]
_KIND_OF_OUT = frozenset({"sum", "prod", "cumsum", "cumprod"})  # their ``out=`` says the dtype where ``dtype=`` does not


def _arguments(name: str, function: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    """A call's arguments by name, with defaults."""
    row = REGISTRY.pointwise.get(name)
    if row is None:
        return by_name(function, args, kwargs)
    operands, parameters, out = pointwise.bind(row, args, dict(kwargs))
    return {**dict(zip((*row.tensors, *row.parameters), (*operands, *parameters), strict=True)), "out": out}


def rule(*names: str) -> Callable[[Made], Made]:
    """Registers ``made(function, given)`` for operators of these names.

    ``given`` are a call's arguments by name, with defaults; ``out=`` is seen to. NotImplemented leaves it to ``function``.
    """
    def register(made: Made) -> Made:
        for name in names:
            if name in complex_rules:
                raise ValueError(f"there are two rules for {name}")
            complex_rules[name] = functools.partial(_run, name, made)
        return made
    return register


def _run(name: str, made: Made, function: Callable, args: tuple, kwargs: dict) -> Any:
    """A call of an operator by its rule."""
    given = _arguments(name, function, args, kwargs)
    out = given.get("out")
    if out is not None:
        kind = {"dtype": given["dtype"] or out.spec.dtype} if name in _KIND_OF_OUT else {}
        given = {**given, **kind, "out": None}
    result = made(function, given)
    if result is NotImplemented:
        return function(*args, **kwargs)
    return store(name, result, out, exact=name in _KIND_OF_OUT)


def add_in_place_forms() -> None:
    """Gives the in-place forms of operators that have rules the results of these."""
    for name in [name for name in complex_rules if f"{name}_" in METHODS and f"{name}_" not in complex_rules]:
        complex_rules[f"{name}_"] = functools.partial(_in_place, in_place_form(name, FUNCTIONS[name]))


def _in_place(form: Callable, function: Callable, args: tuple, kwargs: dict) -> Any:
    return (form if is_complex(args[0]) else function)(*args, **kwargs)


def is_complex(value: Any) -> bool:
    """Whether it is a complex tensor."""
    return isinstance(value, TensorBase) and value.spec.dtype.is_complex


def joined(real: Any, imag: Any) -> Any:
    """The complex numbers of these parts."""
    if isinstance(real, (tuple, list)):
        made = [joined(a, b) for a, b in zip(real, imag, strict=True)]
        return type(real)(*made) if hasattr(real, "_fields") else type(real)(made)
    return complexes.joined(real, imag)
