"""Losses of ``nn.functional`` that ask for margins between scores or distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import ends_in
from clgrad.dtypes import int64, type_name
from clgrad.nn.losses import reduced, reduction_of
from clgrad.ops.registry import FUNCTIONS


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
                        reduce: bool | None = None, reduction: str = "mean") -> Any:
    """max(0, -target * (input1 - input2) + margin)."""
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
                           f"{input1.shape}, input2: {input2.shape}, target: {target.shape} ")
    values = (-target * (input1 - input2) + margin).clamp_min(0)
    return reduced(values, reduction_of(size_average, reduce, reduction))


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, size_average: bool | None = None,
                         reduce: bool | None = None, reduction: str = "mean") -> Any:
    """input where target is 1, max(0, margin - input) where it is -1."""
    where = FUNCTIONS["where"]
    values = where(target != 1, (margin - input).clamp_min(0), 0.0) + where(target != -1, input, 0.0)
    return reduced(values, reduction_of(size_average, reduce, reduction))


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
                          reduce: bool | None = None, reduction: str = "mean") -> Any:
    """1 - cosine of the angle where target is 1, max(0, cosine - margin) where it is -1; rows (n, d) or one vector."""
    reduction = reduction_of(size_average, reduce, reduction)
    if target.ndim not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    for x in (input1, input2):
        if x.ndim != target.ndim + 1:
            raise RuntimeError(f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs "
                               f"with sizes {list(input1.shape)} and {list(input2.shape)}.")
    tiny = 1e-12
    product = (input1 * input2).sum(-1)
    cosine = product / (((input1 * input1).sum(-1) + tiny) * ((input2 * input2).sum(-1) + tiny)).sqrt()
    where = FUNCTIONS["where"]
    values = where(target == 1, 1 - cosine, 0.0) + where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return reduced(values, reduction)


def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2,
                        eps: float = 1e-6, swap: bool = False, size_average: bool | None = None,
                        reduce: bool | None = None, reduction: str = "mean") -> Any:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of the difference (Balntas et al. 2016).

    ``swap`` takes the smaller of the negative's distances to the anchor and to the positive.
    """
    reduction = reduction_of(size_average, reduce, reduction)

    def distance(x: Any, y: Any) -> Any:
        return FUNCTIONS["pairwise_distance"](x, y, p, eps)
    return triplet_margin_with_distance_loss(anchor, positive, negative, distance_function=distance, margin=margin,
                                             swap=swap, reduction=reduction)


def triplet_margin_with_distance_loss(anchor: Any, positive: Any, negative: Any, *,
                                      distance_function: Callable[[Any, Any], Any] | None = None, margin: float = 1.0,
                                      swap: bool = False, reduction: str = "mean") -> Any:
    """:func:`triplet_margin_loss` with any function as distance; the Euclidean one by default."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
                           f"but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D "
                           "inputs")
    distance = distance_function or FUNCTIONS["pairwise_distance"]
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = FUNCTIONS["minimum"](far, distance(positive, negative))
    return reduced((margin + near - far).clamp_min(0), reduction)


def _rows(name: str, input: Any, target: Any, per_class: bool) -> tuple[Any, Any]:
    """Scores as (n, c), targets as (n) or with ``per_class`` as (n, c)."""
    if input.ndim > 2 or (input.ndim and not input.shape[-1]):
        raise RuntimeError(f"{name}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
                           f"{list(input.shape)}")
    expected = tuple(input.shape) if per_class else tuple(input.shape[:-1])
    if tuple(target.shape) != expected and not (not per_class and input.ndim == 1 and target.numel() == 1):
        raise RuntimeError(f"{name}: inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
                           if per_class else
                           f"{name}: target tensor should be 1-D with size equal to the number of input samples (batch size)."
                           f" Expected target size {list(expected or (1,))}, but got {list(target.shape)}. Input has shape "
                           f"{list(input.shape)}.")
    rows = input if input.ndim == 2 else input.view(1, -1)
    return rows, target.reshape(rows.shape if per_class else (rows.shape[0],))


def _check_dtypes(name: str, kernel: str, input: Any, target: Any) -> None:
    """RuntimeError where scores are not floating-point, or classes not of int64."""
    if not input.spec.dtype.is_floating_point:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(input.spec.dtype)}'")
    if target.spec.dtype is not int64:
        raise RuntimeError(f"{name}: expected scalar type Long but found {type_name(target.spec.dtype)}")


def _classes(input: Any) -> Any:
    return FUNCTIONS["arange"](input.shape[-1], device=input.device)


def multi_margin_loss(input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
                      size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Any:
    """For each sample the sum over wrong classes i of max(0, margin - x[target] + x[i])^p, divided by the classes."""
    reduction = reduction_of(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    rows, classes = _rows("multi_margin_loss", input, target, False)
    if weight is not None and weight.numel() != rows.shape[1]:
        raise RuntimeError(f"multi_margin_loss: inconsistent weight size, expected {rows.shape[1]} but got "
                           f"{list(weight.shape)}")
    _check_dtypes("multi_margin_loss", "multi_margin_loss_cpu_kernel", input, target)
    right = classes.unsqueeze(1)
    over = (margin - rows.gather(1, right) + rows).clamp_min(0)
    over = FUNCTIONS["where"](right == _classes(rows), 0.0, over if p == 1 else over * over)
    values = over.sum(1) / rows.shape[1]
    values = values if weight is None else values * weight.index_select(0, classes)
    return ends_in(reduced(values if input.ndim == 2 else values.view(target.shape), reduction), "MultiMarginLoss")


def multilabel_margin_loss(input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
                           reduction: str = "mean") -> Any:
    """For each sample the sum of max(0, 1 - (x[t] - x[i])) over right classes t and others i, divided by the classes.

    ``target`` lists a sample's classes, then -1.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    rows, labels = _rows("multilabel_margin_loss", input, target, True)
    _check_dtypes("multilabel_margin_loss", "multilabel_margin_loss_forward_out_frame", input, target)
    listed = (labels < 0).long().cumsum(1) == 0
    labels = FUNCTIONS["where"](listed, labels, 0)
    chosen = (labels.unsqueeze(2) == _classes(rows)) & listed.unsqueeze(2)
    wrong = ~chosen.any(1)
    over = (1 - rows.gather(1, labels).unsqueeze(2) + rows.unsqueeze(1)).clamp_min(0)
    counted = (listed.unsqueeze(2) & wrong.unsqueeze(1)).to(rows.dtype)
    values = (over * counted).sum((1, 2)) / rows.shape[1]
    return ends_in(reduced(values if input.ndim == 2 else values.view(()), reduction), "MultilabelMarginLoss")


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
                                reduce: bool | None = None, reduction: str = "mean") -> Any:
    """The binary cross entropy of sigmoid(input), averaged over the classes, the last dimension."""
    reduction = reduction_of(size_average, reduce, reduction)
    log_sigmoid = FUNCTIONS["logsigmoid"]
    values = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    values = values if weight is None else values * weight
    return reduced(values.sum(-1) / input.shape[-1], reduction)
