"""The handwritten digits that scikit-learn carries: real pictures without a download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad.optional import library, pillow
from clgrad.vision.datasets.dataset import VisionDataset


class Digits(VisionDataset):
    """1,797 digits of 8x8 in grey (Alpaydin and Kaynak 1998), as bytes; a fifth of them for tests, always the same.

    Samples are (picture of Pillow's, label).

    Args:
        train: which part. Default: True.
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(self, train: bool = True, transform: Callable | None = None, target_transform: Callable | None = None):
        super().__init__(None, transform=transform, target_transform=target_transform)
        found = library("sklearn.datasets", "scikit-learn", "the data set Digits").load_digits()
        order = np.random.default_rng(0).permutation(len(found.target))
        count = len(order) // 5
        chosen = order[count:] if train else order[:count]
        self.train = train
        self.data = np.rint(found.images[chosen] * (255 / 16)).astype(np.uint8)
        self.targets = [int(label) for label in found.target[chosen]]

    def __getitem__(self, index: int) -> Any:
        return self.transformed(pillow().fromarray(self.data[index]), self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
