"""``torch.sym_*``: arithmetic of sizes. Sizes are integers here, so these are the functions of Python's own numbers."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from typing import Any

__all__ = ["sym_float", "sym_fresh_size", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum"]


def sym_int(a: Any) -> int:
    """``a`` rounded towards zero, as an integer."""
    return math.trunc(a)


def sym_float(a: Any) -> float:
    """``a`` as a floating-point number."""
    return float(a)


def sym_not(a: Any) -> bool:
    """``not a``."""
    return not a


def sym_max(a: Any, b: Any) -> Any:
    """The larger of two numbers, a float where either is one."""
    return float(builtins.max(a, b)) if isinstance(a, float) or isinstance(b, float) else builtins.max(a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller of two numbers, a float where either is one."""
    return float(builtins.min(a, b)) if isinstance(a, float) or isinstance(b, float) else builtins.min(a, b)


def sym_sum(args: Iterable) -> Any:
    """The sum of numbers."""
    return builtins.sum(args)


def sym_sqrt(a: Any) -> float:
    """The square root of a number."""
    return math.sqrt(a)


def sym_ite(b: bool, t: Any, f: Any) -> Any:
    """``t`` where ``b`` holds, else ``f``, which are of one type."""
    if not isinstance(b, bool) or type(t) is not type(f):
        raise TypeError(f"sym_ite(): expected a bool and two values of one type, got {type(b).__name__}, "
                        f"{type(t).__name__} and {type(f).__name__}")
    return t if b else f


def sym_fresh_size(expr: Any) -> Any:
    """``expr`` itself."""
    return expr
