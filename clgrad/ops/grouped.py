"""Products of groups of rows, each with a matrix of its own, as mixtures of experts compute them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from clgrad import dtypes
from clgrad.ops.joining import cat, stack
from clgrad.ops.linalg import matmul
from clgrad.ops.registry import operator

_KINDS = (dtypes.float32, dtypes.bfloat16, dtypes.float16)


@operator("_grouped_mm", method=False)
def grouped_mm(input: Any, mat2: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
    """See :func:`nn.functional.grouped_mm`. The lengths of groups have to be known, so that this waits for ``offs``."""
    _check(input, mat2, offs, bias, out_dtype)
    if offs is None:
        return matmul(input, mat2)
    spans = list(pairwise([0, *offs.tolist()]))
    if input.spec.ndim == 2 and mat2.spec.ndim == 2:
        return stack([matmul(input[:, start:end], mat2[start:end]) for start, end in spans])
    if mat2.spec.ndim == 2:
        parts = [matmul(matrix, mat2[:, start:end]) for matrix, (start, end) in zip(input.unbind(0), spans, strict=True)]
        rest = input.new_zeros((input.spec.shape[1], mat2.spec.shape[1] - spans[-1][1]))
        return cat([*parts, rest], 1)
    parts = [matmul(input[start:end], matrix) for matrix, (start, end) in zip(mat2.unbind(0), spans, strict=True)]
    return cat([*parts, input.new_zeros((input.spec.shape[0] - spans[-1][1], mat2.spec.shape[2]))], 0)


def _check(a: Any, b: Any, offs: Any, bias: Any, out_dtype: Any) -> None:
    """RuntimeError for operands that do not fit each other."""
    for name, x in (("mat_a", a), ("mat_b", b)):
        if x.spec.dtype not in _KINDS:
            raise RuntimeError(f"Expected {name} to be Float32, BFloat16 or Float16 matrix, got "
                               f"{dtypes.type_name(x.spec.dtype)}")
        if x.spec.ndim not in (2, 3):
            raise RuntimeError(f"{name} has to be 2 or 3d")
    if a.spec.shape[-1] != b.spec.shape[-2]:
        raise RuntimeError("contraction dimension of mat_a and mat_b must match")
    groups = {x.spec.shape[0] for x in (a, b) if x.spec.ndim == 3}
    if (offs is None) is not (a.spec.ndim == b.spec.ndim == 3):
        raise RuntimeError("Have to provide offsets if there is a 2d matrix, or no offset if both matrices are 3d")
    if offs is not None:
        if offs.spec.ndim != 1:
            raise RuntimeError("offs has to be 1D")
        if offs.spec.dtype is not dtypes.int32:
            raise RuntimeError("Offsets have to be int32")
        groups.add(offs.spec.shape[0])
    if len(groups) > 1:
        raise RuntimeError(f"{'batched dimension has' if offs is None else 'matrix batch sizes have'} to match")
    if bias is not None:
        raise RuntimeError("Bias not supported yet")
    if out_dtype not in (None, a.spec.dtype):
        raise RuntimeError("Grouped gemm output dtype must match `mat_a` dtype")
