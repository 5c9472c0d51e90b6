"""The Python function that a graph stands for."""

from __future__ import annotations

import builtins
import keyword
import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import Enum
from importlib import import_module
from typing import Any, NamedTuple

from clgrad.fx.node import Node, qualified_name
from clgrad.runtime import device

BINARY = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@",
          "and_": "&", "or_": "|", "xor": "^", "lshift": "<<", "rshift": ">>"}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
UNARY = {"neg": "-{}", "pos": "+{}", "invert": "~{}"}
_FORMATS = {**{name: f"{{}} {sign} {{}}" for name, sign in {**BINARY, **COMPARISONS}.items()}, **UNARY, "getitem": "{}[{}]"}
_IN_PLACE = {f"i{name.rstrip('_')}": f"{sign}=" for name, sign in BINARY.items()}


class Names:
    """Names that are all different, and none of Python's."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._counts: dict[str, int] = defaultdict(int)

    def new(self, wanted: str) -> str:
        """``wanted``, or ``wanted_1`` and so on where that is taken."""
        wanted = re.sub(r"\W+", "_", wanted) or "_unnamed"
        if wanted[0].isdigit():
            wanted = f"_{wanted}"
        base, number = wanted, 0
        found = re.fullmatch(r"(.*)_(\d+)", wanted)
        if found:
            base, number = found[1], int(found[2])
        name, number = wanted, number or self._counts[base]
        while name in self._used or keyword.iskeyword(name) or hasattr(builtins, name) or name in ("inf", "nan", "torch"):
            number += 1
            name = f"{base}_{number}"
        self._used.add(name)
        self._counts[base] = number
        return name


def snake_case(text: str) -> str:
    """``MaxPool2d`` as ``max_pool2d``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", text).lower()


class PythonCode(NamedTuple):
    """Source text, and the values of the names that it takes from outside."""

    src: str
    globals: dict[str, Any]


class CodeGen:
    """Writes the function of a graph: a line a node, and values forgotten where nobody needs them any more."""

    def __init__(self, nodes: Iterable[Node], root_module: str):
        self.nodes, self.root = list(nodes), root_module
        self.globals: dict[str, Any] = {"torch": import_module("clgrad"), "inf": math.inf, "nan": math.nan, "device": device,
                                        "NoneType": type(None)}

    def write(self) -> PythonCode:
        """The source of ``forward``."""
        arguments = [self._argument(node) for node in self.nodes if node.op == "placeholder"]
        dying = self._dying()
        lines = []
        for node in self.nodes:
            line = self._line(node)
            if line is None:
                continue
            gone = [n.name for n in dying[node]]
            lines.append(f"    {line}" + (f";  {' = '.join(gone)} = None" if gone and node.op != "output" else ""))
        head = ", ".join([self.root, *arguments]) if self.root else ", ".join(arguments)
        body = "\n".join(lines or ["    pass"])
        return PythonCode(f"\n\n\ndef forward({head}):\n{body}\n    ", self.globals)

    def _dying(self) -> dict[Node, list[Node]]:
        """For each node those whose value it is the last to take."""
        seen: set[Node] = set()
        found: dict[Node, list[Node]] = defaultdict(list)
        for node in reversed(self.nodes):
            for used in node.all_input_nodes:
                if used not in seen:
                    seen.add(used)
                    found[node].append(used)
            if not node.users and node.op not in ("placeholder", "output") and node not in seen:
                found[node].append(node)
        return found

    def _argument(self, node: Node) -> str:
        kind = f" : {self._value(node.type)}" if node.type is not None else ""
        return f"{node.target}{kind}" + (f" = {self._value(node.args[0])}" if node.args else "")

    def _line(self, node: Node) -> str | None:
        if node.op == "placeholder":
            plain = node.target.lstrip("*")
            return f"{node.name} = {plain}" if plain != node.name else None
        if node.op == "output":
            return f"return {self._value(node.args[0])}"
        return f"{node.name} = {self._expression(node)}"

    def _expression(self, node: Node) -> str:
        if node.op == "get_attr":
            return attribute_path(self.root, node.target)
        if node.op == "call_method":
            return f"{self._value(node.args[0])}.{node.target}({self._call(node.args[1:], node.kwargs)})"
        if node.op == "call_module":
            return f"{attribute_path(self.root, node.target)}({self._call(node.args, node.kwargs)})"
        return self._function(node)

    def _function(self, node: Node) -> str:
        target, args = node.target, [self._value(a) for a in node.args]
        name = getattr(target, "__name__", "")
        if getattr(operator, name, None) is target and not node.kwargs:
            if name in _FORMATS:
                return _FORMATS[name].format(*args)
            if name in _IN_PLACE:
                return f"{args[0]};  {args[0]} {_IN_PLACE[name]} {args[1]};  {node.name} = {args[0]}"
        if target is getattr and len(args) == 2 and str(node.args[1]).isidentifier():
            return f"{args[0]}.{node.args[1]}"
        return f"{self._global(target)}({self._call(node.args, node.kwargs)})"

    def _call(self, args: tuple, kwargs: dict) -> str:
        return ", ".join([*[self._value(a) for a in args], *[f"{key} = {self._value(v)}" for key, v in kwargs.items()]])

    def _value(self, value: Any) -> str:
        if isinstance(value, tuple):
            parts = [self._value(part) for part in value]
            if hasattr(value, "_fields"):
                return f"{self._global(type(value))}({', '.join(parts)})"
            if type(value) is tuple:
                return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
            return repr(value)
        if isinstance(value, list):
            return f"[{', '.join(self._value(part) for part in value)}]"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key!r}: {self._value(part)}" for key, part in value.items()) + "}"
        if isinstance(value, slice):
            return f"slice({self._value(value.start)}, {self._value(value.stop)}, {self._value(value.step)})"
        if isinstance(value, Enum):
            return f"{self._global(type(value))}.{value.name}"
        if isinstance(value, type) or (callable(value) and hasattr(value, "__name__") and not isinstance(value, Node)):
            return self._global(value)
        return repr(value)

    def _global(self, value: Any) -> str:
        """The name of a function or class in the text; what is not clgrad's gets a name of its own."""
        plain = getattr(value, "__name__", "")
        if getattr(builtins, plain, None) is value:
            return plain
        name = qualified_name(value)
        if name.startswith("torch.") and _follow(self.globals["torch"], name.split(".")[1:]) is value:
            return name
        name = re.sub(r"\W", "_", name)
        while self.globals.setdefault(name, value) is not value:
            name += "_"
        return name


def _follow(start: Any, path: list[str]) -> Any:
    for name in path:
        start = getattr(start, name, None)
    return start


def attribute_path(root: str, target: str) -> str:
    """``self.seq.0.weight`` in Python: names that are none are taken with ``getattr``."""
    text = root
    for name in target.split("."):
        text = f"{text}.{name}" if name.isidentifier() else f'getattr({text}, "{name}")'
    return text


def name_of(target: str | Callable) -> str:
    """What a node with this target is called after."""
    text = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
    if text.startswith("__") and text.endswith("__"):
        text = text[2:-2]
    return snake_case(text.replace(".", "_").lstrip("*"))
