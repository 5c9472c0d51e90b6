"""Running sums, products, extremes and log-sum-exps along one dimension: the launcher of ``scan.cl``."""

from __future__ import annotations

from clgrad import dtypes
from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import round_up

STRIP, GROUP = 64, 256  # STRIP of scan.cl; work-items a group on GPUs, where they allow as many
ROWS = 8                # that a work-item of a CPU scans side by side
GRAIN = 4096            # elements that are worth a work-item of their own on a CPU
KINDS = {"cumsum": 0, "cumprod": 1, "cummax": 2, "cummin": 2, "logcumsumexp": 3}


def plan(device: Device, op: str, in_dtype: dtype, out_dtype: dtype, outer: int, n: int, inner: int,
         backwards: bool = False) -> Plan:
    """A scan over n of a contiguous [outer, n, inner]; ``op`` is a key of ``KINDS``. ``backwards``: from the last on.

    Of equal extremes the last one's index is kept and NaN wins, as in PyTorch.
    """
    numel = outer * n * inner
    cost = (numel, numel * (in_dtype.itemsize + out_dtype.itemsize))
    if numel == 0:
        return Plan(device, None, cost)
    wide = numel >= 1 << 30
    index, kind = ("l" if wide else "i"), KINDS[op]
    if not in_dtype.is_floating_point:
        acc = "ulong" if in_dtype is dtypes.uint64 else "long"
    elif kind == 2 or not device.limits.fp64:
        acc = in_dtype.compute.cl
    else:
        acc = "double"
    macros = {"IN": in_dtype.code, "OUT": out_dtype.code, "ACC": acc, "KIND": kind,
              "REPLACES(b, a)": "((b) <= (a))" if op == "cummin" else "((b) >= (a))",
              "INDEX": "long" if wide else "int", **({"BACKWARDS": 1} if backwards else {})}
    kernel = device.kernel("scan.cl", "scan", macros, "PPP" + index * 7)
    least = ROWS if inner == 1 and outer >= 2 * ROWS * device.limits.compute_units else 1
    per_item = max(least, min(outer, GRAIN // (n * min(inner, STRIP)))) if device.is_cpu else 1
    if device.is_cpu:
        work, local = (-(-inner // STRIP), -(-outer // per_item)), (1, 1)
    else:
        group = device.limits.group(GROUP)
        work, local = (round_up(inner, group), outer), (group, 1)
    return Plan(device, Bound(kernel, work, local, 3, index * 3, (outer, per_item, n, inner), cost), cost)
