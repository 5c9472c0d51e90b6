"""Distances between vectors, as layers."""

from __future__ import annotations

from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.modules.module import Module


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along ``dim``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Any:
        """The inputs' shape without ``dim``."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of the difference of vectors along the last dimension; ``eps`` is added to it."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        """(n, d) or (d) to (n) or a number, with ``keepdim`` (n, 1) or (1)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
