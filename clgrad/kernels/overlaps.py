"""Launcher of ``overlaps.cl``: which boxes overlap better ones of their class."""

from __future__ import annotations

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up

BITS = 32  # of a word


def plan(device: Device, kind: dtype, count: int, threshold: float) -> Plan:
    """Over boxes, classes, words; ``threshold`` is a number of the boxes' dtype."""
    words = divide_up(count, BITS)
    wide = count * max(words, 4) >= 1 << 31
    letter, real = "l" if wide else "i", "d" if kind.itemsize == 8 else "f"
    kernel = device.kernel("overlaps.cl", "overlaps", {"REAL": kind.cl, "INDEX": "long" if wide else "int"},
                           "PPP" + letter * 5 + real)
    cost = 12 * count * count // 2, count * (4 * kind.itemsize + 8 + 4 * words)
    return Plan(device, Bound(kernel, (count,), (1,), 3, letter * 3, (count, words, threshold), cost), cost)
