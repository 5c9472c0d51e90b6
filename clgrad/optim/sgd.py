"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clgrad.autograd.listening import SPARSE, switch
from clgrad.formats import strided
from clgrad.optim.fused import FusedOptimizer, descent
from clgrad.optim.settings import check, check_fused, check_lr
from clgrad.tensor import Tensor


class SGD(FusedOptimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013).

    g = grad + weight_decay * p; m = momentum * m + (1 - dampening) * g; p = p - lr * m, or with ``nesterov``
    p = p - lr * (g + momentum * m). The first g becomes m as it is.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of groups.
        lr: step size. Default: 1e-3.
        momentum, dampening, weight_decay: see above. Default: 0.
        nesterov: needs a momentum and no dampening. Default: False.
        maximize: go up the gradient. Default: False.
        differentiable: record the step for autograd. Default: False.
        foreach, fused: accepted; all parameters are changed by one launch anyway.

    A sparse gradient changes the rows that it has. With a momentum, which moves all rows, it is made dense.

    Raises:
        ValueError: a setting out of its range.
        RuntimeError: a step with a sparse gradient and ``weight_decay``.

    >>> import clgrad
    >>> w = clgrad.nn.Parameter(clgrad.tensor([1., 2.]))
    >>> w.grad = clgrad.ones(2)
    >>> clgrad.optim.SGD([w], lr=0.5).step()
    >>> w.detach()
    tensor([0.5000, 1.5000])
    """

    STATES = ("momentum_buffer",)
    COUNTERS = ()

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: Any = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None):
        check_lr(lr)
        check("momentum value", momentum, momentum >= 0.0)
        check("weight_decay value", weight_decay, weight_decay >= 0.0)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused})
        check_fused(fused, foreach, differentiable)

    def _states(self, settings: dict[str, Any]) -> tuple[str, ...]:
        return self.STATES if settings["momentum"] else ()

    def _check_sparse(self, settings: dict[str, Any]) -> None:
        if isinstance(settings["weight_decay"], Tensor) or settings["weight_decay"]:
            raise RuntimeError("SGD: weight_decay is not compatible with sparse gradients")

    def _update(self, group: dict[str, Any]) -> None:
        if group["momentum"] and switch.has(SPARSE):  # a momentum moves all rows
            for p in group["params"]:
                if p._grad is not None and p._grad.spec.layout is not strided:
                    self._check_sparse(group)
                    p._grad = p._grad.to_dense()
        super()._update(group)

    def _cohorts(self, settings: dict[str, Any], members: list) -> Iterator[tuple[tuple, tuple, list]]:
        """Whether a velocity is there, (1,), or begins, (0,)."""
        if not settings["momentum"]:
            yield (1,), (), members
            return
        parts: dict[int, list] = {0: [], 1: []}
        for member in members:
            parts[int(member[2].get("momentum_buffer") is not None)].append(member)
        for begun, chosen in parts.items():
            if chosen:
                yield (begun,), (), chosen

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        statements, numbers = descent(settings)
        numbers["lr"] = settings["lr"]
        if not settings["momentum"]:
            return [*statements, "p = p - g * lr"], numbers
        numbers["momentum"] = settings["momentum"]
        if not counters[0]:
            statements.append("momentum_buffer = g")
        elif settings["dampening"]:
            numbers["undamped"] = 1.0 - settings["dampening"]
            statements.append("momentum_buffer = momentum_buffer * momentum + g * undamped")
        else:
            statements.append("momentum_buffer = momentum_buffer * momentum + g")
        step = "g + momentum_buffer * momentum" if settings["nesterov"] else "momentum_buffer"
        return [*statements, f"p = p - ({step}) * lr"], numbers


def sgd(params: list, d_p_list: list, momentum_buffer_list: list, has_sparse_grad: bool = False, foreach: bool | None = None,
        fused: bool | None = None, grad_scale: Any = None, found_inf: Any = None, *, weight_decay: float, momentum: float,
        lr: float, dampening: float, nesterov: bool, maximize: bool) -> None:
    """One step of :class:`SGD` over lists of tensors and of their states, which change in place."""
    SGD.change(params, d_p_list, {"momentum_buffer": momentum_buffer_list}, grad_scale=grad_scale, found_inf=found_inf,
               weight_decay=weight_decay, momentum=momentum, lr=lr, dampening=dampening, nesterov=nesterov, maximize=maximize)
