"""Softmax and log-softmax, forward and backward: the launcher of ``softmax.cl``."""

from __future__ import annotations

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import round_up

GROUP = 256   # work-items a group on GPUs, where they allow as many
SHORT = 32    # elements up to which rows are lanes, SHORT of softmax.cl
SHORT_ROWS = 4  # rows from which that is faster
GRAIN = 2048  # elements that are worth a work-item of their own on a CPU


def rows_ndrange(device: Device, rows: int, n: int) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """Rows a CPU work-item, work-items a GPU row, and the NDRange of a kernel over rows of n elements."""
    if device.is_cpu:
        share = -(-rows // (device.limits.compute_units * 4))
        per_item = max(1, share if rows * n > 2 * GRAIN else rows, min(rows, GRAIN // max(n, 1)))
        return per_item, 1, (-(-rows // per_item),), (1,)
    group = device.limits.group(GROUP)
    width = min(group, 1 << (max(n, 1) - 1).bit_length())
    return 1, width, (round_up(rows * width, group),), (group,)


def plan(device: Device, kind: dtype, outer: int, n: int, inner: int, *, log: bool) -> Plan:
    """(Log-)softmax over n of a contiguous [outer, n, inner] of a floating-point dtype."""
    cost = (20 * outer * n * inner, 2 * outer * n * inner * kind.itemsize)
    return Plan(device, _bound(device, kind, outer, n, inner, log, "", cost), cost)


def backward_plan(device: Device, kind: dtype, outer: int, n: int, inner: int, *, log: bool) -> Plan:
    """The gradient of :func:`plan` with respect to its input."""
    cost = (4 * outer * n * inner, 3 * outer * n * inner * kind.itemsize)
    return Plan(device, _bound(device, kind, outer, n, inner, log, "_backward", cost), cost)


def _bound(device: Device, kind: dtype, outer: int, n: int, inner: int, log: bool, suffix: str,
           cost: tuple[int, int]) -> Bound | None:
    numel = outer * n * inner
    if numel == 0:
        return None
    index = "l" if numel >= 1 << 30 else "i"
    real = kind.compute.cl
    macros = {"IN": kind.code, "REAL": real, "LOG": int(log), "VW": 16 if real == "float" else 8,
              "INDEX": "long" if index == "l" else "int", "EXACT_STORE": int(kind is kind.compute)}
    buffers = 3 if suffix else 2
    lead = "P" * buffers + index * buffers
    if inner == 1 and n <= SHORT and outer >= SHORT_ROWS and device.is_cpu:
        per_item = -(-rows_ndrange(device, outer, n)[0] // 16) * 16
        kernel = device.kernel("softmax.cl", "softmax_short" + suffix, macros, lead + index * 3)
        return Bound(kernel, (-(-outer // per_item),), (1,), buffers, index * buffers, (outer, per_item, n), cost)
    if inner == 1:
        per_item, width, work, local = rows_ndrange(device, outer, n)
        kernel = device.kernel("softmax.cl", "softmax_rows" + suffix, macros, lead + index * 3 + "i")
        return Bound(kernel, work, local, buffers, index * buffers, (outer, per_item, n, width), cost)
    strip = max(16, -(-inner // 16) * 16 if numel < 2 * GRAIN else min(256, -(-inner // 32) * 16))
    group = 1 if device.is_cpu else device.limits.group(GROUP)
    across = -(-inner // strip) if device.is_cpu else round_up(inner, group)
    kernel = device.kernel("softmax.cl", "softmax_columns" + suffix, macros, lead + index * 3)
    return Bound(kernel, (across, outer), (group, 1), buffers, index * buffers,
                 (n, inner, strip), cost)
