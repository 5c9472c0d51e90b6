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
_BINARY_NAMES = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_COMPARE_NAMES = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne"}
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
        return _Writer().value(self.tree)

    def complex_c(self, conjugated: bool) -> str:
        """The expression in OpenCL C over complex numbers.

        ``conjugated``: it is the derivative of a holomorphic function, whose gradient is ``g`` times the derivative's
        conjugate; as its numbers are real, that is its value for conjugated operands.
        """
        return _ComplexWriter(conjugated).value(self.tree)

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


class _Writer:
    """Writes an expression in OpenCL C, over vectors V of real numbers."""

    prefix, choice, truth = "fn", "WHERE", "TRUTH"

    def value(self, node: ast.expr) -> str:
        """A node as a C expression of the type of values."""
        if _is_mask(node):
            return self.real(f"MASK_VALUE({self.mask(node)})")
        if isinstance(node, ast.Constant):
            return self.real(_number(node.value))
        if isinstance(node, ast.Name):
            return self.real(f"K({_CONSTANTS[node.id]})") if node.id in _CONSTANTS else self.operand(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self.negative(self.value(node.operand))
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self.binary(type(node.op), self.value(node.left), self.value(node.right))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            return f"{self.prefix}_pow({self.value(node.left)}, {self.value(node.right)})"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "where":
                condition, yes, no = node.args
                return f"{self.choice}({self.mask(condition)}, {self.value(yes)}, {self.value(no)})"
            return f"{self.prefix}_{node.func.id.lstrip('_')}({', '.join(self.value(a) for a in node.args)})"
        raise SyntaxError(f"a formula cannot hold {ast.unparse(node)!r}")

    def mask(self, node: ast.expr) -> str:
        """A node as a C comparison result."""
        if isinstance(node, ast.Compare):
            return self.comparison(type(node.ops[0]), self.value(node.left), self.value(node.comparators[0]))
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
            name = "AND" if isinstance(node.op, ast.BitAnd) else "OR"
            return f"{name}({self.mask(node.left)}, {self.mask(node.right)})"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            return f"NOT({self.mask(node.operand)})"
        if isinstance(node, ast.Call) and _is_mask(node):
            assert isinstance(node.func, ast.Name)
            return f"{self.prefix}_{node.func.id}({self.value(node.args[0])})"
        return f"{self.truth}({self.value(node)})"

    def operand(self, name: str) -> str:
        return name

    def real(self, value: str) -> str:
        """A vector of real numbers as a value."""
        return value

    def negative(self, value: str) -> str:
        return f"(-{value})"

    def binary(self, kind: type[ast.operator], left: str, right: str) -> str:
        return f"({left} {_BINARY[kind]} {right})"

    def comparison(self, kind: type[ast.cmpop], left: str, right: str) -> str:
        return f"({left} {_COMPARE[kind]} {right})"


class _ComplexWriter(_Writer):
    """Writes an expression over complex numbers Z; all operands but ``g`` are ``conjugated`` where it is a derivative."""

    prefix, choice, truth = "z", "Z_WHERE", "Z_TRUTH"

    def __init__(self, conjugated: bool):
        self.conjugated = conjugated

    def operand(self, name: str) -> str:
        return f"z_conj({name})" if self.conjugated and name != "g" else name

    def real(self, value: str) -> str:
        return f"z_of({value})"

    def negative(self, value: str) -> str:
        return f"z_neg({value})"

    def binary(self, kind: type[ast.operator], left: str, right: str) -> str:
        return f"z_{_BINARY_NAMES[kind]}({left}, {right})"

    def comparison(self, kind: type[ast.cmpop], left: str, right: str) -> str:
        return f"z_{_COMPARE_NAMES[kind]}({left}, {right})"


def _number(value: Any) -> str:
    if isinstance(value, (bool, int)):
        return f"K({int(value)})"
    return f"K(C({value!r}))"
