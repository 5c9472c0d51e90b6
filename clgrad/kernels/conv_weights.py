"""Launcher of ``conv_weights.cl``: the gradients of a convolution's weights and bias."""

from __future__ import annotations

from clgrad.kernels import conv_weight_winograd, conv_winograd
from clgrad.kernels.conv_geometry import (
    GEOMETRY,
    OFFSETS,
    PLANE_BYTES,
    Geometry,
    Kernels,
    Plan,
    folded,
    row_bands,
    wanted_items,
)
from clgrad.kernels.conv_weight_panels import weight_panels_plan
from clgrad.runtime import Bound
from clgrad.shapes import divide_up

LONG_UNIT = 64  # vectors of positions that a weight gradient sums before it adds the lanes
GPU_SHARE = 256  # positions that are worth a work-group of their own on a GPU
MOST_PARTIAL = 1 << 16  # weights up to this number get the sums of many work-items


def many_outputs(g: Geometry) -> bool:
    """Whether a product of panels is faster: its copy of the gradient of y is shared by all (channel, tap) pairs."""
    return g.outputs >= 16 and g.channels * g.taps >= 64


def cpu_weights(kernels: Kernels, g: Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    device, lanes = kernels.device, kernels.lanes
    (rows, columns), biases = g.result, g.groups * g.outputs
    weights = biases * g.channels * g.taps
    if g.images * rows * columns == 0:
        bound = kernels.sum(0, 0, 0, weights, biases if bias else 0)
        return Plan(device, ((bound, (2, 3 if bias else 2, -1)),), 64, cost)
    if conv_winograd.applies(kernels, g) and conv_weight_winograd.pays(kernels, g):
        return conv_weight_winograd.weight_winograd_plan(kernels, g, bias, cost)
    if many_outputs(g):
        return weight_panels_plan(kernels, g, bias, cost)
    g = folded(device, g)
    rows, columns = g.result
    per_row = divide_up(columns, lanes)
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    pitch = max(columns, lanes) + high_w - low_w
    row_bytes = g.channels * g.source_step[0] * g.source_step[1] * pitch * kernels.itemsize
    items = wanted_items(device, g.operations)
    if weights > MOST_PARTIAL:
        items = min(items, device.limits.compute_units)
    bands = row_bands(rows, g.images, items, row_bytes, high_h - low_h)
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
    kernel = kernels.get("conv_weights.cl", "conv_weights", "PPPPP" + OFFSETS + GEOMETRY + "i" * 18)
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


def gpu_weights(kernels: Kernels, g: Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    group, tile = kernels.group, kernels.tile
    biases, pairs = g.groups * g.outputs, g.channels * g.taps
    positions = g.images * g.result[0] * g.result[1]
    tiles = (divide_up(pairs + 1, tile), divide_up(g.outputs, tile))
    wanted = 4 * kernels.device.limits.compute_units // (tiles[0] * tiles[1] * g.groups)
    parts = max(1, min(wanted, positions // GPU_SHARE))
    share = divide_up(positions, parts)
    parts = divide_up(positions, share) if share else 0
    stride = biases * (pairs + 1)
    steps: list[tuple[Bound, tuple[int, ...]]] = []
    if parts:
        kernel = kernels.get("conv_weights.cl", "conv_weights_blocks", "PPP{i}{i}" + GEOMETRY + "i")
        size = (tiles[0] * group, tiles[1] * group, g.groups * parts)
        bound = Bound(kernel, size, (group, group, 1), 3, kernels.index * 2, (*g.arguments(), share), cost)
        steps.append((bound, (0, 1, -1)))
    second = kernels.sum(parts, 0, stride, biases * pairs, biases if bias else 0)
    steps.append((second, (2, 3 if bias else 2, -1)))
    return Plan(kernels.device, tuple(steps), max(1, parts) * stride * kernels.itemsize, cost)
