"""The table of ONNX's operators: for each name, and each version in which its meaning changed, a function over tensors.

A function takes the node's inputs by position (None for one that is left out) and its attributes by keyword; it returns
the outputs. ``outputs`` among its parameters is how many are asked for. What was an attribute and became an input (the
axes of a reduction, say) is one parameter, for :func:`ints` reads both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from clgrad.onnx.errors import OnnxError
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor

F = TypeVar("F", bound=Callable)

ops = SimpleNamespace(**FUNCTIONS)  # clgrad's operators by name


class Operator(NamedTuple):
    """One meaning of an operator: the operator set in which it began, and what computes it."""

    since: int
    function: Callable
    parameters: frozenset[str] | None  # the attributes that it takes; None: any
    counts_outputs: bool


TABLE: dict[tuple[str, str], list[Operator]] = {}


def implements(*names: str, since: int = 1, domain: str = "") -> Callable[[F], F]:
    """Enters a function as what the operators of these names do, from operator set ``since`` on."""
    def decorate(function: F) -> F:
        parameters = inspect.signature(function).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        taken = None if anything else frozenset(
            name for name, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
        for name in names:
            meanings = TABLE.setdefault((domain, name), [])
            meanings.append(Operator(since, function, taken, "outputs" in parameters))
            meanings.sort(key=lambda meaning: meaning.since)
        return function
    return decorate


def find(domain: str, name: str, version: int) -> Operator | None:
    """What an operator means in a version of its operator set; None where it is unknown."""
    return next((m for m in reversed(TABLE.get((domain, name), [])) if m.since <= version), None)


def ints(value: Any) -> Any:
    """Whole numbers that decide about shapes, from an attribute or a tensor; None stays None."""
    if isinstance(value, Tensor):
        found = value.tolist()
        return found if isinstance(found, list) else [found]
    return value if value is None else list(value)


def number(value: Any) -> Any:
    """A single number from an attribute or a tensor of one element; None stays None."""
    return value.item() if isinstance(value, Tensor) else value


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        OnnxError: there is no such axis.
    """
    if not -rank <= axis < max(rank, 1):
        raise OnnxError(f"axis {axis} is out of range for a tensor with {rank} dimensions")
    return axis + rank if axis < 0 else axis
