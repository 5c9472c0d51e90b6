"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer, descent
from clgrad.optim.settings import check, check_betas, check_lr


class Adamax(FusedOptimizer):
    """Adamax (Kingma and Ba 2014): Adam whose denominator is a decaying maximum of abs(g).

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 2e-3.
        betas: how much of the mean and of the maximum stays at each step. Default: (0.9, 0.999).
        eps: added to abs(g). Default: 1e-8.
        weight_decay: added to the gradient times the parameter. Default: 0.
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, capturable: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("exp_avg", "exp_inf")

    def __init__(self, params: Iterable[Any], lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False):
        check_lr(lr)
        check("epsilon value", eps, eps >= 0.0)
        check_betas(betas)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        beta1, beta2 = settings["betas"]
        statements, numbers = descent(settings)
        return [*statements, "exp_avg = exp_avg + (g - exp_avg) * new1",
                "exp_inf = maximum(exp_inf * beta2, abs(g) + eps)", "p = p - exp_avg / exp_inf * size"], {
                    **numbers, "new1": 1.0 - beta1, "beta2": beta2, "eps": settings["eps"],
                    "size": settings["lr"] / (1.0 - beta1**counters[0])}


def adamax(params: list, grads: list, exp_avgs: list, exp_infs: list, state_steps: list, foreach: bool | None = None,
           maximize: bool = False, differentiable: bool = False, capturable: bool = False, has_complex: bool = False, *,
           eps: float, beta1: float, beta2: float, lr: float, weight_decay: float) -> None:
    """One step of :class:`Adamax` over lists of tensors and of their states, which change in place."""
    Adamax.change(params, grads, {"exp_avg": exp_avgs, "exp_inf": exp_infs, "step": state_steps}, maximize=maximize,
                  differentiable=differentiable, betas=(beta1, beta2), eps=eps, lr=lr, weight_decay=weight_decay)
