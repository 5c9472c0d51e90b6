"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.ops import optimizer_step
from clgrad.optim.optimizer import Optimizer, check


class RMSprop(Optimizer):
    """RMSprop (Hinton's lecture 6e): steps of lr * g / (sqrt(v) + eps), where v is a running mean of g^2.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-2.
        alpha: how much of v stays at each step. Default: 0.99.
        eps: added to the denominator. Default: 1e-8.
        weight_decay: added to the gradient times the parameter. Default: 0.
        momentum: steps move a velocity of this momentum instead. Default: 0.
        centered: v is the variance of g instead (Graves 2013). Default: False.
        maximize: go up the gradient. Default: False.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0, momentum: float = 0, centered: bool = False, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False):
        check("learning rate", lr, float(lr) >= 0.0)
        check("epsilon value", eps, eps >= 0.0)
        check("momentum value", momentum, momentum >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        check("alpha value", alpha, alpha >= 0.0)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable})

    def _update(self, group: dict[str, Any]) -> None:
        centered, momentum = group["centered"], group["momentum"]
        names = ["square_avg", *(["grad_avg"] if centered else []), *(["momentum_buffer"] if momentum else [])]
        letters = "a" + ("b" if centered else "") + ("c" if momentum else "")
        rows, states = [], []
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            state = self.state[p]
            if not state:
                state["step"] = optimizer_step.counter(0)
            for name in names:
                if name not in state:
                    state[name] = optimizer_step.state_like(p, 0.0)
            states.append(state)
            rows.append((p, g, *[state[name] for name in names]))
        if not rows:
            return
        self._counted(group, states)
        flags = (("MAXIMIZE", int(group["maximize"])), ("CENTERED", int(centered)), ("MOMENTUM", int(momentum > 0)))
        numbers = (float(group["lr"]), float(group["weight_decay"]), group["alpha"], 1.0 - group["alpha"],
                   float(group["eps"]), float(momentum))
        optimizer_step.step("RMSPROP", flags, letters, rows, numbers)
