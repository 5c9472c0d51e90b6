"""One hook over the gradients of several tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class _Group:
    """The gradients of several tensors in one backward pass, until the hook over them is called."""

    def __init__(self, count: int, hook: Callable, call_at: str):
        self.count, self.hook, self.at_once = count, hook, call_at == "any"
        self.grads: list[Any] = [None] * count
        self.arrived = 0

    def arrive(self, number: int, grad: Any) -> None:
        """Notes a gradient; calls the hook with the first, or with all."""
        self.arrived += 1
        self.grads[number] = grad
        if self.at_once and self.arrived == 1:
            self.hook(grad)
        if self.arrived == self.count:
            grads, self.grads, self.arrived = self.grads, [None] * self.count, 0
            if not self.at_once:
                self.hook(grads)


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

    ``fn`` gets a list of gradients, or one. Every tensor has to take part in the pass.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    group = _Group(len(tensors), fn, mode)

    def hook_of(number: int) -> Callable:
        return lambda grad: group.arrive(number, grad)
    return _Handles(tuple([t.register_hook(hook_of(n)) for n, t in enumerate(tensors)]))
