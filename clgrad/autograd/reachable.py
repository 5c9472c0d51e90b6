"""What can be reached in a graph, from the nodes where a backward pass starts."""

from __future__ import annotations

from collections.abc import Sequence

from clgrad.autograd.graph import Node


def below(starts: Sequence[Node]) -> set[Node]:
    """The nodes that can be reached."""
    seen: set[Node] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += [edge[0] for edge in node.edges if edge is not None]
    return seen


def needed_for(starts: Sequence[Node], targets: set[Node]) -> set[Node]:
    """The nodes from which a target can be reached."""
    needed: set[Node] = set()
    # Oldest first: what a node leads to is decided before the node is.
    for node in sorted(below(starts), key=lambda n: n.sequence):
        if node in targets or any(edge is not None and (edge[0] in needed or edge[0] in targets)
                                  for edge in node.edges):
            needed.add(node)
    return needed


def edges_to_watched(starts: Sequence[tuple[Node, int] | None]) -> dict[Node, int] | None:
    """How many edges lead to each leaf for whose gradient somebody waits; None where there is no such leaf."""
    counts: dict[Node, int] = {}
    every = [edge for node in below([edge[0] for edge in starts if edge is not None]) for edge in node.edges]
    for edge in (*starts, *every):
        if edge is not None and edge[0].sequence < 0 and edge[0].variable._post_hooks:  # type: ignore[attr-defined]
            counts[edge[0]] = counts.get(edge[0], 0) + 1
    return counts or None
