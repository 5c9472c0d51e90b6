"""``LRScheduler``: what schedules of learning rates have in common."""

from __future__ import annotations

import types
import warnings
from typing import Any

from clgrad.optim.optimizer import Optimizer

EPOCH_WARNING = ("The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
                 "Please use `scheduler.step()` to step the scheduler.")


class LRScheduler:
    """Base class: sets ``lr`` of the optimizer's groups to ``get_lr()`` after each ``step()``.

    Args:
        optimizer: whose rates are set.
        last_epoch: the number of steps made; -1 (default) begins, others go on where a schedule was left.

    Raises:
        TypeError: not an Optimizer.
        KeyError: going on, and a group has no "initial_lr".
    """

    def __init__(self, optimizer: Any, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{number}] when resuming an "
                               "optimizer")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._get_lr_called_within_step = False
        self._last_lr: list[float] = []
        self._begin()

    def _begin(self) -> None:
        self._step_count = 0
        self.step()

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, and functions only where they are objects with a state."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set."""
        return self._last_lr

    def get_lr(self) -> list[float]:
        """The next rates of the groups; subclasses define it."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Sets the rates of the next epoch."""
        counts = type(self.optimizer).step is Optimizer.step
        if self._step_count == 1 and counts and not self.optimizer._step_count:
            warnings.warn("Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and "
                          "later, "
                          "you should call them in the opposite order: `optimizer.step()` before "
                          "`lr_scheduler.step()`.", UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr()
        else:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
            self.last_epoch = epoch
            closed = getattr(self, "_get_closed_form_lr", self.get_lr)
            values = closed()
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            group["lr"] = lr
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def _current(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._current()]


def per_group(name: str, value: Any, optimizer: Any) -> list:
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"Expected {count} {name}, but got {len(value)}")
    return list(value)


def without_functions(owner: Any, name: str) -> dict[str, Any]:
    """A schedule's state, in which plain functions are None and other callables their attributes."""
    state = {key: value for key, value in owner.__dict__.items() if key not in ("optimizer", name)}
    state[name] = [None if isinstance(f, types.FunctionType) else dict(f.__dict__) for f in getattr(owner, name)]
    return state
