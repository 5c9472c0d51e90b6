"""Launchers of ``grid_sample.cl``: images at places between their pixels, and the gradients of that, on CPUs."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import Shape, divide_up


class Images(NamedTuple):
    """``samples`` images of ``channels`` planes or volumes of ``sizes``, each at ``points`` places of its own.

    ``near``: neighbours of a place along an axis, 1, 2 or 4; ``padding``: 0 zeros, 1 border, 2 reflection.
    """

    samples: int
    channels: int
    sizes: Shape
    points: int
    near: int
    padding: int
    align_corners: bool

    @property
    def taps(self) -> int:
        """Neighbours of a place."""
        return self.near ** len(self.sizes)

    @property
    def blocks(self) -> int:
        """Work-items for the places of a sample: as BLOCK of ``grid_sample.cl``."""
        return divide_up(self.points, 256 if self.taps == 1 else 1024 // self.taps)


def plan(device: Device, kind: dtype, images: Images) -> Plan:
    """Over image, grid, result: the values at the places of a grid."""
    return _plan(device, "sample", kind, images, 3, images.blocks, ())


def grid_plan(device: Device, kind: dtype, images: Images) -> Plan:
    """Over gradient, image, grid, dgrid: the gradient of the grid."""
    return _plan(device, "sample_grid", kind, images, 4, images.blocks, ())


def image_plan(device: Device, kind: dtype, images: Images) -> Plan:
    """Over gradient, grid, dimage: the gradient of the images."""
    shares = min(images.channels, max(1, divide_up(4 * device.limits.compute_units, images.samples)))
    per_item = divide_up(images.channels, shares)
    return _plan(device, "sample_image", kind, images, 3, divide_up(images.channels, per_item), (per_item,))


def _plan(device: Device, name: str, kind: dtype, images: Images, buffers: int, items: int, more: tuple) -> Plan:
    results, pixels = (images.samples * images.channels * n for n in (images.points, prod(images.sizes)))
    wide = max(results, pixels) >= 1 << 31
    letter, rank = "l" if wide else "i", len(images.sizes)
    macros = {"REAL": kind.cl, "INDEX": "long" if wide else "int", "RANK": rank, "NEAR": images.near,
              "PADDING": images.padding, "ALIGN_CORNERS": int(images.align_corners)}
    kernel = device.kernel("grid_sample.cl", name, macros,
                           "P" * buffers + letter * (buffers + 2) + "iii" + letter * len(more))
    cost = 4 * images.taps * results, (2 * results + pixels) * kind.itemsize
    constants = images.channels, images.points, *(1,) * (3 - rank), *images.sizes, *more
    return Plan(device, Bound(kernel, (items, images.samples), (1, 1), buffers, letter * buffers, constants, cost), cost)
