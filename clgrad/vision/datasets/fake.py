"""Pictures that are made up, for trying programs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad.optional import pillow
from clgrad.vision.datasets.dataset import VisionDataset


class FakeData(VisionDataset):
    """Noise with random labels: sample ``n`` is always the same.

    Args:
        size: how many. Default: 1000.
        image_size: (channels, height, width). Default: (3, 224, 224).
        num_classes: Default: 10.
        random_offset: added to each sample's seed. Default: 0.
    """

    def __init__(self, size: int = 1000, image_size: tuple[int, int, int] = (3, 224, 224), num_classes: int = 10,
                 transform: Callable | None = None, target_transform: Callable | None = None, random_offset: int = 0):
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.size, self.image_size, self.num_classes, self.random_offset = size, image_size, num_classes, random_offset

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.size:
            raise IndexError(f"{type(self).__name__} index out of range")
        draw = np.random.default_rng(index + self.random_offset)
        channels, height, width = self.image_size
        values = (np.clip(draw.normal(size=(height, width, channels)), 0, 1) * 255).astype(np.uint8)
        picture = pillow().fromarray(values[:, :, 0] if channels == 1 else values)
        return self.transformed(picture, int(draw.integers(self.num_classes)))

    def __len__(self) -> int:
        return self.size
