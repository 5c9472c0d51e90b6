"""Names of ``torch`` itself that are old or private."""

from __future__ import annotations

from functools import partial
from typing import Any

from clgrad import add, aminmax, contiguous_format, dtypes, relu, softmax
from clgrad.tensor import Tensor

legacy_contiguous_format = contiguous_format


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """Refuses a tensor of one element that is zero."""
    if not bool(input):
        raise RuntimeError(assert_msg or "Expected Tensor with single nonzero value, but got zero")


def _add_relu(input: Tensor, other: Tensor, *, alpha: float = 1) -> Tensor:
    """``relu(input + alpha * other)``."""
    return relu(add(input, other, alpha=alpha))


def _aminmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> tuple:
    """The smallest and the largest element, of everything or along ``dim``."""
    return tuple(aminmax(input, dim=dim, keepdim=keepdim))


def _masked_softmax(input: Tensor, mask: Tensor, dim: int | None = None, mask_type: int | None = None) -> Tensor:
    """The softmax of scores of attention without those where ``mask`` holds; NaN where it holds everywhere.

    Args:
        input: (batch, heads, queries, keys), or of any shape where ``mask_type`` is 2.
        dim: the last one where it is not given.
        mask_type: 0 for a mask (queries, keys), 1 for one of padding (batch, keys), 2 for one of the input's shape.
    """
    if mask.dtype is not dtypes.bool:
        raise RuntimeError("Mask should be a boolean tensor")
    if mask_type not in (0, 1, 2):
        raise RuntimeError("Mask Type should be 0 (src_mask) or 1 (src_key_padding_mask), or 2 (default_mask)")
    if mask_type == 2 and mask.shape != input.shape:
        raise RuntimeError("For mask_type == 2 mask shape should match input shape")
    if mask_type == 1 and mask.dim() == 2 and input.dim() == 4:
        mask = mask[:, None, None, :]
    return softmax(input.masked_fill(mask, float("-inf")), -1 if dim is None else dim)


def _cast(dtype: Any, input: Tensor, non_blocking: bool = False) -> Tensor:
    return input.to(dtype, non_blocking=non_blocking)


_cast_Byte, _cast_Char, _cast_Double, _cast_Float, _cast_Half, _cast_Int, _cast_Long, _cast_Short = (
    partial(_cast, dtype) for dtype in (dtypes.uint8, dtypes.int8, dtypes.float64, dtypes.float32, dtypes.float16,
                                        dtypes.int32, dtypes.int64, dtypes.int16))
