"""Launcher of ``concatenate.cl``: dense rows of several tensors, put one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up, round_up

CPU_CHUNK, GROUP = 4096, 256
COUNTS = (2, 4, 8, 16, 32)  # how many pieces kernels are made for: others pass pieces without elements
_FEW = 8  # as many pieces' sizes, of 64 bits, fit into every device's parameter memory
_MOVED = {1: "u8", 2: "i16", 4: "i32", 8: "i64"}


class Piece(NamedTuple):
    """Rows of ``length`` elements, ``step`` apart, that become elements ``start`` and following of the result's rows."""

    length: int
    step: int
    start: int


class Plan:
    """A launch for pieces of given sizes: the operands are the pieces, then the result."""

    __slots__ = ("device", "bound", "cost", "_spare")

    def __init__(self, device: Device, bound: Bound, cost: tuple[int, int], spare: int):
        self.device, self.bound, self.cost, self._spare = device, bound, cost, spare

    def __call__(self, buffers: tuple, offsets: tuple) -> None:
        if self._spare:
            buffers, offsets = (listed[:-1] + listed[:1] * self._spare + listed[-1:] for listed in (buffers, offsets))
        self.device.run(self.bound, buffers, offsets)


def capacity(elements: int) -> int:
    """How many pieces one launch takes where result and pieces reach over so many elements."""
    return _FEW if elements >= 1 << 31 else COUNTS[-1]


def plan(device: Device, kind: dtype, rows: int, pitch: int, pieces: Sequence[Piece], reach: int) -> Plan:
    """Plans a launch for pieces of ``rows`` rows each, into a result with ``pitch`` elements a row.

    ``reach``: over how many elements the result, and the widest of the pieces, reaches.
    """
    count = next(n for n in COUNTS if n >= len(pieces))
    chunk = CPU_CHUNK if device.is_cpu else 1
    wide = reach >= 1 << 31
    index = "l" if wide else "i"
    ends, total = [], 0
    for piece in pieces:
        total += divide_up(rows * piece.length, chunk)
        ends.append(total)
    constants: list[int] = [total, rows, pitch]
    for end, piece in zip(ends, pieces, strict=True):
        constants += [end, *piece]
    constants += [total, 1, 1, 0] * (count - len(pieces))
    macros = {"CODE": _MOVED[kind.itemsize], "CHUNK": chunk, "VW": 32 // max(kind.itemsize, 2) if device.is_cpu else 1,
              "INDEX": "long" if wide else "int"}
    signature = "P" * (count + 1) + index * (count + 1) + "i" + index * 2 + ("i" + index * 3) * count
    kernel = device.kernel("concatenate.cl", "concatenate", macros, signature, prelude=_prelude(count))
    group = 1 if device.is_cpu else device.limits.group(GROUP)
    cost = 0, 2 * rows * sum(piece.length for piece in pieces) * kind.itemsize
    bound = Bound(kernel, (round_up(total, group),), (group,), count + 1, index * (count + 1), tuple(constants), cost)
    return Plan(device, bound, cost, count - len(pieces))


def _prelude(count: int) -> str:
    """The parts of the kernel that depend on how many pieces there are."""
    cases = ["TAKE(0)", *(f"TAKE({k}) first = end{k - 1};" for k in range(1, count))]
    conditions = [f"if (item < end{k}) " for k in range(count - 1)] + [""]
    return "\n".join([
        *(f"#define {name} {', '.join(f'{macro}({k})' for k in range(count))}"
          for name, macro in (("POINTERS", "PIECE"), ("OFFSETS", "AT"), ("PIECES", "SIZES"))),
        "#define SELECT " + " else ".join(f"{condition}{{ {case} }}"
                                          for condition, case in zip(conditions, cases, strict=True))])
