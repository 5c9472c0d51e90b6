"""Launcher of ``elementwise.cl``: writes the prelude of a pointwise kernel and fits the NDRange to the operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from clgrad.dtypes import dtype
from clgrad.kernels import launch
from clgrad.runtime import Bound, Device
from clgrad.shapes import Shape, collapse, extent

# How many elements a CPU work-item takes at least: below that a second thread costs more than it gains.
CPU_CHUNK = 4096
CPU_CHUNK_MOST = 131072
PAGE = 4096
GPU_GROUP = 256
# A CPU's vector of an operand that is dense across the rows: BLOCK rows of it are transposed in registers, in tiles.
BLOCK = 8
BLOCK_TILE = 64

_LETTER = {"float": "f", "double": "d", "int": "i", "long": "l", "ulong": "l", "float2": "ff", "double2": "dd"}
_MASK = {"float": "int", "double": "long", "int": "int", "long": "long", "ulong": "long"}
# The types of pairs, in which complex numbers are computed, and of their parts.
_PARTS = {"float2": "float", "double2": "double"}


@dataclass(frozen=True)
class Operand:
    """A tensor of a pointwise kernel: the name that it has in the expressions, its dtype and strides.

    ``common``: the dtype that a 0-d tensor, which may be of a wider one, is converted to. ``held``: the dtype in which its
    offset counts, where that is not its own.
    """

    name: str
    dtype: dtype
    strides: Shape
    common: Any = None
    held: Any = None

    def parts(self) -> Operand:
        """A complex tensor as the real one of its parts, along a last dimension of 2."""
        return Operand(self.name, self.dtype.to_real(), (*[2 * step for step in self.strides], 1), held=self.dtype)


def calc_type(d: dtype) -> str:
    """The C type in which values of a dtype are computed."""
    if d.differentiable:
        return d.compute.cl
    return {"i64": "long", "u32": "long", "u64": "ulong"}.get(d.memory_code, "int")


class Plan(launch.Plan):
    """A pointwise kernel for given specs. Its operands are the inputs, then the outputs. ``items``: its work-items."""

    __slots__ = ("items",)

    def __init__(self, device: Device, bound: Bound | None, cost: tuple[int, int], items: int):
        super().__init__(device, bound, cost)
        self.items = items


def plan(device: Device, name: str, calc: str, values: Sequence[str], inputs: Sequence[Operand],
         outputs: Sequence[Operand], scalars: Sequence[str], shape: Shape, *, summed: bool = False) -> Plan:
    """Plans ``outputs[k] = values[k]`` over ``shape``.

    ``values`` are C expressions over the inputs' names and the scalars' names, of type V (see ``math.clh``), or Pair where
    they are complex (``complex.clh``), and over those before, r0, r1 ...; where there are more than outputs, the last ones
    are theirs. An input whose stride is 0 in a dimension is broadcast there. ``calc`` is the C type of arithmetic.
    ``summed``: the one output, whose strides say how its elements would lie, gets a sum of each work-item, ``plan.items`` in
    all, instead of elements, over the scalar ``divisor``. A scalar of complex arithmetic is two: its parts, one after the
    other.
    """
    operands = [*inputs, *outputs]
    numel = 1
    for size in shape:
        numel *= size
    cost = (numel * len(values), sum(extent(shape, o.strides) * o.dtype.itemsize for o in operands))
    if numel == 0:
        return Plan(device, None, cost, 0)
    sizes, strides = _order(shape, [o.strides for o in operands], len(inputs))
    inner = sizes[0]
    blocked = calc not in _PARTS and _blocked(device, sizes, strides, len(inputs))
    lanes = BLOCK if blocked else _lanes(device, inner, strides[len(inputs)][0], pairs=calc in _PARTS)
    wide = max(numel, *(extent(shape, o.strides) for o in operands)) >= 2**31
    text = _Text(inputs, outputs, scalars, values, len(sizes), strides, lanes, blocked, summed, _PARTS.get(calc))
    part = _PARTS.get(calc, calc)
    macros = {"KERNEL_NAME": f"pointwise_{name}", "CALC": part, "CALC_FLOAT": int(part in ("float", "double")),
              "MASK": _MASK[part], "VW": lanes, "INDEX": "long" if wide else "int",
              **({"CALC_DOUBLE": 1} if part == "double" else {}), **({"COMPLEX": 1} if part != calc else {}),
              **({"BLOCKED": 1} if blocked else {}), **({"SUMMED": 1} if summed else {})}
    index = "l" if wide else "i"
    varying = index * len(operands) + _LETTER[calc] * len(scalars)
    chunk, rows, global_size, local_size = _ndrange(
        device, sizes, lanes, BLOCK_TILE if blocked else _tile(operands, strides))
    constants = (inner, chunk, rows, *sizes[1:], *(() if len(sizes) > 1 else (1,)),
                 *(stride for steps in strides for stride in steps))
    signature = "P" * len(operands) + varying + index * len(constants)
    kernel = device.kernel("elementwise.cl", f"pointwise_{name}", macros, signature, prelude=text.prelude())
    return Plan(device, Bound(kernel, global_size, local_size, len(operands), varying, constants, cost), cost,
                prod(global_size))


def _order(shape: Shape, strides: list[Shape], first_output: int) -> tuple[Shape, list[Shape]]:
    """Merged sizes and strides: innermost the dimension in which the output's elements are nearest, then one in which
    an input's are that is not dense there, then the others outwards."""
    axes = sorted(range(len(shape)), key=lambda axis: (-abs(strides[first_output][axis]), axis))
    sizes, steps = collapse([shape[a] for a in axes], [[s[a] for a in axes] for s in strides])
    order = list(range(len(sizes)))[::-1]
    for axis in order[2:]:
        if any(s[axis] == 1 != s[order[0]] for s in steps[:first_output]):
            order.remove(axis)
            order.insert(1, axis)
    return tuple([sizes[a] for a in order]), [tuple([s[a] for a in order]) for s in steps]


def _across(strides: Shape) -> bool:
    """Whether an operand is dense across the rows, and not along them."""
    return len(strides) > 1 and strides[1] == 1 and strides[0] not in (0, 1)


def _blocked(device: Device, sizes: Shape, strides: list[Shape], first_output: int) -> bool:
    """Whether blocks of rows are transposed: on a CPU, where an input is dense across the rows and the output along them.

    Measured for 32 images of 64 channels of 56 x 56, from channels first to last and back: 2.1 times as fast.
    """
    return (device.is_cpu and strides[first_output][0] == 1 and min(sizes[:2]) >= BLOCK
            and any(_across(s) for s in strides[:first_output]))


def _lanes(device: Device, inner: int, output_step: int, pairs: bool) -> int:
    """The vector width: the device's own on a CPU, 4 (16 bytes) on a GPU; scalars where rows are short or strided. Of
    complex numbers half as many."""
    lanes = (min(16, 2 * device.limits.vector_width) if device.is_cpu else 4) // (2 if pairs else 1)
    if inner < lanes or (output_step not in (0, 1) and not device.is_cpu):
        return 1
    return lanes


def _tile(operands: Sequence[Operand], strides: list[Shape]) -> int:
    """The width of the tiles in which an operand that is dense across the rows is read, so that its cache lines are used
    up while they are there; 0 where there is none. At steps of whole pages all lines fall into one set of the cache."""
    across = [o.dtype.itemsize * s[0] for o, s in zip(operands, strides, strict=True)
              if len(s) > 1 and abs(s[0]) > abs(s[1]) > 0]
    return 0 if not across else 16 if any(step % PAGE == 0 for step in across) else 32


def _ndrange(device: Device, sizes: Shape, lanes: int, tile: int) -> tuple[int, int, tuple, tuple]:
    """Elements of a row and rows that a work-item takes, and the NDRange that covers everything.

    ``tile``: how many elements of a row a CPU's work-item takes at most, in so many more rows; 0: as many as it likes.
    """
    inner, second = sizes[0], sizes[1] if len(sizes) > 1 else 1
    outer = 1
    for size in sizes[2:]:
        outer *= size
    if device.is_cpu:
        share = -(-inner * second * outer // (16 * device.limits.compute_units))
        work = min(max(share, CPU_CHUNK), CPU_CHUNK_MOST)
        chunk = inner if inner <= work else -(-work // lanes) * lanes
        chunk = min(chunk, tile or chunk)
        rows = min(second, max(1, work // min(chunk, inner)))
        return chunk, rows, (-(-inner // chunk), -(-second // rows), outer), (1, 1, 1)
    items = -(-inner // lanes)
    group = device.limits.group(GPU_GROUP)
    local0 = 1
    while local0 < min(items, group):
        local0 *= 2
    local1 = 1
    while local1 * 2 <= min(second, group // local0):
        local1 *= 2
    return lanes, 1, (-(-items // local0) * local0, -(-second // local1) * local1, outer), (local0, local1, 1)


class _Text:
    """The generated part of a pointwise kernel."""

    def __init__(self, inputs: Sequence[Operand], outputs: Sequence[Operand], scalars: Sequence[str],
                 values: Sequence[str], rank: int, strides: list[Shape], lanes: int, blocked: bool, summed: bool,
                 part: str | None):
        self.summed, self.part = summed, part
        self.inputs, self.outputs, self.scalars, self.values = inputs, outputs, scalars, values
        self.operands = [*inputs, *outputs]
        self.rank, self.inner, self.lanes = rank, [s[0] for s in strides], lanes
        self.across = {o.name for o, s in zip(inputs, strides, strict=False) if blocked and _across(s)}

    def prelude(self) -> str:
        loads = [self._load(o, step, whole=True) for o, step in zip(self.inputs, self.inner, strict=False)]
        partial = [self._load(o, step, whole=False) for o, step in zip(self.inputs, self.inner, strict=False)]
        targets = list(zip(self.outputs, self.inner[len(self.inputs):], strict=True))
        turned = [f"V {o.name} = rows_{o.name}[r];" if o.name in self.across else load
                  for o, load in zip(self.inputs, loads, strict=True)]
        if self.summed:
            stores, rest = ["ADD(r0)"], ["PARTIAL_ADD(r0)"]
        else:
            first = len(self.values) - len(targets)
            stores = [self._store(k, o, step, whole=True) for k, (o, step) in enumerate(targets, first)]
            rest = [self._store(k, o, step, whole=False) for k, (o, step) in enumerate(targets, first)]
        calculate = [f"V {name} = (V)(s_{name});" if self.part is None else
                     f"Pair {name} = pair((V)(s_{name}), (V)(t_{name}));" for name in self.scalars]
        calculate += [f"{'V' if self.part is None else 'Pair'} r{k} = {value};" for k, value in enumerate(self.values)]
        return "\n".join([
            "#define PARAMETERS " + ", ".join(self._parameters()),
            "#define ROW_STARTS " + " ".join(self._row_starts()),
            "#define LOADS " + " ".join(loads),
            "#define PARTIAL_LOADS " + " ".join(partial),
            "#define CALCULATE " + " ".join(calculate),
            "#define BLOCKS " + " ".join([self._block(o) for o in self.inputs if o.name in self.across]),
            "#define BLOCK_LOADS " + " ".join(turned),
            "#define STORES " + " ".join(stores),
            "#define PARTIAL_STORES " + " ".join(rest),
            *([self._total(self.outputs[0])] if self.summed else []),
        ])

    @staticmethod
    def _total(o: Operand) -> str:
        return f"#define STORE_TOTAL(item, v) STORE_{o.dtype.memory_code}(b_{o.name}, o_{o.name} + (item), (v) / s_divisor)"

    def _parameters(self) -> list[str]:
        first_output = len(self.inputs)
        buffers = [f"__global {'const ' if k < first_output else ''}T_{(o.held or o.dtype).memory_code} *b_{o.name}"
                   for k, o in enumerate(self.operands)]
        offsets = [f"INDEX o_{o.name}" for o in self.operands]
        scalars = [f"CALC s_{name}" if self.part is None else f"CALC s_{name}, CALC t_{name}" for name in self.scalars]
        sizes = ["INDEX N", "INDEX CHUNK", "INDEX ROWS", "INDEX COUNT1"]
        sizes += [f"INDEX d{axis}" for axis in range(2, self.rank)]
        strides = [f"INDEX t{axis}_{o.name}" for o in self.operands for axis in range(self.rank)]
        return buffers + offsets + scalars + sizes + strides

    def _row_starts(self) -> list[str]:
        lines = []
        if self.rank > 2:
            lines.append("INDEX rest = outer;")
            lines += [f"INDEX i{axis} = rest % d{axis}; rest /= d{axis};" for axis in range(2, self.rank)]
        first_output = len(self.inputs)
        for k, o in enumerate(self.operands):
            const = "const " if k < first_output else ""
            kind = f"__global {const}T_{o.dtype.memory_code} *"
            first = f"b_{o.name} + o_{o.name}"
            terms = [first if o.held is None else f"({kind})({first})"]
            if self.rank > 1:
                terms.append(f"row * t1_{o.name}")
            terms += [f"i{axis} * t{axis}_{o.name}" for axis in range(2, self.rank)]
            lines.append(f"{kind}p_{o.name} = {' + '.join(terms)};")
        return lines

    def _load(self, o: Operand, step: int, *, whole: bool) -> str:
        """What declares an operand's variable: a vector, or, in complex arithmetic, two."""
        if self.part is None:
            return self._vector(o, o.name, step, whole=whole)
        if not o.dtype.is_complex:
            return self._vector(o, f"re_{o.name}", step, whole=whole) + f" Pair {o.name} = z_of(re_{o.name});"
        if step == 1 and whole and o.dtype.to_real().cl == self.part or self.lanes == 1:
            return f"Pair {o.name} = LOAD_PAIRS(p_{o.name}, i * {'1' if step == 1 else f't0_{o.name}'});"
        lane = "l" if whole else "min(l, left - 1)"
        return f"Pair {o.name}; PAIR_LANES({o.name}, p_{o.name}[(i + {lane}) * t0_{o.name}])"

    def _vector(self, o: Operand, name: str, step: int, *, whole: bool) -> str:
        if step == 0:
            value = f"LOAD_{o.dtype.memory_code}(p_{o.name}, 0)"
            if o.common is None or o.common.category != o.dtype.category:
                pass
            elif o.common.category == 1:
                value = f"(T_{o.common.memory_code}){value}"
            elif o.common.itemsize < o.dtype.itemsize and o.common is not o.common.compute:
                # Devices without cl_khr_fp16 have no variables of type half.
                code, bits = o.common.memory_code, f"bits_{o.name}"
                return (f"ushort {bits}; STORE_{code}((T_{code} *)&{bits}, 0, (float){value}); "
                        f"V {name} = (V)((CALC)LOAD_{code}((const T_{code} *)&{bits}, 0));")
            return f"V {name} = (V)((CALC){value});"
        if self.lanes == 1:
            index = "i" if step == 1 else f"i * t0_{o.name}"
            return f"V {name} = (CALC)LOAD_{o.dtype.memory_code}(p_{o.name}, {index});"
        if step == 1 and whole:
            return f"V {name} = CONVERT(CALC, VLOAD_{o.dtype.memory_code}(p_{o.name}, i));"
        if step == -1 and whole:
            return f"V {name} = REVERSED(CONVERT(CALC, VLOAD_{o.dtype.memory_code}(p_{o.name}, 1 - VW - i)));"
        arguments = f"({o.dtype.memory_code}, {name}, p_{o.name}, {'1' if step == 1 else f't0_{o.name}'})"
        if whole and o.name in self.across:  # the rows that are no block: a loop, which compiles faster
            return f"V {name}; {{ const int left = VW; PARTIAL{arguments} }}"
        return f"V {name}; {'STRIDED' if whole else 'PARTIAL'}{arguments}"

    def _block(self, o: Operand) -> str:
        load = f"CONVERT(CALC, VLOAD_{o.dtype.memory_code}(p_{o.name}, (i + l) * t0_{o.name}))"
        return f"V rows_{o.name}[VW]; for (int l = 0; l < VW; l++) rows_{o.name}[l] = {load}; transpose(rows_{o.name});"

    def _store(self, k: int, o: Operand, step: int, *, whole: bool) -> str:
        code = o.dtype.memory_code
        # What is stored: floats for the 16-bit floats, for the others their own type; via int from floating point.
        target = "CALC" if code == "b8" else o.dtype.compute.cl
        value = f"r{k}"
        if o.dtype.is_complex:
            return self._store_pairs(value, o, step, whole=whole)
        if self.part is not None:
            value = f"WHERE(Z_TRUTH({value}), K(1), K(0))" if code == "b8" else f"{value}.re"
        if not o.dtype.is_floating_point and o.dtype.itemsize < 4 and code != "b8":
            value = f"CONVERT(int, {value})"
        if target != "CALC":
            value = f"CONVERT({target}, {value})"
        if self.lanes == 1:
            index = "i" if step == 1 else f"i * t0_{o.name}"
            return f"STORE_{code}(p_{o.name}, {index}, {value});"
        if step == 1 and whole:
            return f"VSTORE_{code}(p_{o.name}, i, {value});"
        form = "STRIDED_STORE" if whole else "PARTIAL_STORE"
        return f"{form}({code}, {target}, p_{o.name}, {'1' if step == 1 else f't0_{o.name}'}, {value})"

    def _store_pairs(self, value: str, o: Operand, step: int, *, whole: bool) -> str:
        if step == 1 and whole and o.dtype.to_real().cl == self.part or self.lanes == 1:
            return f"STORE_PAIRS({o.dtype.cl}, p_{o.name}, i * {'1' if step == 1 else f't0_{o.name}'}, {value});"
        return f"STORE_PAIR_LANES({'VW' if whole else 'left'}, {o.dtype.cl}, p_{o.name}[(i + l) * t0_{o.name}], {value})"
