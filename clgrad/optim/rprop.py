"""Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.fused import FusedOptimizer
from clgrad.optim.settings import check, check_lr


class Rprop(FusedOptimizer):
    """Resilient backpropagation (Riedmiller and Braun 1993): each element has a step size of its own.

    The size grows while the gradient keeps its sign, and shrinks where the sign changes; there the step is left out.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: the first step size. Default: 1e-2.
        etas: factors for shrinking and growing. Default: (0.5, 1.2).
        step_sizes: the smallest and the largest size. Default: (1e-6, 50).
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, capturable: accepted; all parameters are changed by one launch anyway.

    Raises:
        ValueError: a setting out of its range.
    """

    STATES = ("prev", "step_size")

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False):
        check_lr(lr)
        check("eta values", f"{etas[0]}, {etas[1]}", 0.0 < etas[0] < 1.0 < etas[1])
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable})

    def _start(self, settings: dict[str, Any], name: str) -> float:
        return float(settings["lr"]) if name == "step_size" else 0.0

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        (shrink, grow), (smallest, largest) = settings["etas"], settings["step_sizes"]
        return [*(["g = -g"] if settings["maximize"] else []),
                "agreement = g * prev",
                "wished = step_size * where(agreement > 0, grow, where(agreement < 0, shrink, 1))",
                "step_size = where(wished < smallest, smallest, where(wished > largest, largest, wished))",
                "prev = where(agreement < 0, 0, g)",
                "p = p - sign(prev) * step_size"], {
                    "grow": grow, "shrink": shrink, "smallest": smallest, "largest": largest}


def rprop(params: list, grads: list, prevs: list, step_sizes: list, state_steps: list, foreach: bool | None = None,
          capturable: bool = False, maximize: bool = False, differentiable: bool = False, has_complex: bool = False, *,
          step_size_min: float, step_size_max: float, etaminus: float, etaplus: float) -> None:
    """One step of :class:`Rprop` over lists of tensors and of their states, which change in place."""
    Rprop.change(params, grads, {"prev": prevs, "step_size": step_sizes, "step": state_steps}, maximize=maximize,
                 differentiable=differentiable, etas=(etaminus, etaplus), step_sizes=(step_size_min, step_size_max))
