"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer, descent
from clgrad.optim.settings import check, check_lr


class RMSprop(FusedOptimizer):
    """RMSprop (Hinton's lecture 6e): steps of lr * g / (sqrt(v) + eps), where v is a running mean of g^2.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-2.
        alpha: how much of v stays at each step. Default: 0.99.
        eps: added to the denominator. Default: 1e-8.
        weight_decay: added to the gradient times the parameter. Default: 0.
        momentum: steps move a velocity of this momentum instead. Default: 0.
        centered: v is the variance of g instead (Graves 2013). Default: False.
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, capturable: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0, momentum: float = 0, centered: bool = False, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False):
        check_lr(lr)
        check("epsilon value", eps, eps >= 0.0)
        check("momentum value", momentum, momentum >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        check("alpha value", alpha, alpha >= 0.0)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable})

    def _states(self, settings: dict[str, Any]) -> tuple[str, ...]:
        wanted = (True, settings["momentum"] > 0, settings["centered"])
        return tuple([name for name, needed in zip(self.STATES, wanted, strict=True) if needed])

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        alpha = settings["alpha"]
        statements, numbers = descent(settings)
        statements.append("square_avg = square_avg * alpha + g * g * fresh")
        numbers |= {"alpha": alpha, "fresh": 1.0 - alpha, "eps": settings["eps"], "lr": settings["lr"]}
        if settings["centered"]:
            statements += ["grad_avg = grad_avg + (g - grad_avg) * fresh",
                           "scaled = g / (sqrt(square_avg - grad_avg * grad_avg) + eps)"]
        else:
            statements.append("scaled = g / (sqrt(square_avg) + eps)")
        if settings["momentum"] > 0:
            numbers["momentum"] = settings["momentum"]
            return [*statements, "momentum_buffer = momentum_buffer * momentum + scaled",
                    "p = p - momentum_buffer * lr"], numbers
        return [*statements, "p = p - scaled * lr"], numbers


def rmsprop(params: list, grads: list, square_avgs: list, grad_avgs: list, momentum_buffer_list: list, state_steps: list,
            foreach: bool | None = None, maximize: bool = False, differentiable: bool = False, capturable: bool = False,
            has_complex: bool = False, *, lr: float, alpha: float, eps: float, weight_decay: float, momentum: float,
            centered: bool) -> None:
    """One step of :class:`RMSprop` over lists of tensors and of their states, which change in place."""
    RMSprop.change(params, grads, {"square_avg": square_avgs, "grad_avg": grad_avgs, "momentum_buffer": momentum_buffer_list,
                   "step": state_steps}, maximize=maximize, differentiable=differentiable, lr=lr, alpha=alpha, eps=eps,
                   weight_decay=weight_decay, momentum=momentum, centered=centered)
