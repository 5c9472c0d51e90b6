"""The table of translations: for each of clgrad's operators, how it is written as ONNX nodes.

A translation takes the :class:`Builder` and the call's arguments as the operator's signature names them, with values in
place of tensors; it returns the names of the results. ``g.result`` is what the call gave: its shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from clgrad import dtypes
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.sizes import Value

F = TypeVar("F", bound=Callable)
TRANSLATIONS: dict[str, Callable] = {}


def translates(*names: str) -> Callable[[F], F]:
    """Enters a function as the translation of the operators of these names."""
    def decorate(function: F) -> F:
        TRANSLATIONS.update(dict.fromkeys(names, function))
        return function
    return decorate


def as_dtype(g: Builder, x: Any, dtype: Any) -> str:
    """An operand, a value or a number, in a dtype."""
    if isinstance(x, Value):
        return g.name_of(x) if x.dtype is dtype else g.cast(x, dtype)
    return x if isinstance(x, str) else g.constant(x, dtype)


def common(*operands: Any) -> Any:
    """The dtype in which operands are compared: that of the values, promoted; numbers take part by their kind."""
    kinds = [x.dtype for x in operands if isinstance(x, Value)]
    found = kinds[0]
    for kind in kinds[1:]:
        found = dtypes.promote_types(found, kind)
    if any(isinstance(x, float) for x in operands) and not found.is_floating_point:
        return dtypes.float32
    if found is dtypes.bool and any(isinstance(x, int) and not isinstance(x, bool) for x in operands):
        return dtypes.int64
    return found


def front(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def axes_of(dim: Any, rank: int) -> list[int] | None:
    """Axes counted from the front; None for all."""
    if dim is None:
        return None
    found = [front(axis, rank) for axis in (dim if isinstance(dim, (tuple, list)) else [dim])]
    return found or None


def many(value: Any, count: int) -> list[int]:
    """A number for each of ``count`` dimensions."""
    return [value] * count if isinstance(value, int) else list(value) * (count if len(value) == 1 else 1)
