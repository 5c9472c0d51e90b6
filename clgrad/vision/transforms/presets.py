"""How pictures are prepared for published weights: what ``Weights.transforms`` makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.nn import Module
from clgrad.tensor import Tensor
from clgrad.vision.transforms import functional as F
from clgrad.vision.transforms.modes import InterpolationMode

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Normalised(Module):
    """Resizes a picture of Pillow's or a tensor (..., c, h, w), crops it, scales it to [0, 1] and normalises it."""

    def __init__(self, resize_size: int | None, crop_size: int | None, mean: Sequence[float], std: Sequence[float],
                 interpolation: InterpolationMode, antialias: bool | None):
        super().__init__()
        self.crop_size = None if crop_size is None else [crop_size]
        self.resize_size = None if resize_size is None else [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation, self.antialias = interpolation, antialias

    def forward(self, img: Any) -> Any:
        if self.resize_size is not None:
            img = F.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)
        if self.crop_size is not None:
            img = F.center_crop(img, self.crop_size)
        x = img if isinstance(img, Tensor) else F.pil_to_tensor(img)
        return F.normalize(F.convert_image_dtype(x), mean=self.mean, std=self.std)

    def __repr__(self) -> str:
        names = [name for name in ("crop_size", "resize_size", "mean", "std", "interpolation")
                 if name != "crop_size" or self.crop_size is not None]
        return f"{type(self).__name__}(" + "".join(f"\n    {name}={getattr(self, name)}" for name in names) + "\n)"

    def describe(self) -> str:
        """What is done, in a sentence."""
        crop = "" if self.crop_size is None else f", the middle is cropped to ``crop_size={self.crop_size}``"
        return ("Takes pictures of Pillow's and tensors (c, h, w) or (b, c, h, w). They are resized to "
                f"``resize_size={self.resize_size}`` by ``interpolation={self.interpolation}``{crop}, values are scaled to "
                f"``[0.0, 1.0]`` and normalised by ``mean={self.mean}`` and ``std={self.std}``.")


class ImageClassification(_Normalised):
    """Resize the shorter side, crop the middle, scale to [0, 1], normalise.

    >>> import clgrad
    >>> prepare = ImageClassification(crop_size=24, resize_size=32)
    >>> prepare(clgrad.zeros(3, 40, 50, dtype=clgrad.uint8)).shape
    torch.Size([3, 24, 24])
    """

    def __init__(self, *, crop_size: int, resize_size: int = 256, mean: Sequence[float] = IMAGENET_MEAN,
                 std: Sequence[float] = IMAGENET_STD, interpolation: InterpolationMode = InterpolationMode.BILINEAR,
                 antialias: bool | None = True):
        super().__init__(resize_size, crop_size, mean, std, interpolation, antialias)


class SemanticSegmentation(_Normalised):
    """Resize the shorter side, where ``resize_size`` is not None, scale to [0, 1], normalise."""

    def __init__(self, *, resize_size: int | None, mean: Sequence[float] = IMAGENET_MEAN,
                 std: Sequence[float] = IMAGENET_STD, interpolation: InterpolationMode = InterpolationMode.BILINEAR,
                 antialias: bool | None = True):
        super().__init__(resize_size, None, mean, std, interpolation, antialias)


class ObjectDetection(Module):
    """Scale a picture of Pillow's or a tensor (..., c, h, w) to [0, 1]; the detectors resize and normalise on their own."""

    def forward(self, img: Any) -> Any:
        return F.convert_image_dtype(img if isinstance(img, Tensor) else F.pil_to_tensor(img))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def describe(self) -> str:
        """What is done, in a sentence."""
        return ("Takes pictures of Pillow's and tensors (c, h, w) or (b, c, h, w), whose values are scaled to "
                "``[0.0, 1.0]``.")
