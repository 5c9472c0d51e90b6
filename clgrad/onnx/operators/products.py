"""Matrix products, and products of quantised matrices."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.nn import functional as F
from clgrad.onnx.operators.table import implements, ops


@implements("MatMul")
def matmul(a: Any, b: Any) -> Any:
    """The product of matrices, of batches of them, or of vectors."""
    return ops.matmul(a, b)


@implements("Gemm")
def gemm(a: Any, b: Any, c: Any = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,
         broadcast: int = 1) -> Any:
    """``alpha * a @ b + beta * c``, each matrix transposed if asked for."""
    left = a.t() if transA else a
    if alpha == 1 and beta == 1 and transB and c is not None and c.dim() == 1 and c.shape[0] == b.shape[0]:
        return F.linear(left, b, c)
    product = ops.matmul(left, b.t() if transB else b)
    product = product if alpha == 1 else (product * alpha).to(a.dtype)
    if c is None:
        return product
    return product + (c if beta == 1 else (c * beta).to(a.dtype))


@implements("Einsum")
def einsum(*values: Any, equation: str) -> Any:
    """A sum of products in Einstein's notation."""
    return ops.einsum(equation, *values)


@implements("Det")
def det(x: Any) -> Any:
    """The determinants of matrices."""
    return ops.det(x)


def centred(x: Any, zero_point: Any, axis: int | None = None) -> Any:
    """Quantised values without their zero point, in int32."""
    values = x.to(dtypes.int32)
    if zero_point is None:
        return values
    zero = zero_point.to(dtypes.int32)
    if zero.dim() == 1 and axis is not None and zero.numel() > 1:
        zero = zero.reshape([-1 if at == axis % x.dim() else 1 for at in range(x.dim())])
    return values - zero


@implements("MatMulInteger")
def matmul_integer(a: Any, b: Any, a_zero_point: Any = None, b_zero_point: Any = None) -> Any:
    """The product of quantised matrices, in int32."""
    return ops.matmul(centred(a, a_zero_point, -2), centred(b, b_zero_point, -1))
