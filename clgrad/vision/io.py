"""Pictures in files as tensors of bytes (channels, height, width)."""

from __future__ import annotations

import io
from enum import Enum
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.creation import from_numpy
from clgrad.ops import copying
from clgrad.optional import pillow
from clgrad.vision.transforms import functional


class ImageReadMode(Enum):
    """Which channels are read: those of the file, grey, grey and alpha, RGB, RGB and alpha."""

    UNCHANGED = None
    GRAY = "L"
    GRAY_ALPHA = "LA"
    RGB = "RGB"
    RGB_ALPHA = "RGBA"


def _decoded(source: Any, mode: Any, name: str) -> Any:
    wanted = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    try:
        picture = pillow().open(source)
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise RuntimeError(f"[Errno 2] No such file or directory: '{name}'") from error
        raise RuntimeError(f"{name} is not a picture that can be read: {error}") from error
    if wanted.value is not None:
        picture = picture.convert(wanted.value)
    elif picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    return functional.pil_to_tensor(picture)


def read_image(path: Any, mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> Any:
    """A file of a format that Pillow knows; RuntimeError where it cannot be read."""
    if not apply_exif_orientation:
        return _decoded(str(path), mode, str(path))
    turned = pillow("ImageOps").exif_transpose(pillow().open(path))
    return functional.pil_to_tensor(turned if getattr(mode, "value", None) is None else turned.convert(mode.value))


def decode_image(input: Any, mode: Any = ImageReadMode.UNCHANGED) -> Any:
    """The same of a file's bytes in a tensor, or of a path."""
    if not hasattr(input, "storage_offset"):
        return read_image(input, mode)
    return _decoded(io.BytesIO(copying.to_array(input).tobytes()), mode, "the data")


decode_png = decode_jpeg = decode_image


def read_file(path: Any) -> Any:
    """A file's bytes as a tensor."""
    with open(path, "rb") as file:
        return from_numpy(np.frombuffer(bytearray(file.read()), np.uint8))


def write_file(filename: Any, data: Any) -> None:
    """A tensor of bytes as a file."""
    with open(filename, "wb") as file:
        file.write(copying.to_array(data).tobytes())


def _save(input: Any, filename: Any, **options: Any) -> None:
    if input.dtype is not dtypes.uint8:
        raise RuntimeError(f"Input tensor dtype should be uint8, got {input.dtype}")
    functional.to_pil_image(input).save(filename, **options)


def write_png(input: Any, filename: Any, compression_level: int = 6) -> None:
    """A tensor of bytes (channels, height, width) as a PNG file."""
    _save(input, filename, format="PNG", compress_level=compression_level)


def write_jpeg(input: Any, filename: Any, quality: int = 75) -> None:
    """A tensor of bytes (channels, height, width) as a JPEG file."""
    _save(input, filename, format="JPEG", quality=quality)
