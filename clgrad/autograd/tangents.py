"""What tangents that travel forwards have led to: where no graph is wanted, so much is recorded and no more."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Node, get_gradient_edge


class Followed(AbstractContextManager):
    """A block in which tangents follow from the tensors whose nodes are ``origins``, within :class:`clgrad.no_grad` too."""

    def __init__(self, origins: Iterable[Node] = ()):
        self.origins = set(origins)
        self._reached: WeakKeyDictionary[Node, bool] = WeakKeyDictionary()

    def __enter__(self) -> Followed:
        self._outer, mode.forward = mode.forward, self
        return self

    def __exit__(self, *exception: object) -> None:
        mode.forward = self._outer

    def led_to(self, tensor: Any) -> bool:
        """Whether a tensor, which requires a gradient, was computed from one of those, or has a tangent of a block around."""
        node = get_gradient_edge(tensor).node
        found = self._reached.get(node)
        if found is None:
            found = self._reached[node] = not self.origins.isdisjoint(nodes_from(node))
        return found or self._outer is not None and self._outer.led_to(tensor)


def nodes_from(node: Node | None) -> set[Node]:
    """The nodes that a gradient reaches from one."""
    found: set[Node] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [above for above, _ in node.next_functions]
    return found
