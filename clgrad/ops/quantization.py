"""Rounding to the steps of a quantised type, in floating point: what training for quantisation simulates.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference (2018).
The gradient passes where a value is in range (the straight-through estimator) and is zero elsewhere.
"""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import TensorBase, attach, needs_graph
from clgrad.ops.copying import cast
from clgrad.ops.registry import operator


def _quantized(name: str, x: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Any:
    kind = x.spec.dtype
    with no_grad():
        steps = x.to(kind.compute) * (1.0 / scale)
        # A zero point that is no integer is added before rounding, so that what results is one.
        fractional = isinstance(zero_point, TensorBase) and zero_point.spec.dtype.is_floating_point
        steps = (steps + zero_point).round() if fractional else steps.round() + zero_point
        kept = steps.ge(quant_min) & steps.le(quant_max)
        result = cast((steps.clamp(quant_min, quant_max) - zero_point) * scale, kind)
    if needs_graph(x):
        attach(result, name, (x,), lambda g: g * kept)
    return result


def _check(name: str, x: Any, zero_point: Any, quant_min: int, quant_max: int) -> None:
    if not x.spec.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(x.spec.dtype)}'")
    if quant_min > quant_max:
        raise RuntimeError(f"{name}(): `quant_min` should be less than or equal to `quant_max`, got {quant_min} and "
                           f"{quant_max}")
    smallest, largest = ((zero_point.min().item(), zero_point.max().item()) if isinstance(zero_point, TensorBase)
                         else (zero_point, zero_point))  # type: ignore[attr-defined]
    if smallest < quant_min or largest > quant_max:
        raise RuntimeError(f"{name}(): `zero_point` must be between `quant_min` and `quant_max`, got {smallest} to {largest} "
                           f"for {quant_min} to {quant_max}")


@operator("fake_quantize_per_tensor_affine", method=False)
def fake_quantize_per_tensor_affine(input: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Any:
    """``(clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale``.

    ``scale`` and ``zero_point`` are numbers or tensors of one element.
    """
    name = "fake_quantize_per_tensor_affine"
    step, zero = (t.item() if isinstance(t, TensorBase) else t for t in (scale, zero_point))  # type: ignore[attr-defined]
    _check(name, input, zero, quant_min, quant_max)
    return _quantized("FakeQuantizePerTensorAffineCachemask", input, step, zero, quant_min, quant_max)


@operator("fake_quantize_per_channel_affine", method=False)
def fake_quantize_per_channel_affine(input: Any, scale: Any, zero_point: Any, axis: int, quant_min: int,
                                     quant_max: int) -> Any:
    """:func:`fake_quantize_per_tensor_affine` with a scale and a zero point for each index of dimension ``axis``."""
    name, own = "fake_quantize_per_channel_affine", input.spec
    if zero_point.spec.dtype not in (dtypes.int32, dtypes.float32, dtypes.float16):
        raise RuntimeError(f"{name}(): Zero-point must be Int32, Float or Half, found "
                           f"{dtypes.type_name(zero_point.spec.dtype)}")
    if scale.spec.dtype not in (dtypes.float32, dtypes.bfloat16):
        raise RuntimeError(f"{name}(): Scale must be Float or BFloat16, found {dtypes.type_name(scale.spec.dtype)}")
    if not 0 <= axis < own.ndim:
        raise RuntimeError(f"{name}(): `axis` must be between 0 and number of dimensions of input, got {axis}")
    if scale.spec.shape != (own.shape[axis],) or zero_point.spec.shape != scale.spec.shape:
        raise RuntimeError(f"{name}(): dimensions of scale and zero-point are not consistent with input tensor: got "
                           f"{list(scale.spec.shape)} and {list(zero_point.spec.shape)} for dimension {axis} of "
                           f"{list(own.shape)}")
    _check(name, input, zero_point, quant_min, quant_max)
    shape = [-1 if d == axis else 1 for d in range(own.ndim)]
    return _quantized("FakeQuantizePerChannelAffineCachemask", input, scale.view(shape), zero_point.view(shape), quant_min,
                      quant_max)
