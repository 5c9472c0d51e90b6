"""Derivatives of formulas, as formulas: a derivative that is recorded is one operation, whose own derivatives are found here.

>>> from clgrad.ops.formula import Formula
>>> derivative(Formula("u * (1 - y * y)"), "y").text
'u * -(g * y + y * g)'
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from clgrad.ops.formula import Formula
from clgrad.ops.registry import NO_FORMULA, REGISTRY


def renamed(formula: Formula, names: Mapping[str, str]) -> Formula:
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
