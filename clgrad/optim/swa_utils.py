"""Averages of a model's weights over training: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from clgrad import nn
from clgrad.autograd import no_grad
from clgrad.creation import tensor
from clgrad.optim.schedule import LRScheduler, per_group

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
           "update_bn"]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """A function of one average, one new value and a count: decay * average + (1 - decay) * value."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param
    return ema_update


def get_swa_avg_fn() -> Callable:
    """A function of one average, one new value and a count: the mean of all values."""
    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)
    return swa_update


def _each(weight: Callable[[Any], float]) -> Callable:
    """A function that moves each of a list of averages towards a list of values, in place."""
    @no_grad()
    def update(averaged: Iterable[Any], current: Iterable[Any], num_averaged: Any) -> None:
        share = weight(num_averaged)
        for average, value in zip(averaged, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), share)
            else:
                average.copy_(average + (value - average) * share)
    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """:func:`get_ema_avg_fn` for lists of tensors, in place."""
    _check_decay(decay)
    return _each(lambda num_averaged: 1 - decay)


def get_swa_multi_avg_fn() -> Callable:
    """:func:`get_swa_avg_fn` for lists of tensors, in place."""
    return _each(lambda num_averaged: 1.0 / (float(num_averaged) + 1.0))


class AveragedModel(nn.Module):
    """A copy of a model whose parameters are averages of the model's (Izmailov et al. 2018).

    Args:
        model: is copied.
        device: where the copy lives; default: where the model does.
        avg_fn: f(average, value, count), the next average; default: the mean.
        multi_avg_fn: f(averages, values, count), which changes the averages in place.
        use_buffers: average buffers, too; else they are copied. Default: False.

    Call :meth:`update_parameters` after a step or an epoch; the module itself computes what the averaged model does.
    """

    def __init__(self, model: Any, device: Any = None, avg_fn: Callable | None = None,
                 multi_avg_fn: Callable | None = None, use_buffers: bool = False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _averaged(self, model: Any) -> list:
        chained = itertools.chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()
        return [t.detach() for t in chained]

    def update_parameters(self, model: Any) -> None:
        """Takes the model's present parameters into the averages; the first ones are copied."""
        own = self._averaged(self.module)
        new = [value.to(average.device) for value, average in zip(self._averaged(model), own, strict=True)]
        if self.n_averaged == 0:
            for average, value in zip(own, new, strict=True):
                average.copy_(value)
        elif self.avg_fn is not None:
            for average, value in zip(own, new, strict=True):
                average.copy_(self.avg_fn(average, value, self.n_averaged.to(average.device)))
        else:
            (self.multi_avg_fn or get_swa_multi_avg_fn())(own, new, self.n_averaged)
        if not self.use_buffers:
            for buffer, value in zip(self.module.buffers(), model.buffers(), strict=True):
                buffer.detach().copy_(value.detach().to(buffer.device))
        self.n_averaged += 1


@no_grad()
def update_bn(loader: Iterable[Any], model: Any, device: Any = None) -> None:
    """Computes running means and variances of batch normalisation anew, in one pass over ``loader``.

    Of batches that are lists or tuples the first element is the input.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, kinds)}
    if not momenta:
        return
    for module in momenta:
        module.reset_running_stats()
        module.momentum = None
    was_training = model.training
    model.train()
    for batch in loader:
        inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(inputs if device is None else inputs.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the current rate to ``swa_lr`` within ``anneal_epochs`` steps, and then constant.

    Args:
        swa_lr: the last rate, or one a group.
        anneal_epochs: Default: 10.
        anneal_strategy: "cos" (default) or "linear".
    """

    def __init__(self, optimizer: Any, swa_lr: Any, anneal_epochs: int = 10, anneal_strategy: str = "cos",
                 last_epoch: int = -1):
        for value, group in zip(per_group("swa_lr", swa_lr, optimizer), optimizer.param_groups, strict=True):
            group["swa_lr"] = value
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way is done after some steps."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def _next(self) -> list[Any]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
