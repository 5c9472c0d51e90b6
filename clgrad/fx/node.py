"""``Node``: one step of a graph, a link in the graph's list."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from clgrad.ops.registry import FUNCTIONS
from clgrad.overrides import resolve_name

__all__ = ["Node", "has_side_effect", "map_aggregate", "map_arg", "qualified_name"]

OPS = ("placeholder", "get_attr", "call_function", "call_module", "call_method", "output", "root")
_side_effects: set[Callable] = {FUNCTIONS["_assert"]}


def has_side_effect(function: Callable) -> Callable:
    """Says that a call of ``function`` is to be kept although nobody uses its result."""
    _side_effects.add(function)
    return function


def map_aggregate(value: Any, function: Callable[[Any], Any]) -> Any:
    """``function`` of everything in nested tuples, lists, dictionaries and slices."""
    if isinstance(value, tuple):
        parts = [map_aggregate(part, function) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [map_aggregate(part, function) for part in value]
    if isinstance(value, dict):
        return {key: map_aggregate(part, function) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(*[map_aggregate(part, function) for part in (value.start, value.stop, value.step)])
    return function(value)


def map_arg(value: Any, function: Callable[[Node], Any]) -> Any:
    """``function`` of every node in nested tuples, lists, dictionaries and slices; all else as it is.

    Raises:
        TypeError: ``function`` cannot be called.
    """
    if not callable(function):
        raise TypeError("torch.fx.map_arg(a, fn): fn must be a callable")
    return map_aggregate(value, lambda part: function(part) if isinstance(part, Node) else part)


def qualified_name(function: Callable) -> str:
    """How a program writes a function: ``torch.relu``, ``operator.add``, ``getattr``."""
    known = resolve_name(function)
    if known is not None:
        return known
    module, name = getattr(function, "__module__", None) or "builtins", getattr(function, "__name__", repr(function))
    if getattr(operator, name, None) is function:
        module = "operator"
    return f"{module}.{getattr(function, '__qualname__', name)}".replace("clgrad", "torch", 1)


class Node:
    """One step of a :class:`~clgrad.fx.Graph`.

    ``op`` says what it does: "placeholder" (an argument called ``target``), "get_attr" (the attribute ``target`` of the
    module), "call_function" (``target(*args, **kwargs)``), "call_module" (the submodule ``target``), "call_method"
    (the method ``target`` of ``args[0]``), "output" (``args[0]`` is returned). ``users`` are the nodes that take its value.
    """

    def __init__(self, graph: Any, name: str, op: str, target: Any, args: tuple, kwargs: dict,
                 return_type: Any = None):
        if op not in OPS:
            raise AssertionError(f"{op} is no operation of a node")
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self.users: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._input_nodes: dict[Node, None] = {}
        self._erased = False
        self._prev = self._next = self
        self._args: tuple = ()
        self._kwargs: dict[str, Any] = {}
        self._set(args, kwargs)

    # The list.

    @property
    def next(self) -> Node:
        """The node after it; after the last one comes the graph's root."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before it."""
        return self._prev

    def prepend(self, x: Node) -> None:
        """Puts ``x`` right before this node."""
        if x is self:
            return
        if x.graph is not self.graph:
            raise AssertionError("Attempting to move a Node into a different Graph")
        x._remove_from_list()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x

    def append(self, x: Node) -> None:
        """Puts ``x`` right after this node."""
        if x is not self and self._next is not x:
            self._next.prepend(x)

    def _remove_from_list(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    # Arguments and users.

    @property
    def args(self) -> tuple:
        """The positional arguments: values, nodes, and nests of them."""
        return self._args

    @args.setter
    def args(self, args: tuple) -> None:
        self._set(args, self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Any]) -> None:
        self._set(self._args, kwargs)

    def _set(self, args: tuple, kwargs: dict[str, Any]) -> None:
        for used in self._input_nodes:
            used.users.pop(self, None)
        self._args, self._kwargs, self._input_nodes = tuple(args), dict(kwargs), {}
        for used in nodes_of((self._args, self._kwargs)):
            self._input_nodes[used] = used.users[self] = None

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Any) -> None:
        """Replaces one positional argument."""
        self.args = (*self.args[:idx], arg, *self.args[idx + 1:])

    def update_kwarg(self, key: str, arg: Any) -> None:
        """Replaces or adds one argument by name."""
        self.kwargs = {**self.kwargs, key: arg}

    def insert_arg(self, idx: int, arg: Any) -> None:
        """Puts a positional argument before the one at ``idx``."""
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Takes ``new_input`` wherever it took ``old_input``."""
        self._set(*map_arg((self._args, self._kwargs), lambda n: new_input if n is old_input else n))

    def replace_all_uses_with(self, replace_with: Node, delete_user_cb: Callable[[Node], bool] = lambda user: True, *,
                              propagate_meta: bool = False) -> list[Node]:
        """Makes its users take ``replace_with`` instead; returns those that were changed."""
        if propagate_meta:
            replace_with.meta.update({key: value for key, value in self.meta.items() if key not in replace_with.meta})
        changed = [user for user in self.users if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    # What it is.

    @property
    def stack_trace(self) -> str | None:
        """Where the program made it, where that was recorded."""
        return self.meta.get("stack_trace")

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether it has to stay although nobody uses its value."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_module":
            owner = self.graph.owning_module
            return getattr(owner.get_submodule(self.target), "_is_impure", False) if owner is not None else False
        name = self.target if self.op == "call_method" else getattr(self.target, "__name__", "")
        changes = name.endswith("_") and not name.endswith("__")
        return self.op == "call_function" and self.target in _side_effects or changes and self.op != "get_attr"

    def format_node(self, placeholder_names: list[str] | None = None, maybe_return_typename: list[str] | None = None,
                    **ignored: Any) -> str | None:
        """The node as a line of text, as ``str(graph)`` has it."""
        shown = f"%{self.name} : [num_users={len(self.users)}] = {self.op}"
        if self.op == "placeholder":
            default = f"(default={self.args[0]!r})" if self.args else ""
            return f"{shown}[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"{shown}[target={self.target}]"
        if self.op == "output":
            return f"return {self.args[0]}"
        target = qualified_name(self.target) if callable(self.target) else self.target
        values = ", ".join(f"{key}: {_text(value)}" for key, value in self.kwargs.items())
        return f"{shown}[target={target}](args = {_text(self.args)}, kwargs = {{{values}}})"

    def __repr__(self) -> str:
        return self.name

    def __lt__(self, other: Node) -> bool:
        return self in self.graph.before(other)

    def __gt__(self, other: Node) -> bool:
        return other < self


def _text(value: Any) -> str:
    """A value with its nodes marked by %."""
    if isinstance(value, Node):
        return f"%{value.name}"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"({', '.join(map(_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(part)}" for key, part in value.items()) + "}"
    if callable(value) and hasattr(value, "__name__"):
        return qualified_name(value)
    return str(value)


def nodes_of(values: Any) -> list[Node]:
    """The nodes in nests of values, each once."""
    found: dict[Node, None] = {}
    map_arg(values, lambda node: found.setdefault(node))
    return list(found)
