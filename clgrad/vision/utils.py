"""Showing batches of images: grids, files, boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd import no_grad
from clgrad.creation import full
from clgrad.ops.registry import FUNCTIONS
from clgrad.optional import pillow
from clgrad.tensor import Tensor
from clgrad.vision.transforms import arrays, functional


def _spread(image: Any, bounds: tuple[float, float] | None) -> Any:
    low, high = bounds if bounds is not None else (image.min().item(), image.max().item())
    return (image.clamp(low, high) - low) / max(high - low, 1e-5)


@no_grad()
def make_grid(tensor: Any, nrow: int = 8, padding: int = 2, normalize: bool = False,
              value_range: tuple[float, float] | None = None, scale_each: bool = False, pad_value: float = 0.0) -> Any:
    """A batch of images as one image.

    Args:
        tensor: (n, channels, height, width), or a list of images of one size; grey becomes RGB.
        nrow: images in a row. Default: 8.
        padding: pixels between them. Default: 2.
        normalize: spread the values over [0, 1], from ``value_range`` or from the least and greatest.
        scale_each: spread each image by itself.
        pad_value: of the pixels between.
    """
    if not isinstance(tensor, Tensor) and not (isinstance(tensor, (list, tuple)) and all(
            isinstance(t, Tensor) for t in tensor)):
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    images = FUNCTIONS["stack"](list(tensor)) if isinstance(tensor, (list, tuple)) else tensor
    if images.ndim == 2:
        images = images.unsqueeze(0)
    if images.ndim == 3:
        images = images.unsqueeze(0) if images.shape[0] in (1, 3) else images.unsqueeze(1)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        images = FUNCTIONS["stack"]([_spread(image, value_range) for image in images]) if scale_each else (
            _spread(images, value_range))
    count, channels, rows, columns = images.shape
    if count == 1 and (not isinstance(tensor, Tensor) or tensor.ndim < 4 or tensor.shape[0] == 1):
        return images[0].clone()
    across = min(nrow, count)
    down = math.ceil(count / across)
    height, width = rows + padding, columns + padding
    grid = full((channels, height * down + padding, width * across + padding), pad_value, dtype=images.dtype,
                device=images.device)
    for place in range(count):
        top, left = place // across * height + padding, place % across * width + padding
        grid[:, top:top + rows, left:left + columns].copy_(images[place])
    return grid


def save_image(tensor: Any, fp: Any, format: str | None = None, **kwargs: Any) -> None:
    """Writes an image, or a batch as :func:`make_grid` lays it out, to a file; values are taken as [0, 1]."""
    grid = make_grid(tensor, **kwargs)
    values = np.array(grid.detach().mul(255).add(0.5).clamp(0, 255).to(dtypes.uint8).permute(1, 2, 0).tolist(), np.uint8)
    pillow().fromarray(values).save(fp, format=format)


def draw_bounding_boxes(image: Any, boxes: Any, labels: list[str] | None = None, colors: Any = None, fill: bool = False,
                        width: int = 1, font: Any = None, font_size: int | None = None) -> Any:
    """Boxes (left, top, right, bottom) drawn on an image of bytes (channels, height, width)."""
    if not isinstance(image, Tensor):
        raise TypeError(f"Tensor expected, got {type(image)}")
    if image.dtype is not dtypes.uint8:
        raise ValueError(f"The image dtype must be uint8, got {image.dtype}")
    if labels is not None and len(labels) != len(boxes):
        raise ValueError(f"Number of boxes ({len(boxes)}) and labels ({len(labels)}) mismatch.")
    picture = functional.to_pil_image(image.expand(3, -1, -1) if image.shape[0] == 1 else image)
    draw = pillow("ImageDraw").Draw(picture)
    for number, box in enumerate(boxes.tolist()):
        color = colors[number] if isinstance(colors, list) else colors or "red"
        draw.rectangle(box, outline=color, width=width, fill=color if fill else None)
        if labels is not None:
            draw.text((box[0] + width, box[1] + width), labels[number], fill=color)
    return arrays.from_array(np.array(picture).transpose(2, 0, 1))
