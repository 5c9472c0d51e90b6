"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.ops import optimizer_step
from clgrad.optim.optimizer import Optimizer, check


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011): steps of lr * g / (sqrt(sum of g^2) + eps).

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-2.
        lr_decay: the n-th step is divided by 1 + (n - 1) * lr_decay. Default: 0.
        weight_decay: added to the gradient times the parameter. Default: 0.
        initial_accumulator_value: where the sum begins. Default: 0.
        eps: added to the denominator. Default: 1e-10.
        maximize: go up the gradient. Default: False.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, fused: bool | None = None):
        check("learning rate", lr, float(lr) >= 0.0)
        check("lr_decay value", lr_decay, lr_decay >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        check("initial_accumulator_value value", initial_accumulator_value, initial_accumulator_value >= 0.0)
        check("epsilon value", eps, eps >= 0.0)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused})
        for group in self.param_groups:
            shared = optimizer_step.counter(0)
            for p in group["params"]:
                self.state[p]["step"] = shared
                self.state[p]["sum"] = optimizer_step.state_like(p, initial_accumulator_value)

    def _update(self, group: dict[str, Any]) -> None:
        rows, states = [], []
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            state = self.state[p]
            if "sum" not in state:
                state["step"] = optimizer_step.counter(0)
                state["sum"] = optimizer_step.state_like(p, group["initial_accumulator_value"])
            states.append(state)
            rows.append((p, g, state["sum"]))
        if not rows:
            return
        for count, places in self._counted(group, states):
            numbers = (float(group["lr"]) / (1.0 + (count - 1) * group["lr_decay"]), float(group["weight_decay"]),
                       float(group["eps"]))
            chosen = rows if len(places) == len(rows) else [rows[n] for n in places]
            optimizer_step.step("ADAGRAD", (("MAXIMIZE", int(group["maximize"])),), "a", chosen, numbers)
