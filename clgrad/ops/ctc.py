"""Connectionist temporal classification: the loss of sequences whose alignment is not known (Graves et al. 2006)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import Saved, TensorBase, attach, needs_graph
from clgrad.kernels import ctc as kernels
from clgrad.ops.copying import cast, empty, from_array
from clgrad.ops.execute import check_device, execute
from clgrad.ops.registry import FUNCTIONS, operator

_plan = lru_cache(maxsize=256)(kernels.plan)


def _numbers(name: str, values: Any) -> list[int]:
    if isinstance(values, TensorBase):
        if values.spec.dtype.is_floating_point:
            raise RuntimeError(f"{name} must be integral")
        values = values.tolist()
        return values if isinstance(values, list) else [values]
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"ctc_loss(): argument '{name}' must be tuple of ints or Tensor, not {type(values).__name__}")
    return [int(v) for v in values]


_CHECKED = " (while checking arguments for ctc_loss_allocate_outputs)"


def _check_lengths(name: str, lengths: list[int], samples: int, most: int) -> None:
    if len(lengths) != samples:
        raise RuntimeError(f"{name} must be of size batch_size")
    for length in lengths:
        if length < 0:
            raise RuntimeError(f"Expected {name} to have value at least 0, but got value {length}{_CHECKED}")
        if length > most:
            raise RuntimeError(f"Expected {name} to have value at most {most}, but got value {length}{_CHECKED}")


def _starts(targets: Any, lengths: list[int]) -> list[int]:
    """Where each sample's labels begin in the contiguous targets."""
    shape = targets.spec.shape
    if len(shape) == 1:
        if shape[0] != sum(lengths):
            raise RuntimeError(f"Expected tensor to have size {sum(lengths)} at dimension 0, but got size {shape[0]} for "
                               f"argument #2 'targets'{_CHECKED}")
        return [int(start) for start in np.cumsum([0, *lengths[:-1]])]
    if len(shape) != 2 or shape[0] != len(lengths):
        raise RuntimeError(f"Expected tensor to have size {len(lengths)} at dimension 0, but got size "
                           f"{shape[0] if shape else 1} for argument #2 'targets'{_CHECKED}")
    if shape[1] < max(lengths, default=0):
        raise RuntimeError(f"Expected tensor to have size at least {max(lengths)} at dimension 1, but got size {shape[1]} "
                           f"for argument #2 'targets'{_CHECKED}")
    return [n * shape[1] for n in range(len(lengths))]


def _losses(lp: Any, targets: Any, inputs: list[int], labels: list[int], blank: int, zero_infinity: bool) -> Any:
    """The loss of each sample of (T, N, C)."""
    own = lp.spec
    times, samples, classes = own.shape
    device = check_device("ctc_loss", lp, targets)
    table = np.stack([_starts(targets, labels), labels, inputs], 1).astype(np.int64)
    lengths = from_array(np.ascontiguousarray(table), dtypes.int64, own.device)
    targets = cast(targets, dtypes.int64).contiguous()
    lp = lp.contiguous()
    places = 2 * max(labels, default=0) + 1
    sizes = (device, own.dtype, times, samples, classes, places, blank)
    alpha = empty((samples, max(times, 1), places), own.dtype, own.device)
    loss = empty((samples,), own.dtype, own.device)
    execute(_plan(*sizes), (lp, targets, lengths), (alpha, loss))
    if needs_graph(lp):
        saved = Saved("ctc_loss", [lp, targets, lengths, alpha])

        def backward(g: Any) -> Any:
            *known, value = saved.unpack()
            beta = empty((samples, 2, places), own.dtype, own.device)
            grad = empty(own.shape, own.dtype, own.device)
            execute(_plan(*sizes, zero_infinity), (g.contiguous(), *known, value), (beta, grad))
            if needs_graph(g, known[0]):
                attach(grad, "CtcLossBackward", (g, known[0]), _no_second_derivative)
            return grad
        attach(loss, "CtcLoss", (lp,), backward, saved)
        saved.add_output(loss)
    return FUNCTIONS["where"](loss == float("inf"), 0.0, loss) if zero_infinity else loss


def _no_second_derivative(g: Any) -> Any:
    raise NotImplementedError("ctc_loss: the second derivative is not implemented")


@operator("ctc_loss", method=False)
def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False) -> Any:
    """-log of the probability of ``targets``, summed over all alignments.

    Args:
        log_probs: (T, N, C) or (T, C), logarithms of probabilities of the classes at each time.
        targets: (N, S), padded, or the labels of all samples in one row.
        input_lengths, target_lengths: the times and labels that count, N of each.
        blank: the class that stands for no label.
        reduction: "mean" divides each loss by its number of labels (at least 1) and averages; "sum" or "none".
        zero_infinity: infinite losses, of targets that do not fit, count as 0 and have no gradient.
    """
    own = log_probs.spec
    if own.ndim not in (2, 3):
        raise RuntimeError(f"ctc_loss: Expected 3-dimensional tensor, but got {own.ndim + 1}-dimensional tensor for argument "
                           f"#1 'log_probs'{_CHECKED}")
    if own.dtype not in (dtypes.float32, dtypes.float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{dtypes.type_name(own.dtype)}'")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    lp = log_probs if own.ndim == 3 else log_probs.unsqueeze(1)
    times, samples, classes = lp.spec.shape
    if not lp.spec.numel:
        raise RuntimeError(f"ctc_loss(): log_probs tensor must not be empty, got the shape {tuple(own.shape)}")
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    inputs, labels = _numbers("input_lengths", input_lengths), _numbers("target_lengths", target_lengths)
    _check_lengths("input_lengths", inputs, samples, times)
    _check_lengths("target_lengths", labels, samples, 1 << 31)
    losses = _losses(lp, targets, inputs, labels, blank, zero_infinity)
    if reduction == "none":
        return losses if own.ndim == 3 else losses.squeeze(0)
    if reduction == "sum":
        return losses.sum()
    counts = np.maximum(np.array(labels), 1).astype(own.dtype.numpy)
    return (losses / from_array(counts, own.dtype, own.device)).mean()
