"""Loss functions of ``nn.functional``: a scalar, or with ``reduction="none"`` a value an element.

``size_average`` and ``reduce`` are old names of reductions.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from clgrad.autograd.graph import ends_in
from clgrad.dtypes import get_default_dtype, type_name
from clgrad.ops.copying import cast
from clgrad.ops.output import check_cast
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.rows import refuse_masks
from clgrad.ops.totals import reduced_row
from clgrad.spec import common_dtype

REDUCTIONS = ("none", "mean", "sum")


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str, known: tuple = REDUCTIONS) -> str:
    """The reduction that old and new arguments together name.

    Raises:
        ValueError: it is not one of ``known``.
    """
    if size_average is None and reduce is None:
        if reduction not in known:
            raise ValueError(f"{reduction} is not a valid value for reduction")
        return reduction
    found = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.",
                  stacklevel=4)
    return found


def reduced(values: Any, reduction: str) -> Any:
    """All values, their mean or their sum."""
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _paired(name: str, input: Any, target: Any, weight: Any = None) -> None:
    if weight is not None and weight.spec.shape != input.spec.shape:
        raise ValueError("Weights and input must have the same size.")
    if input.spec.shape != target.spec.shape:
        warnings.warn(f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) in "
                      f"{name}. This will likely lead to incorrect results due to broadcasting. Please ensure they "
                      "have the same size.", stacklevel=4)


def _check_fits(name: str, input: Any, target: Any) -> None:
    """RuntimeError where a loss, which has the input's dtype, cannot hold what input and target give together."""
    check_cast(name, common_dtype((input.spec, target.spec)), input.spec.dtype)


def _weighted_row(name: str, operands: tuple, weight: Any, reduction: str) -> Any:
    if weight is None:
        return reduced_row(name, operands, (), reduction)
    values = FUNCTIONS[name](*operands)
    weighted = values * weight
    if reduction == "mean":
        return weighted.sum() / weight.expand(values.shape).sum()
    return reduced(weighted, reduction)


def _scaled_row(name: str, operands: tuple, weight: Any, reduction: str, *parameters: float) -> Any:
    """As :func:`_weighted_row`, but a mean counts elements and not their weights."""
    if weight is None:
        return reduced_row(name, operands, parameters, reduction)
    return reduced(FUNCTIONS[name](*operands, *parameters) * weight, reduction)


def cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                  ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Any:
    """-log softmax of ``input`` (n, c, ...) at the classes that ``target`` (n, ...) names, or weighted by (n, c, ...).

    Raises:
        RuntimeError, IndexError: shapes that do not fit, a class outside of [0, c).
    """
    reduction = reduction_of(size_average, reduce, reduction)
    return FUNCTIONS["cross_entropy"](input, target, weight=weight, ignore_index=ignore_index, reduction=reduction,
                                      label_smoothing=label_smoothing)


def nll_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
             reduce: bool | None = None, reduction: str = "mean") -> Any:
    """-``input`` (n, c, ...), which holds logarithms of probabilities, at the classes that ``target`` (n, ...) "
      "names."""
    reduction = reduction_of(size_average, reduce, reduction)
    return FUNCTIONS["nll_loss"](input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def mse_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
             reduction: str = "mean", weight: Any = None) -> Any:
    """The squared difference."""
    _paired("mse_loss", input, target, weight)
    reduction = reduction_of(size_average, reduce, reduction)
    return ends_in(_weighted_row("_squared_error", (input, target), weight, reduction), "MseLoss")


def l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
            reduction: str = "mean", weight: Any = None) -> Any:
    """The absolute difference."""
    _paired("l1_loss", input, target, weight)
    return _weighted_row("_absolute_error", (input, target), weight, reduction_of(size_average, reduce, reduction))


def smooth_l1_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
                   reduction: str = "mean", beta: float = 1.0) -> Any:
    """The squared difference / (2 beta) below ``beta``, beyond it the absolute one - beta / 2."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    _paired("smooth_l1_loss", input, target)
    loss = reduced_row("_smooth_l1", (input, target), (beta,), reduction_of(size_average, reduce, reduction))
    return ends_in(loss, "SmoothL1Loss")


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """Half the squared difference up to ``delta``, beyond it delta * (the absolute one - delta / 2)."""
    if isinstance(delta, complex):
        raise TypeError("huber_loss(): argument 'delta' must be float, not complex")
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    _paired("huber_loss", input, target, weight)
    _check_fits("huber_loss", input, target)
    loss = _scaled_row("_huber", (input, target), weight, reduction_of(None, None, reduction), delta)
    return cast(ends_in(loss, "HuberLoss"), input.spec.dtype)


def _same_size(name: str, input: Any, target: Any) -> None:
    if input.spec.shape != target.spec.shape:
        raise ValueError(f"{name}: Using a target size ({target.shape}) that is different to the input size "
                         f"({input.shape}) is deprecated. Please ensure they have the same size.")


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                         reduce: bool | None = None, reduction: str = "mean") -> Any:
    """-(target * log(input) + (1 - target) * log(1 - input)), logarithms at least -100; ``input`` in [0, 1]."""
    _same_size("binary_cross_entropy", input, target)
    if target.spec.dtype is not input.spec.dtype:
        raise RuntimeError(f"Found dtype {type_name(target.spec.dtype)} but expected {type_name(input.spec.dtype)}")
    if not bool(FUNCTIONS["_is_probability"](input.detach()).all().item()):
        raise RuntimeError("binary_cross_entropy: all elements of input should be between 0 and 1")
    reduction = reduction_of(size_average, reduce, reduction)
    return ends_in(_scaled_row("_binary_cross_entropy", (input, target), weight, reduction), "BinaryCrossEntropy")


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                                     reduce: bool | None = None, reduction: str = "mean",
                                     pos_weight: Any = None) -> Any:
    """:func:`binary_cross_entropy` of sigmoid(input), computed without overflow."""
    if input.spec.shape != target.spec.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    reduction = reduction_of(size_average, reduce, reduction)
    own, wanted = input.spec.dtype, target.spec.dtype
    if not own.is_floating_point:
        raise NotImplementedError(f"\"log_sigmoid_cpu\" not implemented for '{type_name(own)}'")
    if wanted.category == 0:
        refuse_masks([target])
    check_cast("binary_cross_entropy_with_logits", own, wanted)
    if pos_weight is None:
        loss = _scaled_row("_logits_cross_entropy", (input, target), weight, reduction)
    else:
        factor = (pos_weight - 1) * target + 1
        values = (1 - target) * input - factor * FUNCTIONS["logsigmoid"](input)
        loss = reduced(values if weight is None else values * weight, reduction)
    return cast(ends_in(loss, "BinaryCrossEntropyWithLogits"), wanted)


def kl_div(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
           reduction: str = "mean", log_target: bool = False) -> Any:
    """target * (log(target) - input); with ``log_target``, target is a logarithm too. "batchmean" divides by n."""
    reduction = reduction_of(size_average, reduce, reduction, (*REDUCTIONS, "batchmean"))
    if not (input.spec.dtype.is_floating_point and target.spec.dtype.is_floating_point):
        raise RuntimeError("kl_div: Integral inputs not supported.")
    if log_target:
        values = target.exp() * (target - input)
    else:
        values = FUNCTIONS["xlogy"](target, target) - target * input
    if reduction == "batchmean":
        return values.sum() / (input.shape[0] if input.ndim else 1)
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size."
                      "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
                      "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
                      stacklevel=3)
    return reduced(values, reduction)


def poisson_nll_loss(input: Any, target: Any, log_input: bool = True, full: bool = False,
                     size_average: bool | None = None, eps: float = 1e-8, reduce: bool | None = None,
                     reduction: str = "mean") -> Any:
    """exp(input) - target * input, or without ``log_input`` input - target * log(input + eps)."""
    values = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        values = values + FUNCTIONS["where"](target > 1, stirling, 0.0)
    return reduced(values, reduction_of(size_average, reduce, reduction))


def gaussian_nll_loss(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Any:
    """Half of log(var) + (input - target)^2 / var, var counted as at least ``eps``.

    ``var`` is a number, or has the input's shape, or that without its last dimension, or with one dimension of size 1.
    """
    if isinstance(var, float):
        var = input.new_full(input.shape, var)
    if bool((var < 0).any().item()):
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or sum(b for a, b in zip(input.shape, var.shape, strict=True) if a != b) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    # The gradient passes where var counts as eps, too.
    var = var + (var.detach().clamp(min=eps) - var.detach())
    values = 0.5 * (var.log() + (input - target) ** 2 / var)
    return reduced(values + 0.5 * math.log(2 * math.pi) if full else values, reduction)


def soft_margin_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
                     reduction: str = "mean") -> Any:
    """log(1 + exp(-target * input)), targets 1 and -1."""
    own = input.spec.dtype
    if own.category == 0:
        input.neg()  # says that masks have no sign
    _check_fits("soft_margin_loss", input, target)
    if not own.is_floating_point:
        check_cast("soft_margin_loss", get_default_dtype(), own)
    values = cast(-FUNCTIONS["logsigmoid"](input * target), own)
    return ends_in(reduced(values, reduction_of(size_average, reduce, reduction)), "SoftMarginLoss")


def linear_cross_entropy(input: Any, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None,
                         reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0,
                         options: Any = None) -> Any:
    """:func:`cross_entropy` of the scores ``input @ linear_weight.T + linear_bias``.

    Args:
        input: (n, in_features) or (in_features).
        linear_weight: (classes, in_features), or (classes, d1, ..., in_features) for as many losses a sample.
        target: classes (n, d1, ...), or probabilities (n, classes, d1, ...).
        options: how to compute in chunks; without effect, results do not depend on it.
    """
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}")
    *sizes, features = linear_weight.shape
    if input.shape[-1] != features:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), got "
                           f"{input.shape[-1]} and {features}, respectively")
    if linear_bias is not None and list(linear_bias.shape) != sizes:
        raise RuntimeError(f"expected linear_bias shape {tuple(sizes)}, got {tuple(linear_bias.shape)}")
    if len(sizes) > 1 and input.ndim == 1:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched "
                           f"input, (N, {features}), got unbatched input with shape {tuple(input.shape)}")
    shape = (*input.shape[:-1], *sizes)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = FUNCTIONS["linear"](input, linear_weight.reshape(-1, features), bias).reshape(shape)
    return cross_entropy(logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index,
                         reduction=reduction, label_smoothing=label_smoothing)


def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False) -> Any:
    """-log of the probability of ``targets``, summed over all alignments; see :func:`clgrad.ctc_loss`."""
    return FUNCTIONS["ctc_loss"](log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)
