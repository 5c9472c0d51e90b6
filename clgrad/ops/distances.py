"""Lengths of vectors and distances between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.ops.copying import cast, from_array
from clgrad.ops.products import constant_of
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.spec import common_dtype


def length(x: Any, p: float, dim: int, keepdim: bool = False) -> Any:
    """The p-norm along ``dim``, of narrow floats added up as float32; its derivative where it is zero is zero."""
    kind = x.spec.dtype
    if kind.compute is not kind:
        return length(x.to(kind.compute), p, dim, keepdim).to(kind)
    if p == 2.0:
        return FUNCTIONS["norm"](x, p, dim, keepdim)
    if p == 1.0:
        return x.abs().sum(dim, keepdim=keepdim)
    if p == math.inf:
        return x.abs().amax(dim, keepdim=keepdim)
    if p == -math.inf:
        return x.abs().amin(dim, keepdim=keepdim)
    if p == 0.0:
        return constant_of((x != 0).sum(dim, keepdim=keepdim).to(x.dtype), x)
    where = FUNCTIONS["where"]
    if p < 1.0:  # whose derivative at zero is infinite: left out
        zero = x == 0
        powers = where(zero, 0.0, where(zero, 1.0, x.abs()).pow(p))
    else:
        powers = x.abs().pow(p)
    total = powers.sum(dim, keepdim=keepdim)
    zero = total == 0
    filled = where(zero, 1.0, total)
    return where(zero, 0.0, filled.pow(1.0 / p))


def distance(difference: Any, p: float, dim: int) -> Any:
    """:func:`length` of differences; of order 0 as cdist and pdist count them, where NaN is not another value but NaN."""
    if not difference.spec.shape[dim]:
        return difference.sum(dim)
    return difference.abs().ceil().clamp_max(1).sum(dim) if p == 0.0 else length(difference, p, dim)


@operator("pairwise_distance", method=False)
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps over the last dimension of (*, n) and (*, n)."""
    return length(x1 - x2 + eps, float(p), -1, keepdim)


@operator("cosine_similarity", method=False)
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors along ``dim``; lengths count as at least ``eps``."""
    kind = common_dtype((x1.spec, x2.spec))
    if not kind.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtypes.type_name(kind)}")
    x1, x2 = FUNCTIONS["broadcast_tensors"](cast(x1, kind), cast(x2, kind))
    lengths = [length(x, 2.0, dim, True) for x in (x1, x2)]
    return FUNCTIONS["_cosine_term"](x1, lengths[0], x2, lengths[1], eps).sum(dim)


@operator("pdist", method=False)
def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norm distances of all pairs of rows of (n, m): the n (n - 1) / 2 above the diagonal of their matrix."""
    own = input.spec
    if own.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {own.ndim}D")
    if not own.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    left, right = (from_array(np.ascontiguousarray(rows), dtypes.int64, own.device)
                   for rows in np.triu_indices(own.shape[0], 1))
    if not left.spec.numel:
        return input.new_empty((0,)) + input.sum() * 0
    return distance(input.index_select(0, left) - input.index_select(0, right), float(p), 1)
