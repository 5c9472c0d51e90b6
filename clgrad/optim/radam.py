"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer, averages, descent
from clgrad.optim.settings import check, check_betas, check_lr


class RAdam(FusedOptimizer):
    """Rectified Adam (Liu et al. 2019): Adam that follows the mean gradient alone until the variance is known.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-3.
        betas: how much of the means of g and g^2 stays at each step. Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        weight_decay: added to the gradient times the parameter. Default: 0.
        decoupled_weight_decay: shrink the parameter itself instead. Default: False.
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, capturable: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("exp_avg", "exp_avg_sq")

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, decoupled_weight_decay: bool = False, *,
                 foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
                 differentiable: bool = False):
        check_lr(lr)
        check("epsilon value", eps, eps >= 0.0)
        check_betas(betas)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable})

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        step, (beta1, beta2) = counters[0], settings["betas"]
        statements, numbers = descent(settings, settings["decoupled_weight_decay"])
        means, shares = averages(settings)
        debias = 1.0 - beta2**step
        longest = 2.0 / (1.0 - beta2) - 1.0
        length = longest - 2.0 * step * beta2**step / debias
        numbers |= {**shares, "size": settings["lr"] / (1.0 - beta1**step)}
        if length <= 5.0:
            return [*statements, *means, "p = p - exp_avg * size"], numbers
        rectified = ((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)) ** 0.5
        numbers["size"] = numbers["size"] * rectified * debias**0.5
        return [*statements, *means, "p = p - exp_avg / (sqrt(exp_avg_sq) + eps) * size"], {
            **numbers, "eps": settings["eps"]}


def radam(params: list, grads: list, exp_avgs: list, exp_avg_sqs: list, state_steps: list,
          decoupled_weight_decay: bool = False, foreach: bool | None = None, differentiable: bool = False,
          capturable: bool = False, has_complex: bool = False, maximize: bool = False, *, beta1: float, beta2: float,
          lr: float, weight_decay: float, eps: float) -> None:
    """One step of :class:`RAdam` over lists of tensors and of their states, which change in place."""
    RAdam.change(params, grads, {"exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs, "step": state_steps},
                 decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable, maximize=maximize,
                 betas=(beta1, beta2), lr=lr, weight_decay=weight_decay, eps=eps)
