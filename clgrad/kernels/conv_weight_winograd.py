"""Launcher of ``conv_weight_winograd.cl``: weight gradients of 3x3 convolutions of stride 1, of few multiplications."""

from __future__ import annotations

from clgrad.kernels.conv_geometry import Geometry, Kernels, Pair, Plan
from clgrad.kernels.conv_weight_panels import VECTORS, Shares
from clgrad.shapes import divide_up, round_up

UNIT_TILES = 64  # of 2x2 results: elements of inputs and gradients of a unit stay in the L2 cache
MOST_COLUMNS = 256  # of an image, whose row of tiles is a unit at least
LEAST_CHANNELS, LEAST_OUTPUTS, LEAST_TILES = 16, 16, 16  # below, transforms cost more than multiplications are saved


def pays(kernels: Kernels, g: Geometry) -> bool:
    """Whether it is the fastest of those whose results are tiles (:func:`conv_winograd.applies`), as measured for the layers
    of benchmarks/."""
    tiles = g.images * g.result[0] * g.result[1] // 4
    return (g.channels >= LEAST_CHANNELS and g.outputs >= LEAST_OUTPUTS and tiles >= LEAST_TILES
            and g.result[1] <= MOST_COLUMNS)


def weight_winograd_plan(kernels: Kernels, g: Geometry, bias: bool, cost: tuple[int, int]) -> Plan:
    """The gradient of the weights and, with ``bias``, of the bias; perhaps with a launch that adds partial results."""
    lanes, rows = kernels.lanes, g.result[0] // 2
    pieces = 1 if g.result[1] >= lanes else 2
    row_tiles = round_up(g.result[1] // 2, lanes // 2 // pieces)
    shares = Shares.of(kernels, g, rows, _unit(g.images, rows, row_tiles))
    plane_rows, pitch = 2 * shares.band_rows + 2, g.result[1] + 2
    width, channels = VECTORS * lanes, shares.part_channels
    tiles = round_up(shares.together * shares.band_rows * row_tiles, lanes)
    inputs = kernels.elements(channels * shares.together * plane_rows * pitch * kernels.itemsize)
    gradients = inputs + max(16 * (channels * tiles + lanes), channels * g.taps * width)  # in the end the results lie there
    panel = gradients + 4 * tiles * width
    return shares.plan(kernels, g, bias, cost, "conv_weight_winograd",
                       (-g.padding[0], -g.padding[1], plane_rows, pitch, pitch, plane_rows * pitch, 0),
                       (inputs, gradients, panel, panel + 16 * (tiles * width + lanes)),
                       16 * round_up(channels, kernels.panel_rows), HALF=lanes // 2, PIECES=pieces,
                       COLUMN_VECTORS=MOST_COLUMNS // 2 // lanes)


def _unit(images: int, rows: int, row_tiles: int) -> Pair:
    """Images and rows of tiles of a unit: whole images where they are small, else a band."""
    if rows * row_tiles <= UNIT_TILES:
        together = min(images, UNIT_TILES // (rows * row_tiles))
        return divide_up(images, divide_up(images, together)), rows
    return 1, divide_up(rows, divide_up(rows, max(1, UNIT_TILES // row_tiles)))
