"""Anchors: the boxes that detectors begin with, around the pixels of feature maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clgrad import dtypes
from clgrad.creation import arange, as_tensor, tensor
from clgrad.nn import Module
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.detection.image_list import ImageList

_cat, _stack = FUNCTIONS["cat"], FUNCTIONS["stack"]


def _grid(rows: Any, columns: Any) -> Any:
    """Points (x, y), row by row, of the coordinates of rows and columns."""
    y, x = FUNCTIONS["meshgrid"](rows, columns, indexing="ij")
    return _stack([x.flatten(), y.flatten()], 1)


class AnchorGenerator(Module):
    """Boxes of several sizes and proportions around each pixel of each feature map.

    Args:
        sizes: for each map the sides of squares; numbers alone are one size for each map.
        aspect_ratios: for each map the ratios of height to width; numbers alone are those of all maps.

    >>> AnchorGenerator(((32, 64),), ((0.5, 1.0, 2.0),)).num_anchors_per_location()
    [6]
    """

    def __init__(self, sizes: Sequence = ((128, 256, 512),), aspect_ratios: Sequence = ((0.5, 1.0, 2.0),)):
        super().__init__()
        self.sizes = sizes if isinstance(sizes[0], (list, tuple)) else tuple((size,) for size in sizes)
        self.aspect_ratios = aspect_ratios if isinstance(aspect_ratios[0], (list, tuple)) else (
            (aspect_ratios,) * len(self.sizes))
        self.cell_anchors = [self.generate_anchors(size, ratios)
                             for size, ratios in zip(self.sizes, self.aspect_ratios, strict=False)]

    def generate_anchors(self, scales: Sequence[float], aspect_ratios: Sequence[float], dtype: Any = dtypes.float32,
                         device: Any = None) -> Any:
        """The boxes (n, 4) around the origin, with whole numbers."""
        roots = as_tensor(aspect_ratios, dtype=dtype, device=device).sqrt()[:, None]
        sides = as_tensor(scales, dtype=dtype, device=device)[None]
        widths, heights = (1 / roots * sides).flatten(), (roots * sides).flatten()
        return (_stack([-widths, -heights, widths, heights], 1) / 2).round()

    def set_cell_anchors(self, dtype: Any, device: Any) -> None:
        """Takes the boxes around the origin to a dtype and a device."""
        self.cell_anchors = [anchors.to(dtype=dtype, device=device) for anchors in self.cell_anchors]

    def num_anchors_per_location(self) -> list[int]:
        """How many boxes a pixel of each map has."""
        return [len(sizes) * len(ratios) for sizes, ratios in zip(self.sizes, self.aspect_ratios, strict=False)]

    def grid_anchors(self, grid_sizes: Sequence[Sequence[int]], strides: Sequence[Sequence[Any]]) -> list[Any]:
        """For each map the boxes (h * w * n, 4).

        Args:
            grid_sizes: height and width of each map.
            strides: how far its pixels are apart, down and to the right.

        Raises:
            AssertionError: there are not as many maps as sizes.
        """
        if not len(grid_sizes) == len(strides) == len(self.cell_anchors):
            raise AssertionError(
                "Anchors should be Tuple[Tuple[int]] because each feature map could potentially have different sizes and "
                "aspect ratios. There needs to be a match between the number of feature maps passed and the number of sizes "
                f"/ aspect ratios specified: got {len(grid_sizes)} feature maps and {len(self.cell_anchors)} sizes")
        found = []
        for (height, width), (down, right), anchors in zip(grid_sizes, strides, self.cell_anchors, strict=True):
            points = _grid(arange(height, device=anchors.device) * down, arange(width, device=anchors.device) * right)
            found.append((_cat([points, points], 1)[:, None] + anchors).reshape(-1, 4))
        return found

    def forward(self, image_list: ImageList, feature_maps: list[Any]) -> list[Any]:
        """For each picture the boxes (n, 4) of all maps."""
        height, width = image_list.tensors.shape[-2:]
        sizes = [tuple(one.shape[-2:]) for one in feature_maps]
        self.set_cell_anchors(feature_maps[0].dtype, feature_maps[0].device)
        anchors = _cat(self.grid_anchors(sizes, [(height // rows, width // columns) for rows, columns in sizes]))
        return [anchors] * len(image_list.image_sizes)


class DefaultBoxGenerator(Module):
    """The boxes of SSD (Liu et al. 2015): for each map two squares and, for each ratio, a wide and a high box.

    Args:
        aspect_ratios: for each map the ratios of the longer to the shorter side.
        min_ratio, max_ratio: the sides of the squares of the first and the last map, in parts of the picture; those between
            are evenly spaced.
        scales: the sides, one more than there are maps, where they are not evenly spaced.
        steps: the pixels between the boxes of each map; by default they are spread over the picture.
        clip: no side is longer than the picture's.

    Raises:
        ValueError: ``steps`` are not as many as maps.
    """

    def __init__(self, aspect_ratios: list[list[int]], min_ratio: float = 0.15, max_ratio: float = 0.9,
                 scales: list[float] | None = None, steps: list[int] | None = None, clip: bool = True):
        super().__init__()
        count = len(aspect_ratios)
        if steps is not None and len(steps) != count:
            raise ValueError("aspect_ratios and steps should have the same length")
        self.aspect_ratios, self.steps, self.clip = aspect_ratios, steps, clip
        if scales is not None:
            self.scales = scales
        elif count > 1:
            self.scales = [*(min_ratio + (max_ratio - min_ratio) * k / (count - 1.0) for k in range(count)), 1.0]
        else:
            self.scales = [min_ratio, max_ratio]
        self._wh_pairs = [self._sides(number) for number in range(count)]

    def _sides(self, number: int) -> Any:
        """Widths and heights (n, 2) of a map's boxes, in parts of the picture."""
        side, next_side = self.scales[number:number + 2]
        found = [(side, side), (math.sqrt(side * next_side),) * 2]
        for ratio in self.aspect_ratios[number]:
            longer, shorter = side * math.sqrt(ratio), side / math.sqrt(ratio)
            found += [(longer, shorter), (shorter, longer)]
        return tensor(found, dtype=dtypes.float32)

    def num_anchors_per_location(self) -> list[int]:
        """How many boxes a pixel of each map has."""
        return [2 + 2 * len(ratios) for ratios in self.aspect_ratios]

    def forward(self, image_list: ImageList, feature_maps: list[Any]) -> list[Any]:
        """For each picture the boxes (n, 4) of all maps, in pixels."""
        height, width = image_list.tensors.shape[-2:]
        dtype, device = feature_maps[0].dtype, feature_maps[0].device
        found = []
        for number, one in enumerate(feature_maps):
            rows, columns = one.shape[-2:]
            step = None if self.steps is None else self.steps[number]
            down, across = (rows, columns) if step is None else (height / step, width / step)
            sides = self._wh_pairs[number].to(device)
            sides = (sides.clamp(0, 1) if self.clip else sides).to(dtype)
            centres = _grid((arange(rows, device=device) + 0.5) / down, (arange(columns, device=device) + 0.5) / across)
            centres = centres.to(dtype)[:, None]
            found.append(_cat([centres - 0.5 * sides, centres + 0.5 * sides], 2).reshape(-1, 4))
        boxes = _cat(found) * tensor([width, height] * 2, dtype=dtype, device=device)
        return [boxes] * len(image_list.image_sizes)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(aspect_ratios={self.aspect_ratios}, clip={self.clip}, scales={self.scales}, "
                f"steps={self.steps})")
