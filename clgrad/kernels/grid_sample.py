"""Launchers of ``grid_sample.cl``: images at places between their pixels, and the gradients of that, on CPUs."""

from __future__ import annotations

from typing import NamedTuple

from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up

BLOCK = 256  # of grid_sample.cl


class Images(NamedTuple):
    """``samples`` images of ``channels`` planes, each at ``points`` places of its own."""

    samples: int
    channels: int
    height: int
    width: int
    points: int


def plan(device: Device, kind: dtype, images: Images) -> Plan:
    """``plan(image, o, px, o, py, o, result, o)``: the values at places in pixels, columns and rows."""
    return _plan(device, "sample", kind, images, 4, divide_up(images.points, BLOCK), ())


def places_plan(device: Device, kind: dtype, images: Images) -> Plan:
    """``plan(gradient, o, image, o, px, o, py, o, dpx, o, dpy, o)``: the gradients of the places."""
    return _plan(device, "sample_places", kind, images, 6, divide_up(images.points, BLOCK), ())


def image_plan(device: Device, kind: dtype, images: Images) -> Plan:
    """``plan(gradient, o, px, o, py, o, dimage, o)``: the gradient of the images."""
    shares = min(images.channels, max(1, divide_up(4 * device.limits.compute_units, images.samples)))
    per_item = divide_up(images.channels, shares)
    return _plan(device, "sample_image", kind, images, 4, divide_up(images.channels, per_item), (per_item,))


def _plan(device: Device, name: str, kind: dtype, images: Images, buffers: int, items: int, more: tuple) -> Plan:
    results, pixels = (images.samples * images.channels * n for n in (images.points, images.height * images.width))
    wide = max(results, pixels) >= 1 << 31
    letter = "l" if wide else "i"
    kernel = device.kernel("grid_sample.cl", name, {"REAL": kind.cl, "INDEX": "long" if wide else "int"},
                           "P" * buffers + letter * (buffers + 2) + "ii" + letter * len(more))
    cost = 16 * results, (2 * results + pixels) * kind.itemsize
    constants = images.channels, images.points, images.height, images.width, *more
    return Plan(device, Bound(kernel, (items, images.samples), (1, 1), buffers, letter * buffers, constants, cost), cost)
