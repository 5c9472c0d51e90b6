"""Initial values of parameters. Each function fills a tensor in place, unrecorded, and returns it.

Sources: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2013 (orthogonal), Martens 2010
(sparse).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from clgrad.autograd import no_grad
from clgrad.creation import tensor as make_tensor
from clgrad.ops.interception import intercepted
from clgrad.sampling import randperm

_GAINS = {"linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0, "conv_transpose2d": 1.0,
          "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity wants its layer's weights scaled; ``param`` is leaky_relu's slope.

    >>> import clgrad
    >>> clgrad.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        if param is None:
            param = 0.01
        if isinstance(param, bool) or not isinstance(param, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + param**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def _uniform(tensor: Any, a: float, b: float, generator: Any) -> Any:
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def _normal(tensor: Any, mean: float, std: float, generator: Any) -> Any:
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def _fill(tensor: Any, value: float) -> Any:
    with no_grad():
        return tensor.fill_(value)


def _told(function: Callable) -> Callable:
    """A function that tells those who listen to operators of its calls, as PyTorch's of the same name do."""
    return intercepted(function, function.__name__)


@_told
def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Values drawn evenly from [a, b)."""
    return _uniform(tensor, a, b, generator)


@_told
def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Values of a normal distribution."""
    return _normal(tensor, mean, std, generator)


def trunc_normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator: Any = None) -> Any:
    """Values of a normal distribution, cut off at ``a`` and ``b``: its inverse function of uniform numbers."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn("mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
                      "incorrect.", stacklevel=2)
    low, high = (0.5 * (1 + math.erf((bound - mean) / std / math.sqrt(2.0))) for bound in (a, b))
    with no_grad():
        tensor.uniform_(2 * low - 1, 2 * high - 1, generator=generator)
        tensor.erfinv_().mul_(std * math.sqrt(2.0)).add_(mean)
        return tensor.clamp_(a, b)


@_told
def constant_(tensor: Any, val: float) -> Any:
    """One value everywhere."""
    return _fill(tensor, val)


def ones_(tensor: Any) -> Any:
    """1 everywhere."""
    return _fill(tensor, 1.0)


def zeros_(tensor: Any) -> Any:
    """0 everywhere."""
    return _fill(tensor, 0.0)


def eye_(tensor: Any) -> Any:
    """The identity matrix, for a tensor of two dimensions."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with no_grad():
        tensor.zero_()
        if tensor.numel():
            tensor.diagonal().fill_(1.0)
        return tensor


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Convolution weights that pass their input through, for tensors of 3, 4 or 5 dimensions."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    each = tensor.shape[0] // groups
    middle = tuple(size // 2 for size in tensor.shape[2:])
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(each, tensor.shape[1])):
                tensor[(group * each + channel, channel, *middle)] = 1.0
        return tensor


def _fans(tensor: Any) -> tuple[int, int]:
    """How many inputs each output has, and how many outputs each input has."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


_calculate_fan_in_and_fan_out = _fans


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform in [-a, a], a = gain * sqrt(6 / (fan_in + fan_out))."""
    fan_in, fan_out = _fans(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return _uniform(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    fan_in, fan_out = _fans(tensor)
    return _normal(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _correct_fan(tensor: Any, mode: str) -> int:
    """The inputs of an output ("fan_in") or the outputs of an input ("fan_out")."""
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _fans(tensor)[mode.lower() == "fan_out"]


def _kaiming_std(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity, a) / math.sqrt(_correct_fan(tensor, mode))


def _nothing_to_do(tensor: Any) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


@_told
def kaiming_uniform_(tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator: Any = None) -> Any:
    """Uniform in [-b, b], b = gain * sqrt(3 / fan); ``a`` is the slope of a leaky_relu that follows."""
    if _nothing_to_do(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return _uniform(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator: Any = None) -> Any:
    """Normal with standard deviation gain / sqrt(fan); ``a`` is the slope of a leaky_relu that follows."""
    if _nothing_to_do(tensor):
        return tensor
    return _normal(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Rows (or columns, where there are fewer) that are orthogonal: the Q of a normal matrix's QR decomposition."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    drawn = _normal(tensor.new_empty((rows, columns)), 0.0, 1.0, generator)
    matrix = np.asarray(drawn.tolist(), np.float64)
    q, r = np.linalg.qr(matrix.T if rows < columns else matrix)
    q *= np.sign(np.diag(r))
    values = (q.T if rows < columns else q) * gain
    with no_grad():
        return tensor.copy_(make_tensor(np.ascontiguousarray(values), dtype=tensor.dtype).view(tensor.shape))


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Normal values, with the share ``sparsity`` of each column set to zero, for a tensor of two dimensions."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    _normal(tensor, 0.0, std, generator)
    keep = np.ones((rows, columns), bool)
    for column in range(columns):
        keep[randperm(rows, generator=generator, device="cpu").tolist()[:zeros], column] = False
    with no_grad():
        return tensor.mul_(make_tensor(keep, device=tensor.device))


_calculate_correct_fan = _correct_fan


def _old_name(function: Callable) -> Callable:
    """An initialiser under its name without underscore, with a warning."""
    new = function.__name__
    old = new[:-1]

    def deprecated(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)
    deprecated.__name__ = deprecated.__qualname__ = old
    deprecated.__doc__ = f":func:`{new}` under its old name."
    return deprecated


uniform, normal, constant = _old_name(uniform_), _old_name(normal_), _old_name(constant_)
eye, dirac, orthogonal, sparse = _old_name(eye_), _old_name(dirac_), _old_name(orthogonal_), _old_name(sparse_)
xavier_uniform, xavier_normal = _old_name(xavier_uniform_), _old_name(xavier_normal_)
kaiming_uniform, kaiming_normal = _old_name(kaiming_uniform_), _old_name(kaiming_normal_)
