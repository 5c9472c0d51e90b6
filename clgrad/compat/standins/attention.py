"""Helpers of ``torch.nn.functional`` that attention layers of programs' own are written with."""

from __future__ import annotations

import warnings
from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.multi_head import _check_ranks as _mha_shape_check
from clgrad.nn.multi_head import _project, float_mask

__all__ = ["_canonical_mask", "_in_projection", "_in_projection_packed", "_mha_shape_check", "_none_or_dtype"]


def _none_or_dtype(input: Any) -> Any:
    """The dtype of a tensor, None of None."""
    return None if input is None else input.dtype


def _canonical_mask(mask: Any, mask_name: str, other_type: Any, other_name: str, target_type: Any,
                    check_other: bool = True) -> Any:
    """A mask that is added to scores; a warning where another mask's dtype differs, as far as that is asked for."""
    if mask is not None and check_other and other_type is not None and other_type is not mask.dtype:
        warnings.warn(f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.",
                      stacklevel=3)
    return float_mask(mask, mask_name, target_type)


def _in_projection_packed(q: Any, k: Any, v: Any, w: Any, b: Any = None) -> list[Any]:
    """Queries, keys and values from weights stacked in that order."""
    return [piece for x, count in _project(q, k, v, w, (), b) for piece in x.chunk(count, -1)]


def _in_projection(q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, b_q: Any = None, b_k: Any = None,
                   b_v: Any = None) -> tuple[Any, Any, Any]:
    """Queries, keys and values from weights of their own."""
    return F.linear(q, w_q, b_q), F.linear(k, w_k, b_k), F.linear(v, w_v, b_v)
