"""Launchers of ``compact.cl``: the elements that are not zero, counted, copied out, or told by their places."""

from __future__ import annotations

from collections.abc import Sequence

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up, round_up

CPU_CHUNK, GPU_CHUNK, GROUP = 1024, 32, 64
RANK_MOST = 8  # dimensions that the kernel takes apart
_MOVED = {1: "u8", 2: "i16", 4: "i32", 8: "i64"}


def chunks(device: Device, n: int) -> int:
    """How many counts there are for n elements."""
    return divide_up(n, _chunk(device))


def _chunk(device: Device) -> int:
    return CPU_CHUNK if device.is_cpu else GPU_CHUNK


def _plan(device: Device, name: str, macros: dict[str, object], buffers: int, n: int, constants: tuple,
          cost: tuple[int, int]) -> Plan:
    wide = n * max(1, int(macros.get("RANK", 1))) >= 1 << 31  # type: ignore[call-overload]
    letter = "l" if wide else "i"
    macros.update(CHUNK=_chunk(device), INDEX="long" if wide else "int")
    kernel = device.kernel("compact.cl", name, macros, "P" * buffers + letter * (buffers + 1 + len(constants)))
    local = 1 if device.is_cpu else device.limits.group(GROUP)
    work = (round_up(chunks(device, n), local),)
    return Plan(device, Bound(kernel, work, (local,), buffers, letter * buffers, (n, *constants), cost), cost)


def count_plan(device: Device, mask: dtype, n: int) -> Plan:
    """Over mask, counts: marked elements of each chunk, as int64."""
    return _plan(device, "count", {"MASK": mask.code}, 2, n, (), (n, n * mask.itemsize))


def values_plan(device: Device, mask: dtype, kind: dtype, n: int) -> Plan:
    """Over x, mask, sums, out: the marked elements of x."""
    return _plan(device, "values", {"MASK": mask.code, "CODE": _MOVED[kind.itemsize]}, 4, n, (),
                 (n, n * (mask.itemsize + 2 * kind.itemsize)))


def places_plan(device: Device, mask: dtype, shape: Sequence[int], n: int) -> Plan:
    """Over mask, sums, out: int64 coordinates (count, dimensions) of the marked elements."""
    sizes = (*shape[1:], *(1,) * RANK_MOST)[:RANK_MOST - 1]
    return _plan(device, "places", {"MASK": mask.code, "RANK": len(shape)}, 3, n, sizes,
                 (n, n * (mask.itemsize + 8 * len(shape))))
