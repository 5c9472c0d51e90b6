"""Regions of feature maps, brought to one size.

Regions are rows (picture, x1, y1, x2, y2), or a list with a tensor (n, 4) for each picture.
"""

from __future__ import annotations

import math
from typing import Any

from clgrad.creation import arange, full_like, tensor, zeros
from clgrad.fx import wrap
from clgrad.nn import Module
from clgrad.ops.registry import FUNCTIONS

_cat = FUNCTIONS["cat"]


def rows_of(name: str, boxes: Any) -> Any:
    """Regions as one tensor (n, 5)."""
    if isinstance(boxes, (list, tuple)):
        for one in boxes:
            if one.ndim != 2 or one.shape[1] != 4:
                raise AssertionError(f"{name}: the shape of the tensor in the boxes list is not correct as "
                                     f"List[Tensor[L, 4]], got {list(one.shape)}")
        numbers = [full_like(one[:, :1], picture) for picture, one in enumerate(boxes)]
        return _cat([_cat(numbers), _cat(list(boxes))], 1)
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise AssertionError(f"{name}: the boxes tensor shape is not correct as Tensor[K, 5]")
    return boxes


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _weights(places: Any, size: int) -> tuple[Any, Any, Any, Any]:
    """Bilinear interpolation along one side at ``places``: lower and upper pixel and their weights; 0 outside."""
    inside = ((places >= -1) & (places <= size)).to(places)
    at = places.clamp(0, size - 1)
    low = at.floor()
    share = at - low
    low = low.long()
    return low, (low + 1).clamp(max=size - 1), (1 - share) * inside, share * inside


@wrap
def roi_align(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0, sampling_ratio: int = -1,
              aligned: bool = False) -> Any:
    """Regions of (n, c, h, w) as (regions, c, height, width): means of samples between the pixels (He et al. 2017).

    Args:
        boxes: see the module's text.
        output_size: height and width.
        spatial_scale: from the boxes' units to pixels of ``input``.
        sampling_ratio: samples along each side of a cell; 0 or less: as many as a cell has pixels, rounded up.
        aligned: pixels' centres are at halves.
    """
    rows = rows_of("roi_align", boxes).to(input.dtype)
    return _by_samples(input.permute(0, 2, 3, 1)[:, None, None], rows, _pair(output_size), spatial_scale, sampling_ratio,
                       0.5 if aligned else 0.0, 0 if aligned else 1)


def _by_samples(own: Any, rows: Any, output: tuple[int, int], spatial_scale: float, sampling_ratio: int, shift: float,
                least: float) -> Any:
    """The cells' means of samples; ``own`` (n, height, width, h, w, c) are a cell's channels, (n, 1, 1, h, w, c) all cells'.

    How many samples a region's cells have is decided on the host where ``sampling_ratio`` leaves it to the regions' sizes.
    """
    height, width = output
    corners = rows[:, 1:] * spatial_scale - shift
    sides = corners[:, 2:] - corners[:, :2]
    if least:
        sides = sides.clamp(min=least)
    if sampling_ratio > 0:
        if not len(rows):
            return own.new_zeros((0, own.shape[-1], height, width))
        return _sampled(own, rows[:, 0].long(), corners, sides, output, (sampling_ratio, sampling_ratio))
    counts = [(math.ceil(h / height), math.ceil(w / width)) for w, h in sides.tolist()]
    results = zeros((len(rows), own.shape[-1], height, width), dtype=own.dtype, device=own.device)
    for count in sorted(set(counts)):  # regions with as many samples together
        if min(count) < 1:
            continue
        chosen = tensor([n for n, one in enumerate(counts) if one == count], device=own.device)
        found = _sampled(own, rows[chosen, 0].long(), corners[chosen], sides[chosen], output, count)
        results = results.index_copy(0, chosen, found)
    return results


def _sampled(own: Any, pictures: Any, corners: Any, sides: Any, output: tuple[int, int], count: tuple[int, int]) -> Any:
    """Regions whose cells have ``count`` samples along height and width."""
    axes = []
    for axis, (cells, samples) in enumerate(zip(output, count, strict=True)):  # rows, columns
        steps = (arange(cells * samples, dtype=own.dtype, device=own.device) + 0.5) / (cells * samples)
        places = corners[:, 1 - axis, None] + sides[:, 1 - axis, None] * steps
        cell = arange(cells * samples, device=own.device) // samples if own.shape[1 + axis] > 1 else zeros(
            1, dtype=pictures.dtype, device=own.device)
        axes.append((cell, *_weights(places, own.shape[3 + axis])))
    (row, top, bottom, above, below), (column, left, right, before, behind) = axes
    total: Any = 0
    numbers = pictures[:, None, None]
    for y, weight_y in ((top, above), (bottom, below)):
        for x, weight_x in ((left, before), (right, behind)):
            values = own[numbers, row[:, None], column, y[:, :, None], x[:, None, :]]
            total = total + values * (weight_y[:, :, None] * weight_x[:, None, :])[..., None]
    cells = total.reshape(len(pictures), output[0], count[0], output[1], count[1], own.shape[-1])
    return cells.mean((2, 4)).permute(0, 3, 1, 2)


def _bins(name: str, input: Any, boxes: Any, output: tuple[int, int], spatial_scale: float, closed: int) -> tuple:
    """The pixels of regions' cells, as many for each cell as the largest has.

    A cell has whole pixels, and what it shares with its neighbours counts for both. How many pixels the largest cell has is
    looked up on the host.

    Args:
        closed: 1 where a region has the pixels of its last corner, 0 where it ends before them.

    Returns:
        Regions' pictures (n), rows (n, height, 1, most, 1) and columns (n, 1, width, 1, most) as indices, and which of them
        are in a cell (n, height, width, most, most).
    """
    rows = rows_of(name, boxes).to(input.dtype)
    corners = rows[:, 1:] * spatial_scale
    corners = (corners.abs() + 0.5).floor() * corners.sign()  # halves are rounded away from zero
    axes = []
    for axis, parts in enumerate(output):
        start, end, size = corners[:, 1 - axis], corners[:, 3 - axis], input.shape[2 + axis]
        steps = arange(parts + 1, dtype=input.dtype, device=input.device)
        part = ((end - start + closed).clamp(min=1) / parts)[:, None]
        last = size - 1 + closed
        first = ((steps[:-1] * part).floor() + start[:, None]).clamp(0, last).long()
        behind = ((steps[1:] * part).ceil() + start[:, None]).clamp(0, last).long()
        most = int((behind - first).max().item()) if len(rows) else 0
        places = first[..., None] + arange(max(most, 1), device=input.device)
        axes.append((places.clamp(max=size - 1), places < behind[..., None]))
    (y, has_y), (x, has_x) = axes
    return rows[:, 0].long(), y[:, :, None, :, None], x[:, None, :, None, :], \
        has_y[:, :, None, :, None] & has_x[:, None, :, None, :]


@wrap
def roi_pool(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0) -> Any:
    """Regions of (n, c, h, w) as (regions, c, height, width): maxima over the pixels of a cell (Girshick 2015)."""
    output = _pair(output_size)
    pictures, y, x, inside = _bins("roi_pool", input, boxes, output, spatial_scale, 1)
    values = input.permute(0, 2, 3, 1)[pictures[:, None, None, None, None], y, x]
    values = values.masked_fill(~inside[..., None], -math.inf).flatten(3, 4)
    if not values.numel():
        return input.new_zeros((len(pictures), input.shape[1], *output))
    highest = values.max(3)[0]  # one pixel gets the gradient, where several are the largest
    return highest.masked_fill(~inside.flatten(3).any(3)[..., None], 0).permute(0, 3, 1, 2)


def _own_channels(name: str, input: Any, output: tuple[int, int]) -> Any:
    """(n, c * height * width, h, w) as (n, height, width, h, w, c): each cell of a region looks at channels of its own.

    Raises:
        RuntimeError: the number of channels is no multiple of the number of cells.
    """
    if input.shape[1] % (output[0] * output[1]):
        raise RuntimeError(f"{name}: input channels must be a multiple of pooling height * pooling width, got "
                           f"{input.shape[1]} channels for {output[0]} x {output[1]}")
    own = input.shape[1] // (output[0] * output[1])
    return input.reshape(len(input), own, *output, *input.shape[2:]).permute(0, 2, 3, 4, 5, 1)


@wrap
def ps_roi_align(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0, sampling_ratio: int = -1) -> Any:
    """Regions of (n, c * height * width, h, w) as (regions, c, height, width): :func:`roi_align` with channels of its own for
    each cell (Li et al. 2017); pixels' centres are at halves.

    Raises:
        RuntimeError: the number of channels is no multiple of the number of cells.
    """
    output = _pair(output_size)
    rows = rows_of("ps_roi_align", boxes).to(input.dtype)
    own = _own_channels("ps_roi_align", input, output)
    return _by_samples(own, rows, output, spatial_scale, sampling_ratio, 0.5, 0)


@wrap
def ps_roi_pool(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0) -> Any:
    """Regions of (n, c * height * width, h, w) as (regions, c, height, width): means over the pixels of a cell, with channels
    of its own for each cell (Dai et al. 2016). The last row and column of a picture are in no cell, as in torchvision.

    Raises:
        RuntimeError: the number of channels is no multiple of the number of cells.
    """
    output = _pair(output_size)
    pictures, y, x, inside = _bins("ps_roi_pool", input, boxes, output, spatial_scale, 0)
    own = _own_channels("ps_roi_pool", input, output)
    rows, columns = (arange(size, device=input.device) for size in output)
    values = own[pictures[:, None, None, None, None], rows[:, None, None, None], columns[:, None, None], y, x]
    counted = inside.to(input.dtype)
    sums = (values * counted[..., None]).sum((3, 4))
    return (sums / counted.sum((3, 4)).clamp(min=1)[..., None]).permute(0, 3, 1, 2)


class RoIAlign(Module):
    """:func:`roi_align` as a module."""

    def __init__(self, output_size: Any, spatial_scale: float, sampling_ratio: int, aligned: bool = False):
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Any, rois: Any) -> Any:
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
                f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned})")


class RoIPool(Module):
    """:func:`roi_pool` as a module."""

    def __init__(self, output_size: Any, spatial_scale: float):
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Any, rois: Any) -> Any:
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale})"


class PSRoIAlign(Module):
    """:func:`ps_roi_align` as a module."""

    def __init__(self, output_size: Any, spatial_scale: float, sampling_ratio: int):
        super().__init__()
        self.output_size, self.spatial_scale, self.sampling_ratio = output_size, spatial_scale, sampling_ratio

    def forward(self, input: Any, rois: Any) -> Any:
        return ps_roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
                f"sampling_ratio={self.sampling_ratio})")


class PSRoIPool(RoIPool):
    """:func:`ps_roi_pool` as a module."""

    def forward(self, input: Any, rois: Any) -> Any:
        return ps_roi_pool(input, rois, self.output_size, self.spatial_scale)
