"""Attention: the softmax of scaled products of queries and keys, times values (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from typing import Any

from clgrad import dtypes
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import broadcast_shapes


def _check(query: Any, key: Any, value: Any, attn_mask: Any, dropout_p: float, is_causal: bool,
           enable_gqa: bool) -> None:
    q, k, v = query.layout, key.layout, value.layout
    name = "scaled_dot_product_attention"
    if q.dtype is not k.dtype or q.dtype is not v.dtype:
        raise RuntimeError(f"{name}: Expected query, key, and value to have the same dtype, but got query.dtype: "
                           f"{q.dtype.name} key.dtype: {k.dtype.name} and value.dtype: {v.dtype.name} instead.")
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError(f"{name}: Expected query, key, and value to all be at least 2 dimensional, but got query.dim: "
                           f"{q.ndim} key.dim: {k.ndim} and value.dim: {v.ndim} instead.")
    if not q.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected operands of floating point, got {q.dtype.name}")
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if attn_mask is not None:
        if is_causal:
            raise RuntimeError(f"_{name}: Explicit attn_mask should not be set when is_causal=True")
        kind = attn_mask.layout.dtype
        if kind not in (dtypes.bool, q.dtype, dtypes.float32):
            raise RuntimeError(f"{name}: Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                               f"attn_mask.dtype: {kind.name} and query.dtype: {q.dtype.name} instead.")
    if q.shape[-1] != k.shape[-1]:
        raise RuntimeError(f"{name}: query and key must have the same last size, got {q.shape[-1]} and {k.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise RuntimeError(f"{name}: key and value must have the same length, got {k.shape[-2]} and {v.shape[-2]}")
    if enable_gqa and min(q.ndim, k.ndim, v.ndim) > 2 and (
            k.shape[-3] == 0 or q.shape[-3] % k.shape[-3] or k.shape[-3] != v.shape[-3]):
        raise RuntimeError(f"{name}: with enable_gqa the number of heads in query must be a multiple of those of key and "
                           f"value, got {q.shape[-3]}, {k.shape[-3]} and {v.shape[-3]}")


def _repeated(x: Any, heads: int) -> Any:
    """Each head of keys or values for the group of queries' heads that share it."""
    own = x.layout.shape
    if own[-3] == heads:
        return x
    wide = x.unsqueeze(-3).expand(*own[:-2], heads // own[-3], *own[-2:])
    return wide.reshape(*own[:-3], heads, *own[-2:])


def composed(query: Any, key: Any, value: Any, mask: Any, dropout_p: float, is_causal: bool, scale: float) -> Any:
    """Attention made of other operators; it holds all scores at once. A query that sees no key gives zeros."""
    root = math.sqrt(abs(scale))
    scores = (query * root).matmul((key * math.copysign(root, scale)).transpose(-2, -1))
    where = FUNCTIONS["where"]
    if is_causal:
        steps, keys = scores.layout.shape[-2:]
        places = [FUNCTIONS["arange"](n, device=scores.device) for n in (keys, steps)]
        mask = places[0] <= places[1].unsqueeze(1)
    if mask is None:
        weights = scores.softmax(-1)
    else:
        if mask.layout.dtype is dtypes.bool:
            scores = where(mask, scores, -math.inf)
        else:
            scores = (scores + mask).to(query.dtype)
        blind = scores.detach().amax(-1, keepdim=True).eq(-math.inf)
        weights = where(blind, 0.0, where(blind, 0.0, scores).softmax(-1))
    if dropout_p:
        weights = FUNCTIONS["dropout"](weights, dropout_p, True)
    return weights.matmul(value)


@operator("scaled_dot_product_attention", method=False)
def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Any:
    """softmax(query @ key.T * scale + mask) @ value, in each of the dimensions before the last two.

    Args:
        query: (..., steps, size).
        key: (..., keys, size).
        value: (..., keys, size of the result).
        attn_mask: broadcast to (..., steps, keys): bool, true where a query sees a key, or numbers that are added to the
            scores.
        dropout_p: the probability with which weights are zeroed.
        is_causal: query i sees the keys 0 .. i.
        scale: default 1 / sqrt(size).
        enable_gqa: keys and values may have fewer heads (dimension -3) than queries: groups of queries' heads share
            them.

    Returns:
        (..., steps, size of the result).

    Raises:
        RuntimeError: dtypes or shapes that do not go together; ``attn_mask`` together with ``is_causal``.

    >>> import clgrad
    >>> q = clgrad.ones(1, 2, 4)
    >>> clgrad.nn.functional.scaled_dot_product_attention(q, q, clgrad.arange(8.).view(1, 2, 4), is_causal=True)
    tensor([[[0., 1., 2., 3.],
             [2., 3., 4., 5.]]])
    """
    _check(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa)
    size = query.layout.shape[-1]
    scale = 1.0 / math.sqrt(size) if scale is None and size else scale or 0.0
    if enable_gqa and query.layout.ndim > 2:
        key, value = (_repeated(x, query.layout.shape[-3]) for x in (key, value))
    broadcast_shapes(query.layout.shape[:-2], key.layout.shape[:-2], value.layout.shape[:-2])
    return composed(query, key, value, attn_mask, dropout_p, is_causal, scale)
