"""Lengths of vectors and distances between them."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.autograd.recorded import recorded_gradients
from clgrad.kernels import distances as kernels
from clgrad.kernels.distances import Rows
from clgrad.ops.copying import cast, empty, from_array
from clgrad.ops.execute import blank, check_device, execute
from clgrad.ops.products import constant_of
from clgrad.ops.registry import FUNCTIONS, operator


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
    """The cosine of the angle between vectors along ``dim``; lengths count as at least ``eps``.

    Raises:
        RuntimeError: ``eps`` is negative, or neither operand is floating point.
    """
    if eps < 0:
        raise RuntimeError(f"cosine_similarity: expected eps to be non-negative, got {eps}")
    kind = dtypes.promote_types(x1.spec.dtype, x2.spec.dtype)  # a number's dtype counts as much as a vector's
    if not kind.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtypes.type_name(kind)}")
    x1, x2 = FUNCTIONS["broadcast_tensors"](cast(x1, kind), cast(x2, kind))
    lengths = [length(x, 2.0, dim, True) for x in (x1, x2)]
    return FUNCTIONS["_cosine_term"](x1, lengths[0], x2, lengths[1], min(eps, kind.largest)).sum(dim)


@lru_cache(256)
def _plans(device: Any, kind: dtypes.dtype, rows: Rows) -> tuple[kernels.Plan, kernels.Plan, kernels.Plan]:
    return (kernels.plan(device, kind, rows), kernels.gradient_plan(device, kind, rows, False),
            kernels.gradient_plan(device, kind, rows, True))


def distances(x: Any, y: Any, p: float) -> Any:
    """The p-norm distances of each row of (..., m, d) to each of (..., n, d), of one batch and dtype.

    ``y`` None: of all pairs of rows of (m, d), as a vector.
    """
    own = x.spec
    if own.numel == 0 or (y is not None and y.spec.numel == 0) or own.dtype.compute is not own.dtype:
        return _composed(p, x, y)
    x = x.contiguous()
    other = x if y is None else y.contiguous()
    *batch, m, d = own.shape
    n = other.spec.shape[-2]
    shape = (m * (m - 1) // 2,) if y is None else (*batch, m, n)
    out = empty(shape, own.dtype, own.device)
    if not out.spec.numel:
        return _composed(p, x, y)
    rows = Rows(math.prod(batch), m, n, d, float(p), y is None)
    forward, of_x, of_y = _plans(check_device("cdist", x, other), own.dtype, rows)
    execute(forward, (x, other), (out,))
    operands = (x,) if y is None else (x, other)
    if needs_graph(*operands):
        saved = Saved("pdist" if y is None else "cdist", [*operands])
        needed = [t._requires_grad for t in operands]

        def backward(g: Any) -> tuple:
            *operands, found = saved.unpack()
            if mode.enabled:
                return tuple(recorded_gradients(saved, partial(_composed, p), operands, (g,)))
            g = g.contiguous()
            grads = [blank(t.spec) if need else None for t, need in zip(operands, needed, strict=True)]
            for grad, plan, (left, right) in zip(grads, (of_x, of_y), ((0, -1), (-1, 0)), strict=False):
                if grad is not None:
                    execute(plan, (g, found, operands[left], operands[right]), (grad,))
            return tuple(grads)
        attach(out, "Pdist" if y is None else "Cdist", operands, backward, saved)
        saved.add_output(out)
    return out


def _composed(p: float, x: Any, y: Any = None) -> Any:
    """:func:`distances` as Tensor operations."""
    if y is not None:
        return distance(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)
    own = x.spec
    left, right = (from_array(np.ascontiguousarray(rows), dtypes.int64, own.device)
                   for rows in np.triu_indices(own.shape[0], 1))
    if not left.spec.numel:
        return x.new_empty((0,)) + x.sum() * 0
    return distance(x.index_select(0, left) - x.index_select(0, right), p, 1)


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
    return distances(input, None, float(p))
