"""``LKJCholesky``: random correlation matrices, by their Cholesky factors."""

from __future__ import annotations

import math
from typing import Any

from clgrad.autograd import no_grad
from clgrad.creation import arange
from clgrad.distributions import constraints
from clgrad.distributions.distribution import Distribution, broadcast_all
from clgrad.distributions.gamma import Beta
from clgrad.info import finfo
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import Size


class LKJCholesky(Distribution):
    """Cholesky factors L of ``dim`` by ``dim`` correlation matrices of density det(L @ L.mT) ** (concentration - 1).

    Samples are drawn by the onion method of Lewandowski, Kurowicka and Joe (2009), row by row: a point of a sphere times
    the root of a beta distributed number. Concentration 1 is the uniform distribution of correlation matrices.

    Raises:
        ValueError: ``dim`` is not a whole number from 2 on.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.shape, Size((dim, dim)), validate_args=validate_args)

    @property
    def _beta(self) -> Beta:
        """The distribution of the squared lengths of the rows' parts before the diagonal; the first row has none."""
        a = self.concentration
        places = arange(self.dim - 1, dtype=a.dtype, device=a.device)
        return Beta(places * 0.5 + 0.5, a.unsqueeze(-1) + 0.5 * (self.dim - 2) - 0.5 * places, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            pad = FUNCTIONS["pad"]
            squared = pad(self._beta.sample(sample_shape), [1, 0], value=0.0).unsqueeze(-1)
            directions = squared.new_empty(tuple(self._extended_shape(sample_shape))).normal_().tril(-1)
            lengths = directions.square().sum(-1, keepdim=True).sqrt()
            first = lengths == 0  # the first row has nothing before the diagonal
            rows = squared.sqrt() * directions / FUNCTIONS["where"](first, 1.0, lengths)
            diagonal = (1 - rows.square().sum(-1)).clamp(min=finfo(rows.dtype).tiny).sqrt()
            return rows + FUNCTIONS["diag_embed"](diagonal)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, a = self.dim, self.concentration
        rows = arange(2, n + 1, dtype=value.dtype, device=value.device)
        powers = 2 * (a - 1).unsqueeze(-1) + n - rows
        unnormalized = (powers * value.diagonal(dim1=-1, dim2=-2)[..., 1:].log()).sum(-1)
        alpha = a + 0.5 * (n - 1)
        normalizer = (alpha - 0.5).mvlgamma(n - 1) - alpha.lgamma() * (n - 1) + 0.5 * (n - 1) * math.log(math.pi)
        return unnormalized - normalizer
