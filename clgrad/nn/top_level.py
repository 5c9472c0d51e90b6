"""Functions of ``nn.functional`` that stand among PyTorch's top names, too; there reductions are numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.dropouts import alpha_dropout_, dropout_, feature_alpha_dropout_, feature_dropout, feature_dropout_

_REDUCTIONS = ("none", "mean", "sum")


def _numbered(function: Callable, *names: str) -> Callable:
    """A loss whose arguments are these, in this order, and whose reduction is 0 (none), 1 (mean) or 2 (sum)."""
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}

    def loss(*args: Any, **kwargs: Any) -> Any:
        if len(args) > len(names):
            raise TypeError(f"{function.__name__}() takes {len(names)} positional arguments but {len(args)} were given")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        reduction = given.get("reduction", defaults["reduction"])
        given["reduction"] = _REDUCTIONS[reduction] if isinstance(reduction, int) else reduction
        return function(**given)
    loss.__name__ = loss.__qualname__ = function.__name__
    loss.__doc__ = f":func:`clgrad.nn.functional.{function.__name__}`; ``reduction`` may be 0 (none), 1 (mean) or 2 (sum)."
    return loss


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0, reduction: str = "mean") -> Any:
    """The loss where ``target`` may have fewer dimensions than what it is broadcast to."""
    dims = max(input1.ndim, input2.ndim, target.ndim)
    first, second, sign = (t[(None,) * (dims - t.ndim)] for t in (input1, input2, target))
    return F.margin_ranking_loss(first, second, sign, margin, reduction=reduction)


def alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """:func:`clgrad.nn.functional.alpha_dropout`, all arguments required."""
    return F.alpha_dropout(input, p, train)


def feature_alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """:func:`clgrad.nn.functional.feature_alpha_dropout`, all arguments required."""
    return F.feature_alpha_dropout(input, p, train)


NAMES: dict[str, Callable] = {
    f.__name__: f for f in (
        F.bilinear, F.celu, F.celu_, F.max_pool1d_with_indices, F.rrelu, F.rrelu_, F.selu, F.selu_,
        F.threshold, F.threshold_, alpha_dropout, feature_alpha_dropout, dropout_, feature_dropout, feature_dropout_,
        alpha_dropout_, feature_alpha_dropout_,
        _numbered(F.binary_cross_entropy_with_logits, "input", "target", "weight", "pos_weight", "reduction"),
        _numbered(F.cosine_embedding_loss, "input1", "input2", "target", "margin", "reduction"),
        _numbered(F.hinge_embedding_loss, "input", "target", "margin", "reduction"),
        _numbered(F.kl_div, "input", "target", "reduction"),
        _numbered(margin_ranking_loss, "input1", "input2", "target", "margin", "reduction"),
        _numbered(F.poisson_nll_loss, "input", "target", "log_input", "full", "eps", "reduction"),
        _numbered(F.triplet_margin_loss, "anchor", "positive", "negative", "margin", "p", "eps", "swap", "reduction"),
        _numbered(F.ctc_loss, "log_probs", "targets", "input_lengths", "target_lengths", "blank", "reduction",
                  "zero_infinity"))}
NAMES["native_channel_shuffle"] = F.channel_shuffle
globals().update(NAMES)  # clgrad takes them from here by name
