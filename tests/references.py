"""Independent references for the pointwise operators: NumPy's and SciPy's functions, and the values to try them on.

An entry is (reference over float64 arrays, values of each operand). ``interval`` operands stay inside the domain, and
away from places where a function jumps or a finite difference fails.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special as sp
import scipy.stats

Interval = tuple[float, float]

WIDE: Interval = (-3.0, 3.0)
POSITIVE: Interval = (0.2, 4.0)
UNIT: Interval = (-0.9, 0.9)
PROBABILITY: Interval = (0.1, 0.9)
ABOVE_ONE: Interval = (1.2, 4.0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return sp.expit(x)


def softplus(x: np.ndarray, beta: float, threshold: float) -> np.ndarray:
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(np.logaddexp(0, x))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


# name: (reference, interval an operand)
FLOATING: dict[str, tuple[Callable, list[Interval]]] = {
    "add": (np.add, [WIDE, WIDE]),
    "sub": (np.subtract, [WIDE, WIDE]),
    "_add_scaled": (lambda a, b, alpha: a + alpha * b, [WIDE, WIDE]),
    "_sum_of_rows": (lambda a, b: a + b, [WIDE, WIDE]),
    "mul": (np.multiply, [WIDE, WIDE]),
    "div": (np.divide, [WIDE, POSITIVE]),
    "floor_divide": (np.floor_divide, [WIDE, POSITIVE]),
    "_div_floor": (np.floor_divide, [WIDE, POSITIVE]),
    "_div_trunc": (lambda a, b: np.trunc(a / b), [WIDE, POSITIVE]),
    "_trunc_divide": (lambda a, b: np.trunc(a / b), [WIDE, POSITIVE]),
    "remainder": (np.remainder, [WIDE, POSITIVE]),
    "fmod": (np.fmod, [WIDE, POSITIVE]),
    "pow": (np.power, [POSITIVE, WIDE]),
    "neg": (np.negative, [WIDE]),
    "abs": (np.abs, [WIDE]),
    "sign": (np.sign, [WIDE]),
    "square": (np.square, [WIDE]),
    "_cube": (lambda x: x**3, [WIDE]),
    "reciprocal": (np.reciprocal, [POSITIVE]),
    "sqrt": (np.sqrt, [POSITIVE]),
    "rsqrt": (lambda x: 1 / np.sqrt(x), [POSITIVE]),
    "addcmul": (lambda x, a, b, value: x + value * a * b, [WIDE, WIDE, WIDE]),
    "addcdiv": (lambda x, a, b, value: x + value * a / b, [WIDE, WIDE, POSITIVE]),
    "lerp": (lambda a, b, weight: a + weight * (b - a), [WIDE, WIDE, PROBABILITY]),
    "_copy": (lambda x: x, [WIDE]), "_copy_of_rows": (lambda x: x, [WIDE]),
    "eq": (np.equal, [WIDE, WIDE]),
    "ne": (np.not_equal, [WIDE, WIDE]),
    "lt": (np.less, [WIDE, WIDE]),
    "le": (np.less_equal, [WIDE, WIDE]),
    "gt": (np.greater, [WIDE, WIDE]),
    "ge": (np.greater_equal, [WIDE, WIDE]),
    "maximum": (np.maximum, [WIDE, WIDE]),
    "minimum": (np.minimum, [WIDE, WIDE]),
    "fmax": (np.fmax, [WIDE, WIDE]),
    "fmin": (np.fmin, [WIDE, WIDE]),
    "clamp_min": (np.maximum, [WIDE, WIDE]),
    "clamp_max": (np.minimum, [WIDE, WIDE]),
    "_clamp": (lambda x, low, high: np.minimum(np.maximum(x, low), high), [WIDE, (-2.0, -0.5), (0.5, 2.0)]),
    "isnan": (np.isnan, [WIDE]),
    "isinf": (np.isinf, [WIDE]),
    "isfinite": (np.isfinite, [WIDE]),
    "isposinf": (np.isposinf, [WIDE]),
    "_is_probability": (lambda x: (x >= 0) & (x <= 1), [WIDE]),
    "isneginf": (np.isneginf, [WIDE]),
    "signbit": (np.signbit, [WIDE]),
    "logical_not": (np.logical_not, [WIDE]),
    "logical_and": (np.logical_and, [WIDE, WIDE]),
    "logical_or": (np.logical_or, [WIDE, WIDE]),
    "logical_xor": (np.logical_xor, [WIDE, WIDE]),
    "_nan_to_num": (lambda x, nan_value, high, low: np.nan_to_num(x, nan=nan_value, posinf=high, neginf=low), [WIDE]),
    "exp": (np.exp, [WIDE]),
    "exp2": (np.exp2, [WIDE]),
    "expm1": (np.expm1, [WIDE]),
    "log": (np.log, [POSITIVE]),
    "log2": (np.log2, [POSITIVE]),
    "log10": (np.log10, [POSITIVE]),
    "log1p": (np.log1p, [POSITIVE]),
    "logaddexp": (np.logaddexp, [WIDE, WIDE]),
    "logaddexp2": (np.logaddexp2, [WIDE, WIDE]),
    "xlogy": (sp.xlogy, [WIDE, POSITIVE]),
    "xlog1py": (sp.xlog1py, [WIDE, POSITIVE]),
    "ldexp": (lambda x, e: x * np.exp2(e), [WIDE, WIDE]),
    "sin": (np.sin, [WIDE]),
    "cos": (np.cos, [WIDE]),
    "tan": (np.tan, [UNIT]),
    "asin": (np.arcsin, [UNIT]),
    "acos": (np.arccos, [UNIT]),
    "atan": (np.arctan, [WIDE]),
    "sinh": (np.sinh, [WIDE]),
    "cosh": (np.cosh, [WIDE]),
    "tanh": (np.tanh, [WIDE]),
    "asinh": (np.arcsinh, [WIDE]),
    "acosh": (np.arccosh, [ABOVE_ONE]),
    "atanh": (np.arctanh, [UNIT]),
    "atan2": (np.arctan2, [WIDE, POSITIVE]),
    "hypot": (np.hypot, [WIDE, POSITIVE]),
    "sinc": (np.sinc, [(0.1, 0.9)]),
    "deg2rad": (np.deg2rad, [WIDE]),
    "rad2deg": (np.rad2deg, [WIDE]),
    "floor": (np.floor, [WIDE]),
    "ceil": (np.ceil, [WIDE]),
    "trunc": (np.trunc, [WIDE]),
    "round": (np.round, [WIDE]),
    "frac": (lambda x: x - np.trunc(x), [WIDE]),
    "copysign": (np.copysign, [WIDE, WIDE]),
    "nextafter": (np.nextafter, [WIDE, WIDE]),
    "heaviside": (np.heaviside, [WIDE, WIDE]),
    "erf": (sp.erf, [WIDE]),
    "erfc": (sp.erfc, [WIDE]),
    "erfinv": (sp.erfinv, [UNIT]),
    "lgamma": (sp.gammaln, [POSITIVE]),
    "digamma": (sp.digamma, [POSITIVE]),
    "_polygamma": (lambda x, n: sp.polygamma(int(n), x), [POSITIVE]),
    "igamma": (sp.gammainc, [POSITIVE, POSITIVE]),
    "igammac": (sp.gammaincc, [POSITIVE, POSITIVE]),
    "i0": (sp.i0, [WIDE]),
    "i0e": (sp.i0e, [POSITIVE]),
    "i1": (sp.i1, [POSITIVE]),
    "i1e": (sp.i1e, [POSITIVE]),
    "_zeta": (sp.zeta, [ABOVE_ONE, POSITIVE]),
    "_entr": (sp.entr, [POSITIVE]),
    "_erfcx": (sp.erfcx, [WIDE]),
    "_ndtr": (sp.ndtr, [WIDE]),
    "_log_ndtr": (sp.log_ndtr, [WIDE]),
    "_ndtri": (sp.ndtri, [PROBABILITY]),
    "_exponent": (lambda x: np.frexp(x)[1], [WIDE]),
    "_mantissa": (lambda x: np.frexp(x)[0], [(0.51, 0.99)]),
    "angle": (np.angle, [WIDE]),
    "_logit": (sp.logit, [PROBABILITY]),
    "relu": (lambda x: np.maximum(x, 0), [WIDE]),
    "relu6": (lambda x: np.clip(x, 0, 6), [(-8.0, 8.0)]),
    "sigmoid": (sigmoid, [WIDE]),
    "logsigmoid": (lambda x: -np.logaddexp(0, -x), [WIDE]),
    "softplus": (softplus, [WIDE]),
    "silu": (lambda x: x * sigmoid(x), [WIDE]),
    "mish": (mish, [WIDE]),
    "_gelu": (lambda x: x * sp.ndtr(x), [WIDE]),
    "_gelu_tanh": (gelu_tanh, [WIDE]),
    "leaky_relu": (lambda x, slope: np.where(x > 0, x, slope * x), [WIDE]),
    "_elu": (lambda x, alpha, scale, inner: scale * np.where(x > 0, x, alpha * np.expm1(inner * x)), [WIDE]),
    "hardtanh": (np.clip, [WIDE]),
    "hardsigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), [(-5.0, 5.0)]),
    "hardswish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), [(-5.0, 5.0)]),
    "softsign": (lambda x: x / (1 + np.abs(x)), [WIDE]),
    "tanhshrink": (lambda x: x - np.tanh(x), [WIDE]),
    "softshrink": (lambda x, lambd: np.sign(x) * np.maximum(np.abs(x) - lambd, 0), [WIDE]),
    "hardshrink": (lambda x, lambd: np.where(np.abs(x) > lambd, x, 0), [WIDE]),
    "_is_near": (lambda a, b, rtol, atol: np.isclose(a, b, rtol, atol), [WIDE, WIDE]),
    "_is_within": (lambda x, low, high: (x >= low) & (x <= high), [WIDE, UNIT, POSITIVE]),
    "_is_whole_within": (lambda x, low, high: (x >= low) & (x <= high) & (np.floor(x) == x), [WIDE, UNIT, POSITIVE]),
    "_is_simplex": (lambda low, total: (low >= 0) & (np.abs(total - 1) < 1e-6), [WIDE, POSITIVE]),
    "_gumbel": (lambda x, u, low, high: x - np.log(-np.log(np.clip(u, low, high))), [WIDE, PROBABILITY]),
    "_race": (lambda p, u: -p / np.log1p(-u), [POSITIVE, PROBABILITY]),
    "_information": (lambda q, p: -q * p, [WIDE, PROBABILITY]),
    "_log_within": (lambda p, low, high: np.log(np.clip(p, low, high)), [PROBABILITY]),
    "_logit_within": (lambda p, low, high: sp.logit(np.clip(p, low, high)), [PROBABILITY]),
    "_exponential": (lambda u, rate: -np.log1p(-u) / rate, [PROBABILITY]),
    "_cauchy": (lambda u, median, sigma: median + sigma * np.tan(np.pi * u), [UNIT]),
    "_normal_log_density": (scipy.stats.norm.logpdf, [WIDE, WIDE, POSITIVE]),
    "_quotient_or_zero": (lambda a, b: a / b, [WIDE, POSITIVE]),
    "_over_length": (lambda x, n, eps: x / np.maximum(n, eps), [WIDE, POSITIVE]),
    "_cosine_term": (lambda a, m, b, n, eps: a * b / (np.maximum(m, eps) * np.maximum(n, eps)),
                     [WIDE, POSITIVE, WIDE, POSITIVE]),
    "_product_share": (lambda g, x, product, zeros: np.where(zeros == 0, g * product / x, 0),
                       [WIDE, POSITIVE, WIDE, POSITIVE]),
    "_squared_error": (lambda x, t: (x - t) ** 2, [WIDE, WIDE]),
    "_absolute_error": (lambda x, t: np.abs(x - t), [WIDE, WIDE]),
    "_smooth_l1": (lambda x, t, beta: sp.huber(beta, x - t) / beta, [WIDE, WIDE]),
    "_huber": (lambda x, t, delta: sp.huber(delta, x - t), [WIDE, WIDE]),
    "_binary_cross_entropy": (lambda x, t: -sp.xlogy(t, x) - sp.xlog1py(1 - t, -x), [PROBABILITY, PROBABILITY]),
    "_logits_cross_entropy": (lambda x, t: np.logaddexp(0, x) - x * t, [WIDE, PROBABILITY]),
    "_prelu_kernel": (lambda x, weight: np.where(x > 0, x, weight * x), [WIDE, WIDE]),
    "_gated": (lambda x, gate: x * sigmoid(gate), [WIDE, WIDE]),
    "threshold": (lambda x, threshold, value: np.where(x > threshold, x, value), [WIDE]),
}

# Operators on integers; the operands' intervals hold integers.
INTEGER: dict[str, tuple[Callable, list[Interval]]] = {
    "bitwise_and": (np.bitwise_and, [(0, 100), (0, 100)]),
    "bitwise_or": (np.bitwise_or, [(0, 100), (0, 100)]),
    "bitwise_xor": (np.bitwise_xor, [(0, 100), (0, 100)]),
    "bitwise_not": (np.bitwise_not, [(0, 100)]),
    "bitwise_left_shift": (np.left_shift, [(0, 10), (0, 4)]),
    "bitwise_right_shift": (np.right_shift, [(0, 100), (0, 4)]),
    "gcd": (np.gcd, [(0, 50), (0, 50)]),
    "lcm": (np.lcm, [(0, 8), (0, 8)]),
    "add": (np.add, [(0, 30), (0, 30)]),
    "sub": (np.subtract, [(40, 60), (0, 30)]),
    "mul": (np.multiply, [(0, 11), (0, 11)]),
    "floor_divide": (np.floor_divide, [(0, 100), (1, 10)]),
    "remainder": (np.remainder, [(0, 100), (1, 10)]),
    "fmod": (np.fmod, [(0, 100), (1, 10)]),
    "maximum": (np.maximum, [(0, 100), (0, 100)]),
    "minimum": (np.minimum, [(0, 100), (0, 100)]),
    "eq": (np.equal, [(0, 5), (0, 5)]),
    "lt": (np.less, [(0, 5), (0, 5)]),
    "pow": (np.power, [(0, 4), (0, 4)]),
    "square": (np.square, [(0, 11)]),
    "logical_and": (np.logical_and, [(0, 3), (0, 3)]),
    "logical_xor": (np.logical_xor, [(0, 3), (0, 3)]),
}
