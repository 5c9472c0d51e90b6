"""``Graph``: a program as a list of nodes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from clgrad.fx.codegen import CodeGen, Names, PythonCode, name_of
from clgrad.fx.node import Node, map_arg, nodes_of
from clgrad.overrides import resolve_name

__all__ = ["Graph", "PythonCode"]


class _NodeList:
    """The nodes of a graph, in order; may be changed while it is walked."""

    def __init__(self, graph: Graph, direction: str = "_next"):
        self._graph, self._direction = graph, direction

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Node]:
        root = self._graph._root
        node = getattr(root, self._direction)
        while node is not root:
            if not node._erased:
                yield node
            node = getattr(node, self._direction)

    def __reversed__(self) -> _NodeList:
        return _NodeList(self._graph, "_prev" if self._direction == "_next" else "_next")


class _InsertPoint:
    """Where a graph puts new nodes, until a block ends that was begun with it."""

    def __init__(self, graph: Graph, insert: Callable[[Node], None]):
        self._graph, self._before = graph, graph._insert
        graph._insert = insert

    def __enter__(self) -> None:
        """The place holds from the beginning."""

    def __exit__(self, *exception: object) -> None:
        self._graph._insert = self._before


class Graph:
    """A program of nodes, from its placeholders to its output.

    >>> import clgrad
    >>> graph = Graph()
    >>> x = graph.placeholder("x")
    >>> _ = graph.output(graph.call_function(clgrad.relu, (x,)))
    >>> print(graph)
    graph():
        %x : [num_users=1] = placeholder[target=x]
        %relu : [num_users=1] = call_function[target=torch.relu](args = (%x,), kwargs = {})
        return relu
    """

    def __init__(self, owning_module: Any = None, tracer_cls: Any = None, tracer_extras: dict | None = None):
        self.owning_module, self._tracer_cls = owning_module, tracer_cls
        self._names = Names()
        self._root = Node(self, "", "root", "", (), {})
        self._insert: Callable[[Node], None] = self._root.prepend

    @property
    def nodes(self) -> _NodeList:
        """The nodes in order."""
        return _NodeList(self)

    def find_nodes(self, *, op: str, target: Any = None, sort: bool = True) -> list[Node]:
        """The nodes with this operation, and target if one is given."""
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    def output_node(self) -> Node:
        """The node that returns."""
        return next(n for n in reversed(self.nodes) if n.op == "output")

    def before(self, node: Node) -> set[Node]:
        """All nodes that stand before one."""
        found = set()
        for other in self.nodes:
            if other is node:
                break
            found.add(other)
        return found

    # Making nodes.

    def create_node(self, op: str, target: Any, args: tuple | None = None, kwargs: dict | None = None,
                    name: str | None = None, type_expr: Any = None) -> Node:
        """A new node at the place of insertion, by default the end."""
        for used in nodes_of((args, kwargs)):
            if used.graph is not self or used._erased:
                raise RuntimeError(f"Node {used} is used by a node of another graph, or was erased")
        node = Node(self, self._names.new(name if name is not None else name_of(target)), op, target, args or (),
                    kwargs or {}, type_expr)
        self._insert(node)
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = ...) -> Node:
        """An argument of the function."""
        return self.create_node("placeholder", name, () if default_value is ... else (default_value,), type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """An attribute of the module, ``layer.weight``."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name: str, args: tuple | None = None, kwargs: dict | None = None,
                    type_expr: Any = None) -> Node:
        """A call of a submodule."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name: str, args: tuple | None = None, kwargs: dict | None = None,
                    type_expr: Any = None) -> Node:
        """A call of a method of ``args[0]``."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(self, the_function: Callable, args: tuple | None = None, kwargs: dict | None = None,
                      type_expr: Any = None, name: str | None = None) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        """What is returned."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def inserting_before(self, n: Node | None = None) -> _InsertPoint:
        """New nodes are put before ``n`` from now on, or within a ``with`` block; without it, at the beginning."""
        if n is None:
            return self.inserting_after(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert before is not in graph.")
        return _InsertPoint(self, n.prepend)

    def inserting_after(self, n: Node | None = None) -> _InsertPoint:
        """New nodes are put right after ``n``, the last one first, from now on, or within a block; without it, at the end."""
        if n is None:
            return self.inserting_before(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert after is not in graph.")
        return _InsertPoint(self, n.append)

    # Changing it.

    def erase_node(self, to_erase: Node) -> None:
        """Takes a node out.

        Raises:
            RuntimeError: its value is used.
        """
        if to_erase.users:
            raise RuntimeError(f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: "
                               f"{to_erase.users}!")
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            warnings.warn(f"erase_node({to_erase}) on an already erased node", stacklevel=2)
            return
        to_erase._set((), {})
        to_erase._remove_from_list()
        to_erase._erased = True

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Takes out the nodes whose values nobody uses; says whether there were any."""
        keep = is_impure_node or Node.is_impure
        changed = False
        for node in reversed(self.nodes):
            if not node.users and not keep(node):
                self.erase_node(node)
                changed = True
        return changed

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Any] = lambda node: node) -> Node:
        """A node of another graph made again in this one; ``arg_transform`` says what its arguments are here."""
        args, kwargs = map_arg((node.args, node.kwargs), arg_transform)
        made = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        made.meta = dict(node.meta)
        return made

    def graph_copy(self, g: Graph, val_map: dict[Node, Any], return_output_node: bool = False) -> Any:
        """Makes all nodes of another graph in this one but its output, whose value, in nodes of this one, is returned."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                found = map_arg(node.args[0], lambda n: val_map[n])
                return (found, node) if return_output_node else found
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def __deepcopy__(self, memo: dict | None = None) -> Graph:
        made = Graph(tracer_cls=self._tracer_cls)
        placed: dict[Node, Any] = {}
        output = made.graph_copy(self, placed, return_output_node=True)
        if output is not None:
            made.output(output[0], output[1].type).meta = dict(output[1].meta)
        return made

    def __reduce__(self) -> tuple:
        rows = [(n.op, n.name, _pickled(n.target), *map_arg((n.args, n.kwargs), lambda m: _Reference(m.name)), n.type)
                for n in self.nodes]
        # A class within a function cannot be found again; the graph is whole without it.
        local = self._tracer_cls is not None and "<locals>" in self._tracer_cls.__qualname__
        return _rebuilt, (rows, None if local else self._tracer_cls)

    # What it says.

    def lint(self) -> None:
        """RuntimeError where a node takes a value that is not made before it, or a target that is not there."""
        seen: set[Node] = set()
        names: set[str] = set()
        for node in self.nodes:
            for used in node.all_input_nodes:
                if used.graph is not self:
                    raise RuntimeError(f"Argument '{used}' of Node '{node}' does not belong to this Graph, but was used as "
                                       "an argument!")
                if used not in seen:
                    raise RuntimeError(f"Argument '{used}' of Node '{node}' was used before it has been defined! Please "
                                       "check that Nodes in the graph are topologically ordered")
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            if node.op == "call_function" and not callable(node.target):
                raise ValueError(f"Node {node} target {node.target} has type {type(node.target)} but a Callable is expected")
            if node.op in ("call_module", "get_attr") and self.owning_module is not None:
                self._check_target(node)
            seen.add(node)
            names.add(node.name)

    def _check_target(self, node: Node) -> None:
        found = self.owning_module
        for part in node.target.split("."):
            if not hasattr(found, part):
                raise RuntimeError(f"Node {node} target {node.target} references nonexistent attribute {part} of "
                                   f"{type(self.owning_module).__name__}")
            found = getattr(found, part)

    def python_code(self, root_module: str = "self", **ignored: Any) -> PythonCode:
        """The function as source text with the values of its global names."""
        return CodeGen(self.nodes, root_module).write()

    def print_tabular(self) -> None:
        """Prints a row for each node."""
        rows = [("opcode", "name", "target", "args", "kwargs"),
                *[tuple(str(v) for v in (n.op, n.name, n.target, n.args, n.kwargs)) for n in self.nodes]]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        rows.insert(1, tuple("-" * width for width in widths))
        print("\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                        for row in rows))

    def __str__(self) -> str:
        return "\n    ".join(["graph():", *[str(node.format_node()) for node in self.nodes]])


def _pickled(target: Any) -> Any:
    """A node's target in a pickled graph: public functions by the names that programs give them."""
    known = resolve_name(target) if callable(target) else None
    return target if known is None else _Function(known)


class _Function(str):
    """Stands for a public function in a pickled graph."""

    __slots__ = ()

    def found(self) -> Callable:
        """The function."""
        place = import_module("clgrad")
        for name in self.split(".")[1:]:
            place = getattr(place, name)
        return place  # type: ignore[return-value]


class _Reference(str):
    """Stands for a node in a pickled graph."""

    __slots__ = ()


def _rebuilt(rows: list[tuple], tracer_cls: Any) -> Graph:
    made = Graph(tracer_cls=tracer_cls)
    nodes: dict[str, Node] = {}
    for op, name, target, args, kwargs, kind in rows:
        args, kwargs = _resolved((args, kwargs), nodes)
        target = target.found() if isinstance(target, _Function) else target
        nodes[name] = made.create_node(op, target, args, kwargs, name, kind)
    return made


def _resolved(value: Any, nodes: dict[str, Node]) -> Any:
    if isinstance(value, _Reference):
        return nodes[value]
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)([_resolved(part, nodes) for part in value])
    if isinstance(value, dict):
        return {key: _resolved(part, nodes) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(_resolved(value.start, nodes), _resolved(value.stop, nodes), _resolved(value.step, nodes))
    return value
