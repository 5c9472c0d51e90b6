"""Stable sorting along a dimension, and the first k of it: the launcher of ``sort.cl`` and ``topk.cl``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device
from clgrad.shapes import round_up

GROUP = 256               # work-items a group on GPUs, where they allow as many
SMALL = 32                # up to which pairs are sorted by insertion
LONG_ROW = 32768          # elements of a row that are worth several CPU work-items
_INFINITY = {"f16": 0x7C00, "bf16": 0x7F80, "f32": 0x7F800000, "f64": 0x7FF0000000000000}
_RAW = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}


class Plan:
    """Launches over x, values and indices, which are int64."""

    __slots__ = ("device", "steps", "scratch", "cost")

    def __init__(self, device: Device, steps: Callable, scratch: tuple[int, ...], cost: tuple[int, int]):
        self.device, self.steps, self.scratch, self.cost = device, steps, scratch, cost

    def __call__(self, buffers: tuple, offsets: tuple) -> None:
        blocks = [self.device.allocate(nbytes) for nbytes in self.scratch]
        self.steps(*buffers, offsets, *[b.buffer for b in blocks])
        for block in blocks:
            block.release()


class _Programs:
    """The macros of one dtype, order and index width, and launches of their kernels."""

    def __init__(self, device: Device, file: str, kind: dtype, descending: bool, elements: int):
        wide = 2 * elements >= 1 << 31
        self.device, self.file, self.index = device, file, "l" if wide else "i"
        self.group = device.limits.group(GROUP)
        self.block = 4 * self.group  # BLOCK of keys.clh
        self.cost = (256 * elements, elements * (2 * kind.itemsize + 8))  # of a launch; most are shares of a sort
        self.pair_bytes = 16 if kind.itemsize == 8 else 8
        self.macros = {
            "RAW": _RAW[kind.itemsize], "BITS": 8 * kind.itemsize, "KEY": "ulong" if kind.itemsize == 8 else "uint",
            "SIGNED": int(kind.is_signed), "INFINITY_BITS": _INFINITY.get(kind.code, 0), "DESCENDING": int(descending),
            "VW": 8 if kind.itemsize == 8 else 16, "INDEX": "long" if wide else "int"}

    def bound(self, name: str, work: tuple[int, ...], buffers: int, varying: str, constants: str,
              values: tuple) -> Bound:
        """A launch; N stands for INDEX in the two signatures."""
        varying, constants = varying.replace("N", self.index), constants.replace("N", self.index)
        kernel = self.device.kernel(self.file, name, self.macros, "P" * buffers + varying + constants)
        if self.device.is_cpu:
            return Bound(kernel, work, (1,) * len(work), buffers, varying, values, self.cost)
        rounded = (round_up(work[0], self.group), *work[1:])
        return Bound(kernel, rounded, (self.group, *(1 for _ in work[1:])), buffers, varying, values, self.cost)


def plan(device: Device, kind: dtype, outer: int, n: int, inner: int, descending: bool) -> Plan:
    """A plan that sorts the n of a contiguous [outer, n, inner], none of them 0, stably; NaN counts as the largest."""
    if n >= 1 << 32:
        raise RuntimeError(f"sort: a dimension of {n} elements is too large; at most 2^32 - 1 can be sorted")
    rows = outer * inner
    programs = _Programs(device, "sort.cl", kind, descending, rows * n)
    cost = (rows * n, rows * n * (2 * kind.itemsize + 8))
    if not device.is_cpu:
        return _merge_plan(programs, rows, n, inner, cost)
    units = device.limits.compute_units
    if rows < 2 * units and n >= LONG_ROW:
        return _radix_plan(programs, kind, rows, n, inner, cost)
    per_item = -(-rows // (4 * units))
    items = -(-rows // per_item)
    bound = programs.bound("sort_rows", (items,), 4, "NNN", "NNNN", (rows, per_item, n, inner))

    def steps(x: Any, values: Any, indices: Any, offsets: tuple, pairs: Any) -> None:
        device.run(bound, (x, values, indices, pairs), offsets)
    return Plan(device, steps, (items * 2 * n * programs.pair_bytes,), cost)


def _radix_plan(programs: _Programs, kind: dtype, rows: int, n: int, inner: int, cost: tuple[int, int]) -> Plan:
    device, digits = programs.device, kind.itemsize
    chunk = -(-n // min(-(-4 * device.limits.compute_units // rows), n // (LONG_ROW // 4)))
    parts = -(-n // chunk)
    work = (parts, rows)
    load = programs.bound("radix_load", work, 3, "N", "NNN", (n, inner, chunk))
    count = programs.bound("radix_count", work, 4, "i", "NN", (n, chunk))
    starts = programs.bound("radix_starts", (rows,), 3, "i", "i", (parts,))
    scatter = programs.bound("radix_scatter", work, 3, "i", "NN", (n, chunk))
    store = programs.bound("radix_store", work, 5, "NNN", "NNN", (n, inner, chunk))
    run = device.run

    def steps(x: Any, values: Any, indices: Any, offsets: tuple, pairs: Any, counts: Any, sides: Any, varying: Any) -> None:
        run(load, (x, pairs, varying), offsets[:1])
        for digit in range(digits):
            run(count, (pairs, counts, sides, varying), (digit,))
            run(starts, (counts, sides, varying), (digit,))
            run(scatter, (pairs, counts, sides), (digit,))
        run(store, (x, values, indices, pairs, sides), offsets)
    scratch = (rows * 2 * n * programs.pair_bytes, rows * 256 * parts * 4, rows * (digits + 1) * 4,
               rows * parts * programs.pair_bytes // 2)
    return Plan(device, steps, scratch, cost)


def _merge_plan(programs: _Programs, rows: int, n: int, inner: int, cost: tuple[int, int]) -> Plan:
    run = programs.device.run
    blocks = programs.bound("sort_blocks", (-(-n // programs.block) * programs.group, rows), 2, "N", "NN", (n, inner))
    store = programs.bound("store_pairs", (n, rows), 4, "iNNN", "NN", (n, inner))
    merge = programs.bound("merge_runs", (n, rows), 1, "iN", "N", (n,))

    def steps(x: Any, values: Any, indices: Any, offsets: tuple, pairs: Any) -> None:
        run(blocks, (x, pairs), offsets[:1])
        side, length = 0, programs.block
        while length < n:
            run(merge, (pairs,), (side, length))
            side, length = 1 - side, 2 * length
        run(store, (x, values, indices, pairs), (side, *offsets))
    return Plan(programs.device, steps, (rows * 2 * n * programs.pair_bytes,), cost)


def topk_suits(device: Device, n: int, k: int) -> bool:
    """Whether :func:`topk_plan` is faster than sorting whole rows."""
    return 0 < k <= (n // 8 if device.is_cpu else min(n // 4, device.limits.group(GROUP)))


def topk_plan(device: Device, kind: dtype, outer: int, n: int, inner: int, k: int, largest: bool) -> Plan:
    """A plan for the first k, sorted, of the n of a contiguous [outer, n, inner]; :func:`topk_suits` says when.

    Of equal elements those that stand first are taken.
    """
    if n >= 1 << 32:
        raise RuntimeError(f"topk: a dimension of {n} elements is too large; at most 2^32 - 1 can be searched")
    rows = outer * inner
    programs = _Programs(device, "topk.cl", kind, largest, rows * n)
    cost = (rows * n, rows * n * kind.itemsize)
    if not device.is_cpu:
        return _topk_blocks_plan(programs, rows, n, inner, k, cost)
    units = device.limits.compute_units
    per_item = -(-rows // (4 * units))
    items = -(-rows // per_item)
    parts = max(1, min(4 * units // items, n // max(LONG_ROW // 4, 4 * k)))
    chunk = -(-n // parts)
    if n - (parts - 1) * chunk < k:  # the last part has to fill a list of candidates too
        parts, chunk = 1, n
    capacity = k if k <= SMALL else 4 * k
    total = rows * parts * k * programs.pair_bytes
    scan = programs.bound("topk_parts", (parts, items), 3, "N", "NNNNNii",
                          (rows, per_item, n, inner, chunk, k, capacity))
    merge = programs.bound("topk_merge", (items,), 5, "NNN", "NNNNii", (rows, per_item, n, inner, parts, k))

    def steps(x: Any, values: Any, indices: Any, offsets: tuple, candidates: Any, others: Any, buffers: Any) -> None:
        device.run(scan, (x, candidates, buffers), offsets[:1])
        device.run(merge, (x, values, indices, candidates, others), offsets)
    return Plan(device, steps, (total, total, items * parts * 2 * capacity * programs.pair_bytes), cost)


def _topk_blocks_plan(programs: _Programs, rows: int, n: int, inner: int, k: int, cost: tuple[int, int]) -> Plan:
    run, count = programs.device.run, n
    rounds: list[tuple[Bound, int]] = []
    while not rounds or count > k:
        blocks = -(-count // programs.block)
        bound = programs.bound("topk_blocks", (blocks * programs.group, rows), 3, "NiN", "NNi", (n, inner, k))
        rounds.append((bound, count))
        count = blocks * k
    store = programs.bound("topk_store", (k, rows), 4, "NNN", "NNi", (n, inner, k))

    def steps(x: Any, values: Any, indices: Any, offsets: tuple, one: Any, two: Any) -> None:
        for number, (bound, count) in enumerate(rounds):
            run(bound, (x, two, one), (offsets[0], int(number == 0), count))
            one, two = two, one
        run(store, (x, values, indices, two), offsets)
    size = -(-n // programs.block) * k * rows * programs.pair_bytes
    return Plan(programs.device, steps, (size, size), cost)
