"""Derivatives of rows, as rows: one that is recorded is one operation, whose own derivatives are found from its formula.

>>> from clgrad.ops.formula import Formula
>>> derivative(Formula("u * (1 - y * y)"), "y").text
'u * -(g * y + y * g)'
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from itertools import count

from clgrad.ops.formula import Formula
from clgrad.ops.node_names import derivative_node_name
from clgrad.ops.registry import NO_FORMULA, REGISTRY, Pointwise
from clgrad.ops.table import GATES, STEPS


@cache
def gradient_row(op: Pointwise, operand: str) -> Pointwise:
    """The derivative as a row of its own, for a kernel."""
    formula = op.derivatives[operand]
    order = ("y", *op.tensors, "g") if op.name in GATES else ("g", "y", *op.tensors)
    names = tuple(n for n in order if n in formula.names)
    parameters = {n: v for n, v in op.parameters.items() if n in formula.names}
    return Pointwise(f"{op.name}_grad_{operand}", names, parameters, formula, None, "same", {})


# Derivatives of more operations than this are no formulas: they grow fivefold each time.
_LONGEST = 128


@cache
def recorded_row(op: Pointwise, operand: str) -> Pointwise | None:
    """The derivative as a row that has derivatives itself; None where Tensor operations record it.

    They do so where it is one operation, as which the graph then shows it, where it chooses from what comes in by operands
    on which it does not depend otherwise, and where a function has no derivative that is a formula, or a long one. In the
    row g and y are what comes in, and the value, when the derivative is differentiated: its operands get other names.
    """
    plain = gradient_row(op, operand)
    order = next(k for k in count(1) if f"g{k}" not in plain.tensors)
    formula = _renamed(plain.value, {"g": f"g{order}", "y": f"y{order}"})
    names, derivatives = tuple([f"{n}{order}" if n in ("g", "y") else n for n in plain.tensors]), {}
    for name in names:
        found = derivative(formula, name)
        if found is None or found.operations > _LONGEST:
            return None
        derivatives[name] = Formula("zeros_like(g)") if found.text == "0" else found
    moving = [name for name in names if "zeros_like" not in derivatives[name].functions]
    if op.name not in STEPS and (formula.operations < 2 or len(moving) < 2):
        return None
    return Pointwise(f"{op.name}_backward", names, plain.parameters, formula, None, "same", derivatives,
                     node=derivative_node_name(op.name, formula))


def _renamed(formula: Formula, names: Mapping[str, str]) -> Formula:
    """The formula with other names for some operands."""
    return Formula(ast.unparse(_placed(formula, {old: ast.Name(new) for old, new in names.items()})))


def derivative(formula: Formula, name: str) -> Formula | None:
    """The derivative with respect to one operand, times ``g``; None where a function that the formula calls has none."""
    try:
        return Formula(ast.unparse(_change(formula.tree, name)))
    except _Unknown:
        return None


class _Unknown(Exception):
    """A function has no derivative that is a formula."""


_ZERO: ast.expr = ast.Constant(0)


def _change(node: ast.expr, name: str) -> ast.expr:
    """How much an expression changes where the operand changes by ``g``."""
    if isinstance(node, ast.Constant):
        return _ZERO
    if isinstance(node, ast.Name):
        return ast.Name("g") if node.id == name else _ZERO
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _negative(_change(node.operand, name))
    if isinstance(node, ast.BinOp):
        return _change_of_binary(node, name)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _change_of_call(node, node.func.id, name)
    raise _Unknown


def _change_of_binary(node: ast.BinOp, name: str) -> ast.expr:
    a, b = node.left, node.right
    da, db = _change(a, name), _change(b, name)
    if isinstance(node.op, ast.Add):
        return _sum(da, db)
    if isinstance(node.op, ast.Sub):
        return _sum(da, _negative(db))
    if isinstance(node.op, ast.Mult):
        return _sum(_product(da, b), _product(a, db))
    if isinstance(node.op, ast.Div):
        return _sum(_quotient(da, b), _negative(_quotient(_product(_quotient(a, b), db), b)))
    raise _Unknown


def _change_of_call(node: ast.Call, function: str, name: str) -> ast.expr:
    if function == "where":
        condition, *choices = node.args
        changes = [_change(choice, name) for choice in choices]
        return ast.Call(node.func, [condition, *changes], []) if any(d is not _ZERO for d in changes) else _ZERO
    changes = [_change(argument, name) for argument in node.args]
    if all(d is _ZERO for d in changes):
        return _ZERO
    row, total = REGISTRY.pointwise.get(function), _ZERO
    if row is None:
        raise _Unknown
    values: dict[str, ast.expr] = {parameter: ast.Constant(default) for parameter, default in row.parameters.items()}
    values |= dict(zip((*row.tensors, *row.parameters), node.args, strict=False)) | {"y": node}
    for operand, change in zip(row.tensors, changes, strict=False):
        if change is not _ZERO:
            own = row.derivatives.get(operand)
            if own is None or own.text == NO_FORMULA:
                raise _Unknown
            total = _sum(total, _ZERO if "zeros_like" in own.functions else _placed(own, values | {"g": change}))
    return total


# Expressions of expressions, of which some are nothing.

def _sum(a: ast.expr, b: ast.expr) -> ast.expr:
    return b if a is _ZERO else a if b is _ZERO else ast.BinOp(a, ast.Add(), b)


def _negative(a: ast.expr) -> ast.expr:
    return a if a is _ZERO else ast.UnaryOp(ast.USub(), a)


def _product(a: ast.expr, b: ast.expr) -> ast.expr:
    return _ZERO if a is _ZERO or b is _ZERO else ast.BinOp(a, ast.Mult(), b)


def _quotient(a: ast.expr, b: ast.expr) -> ast.expr:
    return a if a is _ZERO else ast.BinOp(a, ast.Div(), b)


def _placed(formula: Formula, values: Mapping[str, ast.expr]) -> ast.expr:
    """The formula's expression with others in the places of names."""
    return _Placing(values).visit(ast.parse(formula.text, mode="eval").body)


class _Placing(ast.NodeTransformer):

    def __init__(self, values: Mapping[str, ast.expr]):
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.values.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return ast.Call(node.func, [self.visit(argument) for argument in node.args], [])
