"""Transforms by chance that bend pictures."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from clgrad.nn import Module
from clgrad.ops import copying
from clgrad.vision.transforms import arrays, chance
from clgrad.vision.transforms import dispatch as F
from clgrad.vision.transforms.modes import InterpolationMode


class RandomPerspective(Module):
    """With probability ``p`` the picture is seen from elsewhere: its corners move inwards by chance.

    Args:
        distortion_scale: how far at most, as a share of half of each side.
        fill: value of the new pixels.

    Raises:
        ValueError: ``distortion_scale`` is not in 0..1.
    """

    def __init__(self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: Any = InterpolationMode.BILINEAR,
                 fill: Any = 0):
        super().__init__()
        if not 0 <= distortion_scale <= 1:
            raise ValueError("Argument distortion_scale value should be between 0 and 1")
        self.p, self.distortion_scale = p, distortion_scale
        self.interpolation, self.fill = F.interpolation_of(interpolation), fill

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """The corners (x, y), and where they come to lie."""
        most = [int(distortion_scale * (side // 2)) for side in (width, height)]
        corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        draw = chance.stream()
        moved = [[place - int(draw.integers(0, far + 1)) if place else int(draw.integers(0, far + 1))
                  for place, far in zip(corner, most, strict=True)] for corner in corners]
        return corners, moved

    def forward(self, img: Any) -> Any:
        if not chance.happens(self.p):
            return img
        _, height, width = F.get_dimensions(img)
        return F.perspective(img, *self.get_params(width, height, self.distortion_scale), self.interpolation, self.fill)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


def _two(value: Any, name: str) -> list[float]:
    if isinstance(value, numbers.Number):
        return [float(value)] * 2  # type: ignore[arg-type]
    if not isinstance(value, (tuple, list)) or not all(isinstance(v, numbers.Number) for v in value):
        raise TypeError(f"{name} should be a number or a sequence of numbers. Got {value}")
    if len(value) not in (1, 2):
        raise ValueError(f"{name} is a sequence its length should be 1 or 2. Got {len(value)}")
    return [float(v) for v in (list(value) * 2)[:2]]


class ElasticTransform(Module):
    """The picture as through moving water: each pixel looked up elsewhere (Simard et al. 2003).

    Args:
        alpha: how far, along x and y.
        sigma: width of the Gaussian that smooths the steps.
        fill: value of the new pixels.

    Raises:
        TypeError, ValueError: ``alpha`` or ``sigma`` is neither a number nor one or two of them.
    """

    def __init__(self, alpha: Any = 50.0, sigma: Any = 5.0, interpolation: Any = InterpolationMode.BILINEAR, fill: Any = 0):
        super().__init__()
        self.alpha, self.sigma = _two(alpha, "alpha"), _two(sigma, "sigma")
        self.interpolation, self.fill = F.interpolation_of(interpolation), fill

    @staticmethod
    def get_params(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Any:
        """Random steps (1, height, width, 2) along x and y, in halves of the sides."""
        height, width = size
        draw = chance.stream()
        steps = []
        for far, kernel, side in ((alpha[0], sigma[0], width), (alpha[1], sigma[1], height)):
            step = draw.uniform(-1, 1, (height, width)).astype(np.float32)
            if kernel > 0:
                step = copying.to_array(F.gaussian_blur(arrays.from_array(step), [int(8 * kernel + 1) | 1] * 2, sigma))
            steps.append(step * np.float32(far / side))
        return arrays.from_array(np.stack(steps, -1)[None])

    def forward(self, tensor: Any) -> Any:
        _, height, width = F.get_dimensions(tensor)
        return F.elastic_transform(tensor, self.get_params(self.alpha, self.sigma, [height, width]), self.interpolation,
                                   self.fill)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, interpolation={self.interpolation.value}, "
                f"fill={self.fill})")
