"""Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer, averages, descent
from clgrad.optim.settings import check, check_betas, check_fused, check_lr
from clgrad.tensor import Tensor


class Adam(FusedOptimizer):
    """Adam (Kingma and Ba 2014): steps of lr * m / (sqrt(v) + eps), where m and v are running means of g and g^2.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-3.
        betas: how much of m and v stays at each step. Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        weight_decay: added to the gradient times the parameter. Default: 0.
        amsgrad: divide by the largest v so far (Reddi et al. 2018). Default: False.
        maximize: go up the gradient. Default: False.
        differentiable: record the step for autograd. Default: False.
        decoupled_weight_decay: shrink the parameter itself instead, as AdamW does. Default: False.
        foreach, capturable, fused: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False):
        check_lr(lr, foreach, capturable)
        check("epsilon value", eps, eps >= 0.0)
        check_betas(betas)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        if isinstance(betas[0], Tensor) is not isinstance(betas[1], Tensor) or not all(
                isinstance(beta, (float, Tensor)) for beta in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        for place, beta in enumerate(betas):
            if isinstance(beta, Tensor) and foreach and not capturable:
                raise ValueError(f"betas[{place}] as a Tensor is not supported for capturable=False and foreach=True")
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})
        check_fused(fused, foreach, differentiable)

    def _states(self, settings: dict[str, Any]) -> tuple[str, ...]:
        return self.STATES if settings["amsgrad"] else self.STATES[:2]

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        beta1, beta2 = settings["betas"]
        statements, numbers = descent(settings, settings["decoupled_weight_decay"])
        means, shares = averages(settings)
        statements += means
        if settings["amsgrad"]:
            statements.append("max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)")
        statements.append(f"p = p - exp_avg / (sqrt({'max_' if settings['amsgrad'] else ''}exp_avg_sq) / root + eps)"
                          " * size")
        count = counters[0]
        return statements, {**numbers, **shares, "eps": settings["eps"], "root": (1.0 - beta2**count) ** 0.5,
                            "size": settings["lr"] / (1.0 - beta1**count)}


def adam(params: list, grads: list, exp_avgs: list, exp_avg_sqs: list, max_exp_avg_sqs: list, state_steps: list,
         foreach: bool | None = None, capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
         grad_scale: Any = None, found_inf: Any = None, has_complex: bool = False, decoupled_weight_decay: bool = False, *,
         amsgrad: bool, beta1: Any, beta2: Any, lr: Any, weight_decay: float, eps: float, maximize: bool) -> None:
    """One step of :class:`Adam` over lists of tensors and of their states, which change in place."""
    Adam.change(params, grads, {"exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs, "max_exp_avg_sq": max_exp_avg_sqs,
                "step": state_steps}, differentiable=differentiable, grad_scale=grad_scale, found_inf=found_inf,
                decoupled_weight_decay=decoupled_weight_decay, betas=(beta1, beta2), amsgrad=amsgrad, lr=lr,
                weight_decay=weight_decay, eps=eps, maximize=maximize)
