"""Launcher of ``attention.cl``: attention and its gradients in memory that grows with the lengths, not their product."""

from __future__ import annotations

import math
import struct

from clgrad.dtypes import dtype
from clgrad.kernels.random import signed
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up, round_up

GROUP = 64      # work-items of a group on GPUs, where they allow as many
MOST_SIZE = 256  # of queries, keys and values: what a work-item keeps of them is private
BLOCK = 64      # keys of a block
STRIPS = 2      # strips of queries of a block
NARROWEST = 4   # lanes of a CPU's vector
WORTH = 1.5     # times the work that is done sooner than operands are filled up

Strides = tuple[int, ...]


class Plan:
    """One or several launches that take the same operands.

    The ``scalars`` are those of :func:`of_stream`: with dropout, of batch * heads * steps * ceil(keys / 4) counters.
    """

    __slots__ = ("device", "bounds", "cost")

    def __init__(self, device: Device, bounds: list[Bound], cost: tuple[int, int]):
        self.device, self.bounds, self.cost = device, bounds, cost

    def __call__(self, buffers: tuple, offsets: tuple, scalars: tuple) -> None:
        for bound in self.bounds:
            self.device.run(bound, buffers, offsets + scalars)


def of_stream(seed: int, first: int) -> tuple[int, int]:
    """A plan's scalars for random numbers of a seed from a counter on."""
    return signed(seed), signed(first)


def lanes(device: Device, kind: dtype, size: int, value_size: int) -> int:
    """The width of vectors, of which the sizes of queries, keys and values have to be whole pairs.

    Narrower ones than a CPU has where the sizes are whole then, at not much more work: to fill up a size is a copy of
    every operand.
    """
    if not device.is_cpu:
        return 8
    widest = max(NARROWEST, device.limits.vector_width * 4 // kind.itemsize)
    most = WORTH * (round_up(size, 2 * widest) + round_up(value_size, 2 * widest)) / widest
    width = widest
    while width >= NARROWEST and (size + value_size) / width <= most:
        if size % (2 * width) == value_size % (2 * width) == 0:
            return width
        width //= 2
    return widest


class Problem:
    """Sizes and strides (of batch, head, step; the last dimension's is 1) of one attention."""

    def __init__(self, device: Device, kind: dtype, sizes: tuple[int, int, int, int, int, int, int],
                 q: Strides, k: Strides, v: Strides, mask: Strides | None, mask_is_bool: bool, out: Strides,
                 causal: bool, scale: float, dropout: float = 0.0):
        self.device, self.kind = device, kind
        self.batch, self.heads, self.shared, self.steps, self.keys, self.size, self.value_size = sizes
        self.mask_kind = 0 if mask is None else 1 if mask_is_bool else 2
        self.lanes = lanes(device, kind, self.size, self.value_size)
        group = self.heads // self.shared
        reach = max(sum(abs(s) * n for s, n in zip(strides, (self.batch, self.heads, max(self.steps, self.keys)),
                                                   strict=False)) for strides in (q, k, v, out, mask or (0,)))
        self.index = "l" if reach >= 2**31 - 2**16 else "i"
        self.strides = (self.heads, group, self.steps, self.keys, *q, *k, *v, *(mask or (0, 0, 0, 0)), *out)
        self.rule = (int(causal), threshold(1 - dropout), scale, 1 / (1 - dropout))
        self.dropout = dropout > 0
        work = self.batch * self.heads * self.steps * self.keys * (self.size + self.value_size)
        self.cost = (2 * work // (2 if causal else 1),
                     self.batch * (self.heads * self.steps + self.shared * self.keys)
                     * (self.size + self.value_size) * kind.itemsize)

    def bound(self, name: str, buffers: int, grid: tuple[int, ...], cost: tuple[int, int],
              gradients: Strides = ()) -> Bound:
        """A launch of one of the file's kernels, whose items are ``grid``; ``gradients``: the strides of dq, dk and dv."""
        macros = {"REAL": self.kind.cl, "D": self.size, "DV": self.value_size, "MASK": self.mask_kind,
                  "INDEX": "long" if self.index == "l" else "int", "DROPOUT": int(self.dropout)}
        local: tuple[int, ...] = (1,) * len(grid)
        if self.device.is_cpu:
            macros |= {"VW": self.lanes, "TILES": STRIPS, "BLOCK": BLOCK}
        else:
            macros["VW"] = 1
            group = self.device.limits.group(GROUP)
            local = (group, *local[1:])
            grid = (round_up(grid[0], group), *grid[1:])
        real = "f" if self.kind.cl == "float" else "d"
        varying = self.index * buffers + "ll"
        strides = (*self.strides, *gradients)
        kernel = self.device.kernel("attention.cl", name, macros,
                                    "P" * buffers + varying + self.index * len(strides) + "ii" + 2 * real)
        return Bound(kernel, grid, local, buffers, varying, (*strides, *self.rule), cost)


def threshold(keep: float) -> int:
    """Which numbers of 24 random bits are below a probability, as ``random.cl`` compares them in float32."""
    return math.ceil(struct.unpack("f", struct.pack("f", keep))[0] * (1 << 24))


def plan(p: Problem) -> Plan:
    """Operands: q, k, v, mask (or None), out, lse."""
    queries = p.steps
    if p.device.is_cpu:
        queries = divide_up(p.steps, STRIPS * 2 * p.lanes)
    return Plan(p.device, [p.bound("attention_forward", 6, (queries, p.batch * p.heads), p.cost)], p.cost)


def backward_plan(p: Problem, gradients: Strides) -> Plan:
    """Operands: q, k, v, mask (or None), the gradient of out (with out's strides), out, lse, delta, dq, dk, dv.

    ``gradients``: strides of dq, dk and dv, each of batch, head and step. ``delta`` is like lse, for the launches' own use.
    """
    cost = (p.cost[0] * 5 // 2, 2 * p.cost[1])
    if p.device.is_cpu:
        return Plan(p.device, [p.bound("attention_backward", 11, (p.batch * p.shared,), cost, gradients)], cost)
    return Plan(p.device, [p.bound("attention_backward_query", 11, (p.steps, p.batch * p.heads), cost, gradients),
                           p.bound("attention_backward_key", 11, (p.keys, p.batch * p.shared), cost, gradients)], cost)
