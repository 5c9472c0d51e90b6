"""What operators there are, by name: the functions, which of them are methods, and the pointwise rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from clgrad.ops.autocast import NAMES
from clgrad.ops.formula import Formula
from clgrad.ops.interception import intercepted

NONDIFF = "not differentiable"
NO_FORMULA = "_no_formula(g)"  # in the place of a derivative that nobody gives

F = TypeVar("F", bound=Callable)


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A row of the table of pointwise operators; see :mod:`clgrad.ops.table`."""

    name: str
    tensors: tuple[str, ...]
    parameters: dict[str, float]
    value: Formula
    integers: Formula | None
    kind: str
    derivatives: dict[str, Formula]
    in_place: bool = True
    row_major: bool = False
    node: str = ""  # what its nodes are called, where not as it
    plans: dict = field(default_factory=dict, repr=False)  # by the operands' specs: see clgrad.ops.pointwise

    @property
    def public(self) -> bool:
        """Whether users see it; the others are parts of public functions."""
        return not self.name.startswith("_")

    @property
    def underivable(self) -> bool:
        """Whether it has derivatives, none of which anybody gives."""
        return bool(self.derivatives) and all(formula.text == NO_FORMULA for formula in self.derivatives.values())


@dataclass
class _Registry:
    pointwise: dict[str, Pointwise] = field(default_factory=dict)
    functions: dict[str, Callable] = field(default_factory=dict)
    methods: dict[str, Callable] = field(default_factory=dict)


REGISTRY = _Registry()
FUNCTIONS = REGISTRY.functions
METHODS = REGISTRY.methods


def register(row: Pointwise) -> None:
    """Adds a pointwise row; its function is made in :mod:`clgrad.ops.pointwise`."""
    if row.name in REGISTRY.pointwise:
        raise ValueError(f"there are two rows called {row.name}")
    REGISTRY.pointwise[row.name] = row


def operator(*names: str, method: bool = True, function: bool = True) -> Callable[[F], F]:
    """Registers a function under its own name and the given ones, as ``clgrad.<name>`` and as a method of Tensor.

    What is registered, and returned, is the form whose calls can be listened to: see :mod:`clgrad.ops.interception`.
    """
    def decorate(f: F) -> F:
        given = names or (f.__name__.rstrip("_"),)
        made: F = intercepted(f, next((name for name in given if name in NAMES), given[0]))  # type: ignore[assignment]
        for name in given:
            if function:
                FUNCTIONS[name] = made
            if method:
                METHODS[name] = made
        return made
    return decorate


def publish(made: Callable, name: str, *, method: bool = True, function: bool = True) -> None:
    """Registers a function that was made for a name; see :func:`operator`."""
    operator(name, method=method, function=function)(made)


def alias(new: str, existing: str, *, method: bool = True) -> None:
    """Makes ``new`` another name of an operator that is there."""
    FUNCTIONS[new] = FUNCTIONS[existing]
    if method:
        METHODS[new] = METHODS.get(existing, FUNCTIONS[existing])
