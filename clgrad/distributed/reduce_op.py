"""``ReduceOp``: how the members' tensors become one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from clgrad import dtypes
from clgrad.ops.registry import FUNCTIONS


class ReduceOp(IntEnum):
    """How the members' tensors become one; of booleans the sum is "any of them", the product "all of them"."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


ReduceOp.RedOpType = ReduceOp  # type: ignore[attr-defined]  # as which PyTorch names the class of the members

_OPERATORS = {ReduceOp.SUM: "add", ReduceOp.AVG: "add", ReduceOp.PRODUCT: "mul", ReduceOp.MIN: "minimum",
              ReduceOp.MAX: "maximum", ReduceOp.BAND: "bitwise_and", ReduceOp.BOR: "bitwise_or", ReduceOp.BXOR: "bitwise_xor"}
_OF_BOOL = {ReduceOp.SUM: "logical_or", ReduceOp.PRODUCT: "logical_and", ReduceOp.MIN: "logical_and",
            ReduceOp.MAX: "logical_or"}
_BITWISE = (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)
_ORDERED = (ReduceOp.MIN, ReduceOp.MAX)


def checked(name: str, op: Any, kind: Any) -> ReduceOp:
    """The operation for tensors of a dtype.

    Raises:
        RuntimeError: there is none: bits of floating-point numbers, an order of complex ones, an average of booleans.
    """
    try:
        op = ReduceOp(op)
    except ValueError:
        raise RuntimeError(f"{name}: expected op to be a ReduceOp, but got {op!r}") from None
    if op in _BITWISE and (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(f"{name}: Cannot use ReduceOp.{op.name} with non-integral dtype, got {kind}")
    if op in _ORDERED and kind.is_complex:
        raise ValueError(f"{name} does not support {op.name} on complex tensors")
    if op is ReduceOp.AVG and kind is dtypes.bool:
        raise RuntimeError(f"{name}: Cannot use ReduceOp.AVG with bool tensors")
    return op


def combine(parts: Sequence[Any], op: ReduceOp, out: Any) -> None:
    """Writes what the members' parts, in the order of their ranks, are together; ``out`` may be one of them."""
    kind = out.dtype
    operator = FUNCTIONS[_OF_BOOL.get(op, _OPERATORS[op]) if kind is dtypes.bool else _OPERATORS[op]]
    total = parts[0]
    for part in parts[1:-1]:
        total = operator(total, part)
    if len(parts) > 1:
        operator(total, parts[-1], out=out)
    if op is ReduceOp.AVG:
        out.div_(len(parts), rounding_mode=None if kind.is_floating_point or kind.is_complex else "trunc")


def supports_complex(reduceOp: ReduceOp) -> bool:
    """Whether complex numbers can be reduced like that."""
    return reduceOp not in (*_ORDERED, *_BITWISE, ReduceOp.PRODUCT)
