"""Attention of several heads as a function (Vaswani et al. 2017)."""

from __future__ import annotations

import math
import warnings
from typing import Any

from clgrad import dtypes
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.splitting import heads_of


def float_mask(mask: Any, name: str, kind: Any, other: Any = None, other_name: str = "") -> Any:
    """A mask that is added to scores: a bool mask's true elements become -inf, which lets nothing through.

    Raises:
        AssertionError: the mask is neither bool nor of floating point.
    """
    if mask is None:
        return None
    floating = mask.dtype.is_floating_point
    if not floating and mask.dtype is not dtypes.bool:
        raise AssertionError(f"only bool and floating types of {name} are supported, got {mask.dtype}")
    if other is not None and other.dtype is not mask.dtype:
        warnings.warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
                      stacklevel=4)
    if floating:
        return mask
    return FUNCTIONS["where"](mask, mask.new_tensor(-math.inf, dtype=kind), mask.new_tensor(0.0, dtype=kind))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _check_ranks(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any, heads: int) -> bool:
    """Whether the inputs are batched; AssertionError where their numbers of dimensions do not go together."""
    rank = query.ndim
    _require(rank in (2, 3), f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor")
    word = f"For {'batched (3-D)' if rank == 3 else 'unbatched (2-D)'} `query`, expected "
    _require(key.ndim == rank and value.ndim == rank,
             f"{word}`key` and `value` to be {rank}-D but found {key.ndim}-D and {value.ndim}-D tensors respectively")
    if key_padding_mask is not None:
        _require(key_padding_mask.ndim == rank - 1, f"{word}`key_padding_mask` to be `None` or {rank - 1}-D but found "
                                                    f"{key_padding_mask.ndim}-D tensor instead")
    if attn_mask is not None:
        _require(attn_mask.ndim in (2, 3), f"{word}`attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.ndim}-D "
                                           "tensor instead")
        if rank == 2 and attn_mask.ndim == 3:
            expected = (heads, query.shape[0], key.shape[0])
            _require(tuple(attn_mask.shape) == expected,
                     f"Expected `attn_mask` shape to be {expected} but got {tuple(attn_mask.shape)}")
    return rank == 3


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    """The layer over (steps, batch, width) in the order that its input has in memory: no batch that comes first is copied."""
    turned = x.transpose(0, 1)
    linear = FUNCTIONS["linear"]
    if turned.spec.contiguous and not x.spec.contiguous:
        return linear(turned, weight, bias).transpose(0, 1)
    return linear(x, weight, bias)


def _project(query: Any, key: Any, value: Any, packed: Any, separate: tuple, bias: Any) -> list[tuple[Any, int]]:
    """Queries, keys and values of all heads, (steps, batch, width) each: those that are projected together side by side,
    with their number."""
    width = query.shape[-1]
    if packed is None:
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        return [(_linear(x, w, b), 1) for x, w, b in zip((query, key, value), separate, biases, strict=True)]
    if key is value and query is key:
        return [(_linear(query, packed, bias), 3)]
    first, rest = packed.split([width, 2 * width])
    bias_first, bias_rest = (None, None) if bias is None else bias.split([width, 2 * width])
    if key is value:
        return [(_linear(query, first, bias_first), 1), (_linear(key, rest, bias_rest), 2)]
    w_key, w_value = rest.chunk(2)
    b_key, b_value = (None, None) if bias_rest is None else bias_rest.chunk(2)
    return [(_linear(query, first, bias_first), 1), (_linear(key, w_key, b_key), 1), (_linear(value, w_value, b_value), 1)]


def _with_biases(projected: list[tuple[Any, int]], bias_k: Any, bias_v: Any) -> list[tuple[Any, int]]:
    """One more key and value for every sequence."""
    q, k, v = (piece for x, count in projected for piece in x.chunk(count, -1))
    k, v = (FUNCTIONS["cat"]([x, bias.expand(1, x.shape[1], x.shape[2])]) for x, bias in ((k, bias_k), (v, bias_v)))
    return [(q, 1), (k, 1), (v, 1)]


def _given_heads(static: Any, name: str, batch: int, heads: int, size: int) -> Any:
    """Keys or values of all heads, (batch * heads, keys, size), as (batch, heads, keys, size)."""
    _require(static.shape[0] == batch * heads, f"expecting {name}.size(0) of {batch * heads}, but got {static.shape[0]}")
    _require(static.shape[2] == size, f"expecting {name}.size(2) of {size}, but got {static.shape[2]}")
    return static.unflatten(0, (batch, heads))


def _wider(mask: Any) -> Any:
    """A mask with one more key, which everyone may see."""
    return None if mask is None else FUNCTIONS["cat"]([mask, mask.new_zeros((*mask.shape[:-1], 1))], -1)


def _check_mask(mask: Any, steps: int, keys: int, rows: int) -> Any:
    """The mask with three dimensions."""
    if mask.ndim == 2:
        if tuple(mask.shape) != (steps, keys):
            raise RuntimeError(f"The shape of the 2D attn_mask is {mask.shape}, but should be {(steps, keys)}.")
        return mask.unsqueeze(0)
    if tuple(mask.shape) != (rows, steps, keys):
        raise RuntimeError(f"The shape of the 3D attn_mask is {mask.shape}, but should be "
                           f"{(rows, steps, keys)}.")
    return mask


def _merged(attn_mask: Any, padding: Any, batch: int, heads: int, keys: int) -> Any:
    """Both masks as one, broadcast to (batch, heads, steps, keys)."""
    mask = None
    if attn_mask is not None:
        mask = attn_mask.unsqueeze(1) if len(attn_mask) == 1 else attn_mask.reshape(batch, heads, -1, keys)
    if padding is None:
        return mask
    for axis, size in enumerate((batch, keys)):
        _require(padding.shape[axis] == size,
                 f"Expected key_padded_mask.shape[{axis}] to be {size}, but got {padding.shape[axis]}")
    padding = padding.view(batch, 1, 1, keys)
    return padding if mask is None else mask + padding


def _with_weights(q: Any, k: Any, v: Any, mask: Any, dropout_p: float) -> tuple[Any, Any]:
    """Attention that also gives its weights, (batch * heads, steps, keys)."""
    scores = (q * math.sqrt(1.0 / q.shape[-1])).matmul(k.transpose(-2, -1))
    weights = FUNCTIONS["softmax"](scores if mask is None else scores + mask, -1)
    if dropout_p > 0.0:
        weights = FUNCTIONS["dropout"](weights, dropout_p, True)
    return weights.matmul(v), weights


def multi_head_attention_forward(
        query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any,
        in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Any,
        out_proj_bias: Any, training: bool = True, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, use_separate_proj_weight: bool = False, q_proj_weight: Any = None,
        k_proj_weight: Any = None, v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None,
        average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Any, Any]:
    """Projects queries, keys and values, attends in each head, and projects what comes out.

    Args:
        query: (steps, batch, width), or (steps, width).
        key, value: (keys, batch, their widths), or without the batch.
        in_proj_weight, in_proj_bias: the three projections on top of each other, (3 * width, width) and (3 * width);
            with ``use_separate_proj_weight`` the weights are ``q_proj_weight``, ``k_proj_weight``, ``v_proj_weight``.
        bias_k, bias_v: a key and a value, (1, 1, width), that are appended to those of every sequence, or None.
        add_zero_attn: append a key and a value of zeros.
        key_padding_mask: (batch, keys); true (or -inf) keys are not seen.
        attn_mask: (steps, keys) or (batch * heads, steps, keys); as above, for each pair.
        static_k, static_v: keys and values of all heads, (batch * heads, keys, head), that replace the projected ones.
        need_weights: whether the weights are returned too: the memory for them grows with steps * keys.
        average_attn_weights: return the mean over the heads.
        is_causal: a hint that ``attn_mask`` is the causal one.

    Returns:
        The result, of the query's shape, and the weights, (batch, steps, keys), (batch, heads, steps, keys) or None.

    Raises:
        AssertionError, RuntimeError: shapes that do not go together.
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same_key, same_value = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same_key else key.unsqueeze(1)
        value = key if same_value else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    steps, batch, width = query.shape
    key_padding_mask = float_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
                           "`generate_square_subsequent_mask` to create this mask.")
    hint = is_causal and key_padding_mask is None and not need_weights and bias_k is None and not add_zero_attn
    attn_mask = None if hint else float_mask(attn_mask, "attn_mask", query.dtype)
    _require(width == embed_dim_to_check, f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    size = width // num_heads
    _require(size * num_heads == width, f"embed_dim {width} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        _require(key.shape[:2] == value.shape[:2], f"key's sequence and batch dims {tuple(key.shape[:2])} do not match "
                                                   f"value's {tuple(value.shape[:2])}")
        separate = (q_proj_weight, k_proj_weight, v_proj_weight)
        for name, weight in zip("qkv", separate, strict=True):
            _require(weight is not None, f"use_separate_proj_weight is True but {name}_proj_weight is None")
        projected = _project(query, key, value, None, separate, in_proj_bias)
    else:
        _require(key.shape == value.shape, f"key shape {key.shape} does not match value shape {value.shape}")
        _require(in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
        projected = _project(query, key, value, in_proj_weight, (), in_proj_bias)
    if attn_mask is not None:
        attn_mask = _check_mask(attn_mask, steps, key.shape[0], batch * num_heads)
    _require((bias_k is None) == (bias_v is None), "bias_k and bias_v must be set together")
    if bias_k is not None:
        _require(static_k is None, "bias cannot be added to static key.")
        _require(static_v is None, "bias cannot be added to static value.")
        projected = _with_biases(projected, bias_k, bias_v)
        attn_mask, key_padding_mask = _wider(attn_mask), _wider(key_padding_mask)
    q, k, v = (part for x, count in projected for part in heads_of(x, count, num_heads))
    k = k if static_k is None else _given_heads(static_k, "static_k", batch, num_heads, size)
    v = v if static_v is None else _given_heads(static_v, "static_v", batch, num_heads, size)
    if add_zero_attn:
        k, v = (FUNCTIONS["cat"]([x, x.new_zeros((batch, num_heads, 1, size))], 2) for x in (k, v))
        attn_mask, key_padding_mask = _wider(attn_mask), _wider(key_padding_mask)
    keys = k.shape[2]
    mask = _merged(attn_mask, key_padding_mask, batch, num_heads, keys)
    dropout_p = dropout_p if training else 0.0
    if need_weights:
        found, weights = _with_weights(q, k, v, mask, dropout_p)
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        found = FUNCTIONS["scaled_dot_product_attention"](q, k, v, mask, dropout_p, hint)
        weights = None
    found = found.permute(2, 0, 1, 3).flatten(2)
    result = _linear(found.contiguous() if query.spec.contiguous else found, out_proj_weight, out_proj_bias)
    return result if batched else result.squeeze(1), weights
