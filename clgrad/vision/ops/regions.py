"""Regions of feature maps, brought to one size.

Regions are rows (picture, x1, y1, x2, y2), or a list with a tensor (n, 4) for each picture.
"""

from __future__ import annotations

import math
from typing import Any

from clgrad.creation import arange, full_like, tensor, zeros
from clgrad.nn import Module
from clgrad.ops.registry import FUNCTIONS

_cat, _stack = FUNCTIONS["cat"], FUNCTIONS["stack"]


def _rows(name: str, boxes: Any) -> Any:
    """Regions as one tensor (n, 5)."""
    if isinstance(boxes, (list, tuple)):
        for one in boxes:
            if one.ndim != 2 or one.shape[1] != 4:
                raise ValueError(f"{name}: the shape of the tensor in the boxes list is not correct as List[Tensor[L, 4]]")
        numbers = [full_like(one[:, :1], picture) for picture, one in enumerate(boxes)]
        return _cat([_cat(numbers), _cat(list(boxes))], 1)
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise ValueError(f"{name}: the boxes tensor shape is not correct as Tensor[K, 5]")
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
    rows = _rows("roi_align", boxes).to(input.dtype)
    height, width = _pair(output_size)
    shift = 0.5 if aligned else 0.0
    corners = rows[:, 1:] * spatial_scale - shift
    sides = corners[:, 2:] - corners[:, :2]
    if not aligned:
        sides = sides.clamp(min=1)
    if sampling_ratio > 0:
        counts = [(sampling_ratio, sampling_ratio)] * len(rows)
    else:
        counts = [(math.ceil(h / height), math.ceil(w / width)) for w, h in sides.tolist()]
    results = zeros((len(rows), input.shape[1], height, width), dtype=input.dtype, device=input.device)
    for count in sorted(set(counts)):  # regions with as many samples together
        if min(count) < 1:
            continue
        chosen = tensor([n for n, one in enumerate(counts) if one == count], device=input.device)
        found = _aligned(input, rows[chosen, 0].long(), corners[chosen], sides[chosen], (height, width), count)
        results = results.index_copy(0, chosen, found)
    return results


def _aligned(input: Any, pictures: Any, corners: Any, sides: Any, output: tuple[int, int],
             count: tuple[int, int]) -> Any:
    """Regions whose cells have ``count`` samples along height and width."""
    axes = []
    for axis, (cells, samples) in enumerate(zip(output, count, strict=True)):  # rows, columns
        steps = (arange(cells * samples, dtype=input.dtype, device=input.device) + 0.5) / (cells * samples)
        places = corners[:, 1 - axis, None] + sides[:, 1 - axis, None] * steps
        axes.append(_weights(places, input.shape[2 + axis]))
    (top, bottom, above, below), (left, right, before, behind) = axes
    total: Any = 0
    numbers = pictures[:, None, None]
    for y, weight_y in ((top, above), (bottom, below)):
        for x, weight_x in ((left, before), (right, behind)):
            values = input.permute(0, 2, 3, 1)[numbers, y[:, :, None], x[:, None, :]]
            total = total + values * (weight_y[:, :, None] * weight_x[:, None, :])[..., None]
    cells = total.reshape(len(pictures), output[0], count[0], output[1], count[1], input.shape[1])
    return cells.mean((2, 4)).permute(0, 3, 1, 2)


def roi_pool(input: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0) -> Any:
    """Regions of (n, c, h, w) as (regions, c, height, width): maxima over the pixels of a cell (Girshick 2015)."""
    rows = _rows("roi_pool", boxes)
    height, width = _pair(output_size)
    results = []
    for picture, *box in rows.detach().tolist():
        left, top, right, bottom = (math.floor(c * spatial_scale + 0.5) for c in box)
        cells = []
        for start, size, parts, limit in ((top, max(bottom - top + 1, 1), height, input.shape[2]),
                                          (left, max(right - left + 1, 1), width, input.shape[3])):
            cells.append([(min(max(start + math.floor(n * size / parts), 0), limit),
                           min(max(start + math.ceil((n + 1) * size / parts), 0), limit)) for n in range(parts)])
        zero = input[int(picture), :, 0, 0] * 0
        results.append(_stack([_stack([
            input[int(picture), :, y0:y1, x0:x1].amax((1, 2)) if y1 > y0 and x1 > x0 else zero for x0, x1 in cells[1]], 1)
            for y0, y1 in cells[0]], 1))
    return _stack(results) if results else input.new_empty((0, input.shape[1], height, width))


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
