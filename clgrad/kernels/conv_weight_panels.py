"""Launcher of ``conv_weight_panels.cl``: weight gradients of many outputs as products of panels."""

from __future__ import annotations

from dataclasses import dataclass

from clgrad.kernels.conv_geometry import GEOMETRY, OFFSETS, Geometry, Kernels, Pair, Plan, wanted_items
from clgrad.runtime import Bound
from clgrad.shapes import divide_up, round_up

VECTORS = 3  # vectors of outputs of a register tile
UNIT_POSITIONS = 256  # of a unit: a panel of 24 outputs is then 24 KiB and stays in L1
MOST_PARTIAL = 1 << 16  # weights up to this number get the sums of many work-items; above, work-items share the channels


@dataclass(frozen=True)
class Shares:
    """Who sums what: units are blocks of images by bands of rows; work-items share units (ranges), or channels (parts)."""

    together: int  # images of a block
    band_rows: int
    bands: int
    units: int
    units_per_item: int
    ranges: int
    parts: int
    part_channels: int

    @classmethod
    def of(cls, kernels: Kernels, g: Geometry, rows: int, unit: Pair) -> Shares:
        """Of a gradient whose images have so many rows, in units of so many images and rows."""
        together, band_rows = unit
        bands = divide_up(rows, band_rows)
        units = divide_up(g.images, together) * bands
        wanted = wanted_items(kernels.device, g.operations)
        pairs = g.channels * g.taps
        parts = 1 if g.groups * g.outputs * pairs <= MOST_PARTIAL else max(1, min(wanted, pairs // 64, g.channels))
        part_channels = max(1, divide_up(g.channels, parts))
        parts = max(1, divide_up(g.channels, part_channels))
        units_per_item = divide_up(units, divide_up(wanted, parts))
        return cls(together, band_rows, bands, units, units_per_item, divide_up(units, units_per_item), parts, part_channels)

    def plan(self, kernels: Kernels, g: Geometry, bias: bool, cost: tuple[int, int], name: str, planes: tuple[int, ...],
             places: tuple[int, ...], sum_rows: int, **macros: int) -> Plan:
        """The launch of a kernel of these shares, and perhaps one that adds partial results.

        ``planes``: the kernels' PLANES. ``places``: where the parts of a work-item's scratch memory begin, the last of
        which are sums: of the bias, and ``sum_rows`` lines for each panel of outputs.
        """
        device, biases = kernels.device, g.groups * g.outputs
        width = VECTORS * kernels.lanes
        slice_elements = places[-1] + g.groups * divide_up(g.outputs, width) * width * (1 + sum_rows)
        items = self.parts * self.ranges
        finished = self.ranges == 1
        constants = (*g.arguments(), *planes, self.units, self.units_per_item, slice_elements, *places,
                     items * slice_elements, self.bands, self.band_rows, self.together, self.parts, self.part_channels,
                     int(bias), int(finished))
        kernel = kernels.get(f"{name}.cl", name, "PPPPP" + OFFSETS + GEOMETRY + "i" * 7 + "ii{i}iii{i}{i}" + "i" * 7,
                             MR=kernels.panel_rows, **macros)
        bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
        order = (0, 1, 2, 3 if bias else 2)
        if finished:
            return Plan(device, ((bound, (*order, -1)),), items * slice_elements * kernels.itemsize, cost)
        weights = biases * g.channels * g.taps
        stride = weights + biases
        second = kernels.sum(self.ranges, items * slice_elements, stride, weights, biases if bias else 0)
        return Plan(device, ((bound, (*order, -1)), (second, (*order[2:], -1))),
                    (items * slice_elements + self.ranges * stride) * kernels.itemsize, cost)


def weight_panels_plan(kernels: Kernels, g: Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    """The gradient of the weights and, with ``bias``, of the bias; perhaps with a launch that adds partial results."""
    rows, columns = g.result
    shares = Shares.of(kernels, g, rows, _unit(g.images, rows, columns))
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    plane_rows, pitch = shares.band_rows + high_h - low_h, columns + high_w - low_w
    in_place = g.in_place and not kernels.widen
    steps = (g.source[1], g.source[0] * g.source[1]) if in_place else (pitch, plane_rows * pitch)
    pairs = shares.part_channels * g.taps
    count = shares.together * shares.band_rows * columns
    plane_elements = (shares.part_channels * g.source_step[0] * g.source_step[1] * shares.together * plane_rows * pitch)
    positions = kernels.elements(4 * pairs)
    planes = positions + kernels.elements(4 * count)
    panel = planes + (0 if in_place else kernels.elements((plane_elements + kernels.lanes) * kernels.itemsize))
    sums = panel + count * VECTORS * kernels.lanes
    return shares.plan(kernels, g, bias, cost, "conv_weight_panels",
                       (low_h, low_w, plane_rows, pitch, *steps, int(in_place)), (positions, planes, panel, sums),
                       round_up(pairs, kernels.panel_rows))


def _unit(images: int, rows: int, columns: int) -> Pair:
    """Images and rows of a unit: whole images where they are small, else a band."""
    if rows * columns <= UNIT_POSITIONS:
        together = min(images, max(1, UNIT_POSITIONS // (rows * columns)))
        return divide_up(images, divide_up(images, together)), rows
    bands = divide_up(rows, max(1, UNIT_POSITIONS // columns))
    return 1, divide_up(rows, bands)
