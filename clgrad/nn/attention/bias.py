"""Causal masks of attention, which may be aligned at either corner where queries and keys differ in number."""

from __future__ import annotations

import enum
import warnings
from typing import Any

from clgrad import dtypes
from clgrad.creation import ones
from clgrad.nn.parameter import tensor_over
from clgrad.ops.interception import disabled_torch_function
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(enum.IntEnum):
    """At which corner the diagonal ends: the first query sees the first key, or the last query the last key."""

    UPPER_LEFT = 1
    LOWER_RIGHT = 2


class CausalBias(Tensor):
    """The mask (queries, keys) of bool that hides what comes later; an ``attn_mask`` like any other.

    Args:
        variant: which corner.
        seq_len_q, seq_len_kv: how many queries and keys there are.

    >>> import clgrad
    >>> clgrad.nn.attention.bias.causal_lower_right(2, 3)
    tensor([[ True,  True, False],
            [ True,  True,  True]])
    """

    variant: CausalVariant
    seq_len_q: int
    seq_len_kv: int
    __torch_function__ = staticmethod(disabled_torch_function)  # type: ignore[assignment]

    def __new__(cls, variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> Any:
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"CausalBias: variant must be a CausalVariant, got {variant!r}")
        lower = variant is CausalVariant.LOWER_RIGHT
        if lower and seq_len_q > seq_len_kv:
            warnings.warn("Lower right causal bias: queries before the first key see nothing when seq_len_q > seq_len_kv",
                          stacklevel=3)
        seen = FUNCTIONS["tril"](ones(seq_len_q, seq_len_kv, dtype=dtypes.bool),
                                 seq_len_kv - seq_len_q if lower else 0)
        made = tensor_over(cls, seen)
        made.variant, made.seq_len_q, made.seq_len_kv = variant, seq_len_q, seq_len_kv
        return made

    def __repr__(self) -> str:
        return repr(self.as_subclass(Tensor))


def _of(variant: CausalVariant, size: tuple) -> CausalBias:
    if len(size) != 2:
        raise AssertionError(f"causal_{variant.name.lower()} only supports 2D tensors")
    return CausalBias(variant, *size)


def causal_upper_left(*size: int) -> CausalBias:
    """The mask of as many queries and keys as ``size`` says in which query i sees the keys 0 .. i."""
    return _of(CausalVariant.UPPER_LEFT, size)


def causal_lower_right(*size: int) -> CausalBias:
    """The mask of as many queries and keys as ``size`` says in which the last query sees all keys."""
    return _of(CausalVariant.LOWER_RIGHT, size)
