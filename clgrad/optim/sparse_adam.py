"""SparseAdam, which needs sparse gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.optim.optimizer import Optimizer
from clgrad.optim.settings import check, check_betas, check_lr


class SparseAdam(Optimizer):
    """Adam for sparse gradients, which clgrad does not have: a step says so; use :class:`clgrad.optim.Adam`.

    Arguments as in :class:`clgrad.optim.Adam`.

    Raises:
        ValueError: a setting out of its range.
    """

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, maximize: bool = False):
        check_lr(lr)
        check("learning rate", lr, float(lr) > 0.0)
        check("epsilon value", eps, eps > 0.0)
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def _update(self, group: dict[str, Any]) -> None:
        if any(p.grad is not None for p in group["params"]):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
