"""Launcher of ``optimizer.cl``: one step of an optimizer for several parameters."""

from __future__ import annotations

from collections.abc import Sequence

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device

CPU_CHUNK = 4096
GPU_GROUP = 256
# Numbers that every rule gets: lr, decay, s0 to s5.
SCALARS = 8


class Plan:
    """A launch for parameters of given sizes. Call it with buffers, offsets (where they count) and numbers."""

    __slots__ = ("device", "bound", "cost")

    def __init__(self, device: Device, bound: Bound, cost: tuple[int, int]):
        self.device, self.bound, self.cost = device, bound, cost

    def __call__(self, buffers: tuple, varying: tuple) -> None:
        """``buffers``: parameter, gradient and states of each parameter; ``varying``: numbers, then offsets."""
        self.device.run(self.bound, buffers, varying)


def capacity(device: Device, states: Sequence[str]) -> int:
    """How many parameters fit into one launch: their arguments have to fit into the device's parameter memory."""
    each = (2 + len(states)) * 16 + 16
    return max(1, min(64, (device.limits.max_parameter_bytes - 16 - 8 * SCALARS) // each))


def plan(device: Device, rule: str, flags: Sequence[tuple[str, int]], kind: dtype, states: str,
         sizes: Sequence[int], *, offsets: bool) -> Plan:
    """Plans a step of ``rule`` ("SGD", "ADAM", ...) for parameters of ``sizes`` elements.

    ``states`` names the kernel's state tensors in use, of "abc"; ``offsets``: whether tensors may begin elsewhere than
    at the start of their buffers.
    """
    lanes = device.limits.vector_width if device.is_cpu else 4
    chunk = CPU_CHUNK if device.is_cpu else lanes
    ends, total = [], 0
    for size in sizes:
        total += -(-size // chunk)
        ends.append(total)
    wide = max(sizes) >= 2**31 - CPU_CHUNK
    index = "l" if wide else "i"
    names = ["p", "g", *states]
    calc = kind.compute.cl
    macros = {"COUNT": len(sizes), "CODE": kind.code, "CALC": calc, "CHUNK": chunk, "VW": lanes,
              "INDEX": "long" if wide else "int", f"RULE_{rule}": 1, **dict(flags)}
    prelude = _prelude(names, len(sizes), kind.code, offsets)
    letter = "d" if calc == "double" else "f"
    # Arguments: buffers, numbers and offsets (which vary), then the sizes.
    varying = letter * SCALARS + (index * (len(names) * len(sizes)) if offsets else "")
    constants: list[int] = []
    for end, size in zip(ends, sizes, strict=True):
        constants += [end, size]
    signature = ("P" * (len(names) * len(sizes)) + varying + "i" + ("i" + index) * len(sizes))
    kernel = device.kernel("optimizer.cl", "optimizer_step", macros, signature, prelude=prelude)
    group = 1 if device.is_cpu else min(GPU_GROUP, device.limits.max_work_group)
    elements = sum(sizes)
    cost = (elements * 6, elements * kind.itemsize * (2 * len(names) - 1))
    bound = Bound(kernel, (-(-total // group) * group,), (group,), len(names) * len(sizes), varying,
                  (total, *constants), cost)
    return Plan(device, bound, cost)


def _prelude(names: Sequence[str], count: int, code: str, offsets: bool) -> str:
    """The parts of the kernel that depend on how many parameters there are."""
    pointers, starts, lengths, cases = [], [], [], []
    for k in range(count):
        for name in names:
            const = "const " if name == "g" else ""
            pointers.append(f"__global {const}T_{code} *{name}{k}")
            if offsets:
                starts.append(f"INDEX {name}_at{k}")
        lengths += [f"int end{k}", f"INDEX n{k}"]
        values = [f"{name} = {name}{k}{f' + {name}_at{k}' if offsets else ''};" for name in names]
        values.append(f"n = n{k};")
        if k:
            values.append(f"first = end{k - 1};")
        condition = "" if k == count - 1 else f"if (item < end{k}) "
        cases.append(f"{condition}{{ {' '.join(values)} }}")
    text = " else ".join(cases)
    return "\n".join([f"#define POINTERS {', '.join(pointers)}",
                      f"#define OFFSETS {', '.join(starts)}{',' if starts else ''}",
                      f"#define LENGTHS {', '.join(lengths)}", f"#define SELECT {text}"])
