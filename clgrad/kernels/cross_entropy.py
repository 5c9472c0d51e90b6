"""Cross entropy and negative log likelihood with class indices: the launcher of ``cross_entropy.cl``."""

from __future__ import annotations

from clgrad.dtypes import dtype
from clgrad.kernels import launch
from clgrad.kernels.softmax import GROUP, rows_ndrange
from clgrad.runtime import Bound, Device
from clgrad.shapes import round_up

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


class Plan:
    """A loss bound to its shape. Its operands: x, target, weight, loss, lse, total_weight.

    ``lse`` (``lse_elements`` elements) and ``total_weight`` (1 element), both from the beginning of their buffers, have the
    dtype of arithmetic, are written and belong to the backward pass. Where a target is outside [0, classes) and not
    ``ignore_index`` that is an error with ``message``.
    """

    __slots__ = ("device", "bound", "merge", "partial_bytes", "lse_elements", "message", "cost")

    def __init__(self, device: Device, bound: Bound, merge: Bound | None, partial_bytes: int, lse_elements: int,
                 message: str, cost: tuple[int, int]):
        self.device, self.bound, self.merge, self.partial_bytes = device, bound, merge, partial_bytes
        self.lse_elements, self.message, self.cost = lse_elements, message, cost

    def __call__(self, buffers: tuple, offsets: tuple) -> None:
        device, loss, total_weight = self.device, buffers[3], buffers[5]
        status, offsets = device.fault_word(self.message), offsets[:4]
        if self.merge is None:
            device.run(self.bound, (*buffers, status, loss), offsets)
            return
        partial = device.allocate(self.partial_bytes)
        device.run(self.bound, (*buffers, status, partial.buffer), offsets)
        device.run(self.merge, (partial.buffer, loss, total_weight), offsets[3:])
        partial.release()


def plan(device: Device, kind: dtype, samples: int, classes: int, inner: int, *, logits: bool = True,
         weighted: bool = False, reduction: str = "mean", ignore_index: int = -100, smoothing: float = 0.0,
         message: str = "") -> Plan:
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
    return Plan(device, bound, merge, parts * 16, rows if logits else 1, message, cost)


def backward_plan(device: Device, kind: dtype, samples: int, classes: int, inner: int, *, logits: bool = True,
                  weighted: bool = False, reduction: str = "mean", ignore_index: int = -100,
                  smoothing: float = 0.0) -> launch.Plan:
    """The gradient of :func:`plan` with respect to x, for the same arguments.

    Its operands: the loss's gradient, which has one element, or one a row with reduction "none", x, target, weight, lse,
    total_weight, and the gradient of x.
    """
    rows = samples * inner
    macros, index, real = _macros(kind, rows * classes, logits)
    per_item, width, work, local = _ndrange(device, rows, classes, inner)
    kernel = device.kernel("cross_entropy.cl", "cross_entropy_backward", macros,
                           "P" * 7 + index * 7 + index * 2 + "i" + index + "iiil" + real)
    constants = (rows, per_item, classes, inner, width, int(weighted), REDUCTIONS[reduction], ignore_index, smoothing)
    numel = rows * classes
    cost = (20 * numel, 2 * numel * kind.itemsize)
    return launch.Plan(device, Bound(kernel, work, local, 7, index * 7, constants, cost), cost)


def _macros(kind: dtype, numel: int, logits: bool) -> tuple[dict[str, object], str, str]:
    wide, real = numel >= 1 << 30, kind.compute.cl
    return ({"IN": kind.code, "REAL": real, "LOGITS": int(logits), "VW": 16 if real == "float" else 8,
             "INDEX": "long" if wide else "int"}, "l" if wide else "i", real[0])


def _ndrange(device: Device, rows: int, classes: int, inner: int) -> tuple[int, int, tuple, tuple]:
    if inner == 1 or device.is_cpu:
        return rows_ndrange(device, rows, classes)
    group = device.limits.group(GROUP)
    return 1, 1, (round_up(rows, group),), (group,)
