"""Launcher of ``random.cl``: numbers that depend on seed, counter and position only."""

from __future__ import annotations

from typing import NamedTuple

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device

CPU_CHUNK = 512  # counters a CPU work-item handles at least
GPU_GROUP = 128
# Random bits of a uniform number: as many as its dtype's significand holds, so that it is never rounded up to 1.
_BITS = {"f16": 11, "bf16": 8}
_MASK64 = (1 << 64) - 1


class Plan(NamedTuple):
    """Numbers for ``n`` elements. ``counters``: how many counters of the stream a call uses up."""

    device: Device
    bound: Bound
    counters: int

    def __call__(self, buffers: tuple, offsets: tuple, seed: int, first: int, a: float, b: float) -> None:
        self.device.run(self.bound, buffers, (*offsets, signed(seed), signed(first), a, b))


def signed(value: int) -> int:
    """A word of 64 bits as the signed number that a kernel's argument is given as."""
    value &= _MASK64
    return value - (1 << 64) if value >> 63 else value


def plan(device: Device, kind: str, out: dtype, n: int) -> Plan:
    """Plans ``kind`` (UNIFORM, NORMAL, INTEGER, BERNOULLI or DROPOUT) for n contiguous elements, n > 0.

    A call's ``a`` and ``b`` are: the interval's ends; mean and deviation; the lowest integer and how many there are;
    the probability of 1; the probability of keeping and the factor. DROPOUT's buffers are x, y, mask.
    """
    calc = "long" if kind == "INTEGER" else "double" if out.code == "f64" else "float"
    per = 4 if calc == "float" else 2
    counters = -(-n // per)
    lanes = max(1, min(8, device.limits.vector_width)) if device.is_cpu else 1
    wide = n >= 1 << 30
    macros = {"OUT": out.code, "CALC": calc, "KIND": kind, "PER": per, "BITS": _BITS.get(out.code, 24), "VW": lanes,
              "INDEX": "long" if wide else "int"}
    index, number = "l" if wide else "i", {"long": "l", "double": "d", "float": "f"}[calc]
    buffers = 3 if kind == "DROPOUT" else 1
    name = "random_dropout" if kind == "DROPOUT" else "random_fill"
    varying = index * buffers + "ll" + number * 2
    kernel = device.kernel("random.cl", name, macros, "P" * buffers + varying + index * 2)
    if device.is_cpu:
        share = -(-counters // (2 * device.limits.compute_units))
        group, chunk = 1, -(-min(max(share, CPU_CHUNK), 16384) // lanes) * lanes
    else:
        group, chunk = device.limits.group(GPU_GROUP), 1
    items = -(-counters // chunk)
    cost = (40 * n, n * out.itemsize)
    bound = Bound(kernel, (-(-items // group) * group,), (group,), buffers, varying, (n, chunk), cost)
    return Plan(device, bound, counters)
