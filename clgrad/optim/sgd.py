"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.ops import optimizer_step
from clgrad.optim.optimizer import Optimizer, check


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013).

    g = grad + weight_decay * p; m = momentum * m + (1 - dampening) * g; p = p - lr * m, or with ``nesterov``
    p = p - lr * (g + momentum * m). The first g becomes m as it is.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-3.
        momentum, dampening, weight_decay: see above. Default: 0.
        nesterov: needs a momentum and no dampening. Default: False.
        maximize: go up the gradient. Default: False.
        foreach, differentiable, fused: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.

    >>> import clgrad
    >>> w = clgrad.nn.Parameter(clgrad.tensor([1., 2.]))
    >>> w.grad = clgrad.ones(2)
    >>> clgrad.optim.SGD([w], lr=0.5).step()
    >>> w.detach()
    tensor([0.5000, 1.5000])
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None):
        check("learning rate", lr, float(lr) >= 0.0)
        check("momentum value", momentum, momentum >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused})

    def _update(self, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        numbers = (float(group["lr"]), float(group["weight_decay"]), float(momentum), 1.0 - group["dampening"])
        maximize = int(group["maximize"])
        if not momentum:
            rows = [(p, g) for p in group["params"] if (g := p.grad) is not None]
            optimizer_step.step("SGD", (("MAXIMIZE", maximize),), "", rows, numbers)
            return
        first, rest = [], []
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = optimizer_step.state_like(p, 0.0)
                first.append((p, g, buffer))
            else:
                rest.append((p, g, buffer))
        flags = (("MAXIMIZE", maximize), ("MOMENTUM", 1), ("NESTEROV", int(group["nesterov"])))
        optimizer_step.step("SGD", (*flags, ("FIRST", 1)), "a", first, numbers)
        optimizer_step.step("SGD", flags, "a", rest, numbers)
