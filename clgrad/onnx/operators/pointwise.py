"""Operators that act on each element: arithmetic, comparison, logic, activations, casts."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

from clgrad import dtypes
from clgrad.nn import functional as F
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.table import axis_of, implements, number, ops
from clgrad.onnx.protobuf import dtype_of

_UNARY = {
    "Abs": ops.abs, "Neg": ops.neg, "Exp": ops.exp, "Log": ops.log, "Sqrt": ops.sqrt, "Reciprocal": ops.reciprocal,
    "Ceil": ops.ceil, "Floor": ops.floor, "Round": ops.round, "Sign": ops.sign, "Erf": ops.erf, "Sin": ops.sin,
    "Cos": ops.cos, "Tan": ops.tan, "Asin": ops.asin, "Acos": ops.acos, "Atan": ops.atan, "Sinh": ops.sinh,
    "Cosh": ops.cosh, "Tanh": ops.tanh, "Asinh": ops.asinh, "Acosh": ops.acosh, "Atanh": ops.atanh, "Relu": ops.relu,
    "Sigmoid": ops.sigmoid, "Softsign": F.softsign, "Mish": F.mish, "HardSwish": F.hardswish, "IsNaN": ops.isnan,
    "Not": ops.logical_not, "BitwiseNot": ops.bitwise_not,
}
_BINARY = {
    "Add": ops.add, "Sub": ops.sub, "Mul": ops.mul, "And": ops.logical_and, "Or": ops.logical_or,
    "Xor": ops.logical_xor, "BitwiseAnd": ops.bitwise_and, "BitwiseOr": ops.bitwise_or, "BitwiseXor": ops.bitwise_xor,
    "Equal": ops.eq, "Greater": ops.gt, "GreaterOrEqual": ops.ge, "Less": ops.lt, "LessOrEqual": ops.le,
}


def _enter_unary(name: str, function: Any) -> None:
    @implements(name)
    def apply(x: Any) -> Any:
        return function(x)


def _enter_binary(name: str, function: Any) -> None:
    @implements(name, since=7)
    def apply(a: Any, b: Any) -> Any:
        return function(a, b)

    _enter_early(name, function)


def _enter_early(name: str, function: Any) -> None:
    """The form before operator set 7, in which ``axis`` says where the second operand's axes lie in the first."""
    @implements(name)
    def apply(a: Any, b: Any, *, broadcast: int = 0, axis: int | None = None) -> Any:
        if broadcast and axis is not None:
            b = b.reshape([*b.shape, *([1] * (a.dim() - axis_of(axis, a.dim()) - b.dim()))])
        return function(a, b)


for _name, _function in _UNARY.items():
    _enter_unary(_name, _function)
for _name, _function in _BINARY.items():
    _enter_binary(_name, _function)


@implements("Div", since=7)
def div(a: Any, b: Any) -> Any:
    """Division; of integers the quotient without its fraction."""
    return ops.div(a, b) if a.is_floating_point() else ops.div(a, b, rounding_mode="trunc")


@implements("Mod")
def mod(a: Any, b: Any, *, fmod: int = 0) -> Any:
    """The remainder with the divisor's sign, or with the dividend's (``fmod=1``)."""
    return ops.fmod(a, b) if fmod else ops.remainder(a, b)


@implements("Pow", since=7)
def power(base: Any, exponent: Any) -> Any:
    """``base`` to the power of ``exponent``, in the base's dtype."""
    if base.is_floating_point():
        return ops.pow(base, exponent.to(base.dtype))
    if exponent.is_floating_point():
        return ops.pow(base.to(exponent.dtype), exponent).to(base.dtype)
    return ops.pow(base, exponent).to(base.dtype)


_enter_early("Div", div)
_enter_early("Pow", power)


@implements("BitShift")
def bit_shift(x: Any, by: Any, *, direction: str) -> Any:
    """Bits moved to the left or to the right."""
    return ops.bitwise_left_shift(x, by) if direction == "LEFT" else ops.bitwise_right_shift(x, by)


@implements("Max")
def maximum(*values: Any) -> Any:
    """The largest of the operands, element by element."""
    return reduce(ops.maximum, values)


@implements("Min")
def minimum(*values: Any) -> Any:
    """The smallest of the operands, element by element."""
    return reduce(ops.minimum, values)


@implements("Sum")
def total(*values: Any) -> Any:
    """The sum of the operands."""
    return reduce(ops.add, values)


@implements("Mean")
def mean(*values: Any) -> Any:
    """The mean of the operands."""
    return reduce(ops.add, values) / len(values)


@implements("Where")
def where(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition holds, else ``b``."""
    return ops.where(condition, a, b)


@implements("Clip")
def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """Values limited to an interval; where its ends cross, its upper one."""
    if min is not None:
        x = ops.clamp(x, min=min)
    return x if max is None else ops.clamp(x, max=max)


@implements("IsInf")
def is_inf(x: Any, *, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    """Which values are infinite, of the signs asked for."""
    found = ops.isinf(x)
    if not detect_negative:
        found = found & (x > 0)
    return found if detect_positive else found & (x < 0)


@implements("Identity")
def identity(x: Any) -> Any:
    """The value itself."""
    return x


# Activations.

@implements("LeakyRelu")
def leaky_relu(x: Any, *, alpha: float = 0.01) -> Any:
    """``x``, below zero ``alpha * x``."""
    return F.leaky_relu(x, alpha)


@implements("PRelu", since=7)
def prelu(x: Any, slope: Any) -> Any:
    """``x``, below zero ``slope * x``; the slopes are broadcast to ``x``."""
    return ops.where(x < 0, x * slope, x)


@implements("PRelu")
def prelu_of_channels(x: Any, slope: Any) -> Any:
    """``x``, below zero ``slope * x``, with a slope for each channel."""
    return prelu(x, slope if slope.numel() == 1 or x.dim() < 3 else slope.reshape([-1] + [1] * (x.dim() - 2)))


@implements("Elu")
def elu(x: Any, *, alpha: float = 1.0) -> Any:
    """``x``, below zero ``alpha * (exp(x) - 1)``."""
    return F.elu(x, alpha)


@implements("Celu")
def celu(x: Any, *, alpha: float = 1.0) -> Any:
    """``x``, below zero ``alpha * (exp(x / alpha) - 1)``."""
    return F.celu(x, alpha)


@implements("Selu")
def selu(x: Any, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Any:
    """``gamma * x``, below zero ``gamma * alpha * (exp(x) - 1)``."""
    return gamma * F.elu(x, alpha)


@implements("HardSigmoid")
def hard_sigmoid(x: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    """``alpha * x + beta`` between 0 and 1."""
    return ops.clamp(alpha * x + beta, 0, 1)


@implements("Softplus")
def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``, without overflow."""
    return ops.clamp(x, min=0) + ops.log1p(ops.exp(-ops.abs(x)))


@implements("ThresholdedRelu")
def thresholded_relu(x: Any, *, alpha: float = 1.0) -> Any:
    """``x`` above ``alpha``, else 0."""
    return F.threshold(x, alpha, 0)


@implements("Shrink")
def shrink(x: Any, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    """Values nearer to zero than ``lambd`` are zero, others come nearer by ``bias``."""
    return ops.where(x < -lambd, (x + bias).to(x.dtype), ops.where(x > lambd, (x - bias).to(x.dtype), ops.zeros_like(x)))


@implements("Gelu")
def gelu(x: Any, *, approximate: str = "none") -> Any:
    """The Gaussian error linear unit."""
    return F.gelu(x, approximate=approximate)


@implements("Swish")
def swish(x: Any, *, alpha: float = 1.0) -> Any:
    """``x * sigmoid(alpha * x)``."""
    return x * ops.sigmoid(alpha * x)


# Dtypes.

@implements("Cast")
def cast(x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    """The values in another dtype."""
    return x.to(dtype_of(to))


@implements("CastLike")
def cast_like(x: Any, like: Any, *, saturate: int = 1, round_mode: str = "up") -> Any:
    """The values in another tensor's dtype."""
    return x.to(like.dtype)


@implements("BitCast")
def bit_cast(x: Any, *, to: int) -> Any:
    """The same bits read as another dtype of the same size."""
    kind = dtype_of(to)
    if kind.itemsize != x.dtype.itemsize:
        raise OnnxError(f"BitCast from {x.dtype} to {kind}: their sizes differ")
    if dtypes.bool in (kind, x.dtype):
        return x.to(kind)
    return x.view(kind)


@implements("Dropout")
def dropout(x: Any, ratio: Any = 0.5, training_mode: Any = None, *, seed: int | None = None, outputs: int = 1) -> Any:
    """The values as they are, unless the node says that it is training; and which of them were kept."""
    share = 0.5 if ratio is None else number(ratio)
    if training_mode is None or not number(training_mode) or math.isclose(share, 0):
        return x if outputs == 1 else (x, ops.ones_like(x, dtype=dtypes.bool))
    kept = ops.rand_like(x) >= share
    return (x * kept / (1 - share), kept)[:outputs] if outputs > 1 else x * kept / (1 - share)
