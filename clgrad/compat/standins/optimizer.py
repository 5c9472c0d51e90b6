"""Helpers of ``torch.optim.optimizer`` that optimizers of programs' own import."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import set_grad_enabled
from clgrad.tensor import Tensor

ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
StateDict = dict[str, Any]
EPOCH_DEPRECATION_WARNING = ("The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
                             "possible. Please use `scheduler.step()` to step the scheduler.")


def _use_grad_for_differentiable(func: Callable) -> Callable:
    """A step that records what it does where the optimizer's ``differentiable`` says so, and nothing otherwise."""
    @functools.wraps(func)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        with set_grad_enabled(self.defaults["differentiable"]):
            return func(self, *args, **kwargs)
    return step


def _get_value(x: Any) -> Any:
    return x.item() if isinstance(x, Tensor) else x


def _stack_if_compiling(x: Any) -> Any:
    return x


def _dispatch_sqrt(x: Any) -> Any:
    return x.sqrt() if isinstance(x, Tensor) else x ** 0.5


def _get_scalar_dtype(is_fused: bool | None = None) -> Any:
    return dtypes.float32


def _to_scalar(x: Any) -> Any:
    return x.squeeze() if isinstance(x, Tensor) and x.dim() else x


def _default_to_fused_or_foreach(params: list[Any], differentiable: bool, use_fused: bool = False) -> tuple[bool, bool]:
    """Whether a step is fused, and whether it goes over lists: lists where all are plain tensors."""
    return False, not differentiable and all(p is None or type(p).__name__ in ("Tensor", "Parameter") for p in params)
