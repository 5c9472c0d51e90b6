"""``nn.functional``: what the modules compute, as functions with PyTorch's names and arguments.

>>> import clgrad
>>> import clgrad.nn.functional as F
>>> F.relu(clgrad.tensor([-1., 2.]))
tensor([0., 2.])
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from clgrad.autograd import is_grad_enabled
from clgrad.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from clgrad.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from clgrad.ops.registry import FUNCTIONS

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "alpha_dropout",
    "avg_pool1d", "avg_pool2d", "batch_norm", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "celu", "conv1d", "conv2d", "conv_transpose2d", "cosine_similarity", "cross_entropy", "dropout", "dropout1d",
    "dropout2d", "dropout3d", "elu", "embedding", "embedding_bag", "feature_alpha_dropout", "gaussian_nll_loss", "gelu",
    "glu", "group_norm", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss", "huber_loss",
    "instance_norm", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid",
    "margin_ranking_loss", "max_pool1d", "max_pool2d", "mish", "mse_loss", "nll_loss", "normalize", "one_hot", "pad",
    "poisson_nll_loss", "prelu", "relu", "relu6", "rms_norm", "rrelu", "selu", "sigmoid", "silu", "smooth_l1_loss",
    "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
]


def operator(name: str) -> Callable:
    """The operator of that name; NotImplementedError where there is none."""
    found = FUNCTIONS.get(name)
    if found is None:
        raise NotImplementedError(f"{name}: clgrad has no such operator")
    return found


# Layers with weights.

def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """``input @ weight.T + bias``: (*, in) with weight (out, in) gives (*, out)."""
    return FUNCTIONS["linear"](input, weight, bias)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``y[.., k] = sum_ij input1[.., i] * weight[k, i, j] * input2[.., j] + bias[k]``."""
    count, left, right = weight.shape
    rows = input1.reshape(-1, left)
    columns = input2.reshape(-1, right)
    # (n, left) @ (left, k * right): for each row and each k a vector over input2's features.
    mixed = rows.matmul(weight.permute(1, 0, 2).reshape(left, count * right)).view(-1, count, right)
    result = (mixed * columns.unsqueeze(1)).sum(-1).view(*input1.shape[:-1], count)
    return result if bias is None else result + bias


def embedding(input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """The rows of ``weight`` that the integers of ``input`` name."""
    return operator("embedding")(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)


def embedding_bag(input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None, norm_type: float = 2,
                  scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Any = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Any:
    """Sums, means or maxima of bags of the rows of ``weight`` that the integers of ``input`` name."""
    return operator("embedding_bag")(input, weight, offsets, max_norm, norm_type, scale_grad_by_freq, mode, sparse,
                                     per_sample_weights, include_last_offset, padding_idx)


def conv1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Cross-correlation of (n, c, l) with weight (out, c / groups, k)."""
    return operator("conv1d")(input, weight, bias, stride, padding, dilation, groups)


def conv2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:
    """Cross-correlation of (n, c, h, w) with weight (out, c / groups, kh, kw)."""
    return FUNCTIONS["conv2d"](input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
    """The gradient of :func:`conv2d` with respect to its input, as an operator; weight (in, out / groups, kh, kw)."""
    return operator("conv_transpose2d")(input, weight, bias, stride, padding, output_padding, groups, dilation)


# Pooling.

def max_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest value of each window; with ``return_indices`` also where it stands in its plane."""
    if return_indices:
        return operator("max_pool2d")(input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return FUNCTIONS["max_pool2d"](input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:
    """The mean of each window."""
    return operator("avg_pool2d")(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) and len(value) else value


def _row(value: Any, rest: int) -> Any:
    """A size along a line as sizes of a plane of height 1; None and () mean the kernel's size."""
    return None if value is None or value == () else (rest, _one(value))


def max_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest value of each window of (n, c, l)."""
    found = max_pool2d(input.unsqueeze(-2), _row(kernel_size, 1), _row(stride, 1), _row(padding, 0), _row(dilation, 1),
                       ceil_mode, return_indices)
    return tuple(t.squeeze(-2) for t in found) if return_indices else found.squeeze(-2)


def avg_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:
    """The mean of each window of (n, c, l)."""
    return avg_pool2d(input.unsqueeze(-2), _row(kernel_size, 1), _row(stride, 1), _row(padding, 0), ceil_mode,
                      count_include_pad).squeeze(-2)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Means of as many windows as ``output_size`` says; None keeps a dimension."""
    return operator("adaptive_avg_pool2d")(input, output_size)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest values of as many windows as ``output_size`` says; None keeps a dimension."""
    if return_indices:
        return operator("adaptive_max_pool2d")(input, output_size, True)
    found = operator("adaptive_max_pool2d")(input, output_size)
    return found[0] if isinstance(found, tuple) else found


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Means of ``output_size`` windows of (n, c, l)."""
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, _one(output_size))).squeeze(-2)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest values of ``output_size`` windows of (n, c, l)."""
    found = adaptive_max_pool2d(input.unsqueeze(-2), (1, _one(output_size)), return_indices)
    return tuple(t.squeeze(-2) for t in found) if return_indices else found.squeeze(-2)


# Activations. ``inplace`` replaces the input's contents where there is such a kernel; the result is the same.

def _activation(name: str, text: str) -> Callable:
    plain, in_place = FUNCTIONS[name], FUNCTIONS.get(f"{name}_")

    def function(input: Any, inplace: bool = False) -> Any:
        return in_place(input) if inplace and in_place is not None else plain(input)
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


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    return FUNCTIONS["softplus"](input, beta, threshold)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the normal distribution's function of x; ``approximate="tanh"`` for the formula with tanh."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return FUNCTIONS["_gelu" if approximate == "none" else "_gelu_tanh"](input)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    return FUNCTIONS["_elu"](input, alpha)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""
    return FUNCTIONS["_elu"](input, alpha, 1.0, 1.0 / alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """Self-normalising ELU (Klambauer et al. 2017)."""
    return FUNCTIONS["_elu"](input, 1.6732632423543772, 1.0507009873554805)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else negative_slope * x."""
    return FUNCTIONS["leaky_relu_" if inplace else "leaky_relu"](input, negative_slope)


def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, else weight * x; one weight, or one a channel (dimension 1)."""
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                               f"{weight.numel()} and channel size = {channels}.")
        weight = weight.view([-1 if d == 1 else 1 for d in range(input.ndim)])
    elif weight.ndim:
        weight = weight.view([1] * max(input.ndim, 1))
    return FUNCTIONS["where"](input > 0, input, weight * input)


def rrelu(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
          inplace: bool = False) -> Any:
    """leaky_relu whose slope is drawn from [lower, upper] for each element; their mean when not training."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = input.new_empty(input.shape).uniform_(lower, upper)
    return FUNCTIONS["where"](input > 0, input, slope * input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x between ``min_val`` and ``max_val``, which it does not leave."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return FUNCTIONS["hardtanh"](input, min_val, max_val)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """0 in [-lambd, lambd], else x."""
    return FUNCTIONS["hardshrink"](input, lambd)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved by ``lambd`` towards 0, at most to it."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return FUNCTIONS["softshrink"](input, lambd)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else ``value``."""
    return FUNCTIONS["threshold"](input, threshold, value)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half along ``dim`` times the sigmoid of the second."""
    if not input.ndim:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim % input.ndim} is size "
                           f"{input.shape[dim]}")
    left, right = input.chunk(2, dim)
    return left * right.sigmoid()


def _softmax_dim(name: str, ndim: int) -> int:
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
                  "argument.", stacklevel=3)
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) divided by its sum along ``dim``."""
    dim = _softmax_dim("softmax", input.ndim) if dim is None else dim
    return FUNCTIONS["softmax"](input if dtype is None else input.to(dtype), dim)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """:func:`softmax` of -x."""
    dim = _softmax_dim("softmin", input.ndim) if dim is None else dim
    return softmax(-input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of :func:`softmax`, computed without overflow."""
    dim = _softmax_dim("log_softmax", input.ndim) if dim is None else dim
    return FUNCTIONS["log_softmax"](input if dtype is None else input.to(dtype), dim)


# Dropout.

def _check_p(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element is set to 0 with probability ``p``, the others are divided by 1 - p."""
    _check_p(p)
    if not training or p == 0:
        return input
    result = FUNCTIONS["dropout"](input, p, training)
    if inplace and not (is_grad_enabled() and input.requires_grad):
        return input.copy_(result)
    return result


def _kept(shape: Any, like: Any, p: float) -> Any:
    """1 with probability 1 - p, else 0."""
    return (like.new_empty(shape).uniform_() >= p).to(like.dtype)


def _channels(name: str, input: Any, p: float, training: bool, ranks: tuple[int, int]) -> Any:
    _check_p(p)
    if input.ndim not in ranks:
        warnings.warn(f"{name}: Received a {input.ndim}-D input, but it is meant for inputs of {ranks[0]} or "
                      f"{ranks[1]} dimensions.", stacklevel=3)
    if not training or p == 0:
        return input
    lead = 1 if input.ndim == ranks[0] else 2
    shape = tuple(input.shape[:lead]) + (1,) * (input.ndim - lead)
    return input * (_kept(shape, input, p) / (1 - p)) if p < 1 else input * 0


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Whole channels of (n, c, l) or (c, l) are set to 0 with probability ``p``."""
    return _channels("dropout1d", input, p, training, (2, 3))


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Whole channels of (n, c, h, w) or (c, h, w) are set to 0 with probability ``p``."""
    return _channels("dropout2d", input, p, training, (3, 4))


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Whole channels of (n, c, d, h, w) or (c, d, h, w) are set to 0 with probability ``p``."""
    return _channels("dropout3d", input, p, training, (4, 5))


def _alpha(input: Any, p: float, training: bool, shape: Any) -> Any:
    _check_p(p)
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0
    saturation = -1.7580993408473766  # what selu tends to: - scale * alpha
    scale = ((1 - p) * (1 + p * saturation**2)) ** -0.5
    keep = _kept(shape, input, p)
    return input * keep * scale + ((1 - keep) * (saturation * scale) - scale * p * saturation)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean and variance of selu's values: elements become selu's limit (Klambauer et al. 2017)."""
    return _alpha(input, p, training, input.shape)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """:func:`alpha_dropout` of whole channels."""
    return _alpha(input, p, training, tuple(input.shape[:2]) + (1,) * (input.ndim - 2))


# Others.

def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """``input`` divided by its p-norm along ``dim``, which counts as at least ``eps``."""
    norm = input.norm(p, dim, keepdim=True).clamp_min(eps)
    return input / norm.expand_as(input)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors along ``dim``."""
    product = (x1 * x2).sum(dim)
    lengths = (x1 * x1).sum(dim).clamp_min(eps * eps).sqrt() * (x2 * x2).sum(dim).clamp_min(eps * eps).sqrt()
    return product / lengths


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """int64 rows that are 1 at the place which each integer names, else 0."""
    count = int(tensor.max().item()) + 1 if num_classes < 0 else num_classes
    return (tensor.unsqueeze(-1) == FUNCTIONS["arange"](count, device=tensor.device)).long()


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """The input with elements added (or taken away) at the edges: pairs of counts, the last dimension first."""
    own = FUNCTIONS.get("pad")
    if own is not None:
        return own(input, pad, mode, value)
    if mode != "constant":
        raise NotImplementedError(f"pad: mode '{mode}' is not supported; 'constant' is")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise RuntimeError(f"pad: expected an even number of counts, at most {2 * input.ndim} for an input of shape "
                           f"{list(input.shape)}, got {list(pad)}")
    before = [0] * input.ndim
    shape = list(input.shape)
    for number in range(len(pad) // 2):
        dim = input.ndim - 1 - number
        low, high = pad[2 * number], pad[2 * number + 1]
        if low < 0 or high < 0:
            start, stop = max(-low, 0), shape[dim] - max(-high, 0)
            input = input.narrow(dim, start, stop - start)
            shape[dim] = stop - start
            low, high = max(low, 0), max(high, 0)
        before[dim] = low
        shape[dim] += low + high
    result = input.new_full(shape, 0.0 if value is None else value)
    result[tuple(slice(b, b + n) for b, n in zip(before, input.shape, strict=True))] = input
    return result
