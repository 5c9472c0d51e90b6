"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer, averages, descent
from clgrad.optim.settings import check, check_betas, check_lr


def _momentum(settings: dict[str, Any], step: float) -> Any:
    return settings["betas"][0] * (1.0 - 0.5 * 0.96 ** (step * settings["momentum_decay"]))


class NAdam(FusedOptimizer):
    """Adam with Nesterov momentum (Dozat 2016), whose momentum grows: beta1 * (1 - 0.96 ** (t * momentum_decay) / 2).

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 2e-3.
        betas: how much of the means of g and g^2 stays at each step. Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        weight_decay: added to the gradient times the parameter. Default: 0.
        momentum_decay: see above. Default: 4e-3.
        decoupled_weight_decay: shrink the parameter itself instead. Default: False.
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, capturable: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("exp_avg", "exp_avg_sq")
    COUNTERS = ("step", "mu_product")

    def __init__(self, params: Iterable[Any], lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
                 decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False,
                 capturable: bool = False, differentiable: bool = False):
        check_lr(lr)
        check("epsilon value", eps, eps >= 0.0)
        check_betas(betas)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        check("momentum_decay value", momentum_decay, momentum_decay >= 0.0)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable})

    def _start(self, settings: dict[str, Any], name: str) -> float:
        return float(name == "mu_product")

    def _advance(self, settings: dict[str, Any], counters: tuple) -> tuple:
        step = counters[0] + 1.0
        return step, counters[1] * _momentum(settings, step)

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        step, product = counters
        now, following = _momentum(settings, step), _momentum(settings, step + 1.0)
        statements, numbers = descent(settings, settings["decoupled_weight_decay"])
        means, shares = averages(settings)
        lr = settings["lr"]
        return [*statements, *means, "p = p - (g * of_g + exp_avg * of_mean) / (sqrt(exp_avg_sq / debias) + eps)"], {
            **numbers, **shares, "of_g": lr * (1.0 - now) / (1.0 - product),
            "of_mean": lr * following / (1.0 - product * following), "eps": settings["eps"],
            "debias": 1.0 - settings["betas"][1] ** step}


def nadam(params: list, grads: list, exp_avgs: list, exp_avg_sqs: list, mu_products: list, state_steps: list,
          decoupled_weight_decay: bool = False, foreach: bool | None = None, capturable: bool = False,
          differentiable: bool = False, has_complex: bool = False, maximize: bool = False, *, beta1: float, beta2: float,
          lr: float, weight_decay: float, momentum_decay: float, eps: float) -> None:
    """One step of :class:`NAdam` over lists of tensors and of their states, which change in place."""
    NAdam.change(params, grads, {"exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs, "mu_product": mu_products,
                 "step": state_steps}, decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable,
                 maximize=maximize, betas=(beta1, beta2), lr=lr, weight_decay=weight_decay, momentum_decay=momentum_decay,
                 eps=eps)
