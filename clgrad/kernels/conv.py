"""Plans of 2-D convolutions of contiguous NCHW tensors and of their gradients, and the launcher of ``conv.cl``."""

from __future__ import annotations

from clgrad.dtypes import dtype
from clgrad.kernels import conv_winograd
from clgrad.kernels.conv_depthwise import depthwise_plan, depthwise_weights_plan, suits
from clgrad.kernels.conv_geometry import (
    GEOMETRY,
    OFFSETS,
    Geometry,
    Kernels,
    Pair,
    Plan,
    cost_of,
    folded,
    forward_geometry,
    output_size,
    row_bands,
    wanted_items,
)
from clgrad.kernels.conv_panels import panels_plan
from clgrad.kernels.conv_weights import cpu_weights, gpu_weights
from clgrad.runtime import Bound, Device
from clgrad.shapes import Shape, divide_up, round_up

RELU = {None: 0, "relu": 1}
LONG_SUM = 4096  # (channel, tap) pairs: their weights of a few outputs, and their planes, leave the first-level cache
LONG_ROWS = 1 << 14  # elements of a row of all channels, which a band of planes cannot be less than

__all__ = ["Plan", "forward_plan", "input_gradient_plan", "output_size", "weight_gradient_plan"]


def forward_plan(device: Device, dtype: dtype, x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair,
                 dilation: Pair, groups: int, *, bias: bool = False, activation: str | None = None) -> Plan:
    """Plans ``y = activation(conv2d(x, w) + bias)``; call with x, w, (bias,) y."""
    g = forward_geometry(x_shape, w_shape, stride, padding, dilation, groups)
    weight_strides = (g.channels * g.taps, g.taps)
    return _correlation(device, dtype, g, weight_strides, bias, activation, cost_of(g, dtype))


def input_gradient_plan(device: Device, dtype: dtype, x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair,
                        dilation: Pair, groups: int, *, bias: bool = False, activation: str | None = None) -> Plan:
    """Plans the gradient of :func:`forward_plan`'s x; call with the gradient of y, w, (bias,) the gradient of x.

    This is the transposed convolution too, whose result has the shape ``x_shape`` and may have a bias (Ci values).
    """
    f = forward_geometry(x_shape, w_shape, stride, padding, dilation, groups)
    g = Geometry(f.images, f.groups, f.outputs, f.channels, f.result, f.source, f.kernel, f.dilation, f.padding,
                  (1, 1), stride, -1)
    return _correlation(device, dtype, g, (g.taps, g.outputs * g.taps), bias, activation, cost_of(f, dtype))


def weight_gradient_plan(device: Device, dtype: dtype, x_shape: Shape, w_shape: Shape, stride: Pair, padding: Pair,
                         dilation: Pair, groups: int, *, bias: bool = False) -> Plan:
    """Plans the gradient of w and, with ``bias``, of the bias; call with x, the gradient of y, dw, (db)."""
    g = forward_geometry(x_shape, w_shape, stride, padding, dilation, groups)
    cost = cost_of(g, dtype)
    weights = g.groups * g.outputs * g.channels * g.taps
    if weights == 0 and not (bias and g.outputs):
        return Plan(device, (), 0, cost)
    kernels = Kernels(device, dtype, g)
    if device.is_cpu and g.images and suits(kernels, g):
        return depthwise_weights_plan(kernels.narrow(g.phase_size(1)), g, bias, cost)
    if device.is_cpu:
        return cpu_weights(kernels, g, bias, cost)
    return gpu_weights(kernels, g, bias, cost)


def _correlation(device: Device, dtype: dtype, g: Geometry, weight_strides: Pair, bias: bool,
                 activation: str | None, cost: tuple[int, int]) -> Plan:
    """Forward, or gradient of the input: operands from, weights, (bias,) to."""
    if g.images * g.groups * g.outputs * g.result[0] * g.result[1] == 0:
        return Plan(device, (), 0, cost)
    kernels = Kernels(device, dtype, g)
    order = (0, 1, 2, 3) if bias else (0, 1, 0, 2)
    ending = (int(bias), RELU[activation])
    if not device.is_cpu:
        group, tile = kernels.group, kernels.tile
        kernel = kernels.get("conv.cl", "conv_blocks", "PPPP" + OFFSETS + GEOMETRY + "iiii")
        positions = g.images * g.result[0] * g.result[1]
        size = (divide_up(positions, tile) * group, divide_up(g.outputs, tile) * group, g.groups)
        bound = Bound(kernel, size, (group, group, 1), 4, kernels.index * 4,
                      (*g.arguments(), *weight_strides, *ending), cost)
        return Plan(device, ((bound, order),), 0, cost)
    if suits(kernels, g):
        return depthwise_plan(kernels.narrow(g.phase_size(1)), g, order, ending, cost)
    if conv_winograd.applies(kernels, g) and conv_winograd.pays(kernels, g):
        return conv_winograd.winograd_plan(kernels, g, weight_strides, order, ending, cost)
    if many_channels(g, kernels.lanes):
        return panels_plan(kernels, g, weight_strides, order, ending, cost)
    bound, scratch = _planes(kernels, folded(device, g), weight_strides, ending, cost)
    return Plan(device, ((bound, (*order, -1)),), scratch, cost)


def many_channels(g: Geometry, lanes: int) -> bool:
    """Whether a product of panels is faster than sums of shifted planes, as measured for the layers of benchmarks/.

    Panels cost a copy of the input for each tap, which many outputs share. They gain where rows are not whole vectors,
    where results lie apart, and where the sums or the rows are long; with fewer outputs where a third of the lanes is lost.
    """
    if g.taps == 1 and g.result_step == (1, 1):
        return g.channels >= 64 and g.outputs >= 32
    used = g.phase_size(1) / round_up(g.phase_size(1), lanes)  # of the lanes of a row's vectors
    if g.outputs < 64 or g.channels < 64:
        return used < 0.7 and g.outputs >= 32 and g.channels >= 32
    return (g.result_step != (1, 1) or used < 0.9 or g.channels * g.taps >= LONG_SUM
            or g.channels * g.phase_size(1) >= LONG_ROWS)


def _planes(kernels: Kernels, g: Geometry, weight_strides: Pair, ending: Pair,
            cost: tuple[int, int]) -> tuple[Bound, int]:
    """The launch of conv_planes and the bytes of scratch memory that it needs."""
    device, lanes = kernels.device, kernels.lanes
    rows, columns = g.phase_size(0), g.phase_size(1)
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    pitch = max(columns, lanes) + high_w - low_w
    phases = g.source_step[0] * g.source_step[1]
    row_bytes = g.channels * phases * pitch * kernels.itemsize
    items = wanted_items(device, g.operations)
    bands = row_bands(rows, g.images * g.groups, items, row_bytes, high_h - low_h)
    band_rows = divide_up(rows, bands)
    bands = divide_up(rows, band_rows)
    parts = _output_parts(g.outputs, divide_up(items, g.images * g.groups * bands))
    part_outputs = round_up(divide_up(g.outputs, parts), 4)
    parts = divide_up(g.outputs, part_outputs)
    units = g.images * g.groups * bands * parts
    units_per_item = divide_up(units, items)
    items = divide_up(units, units_per_item)
    in_place = g.in_place and g.result[1] // g.result_step[1] >= lanes and not kernels.widen
    plane_rows = band_rows + high_h - low_h
    planes = 0 if in_place else plane_rows * row_bytes
    table = kernels.elements(8 * g.channels * g.taps + 4 * (g.result_step[0] * g.result_step[1] + 1))
    slice_elements = table + kernels.elements(planes)
    kernel = kernels.get("conv.cl", "conv_planes", "PPPPP" + OFFSETS + GEOMETRY + "i" * 19)
    steps = (g.source[1], g.source[0] * g.source[1]) if in_place else (row_bytes // kernels.itemsize, pitch)
    constants = (*g.arguments(), low_h, low_w, plane_rows, pitch, *steps, int(in_place), units, units_per_item,
                 slice_elements, table, *weight_strides, parts, part_outputs, bands, band_rows, *ending)
    bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
    return bound, max(64, items * slice_elements * kernels.itemsize)


def _output_parts(outputs: int, wanted: int) -> int:
    """Into how many parts the output channels are cut, when images and bands do not keep all work-items busy."""
    return max(1, min(wanted, outputs // 16))
