"""Names of ``torch`` itself that are old or private."""

from __future__ import annotations

from functools import partial
from typing import Any

from clgrad import contiguous_format, dtypes, mm
from clgrad.tensor import Tensor

legacy_contiguous_format = contiguous_format
spmm = mm  # of dense matrices


def _assert_async(input: Tensor, assert_msg: str | None = None) -> None:
    """Refuses a tensor of one element that is zero."""
    if not bool(input):
        raise RuntimeError(assert_msg or "Expected Tensor with single nonzero value, but got zero")


def _cast(dtype: Any, input: Tensor, non_blocking: bool = False) -> Tensor:
    return input.to(dtype, non_blocking=non_blocking)


_cast_Byte, _cast_Char, _cast_Double, _cast_Float, _cast_Half, _cast_Int, _cast_Long, _cast_Short = (
    partial(_cast, dtype) for dtype in (dtypes.uint8, dtypes.int8, dtypes.float64, dtypes.float32, dtypes.float16,
                                        dtypes.int32, dtypes.int64, dtypes.int16))
