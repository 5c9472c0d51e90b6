"""Transforms with chance in them: crops, flips, turns, colours, holes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from clgrad.nn import Module
from clgrad.tensor import Tensor
from clgrad.vision.transforms import arrays, chance
from clgrad.vision.transforms import dispatch as F
from clgrad.vision.transforms.basic import pair
from clgrad.vision.transforms.modes import InterpolationMode


class RandomCrop(Module):
    """A part of (height, width) at a random place.

    Args:
        padding: borders that are added first, as :class:`Pad` takes them.
        pad_if_needed: add borders where the image is smaller than the part.
        fill, padding_mode: of the borders.
    """

    def __init__(self, size: Any, padding: Any = None, pad_if_needed: bool = False, fill: Any = 0,
                 padding_mode: str = "constant"):
        super().__init__()
        self.size, self.padding, self.pad_if_needed = pair(size), padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random part."""
        _, height, width = F.get_dimensions(img)
        rows, columns = output_size
        if height < rows or width < columns:
            raise ValueError(f"Required crop size {(rows, columns)} is larger than input image size {(height, width)}")
        if (width, height) == (columns, rows):
            return 0, 0, height, width
        draw = chance.stream()
        return int(draw.integers(0, height - rows + 1)), int(draw.integers(0, width - columns + 1)), rows, columns

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, height, width = F.get_dimensions(img)
        if self.pad_if_needed and width < self.size[1]:
            img = F.pad(img, [self.size[1] - width, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and height < self.size[0]:
            img = F.pad(img, [0, self.size[0] - height], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class _Flip(Module):
    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_Flip):
    """Left and right exchanged with probability ``p``."""

    def forward(self, img: Any) -> Any:
        return F.hflip(img) if chance.happens(self.p) else img


class RandomVerticalFlip(_Flip):
    """Top and bottom exchanged with probability ``p``."""

    def forward(self, img: Any) -> Any:
        return F.vflip(img) if chance.happens(self.p) else img


class RandomGrayscale(_Flip):
    """Grey, in as many channels as before, with probability ``p``."""

    def __init__(self, p: float = 0.1):
        super().__init__(p)

    def forward(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, F.get_image_num_channels(img)) if chance.happens(self.p) else img


class RandomInvert(_Flip):
    """The negative with probability ``p``."""

    def forward(self, img: Any) -> Any:
        return F.invert(img) if chance.happens(self.p) else img


class RandomAutocontrast(_Flip):
    """Each channel stretched to the whole range with probability ``p``."""

    def forward(self, img: Any) -> Any:
        return F.autocontrast(img) if chance.happens(self.p) else img


class RandomEqualize(_Flip):
    """A flat histogram with probability ``p``."""

    def forward(self, img: Any) -> Any:
        return F.equalize(img) if chance.happens(self.p) else img


class RandomPosterize(_Flip):
    """Only the highest ``bits`` bits with probability ``p``."""

    def __init__(self, bits: int, p: float = 0.5):
        super().__init__(p)
        self.bits = bits

    def forward(self, img: Any) -> Any:
        return F.posterize(img, self.bits) if chance.happens(self.p) else img


class RandomSolarize(_Flip):
    """Values from ``threshold`` on inverted with probability ``p``."""

    def __init__(self, threshold: float, p: float = 0.5):
        super().__init__(p)
        self.threshold = threshold

    def forward(self, img: Any) -> Any:
        return F.solarize(img, self.threshold) if chance.happens(self.p) else img


class RandomAdjustSharpness(_Flip):
    """Another sharpness with probability ``p``."""

    def __init__(self, sharpness_factor: float, p: float = 0.5):
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def forward(self, img: Any) -> Any:
        return F.adjust_sharpness(img, self.sharpness_factor) if chance.happens(self.p) else img


class RandomResizedCrop(Module):
    """A part of random area and shape, resized to ``size``: the augmentation of Szegedy et al. 2014.

    Args:
        scale: bounds of the part's share of the area.
        ratio: bounds of width over height.
    """

    def __init__(self, size: Any, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
                 interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True):
        super().__init__()
        self.size, self.scale, self.ratio, self.antialias = pair(size), scale, ratio, antialias
        for name, bounds in (("Scale", scale), ("Ratio", ratio)):
            _sequence(bounds, name)
        self.interpolation = F.interpolation_of(interpolation)

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random part."""
        _, height, width = F.get_dimensions(img)
        draw = chance.stream()
        for _ in range(10):
            area = height * width * draw.uniform(scale[0], scale[1])
            shape = math.exp(draw.uniform(math.log(ratio[0]), math.log(ratio[1])))
            w, h = int(round(math.sqrt(area * shape))), int(round(math.sqrt(area / shape)))
            if 0 < w <= width and 0 < h <= height:
                return int(draw.integers(0, height - h + 1)), int(draw.integers(0, width - w + 1)), h, w
        w, h = width, height
        if width / height < min(ratio):
            h = int(round(width / min(ratio)))
        elif width / height > max(ratio):
            w = int(round(height * max(ratio)))
        return (height - h) // 2, (width - w) // 2, h, w

    def forward(self, img: Any) -> Any:
        place = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *place, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(v, 4) for v in values) for values in (self.scale, self.ratio))
        return (f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
                f"interpolation={self.interpolation.value}, antialias={self.antialias})")


def _sequence(value: Any, name: str, lengths: tuple[int, ...] = (2,)) -> Any:
    """``value``, where it is a sequence of one of the lengths; TypeError or ValueError otherwise."""
    message = f"{name} should be a sequence of length {' or '.join(map(str, lengths))}."
    if not isinstance(value, Sequence):
        raise TypeError(message)
    if len(value) not in lengths:
        raise ValueError(message)
    return value


def _range(value: Any, name: str, lengths: tuple[int, ...] = (2,)) -> tuple[float, ...]:
    if isinstance(value, numbers.Number):
        if value < 0:  # type: ignore[operator]
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return (-float(value), float(value))  # type: ignore[arg-type]
    return tuple(float(v) for v in _sequence(value, name, lengths))


class RandomRotation(Module):
    """Turned by an angle between ``degrees[0]`` and ``degrees[1]``, or within plus and minus ``degrees``."""

    def __init__(self, degrees: Any, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
                 center: Any = None, fill: Any = 0):
        super().__init__()
        self.degrees, self.expand, self.fill = _range(degrees, "degrees"), expand, fill
        self.center = None if center is None else _sequence(center, "center")
        self.interpolation = F.interpolation_of(interpolation)

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """A random angle."""
        return chance.uniform(degrees[0], degrees[1])

    def forward(self, img: Any) -> Any:
        return F.rotate(img, self.get_params(self.degrees), self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(degrees={list(self.degrees)}, interpolation={self.interpolation.value}, "
                f"expand={self.expand}, fill={self.fill})")


class RandomAffine(Module):
    """Turned, moved, scaled and sheared by chance.

    Args:
        degrees: bounds of the angle.
        translate: the most that it moves, as shares of width and height.
        scale: bounds of the factor.
        shear: bounds of the shear in degrees: along x, or (x, x, y, y).
    """

    def __init__(self, degrees: Any, translate: Any = None, scale: Any = None, shear: Any = None,
                 interpolation: Any = InterpolationMode.NEAREST, fill: Any = 0, center: Any = None):
        super().__init__()
        self.degrees = _range(degrees, "degrees")
        for name, value in (("translate", translate), ("scale", scale), ("center", center)):
            if value is not None:
                _sequence(value, name)
        if translate is not None and any(not 0.0 <= t <= 1.0 for t in translate):
            raise ValueError("translation values should be between 0 and 1")
        if scale is not None and any(s <= 0 for s in scale):
            raise ValueError("scale values should be positive")
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else _range(shear, "shear", (2, 4))
        self.interpolation, self.fill, self.center = F.interpolation_of(interpolation), fill, center

    @staticmethod
    def get_params(degrees: Any, translate: Any, scale_ranges: Any, shears: Any, img_size: Any) -> tuple:
        """A random angle, translation, scale and shear."""
        draw = chance.stream()
        angle = float(draw.uniform(degrees[0], degrees[1]))
        moved = (0, 0)
        if translate is not None:
            most = [float(share * size) for share, size in zip(translate, img_size, strict=True)]
            moved = tuple(int(round(draw.uniform(-m, m))) for m in most)  # type: ignore[assignment]
        scale = 1.0 if scale_ranges is None else float(draw.uniform(scale_ranges[0], scale_ranges[1]))
        slant = (0.0, 0.0)
        if shears is not None:
            slant = (float(draw.uniform(shears[0], shears[1])),
                     float(draw.uniform(shears[2], shears[3])) if len(shears) == 4 else 0.0)
        return angle, moved, scale, slant

    def forward(self, img: Any) -> Any:
        _, height, width = F.get_dimensions(img)
        angle, moved, scale, shear = self.get_params(self.degrees, self.translate, self.scale, self.shear, [width, height])
        return F.affine(img, angle, moved, scale, shear, interpolation=self.interpolation, fill=self.fill, center=self.center)


class ColorJitter(Module):
    """Brightness, contrast, saturation and hue changed by chance, in random order.

    Each is a number ``v`` for a factor between ``max(0, 1 - v)`` and ``1 + v`` (hue: between ``-v`` and ``v``), or the
    bounds themselves.
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0):
        super().__init__()
        self.brightness = self._bounds(brightness, "brightness")
        self.contrast = self._bounds(contrast, "contrast")
        self.saturation = self._bounds(saturation, "saturation")
        self.hue = self._bounds(hue, "hue", center=0.0, bound=(-0.5, 0.5))

    @staticmethod
    def _bounds(value: Any, name: str, center: float = 1.0,
                bound: tuple[float, float] = (0.0, float("inf"))) -> tuple[float, float] | None:
        if isinstance(value, numbers.Number):
            if value < 0:  # type: ignore[operator]
                raise ValueError(f"If {name} is a single number, it must be non negative.")
            low, high = center - float(value), center + float(value)  # type: ignore[arg-type]
            low = max(low, 0.0) if center else low
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            low, high = (float(v) for v in value)
        else:
            raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
        if not bound[0] <= low <= high <= bound[1]:
            raise ValueError(f"{name} values should be between {bound}, but got {[low, high]}.")
        return None if low == high == center else (low, high)

    @staticmethod
    def get_params(brightness: Any, contrast: Any, saturation: Any, hue: Any) -> tuple:
        """The order of the four, and the factor of each (None where it is not changed)."""
        draw = chance.stream()
        factors = [None if b is None else float(draw.uniform(*b)) for b in (brightness, contrast, saturation, hue)]
        return draw.permutation(4).tolist(), *factors

    def forward(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        functions = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for place in order:
            if factors[place] is not None:
                img = functions[place](img, factors[place])
        return img

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(brightness={self.brightness}, contrast={self.contrast}, "
                f"saturation={self.saturation}, hue={self.hue})")


class GaussianBlur(Module):
    """A Gaussian blur whose width is drawn from ``sigma``, or is ``sigma``."""

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)):
        super().__init__()
        self.kernel_size = pair(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(size <= 0 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, numbers.Number):
            sigma = (float(sigma), float(sigma))  # type: ignore[arg-type]
        if not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError(f"sigma values should be positive and of the form (min, max). Got {sigma}")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A random width."""
        return chance.uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(self.sigma[0], self.sigma[1])
        return F.gaussian_blur(img, list(self.kernel_size), [sigma, sigma])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"


class RandomErasing(Module):
    """A random rectangle of a tensor filled, with probability ``p``: Zhong et al. 2017.

    Args:
        scale, ratio: bounds of the rectangle's share of the area, and of its height over width.
        value: a number, one for each channel, or ``"random"`` for normally distributed noise.
    """

    def __init__(self, p: float = 0.5, scale: Sequence[float] = (0.02, 0.33), ratio: Sequence[float] = (0.3, 3.3),
                 value: Any = 0, inplace: bool = False):
        super().__init__()
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        for name, bounds in (("Scale", scale), ("Ratio", ratio)):
            _sequence(bounds, name)
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float], value: Any = None) -> tuple:
        """Row, column, height, width and contents of a random rectangle."""
        channels, height, width = img.shape[-3:]
        draw = chance.stream()
        for _ in range(10):
            area = height * width * draw.uniform(scale[0], scale[1])
            shape = math.exp(draw.uniform(math.log(ratio[0]), math.log(ratio[1])))
            h, w = int(round(math.sqrt(area * shape))), int(round(math.sqrt(area / shape)))
            if h < height and w < width:
                if value is None:
                    contents = draw.normal(size=(channels, h, w)).astype(np.float32)
                else:
                    contents = np.array(value, np.float32).reshape(-1, 1, 1)
                filled = arrays.from_array(contents).to(dtype=img.dtype, device=img.device)
                return int(draw.integers(0, height - h + 1)), int(draw.integers(0, width - w + 1)), h, w, filled
        return 0, 0, height, width, img

    def forward(self, img: Any) -> Any:
        if not isinstance(img, Tensor):
            raise TypeError(f"img should be Tensor. Got {type(img)}")
        if not chance.happens(self.p):
            return img
        value = None if isinstance(self.value, str) else self.value
        if isinstance(value, (tuple, list)) and len(value) not in (1, img.shape[-3]):
            raise ValueError(f"If value is a sequence, it should have either a single value or {img.shape[-3]} (number of "
                             "input channels)")
        top, left, height, width, contents = self.get_params(img, self.scale, self.ratio, value)
        return F.erase(img, top, left, height, width, contents, self.inplace)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
                f"inplace={self.inplace})")
