"""Launchers of ``distances.cl``: p-norm distances between rows, and their gradient."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up, round_up

GROUP = 64
WORK = 16384  # differences that are worth a work-item of their own on a CPU
_KINDS = {0.0: 1, 1.0: 2, 2.0: 3, inf: 4}


class Rows(NamedTuple):
    """``batch`` times m rows and n rows of d numbers; ``condensed``: the rows of one matrix, each pair once."""

    batch: int
    m: int
    n: int
    d: int
    p: float
    condensed: bool = False


def plan(device: Device, kind: dtype, rows: Rows) -> Plan:
    """Over x, y, distances."""
    return _plan(device, "distances", kind, rows, rows.n, 3, ())


def gradient_plan(device: Device, kind: dtype, rows: Rows, across: bool) -> Plan:
    """Over g, distances, x, y, dx; ``across``: x has the n rows that the distances are to."""
    steps = (rows.n, 1)
    if across:
        rows, steps = rows._replace(m=rows.n, n=rows.m), (1, rows.n)
    return _plan(device, "distances_gradient", kind, rows, rows.d, 5, steps)


def _plan(device: Device, name: str, kind: dtype, rows: Rows, width: int, buffers: int, steps: tuple) -> Plan:
    total, per_row = rows.batch * rows.m, rows.n * rows.d
    wide = max(total * rows.n, total * rows.d, rows.batch * per_row) >= 1 << 31
    letter, real, chunk = "l" if wide else "i", "d" if kind.itemsize == 8 else "f", 1
    local = 1, 1
    if device.is_cpu:
        chunk = max(1, min(divide_up(WORK, per_row), divide_up(total, 16 * device.limits.compute_units)))
        work = divide_up(total, chunk), 1
    else:
        group = device.limits.group(GROUP)
        work, local = (round_up(width, group), total), (group, 1)
    macros = {"REAL": kind.cl, "KIND": _KINDS.get(rows.p, 0), "CONDENSED": int(rows.condensed), "VW": 16,
              "INDEX": "long" if wide else "int"}
    kernel = device.kernel("distances.cl", name, macros, "P" * buffers + letter * (buffers + 2) + "iii" + letter * len(steps)
                           + real)
    cost = 4 * total * per_row, (total * (rows.d + rows.n) + rows.batch * per_row) * kind.itemsize
    constants = total, chunk, rows.m, rows.n, rows.d, *steps, rows.p if rows.p < inf else 0.0
    return Plan(device, Bound(kernel, work, local, buffers, letter * buffers, constants, cost), cost)
