"""Losses."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.nn import functional as F
from clgrad.onnx.operators.table import implements, ops

_NO_CLASS = -100


@implements("NegativeLogLikelihoodLoss")
def nll_loss(x: Any, target: Any, weight: Any = None, *, ignore_index: int | None = None, reduction: str = "mean") -> Any:
    """The negative log-likelihood of the target classes."""
    ignored = _NO_CLASS if ignore_index is None else ignore_index
    return F.nll_loss(x, target.to(dtypes.int64), weight, ignore_index=ignored, reduction=reduction)


@implements("SoftmaxCrossEntropyLoss")
def cross_entropy(scores: Any, labels: Any, weight: Any = None, *, ignore_index: int | None = None,
                  reduction: str = "mean", outputs: int = 1) -> Any:
    """The cross-entropy of scores and classes, and the logarithms of the probabilities."""
    logs = ops.log_softmax(scores, 1)
    loss = nll_loss(logs, labels, weight, ignore_index=ignore_index, reduction=reduction)
    return loss if outputs == 1 else (loss, logs)
