"""Cross entropy and negative log likelihood with class indices: the launcher of ``cross_entropy.cl``."""

from __future__ import annotations

from typing import Any

from clgrad.dtypes import dtype
from clgrad.kernels.softmax import GROUP, rows_ndrange
from clgrad.runtime import Bound, Device
from clgrad.shapes import round_up

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


class Plan:
    """A loss bound to its shape.

    ``plan(x, x_offset, target, target_offset, weight, weight_offset, loss, loss_offset, lse, total_weight, status)``.
    ``weight`` may be None. ``lse`` (``lse_elements`` elements) and ``total_weight`` (1 element) have the dtype of
    arithmetic, are written and belong to the backward pass. ``status`` is one int32 that the caller has set to 0: it
    becomes 1 where a target is outside [0, classes) and not ``ignore_index``.
    """

    __slots__ = ("device", "bound", "merge", "partial_bytes", "lse_elements", "cost")

    def __init__(self, device: Device, bound: Bound, merge: Bound | None, partial_bytes: int, lse_elements: int,
                 cost: tuple[int, int]):
        self.device, self.bound, self.merge, self.partial_bytes = device, bound, merge, partial_bytes
        self.lse_elements, self.cost = lse_elements, cost

    def __call__(self, x: Any, x_offset: int, target: Any, target_offset: int, weight: Any, weight_offset: int,
                 loss: Any, loss_offset: int, lse: Any, total_weight: Any, status: Any) -> None:
        device, weight = self.device, x if weight is None else weight
        offsets = (x_offset, target_offset, weight_offset, loss_offset)
        if self.merge is None:
            device.run(self.bound, (x, target, weight, loss, lse, total_weight, status, loss), offsets)
            return
        partial = device.allocate(self.partial_bytes)
        device.run(self.bound, (x, target, weight, loss, lse, total_weight, status, partial.buffer), offsets)
        device.run(self.merge, (partial.buffer, loss, total_weight), (loss_offset,))
        partial.release()


class BackwardPlan:
    """The loss's gradient, one launch.

    ``plan(grad_loss, offset, x, offset, target, offset, weight, offset, lse, lse_offset, total_weight, offset, grad_x,
    offset)``; ``grad_loss`` has one element, or one a row with reduction "none".
    """

    __slots__ = ("device", "bound", "cost")

    def __init__(self, device: Device, bound: Bound, cost: tuple[int, int]):
        self.device, self.bound, self.cost = device, bound, cost

    def __call__(self, grad_loss: Any, grad_loss_offset: int, x: Any, x_offset: int, target: Any, target_offset: int,
                 weight: Any, weight_offset: int, lse: Any, lse_offset: int, total_weight: Any, total_offset: int,
                 grad_x: Any, grad_x_offset: int) -> None:
        self.device.run(self.bound, (grad_loss, x, target, x if weight is None else weight, lse, total_weight, grad_x),
                        (grad_loss_offset, x_offset, target_offset, weight_offset, lse_offset, total_offset,
                         grad_x_offset))


def plan(device: Device, kind: dtype, samples: int, classes: int, inner: int, *, logits: bool = True,
         weighted: bool = False, reduction: str = "mean", ignore_index: int = -100, smoothing: float = 0.0) -> Plan:
    """The loss of a contiguous [samples, classes, inner] with int64 targets [samples, inner]; none of them 0.

    ``logits``: cross entropy, else x holds log-probabilities (``nll_loss``). With reduction "none" the loss has
    samples * inner elements, else one.
    """
    rows = samples * inner
    macros, index, real = _macros(kind, rows * classes, logits)
    per_item, width, work, local = _ndrange(device, rows, classes, inner)
    constants = (rows, per_item, classes, inner, width, int(weighted), REDUCTIONS[reduction], ignore_index, smoothing)
    kernel = device.kernel("cross_entropy.cl", "cross_entropy", macros,
                           "P" * 8 + index * 4 + index * 2 + "i" + index + "iiil" + real)
    numel = rows * classes
    cost = (20 * numel, numel * kind.itemsize)
    bound = Bound(kernel, work, local, 8, index * 4, constants, cost)
    parts = work[0] // local[0]
    merge = None
    if parts > 1 and reduction != "none":
        kernel = device.kernel("cross_entropy.cl", "cross_entropy_merge", macros, "PPP" + index + "ii")
        merge = Bound(kernel, (1,), (1,), 3, index, (parts, REDUCTIONS[reduction]), (parts, parts * 16))
    return Plan(device, bound, merge, parts * 16, rows if logits else 1, cost)


def backward_plan(device: Device, kind: dtype, samples: int, classes: int, inner: int, *, logits: bool = True,
                  weighted: bool = False, reduction: str = "mean", ignore_index: int = -100,
                  smoothing: float = 0.0) -> BackwardPlan:
    """The gradient of :func:`plan` with respect to x, for the same arguments."""
    rows = samples * inner
    macros, index, real = _macros(kind, rows * classes, logits)
    per_item, width, work, local = _ndrange(device, rows, classes, inner)
    kernel = device.kernel("cross_entropy.cl", "cross_entropy_backward", macros,
                           "P" * 7 + index * 7 + index * 2 + "i" + index + "iiil" + real)
    constants = (rows, per_item, classes, inner, width, int(weighted), REDUCTIONS[reduction], ignore_index, smoothing)
    numel = rows * classes
    cost = (20 * numel, 2 * numel * kind.itemsize)
    return BackwardPlan(device, Bound(kernel, work, local, 7, index * 7, constants, cost), cost)


def _macros(kind: dtype, numel: int, logits: bool) -> tuple[dict[str, object], str, str]:
    wide, real = numel >= 1 << 30, kind.compute.cl
    return ({"IN": kind.code, "REAL": real, "LOGITS": int(logits), "VW": 16 if real == "float" else 8,
             "INDEX": "long" if wide else "int"}, "l" if wide else "i", real[0])


def _ndrange(device: Device, rows: int, classes: int, inner: int) -> tuple[int, int, tuple, tuple]:
    if inner == 1 or device.is_cpu:
        return rows_ndrange(device, rows, classes)
    group = device.limits.group(GROUP)
    return 1, 1, (round_up(rows, group),), (group,)
