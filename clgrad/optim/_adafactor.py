"""Adafactor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.info import finfo
from clgrad.ops import optimizer_step
from clgrad.ops.registry import FUNCTIONS
from clgrad.optim.optimizer import Optimizer
from clgrad.optim.settings import plain
from clgrad.tensor import Tensor


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern 2018): of a matrix's squared gradients only means of rows and columns are kept.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: the largest relative step size. Default: 1e-2.
        beta2_decay: the t-th step has a share of t ** beta2_decay in the means. Default: -0.8.
        eps: the smallest variance's root (None: the dtype's machine epsilon), and the smallest size of a parameter.
            Default: (None, 1e-3).
        d: steps are cut off at this root mean square. Default: 1.
        weight_decay: shrinks the parameter by lr * weight_decay. Default: 0.
        foreach: accepted.
        maximize: go up the gradient. Default: False.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
                 foreach: bool | None = None, maximize: bool = False):
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for fits, text in ((float(lr) >= 0, f"Learning rate should be >= 0 but is: {lr}"),
                           (beta2_decay <= 0, f"beta2_decay should be <= 0 but is: {beta2_decay}"),
                           (eps[0] is None or eps[0] >= 0, f"epsilon1 should be >= 0 but is: {eps[0]}"),
                           (eps[1] >= 0, f"epsilon2 should be >= 0 but is: {eps[1]}"),
                           (d >= 1, f"Clipping threshold d should be >= 1 but is: {d}"),
                           (weight_decay >= 0, f"weight_decay should be >= 0 but is: {weight_decay}")):
            if not fits:
                raise ValueError(text)
        super().__init__(params, {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
                                  "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize})

    def _update(self, group: dict[str, Any]) -> None:
        settings = plain(group)
        for p in group["params"]:
            if p.grad is not None:
                self._change(p, -p.grad if settings["maximize"] else p.grad, settings)

    def _change(self, p: Any, g: Any, settings: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            _begin(state, g)
        step = float(state["step"]) + 1.0
        state["step"] = optimizer_step.counter(step)
        share = step ** settings["beta2_decay"]
        least, smallest = settings["eps"]
        least = finfo(p.dtype).eps if least is None else least
        size = max(smallest, _rms(p)) * min(settings["lr"], 1.0 / step**0.5)
        if settings["weight_decay"]:
            p.mul_(1.0 - settings["lr"] * settings["weight_decay"])
        square = g * g
        if g.dim() > 1:
            for name, dim in (("row_var", -1), ("col_var", -2)):
                state[name].lerp_(square.mean(dim, keepdim=True), share)
            rows, columns = state["row_var"], state["col_var"]
            variance = rows @ columns / rows.mean(-2, keepdim=True).clamp(min=least)
        else:
            variance = state["variance"].lerp_(square, share)
        update = variance.clamp(min=least * least).rsqrt() * g
        p.add_(update, alpha=-size / max(1.0, _rms(update) / settings["d"]))


def _rms(x: Any) -> float:
    """The root of the mean square."""
    return x.square().mean().item() ** 0.5


def _begin(state: dict[str, Any], g: Any) -> None:
    state["step"] = optimizer_step.counter(0)
    if g.dim() > 1:
        row, column = list(g.shape), list(g.shape)
        row[-1] = column[-2] = 1
        state["row_var"], state["col_var"] = g.new_zeros(row), g.new_zeros(column)
    else:
        state["variance"] = FUNCTIONS["zeros_like"](g)
