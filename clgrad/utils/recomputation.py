"""A call whose saved tensors are not kept, but computed again by each backward pass that needs them.

The hooks of :class:`Frame` are given the tensors that nodes save. In the first run only a :class:`_Holder` is kept for
each. The first of them that a backward pass unpacks repeats the call, whose nodes save the same tensors in the same order.
Frames may be nested: a call within the call has hooks of its own, so that the outer frame sees only its arguments.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import enable_grad, mode
from clgrad.autograd.graph import Saved, TensorBase, saved_tensors_hooks
from clgrad.autograd.listening import with_overrides

__all__ = ["Arguments", "CheckpointError", "Frame"]


class CheckpointError(RuntimeError):
    """The second forward pass saved other tensors than the first, or a tensor was asked for a second time."""


class _Enough(Exception):
    """Ends a repetition that has made all that is needed."""


class Arguments:
    """The positional arguments of a call; what becomes of its tensors is up to the hooks that are there when it is made."""

    def __init__(self, args: tuple):
        self._saved = Saved("Checkpoint", [a if isinstance(a, TensorBase) else None for a in args])
        self._kept = [None if mode.saved_hooks and isinstance(a, TensorBase) else a for a in args]

    def again(self) -> list:
        """The arguments.

        Raises:
            RuntimeError: one was changed in place in the meantime.
        """
        return [found if kept is None else kept for kept, found in zip(self._kept, self._saved.unpack(), strict=True)]


class _Holder:
    """Stands for a saved tensor, by its number."""

    __slots__ = ("number", "__weakref__")

    def __init__(self, number: int):
        self.number = number


class _Run:
    """One repetition: the tensors that it saved, by number, as far as they are still to be unpacked."""

    def __init__(self) -> None:
        self.found: dict[int, Any] = {}
        self.count = 0


def _look(tensor: Any) -> tuple:
    return tuple(tensor.shape), tensor.dtype, tensor.device


class Frame:
    """One call: ``repeat(*arguments.again())`` makes it again, until the last tensor if ``early_stop``.

    ``compare``: the tensors of both runs must agree in shape, dtype and device.
    """

    def __init__(self, repeat: Callable[..., None], arguments: Arguments, early_stop: bool, compare: bool):
        self.repeat, self.arguments, self.early_stop, self.compare = repeat, arguments, early_stop, compare
        self.holders: list[weakref.ref[_Holder]] = []
        self.looks: list[tuple] = []
        self.complete = False  # whether the first run has ended: it may walk backwards through a part of itself
        self.runs: weakref.WeakKeyDictionary[Any, _Run] = weakref.WeakKeyDictionary()  # of each backward pass

    def pack(self, tensor: Any) -> _Holder:
        """Notes what the tensor looks like."""
        holder = _Holder(len(self.holders))
        self.holders.append(weakref.ref(holder))
        self.looks.append(_look(tensor))
        return holder

    def unpack(self, holder: _Holder) -> Any:
        """The tensor, from a repetition of the call. Outside of backward passes each request makes one.

        Raises:
            CheckpointError: the repetition saved other tensors, or this one was unpacked before in the same pass.
        """
        run = None if mode.walk is None else self.runs.get(mode.walk)
        if run is None:
            run = self._run_again()
            if mode.walk is not None:
                self.runs[mode.walk] = run
        if holder.number not in run.found:
            raise CheckpointError("torch.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked "
                                  "once. If you are calling ctx.saved_tensors in backward, make sure to do so only once.")
        return run.found.pop(holder.number)

    def _run_again(self) -> _Run:
        run = _Run()

        def keep(tensor: Any) -> Any:
            number, run.count = run.count, run.count + 1
            if number < len(self.holders):
                if self.holders[number]() is not None:  # else its node has gone: a backward pass within the call
                    run.found[number] = tensor
            elif self.complete:
                raise CheckpointError("torch.utils.checkpoint: trying to save more tensors during recomputation than during "
                                      "the original forward pass.")
            if self.early_stop and run.count == len(self.holders):
                raise _Enough
            return tensor
        try:
            with enable_grad(), with_overrides(), saved_tensors_hooks(keep, lambda tensor: tensor):
                self.repeat(*self.arguments.again())
        except _Enough:
            pass
        self._check(run)
        return run

    def _check(self, run: _Run) -> None:
        if run.count < len(self.holders):
            raise CheckpointError("torch.utils.checkpoint: A different number of tensors was saved during the original "
                                  f"forward and recomputation: {len(self.holders)} and {run.count}")
        for number, tensor in run.found.items() if self.compare else ():
            if _look(tensor) != self.looks[number]:
                raise CheckpointError("torch.utils.checkpoint: Recomputed values for the following tensors have different "
                                      f"metadata than during the forward pass: tensor {number} was {self.looks[number]}, is "
                                      f"{_look(tensor)}")
