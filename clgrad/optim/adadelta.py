"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer, descent
from clgrad.optim.settings import check, check_lr


class Adadelta(FusedOptimizer):
    """Adadelta (Zeiler 2012): steps of lr * g * rms(steps) / rms(g), where rms is of running means.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: factor of the steps. Default: 1.
        rho: how much of the means stays at each step. Default: 0.9.
        eps: added under the roots. Default: 1e-6.
        weight_decay: added to the gradient times the parameter. Default: 0.
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, capturable: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("square_avg", "acc_delta")

    def __init__(self, params: Iterable[Any], lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6,
                 weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False,
                 maximize: bool = False, differentiable: bool = False):
        check_lr(lr)
        check("rho value", rho, 0.0 <= rho <= 1.0)
        check("epsilon value", eps, eps >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable})

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        statements, numbers = descent(settings)
        return [*statements, "square_avg = square_avg * rho + g * g * fresh",
                "delta = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g",
                "acc_delta = acc_delta * rho + delta * delta * fresh", "p = p - delta * lr"], {
                    **numbers, "rho": settings["rho"], "fresh": 1.0 - settings["rho"], "eps": settings["eps"],
                    "lr": settings["lr"]}


def adadelta(params: list, grads: list, square_avgs: list, acc_deltas: list, state_steps: list, capturable: bool = False,
             foreach: bool | None = None, differentiable: bool = False, has_complex: bool = False, *, lr: float, rho: float,
             eps: float, weight_decay: float, maximize: bool) -> None:
    """One step of :class:`Adadelta` over lists of tensors and of their states, which change in place."""
    Adadelta.change(params, grads, {"square_avg": square_avgs, "acc_delta": acc_deltas, "step": state_steps},
                    differentiable=differentiable, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)
