"""``LRScheduler``: what schedules of learning rates have in common."""

from __future__ import annotations

import types
import warnings
from typing import Any

from clgrad.autograd import no_grad
from clgrad.optim.optimizer import Optimizer
from clgrad.tensor import Tensor

_HOW_TO = "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
EPOCH_DEPRECATION_WARNING = ("The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
                             "possible. Please use `scheduler.step()` to step the scheduler.")
GET_LR_WARNING = "To get the last learning rate computed by the scheduler, please use `get_last_lr()`."
OVERRIDDEN_WARNING = ("Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                      "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. See more "
                      f"details at {_HOW_TO}")
ORDER_WARNING = ("Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, you "
                 "should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`. Otherwise "
                 f"the first value of the schedule is skipped. See more details at {_HOW_TO}")


class LRScheduler:
    """Base class: sets ``lr`` of the optimizer's groups to ``get_lr()`` after each ``step()``.

    Args:
        optimizer: whose rates are set. A rate that is a tensor is changed in place.
        last_epoch: the number of steps made; -1 (default) begins, others go on where a schedule was left.

    A subclass defines ``get_lr``.

    Raises:
        TypeError: not an Optimizer.
        KeyError: going on, and a group has no "initial_lr".
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Any, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer: Any = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{number}] when resuming scheduler "
                               "with last_epoch >= 0: load the optimizer's state first, or begin with last_epoch=-1")
        self.base_lrs = [copied(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        optimizer.__dict__.setdefault("_opt_called", False)  # from now on the optimizer notes that it made a step
        self._initial_step()

    def _initial_step(self) -> None:
        """Sets the rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, and functions only where they are objects with a state."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step set."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The next rates of the groups."""
        if not self._get_lr_called_within_step:
            warnings.warn(GET_LR_WARNING, UserWarning, stacklevel=2)
        with no_grad():
            return self._next()

    def _next(self) -> list[Any]:
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Sets the rates of the next epoch."""
        if self._step_count == 1:
            if not getattr(self.optimizer.step, "hooked", False):
                warnings.warn(OVERRIDDEN_WARNING, UserWarning, stacklevel=2)
            elif not self.optimizer._opt_called:
                warnings.warn(ORDER_WARNING, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
        self._get_lr_called_within_step = True
        try:
            values = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._set(values)

    def _set(self, values: list[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", lr)
        self._last_lr = self._current()

    def _current(self) -> list[Any]:
        return [copied(group["lr"]) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[Any]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]


def copied(value: Any) -> Any:
    """A number, or a tensor of its own."""
    return value.detach().clone() if isinstance(value, Tensor) else value


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Changes a setting of a group: in place where it is a tensor."""
    if isinstance(group[key], Tensor):
        with no_grad():
            group[key].fill_(float(value))
    else:
        group[key] = value


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Changes a group's momentum, or the first of its betas."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def begin_momentum(optimizer: Any, base_momentum: Any, max_momentum: Any, last_epoch: int) -> None:
    """Notes in the groups between which values the momentum moves, and begins with the larger one.

    Raises:
        ValueError: the optimizer has no momentum.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
    lows = per_group("base_momentum", base_momentum, optimizer)
    highs = per_group("max_momentum", max_momentum, optimizer)
    if last_epoch == -1:
        for group, high, low in zip(optimizer.param_groups, highs, lows, strict=True):
            set_momentum(group, high)
            group["max_momentum"], group["base_momentum"] = high, low


def per_group(name: str, value: Any, optimizer: Any) -> list:
    """A value for each group: the same, or as listed."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [copied(value) for _ in range(count)]
    if len(value) != count:
        raise ValueError(f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
                         f"param_groups has {count}.")
    return [copied(v) for v in value]


def state_of_function(function: Any) -> dict[str, Any] | None:
    """What of a callable goes into a checkpoint: the attributes of an object, nothing of a function."""
    return None if function is None or isinstance(function, types.FunctionType) else dict(function.__dict__)
