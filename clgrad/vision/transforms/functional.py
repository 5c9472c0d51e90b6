"""Transforms as functions of a picture: an image of Pillow's or a tensor of shape (..., channels, height, width)."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.ops import copying
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.transforms import arrays, pictures
from clgrad.vision.transforms.conversion import pil_to_tensor as pil_to_tensor
from clgrad.vision.transforms.conversion import to_pil_image as to_pil_image
from clgrad.vision.transforms.conversion import to_tensor as to_tensor
from clgrad.vision.transforms.matrices import given_perspective, inverse_affine, turned_size
from clgrad.vision.transforms.modes import InterpolationMode, interpolation_of


def _checked(img: Any) -> bool:
    """True for a picture of Pillow's, False for a tensor; TypeError for anything else."""
    if isinstance(img, Tensor):
        if img.ndim < 2:
            raise TypeError("Tensor is not a torch image.")
        return False
    if not is_picture(img):
        raise TypeError(f"Unexpected type {type(img)}: img should be PIL Image or Tensor")
    return True


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width]."""
    if _checked(img):
        return [pictures.channels(img), img.height, img.width]
    return [1 if img.ndim == 2 else img.shape[-3], img.shape[-2], img.shape[-1]]


def get_image_size(img: Any) -> list[int]:
    """[width, height]."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img: Any) -> int:
    """The number of channels."""
    return get_dimensions(img)[0]


def convert_image_dtype(image: Any, dtype: Any = dtypes.float32) -> Any:
    """A tensor in another dtype, with values scaled: [0, 1] for floating point, the whole range for integers."""
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    return arrays.convert(image, dtype)


def normalize(tensor: Any, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Any:
    """``(x - mean) / std``, channel by channel, of a floating-point tensor.

    Raises:
        TypeError: no tensor of floating point.
        ValueError: fewer than three dimensions; a ``std`` of zero.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = "
                         f"{tensor.shape}")
    mean, std = ([float(v) for v in np.ravel(values)] for values in (mean, std))
    if 0.0 in std:
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by zero.")
    made = arrays.normalize(tensor, mean, std)
    return tensor.copy_(made) if inplace else made


def resized(old: Sequence[int], size: Any, max_size: int | None) -> tuple[int, int]:
    """The height and width that ``resize`` makes of a height and width."""
    height, width = old
    if size is None:
        if not isinstance(max_size, int):
            raise ValueError(f"max_size must be an integer when size is None, but got {max_size} instead.")
        short = int(max_size * min(old) / max(old))
        return (max_size, short) if width <= height else (short, max_size)
    listed = [size] if isinstance(size, int) else list(size)
    if len(listed) == 2:
        if max_size is not None:
            raise ValueError("max_size should only be passed if size specifies the length of the smaller edge, i.e. size "
                             "should be an int or a sequence of length 1 in torchscript mode.")
        return listed[0], listed[1]
    short, long = (width, height) if width <= height else (height, width)
    new_short = listed[0]
    new_long = int(new_short * long / short)
    if max_size is not None:
        if max_size <= new_short:
            raise ValueError(f"max_size = {max_size} must be strictly greater than the requested size for the smaller "
                             f"edge size = {size}")
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(img: Any, size: Any, interpolation: Any = InterpolationMode.BILINEAR, max_size: int | None = None,
           antialias: bool | None = True) -> Any:
    """Another size: (height, width), or a number for the shorter edge.

    Args:
        max_size: the most that the longer edge may have where ``size`` is a number; what it has where ``size`` is None.
        antialias: of tensors, whether bilinear and bicubic filters are widened when the image becomes smaller; pictures of
            Pillow's always are.
    """
    mode = interpolation_of(interpolation).value
    picture = _checked(img)
    wanted = resized(get_dimensions(img)[1:], size, max_size)
    if tuple(get_dimensions(img)[1:]) == wanted:
        return img
    if picture:
        return pictures.resize(img, wanted, mode)
    if mode in ("box", "hamming", "lanczos"):
        raise ValueError(f"resize: interpolation {mode} works on pictures of Pillow's only, not on tensors")
    return arrays.resize(img, wanted, mode, bool(antialias) and mode in ("bilinear", "bicubic"))


def sides_of(padding: Any) -> tuple[int, int, int, int]:
    """Borders (left, top, right, bottom), as :func:`pad` takes them."""
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    listed = [padding] if isinstance(padding, numbers.Number) else list(padding)
    if len(listed) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(listed)} element tuple")
    return tuple((listed * 4)[:4])  # type: ignore[return-value]


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """Borders: a number for all sides, (left and right, top and bottom), or (left, top, right, bottom).

    ``padding_mode``: constant, edge, reflect, symmetric.
    """
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    return (pictures if _checked(img) else arrays).pad(img, sides_of(padding), fill, padding_mode)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part of the image; what lies outside of it is zero."""
    if _checked(img):
        return pictures.crop(img, top, left, height, width)
    rows, columns = img.shape[-2:]
    right, bottom = left + width, top + height
    if left < 0 or top < 0 or right > columns or bottom > rows:
        inside = img[..., max(top, 0):bottom, max(left, 0):right]
        sides = (max(min(right, 0) - left, 0), max(min(bottom, 0) - top, 0), max(right - max(columns, left), 0),
                 max(bottom - max(rows, top), 0))
        return arrays.pad(inside, sides, 0, "constant")
    return img[..., top:bottom, left:right]


def pair_of(size: Any) -> tuple[int, int]:
    """A number, or one or two of them, as (height, width)."""
    if isinstance(size, numbers.Number):
        return int(size), int(size)  # type: ignore[call-overload]
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle, of (height, width); a smaller image is padded with zeros."""
    height, width = pair_of(output_size)
    _, rows, columns = get_dimensions(img)
    if width > columns or height > rows:
        sides = [max((width - columns) // 2, 0), max((height - rows) // 2, 0), max((width - columns + 1) // 2, 0),
                 max((height - rows + 1) // 2, 0)]
        img = pad(img, sides)
        _, rows, columns = get_dimensions(img)
    return crop(img, int(round((rows - height) / 2.0)), int(round((columns - width) / 2.0)), height, width)


def resized_crop(img: Any, top: int, left: int, height: int, width: int, size: Any,
                 interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True) -> Any:
    """``crop``, then ``resize``."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return pictures.flip(img, True) if _checked(img) else arrays.flip(img, -1)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return pictures.flip(img, False) if _checked(img) else arrays.flip(img, -2)


def five_crop(img: Any, size: Any) -> tuple:
    """The four corners and the middle: top left, top right, bottom left, bottom right, centre."""
    height, width = pair_of(size)
    _, rows, columns = get_dimensions(img)
    if width > columns or height > rows:
        raise ValueError(f"Requested crop size {size} is bigger than input size {(rows, columns)}")
    corners = [crop(img, top, left, height, width) for top in (0, rows - height) for left in (0, columns - width)]
    return (*corners, center_crop(img, [height, width]))


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple:
    """``five_crop`` of the image and of its mirror image."""
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


def _positive(name: str, factor: float) -> None:
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """All values times a factor: 0 is black, 1 the image itself."""
    _positive("brightness_factor", brightness_factor)
    return pictures.enhance(img, "Brightness", brightness_factor) if _checked(img) else (
        arrays.brightness(img, brightness_factor))


def _grey_or_coloured(img: Any) -> None:
    """TypeError for a tensor of other than one or three channels."""
    count = get_dimensions(img)[0]
    if isinstance(img, Tensor) and count not in (1, 3):
        raise TypeError(f"Input image tensor permitted channel values are 1 or 3, but found {count}")


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Away from the mean grey: 0 is all grey, 1 the image itself."""
    _positive("contrast_factor", contrast_factor)
    _grey_or_coloured(img)
    return pictures.enhance(img, "Contrast", contrast_factor) if _checked(img) else arrays.contrast(img, contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Away from grey: 0 is without colour, 1 the image itself."""
    _positive("saturation_factor", saturation_factor)
    _grey_or_coloured(img)
    return pictures.enhance(img, "Color", saturation_factor) if _checked(img) else (
        arrays.saturation(img, saturation_factor))


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """All hues turned by a part of the circle in [-0.5, 0.5]."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    _grey_or_coloured(img)
    return (pictures if _checked(img) else arrays).hue(img, hue_factor)


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """``gain * x ** gamma`` of values in [0, 1]."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    return (pictures if _checked(img) else arrays).gamma(img, gamma, gain)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """0 is smoothed, 1 the picture itself."""
    _positive("sharpness_factor", sharpness_factor)
    _grey_or_coloured(img)
    return pictures.enhance(img, "Sharpness", sharpness_factor) if _checked(img) else arrays.sharpness(img, sharpness_factor)


def _bytes(img: Any) -> None:
    if img.dtype is not dtypes.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")


def _by_picture(img: Any, function: Any) -> Any:
    """A function of Pillow's pictures, of a tensor of bytes: bytes have no gradients, and the host makes them."""
    _bytes(img)
    flat = img.reshape(-1, *img.shape[-3:])
    made = [copying.to_array(pil_to_tensor(function(to_pil_image(one)))) for one in flat]
    return copying.to(arrays.from_array(np.stack(made)).reshape(img.shape), device=img.device)


def posterize(img: Any, bits: int) -> Any:
    """Only the highest ``bits`` bits of each byte; of floating point as many levels from 0 on, without the brightest."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    if _checked(img):
        return pictures.operation(img, "posterize", bits)
    if img.is_floating_point():
        return (img * 2**bits).floor().clamp(0, 2**bits - 1) / 2**bits
    _bytes(img)
    return arrays.host_work(img, lambda x: x & np.uint8(256 - 2 ** (8 - bits) & 255))


def solarize(img: Any, threshold: float) -> Any:
    """Values from ``threshold`` on inverted."""
    if _checked(img):
        return pictures.operation(img, "solarize", threshold)
    top = arrays.bound(img)
    return arrays.host_work(img, lambda x: np.where(x >= threshold, top - x, x).astype(x.dtype))


def autocontrast(img: Any) -> Any:
    """Each channel stretched to the whole range."""
    return pictures.operation(img, "autocontrast") if _checked(img) else arrays.autocontrast(img)


def equalize(img: Any) -> Any:
    """The histogram of each channel made flat, of floating point by bytes."""
    if _checked(img):
        return pictures.operation(img, "equalize")
    if img.is_floating_point():
        return arrays.convert(equalize(arrays.convert(img, dtypes.uint8)), img.dtype)
    return _by_picture(img, lambda picture: pictures.operation(picture, "equalize"))


def invert(img: Any) -> Any:
    """The negative."""
    return pictures.operation(img, "invert") if _checked(img) else arrays.invert(img)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """A picture's luma, in one channel or three equal ones."""
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    return pictures.grayscale(img, num_output_channels) if _checked(img) else arrays.grayscale(img, num_output_channels)


rgb_to_grayscale = to_grayscale


def rotate(img: Any, angle: float, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
           center: Any = None, fill: Any = None) -> Any:
    """Turned counter-clockwise by ``angle`` degrees around ``center`` (x, y), by default the middle.

    ``expand`` makes the result large enough for the whole image.
    """
    mode = interpolation_of(interpolation).value
    if _checked(img):
        return pictures.rotate(img, angle, mode, expand, center, fill)
    _, height, width = get_dimensions(img)
    middle = [0.0, 0.0] if center is None else [center[0] - width * 0.5, center[1] - height * 0.5]
    matrix = inverse_affine(middle, -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    size = (height, width)
    if expand:
        size = turned_size(size, matrix)
    return arrays.affine(img, matrix, size, mode, fill)


def affine(img: Any, angle: float, translate: Sequence[float], scale: float, shear: Any,
           interpolation: Any = InterpolationMode.NEAREST, fill: Any = None, center: Any = None) -> Any:
    """Turned clockwise by ``angle`` degrees, sheared (degrees along x, y), scaled, and moved by ``translate`` pixels."""
    if not isinstance(translate, (list, tuple)) or len(translate) != 2:
        raise ValueError("translate should be a list or tuple of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    slants = [float(shear), 0.0] if isinstance(shear, numbers.Number) else [*shear, 0.0][:2]  # type: ignore[arg-type]
    mode = interpolation_of(interpolation).value
    _, height, width = get_dimensions(img)
    if _checked(img):
        middle = [width * 0.5, height * 0.5] if center is None else center
        return pictures.affine(img, inverse_affine(middle, angle, translate, scale, slants), (height, width), mode, fill)
    middle = [0.0, 0.0] if center is None else [center[0] - width * 0.5, center[1] - height * 0.5]
    return arrays.affine(img, inverse_affine(middle, angle, translate, scale, slants), (height, width), mode, fill)


def perspective(img: Any, startpoints: Any, endpoints: Any, interpolation: Any = InterpolationMode.BILINEAR,
                fill: Any = None, coefficients: Sequence[float] | None = None) -> Any:
    """The image seen from elsewhere: four ``startpoints`` (x, y) of it come to lie at ``endpoints``.

    Args:
        coefficients: those of :func:`perspective_coefficients`, in place of the points.

    Raises:
        ValueError: neither points nor coefficients; another number of coefficients than eight.
    """
    coefficients = given_perspective(startpoints, endpoints, coefficients)
    mode = interpolation_of(interpolation).value
    return (pictures if _checked(img) else arrays).perspective(img, coefficients, mode, fill)


def elastic_transform(img: Any, displacement: Any, interpolation: Any = InterpolationMode.BILINEAR, fill: Any = None) -> Any:
    """The image, each pixel looked up elsewhere.

    Args:
        displacement: (1, height, width, 2), steps along x and y in halves of the image's sides.

    Raises:
        TypeError: no tensor.
        ValueError: another shape.
    """
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    _, height, width = get_dimensions(img)
    if tuple(displacement.shape) != (1, height, width, 2):
        raise ValueError(f"Argument displacement shape should be {(1, height, width, 2)}, but given "
                         f"{tuple(displacement.shape)}")
    steps, mode = copying.to_array(displacement.detach())[0], interpolation_of(interpolation).value
    if _checked(img):
        return to_pil_image(arrays.elastic(pil_to_tensor(img), steps, mode, fill), mode=img.mode)
    return arrays.elastic(img, steps, mode, fill)


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """A Gaussian blur with odd kernel sizes (x, y); sigma by default ``0.3 * ((size - 1) / 2 - 1) + 0.8``."""
    kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple((list(kernel_size) * 2)[:2])
    if any(size % 2 == 0 or size < 0 for size in kernel):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {kernel}")
    if sigma is None:
        sigma = [0.3 * ((size - 1) * 0.5 - 1) + 0.8 for size in kernel]
    widths = (float(sigma),) * 2 if isinstance(sigma, numbers.Number) else tuple(  # type: ignore[arg-type]
        (list(sigma) * 2)[:2])
    if any(width <= 0 for width in widths):
        raise ValueError(f"sigma should have positive values. Got {widths}")
    if _checked(img):
        return to_pil_image(arrays.blur(pil_to_tensor(img), kernel, widths), mode=img.mode)
    return arrays.blur(img, kernel, widths)


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """A rectangle with its corner at row ``i``, column ``j`` filled with the tensor or number ``v``."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor. Got {type(img)}")
    if not inplace and arrays.on_host(img):
        values = copying.to_array(img).copy()
        values[..., i:i + h, j:j + w] = copying.to_array(v) if isinstance(v, Tensor) else v
        return arrays.from_array(values)
    target = img if inplace else img.clone()
    target[..., i:i + h, j:j + w] = v
    return target


def to_dtype(inpt: Any, dtype: Any = dtypes.float32, scale: bool = False) -> Any:
    """A tensor in another dtype; ``scale``: with its values scaled to the new range."""
    if not isinstance(inpt, Tensor):
        warnings.warn(f"to_dtype() is for tensors, got {type(inpt).__name__}", stacklevel=2)
        return inpt
    return arrays.convert(inpt, dtype) if scale else inpt.to(dtype)
