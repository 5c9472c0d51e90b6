"""Pictures of several sizes in one batch."""

from __future__ import annotations

from typing import Any


class ImageList:
    """Pictures that were padded to one size.

    Args:
        tensors: (n, c, h, w).
        image_sizes: height and width of each without the padding.
    """

    def __init__(self, tensors: Any, image_sizes: list[tuple[int, int]]):
        self.tensors, self.image_sizes = tensors, image_sizes

    def to(self, device: Any) -> ImageList:
        """The same on another device."""
        return ImageList(self.tensors.to(device), self.image_sizes)
