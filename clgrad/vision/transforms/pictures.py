"""Transforms of Pillow's images, by Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad.optional import pillow


def resample(mode: str) -> Any:
    """Pillow's constant of an interpolation mode."""
    kinds = pillow().Resampling
    return {"nearest": kinds.NEAREST, "nearest-exact": kinds.NEAREST, "bilinear": kinds.BILINEAR,
            "bicubic": kinds.BICUBIC, "box": kinds.BOX, "hamming": kinds.HAMMING, "lanczos": kinds.LANCZOS}[mode]


def channels(img: Any) -> int:
    """How many channels a picture has."""
    return len(img.getbands())


def resize(img: Any, size: tuple[int, int], mode: str) -> Any:
    """Another height and width."""
    return img.resize((size[1], size[0]), resample(mode))


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part; what lies outside is black."""
    return img.crop((left, top, left + width, top + height))


def flip(img: Any, horizontal: bool) -> Any:
    """Left and right, or top and bottom, exchanged."""
    turns = pillow().Transpose
    return img.transpose(turns.FLIP_LEFT_RIGHT if horizontal else turns.FLIP_TOP_BOTTOM)


def fill_of(img: Any, fill: Any) -> Any:
    """A fill value as Pillow takes it."""
    count = channels(img)
    if fill is None:
        fill = 0
    if isinstance(fill, (int, float)) and count > 1:
        return tuple([int(fill)] * count)
    if isinstance(fill, (tuple, list)):
        if len(fill) == 1:
            fill = list(fill) * count
        if len(fill) != count:
            raise ValueError(f"The number of elements in 'fill' does not match the number of channels of the image "
                             f"({len(fill)} != {count})")
        return tuple(fill) if count > 1 else fill[0]
    return fill


def pad(img: Any, sides: tuple[int, int, int, int], fill: Any, mode: str) -> Any:
    """Borders (left, top, right, bottom)."""
    left, top, right, bottom = sides
    if mode == "constant":
        made = pillow().new(img.mode, (img.width + left + right, img.height + top + bottom), fill_of(img, fill))
        made.paste(img, (left, top))
        if img.mode == "P":
            made.putpalette(img.getpalette())
        return made
    palette = img.getpalette() if img.mode == "P" else None
    values = np.asarray(img)
    widths = [(top, bottom), (left, right), *[(0, 0)] * (values.ndim - 2)]
    cut = values[max(-top, 0):values.shape[0] - max(-bottom, 0), max(-left, 0):values.shape[1] - max(-right, 0)]
    made = pillow().fromarray(np.pad(cut, [(max(a, 0), max(b, 0)) for a, b in widths], mode))  # type: ignore[call-overload]
    if palette is not None:
        made.putpalette(palette)
    return made


def enhance(img: Any, what: str, factor: float) -> Any:
    """``Brightness``, ``Contrast``, ``Color`` or ``Sharpness`` by a factor."""
    return getattr(pillow("ImageEnhance"), what)(img).enhance(factor)


def hue(img: Any, factor: float) -> Any:
    """The hue turned by ``factor`` of a circle."""
    if img.mode in ("L", "1", "I", "F"):
        return img
    h, s, v = img.convert("HSV").split()
    turned = np.asarray(h, np.uint8) + np.uint8(int(factor * 255) % 256)
    return pillow().merge("HSV", (pillow().fromarray(turned.astype(np.uint8)), s, v)).convert(img.mode)


def gamma(img: Any, value: float, gain: float) -> Any:
    """``255 gain (x / 255) ** gamma``."""
    table = [int((255 + 1 - 1e-3) * gain * (level / 255.0) ** value) for level in range(256)]
    return img.convert("RGB").point([min(level, 255) for level in table] * 3).convert(img.mode)


def grayscale(img: Any, count: int) -> Any:
    """Luma in one channel or three equal ones."""
    grey = img.convert("L")
    return grey if count == 1 else pillow().merge("RGB", (grey,) * 3)


def affine(img: Any, matrix: Any, size: tuple[int, int], mode: str, fill: Any) -> Any:
    """The picture seen through six numbers that map (x, y) of the result into it."""
    return img.transform((size[1], size[0]), pillow().Transform.AFFINE, matrix, resample(mode),
                         fillcolor=fill_of(img, fill))


def perspective(img: Any, coefficients: Any, mode: str, fill: Any) -> Any:
    """The picture seen through eight numbers, see :func:`matrices.perspective_coefficients`."""
    return img.transform(img.size, pillow().Transform.PERSPECTIVE, coefficients, resample(mode), fillcolor=fill_of(img, fill))


def rotate(img: Any, angle: float, mode: str, expand: bool, center: Any, fill: Any) -> Any:
    """Turned counter-clockwise by ``angle`` degrees."""
    return img.rotate(angle, resample(mode), expand, center, fillcolor=fill_of(img, fill))


def operation(img: Any, name: str, *arguments: Any) -> Any:
    """A function of Pillow's ImageOps."""
    return getattr(pillow("ImageOps"), name)(img, *arguments)
