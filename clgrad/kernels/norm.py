"""Launcher of ``norm.cl``: normalisation of groups of elements by their own statistics, on CPUs."""

from __future__ import annotations

from typing import NamedTuple

from clgrad.dtypes import dtype as Dtype
from clgrad.kernels import launch
from clgrad.runtime import Bound, Device

GRAIN = 4096  # elements that are worth a work-item of their own
ALONE = 1 << 15  # elements in all that one work-item of a CPU takes: its sums for the weights are the gradients


class Groups(NamedTuple):
    """Where the groups lie, and to what the weights belong: 1 elements of a chunk, 2 chunks of a group, 3 groups."""

    groups: int
    chunks: int
    length: int
    stride: int
    pitch: int
    per_sample: int
    affine: int

    @property
    def weights(self) -> int:
        """How many weights there are."""
        return {1: self.length, 2: self.per_sample * self.chunks, 3: self.groups}[self.affine]


class Kind(NamedTuple):
    """The variant: which dtypes there are, which operands, how statistics are had."""

    dtype: Dtype
    weights: Dtype
    has_weight: bool
    has_bias: bool
    rms: bool = False
    given: bool = False
    track: bool = False


class Plan(launch.Plan):
    """A launch bound to its shapes, and for the gradient how many parts of the weights' gradients it writes.

    Operands forward: x, weight, bias, y, means, rstds, running_mean, running_var; backward: g, x, weight, means, rstds, dx,
    dweight, dbias.
    """

    __slots__ = ("parts",)

    def __init__(self, device: Device, bound: Bound, parts: int, cost: tuple[int, int]):
        super().__init__(device, bound, cost)
        self.parts = parts


def plan(device: Device, kind: Kind, g: Groups, eps: float, momentum: float) -> Plan:
    """The normalisation; ``momentum`` is the share of the new statistics in the running ones."""
    return _plan(device, "norm", kind, g, 8, (eps, momentum), {})


def backward_plan(device: Device, kind: Kind, g: Groups, want_parts: bool) -> Plan:
    """The gradients of :func:`plan`; with ``want_parts`` those of the weights, too."""
    return _plan(device, "norm_backward", kind, g, 8, (), {"WANT_PARTS": int(want_parts)})


def _plan(device: Device, name: str, kind: Kind, g: Groups, buffers: int, numbers: tuple, more: dict) -> Plan:
    size = g.chunks * g.length
    per_item = max(1, min(-(-g.groups // (device.limits.compute_units * 4)), g.groups))
    per_item = max(per_item, min(-(-(ALONE if device.is_cpu and g.groups * size <= ALONE else GRAIN) // size), g.groups))
    items = -(-g.groups // per_item)
    wide = g.groups * size >= 1 << 31
    letter, number = ("l" if wide else "i"), "d" if kind.dtype.compute.cl == "double" else "f"
    macros = {"CODE": kind.dtype.code, "WCODE": kind.weights.code, "REAL": kind.dtype.compute.cl, "AFFINE": g.affine,
              "HAS_WEIGHT": int(kind.has_weight), "HAS_BIAS": int(kind.has_bias), "RMS": int(kind.rms),
              "GIVEN": int(kind.given), "TRACK": int(kind.track), "INDEX": "long" if wide else "int", "VW": 8, **more}
    parts = {1: items, 2: g.groups // g.per_sample, 3: 1}[g.affine]
    sizes = (g.groups, per_item, g.chunks, g.length, g.stride, g.pitch, g.per_sample)
    kernel = device.kernel("norm.cl", name, macros,
                           "P" * buffers + letter * (buffers + 7) + number * len(numbers))
    total = g.groups * size
    cost = 8 * total, (2 + len(more)) * total * kind.dtype.itemsize
    return Plan(device, Bound(kernel, (items,), (1,), buffers, letter * buffers, (*sizes, *numbers), cost), parts, cost)
