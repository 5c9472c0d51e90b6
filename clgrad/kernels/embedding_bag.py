"""Launcher of ``embedding_bag.cl``: sums, weighted sums and means of bags of rows of a table."""

from __future__ import annotations

from typing import NamedTuple

from clgrad.dtypes import dtype
from clgrad.kernels.launch import CheckedPlan
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up, round_up

GROUP = 64
WORK = 4096  # elements that are worth a work-item of their own on a CPU


class Bags(NamedTuple):
    """``number`` bags of ``total`` indices of rows of a table: all of ``length``, or, where that is 0, from offset to offset.

    ``ended``: the end of the last bag is an offset too. ``weighted``: each index has a factor.
    """

    number: int
    total: int
    length: int
    ended: bool
    mean: bool
    weighted: bool = False


def plan(device: Device, table: dtype, index: dtype, offset: dtype, rows: int, width: int, bags: Bags,
         message: str) -> CheckedPlan:
    """Sums of bags, over table, indices, offsets, factors if there are any, result; ``message`` is what a wrong index is
    told."""
    # Rows that lie anywhere take twice as long as a stream: 6 ns for one of 16 columns, of which 4 make a bag.
    cost = bags.total * width, (2 * bags.total + bags.number) * width * table.itemsize + bags.total * index.itemsize
    if bags.number * width == 0:
        return CheckedPlan(device, None, cost, message)
    wide = max(rows * width, bags.number * width, bags.total) >= 1 << 31
    letter, chunk = "l" if wide else "i", 1
    if device.is_cpu:
        share = divide_up(bags.number, 16 * device.limits.compute_units)
        chunk = max(1, WORK * bags.number // max(bags.total * width, 1), share)
        work, local = (divide_up(bags.number, chunk), 1), (1, 1)
    else:
        group = device.limits.group(GROUP)
        work, local = (round_up(width, group), bags.number), (group, 1)
    macros = {"CODE": table.code, "INDEX_CODE": index.code, "OFFSET_CODE": offset.code, "REAL": table.compute.cl,
              "MEAN": int(bags.mean), "UNIFORM": int(bags.length > 0), "BAGS_END": int(bags.ended), "VW": 8,
              "INDEX": "long" if wide else "int", **({"WEIGHTED": 1} if bags.weighted else {})}
    buffers = 5 + bags.weighted
    kernel = device.kernel("embedding_bag.cl", "embedding_bag", macros, "P" * buffers + letter * (buffers + 5))
    constants = bags.number, chunk, bags.total, bags.length, rows, width
    return CheckedPlan(device, Bound(kernel, work, local, buffers, letter * (buffers - 1), constants, cost), cost, message)
