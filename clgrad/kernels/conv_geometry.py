"""What the launchers of the convolution kernels share: geometry, plans of several launches, kernels and their macros.

Shapes: x (N, Ci, H, W), w (Co, Ci / groups, KH, KW), y (N, Co, OH, OW); stride, padding and dilation are pairs. All
operands are contiguous behind their offsets: the ops layer copies what is not.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device, Kernel
from clgrad.shapes import Shape, divide_up, round_up

Pair = tuple[int, int]

PLANE_BYTES = 1 << 18  # of the input that a work-item holds as planes: they are to stay in its L2 cache
PER_ITEM = 4  # elements per side that a GPU work-item computes
WIDE = 2**31 - 2**16  # tensors of this many elements and more are indexed with 64 bits

OFFSETS = "{i}" * 4
GEOMETRY = "i" * 19


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many positions a kernel takes along one dimension."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


class Plan:
    """A planned launch. Call it with buffers and offsets of the operands that the planner names.

    ``cost`` is (floating-point operations, bytes moved at least) of one call.
    """

    __slots__ = ("device", "steps", "scratch", "cost")

    def __init__(self, device: Device, steps: tuple[tuple[Bound, tuple[int, ...]], ...], scratch: int,
                 cost: tuple[int, int]):
        # A step: a launch, and which operands it takes; operand number -1 is the scratch memory, without an offset.
        self.device, self.steps, self.scratch, self.cost = device, steps, scratch, cost

    def __call__(self, buffers: tuple, offsets: tuple) -> None:
        block = self.device.allocate(self.scratch) if self.scratch else None
        for bound, order in self.steps:
            self.device.run(bound, tuple([block.buffer if n < 0 else buffers[n] for n in order]),  # type: ignore[union-attr]
                            tuple([offsets[n] for n in order if n >= 0]))
        if block is not None:
            block.release()


@dataclass(frozen=True)
class Geometry:
    """What a kernel reads and writes, of one group: the two directions of a convolution look the same here."""

    images: int
    groups: int
    channels: int
    outputs: int
    source: Pair
    result: Pair
    kernel: Pair
    dilation: Pair
    padding: Pair
    source_step: Pair
    result_step: Pair
    sign: int

    def arguments(self) -> tuple[int, ...]:
        """The kernels' GEOMETRY."""
        return (self.images, self.groups, self.channels, self.outputs, *self.source, *self.result, *self.kernel,
                *self.dilation, *self.padding, *self.source_step, *self.result_step, self.sign)

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def operations(self) -> int:
        """Multiplications of one launch, counting those with the border."""
        terms = self.channels * self.taps // (self.result_step[0] * self.result_step[1])
        return self.images * self.groups * self.outputs * self.result[0] * self.result[1] * terms

    def offsets(self, axis: int) -> tuple[int, int]:
        """The lowest and the highest offset of a tap, in rows or columns of the planes."""
        found = []
        for phase in range(self.result_step[axis]):
            for tap in range(self.kernel[axis]):
                e = phase + self.sign * (tap * self.dilation[axis] - self.padding[axis])
                if e % self.result_step[axis] == 0:
                    found.append(e // self.result_step[axis] // self.source_step[axis])
        return (min(found), max(found)) if found else (0, 0)

    def phase_size(self, axis: int) -> int:
        """Rows or columns of the result's largest phase."""
        return divide_up(self.result[axis], self.result_step[axis])

    def phase_taps(self, axis: int) -> list[int]:
        """How many taps each phase of the result has, along one dimension."""
        step = self.result_step[axis]
        return [sum((phase + self.sign * (tap * self.dilation[axis] - self.padding[axis])) % step == 0
                    for tap in range(self.kernel[axis])) for phase in range(step)]

    @property
    def in_place(self) -> bool:
        """Whether the input needs no border and no split by phase, so that it can be read where it is."""
        return self.source_step == (1, 1) and all(
            self.offsets(axis)[0] == 0 and self.phase_size(axis) + self.offsets(axis)[1] <= self.source[axis]
            for axis in (0, 1))


def forward_geometry(x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> Geometry:
    images, channels, *size = x_shape
    kernel = (w_shape[2], w_shape[3])
    h, w = (output_size(size[a], kernel[a], stride[a], padding[a], dilation[a]) for a in (0, 1))
    return Geometry(images, groups, channels // groups, w_shape[0] // groups, (size[0], size[1]), (h, w), kernel,
                     dilation, padding, stride, (1, 1), 1)


def folded(device: Device, g: Geometry) -> Geometry:
    """A 1x1 convolution sees no neighbours: its planes can be one long row, of which fewer vectors are incomplete."""
    if not (g.in_place and g.taps == 1 and g.result_step == (1, 1) and g.source[1] % device.limits.vector_width):
        return g
    size = (1, g.source[0] * g.source[1])
    return Geometry(g.images, g.groups, g.channels, g.outputs, size, size, (1, 1), (1, 1), (0, 0), (1, 1), (1, 1), 1)


def cost_of(g: Geometry, dtype: dtype) -> tuple[int, int]:
    source, result = (size[0] * size[1] for size in (g.source, g.result))
    elements = g.images * g.groups * (g.channels * source + g.outputs * result)
    return 2 * g.operations, (elements + g.groups * g.outputs * g.channels * g.taps) * dtype.itemsize


class Kernels:
    """The kernels of conv.cl for a device and dtype, and the macros that make them."""

    def __init__(self, device: Device, dtype: dtype, g: Geometry):
        self.device, self.dtype = device, dtype
        self.itemsize = dtype.compute.itemsize
        self.widen = dtype.compute is not dtype
        self.lanes = max(4, device.limits.vector_width * 4 // self.itemsize)
        # Of a register tile of panels, whose other side are up to three vectors. AVX-512 has twice as many registers.
        self.panel_rows = 8 if self.lanes * self.itemsize == 64 else 4
        self.group = 16 if device.limits.max_work_group >= 256 else 8
        self.tile = self.group * PER_ITEM
        elements = g.images * g.groups * max(g.channels * g.source[0] * g.source[1],
                                             g.outputs * g.result[0] * g.result[1])
        self.index = "l" if elements >= WIDE else "i"
        self.macros = {"CODE": dtype.code, "REAL": dtype.compute.cl, "WIDEN": int(self.widen),
                       "INDEX": "long" if self.index == "l" else "int"}
        if device.is_cpu:
            self.macros |= {"VW": self.lanes, "MR": 1 if g.outputs == 1 else 4}
        else:
            self.macros |= {"VW": 1, "GROUP": self.group, "PER_ITEM": PER_ITEM}

    def narrow(self, columns: int) -> Kernels:
        """These kernels with vectors that a row of so many elements does not leave half empty."""
        made = copy(self)
        while made.lanes > 4 and columns <= made.lanes // 2:
            made.lanes //= 2
        made.macros = self.macros | {"VW": made.lanes}
        return made

    def get(self, file: str, name: str, signature: str, **macros: int) -> Kernel:
        return self.device.kernel(file, name, self.macros | macros, signature.format(i=self.index))

    def elements(self, nbytes: int) -> int:
        """Scratch elements that hold ``nbytes``, in whole cache lines."""
        return round_up(nbytes, 64) // self.itemsize

    def sum(self, parts: int, skip: int, stride: int, weights: int, biases: int) -> Bound:
        """The launch that adds up ``parts`` partial gradients; none of them gives zeros."""
        units = self.device.limits.compute_units
        local, most = (1, units) if self.device.is_cpu else (64, 1 << 14)
        items = max(1, min(most, (weights + biases) // (256 if self.device.is_cpu else 1)))
        return Bound(self.get("conv_weights.cl", "conv_sum", "PPP{i}{i}{i}iiii"), (round_up(items, local),), (local,), 3,
                     self.index * 2, (skip, parts, stride, weights, biases),
                     (parts * (weights + biases), (parts + 1) * (weights + biases) * self.itemsize))


def wanted_items(device: Device, operations: int) -> int:
    """Work-items for the CPU form: one where a second thread costs more than it gains, some for balance."""
    if operations < 1 << 20:
        return 1
    return device.limits.compute_units * (1 if operations < 1 << 22 else 4)


def row_bands(rows: int, independent: int, items: int, row_bytes: int, border: int) -> int:
    """Into how many bands of rows an image is cut: its planes shall fit in the cache, all work-items have work."""
    fitting = max(1, PLANE_BYTES // max(1, row_bytes) - border)
    bands = divide_up(rows, min(rows, max(fitting, 1 + border)))
    wanted = divide_up(items, independent)
    return max(bands, min(wanted, divide_up(rows, 2 + 2 * border)))
