"""One hook over the gradients of several tensors."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from clgrad.autograd.grad_mode import enable_grad
from clgrad.autograd.grad_mode import mode as thread


class _Group:
    """The gradients of several tensors, one list for each backward pass, until the hook over them is called."""

    def __init__(self, nodes: list[Any], hook: Callable, call_at: str):
        self.nodes, self.hook, self.at_once = nodes, hook, call_at == "any"
        self.lock = threading.Lock()
        # Of each pass: the gradients, and how many are still to come.
        self.passes: weakref.WeakKeyDictionary[Any, list] = weakref.WeakKeyDictionary()

    def arrive(self, number: int, grad: Any) -> None:
        """Notes a gradient; calls the hook with the first, or with all."""
        with self.lock:
            walk = thread.walk
            state = self.passes.get(walk)
            first = state is None
            if state is None:
                state = self.passes[walk] = [[None] * len(self.nodes), sum(map(walk.reaches, self.nodes))]
            state[0][number] = grad
            state[1] -= 1
            last = state[1] == 0
        if self.at_once:
            if first:
                self.hook(grad)
        elif last:
            self.hook(state[0])


def _node(tensor: Any) -> Any:
    """The node at which a tensor's gradient arrives."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn
    with enable_grad():
        return tensor.view_as(tensor).grad_fn.next_functions[0][0]


class _Handles:
    """Several handles that are removed together."""

    def __init__(self, handles: tuple):
        self.handles = handles

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Any], fn: Callable, *, mode: str = "all") -> _Handles:
    """Calls ``fn`` once a backward pass, when the gradients of all tensors are known, or (``"any"``) the first.

    ``fn`` gets a list of gradients, None for tensors that the pass does not reach, or one gradient.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    group = _Group([_node(t) for t in tensors], fn, mode)

    def hook_of(number: int) -> Callable:
        return lambda grad: group.arrive(number, grad)
    return _Handles(tuple([t.register_hook(hook_of(n)) for n, t in enumerate(tensors)]))
