"""Launcher of ``conv_winograd.cl``: 3x3 convolutions of stride 1, and gradients of their inputs, of few multiplications."""

from __future__ import annotations

from dataclasses import replace

from clgrad.kernels.conv_geometry import GEOMETRY, Geometry, Kernels, Pair, Plan, wanted_items
from clgrad.kernels.conv_panels import VECTORS, unit_of
from clgrad.runtime import Bound
from clgrad.shapes import divide_up, round_up

OUTPUTS_AT_ONCE = 32  # whose sums lie in the cache together
LEAST_CHANNELS, LEAST_TILES = 16, 48  # below, transforming inputs or weights costs more than multiplications are saved
MOST_CHANNELS = 256  # whose panels stay near the L2 cache; sums of more have three times the error of plain ones


def applies(kernels: Kernels, g: Geometry) -> bool:
    """Whether the results are pieces of tiles of a 3x3 window of stride 1, of float32 arithmetic.

    In double precision sums are as exact as they can be: whoever asks for it wants that.
    """
    return (g.kernel == (3, 3) and g.source_step == g.result_step == g.dilation == (1, 1) and kernels.itemsize == 4
            and g.result[0] % 2 == 0 and g.result[1] % 2 == 0 and g.result[1] >= kernels.lanes // 2 and max(g.padding) <= 2)


def pays(kernels: Kernels, g: Geometry) -> bool:
    """Whether it is the fastest, as measured for the layers of benchmarks/."""
    tiles = g.images * g.result[0] * g.result[1] // 4
    return min(g.channels, g.outputs) >= LEAST_CHANNELS and tiles >= LEAST_TILES and g.channels <= MOST_CHANNELS


def winograd_plan(kernels: Kernels, g: Geometry, weight_strides: Pair, order: tuple[int, ...], ending: Pair,
                  cost: tuple[int, int]) -> Plan:
    """A launch that transforms the weights and one that does the rest."""
    device, lanes, mr = kernels.device, kernels.lanes, kernels.panel_rows
    # A correlation with the taps turned round is one with the border that the other has not; a tile sees a 4x4 window.
    padding = g.padding if g.sign == 1 else (2 - g.padding[0], 2 - g.padding[1])
    windows = replace(g, kernel=(4, 4), padding=padding, sign=1)
    rows, pieces = g.result[0] // 2, 1 if g.result[1] >= lanes else 2
    piece = lanes // 2 // pieces
    together, band_rows = unit_of(g.images, rows, round_up(g.result[1] // 2, piece), lanes, device.limits.compute_units)
    bands = divide_up(rows, band_rows)
    units = divide_up(g.images, together) * bands * g.groups
    units_per_item = divide_up(units, wanted_items(device, g.operations))
    items = divide_up(units, units_per_item)
    plane_rows, pitch = 2 * band_rows + 2, g.result[1] + 2
    width = VECTORS * lanes
    planes = kernels.elements(g.channels * together * plane_rows * pitch * kernels.itemsize)
    panel = 16 * (g.channels * width + lanes)
    slice_elements = planes + panel + 16 * (OUTPUTS_AT_ONCE * width + lanes)
    skip = g.groups * 16 * round_up(g.outputs, mr) * g.channels
    macros = {"MR": mr, "HALF": lanes // 2, "PIECES": pieces, "OUTPUTS_AT_ONCE": OUTPUTS_AT_ONCE}
    kernel = kernels.get("conv_winograd.cl", "winograd", "PPPP{i}{i}{i}" + GEOMETRY + "i" * 7 + "{i}ii{i}i{i}" + "i" * 5,
                         **macros)
    constants = (*windows.arguments(), -padding[0], -padding[1], plane_rows, pitch, pitch, plane_rows * pitch, 0, skip, units,
                 units_per_item, slice_elements, planes, panel, together, bands, band_rows, *ending)
    product = Bound(kernel, (items,), (1,), 4, kernels.index * 3, constants, cost)
    weights = g.groups * g.outputs * g.channels * 9
    kernel = kernels.get("conv_winograd.cl", "winograd_weights", "PP{i}" + "i" * 6, **macros)
    packers = max(1, min(g.groups * divide_up(g.outputs, mr), wanted_items(device, 64 * weights)))
    transform = Bound(kernel, (packers,), (1,), 2, kernels.index,
                      (g.groups, g.channels, g.outputs, *weight_strides, int(g.sign < 0)),
                      (8 * weights, 3 * weights * kernels.itemsize))
    first, _, *rest = order
    return Plan(device, ((transform, (1, -1)), (product, (first, *rest, -1))),
                (skip + items * slice_elements) * kernels.itemsize, cost)
