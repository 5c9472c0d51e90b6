"""What detectors do with pictures before and after: normalise, resize, make a batch; take what was found back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clgrad.creation import as_tensor
from clgrad.nn import Module
from clgrad.nn.functional import interpolate, pad
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.detection.image_list import ImageList
from clgrad.vision.models.detection.masks import paste_masks_in_image
from clgrad.vision.transforms import chance

_stack = FUNCTIONS["stack"]


def _ratios(like: Any, original_size: Sequence[int], new_size: Sequence[int], pattern: Sequence[int | None]) -> Any:
    """Factors of (y, x) by number, and 1 for None, rounded to float32 as torchvision's are."""
    factors = [1.0 if axis is None else float(np.float32(new_size[axis]) / np.float32(original_size[axis]))
               for axis in pattern]
    return as_tensor(factors, dtype=like.dtype if like.is_floating_point() else None, device=like.device)


def resize_boxes(boxes: Any, original_size: Sequence[int], new_size: Sequence[int]) -> Any:
    """Boxes (n, 4) of a picture (height, width) in one of another size."""
    return boxes * _ratios(boxes, original_size, new_size, (1, 0, 1, 0))


def resize_keypoints(keypoints: Any, original_size: Sequence[int], new_size: Sequence[int]) -> Any:
    """Points (n, k, 3) of x, y and visibility of a picture (height, width) in one of another size."""
    return keypoints * _ratios(keypoints, original_size, new_size, (1, 0, None))


class GeneralizedRCNNTransform(Module):
    """Normalises pictures, resizes them and their targets, and pads them to one size.

    Args:
        min_size: what the shorter side becomes; of several numbers one is drawn while training, and the last one is used
            otherwise.
        max_size: the most that the longer side becomes.
        image_mean, image_std: of the channels.
        size_divisible: the batch's sides are multiples of it.
        fixed_size: (width, height) that all pictures get in place of ``min_size`` and ``max_size``.
        _skip_resize: pictures keep their size while training.
    """

    def __init__(self, min_size: Any, max_size: int, image_mean: Sequence[float], image_std: Sequence[float],
                 size_divisible: int = 32, fixed_size: tuple[int, int] | None = None, **kwargs: Any):
        super().__init__()
        self.min_size = min_size if isinstance(min_size, (list, tuple)) else (min_size,)
        self.max_size, self.image_mean, self.image_std = max_size, image_mean, image_std
        self.size_divisible, self.fixed_size = size_divisible, fixed_size
        self._skip_resize = kwargs.pop("_skip_resize", False)

    def forward(self, images: Sequence[Any], targets: Sequence[dict] | None = None) -> tuple[ImageList, list[dict] | None]:
        """The batch, and the targets with boxes, masks and keypoints that fit it; what was given stays as it was.

        Raises:
            ValueError: a picture without three dimensions.
            TypeError: a picture of whole numbers.
        """
        made, fitted = [], []
        for number, image in enumerate(images):
            if image.ndim != 3:
                raise ValueError(f"images is expected to be a list of 3d tensors of shape [C, H, W], got {image.shape}")
            image, target = self.resize(self.normalize(image), None if targets is None else dict(targets[number]))
            made.append(image)
            fitted.append(target)
        batch = ImageList(self.batch_images(made, self.size_divisible), [tuple(one.shape[-2:]) for one in made])
        return batch, None if targets is None else fitted  # type: ignore[return-value]

    def normalize(self, image: Any) -> Any:
        """A picture less the mean, over the deviation.

        Raises:
            TypeError: a picture of whole numbers.
        """
        if not image.is_floating_point():
            raise TypeError("Expected input images to be of floating type (in range [0, 1]), but found type "
                            f"{image.dtype} instead")
        mean, std = (as_tensor(values, dtype=image.dtype, device=image.device)[:, None, None]
                     for values in (self.image_mean, self.image_std))
        return (image - mean) / std

    def resize(self, image: Any, target: dict | None = None) -> tuple[Any, dict | None]:
        """A picture and its target in the size that the network takes."""
        old = image.shape[-2:]
        if self.training and self._skip_resize:
            return image, target
        if self.fixed_size is not None:
            size = [self.fixed_size[1], self.fixed_size[0]]
        else:
            shorter = self.min_size[chance.integer(0, len(self.min_size)) if self.training and len(self.min_size) > 1 else -1]
            scale = min(shorter / min(old), self.max_size / max(old))
            size = [math.floor(side * scale) for side in old]
        image = interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]
        if target is None:
            return image, target
        if "masks" in target:
            target["masks"] = interpolate(target["masks"][:, None].float(), size=size)[:, 0].byte()
        target["boxes"] = resize_boxes(target["boxes"], old, size)
        if "keypoints" in target:
            target["keypoints"] = resize_keypoints(target["keypoints"], old, size)
        return image, target

    def batch_images(self, images: Sequence[Any], size_divisible: int = 32) -> Any:
        """Pictures (c, h, w) as a batch, with zeros to the right and below."""
        height, width = (math.ceil(max(image.shape[axis] for image in images) / size_divisible) * size_divisible
                         for axis in (1, 2))
        return _stack([pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images])

    def postprocess(self, result: list[dict], image_shapes: Sequence[tuple[int, int]],
                    original_image_sizes: Sequence[tuple[int, int]]) -> list[dict]:
        """What was found, in the pixels of the pictures as they were given; nothing is done while training."""
        if self.training:
            return result
        for found, size, original in zip(result, image_shapes, original_image_sizes, strict=True):
            found["boxes"] = resize_boxes(found["boxes"], size, original)
            if "masks" in found:
                found["masks"] = paste_masks_in_image(found["masks"], found["boxes"], original)
            if "keypoints" in found:
                found["keypoints"] = resize_keypoints(found["keypoints"], size, original)
        return result

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(\n    Normalize(mean={self.image_mean}, std={self.image_std})\n    "
                f"Resize(min_size={self.min_size}, max_size={self.max_size}, mode='bilinear')\n)")
