"""Launchers of ``pad.cl``: lines extended at their ends by elements of their own, and the gradient of that."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from clgrad import dtypes
from clgrad.dtypes import dtype
from clgrad.kernels.elementwise import calc_type
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import Shape, divide_up, round_up

CHUNK = 4096  # elements that a CPU's work-item writes at least
GROUP = 64


class Run(NamedTuple):
    """Elements ``first`` to ``last`` of an extended line, which are those of the line itself, each ``shift`` further on."""

    first: int
    last: int
    shift: int


_LETTERS = {"float": "f", "double": "d", "int": "i", "long": "l", "ulong": "l"}


def plan(device: Device, kind: dtype, outer: int, small: Shape, large: Shape, run: Run, gradient: bool) -> Plan:
    """Plans [outer, *small] as [outer, *large], of three dimensions each; ``gradient``: the other way.

    The tables are int32 and stand in ``pad.cl``.
    """
    written = small if gradient else large
    total, width = outer * prod(written[:2]), written[2]
    elements = outer * (prod(small) + prod(large))
    cost = elements, elements * kind.itemsize
    if total * width == 0:
        return Plan(device, None, cost)
    wide = elements >= 1 << 31
    letter = "l" if wide else "i"
    if device.is_cpu:
        chunk, local = max(1, CHUNK // width, divide_up(total, 16 * device.limits.compute_units)), 1
        items = divide_up(total, chunk)
    else:
        chunk, local = 1, device.limits.group(GROUP)
        items = round_up(total * width, local)
    code = "u8" if kind is dtypes.bool else kind.code  # bytes are moved as they are
    number = calc_type(kind)
    macros = {"CODE": code, "REAL": kind.compute.cl, "VALUE": number, "INDEX": "long" if wide else "int", "VW": 8}
    varying = letter * 3 + ("" if gradient else _LETTERS[number])
    kernel = device.kernel("pad.cl", "pad_gradient" if gradient else "pad", macros, "PPP" + varying + letter * 2 + "i" * 9)
    constants = (total, chunk, *small[::-1], *large[::-1], *run)
    return Plan(device, Bound(kernel, (items,), (local,), 3, varying, constants, cost), cost)
