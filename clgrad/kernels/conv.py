"""Launcher of ``conv.cl``: 2-D convolution of contiguous NCHW tensors, and its gradients.

Shapes: x (N, Ci, H, W), w (Co, Ci / groups, KH, KW), y (N, Co, OH, OW); stride, padding and dilation are pairs. All
operands are contiguous behind their offsets: the ops layer copies what is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device, Kernel
from clgrad.shapes import Shape, divide_up, round_up

Pair = tuple[int, int]

PLANE_BYTES = 1 << 18  # of the input that a work-item holds as planes: they are to stay in its L2 cache
LONG_UNIT = 64  # vectors of positions that a weight gradient sums before it adds the lanes
MOST_PARTIAL = 1 << 16  # weights up to this number get the sums of many work-items
GPU_TILE = 4  # elements per side that a GPU work-item computes
WIDE = 2**31 - 2**16  # tensors of this many elements and more are indexed with 64 bits

OFFSETS = "{i}" * 4
GEOMETRY = "i" * 19
RELU = {None: 0, "relu": 1}


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many positions a kernel takes along one dimension."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


class Plan:
    """A planned launch. Call it with buffer, offset, buffer, offset, ... of the operands that the planner names.

    ``cost`` is (floating-point operations, bytes moved at least) of one call.
    """

    __slots__ = ("device", "steps", "scratch", "cost")

    def __init__(self, device: Device, steps: tuple[tuple[Bound, tuple[int, ...]], ...], scratch: int,
                 cost: tuple[int, int]):
        # A step: a launch, and which operands it takes; operand number -1 is the scratch memory, without an offset.
        self.device, self.steps, self.scratch, self.cost = device, steps, scratch, cost

    def __call__(self, *operands: Any) -> None:
        buffers, offsets = operands[::2], operands[1::2]
        block = self.device.allocate(self.scratch) if self.scratch else None
        for bound, order in self.steps:
            self.device.run(bound, tuple([block.buffer if n < 0 else buffers[n] for n in order]),  # type: ignore[union-attr]
                            tuple([offsets[n] for n in order if n >= 0]))
        if block is not None:
            block.release()


@dataclass(frozen=True)
class _Geometry:
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

    @property
    def in_place(self) -> bool:
        """Whether the input needs no border and no split by phase, so that it can be read where it is."""
        return self.source_step == self.result_step == (1, 1) and self.padding == (0, 0) and self.sign > 0


def forward_plan(device: Device, dtype: dtype, x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair,
                 dilation: Pair, groups: int, *, bias: bool = False, activation: str | None = None) -> Plan:
    """Plans ``y = activation(conv2d(x, w) + bias)``; call with x, w, (bias,) y."""
    g = _forward_geometry(x_shape, w_shape, stride, padding, dilation, groups)
    weight_strides = (g.channels * g.taps, g.taps)
    return _correlation(device, dtype, _folded(device, g), weight_strides, bias, activation, _cost(g, dtype))


def input_gradient_plan(device: Device, dtype: dtype, x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair,
                        dilation: Pair, groups: int, *, bias: bool = False, activation: str | None = None) -> Plan:
    """Plans the gradient of :func:`forward_plan`'s x; call with the gradient of y, w, (bias,) the gradient of x.

    This is the transposed convolution too, whose result has the shape ``x_shape`` and may have a bias (Ci values).
    """
    f = _forward_geometry(x_shape, w_shape, stride, padding, dilation, groups)
    g = _Geometry(f.images, f.groups, f.outputs, f.channels, f.result, f.source, f.kernel, f.dilation, f.padding,
                  (1, 1), stride, -1)
    return _correlation(device, dtype, g, (g.taps, g.outputs * g.taps), bias, activation, _cost(f, dtype))


def weight_gradient_plan(device: Device, dtype: dtype, x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair,
                         dilation: Pair, groups: int, *, bias: bool = False) -> Plan:
    """Plans the gradient of w and, with ``bias``, of the bias; call with x, the gradient of y, dw, (db)."""
    g = _forward_geometry(x_shape, w_shape, stride, padding, dilation, groups)
    cost = _cost(g, dtype)
    weights = g.groups * g.outputs * g.channels * g.taps
    if weights == 0 and not (bias and g.outputs):
        return Plan(device, (), 0, cost)
    kernels = _Kernels(device, dtype, g)
    if device.is_cpu:
        return _cpu_weights(kernels, _folded(device, g), bias, cost)
    return _gpu_weights(kernels, g, bias, cost)


def _forward_geometry(x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair, dilation: Pair,
                      groups: int) -> _Geometry:
    images, channels, *size = x_shape
    kernel = (w_shape[2], w_shape[3])
    h, w = (output_size(size[a], kernel[a], stride[a], padding[a], dilation[a]) for a in (0, 1))
    return _Geometry(images, groups, channels // groups, w_shape[0] // groups, (size[0], size[1]), (h, w), kernel,
                     dilation, padding, stride, (1, 1), 1)


def _folded(device: Device, g: _Geometry) -> _Geometry:
    """A 1x1 convolution sees no neighbours: its planes can be one long row, of which fewer vectors are incomplete."""
    if not (g.in_place and g.taps == 1 and g.source[1] % device.limits.vector_width):
        return g
    size = (1, g.source[0] * g.source[1])
    return _Geometry(g.images, g.groups, g.channels, g.outputs, size, size, (1, 1), (1, 1), (0, 0), (1, 1), (1, 1), 1)


def _cost(g: _Geometry, dtype: dtype) -> tuple[int, int]:
    source, result = (size[0] * size[1] for size in (g.source, g.result))
    elements = g.images * g.groups * (g.channels * source + g.outputs * result)
    return 2 * g.operations, (elements + g.groups * g.outputs * g.channels * g.taps) * dtype.itemsize


class _Kernels:
    """The kernels of conv.cl for a device and dtype, and the macros that make them."""

    def __init__(self, device: Device, dtype: dtype, g: _Geometry):
        self.device, self.dtype = device, dtype
        self.itemsize = dtype.compute.itemsize
        self.widen = dtype.compute is not dtype
        self.lanes = max(4, device.limits.vector_width * 4 // self.itemsize)
        self.group = 16 if device.limits.max_work_group >= 256 else 8
        elements = g.images * g.groups * max(g.channels * g.source[0] * g.source[1],
                                             g.outputs * g.result[0] * g.result[1])
        self.index = "l" if elements >= WIDE else "i"
        self.macros = {"CODE": dtype.code, "REAL": dtype.compute.cl, "WIDEN": int(self.widen),
                       "INDEX": "long" if self.index == "l" else "int"}
        if device.is_cpu:
            self.macros |= {"VW": self.lanes, "MR": 1 if g.outputs == 1 else 4}
        else:
            self.macros |= {"VW": 1, "GROUP": self.group}

    def get(self, name: str, signature: str) -> Kernel:
        return self.device.kernel("conv.cl", name, self.macros, signature.format(i=self.index))

    def elements(self, nbytes: int) -> int:
        """Scratch elements that hold ``nbytes``, in whole cache lines."""
        return round_up(nbytes, 64) // self.itemsize

    def sum(self, parts: int, skip: int, stride: int, weights: int, biases: int) -> Bound:
        """The launch that adds up ``parts`` partial gradients; none of them gives zeros."""
        units = self.device.limits.compute_units
        local, most = (1, units) if self.device.is_cpu else (64, 1 << 14)
        items = max(1, min(most, (weights + biases) // (256 if self.device.is_cpu else 1)))
        return Bound(self.get("conv_sum", "PPP{i}{i}{i}iiii"), (round_up(items, local),), (local,), 3,
                     self.index * 2, (skip, parts, stride, weights, biases),
                     (parts * (weights + biases), (parts + 1) * (weights + biases) * self.itemsize))


def _wanted_items(device: Device, operations: int) -> int:
    """Work-items for the CPU form: one where a second thread costs more than it gains, some for balance."""
    if operations < 1 << 20:
        return 1
    return device.limits.compute_units * (1 if operations < 1 << 22 else 4)


def _correlation(device: Device, dtype: dtype, g: _Geometry, weight_strides: Pair, bias: bool,
                 activation: str | None, cost: tuple[int, int]) -> Plan:
    """Forward, or gradient of the input: operands from, weights, (bias,) to."""
    if g.images * g.groups * g.outputs * g.result[0] * g.result[1] == 0:
        return Plan(device, (), 0, cost)
    kernels = _Kernels(device, dtype, g)
    order = (0, 1, 2, 3) if bias else (0, 1, 0, 2)
    ending = (int(bias), RELU[activation])
    if not device.is_cpu:
        group, tile = kernels.group, kernels.group * GPU_TILE
        kernel = kernels.get("conv_blocks", "PPPP" + OFFSETS + GEOMETRY + "iiii")
        positions = g.images * g.result[0] * g.result[1]
        size = (divide_up(positions, tile) * group, divide_up(g.outputs, tile) * group, g.groups)
        bound = Bound(kernel, size, (group, group, 1), 4, kernels.index * 4,
                      (*g.arguments(), *weight_strides, *ending), cost)
        return Plan(device, ((bound, order),), 0, cost)
    bound, scratch = _planes(kernels, g, weight_strides, ending, cost)
    return Plan(device, ((bound, (*order, -1)),), scratch, cost)


def _planes(kernels: _Kernels, g: _Geometry, weight_strides: Pair, ending: Pair,
            cost: tuple[int, int]) -> tuple[Bound, int]:
    """The launch of conv_planes and the bytes of scratch memory that it needs."""
    device, lanes = kernels.device, kernels.lanes
    rows, columns = g.phase_size(0), g.phase_size(1)
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    pitch = max(columns, lanes) + high_w - low_w
    phases = g.source_step[0] * g.source_step[1]
    row_bytes = g.channels * phases * pitch * kernels.itemsize
    items = _wanted_items(device, g.operations)
    bands = _bands(rows, g.images * g.groups, items, row_bytes, high_h - low_h)
    band_rows = divide_up(rows, bands)
    bands = divide_up(rows, band_rows)
    parts = _output_parts(g.outputs, divide_up(items, g.images * g.groups * bands))
    part_outputs = round_up(divide_up(g.outputs, parts), 4)
    parts = divide_up(g.outputs, part_outputs)
    units = g.images * g.groups * bands * parts
    units_per_item = divide_up(units, items)
    items = divide_up(units, units_per_item)
    in_place = g.in_place and columns >= lanes and not kernels.widen
    plane_rows = band_rows + high_h - low_h
    planes = 0 if in_place else plane_rows * row_bytes
    table = kernels.elements(8 * g.channels * g.taps + 4 * (g.result_step[0] * g.result_step[1] + 1))
    slice_elements = table + kernels.elements(planes)
    kernel = kernels.get("conv_planes", "PPPPP" + OFFSETS + GEOMETRY + "i" * 19)
    steps = (g.source[1], g.source[0] * g.source[1]) if in_place else (row_bytes // kernels.itemsize, pitch)
    constants = (*g.arguments(), low_h, low_w, plane_rows, pitch, *steps, int(in_place), units, units_per_item,
                 slice_elements, table, *weight_strides, parts, part_outputs, bands, band_rows, *ending)
    bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
    return bound, max(64, items * slice_elements * kernels.itemsize)


def _bands(rows: int, independent: int, items: int, row_bytes: int, border: int) -> int:
    """Into how many bands of rows an image is cut: its planes shall fit in the cache, all work-items have work."""
    fitting = max(1, PLANE_BYTES // max(1, row_bytes) - border)
    bands = divide_up(rows, min(rows, max(fitting, 1 + border)))
    wanted = divide_up(items, independent)
    return max(bands, min(wanted, divide_up(rows, 2 + 2 * border)))


def _output_parts(outputs: int, wanted: int) -> int:
    """Into how many parts the output channels are cut, when images and bands do not keep all work-items busy."""
    return max(1, min(wanted, outputs // 16))


def _cpu_weights(kernels: _Kernels, g: _Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    device, lanes = kernels.device, kernels.lanes
    (rows, columns), biases = g.result, g.groups * g.outputs
    weights = biases * g.channels * g.taps
    per_row = divide_up(columns, lanes)
    if g.images * rows * columns == 0:
        bound = kernels.sum(0, 0, 0, weights, biases if bias else 0)
        return Plan(device, ((bound, (2, 3 if bias else 2, -1)),), 64, cost)
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    pitch = max(columns, lanes) + high_w - low_w
    row_bytes = g.channels * g.source_step[0] * g.source_step[1] * pitch * kernels.itemsize
    items = _wanted_items(device, g.operations)
    if weights > MOST_PARTIAL:
        items = min(items, device.limits.compute_units)
    bands = _bands(rows, g.images, items, row_bytes, high_h - low_h)
    band_rows = divide_up(rows, bands)
    bands = divide_up(rows, band_rows)
    plane_rows = band_rows + high_h - low_h
    image_bytes = max(1, plane_rows * row_bytes)
    together = min(divide_up(LONG_UNIT, band_rows * per_row), PLANE_BYTES // image_bytes, divide_up(g.images, items))
    block = max(1, together) if bands == 1 else 1
    units = divide_up(g.images, block) * bands
    units_per_item = divide_up(units, items)
    items = divide_up(units, units_per_item)
    in_place = g.in_place and columns >= lanes and not kernels.widen
    y_in_place = columns % lanes == 0 and not kernels.widen
    vectors = block * band_rows * per_row
    y_space = 0 if y_in_place else kernels.elements(vectors * lanes * g.outputs * kernels.itemsize)
    table = kernels.elements(4 * (g.channels * g.taps + 2) + 8 * vectors)
    planes = 0 if in_place else kernels.elements(block * image_bytes)
    slice_elements = table + y_space + planes
    finished = items == 1 and not kernels.widen
    kernel = kernels.get("conv_weights", "PPPPP" + OFFSETS + GEOMETRY + "i" * 18)
    steps = (g.source[1], g.source[0] * g.source[1]) if in_place else (pitch, plane_rows * pitch)
    constants = (*g.arguments(), low_h, low_w, plane_rows, pitch, *steps, int(in_place), units, units_per_item,
                 slice_elements, table, y_space, bands, band_rows, block, int(y_in_place), int(bias), int(finished))
    order = (0, 1, 2, 3 if bias else 2)
    bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
    if finished:
        return Plan(device, ((bound, (*order, -1)),), slice_elements * kernels.itemsize, cost)
    stride = weights + biases
    second = kernels.sum(items, items * slice_elements, stride, weights, biases if bias else 0)
    return Plan(device, ((bound, (*order, -1)), (second, (*order[2:], -1))),
                items * (slice_elements + stride) * kernels.itemsize, cost)


def _gpu_weights(kernels: _Kernels, g: _Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    group, tile = kernels.group, kernels.group * GPU_TILE
    biases, pairs = g.groups * g.outputs, g.channels * g.taps
    positions = g.images * g.result[0] * g.result[1]
    tiles = (divide_up(pairs + 1, tile), divide_up(g.outputs, tile))
    wanted = 4 * kernels.device.limits.compute_units // (tiles[0] * tiles[1] * g.groups)
    parts = max(1, min(wanted, positions // 256))
    share = divide_up(positions, parts)
    parts = divide_up(positions, share) if share else 0
    stride = biases * (pairs + 1)
    steps: list[tuple[Bound, tuple[int, ...]]] = []
    if parts:
        kernel = kernels.get("conv_weights_blocks", "PPP{i}{i}" + GEOMETRY + "i")
        size = (tiles[0] * group, tiles[1] * group, g.groups * parts)
        bound = Bound(kernel, size, (group, group, 1), 3, kernels.index * 2, (*g.arguments(), share), cost)
        steps.append((bound, (0, 1, -1)))
    second = kernels.sum(parts, 0, stride, biases * pairs, biases if bias else 0)
    steps.append((second, (2, 3 if bias else 2, -1)))
    return Plan(kernels.device, tuple(steps), max(1, parts) * stride * kernels.itemsize, cost)
