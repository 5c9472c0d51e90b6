"""Launcher of ``conv_weight_panels.cl``: weight gradients of many outputs as products of panels."""

from __future__ import annotations

from clgrad.kernels.conv_geometry import GEOMETRY, OFFSETS, Geometry, Kernels, Plan, wanted_items
from clgrad.runtime import Bound
from clgrad.shapes import divide_up, round_up

VECTORS = 3  # vectors of outputs of a register tile
UNIT_POSITIONS = 256  # of a unit: a panel of 24 outputs is then 24 KiB and stays in L1
MOST_PARTIAL = 1 << 16  # weights up to this number get the sums of many work-items; above, work-items share the channels


def weight_panels_plan(kernels: Kernels, g: Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    """The gradient of the weights and, with ``bias``, of the bias; perhaps with a launch that adds partial results."""
    device, lanes = kernels.device, kernels.lanes
    rows, columns = g.result
    biases = g.groups * g.outputs
    weights = biases * g.channels * g.taps
    together, band_rows = _unit(g.images, rows, columns)
    bands = divide_up(rows, band_rows)
    units = divide_up(g.images, together) * bands
    wanted = wanted_items(device, g.operations)
    parts = 1 if weights <= MOST_PARTIAL else max(1, min(wanted, g.channels * g.taps // 64, g.channels))
    part_channels = max(1, divide_up(g.channels, parts))
    parts = max(1, divide_up(g.channels, part_channels))
    units_per_item = divide_up(units, divide_up(wanted, parts))
    ranges = divide_up(units, units_per_item)
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    plane_rows, pitch = band_rows + high_h - low_h, columns + high_w - low_w
    in_place = g.in_place and not kernels.widen
    steps = (g.source[1], g.source[0] * g.source[1]) if in_place else (pitch, plane_rows * pitch)
    pairs, width = part_channels * g.taps, VECTORS * lanes
    count = together * band_rows * columns
    plane_elements = part_channels * g.source_step[0] * g.source_step[1] * together * plane_rows * pitch
    positions = kernels.elements(4 * pairs)
    planes = positions + kernels.elements(4 * count)
    panel = planes + (0 if in_place else kernels.elements((plane_elements + lanes) * kernels.itemsize))
    sums = panel + count * width
    panels = g.groups * divide_up(g.outputs, width) * width
    slice_elements = sums + panels + panels * round_up(pairs, kernels.panel_rows)
    items = parts * ranges
    finished = ranges == 1
    constants = (*g.arguments(), low_h, low_w, plane_rows, pitch, *steps, int(in_place), units, units_per_item,
                 slice_elements, positions, planes, panel, sums, items * slice_elements, bands, band_rows, together, parts,
                 part_channels, int(bias), int(finished))
    kernel = kernels.get("conv_weight_panels.cl", "conv_weight_panels",
                         "PPPPP" + OFFSETS + GEOMETRY + "i" * 7 + "ii{i}iii{i}{i}" + "i" * 7, MR=kernels.panel_rows)
    bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
    order = (0, 1, 2, 3 if bias else 2)
    if finished:
        return Plan(device, ((bound, (*order, -1)),), items * slice_elements * kernels.itemsize, cost)
    stride = weights + biases
    second = kernels.sum(ranges, items * slice_elements, stride, weights, biases if bias else 0)
    return Plan(device, ((bound, (*order, -1)), (second, (*order[2:], -1))),
                (items * slice_elements + ranges * stride) * kernels.itemsize, cost)


def _unit(images: int, rows: int, columns: int) -> tuple[int, int]:
    """Images and rows of a unit: whole images where they are small, else a band."""
    if rows * columns <= UNIT_POSITIONS:
        together = min(images, max(1, UNIT_POSITIONS // (rows * columns)))
        return divide_up(images, divide_up(images, together)), rows
    bands = divide_up(rows, max(1, UNIT_POSITIONS // columns))
    return 1, divide_up(rows, bands)
