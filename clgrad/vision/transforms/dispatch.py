"""Transforms as functions of whatever is known of a picture: of the picture as in :mod:`functional`, of its boxes, masks and
points.

A transform of places does the same to all of them; one of colours is for pictures alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.listening import without_classes
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.transforms import functional, points
from clgrad.vision.transforms.functional import (
    InterpolationMode,
    interpolation_of,
    pil_to_tensor,
    to_pil_image,
    to_tensor,
)
from clgrad.vision.transforms.points import clamp_bounding_boxes, convert_bounding_box_format, sanitize_bounding_boxes
from clgrad.vision.tv_tensors import BoundingBoxes, Image, KeyPoints, Mask, TVTensor, wrap

__all__ = ["InterpolationMode", "adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_hue", "adjust_saturation",
           "adjust_sharpness", "affine", "autocontrast", "center_crop", "clamp_bounding_boxes", "convert_bounding_box_format",
           "convert_image_dtype", "crop", "equalize", "erase", "five_crop", "gaussian_blur", "get_dimensions",
           "get_image_num_channels", "get_image_size", "get_num_channels", "get_size", "hflip", "horizontal_flip",
           "interpolation_of", "invert", "normalize", "pad", "permute_channels", "pil_to_tensor", "posterize", "resize",
           "resized_crop", "rgb_to_grayscale", "rotate", "sanitize_bounding_boxes", "solarize", "ten_crop", "to_dtype",
           "to_grayscale", "to_image", "to_pil_image", "to_tensor", "vertical_flip", "vflip"]


def _wrapped(function: Callable, inpt: Any, *args: Any, **kwargs: Any) -> Any:
    with without_classes():
        made = function(inpt.as_subclass(Tensor), *args, **kwargs)
        if isinstance(made, tuple):  # of crops
            return tuple(wrap(one, like=inpt) for one in made)
        return wrap(made, like=inpt) if isinstance(made, Tensor) else made


def _of_places(function: Callable, of_points: Callable) -> Callable:
    """A function that knows all kinds; masks get no values between those that they have."""
    smooth = "interpolation" in inspect.signature(function).parameters

    @functools.wraps(function)
    def call(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(inpt, TVTensor):
            return function(inpt, *args, **kwargs)
        if isinstance(inpt, (BoundingBoxes, KeyPoints)):
            return of_points(inpt, *args, **kwargs)
        if isinstance(inpt, Mask) and smooth:
            given = inspect.signature(function).bind(inpt, *args, **kwargs)
            given.arguments["interpolation"] = InterpolationMode.NEAREST
            rest = {name: value for name, value in given.arguments.items() if name != next(iter(given.arguments))}
            return _wrapped(function, inpt, **rest)
        return _wrapped(function, inpt, *args, **kwargs)
    return call


def _of_pictures(function: Callable) -> Callable:
    """A function that knows pictures alone; transforms of samples leave what else there is as it is."""
    @functools.wraps(function)
    def call(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(inpt, TVTensor):
            return function(inpt, *args, **kwargs)
        if isinstance(inpt, (BoundingBoxes, KeyPoints, Mask)):
            raise TypeError(f"{function.__name__}() supports pictures, got {type(inpt).__name__}")
        return _wrapped(function, inpt, *args, **kwargs)
    call.only_pictures = True  # type: ignore[attr-defined]
    return call


hflip = horizontal_flip = _of_places(functional.hflip, points.hflip)
vflip = vertical_flip = _of_places(functional.vflip, points.vflip)
resize = _of_places(functional.resize, points.resize)
crop = _of_places(functional.crop, points.crop)
center_crop = _of_places(functional.center_crop, points.center_crop)
resized_crop = _of_places(functional.resized_crop, points.resized_crop)
pad = _of_places(functional.pad, points.pad)
affine = _of_places(functional.affine, points.affine)
rotate = _of_places(functional.rotate, points.rotate)
five_crop, ten_crop = _of_pictures(functional.five_crop), _of_pictures(functional.ten_crop)
adjust_brightness = _of_pictures(functional.adjust_brightness)
adjust_contrast = _of_pictures(functional.adjust_contrast)
adjust_gamma = _of_pictures(functional.adjust_gamma)
adjust_hue = _of_pictures(functional.adjust_hue)
adjust_saturation = _of_pictures(functional.adjust_saturation)
adjust_sharpness = _of_pictures(functional.adjust_sharpness)
autocontrast = _of_pictures(functional.autocontrast)
equalize = _of_pictures(functional.equalize)
erase = _of_pictures(functional.erase)
gaussian_blur = _of_pictures(functional.gaussian_blur)
invert = _of_pictures(functional.invert)
normalize = _of_pictures(functional.normalize)
posterize = _of_pictures(functional.posterize)
rgb_to_grayscale = to_grayscale = _of_pictures(functional.rgb_to_grayscale)
solarize = _of_pictures(functional.solarize)
convert_image_dtype = _of_pictures(functional.convert_image_dtype)


def to_dtype(inpt: Any, dtype: Any = dtypes.float32, scale: bool = False) -> Any:
    """A tensor in another dtype; ``scale``: pictures with their values scaled to the new range."""
    if isinstance(inpt, (BoundingBoxes, KeyPoints, Mask)):
        return inpt.to(dtype)
    return _of_pictures(functional.to_dtype)(inpt, dtype, scale)


def permute_channels(inpt: Any, permutation: list[int]) -> Any:
    """A picture's channels in another order."""
    def permuted(image: Any) -> Any:
        if is_picture(image):
            return to_pil_image(permuted(pil_to_tensor(image)), image.mode)
        return image[..., list(permutation), :, :]
    return _of_pictures(permuted)(inpt)


def get_dimensions(inpt: Any) -> list[int]:
    """[channels, height, width] of a picture; of boxes and points those of theirs, with one channel."""
    if isinstance(inpt, (BoundingBoxes, KeyPoints)):
        return [1, *inpt.canvas_size]
    return functional.get_dimensions(inpt)


def get_size(inpt: Any) -> list[int]:
    """[height, width] of a picture, or of the picture that boxes, masks or points belong to."""
    return get_dimensions(inpt)[1:]


def get_image_num_channels(inpt: Any) -> int:
    """The number of channels."""
    return get_dimensions(inpt)[0]


get_num_channels = get_image_num_channels


def get_image_size(inpt: Any) -> list[int]:
    """[width, height]."""
    return get_dimensions(inpt)[:0:-1]


def to_image(inpt: Any) -> Image:
    """A picture of Pillow's, an array (height, width, channels) or a tensor as an :class:`Image` of the same values.

    Raises:
        TypeError: something else.
    """
    if isinstance(inpt, np.ndarray):
        return Image(np.ascontiguousarray(np.atleast_3d(inpt).transpose(2, 0, 1)))
    if not isinstance(inpt, Tensor) and not is_picture(inpt):
        raise TypeError(f"Input can either be a pure Tensor, a numpy array, or a PIL image, but got {type(inpt)} instead.")
    return Image(inpt)
