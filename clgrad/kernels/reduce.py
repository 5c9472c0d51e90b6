"""Reductions of any dimensions of a strided input: the launcher of ``reduce.cl``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from clgrad import dtypes
from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device
from clgrad.shapes import collapse, extent, round_up

SIMPLE, EXTREME, MOMENTS, LOGSUMEXP = range(4)
TILE = 512      # columns a work-item, 16 * TILES of reduce.cl
GROUP = 256     # work-items a group on GPUs, where they allow as many
GRAIN = 16384   # elements that are worth a work-item of their own on a CPU


class Reduction(NamedTuple):
    """One row of the table: ``finish(reduce(combine, map(x)))`` with elements converted to the accumulator type."""

    combine: str = "((a) + (b))"
    identity: str = "0"
    map: str = "(x)"
    finish: str = "(s).a"
    kind: int = SIMPLE
    read: str = "TO_ACC(v)"
    accumulator: str = "compute"  # compute: the dtype of arithmetic; sum: 64-bit for integers; count: an integer
    parameter: str = "none"       # what the kernel's `parameter` is: count, divisor or given


LARGEST = "((((b) > (a)) | ((b) != (b))) ? (b) : (a))"
SMALLEST = "((((b) < (a)) | ((b) != (b))) ? (b) : (a))"
SPREAD = "(s).m2 / parameter"

REDUCTIONS = {
    "sum": Reduction(accumulator="sum"),
    "mean": Reduction(finish="(s).a / parameter", accumulator="sum", parameter="count"),
    "prod": Reduction("((a) * (b))", "1", accumulator="sum"),
    "prod_nonzero": Reduction("((a) * (b))", "1", map="(((x) == 0) ? (V)(1) : (x))"),
    "amax": Reduction(LARGEST, "LOWEST"),
    "amin": Reduction(SMALLEST, "HIGHEST"),
    "all": Reduction("((a) & (b))", "1", read="TRUTH(v)", accumulator="truth"),
    "any": Reduction("((a) | (b))", "0", read="TRUTH(v)", accumulator="truth"),
    "count_nonzero": Reduction(read="TRUTH(v)", accumulator="count"),
    "norm": Reduction(map="pow(fabs(x), (V)(1) * P)", finish="pow((s).a, 1 / parameter)", parameter="given"),
    "norm0": Reduction(read="TRUTH(v)"),
    "norm1": Reduction(map="fabs(x)"),
    "norm2": Reduction(map="((x) * (x))", finish="sqrt((s).a)"),
    "norm_inf": Reduction(LARGEST, "0", map="fabs(x)"),
    "norm_-inf": Reduction(SMALLEST, "HIGHEST", map="fabs(x)"),
    "sum_squares": Reduction(map="((x) * (x))"),
    "max": Reduction(kind=EXTREME, identity="LOWEST", combine="((b) <= (a))"),
    "min": Reduction(kind=EXTREME, identity="HIGHEST", combine="((b) >= (a))"),
    "argmax": Reduction(kind=EXTREME, identity="LOWEST", combine="((b) <= (a))"),
    "argmin": Reduction(kind=EXTREME, identity="HIGHEST", combine="((b) >= (a))"),
    "var": Reduction(kind=MOMENTS, finish=SPREAD, parameter="divisor"),
    "std": Reduction(kind=MOMENTS, finish=f"sqrt({SPREAD})", parameter="divisor"),
    "var_mean": Reduction(kind=MOMENTS, finish=SPREAD, parameter="divisor"),
    "std_mean": Reduction(kind=MOMENTS, finish=f"sqrt({SPREAD})", parameter="divisor"),
    "logsumexp": Reduction(kind=LOGSUMEXP, finish="log((s).sum) + (s).m"),
}

_LETTERS = {"float": "f", "double": "d", "int": "i", "long": "l", "ulong": "l"}
_WIDE = ("double", "long", "ulong")
_LIMITS = {"float": ("-INFINITY", "INFINITY", "FLT_MAX"), "double": ("-INFINITY", "INFINITY", "DBL_MAX"),
           "int": ("INT_MIN", "INT_MAX", "INT_MAX"), "long": ("LONG_MIN", "LONG_MAX", "LONG_MAX"),
           "ulong": ("0", "ULONG_MAX", "ULONG_MAX")}


class UnsupportedLayout(ValueError):
    """The dimensions interleave in more groups than the kernels index: make the input contiguous, kept dims first."""


class Split(NamedTuple):
    """A strided input seen by the kernels, sizes and strides innermost first."""

    columns: bool                   # the innermost kept dimension is contiguous and becomes `inner`
    inner: int
    kept: tuple[tuple[int, int], ...]
    runs: tuple[tuple[int, int], ...]
    n: int
    stride: int


def split(shape: Sequence[int], strides: Sequence[int], dims: Sequence[int], ordered: bool) -> Split:
    """Sorts dimensions into kept ones, runs and the innermost reduced one.

    ``ordered``: indices are counted in the input's own order (argmax); otherwise the reduced dimensions are walked in
    the order of their strides.
    """
    reduced = [d for d in range(len(shape)) if d in dims]
    if not ordered:
        reduced.sort(key=lambda d: -abs(strides[d]))
    kept_axes = [d for d in range(len(shape)) if d not in dims]
    kept_sizes, (kept_steps,) = collapse([shape[d] for d in kept_axes], [[strides[d] for d in kept_axes]])
    sizes, (steps,) = collapse([shape[d] for d in reduced], [[strides[d] for d in reduced]])
    kept = [pair for pair in zip(kept_sizes, kept_steps, strict=True) if pair[0] != 1][::-1]
    walked = list(zip(sizes, steps, strict=True))[::-1]
    columns = bool(kept) and kept[0][1] == 1 and not (walked[0][1] == 1 and walked[0][0] > 1)
    inner = kept.pop(0)[0] if columns else 1
    (n, stride), runs = walked[0], walked[1:]
    if len(kept) > 3 or len(runs) > 2:
        raise UnsupportedLayout(f"shape {list(shape)} with strides {list(strides)} reduced over {list(dims)}")
    return Split(columns, inner, tuple(kept), tuple(runs), n, stride)


class Plan:
    """A reduction bound to its shapes. Its operands: x, out, aux.

    ``aux`` is the second output: the int64 index of max, min, argmax and argmin, or the mean of var_mean and
    std_mean. argmax and argmin write only the index: pass any buffer as ``out``.
    """

    __slots__ = ("device", "bound", "merge", "state_bytes", "cost")

    def __init__(self, device: Device, bound: Bound, merge: Bound | None, state_bytes: int, cost: tuple[int, int]):
        self.device, self.bound, self.merge, self.state_bytes, self.cost = device, bound, merge, state_bytes, cost

    def __call__(self, buffers: tuple, offsets: tuple) -> None:
        if self.merge is None:
            self.device.run(self.bound, (*buffers, buffers[1]), offsets)
            return
        states = self.device.allocate(self.state_bytes)
        self.device.run(self.bound, (*buffers, states.buffer), offsets)
        self.device.run(self.merge, (states.buffer, *buffers[1:]), offsets[1:])
        states.release()


def accumulator(row: Reduction, in_dtype: dtype) -> str:
    """The OpenCL type in which elements of ``in_dtype`` are combined."""
    if row.accumulator == "truth":
        return "int"
    if row.accumulator == "count":
        return "long"
    if in_dtype.is_floating_point:
        return in_dtype.compute.cl
    if row.accumulator == "sum" or in_dtype in (dtypes.int64, dtypes.uint32):
        return "long"
    return "ulong" if in_dtype is dtypes.uint64 else "int"


def macros_of(op: str, in_dtype: dtype, out_dtype: dtype, wide: bool, order: float) -> tuple[dict[str, object], str]:
    """The macros of reduce.cl for a row of the table, and the accumulator's type."""
    row = REDUCTIONS[op]
    acc = accumulator(row, in_dtype)
    lowest, highest, largest = _LIMITS[acc]
    names = {"LOWEST": lowest, "HIGHEST": highest}
    aux = in_dtype if op.endswith("_mean") else dtypes.int64
    macros: dict[str, object] = {
        "IN": in_dtype.code, "OUT": out_dtype.code, "AUX": aux.code, "LOADED": in_dtype.compute.cl,
        "ACC": acc, "ACC_MAX": largest, "KIND": row.kind,
        "POSITION": "long" if wide or acc in _WIDE else "int",
        "POSITION_MAX": "LONG_MAX" if wide or acc in _WIDE else "INT_MAX",
        "INDEX": "long" if wide else "int", "VW": 16, "READ(v)": row.read, "MAP(x)": row.map,
        "IDENTITY": names.get(row.identity, row.identity), "FINISH(s)": row.finish}
    macros["NOT_BETTER(b, a)" if row.kind == EXTREME else "COMBINE(a, b)"] = row.combine
    if op.endswith("_mean"):
        macros["MEAN"] = 1
    if op in ("argmax", "argmin"):
        macros["INDEX_ONLY"] = 1
    if op == "norm":
        macros["P"] = f"({float(order)!r}{'f' if acc == 'float' else ''})"
    return macros, acc


def norm_op(order: float) -> str:
    """The table's row for a vector norm of this order; "norm" needs ``order`` given to :func:`plan`."""
    return {0.0: "norm0", 1.0: "norm1", 2.0: "norm2", float("inf"): "norm_inf",
            float("-inf"): "norm_-inf"}.get(float(order), "norm")


def plan(device: Device, op: str, in_dtype: dtype, out_dtype: dtype, shape: Sequence[int], strides: Sequence[int],
         dims: Sequence[int], *, correction: float = 1, order: float = 2) -> Plan:
    """A plan that reduces ``dims`` of a strided input into a contiguous output of the kept dimensions.

    ``op`` is a key of ``REDUCTIONS``; ``correction`` is for var and std, ``order`` for norm. An empty reduction gives
    the identity (sum 0, prod 1, all True, mean and var NaN). The output must not be empty. UnsupportedLayout where
    more than three groups of kept dimensions alternate with others.
    """
    row = REDUCTIONS[op]
    dims = sorted(set(dims))
    outputs = prod(shape[d] for d in range(len(shape)) if d not in dims)
    count = prod(shape[d] for d in dims)
    if outputs == 0:
        raise ValueError(f"reduce.plan: no outputs in shape {list(shape)} reduced over {dims}")
    layout = split(shape, strides, dims, row.kind == EXTREME)
    if count == 0:
        layout = Split(False, 1, ((outputs, 0),), ((0, 0),), 1, 1)
    wide = max(extent(shape, strides), outputs) * 2 >= 1 << 31
    # A 32-bit accumulator is compared with 32-bit indices in the same lanes: wide inputs count in double there.
    macros, acc = macros_of(op, in_dtype, out_dtype, wide, order)
    if wide and row.kind == EXTREME and acc in ("float", "int"):
        macros["ACC"] = acc = "double" if acc == "float" else "long"
        macros["ACC_MAX"] = _LIMITS[acc][2]
    cost = (outputs * count, outputs * count * in_dtype.itemsize + outputs * out_dtype.itemsize)
    parameter: float = {"none": 0, "count": count, "divisor": max(count - correction, 0), "given": order}[row.parameter]
    if acc not in ("float", "double"):
        parameter = int(parameter)
    return Plan(device, *_bind(device, layout, outputs, macros, "l" if wide else "i", parameter, cost), cost)


def _bind(device: Device, layout: Split, outputs: int, macros: dict[str, object], index: str,
          parameter: float, cost: tuple[int, int]) -> tuple[Bound, Bound | None, int]:
    """The launch, the launch that merges its parts (None where there is one part), and the bytes between them."""
    (r0, s0), (_, s1) = (*layout.runs, (1, 0), (1, 0))[:2]
    (k0, t0), (k1, t1), (_, t2) = (*layout.kept, (1, 0), (1, 0), (1, 0))[:3]
    runs, n, cpu = prod(size for size, _ in layout.runs), layout.n, device.is_cpu
    group, units, letter = device.limits.group(GROUP), device.limits.compute_units, _LETTERS[str(macros["ACC"])]
    tiles = -(-layout.inner // (TILE if cpu else group))
    items = (outputs // layout.inner) * tiles if layout.columns else outputs
    per_output = runs * n * (min(layout.inner, TILE) if layout.columns and cpu else 1)
    runs_per_part, n_per_part, parts = _parts(items, per_output, runs, n, units, cpu, layout.columns)
    sizes = (runs, runs_per_part, n, n_per_part, layout.stride, k0, t0, k1, t1, t2, max(r0, 1), s0, s1)

    def bound(name: str, buffers: int, work: tuple[int, ...], head: tuple[float, ...], kinds: str) -> Bound:
        kernel = device.kernel("reduce.cl", name, macros, "P" * buffers + index * (buffers - 1) + kinds)
        local = (1,) * len(work) if cpu else (group, 1, 1)[:len(work)]
        return Bound(kernel, work, local, buffers, index * (buffers - 1), head, cost)

    if layout.columns:
        work = (tiles if cpu else tiles * group, parts, outputs // layout.inner)
        first = bound("reduce_columns", 4, work, (layout.inner, *sizes, parameter), index * 14 + letter)
    else:
        per_item, width, groups = _rows(outputs, runs * n // parts, n_per_part, units, 1 if cpu else group)
        first = bound("reduce_rows", 4, (groups, parts), (outputs, per_item, *sizes, width, parameter),
                      index * 15 + "i" + letter)
    if parts == 1:
        return first, None, 0
    per_item, width, groups = _rows(outputs, parts, parts, units, 1 if cpu else group)
    second = bound("reduce_merge", 3, (groups,), (parts, outputs, per_item, width, parameter),
                   "i" + index * 2 + "i" + letter)
    return first, second, parts * outputs * 24


def _rows(outputs: int, per_output: int, n: int, units: int, group: int) -> tuple[int, int, int]:
    """Outputs a work-item, work-items an output, and the global size: a CPU's items are large, a GPU's many."""
    if group == 1:
        per_item = max(1, min(outputs, max(GRAIN // max(per_output, 1), -(-outputs // (units * 16)))))
        return per_item, 1, -(-outputs // per_item)
    width = min(group, 1 << (max(n, 1) - 1).bit_length())
    return 1, width, round_up(outputs * width, group)


def _parts(items: int, per_item: int, runs: int, n: int, units: int, cpu: bool, columns: bool) -> tuple[int, int, int]:
    """Into how many parts each output's elements are cut: (runs a part, elements of a run a part, parts).

    Enough to occupy the device, not smaller than is worth a work-item, and short enough for an accurate cascade.
    """
    if runs * n == 0:
        return 1, 1, 1
    grain = GRAIN * 2 if cpu else 4096
    shares = 32 if not cpu else 4 if columns else 16  # a unit: the thread that wakes up last is to take fewer
    wanted = min(-(-units * shares // items) if items < units * 4 else 1, -(-per_item // grain))
    if columns:
        wanted = max(wanted, -(-n * runs // 8192)) if items < units * 64 else wanted
    wanted = max(1, wanted)
    if wanted == 1:
        return runs, n, 1
    if runs >= wanted:
        runs_per_part = -(-runs // wanted)
        return runs_per_part, n, -(-runs // runs_per_part)
    over_n = -(-wanted // runs)
    n_per_part = -(-n // over_n)
    if not columns and n_per_part > 64:
        n_per_part = -(-n_per_part // 64) * 64
    return 1, n_per_part, runs * -(-n // n_per_part)
