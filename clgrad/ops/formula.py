"""Formulas: one small expression, used as OpenCL C inside a kernel and as Tensor operations in a graph.

A formula is a Python expression of names (operands), numbers, ``+ - * / **``, comparisons, ``& | ~`` between
comparisons, and calls of functions of ``math.clh``, each of which is an operator of the same name too.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property
from types import CodeType
from typing import Any

_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.USub: "neg"}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_MASK_FUNCTIONS = {"isnan", "isinf", "isfinite", "signbit"}
_CONSTANTS = {"inf": "INFINITY", "nan": "NAN", "pi": "PI"}
_CONSTANT_VALUES = {"inf": float("inf"), "nan": float("nan"), "pi": 3.141592653589793}


class Formula:
    """An expression.

    >>> Formula("g * (1 - y * y)").c
    '(g * (K(1) - (y * y)))'
    >>> Formula("where(x > 0, g, 0.5)").names == {"x", "g"}
    True
    """

    def __init__(self, text: str):
        self.text = text

    # Parsed when it is first used: few of the table's formulas are in one program.
    @cached_property
    def tree(self) -> ast.expr:
        """The expression's syntax."""
        return ast.parse(self.text, mode="eval").body

    @cached_property
    def names(self) -> set[str]:
        """The operands that it reads."""
        called = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        return {node.id for node in ast.walk(self.tree)
                if isinstance(node, ast.Name) and id(node) not in called and node.id not in _CONSTANTS}

    @cached_property
    def functions(self) -> set[str]:
        """The functions that it calls."""
        return {node.func.id for node in ast.walk(self.tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}

    @cached_property
    def operations(self) -> int:
        """How many operations and calls it consists of."""
        return sum(isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Call)) for node in ast.walk(self.tree))

    @property
    def last(self) -> str:
        """The operator that has its value: ``mul``, ``neg``, ``where``."""
        node = self.tree
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id
        return _OPERATORS[type(node.op)] if isinstance(node, (ast.BinOp, ast.UnaryOp)) else "_copy"

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"

    @cached_property
    def c(self) -> str:
        """The expression in OpenCL C, over vectors of type V."""
        return _value(self.tree)

    @cached_property
    def _code(self) -> CodeType:
        return compile(self.text, "<formula>", "eval")

    def evaluate(self, functions: Mapping[str, Any], operands: Mapping[str, Any]) -> Any:
        """The expression's value over Tensors or numbers; ``functions`` gives the operators that it calls."""
        called = {name: functions[name] for name in self.functions}  # of the many that there are
        return eval(self._code, {"__builtins__": {}, **called, **_CONSTANT_VALUES, **operands})


def _is_mask(node: ast.expr) -> bool:
    return (isinstance(node, ast.Compare)
            or (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)))
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert))
            or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MASK_FUNCTIONS))


def _value(node: ast.expr) -> str:
    """A node as a C expression of type V."""
    if _is_mask(node):
        return f"MASK_VALUE({_mask(node)})"
    if isinstance(node, ast.Constant):
        return _number(node.value)
    if isinstance(node, ast.Name):
        return f"K({_CONSTANTS[node.id]})" if node.id in _CONSTANTS else node.id
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return f"(-{_value(node.operand)})"
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return f"({_value(node.left)} {_BINARY[type(node.op)]} {_value(node.right)})"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return f"fn_pow({_value(node.left)}, {_value(node.right)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "where":
            condition, yes, no = node.args
            return f"WHERE({_mask(condition)}, {_value(yes)}, {_value(no)})"
        return f"fn_{node.func.id.lstrip('_')}({', '.join(_value(a) for a in node.args)})"
    raise SyntaxError(f"a formula cannot hold {ast.unparse(node)!r}")


def _mask(node: ast.expr) -> str:
    """A node as a C comparison result."""
    if isinstance(node, ast.Compare):
        left, right = node.left, node.comparators[0]
        return f"({_value(left)} {_COMPARE[type(node.ops[0])]} {_value(right)})"
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        name = "AND" if isinstance(node.op, ast.BitAnd) else "OR"
        return f"{name}({_mask(node.left)}, {_mask(node.right)})"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return f"NOT({_mask(node.operand)})"
    if isinstance(node, ast.Call) and _is_mask(node):
        assert isinstance(node.func, ast.Name)
        return f"fn_{node.func.id}({_value(node.args[0])})"
    return f"TRUTH({_value(node)})"


def _number(value: Any) -> str:
    if isinstance(value, (bool, int)):
        return f"K({int(value)})"
    return f"K(C({value!r}))"
