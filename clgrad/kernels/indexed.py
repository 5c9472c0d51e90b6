"""Launcher of ``indexed.cl``: elements read and written at places that tensors of indices name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from clgrad.dtypes import dtype
from clgrad.kernels.elementwise import calc_type
from clgrad.kernels.launch import CheckedPlan
from clgrad.runtime import Bound, Device
from clgrad.shapes import Shape, collapse, extent, round_up

OPERATIONS = {"read": 0, "put": 1, "add": 2, "multiply": 3, "amax": 4, "amin": 5}
CPU_WORK = 4096  # elements that are worth a work-item of their own
CPU_SHARES = 16  # of a unit's work, where it is cut between rows: the thread that begins late is to take fewer
LINE = 16        # a CPU work-item's share of a row is a multiple of this: neighbours do not share cache lines
NEAR = 1 << 20  # bytes of x that a CPU's core keeps close
GROUP = 64
GPU_ITEMS = 8192  # work-items that fill a GPU
_MOVED = {1: "u8", 2: "i16", 4: "i32", 8: "i64"}
_ADDED = frozenset({"f32", "f64", "i32", "i64"})  # dtypes that are added as they lie in memory


@dataclass(frozen=True)
class Index:
    """A tensor of indices: its dtype and strides, the range [0, size) of its values, and what one step moves in x."""

    dtype: dtype
    strides: Shape
    size: int
    step: int


def plan(device: Device, operation: str, kind: dtype, shape: Shape, x_strides: Shape, v_strides: Shape,
         indices: Sequence[Index], *, ordered: bool, negative: bool, message: str) -> CheckedPlan:
    """Plans one of ``OPERATIONS`` over values of ``shape``; see ``indexed.cl`` for what the strides mean.

    The operands are x, the values, and the index tensors; ``message`` is what a wrong index is told.
    ``ordered``: several values may meet in one element of x. ``negative``: indices may count from the end.
    """
    total = prod(shape)
    cost = (total, total * (2 * kind.itemsize + sum(i.dtype.itemsize for i in indices)))
    if total == 0:
        return CheckedPlan(device, None, cost, message)
    if any(i.size == 0 for i in indices):
        raise IndexError(message)
    reach = extent(shape, x_strides) + sum((i.size - 1) * i.step for i in indices)
    wide = max(total, reach, extent(shape, v_strides), *(extent(shape, i.strides) for i in indices)) >= 1 << 31
    sizes, strides = collapse(shape, [x_strides, v_strides, *(i.strides for i in indices)])
    walk = _Walk(sizes, strides, operation, ordered)
    moved = operation in ("read", "put")
    macros: dict[str, object] = {
        "OPERATION": OPERATIONS[operation], "CODE": _MOVED[kind.itemsize] if moved else kind.code,
        "REAL": "long" if moved else calc_type(kind), "HOISTED": int(not any(s[walk.inner] for s in strides[2:])),
        "NEGATIVE": int(negative), "X_STEP": walk.inner_step(0), "V_STEP": walk.inner_step(1),
        "INDEX": "long" if wide else "int", "WHOLE": int(moved or (operation == "add" and kind.code in _ADDED)),
        "VW": max(1, device.limits.vector_width * 4 // kind.itemsize) if device.is_cpu and kind.itemsize >= 4 else 1}
    if operation == "read" and macros["VW"] != 1 and not negative and all(i.step == 1 for i in indices) and (
            (macros["HOISTED"], macros["X_STEP"], macros["V_STEP"]) == (0, "0", "1")):
        macros["EIGHTS"] = 1  # as numbers: rows in the first-level cache take 0.85 of the time of vectors, other forms 1.2
    chunk, free_chunk, work, local = _ndrange(device, walk)
    owners = _owners(work, walk, indices[0].size) if ordered and not device.is_cpu else 1
    macros["OWNERS"] = owners
    apart = operation == "read" and device.is_cpu and reach * kind.itemsize > NEAR
    work, local = (*work, owners), (*local, 1)
    letter = "l" if wide else "i"
    constants = (walk.length, chunk, walk.free_count, free_chunk, walk.ordered_count, *sizes,
                 *(step for steps in strides for step in steps), *(i.size for i in indices), *(i.step for i in indices))
    buffers = 3 + len(indices)
    varying = letter * (buffers - 1)
    kernel = device.kernel("indexed.cl", "indexed", macros, "P" * buffers + varying + letter * len(constants),
                           prelude=_prelude(walk, indices, apart))
    return CheckedPlan(device, Bound(kernel, work, local, buffers, varying, constants, cost), cost, message)


class _Walk:
    """Which of the merged dimensions is innermost, which are free (shared among work-items), which are ordered."""

    def __init__(self, sizes: Shape, strides: Sequence[Shape], operation: str, ordered: bool):
        self.sizes, self.strides = sizes, strides
        dims = range(len(sizes))
        in_order = [d for d in dims if ordered and strides[0][d] == 0]
        free = [d for d in dims if d not in in_order]
        follow = strides[1] if operation == "read" else strides[0]
        nearest = min(free, key=lambda d: (abs(follow[d]) or 1 << 62, -d), default=None)
        if nearest is None or (in_order and (sizes[nearest] < 4 or self._step(in_order[-1]) < self._step(nearest))):
            nearest = in_order[-1]
        self.inner = nearest
        self.splits = nearest in free
        self.free = [d for d in free if d != nearest]
        self.ordered = [d for d in in_order if d != nearest]
        self.length = sizes[nearest]
        self.free_count = prod(sizes[d] for d in self.free)
        self.ordered_count = prod(sizes[d] for d in self.ordered)
        self.line = self.ordered_count * (1 if self.splits else self.length)

    def _step(self, dim: int) -> int:
        """The smallest step in memory along a dimension."""
        return min((abs(s[dim]) for s in self.strides if s[dim]), default=0)

    def inner_step(self, operand: int) -> str:
        """The stride of the innermost dimension as C: a number where it is 0 or 1, which compilers profit from."""
        step = self.strides[operand][self.inner]
        return str(step) if step in (0, 1) else f"t{self.inner}_{operand}"


def _ndrange(device: Device, walk: _Walk) -> tuple[int, int, tuple, tuple]:
    """Elements of a row and free positions that a work-item takes, and the NDRange that covers everything."""
    if device.is_cpu:
        line, units = walk.length * walk.ordered_count, device.limits.compute_units
        work = max(CPU_WORK, -(-line * walk.free_count // (2 * units)))
        chunk = walk.length
        if walk.splits and line > work:
            chunk = min(walk.length, round_up(max(1, work // walk.ordered_count), LINE))
        work = max(CPU_WORK, -(-line * walk.free_count // (CPU_SHARES * units)))
        free_chunk = min(walk.free_count, max(1, work // line))
        return chunk, free_chunk, (-(-walk.length // chunk), -(-walk.free_count // free_chunk)), (1, 1)
    group = device.limits.group(GROUP)
    if walk.splits:
        return 1, 1, (round_up(walk.length, group), walk.free_count), (group, 1)
    return walk.length, 1, (1, round_up(walk.free_count, group)), (1, group)


def _owners(work: tuple, walk: _Walk, size: int) -> int:
    """How many work-items share a line that is walked in order: a power of two that fills the device."""
    owners = 1
    while owners * prod(work) < GPU_ITEMS and owners * 2 <= min(size, walk.line):
        owners *= 2
    return owners


def _prelude(walk: _Walk, indices: Sequence[Index], apart: bool) -> str:
    """The generated part of the kernel. ``apart``: rows lie so far apart that they are asked for before they are moved."""
    operands = range(2 + len(indices))
    dims = range(len(walk.sizes))
    parameters = ["ELEMENTS(x)", "ELEMENTS(v)", *(f"INDICES({i.dtype.code}, b_{k})" for k, i in enumerate(indices)),
                  "STATUS",
                  *(f"INDEX o_{k}" for k in operands),
                  *(f"INDEX {name}" for name in ("N", "CHUNK", "FREE", "FREE_CHUNK", "SEQUENCE")),
                  *(f"INDEX d{d}" for d in dims), *(f"INDEX t{d}_{k}" for k in operands for d in dims),
                  *(f"INDEX n_{k}" for k in range(len(indices))), *(f"INDEX m_{k}" for k in range(len(indices)))]
    starts = [*_decode("f", walk.free), *_decode("s", walk.ordered)]
    for k in operands:
        name = ("x_row", "v_row")[k] if k < 2 else f"r_{k - 2}"
        terms = [f"o_{k}", *(f"c{d} * t{d}_{k}" for d in (*walk.free, *walk.ordered))]
        starts.append(f"INDEX {name} = {' + '.join(terms)};")
    finds = [f"FIND(b_{k}[r_{k} + (i) * {walk.inner_step(k + 2)}], n_{k}, {'1' if i.step == 1 else f'm_{k}'}, {int(k == 0)})"
             for k, i in enumerate(indices)]
    lines = ["#define PARAMETERS " + ", ".join(parameters), "#define ROW_STARTS " + " ".join(starts),
             "#define LOCATE(i) " + " ".join(finds)]
    if apart and len(indices) == len(walk.free) == 1 and not walk.ordered:
        d = walk.free[0]
        lines.append(f"#define AHEAD(n) x_row + (n) * t{d}_0 + (INDEX)b_0[r_0 + (n) * t{d}_2] * m_0")
    return "\n".join(lines)


def _decode(position: str, dims: list[int]) -> list[str]:
    """C that takes a position apart into the coordinates ``c<d>`` of several dimensions, the last one fastest."""
    if len(dims) <= 1:
        return [f"INDEX c{d} = {position};" for d in dims]
    lines = [f"INDEX rest_{position} = {position};"]
    for d in reversed(dims[1:]):
        lines.append(f"INDEX c{d} = rest_{position} % d{d}; rest_{position} /= d{d};")
    return [*lines, f"INDEX c{dims[0]} = rest_{position};"]
