"""Launcher of ``optimizer.cl``: one step of an optimizer for several parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device

CPU_CHUNK = 4096
GPU_GROUP = 256


class Body(NamedTuple):
    """A rule for the kernel: its C statements over vectors p, g and the states, and which names they need."""

    c: str
    states: tuple[str, ...]
    loaded: tuple[str, ...]
    written: tuple[str, ...]
    scalars: tuple[str, ...]
    cost: int  # operations an element


class Plan:
    """A launch for parameters of given sizes. Call it with buffers, and the numbers followed by offsets, if any."""

    __slots__ = ("device", "bound", "cost")

    def __init__(self, device: Device, bound: Bound, cost: tuple[int, int]):
        self.device, self.bound, self.cost = device, bound, cost

    def __call__(self, buffers: tuple, varying: tuple) -> None:
        """``buffers``: parameter, gradient and states of each parameter; ``varying``: numbers, then offsets."""
        self.device.run(self.bound, buffers, varying)


def capacity(device: Device, body: Body) -> int:
    """How many parameters fit into one launch: their arguments have to fit into the device's parameter memory."""
    each = (2 + len(body.states)) * 16 + 16
    return max(1, min(64, (device.limits.max_parameter_bytes - 16 - 8 * len(body.scalars)) // each))


def plan(device: Device, body: Body, kind: dtype, sizes: Sequence[int], *, offsets: bool) -> Plan:
    """Plans a step for parameters of ``sizes`` elements of dtype ``kind``.

    ``offsets``: whether tensors may begin elsewhere than at the start of their buffers.
    """
    lanes = device.limits.vector_width if device.is_cpu else 4
    chunk = CPU_CHUNK if device.is_cpu else lanes
    ends, total = [], 0
    for size in sizes:
        total += -(-size // chunk)
        ends.append(total)
    wide = max(sizes) >= 2**31 - CPU_CHUNK
    index = "l" if wide else "i"
    names = ["p", "g", *body.states]
    calc = kind.compute.cl
    macros = {"COUNT": len(sizes), "CALC": calc, "MASK": "long" if calc == "double" else "int", "CHUNK": chunk,
              "VW": lanes, "INDEX": "long" if wide else "int", **({"CALC_DOUBLE": 1} if calc == "double" else {})}
    # Arguments: buffers, numbers and offsets (which vary), then the sizes.
    varying = ("d" if calc == "double" else "f") * len(body.scalars)
    varying += index * (len(names) * len(sizes)) if offsets else ""
    constants: list[int] = []
    for end, size in zip(ends, sizes, strict=True):
        constants += [end, size]
    signature = ("P" * (len(names) * len(sizes)) + varying + "i" + ("i" + index) * len(sizes))
    kernel = device.kernel("optimizer.cl", "optimizer_step", macros, signature,
                           prelude=_prelude(body, names, len(sizes), kind.code, offsets))
    group = 1 if device.is_cpu else device.limits.group(GPU_GROUP)
    elements = sum(sizes)
    cost = (elements * body.cost, elements * kind.itemsize * (len(body.loaded) + len(body.written)))
    bound = Bound(kernel, (-(-total // group) * group,), (group,), len(names) * len(sizes), varying,
                  (total, *constants), cost)
    return Plan(device, bound, cost)


def _prelude(body: Body, names: Sequence[str], count: int, code: str, offsets: bool) -> str:
    """The parts of the kernel that depend on the rule and on how many parameters there are."""
    pointers, starts, lengths, cases = [], [], [], []
    const = {name: "" if name in body.written else "const " for name in names}
    for k in range(count):
        pointers += [f"__global {const[name]}T_{code} *{name}{k}" for name in names]
        if offsets:
            starts += [f"INDEX {name}_at{k}," for name in names]
        lengths += [f"int end{k}", f"INDEX n{k}"]
        values = [f"q_{name} = {name}{k}{f' + {name}_at{k}' if offsets else ''};" for name in names]
        values.append(f"n = n{k};")
        if k:
            values.append(f"first = end{k - 1};")
        condition = "" if k == count - 1 else f"if (item < end{k}) "
        cases.append(f"{condition}{{ {' '.join(values)} }}")
    used = [name for name in names if name in body.loaded or name in body.written]
    declared = "".join(f"V {name}; " for name in used)
    return "\n".join([
        f"#define POINTERS {', '.join(pointers)}",
        f"#define SCALARS {' '.join(f'CALC s_{name},' for name in body.scalars)}",
        f"#define OFFSETS {' '.join(starts)}",
        f"#define LENGTHS {', '.join(lengths)}",
        f"#define DECLARE {' '.join(f'__global {const[name]}T_{code} *q_{name};' for name in names)}",
        f"#define SELECT {' else '.join(cases)}",
        f"#define NUMBERS {' '.join(f'V {name} = (V)(s_{name});' for name in body.scalars)}",
        f"#define LOADS {declared}" + " ".join(f"{name} = VLOAD_{code}(q_{name}, i);" for name in body.loaded),
        f"#define PARTIAL_LOADS {declared}" + " ".join(f"PARTIAL({code}, {name}, q_{name}, 1)" for name in body.loaded),
        f"#define RULE {body.c}",
        "#define STORES " + " ".join(f"VSTORE_{code}(q_{name}, i, {name});" for name in body.written),
        "#define PARTIAL_STORES " + " ".join(f"PARTIAL_STORE({code}, CALC, q_{name}, 1, {name})"
                                             for name in body.written)])
