"""``torch.fx.experimental.symbolic_shapes`` where every size is a number and every condition is known."""

from __future__ import annotations

from typing import Any

__all__ = ["GuardOnDataDependentSymNode", "definitely_false", "definitely_true", "free_symbols", "free_unbacked_symbols",
           "guard_int", "guard_or_false", "guard_or_true", "guard_size_oblivious", "has_static_value", "hint_int",
           "is_concrete_bool", "is_concrete_int", "statically_known_true", "sym_and", "sym_eq", "sym_or"]


class GuardOnDataDependentSymNode(RuntimeError):
    """Never raised."""


def guard_or_false(a: Any) -> bool:
    """Whether the condition holds."""
    return bool(a)


guard_or_true = guard_size_oblivious = statically_known_true = definitely_true = guard_or_false


def definitely_false(a: Any) -> bool:
    """Whether the condition does not hold."""
    return not a


def guard_int(a: Any) -> int:
    """The number."""
    return int(a)


def hint_int(a: Any, fallback: int | None = None) -> int:
    """The number."""
    return int(a)


def has_static_value(a: Any) -> bool:
    """True."""
    return True


is_concrete_bool = is_concrete_int = has_static_value


def free_symbols(val: Any) -> set:
    """None."""
    return set()


free_unbacked_symbols = free_symbols


def sym_and(x: Any, *others: Any) -> bool:
    """Whether all hold."""
    return all((x, *others))


def sym_or(x: Any, *others: Any) -> bool:
    """Whether one holds."""
    return any((x, *others))


def sym_eq(x: Any, y: Any) -> bool:
    """Whether both are equal."""
    return x == y
