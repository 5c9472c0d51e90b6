"""Attention whose scores and mask are functions of positions (Dong et al. 2024, "Flex Attention").

A function sees the batch and the head as tensors of one number, the positions of queries as a column and those of keys as a
row, and returns what broadcasts to a score for each pair.

>>> import clgrad
>>> def causal(b, h, q_idx, kv_idx):
...     return q_idx >= kv_idx
>>> x = clgrad.ones(1, 1, 3, 2)
>>> flex_attention(x, x, x, block_mask=create_block_mask(causal, 1, 1, 3, 3)).shape
torch.Size([1, 1, 3, 2])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from clgrad import dtypes
from clgrad.creation import arange, ones, tensor
from clgrad.nn.attention.block_mask import BlockMask, ordered
from clgrad.ops.registry import FUNCTIONS

_DEFAULT_SPARSE_BLOCK_SIZE = 128

__all__ = ["AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention",
           "noop_mask", "or_masks"]


class AuxRequest(NamedTuple):
    """What :func:`flex_attention` returns besides: the logarithms of the softmax's denominators, the greatest scores."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What an :class:`AuxRequest` asked for; None for the rest."""

    lse: Any = None
    max_scores: Any = None


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Any:
    """The mask that lets everything through."""
    return batch.new_ones((), dtype=dtypes.bool)


def _combined(masks: tuple, start: bool, join: Callable) -> Callable:
    if not all(callable(mask) for mask in masks):
        raise RuntimeError(f"All inputs should be callable mask_mods: {masks}")

    def mask_mod(b: Any, h: Any, q_idx: Any, kv_idx: Any) -> Any:
        result = b.new_full((), start, dtype=dtypes.bool)
        for mask in masks:
            result = join(result, mask(b, h, q_idx, kv_idx))
        return result
    return mask_mod


def and_masks(*mask_mods: Callable) -> Callable:
    """The mask of what all masks let through."""
    return _combined(mask_mods, True, lambda a, b: a & b)


def or_masks(*mask_mods: Callable) -> Callable:
    """The mask of what any of the masks lets through."""
    return _combined(mask_mods, False, lambda a, b: a | b)


def _everywhere(function: Callable, batch: int, heads: int, queries: int, keys: int, device: Any, scores: Any = None) -> Any:
    """The values of a function of positions, (batch, heads, queries, keys)."""
    q, kv = arange(queries, device=device)[:, None], arange(keys, device=device)[None]
    values = []
    for b in range(batch):
        for h in range(heads):
            place = tensor(b, device=device), tensor(h, device=device)
            given = function(*place, q, kv) if scores is None else function(scores[b, h], *place, q, kv)
            values.append(given.expand(queries, keys))
    return FUNCTIONS["stack"](values).reshape(batch, heads, queries, keys)


def create_mask(mod_fn: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Any:
    """A function of positions as a tensor: (batch, heads, queries, keys).

    Args:
        mod_fn: ``f(b, h, q_idx, kv_idx)`` gives bool; ``f(score, b, h, q_idx, kv_idx)`` a score, which is asked with 0.
        B, H: how many there are; None is 1.
    """
    sizes = (1 if B is None else B), (1 if H is None else H), Q_LEN, KV_LEN
    code = getattr(mod_fn, "__code__", None)
    if code is not None and code.co_argcount == 5:
        return _everywhere(mod_fn, *sizes, device, ones(*sizes, device=device) * 0)
    return _everywhere(mod_fn, *sizes, device)


def create_block_mask(mask_mod: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None,
                      BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE, _compile: bool = False,
                      separate_full_blocks: bool = True, **details: Any) -> BlockMask:
    """Which blocks of queries and keys a mask leaves empty, fills, or cuts.

    Args:
        mask_mod: ``f(b, h, q_idx, kv_idx)``: whether the query sees the key.
        B, H: batches and heads where the mask differs between them; None where it does not.
        BLOCK_SIZE: queries and keys of a block.
        separate_full_blocks: list the blocks that are let through as a whole apart.
        _compile, details: accepted; nothing here depends on them.
    """
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else (BLOCK_SIZE[0], BLOCK_SIZE[1])
    dense = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    missing = [-length % block for length, block in zip((KV_LEN, Q_LEN), reversed(size), strict=True)]
    padded = FUNCTIONS["pad"](dense.to(dtypes.int32), [0, missing[0], 0, missing[1]])
    blocks = padded.unflatten(3, (-1, size[1])).unflatten(2, (-1, size[0])).sum(dim=(3, 5))
    full = (blocks == size[0] * size[1]) if separate_full_blocks else (blocks < 0)
    partial = (blocks > 0) & ~full
    counts, indices = ordered(partial)
    full_counts, full_indices = ordered(full) if separate_full_blocks else (None, None)
    return BlockMask.from_kv_blocks(counts, indices, full_counts, full_indices, size, mask_mod, (Q_LEN, KV_LEN))


def _check(query: Any, key: Any, value: Any, enable_gqa: bool) -> None:
    if query.dim() != 4 or key.dim() != 4 or value.dim() != 4:
        raise ValueError("NYI: query, key, and value must be 4D tensors")
    if not enable_gqa and query.shape[1] != key.shape[1]:
        raise ValueError(f"Expect query and key/value to have the same number of heads but got Hq={query.shape[1]} and "
                         f"Hkv={key.shape[1]}. Try setting enable_gqa=True for GQA.")
    if query.shape[1] % key.shape[1]:
        raise ValueError(f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={query.shape[1]} and "
                         f"Hkv={key.shape[1]}.")


def _visible(mask: BlockMask, batch: int, heads: int, queries: int, keys: int, device: Any) -> Any:
    """Which pairs a mask lets through, (batch or 1, heads or 1, queries, keys)."""
    if mask.seq_lengths[0] < queries or mask.seq_lengths[1] < keys:
        raise ValueError(f"block_mask was created for block_mask.shape={mask.shape} but got q_len={queries} and kv_len="
                         f"{keys}. As the block mask was created for a smaller length than you're using it for, you likely "
                         "need to create a new block mask.")
    if mask.shape[0] not in (1, batch) or mask.shape[1] not in (1, heads):
        raise ValueError(f"block_mask of shape {mask.shape} does not fit batch {batch} and {heads} heads")
    inside = _everywhere(mask.mask_mod, mask.shape[0], mask.shape[1], queries, keys, device)
    return mask.spread(mask.partial(), queries, keys) & inside | mask.spread(mask.full(), queries, keys)


def flex_attention(query: Any, key: Any, value: Any, score_mod: Callable | None = None, block_mask: BlockMask | None = None,
                   scale: float | None = None, enable_gqa: bool = False, return_lse: bool = False,
                   kernel_options: dict | None = None, *, return_aux: AuxRequest | None = None) -> Any:
    """Attention with scores changed by ``score_mod`` and masked by ``block_mask``.

    Args:
        query: (batch, heads, queries, width).
        key, value: (batch, heads, keys, width), with ``enable_gqa`` fewer heads that several of the queries' share.
        score_mod: ``f(score, b, h, q_idx, kv_idx)`` gives the score that the softmax sees.
        scale: of the scores. Default: 1 / sqrt(width).
        return_lse: return the logarithm of the softmax's denominator, (batch, heads, queries), too.
        kernel_options: accepted; there is nothing to choose.
        return_aux: return an :class:`AuxOutput` too.

    A query that sees nothing gives zeros.

    Raises:
        ValueError: shapes that do not go together.
    """
    _check(query, key, value, enable_gqa)
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    kind = query.dtype if query.dtype is dtypes.float64 else dtypes.float32
    scores = query.to(kind) @ key.to(kind).transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if score_mod is not None:
        scores = _everywhere(score_mod, batch, heads, queries, keys, query.device, scores)
    if block_mask is not None:
        seen = _visible(block_mask, batch, heads, queries, keys, query.device)
        scores = FUNCTIONS["where"](seen, scores, scores.new_full((), -math.inf))
    blind = (scores == -math.inf).all(-1, keepdim=True)
    weights = scores.masked_fill(blind, 0.0).softmax(-1).masked_fill(blind, 0.0)
    out = (weights @ value.to(kind)).to(query.dtype)
    if not return_lse and return_aux is None:
        return out
    lse = scores.logsumexp(-1)
    if return_lse:
        return out, lse
    assert return_aux is not None
    return out, AuxOutput(lse if return_aux.lse else None, scores.amax(-1) if return_aux.max_scores else None)
