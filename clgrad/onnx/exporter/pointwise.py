"""How operators on single elements are written: arithmetic, comparison, activations, dtypes."""

from __future__ import annotations

import math
from typing import Any

from clgrad import dtypes
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.sizes import Value
from clgrad.onnx.exporter.table import TRANSLATIONS, as_dtype, common, translates

_UNARY = {
    "relu": "Relu", "abs": "Abs", "absolute": "Abs", "neg": "Neg", "negative": "Neg", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "reciprocal": "Reciprocal", "ceil": "Ceil", "floor": "Floor", "sign": "Sign", "erf": "Erf",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh",
    "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "sigmoid": "Sigmoid",
    "softsign": "Softsign",
}
_LINEAR = 20  # from here on Softplus is its argument in float32, and a threshold makes no difference
_LOGARITHMS = {"log2": math.log(2), "log10": math.log(10)}
_COMPARISONS = {"eq": "Equal", "gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual", "le": "LessOrEqual"}
_LOGIC = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}
_BITS = {"bitwise_and": ("BitwiseAnd", "And"), "bitwise_or": ("BitwiseOr", "Or"), "bitwise_xor": ("BitwiseXor", "Xor")}


def _enter_unary(name: str, kind: str) -> None:
    @translates(name)
    def unary(g: Builder, input: Any, inplace: bool = False) -> str:
        return g.op(kind, as_dtype(g, input, g.result.dtype))


def _enter_comparison(name: str, kind: str) -> None:
    @translates(name)
    def comparison(g: Builder, input: Any, other: Any) -> str:
        dtype = common(input, other)
        return g.op(kind, as_dtype(g, input, dtype), as_dtype(g, other, dtype))


def _enter_logic(name: str, kind: str) -> None:
    @translates(name)
    def logic(g: Builder, input: Any, other: Any) -> str:
        return g.op(kind, as_dtype(g, input, dtypes.bool), as_dtype(g, other, dtypes.bool))


def _enter_bits(name: str, kind: str, of_bools: str) -> None:
    @translates(name)
    def bits(g: Builder, input: Any, other: Any) -> str:
        dtype = g.result.dtype
        return g.op(of_bools if dtype is dtypes.bool else kind, as_dtype(g, input, dtype), as_dtype(g, other, dtype))


for _name, _kind in _UNARY.items():
    _enter_unary(_name, _kind)
for _name, _kind in _COMPARISONS.items():
    _enter_comparison(_name, _kind)
for _name, _kind in _LOGIC.items():
    _enter_logic(_name, _kind)
for _name, (_kind, _other) in _BITS.items():
    _enter_bits(_name, _kind, _other)


@translates("ne", "not_equal")
def ne(g: Builder, input: Any, other: Any) -> str:
    """Not equal."""
    return g.op("Not", TRANSLATIONS["eq"](g, input, other))


@translates("logical_not", "bitwise_not")
def logical_not(g: Builder, input: Value) -> str:
    """The opposite truth; of integers, for ``bitwise_not``, the opposite bits."""
    if input.dtype is dtypes.bool or g.result.dtype is dtypes.bool:
        return g.op("Not", as_dtype(g, input, dtypes.bool))
    return g.op("BitwiseNot", input)


# Arithmetic.

def _arithmetic(g: Builder, kind: str, a: Any, b: Any) -> str:
    dtype = g.result.dtype
    return g.op(kind, as_dtype(g, a, dtype), as_dtype(g, b, dtype))


def _scaled(g: Builder, x: Any, alpha: Any) -> Any:
    if alpha == 1:
        return x
    return _arithmetic(g, "Mul", x, alpha)


@translates("add", "__add__", "__radd__")
def add(g: Builder, input: Any, other: Any, *, alpha: Any = 1) -> str:
    """A sum."""
    if g.result.dtype is dtypes.bool:
        return TRANSLATIONS["logical_or"](g, input, other)
    return _arithmetic(g, "Add", input, _scaled(g, other, alpha))


@translates("sub", "subtract")
def sub(g: Builder, input: Any, other: Any, *, alpha: Any = 1) -> str:
    """A difference."""
    return _arithmetic(g, "Sub", input, _scaled(g, other, alpha))


@translates("rsub")
def rsub(g: Builder, input: Any, other: Any, *, alpha: Any = 1) -> str:
    """A difference the other way round."""
    return _arithmetic(g, "Sub", other, _scaled(g, input, alpha))


@translates("mul", "multiply")
def mul(g: Builder, input: Any, other: Any) -> str:
    """A product."""
    if g.result.dtype is dtypes.bool:
        return TRANSLATIONS["logical_and"](g, input, other)
    return _arithmetic(g, "Mul", input, other)


@translates("div", "divide", "true_divide")
def div(g: Builder, input: Any, other: Any, *, rounding_mode: str | None = None) -> str:
    """A quotient, rounded towards zero or downwards if asked for."""
    if rounding_mode is None:
        return _arithmetic(g, "Div", input, other)
    dtype = g.result.dtype
    if not dtype.is_floating_point:
        real = g.op("Div", as_dtype(g, input, dtypes.float64), as_dtype(g, other, dtypes.float64))
        real = g.op("Floor", real) if rounding_mode == "floor" else real
        return g.cast(real, dtype)
    whole = _arithmetic(g, "Div", input, other)
    return g.op("Floor", whole) if rounding_mode == "floor" else _truncated(g, whole)


def _truncated(g: Builder, x: Any) -> str:
    return g.op("Mul", g.op("Sign", x), g.op("Floor", g.op("Abs", x)))


@translates("floor_divide")
def floor_divide(g: Builder, input: Any, other: Any) -> str:
    """A quotient rounded downwards."""
    return div(g, input, other, rounding_mode="floor")


@translates("trunc", "fix")
def trunc(g: Builder, input: Value) -> str:
    """Without the fraction."""
    return _truncated(g, input)


@translates("round")
def round_(g: Builder, input: Value, *, decimals: int = 0) -> str:
    """Rounded to even, to some decimals."""
    if not decimals:
        return g.op("Round", input)
    scale = g.scalar(10.0 ** decimals, input)
    return g.op("Div", g.op("Round", g.op("Mul", input, scale)), scale)


@translates("remainder")
def remainder(g: Builder, input: Any, other: Any) -> str:
    """The remainder with the divisor's sign."""
    if not g.result.dtype.is_floating_point:
        return _arithmetic(g, "Mod", input, other)
    dtype = g.result.dtype
    a, b = as_dtype(g, input, dtype), as_dtype(g, other, dtype)
    return g.op("Sub", a, g.op("Mul", g.op("Floor", g.op("Div", a, b)), b))


@translates("fmod")
def fmod(g: Builder, input: Any, other: Any) -> str:
    """The remainder with the dividend's sign."""
    dtype = g.result.dtype
    return g.op("Mod", as_dtype(g, input, dtype), as_dtype(g, other, dtype), fmod=1)


@translates("pow")
def power(g: Builder, input: Any, exponent: Any) -> str:
    """A power."""
    dtype = g.result.dtype
    if exponent == 2:
        return g.op("Mul", as_dtype(g, input, dtype), as_dtype(g, input, dtype))
    return g.op("Pow", as_dtype(g, input, dtype), as_dtype(g, exponent, dtype))


@translates("square")
def square(g: Builder, input: Value) -> str:
    """A square."""
    return g.op("Mul", input, input)


@translates("rsqrt")
def rsqrt(g: Builder, input: Value) -> str:
    """One over the root."""
    return g.op("Reciprocal", g.op("Sqrt", as_dtype(g, input, g.result.dtype)))


@translates("log1p")
def log1p(g: Builder, input: Value) -> str:
    """The logarithm of one more."""
    x = as_dtype(g, input, g.result.dtype)
    return g.op("Log", g.op("Add", x, g.scalar(1, g.result)))


@translates("expm1")
def expm1(g: Builder, input: Value) -> str:
    """The exponential less one."""
    return g.op("Sub", g.op("Exp", as_dtype(g, input, g.result.dtype)), g.scalar(1, g.result))


@translates("log2", "log10")
def log_of_base(g: Builder, input: Value) -> str:
    """The logarithm to base 2 or 10."""
    return g.op("Div", g.op("Log", as_dtype(g, input, g.result.dtype)), g.scalar(_LOGARITHMS[g.call_name], g.result))


@translates("erfc")
def erfc(g: Builder, input: Value) -> str:
    """One less the error function."""
    return g.op("Sub", g.scalar(1, g.result), g.op("Erf", as_dtype(g, input, g.result.dtype)))


@translates("maximum", "fmax")
def maximum(g: Builder, input: Any, other: Any) -> str:
    """The larger."""
    return _arithmetic(g, "Max", input, other)


@translates("minimum", "fmin")
def minimum(g: Builder, input: Any, other: Any) -> str:
    """The smaller."""
    return _arithmetic(g, "Min", input, other)


@translates("addcmul", "addcdiv")
def add_product(g: Builder, input: Value, tensor1: Value, tensor2: Value, *, value: Any = 1) -> str:
    """A tensor and a scaled product or quotient."""
    product = _arithmetic(g, "Mul" if g.call_name == "addcmul" else "Div", tensor1, tensor2)
    scaled = product if value == 1 else g.op("Mul", product, g.constant(value, g.result.dtype))
    return g.op("Add", as_dtype(g, input, g.result.dtype), scaled)


@translates("lerp")
def lerp(g: Builder, input: Value, end: Value, weight: Any) -> str:
    """A tensor on the way to another one."""
    return g.op("Add", input, g.op("Mul", g.op("Sub", end, input), as_dtype(g, weight, input.dtype)))


@translates("logit")
def logit(g: Builder, input: Value, eps: Any = None) -> str:
    """The inverse of the sigmoid."""
    x = input if eps is None else g.clip(input, eps, 1 - eps, input)
    return g.op("Log", g.op("Div", x, g.op("Sub", g.scalar(1, input), x)))


@translates("exp2")
def exp2(g: Builder, input: Value) -> str:
    """A power of 2."""
    return g.op("Pow", g.scalar(2, g.result), as_dtype(g, input, g.result.dtype))


@translates("isnan")
def isnan(g: Builder, input: Value) -> str:
    """Whether values are no numbers."""
    return g.op("IsNaN", input)


@translates("isfinite")
def isfinite(g: Builder, input: Value) -> str:
    """Whether values are neither infinite nor no numbers."""
    return g.op("Not", g.op("Or", g.op("IsNaN", input), g.op("IsInf", input)))


@translates("isinf")
def isinf(g: Builder, input: Value) -> str:
    """Whether values are infinite."""
    return g.op("IsInf", input)


@translates("where")
def where(g: Builder, condition: Value, input: Any, other: Any) -> str:
    """One or the other."""
    dtype = g.result.dtype
    return g.op("Where", as_dtype(g, condition, dtypes.bool), as_dtype(g, input, dtype), as_dtype(g, other, dtype))


@translates("masked_fill")
def masked_fill(g: Builder, input: Value, mask: Value, value: Any) -> str:
    """A number where the mask is true."""
    return g.op("Where", as_dtype(g, mask, dtypes.bool), as_dtype(g, value, input.dtype), input)


@translates("clamp", "clip")
def clamp(g: Builder, input: Value, min: Any = None, max: Any = None) -> str:
    """Values limited to an interval."""
    dtype = g.result.dtype
    x = as_dtype(g, input, dtype)
    if any(isinstance(bound, Value) and bound.rank for bound in (min, max)) or (
            g.opset < 12 and not dtype.is_floating_point):
        x = x if min is None else g.op("Max", x, as_dtype(g, min, dtype))
        return x if max is None else g.op("Min", x, as_dtype(g, max, dtype))
    low, high = [None if bound is None else as_dtype(g, bound, dtype) if g.opset >= 11 else bound for bound in (min, max)]
    return g.clip(x, low, high, g.result)


@translates("clamp_min")
def clamp_min(g: Builder, input: Value, min: Any) -> str:
    """Values not below a bound."""
    return clamp(g, input, min=min)


@translates("clamp_max")
def clamp_max(g: Builder, input: Value, max: Any) -> str:
    """Values not above a bound."""
    return clamp(g, input, max=max)


# Activations.

@translates("relu6")
def relu6(g: Builder, input: Value, inplace: bool = False) -> str:
    """Values between 0 and 6."""
    return g.clip(input, 0, 6, input)


@translates("hardtanh")
def hardtanh(g: Builder, input: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> str:
    """Values limited to an interval."""
    return g.clip(input, min_val, max_val, input)


@translates("hardsigmoid")
def hardsigmoid(g: Builder, input: Value, inplace: bool = False) -> str:
    """``x / 6 + 1 / 2`` between 0 and 1."""
    return g.op("HardSigmoid", input, alpha=1 / 6, beta=0.5)


@translates("hardswish")
def hardswish(g: Builder, input: Value, inplace: bool = False) -> str:
    """``x * hardsigmoid(x)``."""
    return g.op("HardSwish", input) if g.opset >= 14 else g.op("Mul", input, hardsigmoid(g, input))


@translates("silu")
def silu(g: Builder, input: Value, inplace: bool = False) -> str:
    """``x * sigmoid(x)``."""
    return g.op("Mul", input, g.op("Sigmoid", input))


@translates("mish")
def mish(g: Builder, input: Value, inplace: bool = False) -> str:
    """``x * tanh(softplus(x))``."""
    return g.op("Mish", input) if g.opset >= 18 else g.op("Mul", input, g.op("Tanh", g.op("Softplus", input)))


@translates("gelu")
def gelu(g: Builder, input: Value, approximate: str = "none") -> str:
    """The Gaussian error linear unit."""
    if g.opset >= 20:
        return g.op("Gelu", input, approximate=approximate)
    if approximate == "tanh":
        cube = g.op("Mul", g.op("Mul", input, input), input)
        inner = g.op("Add", input, g.op("Mul", cube, g.scalar(0.044715, input)))
        bend = g.op("Tanh", g.op("Mul", inner, g.scalar(math.sqrt(2 / math.pi), input)))
    else:
        bend = g.op("Erf", g.op("Mul", input, g.scalar(math.sqrt(0.5), input)))
    half = g.op("Mul", input, g.scalar(0.5, input))
    return g.op("Mul", half, g.op("Add", bend, g.scalar(1.0, input)))


@translates("elu")
def elu(g: Builder, input: Value, alpha: float = 1.0, inplace: bool = False) -> str:
    """The exponential linear unit."""
    return g.op("Elu", input, alpha=float(alpha))


@translates("selu")
def selu(g: Builder, input: Value, inplace: bool = False) -> str:
    """The self-normalising one."""
    return g.op("Selu", input)


@translates("celu")
def celu(g: Builder, input: Value, alpha: float = 1.0, inplace: bool = False) -> str:
    """The continuously differentiable one."""
    if g.opset >= 12:
        return g.op("Celu", input, alpha=float(alpha))
    scale = g.scalar(alpha, input)
    return g.op("Mul", g.op("Elu", g.op("Div", input, scale)), scale)


@translates("leaky_relu")
def leaky_relu(g: Builder, input: Value, negative_slope: float = 0.01, inplace: bool = False) -> str:
    """A small slope below zero."""
    return g.op("LeakyRelu", input, alpha=float(negative_slope))


@translates("rrelu")
def rrelu(g: Builder, input: Value, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
          inplace: bool = False) -> str:
    """The mean of the slopes, outside training."""
    if training:
        raise UnsupportedOperatorError("export: rrelu in training draws slopes that ONNX cannot")
    return g.op("LeakyRelu", input, alpha=(lower + upper) / 2)


@translates("prelu")
def prelu(g: Builder, input: Value, weight: Value) -> str:
    """A learnt slope for each channel."""
    if input.rank > 2:
        return g.op("PRelu", input, g.reshape(weight, weight.shape, [-1] + [1] * (input.rank - 2)))
    return g.op("PRelu", input, weight)


@translates("softplus")
def softplus(g: Builder, input: Value, beta: float = 1.0, threshold: float = 20.0) -> str:
    """``log(1 + exp(beta * x)) / beta``; the argument where ``beta * x`` is above the threshold."""
    scaled = g.name_of(input) if beta == 1 else g.op("Mul", input, g.scalar(beta, input))
    found = g.op("Softplus", scaled)
    found = found if beta == 1 else g.op("Div", found, g.scalar(beta, input))
    if threshold >= _LINEAR:
        return found
    return g.op("Where", g.op("Greater", scaled, g.scalar(threshold, input)), input, found)


@translates("logsigmoid")
def logsigmoid(g: Builder, input: Value) -> str:
    """The logarithm of the sigmoid."""
    return g.op("Neg", g.op("Softplus", g.op("Neg", input)))


@translates("threshold")
def threshold(g: Builder, input: Value, threshold: float, value: float, inplace: bool = False) -> str:
    """A number for values that are not above a threshold."""
    return g.op("Where", g.op("Greater", input, g.scalar(threshold, input)), input, g.scalar(value, input))


@translates("softshrink")
def softshrink(g: Builder, input: Value, lambd: float = 0.5) -> str:
    """Values nearer to zero."""
    return g.op("Shrink", input, bias=float(lambd), lambd=float(lambd))


@translates("hardshrink")
def hardshrink(g: Builder, input: Value, lambd: float = 0.5) -> str:
    """Zero for values near it."""
    return g.op("Shrink", input, bias=0.0, lambd=float(lambd))


@translates("tanhshrink")
def tanhshrink(g: Builder, input: Value) -> str:
    """``x - tanh(x)``."""
    return g.op("Sub", input, g.op("Tanh", input))


@translates("glu")
def glu(g: Builder, input: Value, dim: int = -1) -> str:
    """One half times the sigmoid of the other."""
    half = input.shape[dim] // 2
    first, second = g.split(input, [half, half], dim % input.rank)
    return g.op("Mul", first, g.op("Sigmoid", second))
