"""Launcher of ``conv_depthwise.cl``: convolutions of one channel a group, and their gradients."""

from __future__ import annotations

from clgrad.kernels.conv_geometry import GEOMETRY, OFFSETS, PLANE_BYTES, Geometry, Kernels, Pair, Plan, wanted_items
from clgrad.runtime import Bound
from clgrad.shapes import divide_up

CHUNK = 9  # taps whose sums a weight gradient keeps in registers


def suits(kernels: Kernels, g: Geometry) -> bool:
    """Whether each channel has one filter, and its plane fits in the cache."""
    return (g.channels == 1 and g.outputs == 1
            and (_plane_elements(kernels, g) + g.result[0] * g.result[1]) * kernels.itemsize <= PLANE_BYTES)


def depthwise_plan(kernels: Kernels, g: Geometry, order: tuple[int, ...], ending: Pair, cost: tuple[int, int]) -> Plan:
    """Forward, or the gradient of the input, in one launch."""
    lanes = kernels.lanes
    phases = g.result_step[0] * g.result_step[1]
    result_phase = g.phase_size(0) * g.phase_size(1)
    units = g.images * g.groups
    tables = _tables(kernels, g)
    planes = tables[-1]
    results = planes + kernels.elements((_plane_elements(kernels, g) + lanes) * kernels.itemsize)
    kept = phases * result_phase + lanes if g.result_step[1] > 1 else 0
    slice_elements = results + kernels.elements(kept * kernels.itemsize)
    units_per_item, items = _shares(kernels, g, units)
    constants = (*g.arguments(), *_layout(kernels, g), units, units_per_item, slice_elements, *tables, results,
                 result_phase, *ending)
    kernel = kernels.get("conv_depthwise.cl", "conv_depthwise", "PPPPP" + OFFSETS + GEOMETRY + "i" * 9 + "{i}" + "i" * 8)
    bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
    return Plan(kernels.device, ((bound, (*order, -1)),), items * slice_elements * kernels.itemsize, cost)


def depthwise_weights_plan(kernels: Kernels, g: Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    """The gradient of the filters and, with ``bias``, of the bias: a work-item sums its channels over all images."""
    lanes = kernels.lanes
    tables = _tables(kernels, g)
    planes = tables[-1]
    y = planes + kernels.elements((_plane_elements(kernels, g) + lanes) * kernels.itemsize)
    sums = y + kernels.elements(g.result[0] * divide_up(g.result[1], lanes) * lanes * kernels.itemsize)
    slice_elements = sums + kernels.elements((g.taps + CHUNK) * lanes * kernels.itemsize)
    groups_per_item, items = _shares(kernels, g, g.groups)
    constants = (*g.arguments(), *_layout(kernels, g), groups_per_item, slice_elements, *tables, y, sums, int(bias))
    kernel = kernels.get("conv_depthwise.cl", "conv_depthwise_weights",
                         "PPPPP" + OFFSETS + GEOMETRY + "i" * 8 + "{i}" + "i" * 7)
    bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
    return Plan(kernels.device, ((bound, (0, 1, 2, 3 if bias else 2, -1)),), items * slice_elements * kernels.itemsize,
                cost)


def _shares(kernels: Kernels, g: Geometry, units: int) -> Pair:
    """How many units a work-item has, and how many work-items there are. A unit costs more than its arithmetic."""
    wanted = wanted_items(kernels.device, 4 * g.operations)
    each = divide_up(units, wanted)
    return each, divide_up(units, each)


def _sizes(kernels: Kernels, g: Geometry) -> Pair:
    """Rows and pitch of the planes."""
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    return g.phase_size(0) + high_h - low_h, max(g.phase_size(1), kernels.lanes) + high_w - low_w


def _layout(kernels: Kernels, g: Geometry) -> tuple[int, ...]:
    """The kernels' PLANES."""
    rows, pitch = _sizes(kernels, g)
    return g.offsets(0)[0], g.offsets(1)[0], rows, pitch, pitch, rows * pitch, 0


def _plane_elements(kernels: Kernels, g: Geometry) -> int:
    rows, pitch = _sizes(kernels, g)
    return g.source_step[0] * g.source_step[1] * rows * pitch


def _tables(kernels: Kernels, g: Geometry) -> tuple[int, int, int, int]:
    """Where lines, taps, phases and planes begin in a slice, behind the copies."""
    phases = g.result_step[0] * g.result_step[1]
    lines = kernels.elements(16 * g.source_step[0] * g.source_step[1] * _sizes(kernels, g)[0])
    taps = lines + kernels.elements(8 * phases * g.phase_size(0) * divide_up(g.phase_size(1), kernels.lanes))
    starts = taps + kernels.elements(8 * g.taps)
    return lines, taps, starts, starts + kernels.elements(8 * (phases + 1))
