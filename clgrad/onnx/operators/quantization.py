"""Quantised tensors: real values written as small integers, with a scale and a zero point."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.convolution import conv
from clgrad.onnx.operators.products import centred
from clgrad.onnx.operators.table import axis_of, implements, ops
from clgrad.onnx.protobuf import dtype_of


def _along(value: Any, x: Any, axis: int, block_size: int) -> Any:
    """Scales or zero points laid beside the values: one for all, for each slice along the axis, or for each block."""
    if value.numel() == 1 and value.dim() < 2 and x.dim() != value.dim():
        return value.reshape(())
    at = axis_of(axis, x.dim())
    if block_size:
        return ops.repeat_interleave(value, block_size, at).narrow(at, 0, x.shape[at])
    return value.reshape([-1 if place == at else 1 for place in range(x.dim())])


@implements("QuantizeLinear")
def quantize_linear(x: Any, scale: Any, zero_point: Any = None, *, axis: int = 1, block_size: int = 0,
                    output_dtype: int = 0, saturate: int = 1, precision: int = 0) -> Any:
    """``x / scale`` rounded to even, plus the zero point, kept within the integers' range."""
    kind = zero_point.dtype if zero_point is not None else dtype_of(output_dtype) if output_dtype else dtypes.uint8
    if kind.is_floating_point:
        raise OnnxError(f"quantised values are integers here, not {kind}")
    values = ops.round(x.to(dtypes.float32) / _along(scale.to(dtypes.float32), x, axis, block_size))
    if zero_point is not None:
        values = values + _along(zero_point.to(dtypes.float32), x, axis, block_size)
    return _saturated(values, kind)


def _saturated(values: Any, kind: Any) -> Any:
    limits = np.iinfo(kind.numpy)
    return ops.clamp(values, limits.min, limits.max).to(kind)


@implements("DequantizeLinear")
def dequantize_linear(x: Any, scale: Any, zero_point: Any = None, *, axis: int = 1, block_size: int = 0,
                      output_dtype: int = 0) -> Any:
    """``(x - zero_point) * scale``."""
    kind = dtype_of(output_dtype) if output_dtype else scale.dtype
    values = x.to(dtypes.int32)
    if zero_point is not None:
        values = values - _along(zero_point.to(dtypes.int32), x, axis, block_size)
    return (values.to(dtypes.float32) * _along(scale, x, axis, block_size).to(dtypes.float32)).to(kind)


@implements("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: Any) -> tuple:
    """Values as uint8 with the scale and zero point that their range asks for."""
    low, high = ops.clamp(ops.amin(x), max=0), ops.clamp(ops.amax(x), min=0)
    scale = (high - low) / 255
    zero = ops.clamp(ops.round(-low / scale), 0, 255)
    return ops.clamp(ops.round(x / scale) + zero, 0, 255).to(dtypes.uint8), scale, zero.to(dtypes.uint8)


@implements("QLinearMatMul")
def quantized_matmul(a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any,
                     y_zero: Any) -> Any:
    """The product of quantised matrices, quantised."""
    exact = ops.matmul(centred(a, a_zero, -2), centred(b, b_zero, -1)).to(dtypes.float32)
    rows = a_scale.to(dtypes.float32).unsqueeze(-1) if a_scale.dim() and a_scale.numel() > 1 else a_scale.reshape(())
    real = exact * (rows.to(dtypes.float32) * b_scale.to(dtypes.float32))
    return _saturated(ops.round(real / y_scale.to(dtypes.float32)) + y_zero.to(dtypes.float32), y_zero.dtype)


@implements("QLinearConv")
def quantized_conv(x: Any, x_scale: Any, x_zero: Any, w: Any, w_scale: Any, w_zero: Any, y_scale: Any, y_zero: Any,
                   bias: Any = None, **settings: Any) -> Any:
    """A convolution of quantised values, quantised; the sums are exact."""
    kind = dtypes.float64
    real = conv(centred(x, x_zero).to(kind), centred(w, w_zero, 0).to(kind), None if bias is None else bias.to(kind),
                **settings)
    scale = (x_scale * w_scale / y_scale).to(kind)
    scale = scale.reshape([1, -1] + [1] * (x.dim() - 2)) if scale.numel() > 1 else scale.reshape(())
    return _saturated(ops.round(real * scale) + y_zero.to(kind), y_zero.dtype)
