"""Bisection in sorted sequences: the launcher of ``search.cl``."""

from __future__ import annotations

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device

CHUNK = 1024  # values that a CPU work-item looks up
LANES = 32    # of these at a time: with 8 twice as slow
GROUP = 64


def plan(device: Device, kind: dtype, out: dtype, rows: int, n: int, m: int, shared: bool, right: bool) -> Plan:
    """Plans the places of [rows, m] values in [rows, n] sequences (``shared``: in one of n); rows * m > 0."""
    total = rows * m
    wide = max(total, n * (1 if shared else rows)) >= 1 << 30
    letter = "l" if wide else "i"
    macros = {"CODE": kind.code, "VALUE": kind.compute.cl, "OUT": out.code, "RIGHT": int(right),
              "LANES": LANES if device.is_cpu else 1, "INDEX": "long" if wide else "int"}
    kernel = device.kernel("search.cl", "search", macros, "PPP" + letter * 8)
    chunk, local = (CHUNK, 1) if device.is_cpu else (1, device.limits.group(GROUP))
    items = -(-total // chunk)
    cost = (16 * total * max(n, 1).bit_length(), total * (kind.itemsize + out.itemsize))
    bound = Bound(kernel, (-(-items // local) * local,), (local,), 3, letter * 3,
                  (total, chunk, n, m, 0 if shared else n), cost)
    return Plan(device, bound, cost)
