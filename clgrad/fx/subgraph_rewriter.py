"""``replace_pattern``: finds a piece of program in a graph, and puts another in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from clgrad.fx.graph import Graph
from clgrad.fx.graph_module import GraphModule, copy_attribute
from clgrad.fx.node import Node
from clgrad.fx.tracer import Tracer
from clgrad.nn.modules import Module

__all__ = ["Match", "replace_pattern"]


class Match(NamedTuple):
    """Where a pattern was found: the node that gives its result, and which node stands for each of the pattern's."""

    anchor: Node
    nodes_map: dict[Node, Any]


def replace_pattern(gm: GraphModule, pattern: Callable | GraphModule | Graph,
                    replacement: Callable | GraphModule | Graph) -> list[Match]:
    """Replaces every part of the graph that computes as ``pattern`` does by ``replacement``.

    Both are functions of the same arguments. Parts that overlap are replaced once, and parts whose inner values are used
    elsewhere are not. Returns what was found.
    """
    wanted, other = _graph(pattern), _graph(replacement)
    root = wanted.output_node().args[0]
    inputs = wanted.find_nodes(op="placeholder")
    if not isinstance(root, Node):
        raise RuntimeError("replace_pattern: the pattern has to return one value")
    found: list[Match] = []
    taken: set[Node] = set()
    for node in gm.graph.nodes:
        places: dict[Node, Any] = {}
        if _matches(root, node, places) and _closed(root, node, places) and not taken & set(_inner(places)):
            found.append(Match(node, places))
            taken.update(_inner(places))
    placed: dict[Node, Any] = {}
    for match in found:
        values = [match.nodes_map.get(of) for of in inputs]
        given = {to: placed.get(value, value) if isinstance(value, Node) else value for to, value in
                 zip(other.find_nodes(op="placeholder"), values, strict=True)}
        with gm.graph.inserting_before(match.anchor):
            result = gm.graph.graph_copy(other, given)
        match.anchor.replace_all_uses_with(result)
        placed[match.anchor] = result
        for node in reversed([n for n in gm.graph.nodes if n in set(_inner(match.nodes_map))]):
            gm.graph.erase_node(node)
    if isinstance(replacement, Module):
        for node in other.nodes:
            if node.op in ("call_module", "get_attr"):
                copy_attribute(replacement, gm, node.target)
    gm.recompile()
    return found


def _graph(program: Callable | GraphModule | Graph) -> Graph:
    if isinstance(program, Graph):
        return program
    return program.graph if isinstance(program, GraphModule) else Tracer().trace(program)


def _matches(wanted: Any, given: Any, places: dict[Node, Any]) -> bool:
    """Whether ``given`` computes as the pattern does, up to its arguments; fills ``places``."""
    if not isinstance(wanted, Node):
        if isinstance(wanted, (list, tuple)):
            return isinstance(given, (list, tuple)) and len(wanted) == len(given) and all(
                _matches(w, g, places) for w, g in zip(wanted, given, strict=True))
        return not isinstance(given, Node) and type(wanted) is type(given) and wanted == given
    if wanted in places:
        return places[wanted] is given
    if wanted.op == "placeholder":
        places[wanted] = given
        return True
    if not isinstance(given, Node) or (given.op, given.target) != (wanted.op, wanted.target):
        return False
    places[wanted] = given
    return (len(wanted.args) == len(given.args) and wanted.kwargs.keys() == given.kwargs.keys()
            and _matches(wanted.args, given.args, places)
            and all(_matches(value, given.kwargs[key], places) for key, value in wanted.kwargs.items()))


def _inner(places: dict[Node, Any]) -> list[Node]:
    return [given for wanted, given in places.items() if wanted.op != "placeholder"]


def _closed(root: Node, anchor: Node, places: dict[Node, Any]) -> bool:
    """Whether nobody but the part itself takes its inner values."""
    inner = set(_inner(places))
    return all(given is anchor or inner.issuperset(given.users) for given in inner)
