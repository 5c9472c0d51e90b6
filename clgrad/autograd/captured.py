"""Functions of ``torch.func`` at work, and what they may not change in place: what they were not given and did not make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.autograd.grad_mode import mode
from clgrad.runtime import begin_era, end_era

_CAPTURED = ("During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call an in-place "
             "operation that would mutate a captured Tensor. This is not supported; please rewrite the function being "
             "transformed to explicitly accept the mutated Tensor(s) as inputs.")


class Working:
    """A function that is called with tensors ``given``; other tensors that it finds may not be changed in place."""

    def __init__(self, given: Iterable[Any]):
        self.given = {tensor.memory for tensor in given}

    def __enter__(self) -> None:
        self.era, self.outer = begin_era(), mode.working
        mode.working = (*self.outer, self)

    def __exit__(self, *exception: object) -> None:
        mode.working = self.outer
        end_era(self.era)

    def captures(self, tensor: Any) -> bool:
        """Whether a tensor's memory is neither given nor made since this function was called."""
        return tensor.memory.era < self.era and tensor.memory not in self.given


def refuse_captured(tensor: Any) -> None:
    """RuntimeError where a function at work has captured a tensor that is going to be changed in place."""
    for working in reversed(mode.working):
        if working.captures(tensor):
            raise RuntimeError(_CAPTURED)
