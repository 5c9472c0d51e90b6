"""Activations of ``nn.functional``. ``inplace`` replaces the input's contents by the result."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import ends_in
from clgrad.dtypes import type_name
from clgrad.info import finfo
from clgrad.ops.activation import gated_half
from clgrad.ops.pointwise import call, call_in_place
from clgrad.ops.registry import FUNCTIONS, REGISTRY
from clgrad.shapes import normalize_dim

_ROWS = REGISTRY.pointwise
_SELU = (1.6732632423543772, 1.0507009873554805)  # alpha and scale of Klambauer et al. 2017


def _run(row: str, input: Any, inplace: bool, *parameters: float) -> Any:
    return (call_in_place if inplace else call)(_ROWS[row], (input,), parameters)


def _activation(name: str, text: str) -> Callable:
    def function(input: Any, inplace: bool = False) -> Any:
        return _run(name, input, True) if inplace else plain(input)
    plain = FUNCTIONS[name]
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


relu = _activation("relu", "max(x, 0), element by element.")
relu6 = _activation("relu6", "min(max(x, 0), 6), element by element.")
silu = _activation("silu", "x * sigmoid(x), element by element.")
mish = _activation("mish", "x * tanh(softplus(x)), element by element.")
hardswish = _activation("hardswish", "x * relu6(x + 3) / 6, element by element.")
hardsigmoid = _activation("hardsigmoid", "relu6(x + 3) / 6, element by element.")
sigmoid = FUNCTIONS["sigmoid"]
tanh = FUNCTIONS["tanh"]
logsigmoid = FUNCTIONS["logsigmoid"]
softsign = FUNCTIONS["softsign"]
tanhshrink = FUNCTIONS["tanhshrink"]
relu_ = FUNCTIONS["relu_"]
prelu = FUNCTIONS["prelu"]


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0, *, out: Any = None) -> Any:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    return FUNCTIONS["softplus"](input, beta, threshold, out=out)


def gelu(input: Any, approximate: str = "none", *, out: Any = None) -> Any:
    """x times the normal distribution's function of x; ``approximate="tanh"`` for the formula with tanh."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return FUNCTIONS["_gelu" if approximate == "none" else "_gelu_tanh"](input, out=out)


def _sloped(name: str, slope: float, inplace: bool, result: Any) -> Any:
    """The result of an activation in place, which has no gradient where a falling slope hides the input's sign."""
    if inplace and slope < 0 and result.requires_grad:
        def refuse(grad: Any) -> None:
            raise RuntimeError(f"In-place {name} backward calculation is triggered with a negative slope which is not "
                               "supported. This is caused by calling in-place forward function with a negative slope, please "
                               "call out-of-place version instead.")
        result.register_hook(refuse)
    return result


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    return _sloped("elu", alpha, inplace, _run("_elu", input, inplace, alpha, 1.0, 1.0))


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    result = _sloped("elu", alpha, inplace, _run("_elu", input, inplace, alpha, 1.0, 1.0 / alpha))
    return result if inplace else ends_in(result, "Celu")


def selu(input: Any, inplace: bool = False) -> Any:
    """Self-normalising ELU (Klambauer et al. 2017)."""
    return _run("_elu", input, inplace, *_SELU, 1.0)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else negative_slope * x."""
    return _sloped("leakyReLu", negative_slope, inplace, _run("leaky_relu", input, inplace, negative_slope))


def rrelu(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
          inplace: bool = False) -> Any:
    """leaky_relu whose slope is drawn from [lower, upper] for each element; their mean when not training."""
    for name, bound in (("lower", lower), ("upper", upper)):
        if not math.isfinite(bound):
            raise RuntimeError(f"rrelu: {name} bound must be finite, got {bound}")
    if lower > upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound, got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = FUNCTIONS["where"](input > 0, 1.0, input.new_empty(input.shape).uniform_(lower, upper))
    return input.mul_(slope) if inplace else ends_in(input * slope, "RreluWithNoise")


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x between ``min_val`` and ``max_val``, which it does not leave."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _run("hardtanh", input, inplace, min_val, max_val)


def hardshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """0 in [-lambd, lambd], else x."""
    return FUNCTIONS["hardshrink"](input, lambd, out=out)


def softshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """x moved by ``lambd`` towards 0, at most to it."""
    kind = input.spec.dtype
    if kind.is_floating_point and not 0 <= lambd <= finfo(kind).max:
        raise RuntimeError(f"lambda must be in range [0, {finfo(kind).max:g}] for input dtype {type_name(kind)}, but found "
                           f"{lambd:g}")
    return FUNCTIONS["softshrink"](input, lambd, out=out)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else ``value``."""
    return _run("threshold", input, inplace, threshold, value)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """:func:`celu` in place."""
    return celu(input, alpha, True)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """:func:`elu` in place."""
    return elu(input, alpha, True)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """:func:`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, True)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """:func:`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, True)


def rrelu_(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:
    """:func:`rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


def selu_(input: Any) -> Any:
    """:func:`selu` in place."""
    return selu(input, True)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """:func:`threshold` in place."""
    return _run("threshold", input, True, threshold, value)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half along ``dim`` times the sigmoid of the second."""
    if not input.ndim:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = normalize_dim(dim, input.ndim)
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    return gated_half(input, dim)


def _softmax_dim(name: str, ndim: int, stacklevel: int) -> int:
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
                  "argument.", stacklevel=stacklevel + 2)
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) divided by its sum along ``dim``."""
    dim = _softmax_dim("softmax", input.ndim, _stacklevel) if dim is None else dim
    return FUNCTIONS["softmax"](input if dtype is None else input.to(dtype), dim)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """:func:`softmax` of -x."""
    dim = _softmax_dim("softmin", input.ndim, _stacklevel) if dim is None else dim
    return softmax(-input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of :func:`softmax`, computed without overflow."""
    dim = _softmax_dim("log_softmax", input.ndim, _stacklevel) if dim is None else dim
    return FUNCTIONS["log_softmax"](input if dtype is None else input.to(dtype), dim)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A draw from a softened categorical distribution (Jang et al. 2017, Maddison et al. 2017).

    Softmax along ``dim`` of (logits + Gumbel noise) / ``tau``. ``hard`` gives a one-hot result with the gradient of the
    soft one. ``eps`` has no effect.
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=3)
    noise = -logits.detach().new_empty(logits.shape).exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    largest = soft.max(dim, keepdim=True)[1]
    places = FUNCTIONS["arange"](soft.shape[dim], device=soft.device).view(
        [-1 if d == dim % soft.ndim else 1 for d in range(soft.ndim)])
    return (largest == places).to(soft.dtype) - soft.detach() + soft
