"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.ops import optimizer_step
from clgrad.optim.fused import FusedOptimizer, descent
from clgrad.optim.settings import check, check_fused, check_lr


class Adagrad(FusedOptimizer):
    """Adagrad (Duchi et al. 2011): steps of lr * g / (sqrt(sum of g^2) + eps).

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-2.
        lr_decay: the n-th step is divided by 1 + (n - 1) * lr_decay. Default: 0.
        weight_decay: added to the gradient times the parameter. Default: 0.
        initial_accumulator_value: where the sum begins. Default: 0.
        eps: added to the denominator. Default: 1e-10.
        maximize, differentiable: as in :class:`clgrad.optim.Adam`.
        foreach, fused: accepted; all parameters are changed by one launch anyway.

    A sparse gradient changes the rows that it has.

    Raises:
        ValueError: a setting out of its range.
        RuntimeError: a step with a sparse gradient and ``weight_decay``.
    """

    STATES = ("sum",)

    def __init__(self, params: Iterable[Any], lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, fused: bool | None = None):
        check_lr(lr)
        check("lr_decay value", lr_decay, lr_decay >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        check("initial_accumulator_value value", initial_accumulator_value, initial_accumulator_value >= 0.0)
        check("epsilon value", eps, eps >= 0.0)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused})
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            shared = optimizer_step.counter(0)
            for p in group["params"]:
                self.state[p]["step"] = shared
                self._fill([(p, None, self.state[p])], group, self.STATES)

    def _check_sparse(self, settings: dict[str, Any]) -> None:
        if settings["weight_decay"] != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")

    def share_memory(self) -> None:
        """Does nothing: tensors reach other processes by being copied."""

    def _start(self, settings: dict[str, Any], name: str) -> float:
        return settings["initial_accumulator_value"] if name == "sum" else 0.0

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        statements, numbers = descent(settings)
        return [*statements, "sum = sum + g * g", "p = p - g / (sqrt(sum) + eps) * size"], {
            **numbers, "eps": settings["eps"],
            "size": settings["lr"] / (1.0 + (counters[0] - 1.0) * settings["lr_decay"])}


def adagrad(params: list, grads: list, state_sums: list, state_steps: list, fused: bool | None = None, grad_scale: Any = None,
            found_inf: Any = None, has_sparse_grad: bool = False, foreach: bool | None = None, differentiable: bool = False,
            has_complex: bool = False, *, lr: float, weight_decay: float, lr_decay: float, eps: float,
            maximize: bool) -> None:
    """One step of :class:`Adagrad` over lists of tensors and of their states, which change in place."""
    Adagrad.change(params, grads, {"sum": state_sums, "step": state_steps}, grad_scale=grad_scale, found_inf=found_inf,
                   differentiable=differentiable, lr=lr, weight_decay=weight_decay, lr_decay=lr_decay, eps=eps,
                   maximize=maximize)
