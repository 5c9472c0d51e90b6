"""How operators compute all entries of a batch at once: rules by the operators' names, and what rules are written with.

A rule is called as ``rule(level, func, args, kwargs)`` where at least one argument is of the level's batch, and returns
tensors with the batch as first dimension. NotImplemented leaves a call to what is right for all operators (see
:mod:`clgrad.batching`): so rules need to know the usual ways of calling only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.ops.arguments import by_name

Rule = Callable[[Any, Callable, tuple, dict], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for operators of these names."""
    def register(made: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"there are two rules for {name}")
            RULES[name] = made
        return made
    return register


def rule_of_arguments(*names: str) -> Callable[[Callable[[Any, Callable, dict[str, Any]], Any]], Rule]:
    """Like :func:`rule`, for ``rule(level, func, given)``, which gets all arguments by name, with defaults.

    A call that is spelled in another way (by NumPy's names, for example) has no such rule.
    """
    def register(made: Callable[[Any, Callable, dict[str, Any]], Any]) -> Rule:
        @rule(*names)
        def bound(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
            try:
                given = by_name(func, args, kwargs)
            except (TypeError, ValueError):
                return NotImplemented
            return made(level, func, given)
        return bound
    return register


def aligned(level: Any, value: Any, ndim: int) -> Any:
    """All entries of ``value``, with ones before an entry's own dimensions where it has less than ``ndim``.

    What is not of the batch comes back as it is: it is broadcast as it is to one entry.
    """
    if not level.owns(value):
        return value
    whole = value.whole
    missing = ndim - value.spec.ndim
    if missing <= 0:
        return whole
    shape = whole.spec.shape
    return whole.reshape((shape[0], *(1,) * missing, *shape[1:]))


def spread(level: Any, value: Any) -> Any:
    """All entries of ``value``, which is the same in each where it is not of the batch."""
    return level.whole_of(value)


def most_dims(values: Iterable[Any]) -> int:
    """The largest number of an entry's dimensions."""
    return max([v.spec.ndim for v in values if isinstance(v, TensorBase)], default=0)


def shifted(dim: Any, ndim: int) -> int | None:
    """Where a dimension of an entry is in the whole batch; None for what is none, of which the operator itself tells."""
    if type(dim) is not int or not -ndim <= dim < ndim:
        return None
    return dim % ndim + 1


def shifted_all(dims: Any, ndim: int) -> tuple[int, ...] | None:
    """:func:`shifted` of several, or of one."""
    if type(dims) not in (int, tuple, list):
        return None
    found = [shifted(dim, ndim) for dim in ((dims,) if type(dims) is int else dims)]
    return None if None in found else tuple(found)  # type: ignore[arg-type]
