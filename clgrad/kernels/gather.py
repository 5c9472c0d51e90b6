"""Launcher of ``gather.cl``: elements picked along a dimension by index, and sums put back to where they came from."""

from __future__ import annotations

from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device

CHUNK = 2048  # elements a CPU work-item picks
GROUP = 64


class Plan:
    """``plan(x, x_offset, index, index_offset, out, out_offset)``; ``message`` is what a wrong index is told."""

    __slots__ = ("device", "bound", "message", "cost")

    def __init__(self, device: Device, bound: Bound | None, message: str, cost: tuple[int, int]):
        self.device, self.bound, self.message, self.cost = device, bound, message, cost

    def __call__(self, x: Any, x_offset: int, index: Any, index_offset: int, out: Any, out_offset: int) -> None:
        if self.bound is not None:
            status = self.device.fault_word(self.message)
            self.device.run(self.bound, (x, index, out, status), (x_offset, index_offset, out_offset))


def plan(device: Device, name: str, kind: dtype, outer: int, n: int, m: int, inner: int) -> Plan:
    """Plans "gather" of [outer, n, inner] into [outer, m, inner], or "scatter_add" the other way, by an int64 index."""
    total = outer * m * inner
    message = f"{name}: an index is out of bounds for a dimension of size {n}"
    cost = (total, total * (2 * kind.itemsize + 8))
    if total == 0:
        return Plan(device, None, message, cost)
    wide = max(total, outer * n * inner) >= 1 << 31
    letter = "l" if wide else "i"
    real = kind.compute.cl if kind.is_floating_point else "long"
    macros = {"CODE": kind.code, "REAL": real, "INDEX": "long" if wide else "int"}
    sizes: tuple[int, ...]
    if name == "gather":
        chunk = CHUNK if device.is_cpu else 1
        items, sizes = -(-total // chunk), (total, chunk, n, m, inner)
    else:
        items, sizes = outer * inner, (outer * inner, n, m, inner)
    local = 1 if device.is_cpu else min(GROUP, device.limits.max_work_group)
    kernel = device.kernel("gather.cl", name, macros, "PPPP" + letter * (3 + len(sizes)))
    return Plan(device, Bound(kernel, (-(-items // local) * local,), (local,), 4, letter * 3, sizes, cost), message,
                cost)
