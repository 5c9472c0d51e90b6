"""Launcher of ``resample.cl``: a sparse linear map along one axis."""

from __future__ import annotations

from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device

CHUNK = 2048  # elements a CPU work-item writes
GROUP = 64
TYPES = {"b8": "uchar", "u8": "uchar", "i8": "char", "i16": "short", "i32": "int", "i64": "long"}


class Plan:
    """``plan(x, offset, starts, offset, places, offset, weights, offset, y, offset)``."""

    __slots__ = ("device", "bound", "cost")

    def __init__(self, device: Device, bound: Bound | None, cost: tuple[int, int]):
        self.device, self.bound, self.cost = device, bound, cost

    def __call__(self, *operands: Any) -> None:
        if self.bound is not None:
            self.device.run(self.bound, operands[::2], operands[1::2])


def plan(device: Device, kind: dtype, outer: int, n: int, m: int, inner: int, taps: int) -> Plan:
    """Plans the map of [outer, n, inner] to [outer, m, inner] by so many taps in all."""
    lines = outer * m
    cost = (2 * outer * taps * inner, (outer * n * inner + lines * inner) * kind.itemsize)
    if lines * inner == 0:
        return Plan(device, None, cost)
    wide = max(lines, outer * n) * inner >= 1 << 31
    letter = "l" if wide else "i"
    real = kind.compute.cl if kind.is_floating_point else TYPES[kind.code]
    macros = {"CODE": kind.code, "REAL": real, "INDEX": "long" if wide else "int", "VW": 8}
    if device.is_cpu:
        chunk, local = max(1, min(CHUNK // inner, -(-lines // (device.limits.compute_units * 4)))), 1
        items = -(-lines // chunk)
    else:
        chunk, local, items = 1, min(GROUP, device.limits.max_work_group), lines * inner
    kernel = device.kernel("resample.cl", "resample", macros, "PPPPP" + letter * 10)
    bound = Bound(kernel, (-(-items // local) * local,), (local,), 5, letter * 5, (lines, chunk, n, m, inner))
    return Plan(device, bound, cost)
