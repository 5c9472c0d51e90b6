"""Muon."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from clgrad.ops.registry import FUNCTIONS
from clgrad.optim.optimizer import Optimizer
from clgrad.optim.settings import plain
from clgrad.tensor import Tensor

_ADJUSTMENTS = {
    "original": lambda rows, columns: math.sqrt(max(1, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
}


class Muon(Optimizer):
    """Momentum orthogonalised by Newton and Schulz (Jordan et al. 2024), for the weight matrices of hidden layers.

    Args:
        params: 2-d tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-3.
        weight_decay: shrinks the parameter by lr * weight_decay. Default: 0.1.
        momentum: how much of the velocity stays. Default: 0.95.
        nesterov: look ahead along the velocity. Default: True.
        ns_coefficients: of X, X^3 and X^5 in an iteration. Default: (3.4445, -4.775, 2.0315).
        eps: the smallest norm that is divided by. Default: 1e-7.
        ns_steps: iterations, in bfloat16. Default: 5.
        adjust_lr_fn: how the shape changes the step: "original" (also None, default), or "match_rms_adamw".

    Raises:
        ValueError: a setting out of its range, a parameter that is no matrix.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
                 nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
                 eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None):
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for name, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if float(value) < 0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn is not None and adjust_lr_fn not in _ADJUSTMENTS:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: "
                                     f"{p.size()}")

    def _update(self, group: dict[str, Any]) -> None:
        settings = plain(group)
        if settings["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(settings["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        adjust = _ADJUSTMENTS[settings["adjust_lr_fn"] or "original"]
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = FUNCTIONS["zeros_like"](g)
            velocity = state["momentum_buffer"].lerp_(g, 1.0 - settings["momentum"])
            update = g.lerp(velocity, settings["momentum"]) if settings["nesterov"] else velocity
            update = _orthogonal(update, settings["ns_coefficients"], settings["ns_steps"], settings["eps"])
            p.mul_(1.0 - settings["lr"] * settings["weight_decay"])
            p.add_(update.to(p.dtype), alpha=-settings["lr"] * adjust(*p.shape))


def _orthogonal(matrix: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """Newton's and Schulz's iteration towards the nearest orthogonal matrix, with coefficients that hurry."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.t() if tall else x
    x = x / x.norm().clamp(min=eps)
    addmm = FUNCTIONS["addmm"]
    for _ in range(steps):
        gram = x @ x.t()
        x = addmm(x, addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x
