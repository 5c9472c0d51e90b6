"""Adam for sparse gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from clgrad.formats import strided
from clgrad.optim.fused import FusedOptimizer
from clgrad.optim.settings import check, check_betas, check_lr


class SparseAdam(FusedOptimizer):
    """Adam (Kingma and Ba 2015) that changes the rows alone that a sparse gradient has, and their moments.

    Args:
        params, lr, betas, eps, maximize: as in :class:`clgrad.optim.Adam`; parameters are dense, their gradients sparse.

    Raises:
        ValueError: a setting out of its range, or a sparse parameter.
        RuntimeError: a step with a dense gradient.

    >>> import clgrad
    >>> table = clgrad.nn.Embedding(3, 2, sparse=True)
    >>> optimizer = clgrad.optim.SparseAdam(table.parameters(), lr=0.1)
    >>> before = table.weight.detach().clone()
    >>> table(clgrad.tensor([2])).sum().backward()
    >>> optimizer.step()
    >>> (table.weight.detach() - before).abs().sum(1).round(decimals=3)
    tensor([0.0000, 0.0000, 0.2000])
    """

    STATES = ("exp_avg", "exp_avg_sq")

    def __init__(self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, maximize: bool = False):
        check_lr(lr)
        check("learning rate", lr, float(lr) > 0.0)
        check("epsilon value", eps, eps > 0.0)
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        sparse = [n for group in self.param_groups for n, p in enumerate(group["params"]) if p.spec.layout is not strided]
        if sparse:
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")

    def _check_sparse(self, settings: dict[str, Any]) -> None:
        """Sparse gradients are what this is for."""

    def _update(self, group: dict[str, Any]) -> None:
        if any(p._grad is not None and p._grad.spec.layout is strided for p in group["params"]):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        super()._update(group)

    def _rule(self, settings: dict[str, Any], counters: tuple, before: tuple) -> tuple[list[str], dict[str, Any]]:
        (beta1, beta2), step = settings["betas"], counters[0]
        size = settings["lr"] * math.sqrt(1.0 - beta2 ** step) / (1.0 - beta1 ** step)
        return [*(["g = -g"] if settings["maximize"] else []),
                "exp_avg = exp_avg + (g - exp_avg) * new1", "exp_avg_sq = exp_avg_sq + (g * g - exp_avg_sq) * new2",
                "p = p - exp_avg / (sqrt(exp_avg_sq) + eps) * size"], {
                    "new1": 1.0 - beta1, "new2": 1.0 - beta2, "eps": settings["eps"], "size": size}
