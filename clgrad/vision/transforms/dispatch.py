"""Transforms as functions of whatever is known of a picture: of the picture as in :mod:`functional`, of its boxes, masks and
points.

A transform of places does the same to all of them; one of colours is for pictures alone.
"""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.listening import without_classes
from clgrad.ops import copying
from clgrad.optional import is_picture, pillow
from clgrad.tensor import Tensor
from clgrad.vision.transforms import arrays, chance, functional, points
from clgrad.vision.transforms.functional import (
    InterpolationMode,
    interpolation_of,
    pil_to_tensor,
    to_pil_image,
    to_tensor,
)
from clgrad.vision.transforms.points import (
    clamp_bounding_boxes,
    clamp_keypoints,
    convert_bounding_box_format,
    sanitize_bounding_boxes,
    sanitize_keypoints,
)
from clgrad.vision.tv_tensors import BoundingBoxes, Image, KeyPoints, Mask, TVTensor, Video, wrap

__all__ = ["InterpolationMode", "adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_hue", "adjust_saturation",
           "adjust_sharpness", "affine", "autocontrast", "center_crop", "clamp_bounding_boxes", "clamp_keypoints",
           "convert_bounding_box_format", "convert_image_dtype", "crop", "elastic", "elastic_transform", "equalize", "erase",
           "five_crop", "gaussian_blur", "gaussian_noise", "get_dimensions", "get_image_num_channels", "get_image_size",
           "get_num_channels", "get_num_frames", "get_size", "grayscale_to_rgb", "hflip", "horizontal_flip",
           "interpolation_of", "invert", "jpeg", "normalize", "pad", "permute_channels", "perspective", "pil_to_tensor",
           "posterize", "resize", "resized_crop", "rgb_to_grayscale", "rotate", "sanitize_bounding_boxes",
           "sanitize_keypoints", "solarize", "ten_crop", "to_dtype", "to_grayscale", "to_image", "to_pil_image", "to_tensor",
           "uniform_temporal_subsample", "vertical_flip", "vflip"]


def _wrapped(function: Callable, inpt: Any, *args: Any, **kwargs: Any) -> Any:
    with without_classes():
        made = function(inpt.as_subclass(Tensor), *args, **kwargs)
        if isinstance(made, tuple):  # of crops
            return tuple(wrap(one, like=inpt) for one in made)
        return wrap(made, like=inpt) if isinstance(made, Tensor) else made


def _filled(inpt: Any, value: Any) -> Any:
    """What new pixels of a picture get: a value for all, or, of a dict, that of the class or of the "others"."""
    return value.get(type(inpt), value.get("others", 0)) if isinstance(value, dict) else value


def _of_places(function: Callable, of_points: Callable) -> Callable:
    """A function that knows all kinds; masks get no values between those that they have."""
    smooth = "interpolation" in inspect.signature(function).parameters

    @functools.wraps(function)
    def call(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        args = tuple(_filled(inpt, value) for value in args)
        kwargs = {name: _filled(inpt, value) for name, value in kwargs.items()}
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
        if not isinstance(inpt, TVTensor) and (isinstance(inpt, Tensor) or is_picture(inpt)):
            return function(inpt, *args, **kwargs)
        if not isinstance(inpt, (Image, Video)):
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
perspective = _of_places(functional.perspective, points.perspective)
elastic = elastic_transform = _of_places(functional.elastic_transform, points.elastic_transform)
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


@_of_pictures
def gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    """A picture with normally distributed noise, drawn on the host; ``mean`` and ``sigma`` are shares of the brightest value.

    Args:
        clip: values stay in their range; without it those of bytes wrap around.

    Raises:
        ValueError: a negative ``sigma``, a picture of Pillow's, a tensor that is neither floating point nor bytes.
    """
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    if is_picture(inpt):
        raise ValueError("Gaussian Noise is not implemented for PIL images.")
    if not inpt.is_floating_point() and inpt.dtype is not dtypes.uint8:
        raise ValueError(f"Input tensor is expected to be in uint8 or float dtype, got dtype={inpt.dtype}")
    drawn = chance.stream().normal(mean, sigma, tuple(inpt.shape)).astype(np.float32)
    if inpt.is_floating_point():
        made = inpt + arrays.from_array(drawn).to(dtype=inpt.dtype, device=inpt.device)
        return made.clamp(0, 1) if clip else made
    made = inpt + arrays.from_array((drawn * 255).astype(np.int16)).to(inpt.device)
    return (made.clamp(0, 255) if clip else made).to(dtypes.uint8)


def _written(picture: Any, quality: int) -> Any:
    """A picture of Pillow's, written as JPEG and read again."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return pillow().open(file).convert(picture.mode)


@_of_pictures
def jpeg(inpt: Any, quality: int) -> Any:
    """A picture as it is after it was written as JPEG by Pillow and read again; of a tensor bytes with 1 or 3 channels.

    Args:
        quality: 1 to 100.

    Raises:
        RuntimeError: another dtype, or another number of channels.
    """
    if is_picture(inpt):
        return _written(inpt, quality)
    if inpt.dtype is not dtypes.uint8 or inpt.ndim < 3 or inpt.shape[-3] not in (1, 3):
        raise RuntimeError(f"jpeg: expected bytes with 1 or 3 channels, got {inpt.dtype} of shape {tuple(inpt.shape)}")
    flat = inpt.reshape(-1, *inpt.shape[-3:])
    made = [copying.to_array(pil_to_tensor(_written(to_pil_image(one), quality))) for one in flat]
    return arrays.from_array(np.stack(made)).reshape(inpt.shape).to(inpt.device) if made else inpt


@_of_pictures
def grayscale_to_rgb(inpt: Any) -> Any:
    """A grey picture in three equal channels; one of three channels stays as it is."""
    if is_picture(inpt):
        return inpt.convert("RGB")
    return inpt if inpt.shape[-3] >= 3 else functional.rgb_to_grayscale(inpt, 3)


@_of_pictures
def uniform_temporal_subsample(inpt: Any, num_samples: int) -> Any:
    """``num_samples`` pictures of a video (..., time, channels, height, width), as far apart as they can be."""
    places = np.linspace(0, inpt.shape[-4] - 1, num_samples, dtype=np.float32).astype(np.int64)
    return inpt.index_select(-4, arrays.from_array(places).to(inpt.device))


def get_num_frames(inpt: Any) -> int:
    """The number of pictures of a video.

    Raises:
        TypeError: no video, and no plain tensor.
    """
    if not isinstance(inpt, Tensor) or isinstance(inpt, TVTensor) and not isinstance(inpt, Video):
        raise TypeError(f"get_num_frames() is for videos, got {type(inpt).__name__}")
    return int(inpt.shape[-4])


@_of_pictures
def permute_channels(inpt: Any, permutation: list[int]) -> Any:
    """A picture's channels in another order."""
    if is_picture(inpt):
        return to_pil_image(pil_to_tensor(inpt)[list(permutation)], inpt.mode)
    return inpt[..., list(permutation), :, :]


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
