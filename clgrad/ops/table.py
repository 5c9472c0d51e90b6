"""The pointwise operators: one row each.

A row holds the operator's name, its operands, its value and, for each operand, the derivative's formula, in which
``g`` is the incoming gradient and ``y`` the value. ``NONDIFF`` says that an operator has no derivative: its result is
not differentiable. ``NO_FORMULA`` in the place of a derivative says that nobody gives one: asking for it is an error.

Operands are tensors or numbers; one written ``name=default`` is a parameter, always a number. ``kind`` says what the
result's dtype is: ``same`` as the operands' promoted one, ``float`` (integers become the default dtype), ``bool``; or the
promoted one out of fewer: ``number`` (not bool), ``integer`` (or bool), ``whole`` (not bool either), ``real`` (floating
point); or the complex one (``pair``) of which the promoted one is that of the parts.
"""

from __future__ import annotations

from clgrad.ops.formula import Formula
from clgrad.ops.registry import NO_FORMULA, NONDIFF, Pointwise, register

_ERF_SLOPE = 1.1283791670955126  # 2 / sqrt(pi)
_GELU_SLOPE = 0.3989422804014327  # 1 / sqrt(2 pi)
_ROOT_HALF = 0.7071067811865476
_LN2 = 0.6931471805599453
_LN10 = 2.302585092994046

# Operators whose operands have to be tensors; those whose first has to be one. (Formulas may use numbers everywhere.)
TENSORS_ONLY = frozenset({"atan2", "fmax", "fmin", "gcd", "heaviside", "hypot", "igamma", "igammac", "lcm", "ldexp",
                           "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor", "maximum", "minimum",
                           "nextafter"})
TENSOR_FIRST = TENSORS_ONLY | {"clamp_max", "clamp_min", "copysign", "eq", "fmod", "ge", "gt", "le", "lt", "ne"}

# Rows whose factor may also stand behind the first operand, where older programs have it: x.addcmul_(0.9, a, b).
FACTOR_FIRST = frozenset({"addcmul", "addcdiv"})

# Operators that take numbers alone, as 0-d tensors.
NUMBERS_ALONE = frozenset({"add", "_add_scaled", "sub", "mul", "div", "_div_floor", "_div_trunc", "floor_divide"})

# Operators whose second operand is called otherwise than "other": they take it by PyTorch's name.
SECOND_NAMED = frozenset({"clamp_max", "clamp_min", "heaviside"})
# Operators whose numbers have to fit the operands' integer dtype; those of others are cut down to its bits.
FITTING_NUMBERS = frozenset({"_clamp", "_masked_fill", "clamp_max", "clamp_min", "pow", "where"})
# Operators whose numbers stay what they are beside float16 and bfloat16; those of others are rounded to the dtype first.
FACTORS = frozenset({"_div_floor", "div", "floor_divide", "lerp", "mul"})
# Operators whose parameters become elements of float16 and bfloat16 before they are used there.
ROUNDED_PARAMETERS = frozenset({"_add_scaled", "_cosine_term", "_over_length", "hardshrink"})
# Operators whose gradient counts as depending on where it was taken, although its derivative by that is zero everywhere.
STEPS = frozenset({"_prelu_kernel", "hardshrink", "hardtanh", "leaky_relu", "relu", "relu6", "softshrink", "threshold"})
# Operators whose gradients lie in memory as what decides where they pass, and not as what comes in.
GATES = frozenset({"_clamp", "_prelu_kernel", "clamp_max", "clamp_min", "leaky_relu", "maximum", "minimum",
                   "relu", "threshold", "where"})
# Operators whose ``out`` has to have the result's dtype; that of others may be of a higher category.
EXACT_OUT = frozenset({"_gelu", "_gelu_tanh", "abs", "bitwise_not", "ceil", "floor", "frac", "hardshrink", "heaviside",
                       "isneginf", "isposinf", "logsigmoid", "neg", "round", "sign", "signbit", "softplus", "softshrink",
                       "trunc", "where"})
# Operators of which that holds where their other operands are numbers. Those become elements of 16-bit floats also where a
# gradient is taken: what lies at a bound that was rounded lies at the bound.
CLAMPS = frozenset({"_clamp", "clamp_max", "clamp_min"})
# Operators that take complex numbers. Where they are differentiable, they are holomorphic, but for _conj, in whose derivative
# is no operand.
COMPLEX = frozenset({
    "_add_scaled", "_conj", "_copy", "_copy_of_rows", "_cube", "_is_near", "_masked_fill", "_over_length",
    "_quotient_or_zero", "_sum_of_rows", "acos", "acosh", "add", "addcdiv", "addcmul", "asin", "asinh", "atan", "atanh",
    "cos", "cosh", "div", "eq", "exp", "exp2", "expm1", "isfinite", "isinf", "isnan", "lerp", "log", "log10", "log1p",
    "log2", "logical_and", "logical_not", "logical_or", "logical_xor", "mul", "ne", "neg", "pow", "reciprocal", "rsqrt",
    "sigmoid", "silu", "sin", "sinc", "sinh", "sqrt", "square", "sub", "tan", "tanh", "tanhshrink", "where"})
# Those of them that do the same to real and imaginary parts.
ALIKE = frozenset({"_copy", "_copy_of_rows", "_sum_of_rows", "add", "neg", "sub"})


def row(name: str, operands: str, value: str, nondiff: str | None = None, *, kind: str = "same",
        integers: str | None = None, in_place: bool = True, row_major: bool = False, **derivatives: str) -> None:
    """Registers a pointwise operator.

    ``integers``: the value over integers where it differs. ``in_place=False``: PyTorch has no ``name_`` form.
    ``row_major``: so lies the result in memory, whatever the operands' order.
    """
    parts = [part.partition("=") for part in operands.split()]
    tensors = tuple(p[0] for p in parts if not p[1])
    parameters = {p[0]: float(p[2]) for p in parts if p[1]}
    if (nondiff is None) != bool(derivatives):
        raise TypeError(f"{name}: give either derivatives or NONDIFF")
    register(Pointwise(name, tensors, parameters, Formula(value), Formula(integers) if integers else None, kind,
                       {operand: Formula(text) for operand, text in derivatives.items()}, in_place, row_major))


# Arithmetic.
row("add", "a b", "a + b", a="g", b="g")
row("sub", "a b", "a - b", a="g", b="-g")
row("_sum_of_rows", "a b", "a + b", in_place=False, row_major=True, a="g", b="g")
row("_add_scaled", "a b alpha=1", "a + alpha * b", a="g", b="g * alpha", in_place=False)
row("mul", "a b", "a * b", a="g * b", b="g * a")
row("div", "a b", "a / b", kind="float", a="g / b", b="-g * (a / b) / b")
row("floor_divide", "a b", "floor_divide(a, b)", kind="number", a=NO_FORMULA, b=NO_FORMULA)
row("_div_floor", "a b", "floor_divide(a, b)", kind="number", in_place=False, a="zeros_like(g)", b="zeros_like(g)")
row("_div_trunc", "a b", "trunc_divide(a, b)", kind="number", in_place=False, a="zeros_like(g)", b="zeros_like(g)")
row("_trunc_divide", "a b", "trunc_divide(a, b)", NONDIFF)
row("remainder", "a b", "remainder(a, b)", kind="number", a="g", b="-g * _div_floor(a, b)")
row("fmod", "a b", "fmod(a, b)", kind="number", a="g", b="-g * _div_trunc(a, b)")
row("pow", "a b", "pow(a, b)", kind="number",
    a="where(b == 0, 0, g * b * pow(a, b - 1))",
    b="where((a == 0) & (real(b) >= 0), 0, g * y * log(a))")
row("neg", "x", "-x", kind="number", x="-g")
row("abs", "x", "abs(x)", kind="number", x="g * sign(x)")
row("sign", "x", "sign(x)", x="zeros_like(g)")
row("square", "x", "x * x", x="g * 2 * x")
row("_cube", "x", "x * x * x", x="g * 3 * (x * x)", in_place=False)
row("reciprocal", "x", "1 / x", kind="float", x="-g * (y * y)")
row("sqrt", "x", "sqrt(x)", kind="float", x="g / (2 * y)")
row("rsqrt", "x", "rsqrt(x)", kind="float", x="-0.5 * g * (y * y * y)")
row("addcmul", "x a b value=1", "x + value * a * b", kind="number", x="g", a="g * value * b", b="g * value * a")
row("addcdiv", "x a b value=1", "x + value * a / b", kind="real", x="g", a="g * value / b", b="-g * value * (a / b) / b")
row("lerp", "a b weight", "where(abs(weight) < 0.5, a + weight * (b - a), b - (b - a) * (1 - weight))", kind="real",
    a="g * (1 - weight)", b="g * weight", weight="g * (b - a)")

row("_copy", "x", "x", x="g")
row("_copy_of_rows", "x", "x", in_place=False, row_major=True, x="g")
row("_complex", "a b", "complex(a, b)", kind="pair", in_place=False, a="real(g)", b="imag(g)")
row("_conj", "x", "conj(x)", in_place=False, x="conj(g)")

# Comparison, choice.
row("eq", "a b", "a == b", NONDIFF, kind="bool")
row("ne", "a b", "a != b", NONDIFF, kind="bool")
row("lt", "a b", "a < b", NONDIFF, kind="bool")
row("le", "a b", "a <= b", NONDIFF, kind="bool")
row("gt", "a b", "a > b", NONDIFF, kind="bool")
row("ge", "a b", "a >= b", NONDIFF, kind="bool")
row("maximum", "a b", "maximum(a, b)", in_place=False,
    a="where(a == b, g * 0.5, where(a < b, 0, g))", b="where(a == b, g * 0.5, where(a > b, 0, g))")
row("minimum", "a b", "minimum(a, b)", in_place=False,
    a="where(a == b, g * 0.5, where(a > b, 0, g))", b="where(a == b, g * 0.5, where(a < b, 0, g))")
row("fmax", "a b", "fmax(a, b)", in_place=False,
    a="where((a >= b) | isnan(b), g, 0)", b="where((a >= b) | isnan(b), 0, g)")
row("fmin", "a b", "fmin(a, b)", in_place=False,
    a="where((a <= b) | isnan(b), g, 0)", b="where((a <= b) | isnan(b), 0, g)")
row("clamp_min", "x low", "maximum(x, low)", x="where(x >= low, g, 0)", low="where(x < low, g, 0)")
row("clamp_max", "x high", "minimum(x, high)", x="where(x <= high, g, 0)", high="where(x > high, g, 0)")
row("_clamp", "x low high", "minimum(maximum(x, low), high)", kind="number", in_place=False,
    x="where((x >= low) & (x <= high), g, 0)",
    low="where((x < low) & (low < high), g, 0)", high="where((x > high) | (low > high), g, 0)")
row("isnan", "x", "isnan(x)", NONDIFF, kind="bool", in_place=False)
row("isinf", "x", "isinf(x)", NONDIFF, kind="bool", in_place=False)
row("_is_near", "a b rtol=0 atol=0",
    "(a == b) | (isfinite(a) & isfinite(b) & (abs(a - b) <= atol + rtol * abs(b)))", NONDIFF, kind="bool", in_place=False)
row("isfinite", "x", "isfinite(x)", NONDIFF, kind="bool", in_place=False)
row("isposinf", "x", "x == inf", NONDIFF, kind="bool", integers="x != x", in_place=False)
row("isneginf", "x", "x == -inf", NONDIFF, kind="bool", integers="x != x", in_place=False)
row("signbit", "x", "signbit(x)", NONDIFF, kind="bool", in_place=False)
row("_is_within", "x low high", "(x >= low) & (x <= high)", NONDIFF, kind="bool", in_place=False)
row("_is_whole_within", "x low high", "(x >= low) & (x <= high) & (x - floor(x) == 0)", NONDIFF, kind="bool",
    integers="(x >= low) & (x <= high)", in_place=False)
row("logical_not", "x", "x == 0", NONDIFF, kind="bool")
row("logical_and", "a b", "(a != 0) & (b != 0)", NONDIFF, kind="bool")
row("logical_or", "a b", "(a != 0) | (b != 0)", NONDIFF, kind="bool")
row("logical_xor", "a b", "where(a != 0, b == 0, b != 0)", NONDIFF, kind="bool")
row("where", "condition a b", "where(condition, a, b)", in_place=False,
    a="where(condition, g, 0)", b="where(condition, 0, g)")
row("_masked_fill", "x condition filling", "where(condition, filling, x)", in_place=False, row_major=True,
    x="where(condition, 0, g)", filling="where(condition, g, 0)")
row("_nan_to_num", "x nan_value=0 high=0 low=0",
    "where(isnan(x), nan_value, where(x == inf, high, where(x == -inf, low, x)))", integers="x", in_place=False,
    x="where(isfinite(x), g, 0)")

# Bits, integers.
row("bitwise_and", "a b", "bitwise_and(a, b)", NONDIFF, kind="integer")
row("bitwise_or", "a b", "bitwise_or(a, b)", NONDIFF, kind="integer")
row("bitwise_xor", "a b", "bitwise_xor(a, b)", NONDIFF, kind="integer")
row("bitwise_not", "x", "bitwise_not(x)", NONDIFF, kind="integer")
row("bitwise_left_shift", "a b", "bitwise_left_shift(a, b)", NONDIFF, kind="whole")
row("bitwise_right_shift", "a b", "bitwise_right_shift(a, b)", NONDIFF, kind="whole")
row("gcd", "a b", "gcd(a, b)", NONDIFF, kind="whole")
row("lcm", "a b", "lcm(a, b)", NONDIFF, kind="whole")

# Exponentials and logarithms.
row("exp", "x", "exp(x)", kind="float", x="g * y")
row("exp2", "x", "exp2(x)", kind="float", x=f"g * y * {_LN2}")
row("expm1", "x", "expm1(x)", kind="float", x="g * (y + 1)")
row("log", "x", "log(x)", kind="float", x="g / x")
row("log2", "x", "log2(x)", kind="float", x=f"g / (x * {_LN2})")
row("log10", "x", "log10(x)", kind="float", x=f"g / (x * {_LN10})")
row("log1p", "x", "log1p(x)", kind="float", x="g / (x + 1)")
row("logaddexp", "a b", "logaddexp(a, b)", kind="real", in_place=False,
    a="where(a == b, g * 0.5, g / (1 + exp(b - a)))", b="where(a == b, g * 0.5, g / (1 + exp(a - b)))")
row("logaddexp2", "a b", "logaddexp2(a, b)", kind="real", in_place=False,
    a="g / (1 + exp2(b - a))", b="g / (1 + exp2(a - b))")
row("xlogy", "a b", "xlogy(a, b)", kind="float", a="g * where((a == 0) & (b <= 0), 0, log(b))", b="g * a / b")
row("xlog1py", "a b", "xlog1py(a, b)", kind="float", in_place=False,
    a="g * where((a == 0) & (b <= -1), 0, log1p(b))", b="g * a / (b + 1)")
row("ldexp", "x e", "ldexp(x, e)", kind="float", x="g * exp2(e)", e=f"g * y * {_LN2}")

# Trigonometry.
row("sin", "x", "sin(x)", kind="float", x="g * cos(x)")
row("cos", "x", "cos(x)", kind="float", x="-g * sin(x)")
row("tan", "x", "tan(x)", kind="float", x="g * (1 + y * y)")
row("asin", "x", "asin(x)", kind="float", x="g * rsqrt(1 - x * x)")
row("acos", "x", "acos(x)", kind="float", x="-g * rsqrt(1 - x * x)")
row("atan", "x", "atan(x)", kind="float", x="g / (1 + x * x)")
row("sinh", "x", "sinh(x)", kind="float", x="g * cosh(x)")
row("cosh", "x", "cosh(x)", kind="float", x="g * sinh(x)")
row("tanh", "x", "tanh(x)", kind="float", x="g * (1 - y * y)")
row("asinh", "x", "asinh(x)", kind="float", x="g * rsqrt(x * x + 1)")
row("acosh", "x", "acosh(x)", kind="float", x="g * rsqrt(x - 1) * rsqrt(x + 1)")
row("atanh", "x", "atanh(x)", kind="float", x="g / (1 - x * x)")
row("atan2", "a b", "atan2(a, b)", kind="float",
    a="where((a == 0) & (b == 0), 0, g * b / (a * a + b * b))",
    b="where((a == 0) & (b == 0), 0, -g * a / (a * a + b * b))")
row("hypot", "a b", "hypot(a, b)", kind="real", a="where(y == 0, 0, g * a / y)", b="where(y == 0, 0, g * b / y)")
row("sinc", "x", "sinc(x)", kind="float",
    x="where(abs(x) < 0.01, g * x * (x * x * (3.2469697011334144 - x * x * 1.1445109447325053) - 3.289868133696453), "
      "g * (cos(pi * x) - y) / where(x == 0, 1, x))")
row("deg2rad", "x", "x * 0.017453292519943295", kind="float", x="g * 0.017453292519943295")
row("rad2deg", "x", "x * 57.29577951308232", kind="float", x="g * 57.29577951308232")

# Rounding, parts of numbers.
row("floor", "x", "floor(x)", kind="number", x="zeros_like(g)")
row("ceil", "x", "ceil(x)", kind="number", x="zeros_like(g)")
row("trunc", "x", "trunc(x)", kind="number", x="zeros_like(g)")
row("round", "x", "round(x)", kind="number", x="zeros_like(g)")
row("frac", "x", "frac(x)", kind="real", x="g")
row("copysign", "a b", "copysign(a, b)", kind="float",
    a="where(a == 0, 0, g * (y / a))", b="zeros_like(g)")
row("nextafter", "a b", "nextafter(a, b)", kind="real", a="where(a == b, 0, g)", b="zeros_like(g)")
row("heaviside", "a b", "where(a == 0, b, where(a > 0, 1, 0))", a=NO_FORMULA, b=NO_FORMULA)

# Special functions.
row("erf", "x", "erf(x)", kind="float", x=f"g * {_ERF_SLOPE} * exp(-(x * x))")
row("erfc", "x", "erfc(x)", kind="float", x=f"g * -{_ERF_SLOPE} * exp(-(x * x))")
row("erfinv", "x", "erfinv(x)", kind="float", x="g * 0.886226925452758 * exp(y * y)")
row("lgamma", "x", "lgamma(x)", kind="float", x="g * digamma(x)")
row("digamma", "x", "digamma(x)", kind="float", x="g * _polygamma(x, 1)")
row("_polygamma", "x n=1", "polygamma(x, n)", kind="float", in_place=False, x="g * _polygamma(x, n + 1)")
row("igamma", "a b", "igamma(a, b)", kind="real", a=NO_FORMULA,
    b="g * exp(log(b) * (a - 1) - b - lgamma(a))")
row("igammac", "a b", "igammac(a, b)", kind="real", a=NO_FORMULA,
    b="-g * exp(log(b) * (a - 1) - b - lgamma(a))")
row("i0", "x", "i0(x)", kind="float", x="g * i1(x)")
row("i0e", "x", "i0e(x)", kind="float", in_place=False, x="g * (i1e(x) - sign(x) * y)")
row("i1", "x", "i1(x)", kind="float", in_place=False, x="g * where(x == 0, 0.5, i0(x) - y / where(x == 0, 1, x))")
row("i1e", "x", "i1e(x)", kind="float", in_place=False,
    x="g * where(x == 0, 0.5, i0e(x) - y * (sign(x) + 1 / where(x == 0, 1, x)))")
row("_zeta", "x q", "zeta(x, q)", kind="float", in_place=False, x=NO_FORMULA, q="-g * x * _zeta(x + 1, q)")
row("_entr", "x", "where(x > 0, -x * log(x), where(x == 0, 0, where(x < 0, -inf, x)))", kind="float", in_place=False,
    x="-g * (log(x) + 1)")
row("_erfcx", "x", "erfcx(x)", kind="float", in_place=False, x=f"g * (2 * x * y - {_ERF_SLOPE})")
row("_ndtr", "x", "ndtr(x)", kind="float", in_place=False, x=f"g * {_GELU_SLOPE} * exp(-0.5 * (x * x))")
row("_log_ndtr", "x", "log_ndtr(x)", kind="float", in_place=False,
    x=f"g * {2 * _GELU_SLOPE} / _erfcx(-x * {_ROOT_HALF})")
row("_ndtri", "x", "ndtri(x)", kind="float", in_place=False, x=f"g / {_GELU_SLOPE} * exp(0.5 * (y * y))")
# Bessel and Airy functions, and orthogonal polynomials of degree n: PyTorch has no derivatives of them.
for _name in ("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_k0", "modified_bessel_k1",
              "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0"):
    row(f"_{_name}", "x", f"{_name}(x)", NONDIFF, kind="float", in_place=False)
row("_modified_bessel_i0", "x", "i0(x)", NONDIFF, kind="float", in_place=False)
row("_modified_bessel_i1", "x", "i1(x)", NONDIFF, kind="float", in_place=False)
POLYNOMIALS = (*(f"{_shift}chebyshev_polynomial_{_kind}" for _shift in ("", "shifted_") for _kind in "tuvw"),
               "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p")
for _name in POLYNOMIALS:
    row(f"_{_name}", "x n", f"{_name}(x, n)", NONDIFF, kind="float", in_place=False)
row("_exponent", "x", "exponent(x)", NONDIFF, in_place=False)
row("_mantissa", "x", "mantissa(x)", in_place=False, x="g * exp2(-_exponent(x))")
row("angle", "x", "where(x < 0, pi, where(isnan(x), x, 0))", kind="float", in_place=False, x="zeros_like(g)")
row("_logit", "x", "log(x / (1 - x))", kind="float", in_place=False,
    x="where((x < 0) | (x > 1), nan, g / (x * (1 - x)))")

# Activations.
row("relu", "x", "where(x < 0, 0, x)", kind="number", x="where(y <= 0, 0, g)")
row("relu6", "x", "minimum(where(x < 0, 0, x), 6)", kind="number", in_place=False, x="where((x <= 0) | (x >= 6), 0, g)")
row("sigmoid", "x", "sigmoid(x)", kind="float", x="g * (y * (1 - y))")
row("logsigmoid", "x", "logsigmoid(x)", kind="real", in_place=False, row_major=True, x="g * sigmoid(-x)")
row("softplus", "x beta=1 threshold=20",
    "where(beta * x > threshold, x, log1p(exp(-abs(beta * x))) / beta + where(x < 0, 0, x))", kind="real", in_place=False,
    x="where(beta * x > threshold, g, g * sigmoid(beta * x))")
row("silu", "x", "x / (1 + exp(-x))", kind="real", in_place=False, x="g * sigmoid(x) * (1 + x * (1 - sigmoid(x)))")
row("mish", "x", "x * tanh(logaddexp(x, 0))", kind="real", in_place=False,
    x="g * (tanh(logaddexp(x, 0)) + x * sigmoid(x) * (1 - square(tanh(logaddexp(x, 0)))))")
row("_gelu", "x", f"0.5 * x * (1 + erf(x * {_ROOT_HALF}))", kind="real", in_place=False,
    x=f"g * (0.5 * (1 + erf(x * {_ROOT_HALF})) + x * {_GELU_SLOPE} * exp(-0.5 * (x * x)))")
row("_gelu_tanh", "x", "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))", kind="real", in_place=False,
    x="g * (0.5 * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) + 0.5 * x * "
      "(1 - square(tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))) * "
      "0.7978845608028654 * (1 + 0.134145 * x * x))")
row("leaky_relu", "x negative_slope=0.01", "where(x > 0, x, x * negative_slope)", kind="real",
    x="where(x > 0, g, g * negative_slope)")
row("_elu", "x alpha=1 scale=1 input_scale=1",
    "where(x > 0, scale * x, scale * alpha * expm1(x * input_scale))", kind="real", in_place=False,
    x="where(x <= 0, g * scale * alpha * input_scale * exp(x * input_scale), g * scale)")
row("hardtanh", "x min_val=-1 max_val=1", "minimum(maximum(x, min_val), max_val)", kind="number",
    x="where((x <= min_val) | (x >= max_val), 0, g)", in_place=False)
row("hardsigmoid", "x", "minimum(maximum(x / 6 + 0.5, 0), 1)", kind="real", in_place=False,
    x="where((x > -3) & (x < 3), g / 6, 0)")
row("hardswish", "x", "x * minimum(maximum(x / 6 + 0.5, 0), 1)", kind="real", in_place=False,
    x="where(x <= -3, 0, where(x < 3, g * (x / 3 + 0.5), g))")
row("softsign", "x", "x / (1 + abs(x))", kind="float", in_place=False, x="g / square(1 + abs(x))")
row("tanhshrink", "x", "x - tanh(x)", kind="float", in_place=False, x="g * square(tanh(x))")
row("softshrink", "x lambd=0.5", "where(x > lambd, x - lambd, where(x < -lambd, x + lambd, where(isnan(x), x, 0)))",
    kind="real", in_place=False, x="where((x >= -lambd) & (x <= lambd), 0, g)")
row("hardshrink", "x lambd=0.5", "where((x >= -lambd) & (x <= lambd), 0, x)", kind="real", in_place=False,
    x="where((x >= -lambd) & (x <= lambd), 0, g)")
row("_prelu_kernel", "x weight", "where(x > 0, x, weight * x)", kind="real", in_place=False,
    x="where(x > 0, g, weight * g)", weight="where(x > 0, 0, x * g)")
row("_gated", "x gate", "x * sigmoid(gate)", kind="real", in_place=False,
    x="g * sigmoid(gate)", gate="g * x * (sigmoid(gate) * (1 - sigmoid(gate)))")
row("threshold", "x threshold=0 value=0", "where(x <= threshold, value, x)", kind="number", in_place=False,
    x="where(x <= threshold, 0, g)")

# Vectors and their lengths: a quotient that is 0 where the divisor is; a vector over its length, which counts as at least eps
# (its gradient passes by that in the cosine, as in PyTorch).
row("_quotient_or_zero", "a b", "where(b == 0, 0, a / b)", kind="real", in_place=False,
    a="where(b == 0, 0, g / b)", b="where(b == 0, 0, -g * y / b)")
row("_over_length", "x n eps=0", "x / where(n < eps, eps, n)", kind="real", in_place=False,
    x="g / where(n < eps, eps, n)", n="where(n < eps, 0, -g * y / n)")
row("_cosine_term", "a m b n eps=0", "(a / where(m < eps, eps, m)) * (b / where(n < eps, eps, n))", kind="real",
    in_place=False,
    a="g * (b / where(n < eps, eps, n)) / where(m < eps, eps, m)", m="-g * y / where(m < eps, eps, m)",
    b="g * (a / where(m < eps, eps, m)) / where(n < eps, eps, n)", n="-g * y / where(n < eps, eps, n)")

# The gradient of a factor x: from the product of the factors that are not zero, and the number of those that are.
row("_product_share", "g x product zeros",
    "where(x == 0, where(zeros == 1, g * product, 0), where(zeros == 0, g * product / x, 0))", NONDIFF, kind="real",
    in_place=False)

# Distributions: whether the smallest of some probabilities is not negative, and their total is 1; scores with Gumbel noise
# from numbers u kept between two, of which the largest is drawn with their softmax's probabilities; weights over
# exponentially distributed numbers, of which the largest is drawn with their share; what an outcome adds to the entropy,
# from the logarithm q of its probability and that; logarithms and log-odds of probabilities kept between two numbers; other
# numbers of distributions from such u; the logarithm of the normal density.
row("_is_simplex", "low total", "(low >= 0) & (abs(total - 1) < 0.000001)", NONDIFF, kind="bool",
    integers="(low >= 0) & (total == 1)", in_place=False)
row("_gumbel", "x u low=0 high=1", "x - log(-log(minimum(maximum(u, low), high)))", NONDIFF, in_place=False)
row("_race", "p u", "p / maximum(-log1p(-u), 1e-30)", NONDIFF, in_place=False)
row("_information", "q p", "-maximum(q, -3e38) * p", kind="real", in_place=False,
    q="where(q < -3e38, 0, -g * p)", p="-g * maximum(q, -3e38)")
row("_log_within", "p low=0 high=1", "log(minimum(maximum(p, low), high))", kind="real", in_place=False,
    p="where((p >= low) & (p <= high), g / p, 0)")
row("_logit_within", "p low=0 high=1", "log(minimum(maximum(p, low), high)) - log1p(-minimum(maximum(p, low), high))",
    kind="real", in_place=False, p="where((p >= low) & (p <= high), g / (p * (1 - p)), 0)")
row("_exponential", "u rate=1", "-log1p(-u) / rate", NONDIFF, in_place=False)
row("_cauchy", "u median=0 sigma=1", "median + sigma * tan(pi * u)", NONDIFF, in_place=False)
row("_normal_log_density", "x loc scale",
    "-0.5 * square((x - loc) / scale) - log(scale) - 0.9189385332046727", kind="float", in_place=False,
    x="g * (loc - x) / scale / scale", loc="g * (x - loc) / scale / scale",
    scale="g * (square((x - loc) / scale) - 1) / scale")

# Losses: x is what was predicted, t what should have been.
row("_squared_error", "x t", "(x - t) * (x - t)", kind="real", in_place=False, x="g * 2 * (x - t)", t="g * -2 * (x - t)")
row("_absolute_error", "x t", "abs(x - t)", in_place=False, x="g * sign(x - t)", t="-g * sign(x - t)")
row("_smooth_l1", "x t beta=1", "where(abs(x - t) < beta, 0.5 * (x - t) * (x - t) / beta, abs(x - t) - 0.5 * beta)",
    kind="real", in_place=False,
    x="where(abs(x - t) < beta, g * (x - t) / beta, g * sign(x - t))",
    t="where(abs(x - t) < beta, -g * (x - t) / beta, -g * sign(x - t))")
row("_huber", "x t delta=1",
    "where(abs(x - t) <= delta, 0.5 * (x - t) * (x - t), delta * (abs(x - t) - 0.5 * delta))", kind="real",
    in_place=False,
    x="where(abs(x - t) <= delta, g * (x - t), g * delta * sign(x - t))",
    t="where(abs(x - t) <= delta, -g * (x - t), -g * delta * sign(x - t))")
row("_binary_cross_entropy", "x t", "-(t * maximum(log(x), -100) + (1 - t) * maximum(log1p(-x), -100))", kind="real",
    in_place=False,
    x="g * (x - t) / maximum(x * (1 - x), 1e-12)", t="g * (maximum(log1p(-x), -100) - maximum(log(x), -100))")
row("_is_probability", "x", "(x >= 0) & (x <= 1)", NONDIFF, kind="bool", in_place=False)
row("_logits_cross_entropy", "x t", "where(x < 0, 0, x) - x * t + log1p(exp(-abs(x)))", kind="real", in_place=False,
    x="g * (sigmoid(x) - t)", t="-g * x")
