"""Launcher of ``resample.cl``: a sparse linear map along one axis."""

from __future__ import annotations

from typing import Any

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device

CHUNK = 2048  # elements a CPU work-item writes
GROUP = 64
TYPES = {"b8": "uchar", "u8": "uchar", "i8": "char", "i16": "short", "i32": "int", "i64": "long"}


def _macros(kind: dtype, wide: bool) -> dict[str, Any]:
    real = kind.compute.cl if kind.is_floating_point else TYPES[kind.code]
    return {"CODE": kind.code, "REAL": real, "INDEX": "long" if wide else "int", "VW": 8}


def _cost(kind: dtype, lines_in: int, lines_out: int, inner: int, taps: int) -> tuple[int, int]:
    return 2 * taps * inner, (lines_in + lines_out) * inner * kind.itemsize


def plan(device: Device, kind: dtype, outer: int, n: int, m: int, inner: int, taps: int) -> Plan:
    """Plans the map of [outer, n, inner] to [outer, m, inner] by so many taps in all.

    Its operands: x, starts, places, weights, y.
    """
    lines = outer * m
    cost = _cost(kind, outer * n, lines, inner, outer * taps)
    if lines * inner == 0:
        return Plan(device, None, cost)
    wide = max(lines, outer * n) * inner >= 1 << 31
    letter = "l" if wide else "i"
    if device.is_cpu:
        chunk, local = max(1, min(CHUNK // inner, -(-lines // (device.limits.compute_units * 4)))), 1
        items = -(-lines // chunk)
    else:
        chunk, local, items = 1, device.limits.group(GROUP), lines * inner
    kernel = device.kernel("resample.cl", "resample", _macros(kind, wide), "PPPPP" + letter * 10)
    bound = Bound(kernel, (-(-items // local) * local,), (local,), 5, letter * 5, (lines, chunk, n, m, inner), cost)
    return Plan(device, bound, cost)


def rows_plan(device: Device, kind: dtype, rows: int, n: int, m: int, taps: int) -> Plan:
    """Plans the map of [rows, n] to [rows, m] by ``taps`` taps for each output, on a CPU: without ``starts``."""
    cost = _cost(kind, rows * n, rows * m, 1, rows * m * taps)
    if rows * m == 0:
        return Plan(device, None, cost)
    wide = rows * max(n, m) >= 1 << 31
    letter = "l" if wide else "i"
    chunk = max(1, min(CHUNK * 4 // m, -(-rows // (device.limits.compute_units * 4))))
    kernel = device.kernel("resample.cl", "resample_rows", {**_macros(kind, wide), "TAPS": taps}, "PPPP" + letter * 8)
    return Plan(device, Bound(kernel, (-(-rows // chunk),), (1,), 4, letter * 4, (rows, chunk, n, m), cost), cost)
