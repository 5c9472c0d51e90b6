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
