"""Averaged stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer, descent
from clgrad.optim.settings import check, check_lr


class ASGD(FusedOptimizer):
    """Averaged SGD (Polyak and Juditsky 1992): the state ``ax`` is the mean of the parameters from step ``t0`` on.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: the first step size; that of step t is lr / (1 + lambd * lr * t) ** alpha. Default: 1e-2.
        lambd: how fast the steps shrink, and the parameters. Default: 1e-4.
        alpha: see above. Default: 0.75.
        t0: the step from which on is averaged. Default: 1e6.
        weight_decay: added to the gradient times the parameter. Default: 0.
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, capturable: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("ax",)
    COUNTERS = ("step", "eta", "mu")

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                 weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False):
        check_lr(lr)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def _start(self, settings: dict[str, Any], name: str) -> float:
        return {"eta": float(settings["lr"]), "mu": 1.0}.get(name, 0.0)

    def _advance(self, settings: dict[str, Any], counters: tuple) -> tuple:
        step, lr = counters[0] + 1.0, float(settings["lr"])
        return (step, lr / (1.0 + settings["lambd"] * lr * step) ** settings["alpha"],
                1.0 / max(1.0, step - settings["t0"]))

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        _, eta, mu = before  # a step works with what the one before left
        statements, numbers = descent(settings)
        statements.append("p = p * shrink - g * eta")
        statements.append("ax = p" if mu == 1.0 else "ax = ax + (p - ax) * mu")
        return statements, {**numbers, "shrink": 1.0 - settings["lambd"] * eta, "eta": eta, "mu": mu}


def asgd(params: list, grads: list, axs: list, mus: list, etas: list, state_steps: list, foreach: bool | None = None,
         maximize: bool = False, differentiable: bool = False, capturable: bool = False, has_complex: bool = False, *,
         lambd: float, lr: float, t0: float, alpha: float, weight_decay: float) -> None:
    """One step of :class:`ASGD` over lists of tensors and of their states, which change in place."""
    ASGD.change(params, grads, {"ax": axs, "mu": mus, "eta": etas, "step": state_steps}, maximize=maximize,
                differentiable=differentiable, lambd=lambd, lr=lr, t0=t0, alpha=alpha, weight_decay=weight_decay)
