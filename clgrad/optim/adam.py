"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

from clgrad.ops import optimizer_step
from clgrad.optim.optimizer import Optimizer, check


class Adam(Optimizer):
    """Adam (Kingma and Ba 2014): steps of lr * m / (sqrt(v) + eps), where m and v are running means of g and g^2.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-3.
        betas: how much of m and v stays at each step. Default: (0.9, 0.999).
        eps: added to the denominator. Default: 1e-8.
        weight_decay: added to the gradient times the parameter. Default: 0.
        amsgrad: divide by the largest v so far (Reddi et al. 2018). Default: False.
        maximize: go up the gradient. Default: False.
        decoupled_weight_decay: shrink the parameter itself instead, as AdamW does. Default: False.
        foreach, capturable, differentiable, fused: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False):
        check("learning rate", lr, float(lr) >= 0.0)
        check("epsilon value", eps, eps >= 0.0)
        for place, beta in enumerate(betas):
            check(f"beta parameter at index {place}", beta, 0.0 <= beta < 1.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})

    def _update(self, group: dict[str, Any]) -> None:
        amsgrad = group["amsgrad"]
        rows, states = [], []
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = optimizer_step.counter(0)
                state["exp_avg"] = optimizer_step.state_like(p, 0.0)
                state["exp_avg_sq"] = optimizer_step.state_like(p, 0.0)
            if amsgrad and "max_exp_avg_sq" not in state:
                state["max_exp_avg_sq"] = optimizer_step.state_like(p, 0.0)
            states.append(state)
            rows.append((p, g, state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"]) if amsgrad
                        else (p, g, state["exp_avg"], state["exp_avg_sq"]))
        if not rows:
            return
        lr, (beta1, beta2), decay = float(group["lr"]), group["betas"], float(group["weight_decay"])
        decoupled = group["decoupled_weight_decay"]
        flags = (("MAXIMIZE", int(group["maximize"])), ("AMSGRAD", int(amsgrad)), ("DECOUPLED", int(decoupled)))
        if decoupled:
            decay = 1.0 - lr * decay
        for count, places in self._counted(group, states):
            numbers = (lr, decay, 1.0 - beta1, beta2, 1.0 - beta2, float(group["eps"]), lr / (1.0 - beta1**count),
                       sqrt(1.0 - beta2**count))
            chosen = rows if len(places) == len(rows) else [rows[n] for n in places]
            optimizer_step.step("ADAM", flags, "abc" if amsgrad else "ab", chosen, numbers)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017): p = p * (1 - lr * weight_decay) before the step.

    Arguments as in :class:`Adam`; ``weight_decay`` is 1e-2 by default.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused,
                         decoupled_weight_decay=True)
