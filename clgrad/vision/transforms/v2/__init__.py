"""``torchvision.transforms.v2``: the transforms with their second generation's names.

Pictures and tensors are transformed; of a tuple, list or dict every picture and every tensor with three or more
dimensions is, with the same chances for all of them, and the rest passes through. There are no boxes, masks or videos.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.nn import Module
from clgrad.ops.random import default_generator
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.transforms import basic, functional, random
from clgrad.vision.transforms.basic import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from clgrad.vision.transforms.functional import InterpolationMode


def _over(structure: Any, function: Callable) -> Any:
    if isinstance(structure, dict):
        return {key: _over(value, function) for key, value in structure.items()}
    if isinstance(structure, (tuple, list)):
        return type(structure)(_over(value, function) for value in structure)
    image = is_picture(structure) or (isinstance(structure, Tensor) and structure.ndim >= 3)
    return function(structure) if image else structure


class Transform(Module):
    """Base class: subclasses define ``forward`` for one picture, or ``transform`` as in torchvision."""

    def transform(self, inpt: Any, params: dict) -> Any:
        """One picture, transformed."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        made = _over(inputs, lambda image: self.transform(image, {}))
        return made[0] if len(inputs) == 1 else made


def _second(cls: type) -> type:
    """A transform of the first generation that takes structures, each part with the same chances."""
    def call(self: Any, *inputs: Any) -> Any:
        if len(inputs) == 1 and not isinstance(inputs[0], (tuple, list, dict)):
            return cls.__call__(self, *inputs)  # type: ignore[operator]
        state, used = default_generator.get_state(), default_generator.get_state()

        def one(image: Any) -> Any:
            nonlocal used
            default_generator.set_state(state)
            made = cls.__call__(self, image)  # type: ignore[operator]
            used = default_generator.get_state()
            return made
        made = _over(inputs, one)
        default_generator.set_state(used)
        return made[0] if len(inputs) == 1 else made
    return type(cls.__name__, (cls,), {"__call__": call, "__doc__": cls.__doc__, "__module__": __name__})


CenterCrop = _second(basic.CenterCrop)
ColorJitter = _second(random.ColorJitter)
ConvertImageDtype = _second(basic.ConvertImageDtype)
FiveCrop = _second(basic.FiveCrop)
GaussianBlur = _second(random.GaussianBlur)
Grayscale = _second(basic.Grayscale)
LinearTransformation = _second(basic.LinearTransformation)
Normalize = _second(basic.Normalize)
PILToTensor = _second(basic.PILToTensor)
Pad = _second(basic.Pad)
RandomAdjustSharpness = _second(random.RandomAdjustSharpness)
RandomAffine = _second(random.RandomAffine)
RandomAutocontrast = _second(random.RandomAutocontrast)
RandomCrop = _second(random.RandomCrop)
RandomEqualize = _second(random.RandomEqualize)
RandomErasing = _second(random.RandomErasing)
RandomGrayscale = _second(random.RandomGrayscale)
RandomHorizontalFlip = _second(random.RandomHorizontalFlip)
RandomInvert = _second(random.RandomInvert)
RandomPosterize = _second(random.RandomPosterize)
RandomResizedCrop = _second(random.RandomResizedCrop)
RandomRotation = _second(random.RandomRotation)
RandomSolarize = _second(random.RandomSolarize)
RandomVerticalFlip = _second(random.RandomVerticalFlip)
Resize = _second(basic.Resize)
TenCrop = _second(basic.TenCrop)
ToPILImage = _second(basic.ToPILImage)
ToTensor = _second(basic.ToTensor)

class ToImage(Transform):
    """A picture or array as a tensor (channels, height, width) of the same values."""

    def forward(self, *inputs: Any) -> Any:
        made = [functional.pil_to_tensor(i) if is_picture(i) else i if isinstance(i, Tensor) else functional.to_tensor(i)
                if hasattr(i, "__array__") else i for i in inputs]
        return made[0] if len(made) == 1 else tuple(made)


class ToDtype(Transform):
    """Tensors in another dtype; ``scale``: with their values scaled to its range."""

    def __init__(self, dtype: Any, scale: bool = False):
        super().__init__()
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict) -> Any:
        return functional.to_dtype(inpt, self.dtype, self.scale)


class Identity(Transform):
    """The picture itself."""

    def transform(self, inpt: Any, params: dict) -> Any:
        return inpt


__all__ = ["CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype", "FiveCrop", "GaussianBlur", "Grayscale",
           "Identity", "InterpolationMode", "Lambda", "LinearTransformation", "Normalize", "PILToTensor", "Pad",
           "RandomAdjustSharpness", "RandomAffine", "RandomApply", "RandomAutocontrast", "RandomChoice", "RandomCrop",
           "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert",
           "RandomOrder", "RandomPosterize", "RandomResizedCrop", "RandomRotation", "RandomSolarize",
           "RandomVerticalFlip", "Resize", "TenCrop", "ToDtype", "ToImage", "ToPILImage", "ToTensor", "Transform",
           "functional"]
