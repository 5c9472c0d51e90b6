"""Transforms from real numbers to points of a simplex, and to triangular and positive definite matrices."""

from __future__ import annotations

import math
from typing import Any

from clgrad.creation import eye
from clgrad.distributions import constraints
from clgrad.distributions.distribution import clipped_sigmoid, tril_matrix_to_vec, vec_to_tril_matrix
from clgrad.distributions.transform import Transform
from clgrad.info import finfo
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import Size


def _after(value: Any, first: float) -> Any:
    """The values, each moved one place to the right, behind ``first``; the last one falls out."""
    return FUNCTIONS["pad"](value[..., :-1], [1, 0], value=first)


class SoftmaxTransform(Transform):
    """y = exp(x) normalised, which has no inverse; log(y) is taken."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x: Any) -> Any:
        return x.softmax(-1)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        return _checked(shape, 1)

    def inverse_shape(self, shape: Any) -> Any:
        return _checked(shape, 1)


class StickBreakingTransform(Transform):
    """From k real numbers to a point of the simplex of k + 1 corners.

    Each number says, as log-odds, which part of what is left of a stick is broken off; zeros break it into equal parts.
    """

    domain, codomain, bijective = constraints.real_vector, constraints.simplex, True

    @staticmethod
    def _offset(x: Any) -> Any:
        places = FUNCTIONS["ones_like"](x).detach().cumsum(-1)
        return (x.shape[-1] + 1 - places).log()

    def _call(self, x: Any) -> Any:
        share = clipped_sigmoid(x - self._offset(x))
        pad = FUNCTIONS["pad"]
        return pad(share, [0, 1], value=1) * pad((1 - share).cumprod(-1), [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        parts = y[..., :-1]
        left = (1 - parts.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return parts.log() - left.log() + self._offset(parts)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        odds = x - self._offset(x)
        return (y[..., :-1].log() - FUNCTIONS["softplus"](odds)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        shape = _checked(shape, 1)
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> Any:
        shape = _checked(shape, 1)
        return Size((*shape[:-1], shape[-1] - 1))


class LowerCholeskyTransform(Transform):
    """The lower triangle of a matrix with exp(diagonal)."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + FUNCTIONS["diag_embed"](x.diagonal(dim1=-2, dim2=-1).exp())

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + FUNCTIONS["diag_embed"](y.diagonal(dim1=-2, dim2=-1).log())


class PositiveDefiniteTransform(Transform):
    """L @ L.mT for the L of :class:`LowerCholeskyTransform`."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.positive_definite

    def _call(self, x: Any) -> Any:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform()._inverse(FUNCTIONS["cholesky"](y))


class CorrCholeskyTransform(Transform):
    """From n (n - 1) / 2 real numbers to the Cholesky factor of an n by n correlation matrix.

    tanh makes partial correlations of them; a row's entry is its own times what the entries before leave of the unit
    length (Lewandowski, Kurowicka and Joe 2009).
    """

    domain, codomain, bijective = constraints.real_vector, constraints.corr_cholesky, True

    def _call(self, x: Any) -> Any:
        eps = finfo(x.dtype).eps
        partial = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - partial.square()).sqrt().cumprod(-1)
        return (partial + eye(partial.shape[-1], dtype=x.dtype, device=x.device)) * _after(left, 1)

    def _inverse(self, y: Any) -> Any:
        left = _after(1 - y.square().cumsum(-1), 1)
        below, rest = tril_matrix_to_vec(y, diag=-1), tril_matrix_to_vec(left, diag=-1)
        return (below / rest.sqrt()).atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        left = 1 - y.square().cumsum(-1)
        sticks = 0.5 * tril_matrix_to_vec(left, diag=-2).log().sum(-1)
        return sticks - 2 * (x + FUNCTIONS["softplus"](-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        shape = _checked(shape, 1)
        n = round((0.25 + 2 * shape[-1]) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != shape[-1]:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Any) -> Any:
        shape = _checked(shape, 2)
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


def _checked(shape: Any, dims: int) -> Any:
    if len(shape) < dims:
        raise ValueError("Too few dimensions on input")
    return shape
