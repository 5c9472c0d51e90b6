"""Launcher of ``conv_panels.cl``: convolutions of many channels, and gradients of their inputs, as products of panels."""

from __future__ import annotations

from clgrad.kernels.conv_geometry import GEOMETRY, OFFSETS, Geometry, Kernels, Pair, Plan, wanted_items
from clgrad.runtime import Bound
from clgrad.shapes import divide_up, round_up

VECTORS = 3  # vectors of positions of a register tile
PACKED_TILES = 8  # that a work-item packs at a time
PANEL_DEPTH = 256  # (channel, tap) pairs of a slice: panels of three vectors of 8 are then 24 KiB and stay in L1, of 16 in L2
UNIT_POSITIONS = (96, 288)  # of a unit: enough to use a slice of the weights often, few enough to share the work
LEAST_OUTPUTS = 64  # of a unit: each panel is filled again for every part of the outputs, which takes as long as
FILLED_OUTPUTS = 32  # so many outputs


def panels_plan(kernels: Kernels, g: Geometry, weight_strides: Pair, order: tuple[int, ...], ending: Pair,
                cost: tuple[int, int]) -> Plan:
    """The convolution as (perhaps) a launch that packs the weights and one that multiplies."""
    device, lanes = kernels.device, kernels.lanes
    rows, columns = g.phase_size(0), g.phase_size(1)
    together, band_rows = unit_of(g.images, rows, columns, lanes)
    bands = divide_up(rows, band_rows)
    units = divide_up(g.images, together) * bands * g.groups
    parts = _parts(units, g.outputs, device.limits.compute_units)
    part_outputs = round_up(divide_up(g.outputs, parts), kernels.panel_rows)
    parts = divide_up(g.outputs, part_outputs)
    units *= parts
    units_per_item = divide_up(units, wanted_items(device, g.operations))
    items = divide_up(units, units_per_item)
    (low_h, high_h), (low_w, high_w) = g.offsets(0), g.offsets(1)
    most_taps = max(g.phase_taps(0)) * max(g.phase_taps(1))
    slice_channels = max(1, min(g.channels, PANEL_DEPTH // max(1, most_taps)))
    in_place = g.in_place and not kernels.widen
    plane_rows, pitch = band_rows + high_h - low_h, columns + high_w - low_w
    planes = g.source_step[0] * g.source_step[1] * slice_channels * together * plane_rows * pitch
    steps = (g.source[1], g.source[0] * g.source[1]) if in_place else (pitch, plane_rows * pitch)
    table = kernels.elements(8 * g.taps + 4 * slice_channels * most_taps)
    planes = 0 if in_place else kernels.elements((planes + lanes) * kernels.itemsize)
    width = VECTORS * lanes
    panel = kernels.elements((slice_channels * most_taps * width + lanes) * kernels.itemsize)
    sums = divide_up(together * band_rows * columns, width) * width * part_outputs
    slice_elements = table + planes + panel + sums
    packed = kernels.widen
    padded_outputs = g.groups * round_up(g.outputs, kernels.panel_rows)
    skip = kernels.elements(padded_outputs * g.channels * g.taps * kernels.itemsize) if packed else 0
    constants = (*g.arguments(), low_h, low_w, plane_rows, pitch, *steps, int(in_place), skip, units, units_per_item,
                 slice_elements, table, planes, panel, int(packed), *weight_strides, together, bands, band_rows, parts,
                 part_outputs, slice_channels, *ending)
    kernel = kernels.get("conv_panels.cl", "conv_panels", "PPPPP" + OFFSETS + GEOMETRY + "i" * 7 + "{i}ii{i}" + "i" * 14,
                         MR=kernels.panel_rows)
    bound = Bound(kernel, (items,), (1,), 5, kernels.index * 4, constants, cost)
    scratch = max(64, (skip + items * slice_elements) * kernels.itemsize)
    launches = [(bound, (*order, -1))]
    if packed:
        launches.insert(0, (_packing(kernels, g, weight_strides), (order[1], -1)))
    return Plan(device, tuple(launches), scratch, cost)


def _parts(units: int, outputs: int, threads: int) -> int:
    """Into how many parts the outputs are cut, so that the threads have finished soonest."""
    most = max(1, min(divide_up(2 * threads, units), outputs // LEAST_OUTPUTS))
    return min(range(1, most + 1), key=lambda n: divide_up(units * n, threads) * (FILLED_OUTPUTS + outputs / n))


def _packing(kernels: Kernels, g: Geometry, weight_strides: Pair) -> Bound:
    weights = g.groups * g.outputs * g.channels * g.taps
    blocks = g.groups * divide_up(g.outputs, kernels.panel_rows * PACKED_TILES)
    items = max(1, min(blocks, wanted_items(kernels.device, 8 * weights)))
    kernel = kernels.get("conv_panels.cl", "conv_pack_weights", "PP{i}" + GEOMETRY + "ii", MR=kernels.panel_rows)
    return Bound(kernel, (items,), (1,), 2, kernels.index, (*g.arguments(), *weight_strides),
                 (weights, 2 * weights * kernels.itemsize))


def unit_of(images: int, rows: int, columns: int, lanes: int, threads: int = 1) -> Pair:
    """Images and rows of a unit: whole images where they are small, else a band whose positions fill most tiles.

    ``threads``: that share the units, of which there are as many then, where that leaves two vectors to each.
    """
    def tiles(positions: int) -> float:
        """The time of the tiles of these positions; tiles of fewer vectors are less efficient."""
        full, rest = divmod(divide_up(positions, lanes), VECTORS)
        return full * VECTORS + (0.0, 2.0, 2.5)[rest]

    def total(count: int, size: int) -> float:
        """The time of all lines of `size` positions, cut into units of `count`."""
        units, rest = divide_up(lines, count), lines % count
        alone = rest > 0 and (units - 1) % threads == 0  # the rest is the only unit of the last round
        return (divide_up(units, threads) - alone) * tiles(count * size) + alone * tiles(rest * size)
    least, most = UNIT_POSITIONS
    most = min(most, max(divide_up(images * rows * columns, threads), 2 * lanes))
    least = min(least, most)
    whole = rows * columns <= most
    lines, size = (images, rows * columns) if whole else (rows, columns)
    candidates = [n for n in range(1, lines + 1) if n * size <= most and (n * size >= least or n == lines)] or [1]
    best = min(candidates, key=lambda n: (total(n, size), -n))
    return (best, rows) if whole else (1, best)
