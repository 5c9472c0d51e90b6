"""Rules of optimizers: a few assignments, used as the body of one kernel and as Tensor operations.

A statement is ``name = formula``. ``p`` is the parameter, ``g`` its gradient; the names of states stand for the state
tensors; other names that no statement assigns are numbers, which vary from step to step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clgrad.ops.formula import Formula


class UpdateRule:
    """Parsed statements.

    >>> rule = UpdateRule(("velocity = velocity * momentum + g", "p = p - velocity * lr"), ("velocity",))
    >>> rule.states, rule.written, rule.scalars
    (('velocity',), ('p', 'velocity'), ('lr', 'momentum'))
    >>> rule.c
    'velocity = ((velocity * momentum) + g); p = (p - (velocity * lr));'
    """

    def __init__(self, statements: Sequence[str], states: Sequence[str]):
        self.lines: list[tuple[str, Formula]] = []
        for statement in statements:
            target, _, text = statement.partition(" = ")
            self.lines.append((target, Formula(text)))
        assigned = {target for target, _ in self.lines}
        self.mentioned = assigned.union(*(formula.names for _, formula in self.lines))
        self.states = tuple(state for state in states if state in self.mentioned)
        memory = ("p", *self.states)
        self.written = tuple(name for name in memory if name in assigned)
        self.scalars = tuple(sorted(self.mentioned - assigned - {"g", *memory}))
        self.cost = sum(formula.text.count(" ") // 2 for _, formula in self.lines)

    @property
    def loaded(self) -> tuple[str, ...]:
        """The tensors whose old values count."""
        known: set[str] = set()
        found = []
        for target, formula in self.lines:
            found += [n for n in ("p", "g", *self.states) if n in formula.names and n not in known and n not in found]
            known.add(target)
        return tuple(found)

    @property
    def c(self) -> str:
        """The statements in OpenCL C, over vectors of type V."""
        known = {"p", "g", *self.states}
        text = []
        for target, formula in self.lines:
            text.append(f"{'' if target in known else 'V '}{target} = {formula.c};")
            known.add(target)
        return " ".join(text)

    def evaluate(self, functions: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """What the statements assign, computed over Tensors or numbers."""
        known = dict(values)
        for target, formula in self.lines:
            known[target] = formula.evaluate(functions, known)
        return {target: known[target] for target, _ in self.lines}
