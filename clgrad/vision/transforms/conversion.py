"""Pictures of Pillow's and arrays as tensors, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.ops import copying
from clgrad.optional import is_picture, pillow
from clgrad.tensor import Tensor
from clgrad.vision.transforms import arrays


def pil_to_tensor(pic: Any) -> Any:
    """A picture as a tensor (channels, height, width) of the same values."""
    if not is_picture(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    values = np.array(pic)
    if values.dtype == np.uint16:
        values = values.astype(np.int32)
    return arrays.from_array(values[None] if values.ndim == 2 else values.transpose(2, 0, 1))


def to_tensor(pic: Any) -> Any:
    """A picture, or an array (height, width, channels), as a tensor (channels, height, width).

    Bytes become float32 in [0, 1]; other values stay as they are.

    Raises:
        TypeError: neither a picture nor an array.
        ValueError: an array that is not 2- or 3-dimensional.
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        values = pic[None] if pic.ndim == 2 else pic.transpose(2, 0, 1)
    elif is_picture(pic):
        values = np.asarray(pic)
        if values.dtype == bool:
            values = values.astype(np.uint8) * np.uint8(255)
        elif values.dtype == np.uint16:
            values = values.astype(np.int16)
        values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    if values.dtype != np.uint8:
        return arrays.from_array(values.copy())
    kind = dtypes.get_default_dtype().numpy
    return arrays.from_array(np.ascontiguousarray(values).astype(kind) / kind.type(255))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor (channels, height, width), or an array (height, width, channels), as a picture.

    Floating-point values are taken as [0, 1]. ``mode`` is Pillow's; by default it follows from channels and dtype.
    """
    if isinstance(pic, Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        values = copying.to_array(pic.detach())
        values = values[None] if values.ndim == 2 else values
        if values.shape[0] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {values.shape[0]} channels.")
        if values.dtype.kind == "f" and mode != "F":
            values = (values * 255).astype(np.uint8)
        values = values.transpose(1, 2, 0)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        values = pic[:, :, None] if pic.ndim == 2 else pic
        if values.shape[-1] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {values.shape[-1]} channels.")
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    count = values.shape[2]
    plain = np.ascontiguousarray(values[:, :, 0] if count == 1 else values)
    allowed = {1: {np.dtype(np.uint8): "L", np.dtype(np.int16): "I;16", np.dtype(np.int32): "I",
                   np.dtype(np.float32): "F"}.get(plain.dtype), 2: "LA", 3: "RGB", 4: "RGBA"}[count]
    if allowed is None or (count > 1 and plain.dtype != np.uint8):
        raise TypeError(f"Input type {plain.dtype} is not supported")
    choices = {1: (allowed,), 2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}[count]
    if mode is not None and mode not in choices:
        raise ValueError(f"Incorrect mode ({mode}) supplied for an input with {count} channels: only {choices} fit")
    made = pillow()
    if mode is None or mode == allowed:
        return made.fromarray(plain)
    return made.frombytes(mode, (plain.shape[1], plain.shape[0]), plain.tobytes())
