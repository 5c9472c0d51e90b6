"""Regions taken from the feature map that fits their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clgrad.creation import zeros
from clgrad.nn import Module
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.ops.boxes import box_area
from clgrad.vision.ops.regions import roi_align, rows_of

_cat, _where = FUNCTIONS["cat"], FUNCTIONS["where"]


class LevelMapper:
    """The feature maps that fit boxes: ``canonical_level + log2(side / canonical_scale)`` (Lin et al. 2016), from 0 on.

    Args:
        k_min, k_max: the first and the last level that there is.
        canonical_scale, canonical_level: a box of this side belongs to this level.
        eps: added before rounding down, so that a box at the border of a level belongs to the upper one.
    """

    def __init__(self, k_min: int, k_max: int, canonical_scale: int = 224, canonical_level: int = 4, eps: float = 1e-6):
        self.k_min, self.k_max = k_min, k_max
        self.s0, self.lvl0, self.eps = canonical_scale, canonical_level, eps

    def __call__(self, boxlists: Sequence[Any]) -> Any:
        """The levels (n,) of all boxes of a list of tensors."""
        sides = _cat([box_area(boxes) for boxes in boxlists]).sqrt()
        levels = ((sides / self.s0).log2() + self.lvl0 + self.eps).floor().clamp(self.k_min, self.k_max)
        return levels.long() - self.k_min


def _scale(feature: Any, size: tuple[int, int]) -> float:
    """The power of two that takes pixels of a picture to those of a feature map."""
    return 2.0 ** round(math.log2(feature.shape[-2] / size[0]))


class MultiScaleRoIAlign(Module):
    """:func:`roi_align` of several feature maps: each region is taken from the one that fits its size (Lin et al. 2016).

    Args:
        featmap_names: the names of the feature maps that are used.
        output_size: height and width of a region, or one number for both.
        sampling_ratio: see :func:`roi_align`.
        canonical_scale, canonical_level: see :class:`LevelMapper`.

    >>> import clgrad
    >>> pool = MultiScaleRoIAlign(["a", "b"], 3, 2)
    >>> maps = {"a": clgrad.ones(1, 5, 64, 64), "b": clgrad.ones(1, 5, 16, 16)}
    >>> pool(maps, [clgrad.tensor([[0.0, 0.0, 200.0, 200.0]])], [(512, 512)]).shape
    torch.Size([1, 5, 3, 3])
    """

    def __init__(self, featmap_names: list[str], output_size: Any, sampling_ratio: int, *, canonical_scale: int = 224,
                 canonical_level: int = 4):
        super().__init__()
        self.featmap_names, self.sampling_ratio = featmap_names, sampling_ratio
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        self.scales: list[float] | None = None
        self.map_levels: LevelMapper | None = None
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level

    def forward(self, x: dict[str, Any], boxes: list[Any], image_shapes: list[tuple[int, int]]) -> Any:
        """All regions (n, c, height, width).

        Args:
            x: feature maps (pictures, c, h, w) by name, the largest first.
            boxes: for each picture its boxes (n, 4) in pixels.
            image_shapes: height and width of each picture.

        Raises:
            ValueError: there are no pictures.
        """
        maps = [value for name, value in x.items() if name in self.featmap_names]
        if self.scales is None or self.map_levels is None:
            if not image_shapes:
                raise ValueError("images list should not be empty")
            largest = (max(shape[0] for shape in image_shapes), max(shape[1] for shape in image_shapes))
            self.scales = [_scale(one, largest) for one in maps]
            lowest, highest = (int(-math.log2(scale)) for scale in (self.scales[0], self.scales[-1]))
            self.map_levels = LevelMapper(lowest, highest, self.canonical_scale, self.canonical_level)
        rows = rows_of("MultiScaleRoIAlign", boxes)
        if len(maps) == 1:
            return roi_align(maps[0], rows, self.output_size, self.scales[0], self.sampling_ratio)
        levels = self.map_levels(boxes)
        result = zeros((len(rows), maps[0].shape[1], *self.output_size), dtype=maps[0].dtype, device=maps[0].device)
        for level, (one, scale) in enumerate(zip(maps, self.scales, strict=True)):
            chosen = _where(levels == level)[0]
            found = roi_align(one, rows[chosen], self.output_size, scale, self.sampling_ratio)
            result = result.index_copy(0, chosen, found)
        return result

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(featmap_names={self.featmap_names}, output_size={self.output_size}, "
                f"sampling_ratio={self.sampling_ratio})")
