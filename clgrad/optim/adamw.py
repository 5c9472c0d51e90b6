"""AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.adam import Adam


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017): p = p * (1 - lr * weight_decay) before the step.

    Arguments as in :class:`Adam`; ``weight_decay`` is 1e-2 by default.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused,
                         decoupled_weight_decay=True)

    def __setstate__(self, fields: dict[str, Any]) -> None:
        super().__setstate__(fields)
        for group in self.param_groups:  # whatever a checkpoint says
            group["decoupled_weight_decay"] = True


def adamw(params: list, grads: list, exp_avgs: list, exp_avg_sqs: list, max_exp_avg_sqs: list, state_steps: list,
          foreach: bool | None = None, capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
          grad_scale: Any = None, found_inf: Any = None, has_complex: bool = False, *, amsgrad: bool, beta1: Any, beta2: Any,
          lr: Any, weight_decay: float, eps: float, maximize: bool) -> None:
    """One step of :class:`AdamW` over lists of tensors and of their states, which change in place."""
    AdamW.change(params, grads, {"exp_avg": exp_avgs, "exp_avg_sq": exp_avg_sqs, "max_exp_avg_sq": max_exp_avg_sqs,
                 "step": state_steps}, differentiable=differentiable, grad_scale=grad_scale, found_inf=found_inf,
                 decoupled_weight_decay=True, betas=(beta1, beta2), amsgrad=amsgrad, lr=lr, weight_decay=weight_decay,
                 eps=eps, maximize=maximize)
