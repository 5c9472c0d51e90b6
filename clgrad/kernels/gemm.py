"""Launcher of ``gemm.cl``: batched matrix products of operands of any strides, with bias and activation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device, Kernel, Limits
from clgrad.runtime.tuning import tuned
from clgrad.shapes import divide_up, round_up

Strides = tuple[int, int, int]  # of batch, row and column, in elements

ACTIVATIONS = {None: 0, "relu": 1}
BIASES = {None: 0, "row": 1, "column": 2, "sums": 3, "gate": 4}

ONE_ROW = 1 << 18  # a vector times a matrix of this size is worth a program of its own, with tiles of one row
MOST_PARTS = 64
# What a core needs, about, to multiply and add once, and to copy an element or to fetch it again from beyond L2.
MULTIPLIED_NS, COPIED_NS, FETCHED_NS = 0.02, 0.5, 0.15
FAR = 1 << 16  # elements of an operand that stay in L2 beside the others
LATE = 0.1  # of an item: what is lost where a thread begins late
WIDE = 2**31 - 2**16  # from here on indices are 64 bits wide; below, a tile may step over the end
OPERANDS = "PPPPP" + "{i}{i}{i}{i}" + "iii" + "{i}{i}{i}" * 3 + "i{s}iii"
SCALARS = {"float": "f", "double": "d", "long": "l"}


@dataclass(frozen=True)
class Tuning:
    """The numbers that suit one device better than another. On a CPU those of the first group count, else the others."""

    block_depth: int = 256  # of k in one slice: a panel of 24 columns of B is then 24 KiB and stays in L1
    block_rows: int = 256  # of A in one block: 256 KiB, which stay in L2 while the panels of B pass
    few_rows: int = 16  # up to here dot products beat copying B into panels, whose cost is shared by the rows
    copied_rows: int = 32  # from here on copying B pays where it is too large for the first-level cache
    split_depth: int = 2048  # a product is split along k where its parts are at least this deep

    per_item: int = 4  # a work-item computes per_item x per_item elements
    slice_depth: int = 16  # how much of k lies in local memory at a time
    gpu_split_depth: int = 256  # as split_depth


_CANDIDATES: dict[bool, dict[str, tuple[int, ...]]] = {
    True: {"block_depth": (128, 192, 256, 384, 512), "block_rows": (64, 128, 256, 512), "few_rows": (4, 8, 16, 32),
           "copied_rows": (16, 32, 64, 128), "split_depth": (512, 1024, 2048, 4096)},
    False: {"per_item": (2, 4, 8), "slice_depth": (8, 16, 32), "gpu_split_depth": (128, 256, 1024)},
}


def candidates(device: Device) -> dict[str, tuple[int, ...]]:
    """The numbers that count on a device, with the values that are worth trying."""
    return _CANDIDATES[device.is_cpu]


@cache
def _tuning(limits: Limits) -> Tuning:
    """The numbers for a device: measured ones where there are any. What no candidate could be is left out."""
    allowed = _CANDIDATES[limits.is_cpu]
    return Tuning(**{name: value for name, value in tuned(limits, "gemm").items() if value in allowed.get(name, ())})


class Plan:
    """A planned product; call it with buffers and offsets (in elements) of A, B, C and the bias.

    ``cost`` is (floating-point operations, bytes moved at least) of one call; ``sums``: the sums of A's rows are stored
    where a bias would be read.
    """

    __slots__ = ("device", "bound", "swapped", "scratch", "cost", "sum", "sums")

    def __init__(self, device: Device, bound: Bound | None, swapped: bool, scratch: int, cost: tuple[int, int],
                 sum: tuple[Bound, int] | None = None, sums: bool = False):
        self.device, self.bound, self.swapped, self.scratch, self.cost, self.sum, self.sums = (
            device, bound, swapped, scratch, cost, sum, sums)

    def __call__(self, buffers: tuple, offsets: tuple) -> None:
        if self.bound is None:
            return
        a, b, c, bias = buffers
        if self.swapped:
            a, b, offsets = b, a, (offsets[1], offsets[0], *offsets[2:])
        if self.sum is not None:
            self._in_two_stages(a, b, c, bias, offsets)
        elif self.scratch:
            block = self.device.allocate(self.scratch)
            self.device.run(self.bound, (a, b, c, bias, block.buffer), offsets)
            block.release()
        else:
            self.device.run(self.bound, (a, b, c, bias, c), offsets)

    def _in_two_stages(self, a: Any, b: Any, c: Any, bias: Any, offsets: tuple) -> None:
        assert self.bound is not None and self.sum is not None
        second, partial_bytes = self.sum
        partial = self.device.allocate(partial_bytes)
        panels = self.device.allocate(self.scratch)
        self.device.run(self.bound, (a, b, partial.buffer, partial.buffer, panels.buffer), (*offsets[:2], 0, 0))
        self.device.run(second, (c, bias, partial.buffer), offsets[2:])
        panels.release()
        partial.release()


def plan(device: Device, dtype: dtype, batch: int, m: int, n: int, k: int, a_strides: Strides, b_strides: Strides,
         c_strides: Strides, *, bias: str | None = None, activation: str | None = None, accumulate: bool = False,
         alpha: float = 1, tuning: Tuning | None = None) -> Plan:
    """Plans ``C[z] = activation(alpha * A[z] @ B[z] + bias)`` with A m x k, B k x n and C m x n.

    Strides are those of (batch, row, column) in elements: a transposed operand has them swapped, a batch stride of 0
    uses one matrix for all. ``bias`` is None, "row" (m values, one a row of C) or "column" (n values); "sums" asks for the
    sums of A's rows (m values) in its place, where the plan's ``sums`` then says that it stores them; "gate" is a matrix that
    lies as C, which becomes 0 where the gate is not above 0: the gradient of a ReLU that gave it. With
    ``accumulate`` the product is added to C before the activation (None or "relu"). k may be 0: C becomes the bias.
    The matrices of C must not overlap each other or the operands. ``tuning`` stands for the device's own.
    """
    shape = _Shape(device, dtype, batch, m, n, k, a_strides, b_strides, c_strides, tuning or _tuning(device.limits))
    cost = shape.cost
    if batch * m * n == 0:
        return Plan(device, None, False, 0, cost)
    swapped = _better_transposed(shape)
    if swapped:
        shape = shape.transposed()
    parts = _parts(shape)
    sums = bias == "sums" and batch == 1 and parts == 1 and not swapped and not _are_dots(shape)
    kind = 0 if bias == "sums" and not sums else BIASES[bias]
    if swapped:
        kind = (0, 2, 1, 3, 4)[kind]
    ending = (alpha, kind, ACTIVATIONS[activation], int(accumulate))
    if parts > 1:
        return _split_plan(shape, parts, swapped, ending, cost)
    bound, scratch = _product(shape, 0, ending)
    return Plan(device, bound, swapped, scratch, cost, sums=sums)


class _Shape:
    """Sizes and strides of a product, and the macros that follow from device and dtype."""

    def __init__(self, device: Device, dtype: dtype, batch: int, m: int, n: int, k: int, a: Strides, b: Strides,
                 c: Strides, tuning: Tuning):
        self.tuning = tuning
        self.device, self.dtype, self.batch, self.m, self.n, self.k = device, dtype, batch, m, n, k
        self.a, self.b, self.c = a, b, c
        self.widen = dtype.compute is not dtype
        sizes = ((batch, m, k), (batch, k, n), (batch, m, n))
        reach = max(sum((size - 1) * abs(stride) for size, stride in zip(*pair, strict=True))
                    for pair in zip(sizes, (a, b, c), strict=True))
        self.index = "l" if max(reach, m * n) >= WIDE else "i"
        self.lanes = max(4, device.limits.vector_width * 4 // dtype.compute.itemsize) if dtype.is_floating_point else 8
        self.rows = 8 if self.lanes * dtype.compute.itemsize >= 64 and dtype.is_floating_point else 4
        self.vectors = 3
        if m == 1 and n * k >= ONE_ROW:
            self.rows, self.vectors = 1, 12
        self.columns = self.vectors * self.lanes
        self.cost = 2 * batch * m * n * k, batch * (m * k + k * n + m * n) * dtype.itemsize

    def transposed(self) -> _Shape:
        """The same product as C^T = B^T A^T."""
        def flip(strides: Strides) -> Strides:
            return strides[0], strides[2], strides[1]
        return _Shape(self.device, self.dtype, self.batch, self.n, self.m, self.k, flip(self.b), flip(self.a),
                      flip(self.c), self.tuning)

    def kernel(self, name: str, extra: str = "") -> Kernel:
        scalar = self.dtype.compute.cl if self.dtype.compute.cl in SCALARS else "int"
        macros = {"CODE": self.dtype.code, "REAL": self.dtype.compute.cl, "SCALAR": scalar,
                  "FLOATING": int(self.dtype.is_floating_point), "WIDEN": int(self.widen),
                  "INDEX": "long" if self.index == "l" else "int"}
        if self.device.is_cpu:
            macros |= {"VW": self.lanes, "MR": self.rows, "NV": self.vectors}
        else:
            macros |= {"VW": 1, "GROUP": _group(self.device), "PER_ITEM": self.tuning.per_item,
                       "DEPTH": self.tuning.slice_depth}
        letters = {"i": self.index, "s": SCALARS.get(scalar, "i")}
        if name == "gemm_sum":
            return self.device.kernel("gemm.cl", name, macros, "PPP{i}{i}iii{i}{i}{s}iii".format(**letters))
        return self.device.kernel("gemm.cl", name, macros, OPERANDS.format(**letters) + extra)


def _better_transposed(s: _Shape) -> bool:
    """Whether C^T = B^T A^T suits the kernels better: they like dense rows of C, and rather few rows than columns."""
    if (s.c[1] == 1) != (s.c[2] == 1) and s.m > 1 and s.n > 1:
        return s.c[1] == 1
    return s.n < s.m and s.n <= s.tuning.few_rows and (s.n == 1 or (s.a[2] == 1 and s.b[1] == 1))


def _are_dots(s: _Shape) -> bool:
    """Whether a CPU takes the kernel whose vectors run along k."""
    return s.device.is_cpu and s.m <= s.tuning.few_rows and s.a[2] == 1 and s.b[1] == 1 and s.b[2] != 1


def _parts(s: _Shape) -> int:
    """Into how many parts k is split: C is too small to keep all cores busy, and k is long."""
    if s.batch > 1 or s.widen:
        return 1
    tile = 64 if not s.device.is_cpu else 4 * s.columns
    tiles = divide_up(s.m, tile) * divide_up(s.n, tile)
    wanted = s.device.limits.compute_units * (1 if s.device.is_cpu else 2)
    depth = s.tuning.split_depth if s.device.is_cpu else s.tuning.gpu_split_depth
    return max(1, min(wanted // tiles, s.k // depth, MOST_PARTS))


def _split_plan(s: _Shape, parts: int, swapped: bool, ending: tuple, cost: tuple[int, int]) -> Plan:
    """The parts of k as batch elements of a first product, whose results ``gemm_sum`` adds up."""
    depth = round_up(divide_up(s.k, parts), 64)
    parts = divide_up(s.k, depth)
    first = _Shape(s.device, s.dtype, parts, s.m, s.n, s.k, (depth * s.a[2], *s.a[1:]), (depth * s.b[1], *s.b[1:]),
                   (s.m * s.n, s.n, 1), s.tuning)
    first.index = s.index
    bound, scratch = _product(first, depth, (1, 0, 0, 0))
    local = 1 if s.device.is_cpu else 64
    items = min(4 * s.device.limits.compute_units if s.device.is_cpu else 4096, s.m * s.n)
    second = Bound(s.kernel("gemm_sum"), (round_up(items, local),), (local,), 3, s.index * 2,
                   (parts, s.m, s.n, s.c[1], s.c[2], *ending), (parts * s.m * s.n, parts * s.m * s.n * s.dtype.itemsize))
    return Plan(s.device, bound, swapped, scratch or 1, cost, (second, parts * s.m * s.n * s.dtype.itemsize))


def _product(s: _Shape, split: int, ending: tuple) -> tuple[Bound, int]:
    """The launch of a product, and how many bytes of scratch memory it needs."""
    constants = (s.m, s.n, s.k, *s.a, *s.b, *s.c, split, *ending)
    varying = s.index * 4
    if not s.device.is_cpu:
        group = _group(s.device)
        tile = s.tuning.per_item * group
        size = (divide_up(s.n, tile) * group, divide_up(s.m, tile) * group, s.batch)
        return Bound(s.kernel("gemm_blocks"), size, (group, group, 1), 5, varying, constants, s.cost), 0
    if _are_dots(s):
        return _dots(s, varying, constants), 0
    return _tiles(s, varying, constants, split)


def _dots(s: _Shape, varying: str, constants: tuple) -> Bound:
    items = max(1, _wanted_items(s) // s.batch)
    share = round_up(divide_up(s.n, items), 6)
    grid = (divide_up(s.n, share), 1, s.batch)
    return Bound(s.kernel("gemm_dots", "i"), grid, (1, 1, 1), 5, varying, (*constants, share), s.cost)


def _tiles(s: _Shape, varying: str, constants: tuple, split: int) -> tuple[Bound, int]:
    depth = split or s.k
    if not s.widen:  # 16-bit floats have no partial sums in C, so their slices are as deep as k
        depth = min(s.tuning.block_depth, depth)
    # Measured: copying A pays where its rows are strided and long, copying B where it does not fit in L2.
    copy_a = s.widen or (s.a[2] != 1 and (s.a[1] != 1 or s.m >= 512) and depth >= 32 and s.n >= 64)
    rows, columns = _item_block(s, copy_a)
    copy_b = s.widen or s.b[2] != 1 or (rows >= s.tuning.copied_rows and s.n * s.k >= FAR)
    grid = (divide_up(s.n, columns), divide_up(s.m, rows), s.batch)
    block_rows = min(rows, s.tuning.block_rows)
    block_columns = s.columns if s.widen else columns
    scratch = 0
    if copy_a or copy_b or s.n % s.lanes:
        copies = (block_columns if copy_b else s.columns) * (depth + 1) + (block_rows * (depth + 16) if copy_a else 0)
        scratch = grid[0] * grid[1] * grid[2] * copies * s.dtype.compute.itemsize
    extra = (rows, columns, block_rows, block_columns, depth, int(copy_a), int(copy_b))
    return Bound(s.kernel("gemm_tiles", "i" * 7), grid, (1, 1, 1), 5, varying, (*constants, *extra), s.cost), scratch


def _wanted_items(s: _Shape) -> int:
    """How many work-items share the product: one where a second thread costs more than it gains, some for balance."""
    work = s.batch * s.m * s.n * max(1, s.k)
    if work < 1 << 20:
        return 1
    # Measured: where a product takes less than a millisecond, a thread that begins late costs more than small items do.
    shares = 1 if work < 1 << 22 else 8 if work < 1 << 25 and min(s.m, s.n) >= 128 else 4
    return s.device.limits.compute_units * shares


def _item_block(s: _Shape, copy_a: bool) -> tuple[int, int]:
    """Rows and columns of C of a work-item, in whole tiles: the division that is expected to be done first.

    Every item of a row of items copies the same rows of A, every one of a column the same columns of B.
    """
    wanted, units = divide_up(_wanted_items(s), s.batch), s.device.limits.compute_units
    column_tiles, row_tiles = divide_up(s.n, s.columns), divide_up(s.m, s.rows)
    copied_b = 1.5 * COPIED_NS if s.b[2] != 1 else COPIED_NS if s.n * s.k >= FAR else 0
    copied_a = COPIED_NS if copy_a else FETCHED_NS if s.m * s.k > FAR else 0

    def expected(blocks: tuple[int, int]) -> float:
        """Nanoseconds, over k, until the last unit is done."""
        rows, columns = sizes(*blocks)
        items = divide_up(s.m, rows) * divide_up(s.n, columns) * s.batch
        rows, columns = min(rows, s.m), min(columns, s.n)
        item = rows * columns * MULTIPLIED_NS + rows * copied_a + columns * copied_b
        return (divide_up(items, min(units, wanted)) + LATE) * item

    def sizes(row_blocks: int, column_blocks: int) -> tuple[int, int]:
        return divide_up(row_tiles, row_blocks) * s.rows, divide_up(column_tiles, column_blocks) * s.columns
    options = [(min(row_tiles, divide_up(share, column_blocks)), column_blocks) for share in {divide_up(wanted, 2), wanted}
               for column_blocks in range(1, min(column_tiles, 2 * wanted) + 1)]
    rows, columns = sizes(*min(options, key=expected))
    return (min(rows, s.tuning.block_rows) if s.widen else rows), columns


def _group(device: Device) -> int:
    """Side of a work-group of the GPU form."""
    return 16 if device.limits.max_work_group >= 256 else 8
