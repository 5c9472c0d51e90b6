"""Showing batches of images: grids, files, boxes."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd import no_grad
from clgrad.creation import full, ones
from clgrad.creation import tensor as tensor_of
from clgrad.ops.registry import FUNCTIONS
from clgrad.optional import pillow
from clgrad.tensor import Tensor
from clgrad.vision.transforms import functional


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


def _check_image(image: Any, channels: tuple[int, ...]) -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"Tensor expected, got {type(image)}")
    if image.dtype is not dtypes.uint8 and not image.is_floating_point():
        raise ValueError(f"The image dtype must be uint8 or float, got {image.dtype}")
    if image.ndim != 3:
        raise ValueError("Pass individual images, not batches")
    if image.shape[0] not in channels:
        raise ValueError("Only grayscale and RGB images are supported" if 1 in channels else
                         "Pass an RGB image. Other Image formats are not supported")


def _colors(colors: Any, count: int) -> list[tuple[int, ...]]:
    """A colour (red, green, blue) for each of ``count`` objects: from one, from a list, or from a palette."""
    if colors is None:
        return [tuple(number * step % 255 for step in (2**25 - 1, 2**15 - 1, 2**21 - 1)) for number in range(count)]
    if isinstance(colors, list):
        if len(colors) < count:
            raise ValueError("Number of colors must be equal or larger than the number of objects, but got "
                             f"{len(colors)} < {count}.")
    elif not isinstance(colors, (tuple, str)):
        raise ValueError(f"colors must be a tuple or a string, or a list thereof, but got {colors}.")
    elif isinstance(colors, tuple) and len(colors) != 3:
        raise ValueError(f"If passed as tuple, colors should be an RGB triplet, but got {colors}.")
    else:
        colors = [colors] * count
    return [pillow("ImageColor").getrgb(color) if isinstance(color, str) else color for color in colors]


def _picture(image: Any) -> Any:
    """An image as a picture of Pillow's with three channels."""
    wide = image.expand(3, -1, -1) if image.shape[0] == 1 else image
    return functional.to_pil_image(functional.convert_image_dtype(wide.detach(), dtypes.uint8))


def _drawn(picture: Any, image: Any) -> Any:
    """A picture as an image of the dtype and on the device of another one."""
    return functional.convert_image_dtype(functional.pil_to_tensor(picture), image.dtype).to(image.device)


@no_grad()
def draw_bounding_boxes(image: Any, boxes: Any, labels: list[str] | None = None, colors: Any = None,
                        fill: bool | None = False, width: int = 1, font: str | None = None, font_size: int | None = None,
                        label_colors: Any = None, label_background_colors: Any = None, fill_labels: bool = False) -> Any:
    """Boxes (left, top, right, bottom), with what is in them, drawn on an image.

    Args:
        image: (1 or 3, height, width) of bytes, or of floating point in [0, 1].
        boxes: (n, 4), or (n, 8) of the corners of turned ones.
        labels: a text for each.
        colors: a colour's name or (red, green, blue), or a list of them. Default: a palette.
        fill: with the inside coloured, too.
        width: of the lines.
        font, font_size: a file of TrueType, and its size (default: 10).
        label_colors: of the texts. Default: those of the boxes; black with ``fill_labels``.
        label_background_colors: behind the texts, with ``fill_labels``.

    Raises:
        TypeError, ValueError: something else; boxes whose corners are exchanged; another number of labels.
    """
    _check_image(image, (1, 3))
    if boxes.shape[-1] == 4 and (boxes[:, :2] > boxes[:, 2:]).any():
        raise ValueError("Boxes need to be in (xmin, ymin, xmax, ymax) format. Use torchvision.ops.box_convert to convert "
                         "them")
    count = len(boxes)
    if not count:
        warnings.warn("boxes doesn't contain any box. No box was drawn", stacklevel=2)
        return image
    if labels is not None and len(labels) != count:
        raise ValueError(f"Number of boxes ({count}) and labels ({len(labels)}) mismatch. Please specify labels for each "
                         "box.")
    fonts = pillow("ImageFont")
    if font is None and font_size is not None:
        warnings.warn("Argument 'font_size' will be ignored since 'font' is not set.", stacklevel=2)
    letters = fonts.load_default() if font is None else fonts.truetype(font, font_size or 10)
    own = _colors(colors, count)
    of_labels = _colors(label_colors or "black", count) if label_colors or fill_labels else own
    behind = _colors(label_background_colors, count) if fill_labels and label_background_colors else own
    picture = _picture(image)
    draw = pillow("ImageDraw").Draw(picture, "RGBA" if fill else None)
    for number, box in enumerate(boxes.long().tolist()):
        inside = (*own[number], 100) if fill else None
        if len(box) > 4:
            draw.polygon(box, outline=own[number], fill=inside, width=width)
        else:
            draw.rectangle(box, outline=own[number], fill=inside, width=width)
        if labels is None or labels[number] is None:
            continue
        place = (box[0] + width + 1, box[1] + width + 1)
        if fill_labels:
            left, top, right, bottom = draw.textbbox(place, labels[number], font=letters)
            draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=behind[number])
        draw.text(place, labels[number], fill=of_labels[number], font=letters)
    return _drawn(picture, image)


@no_grad()
def draw_segmentation_masks(image: Any, masks: Any, alpha: float = 0.8, colors: Any = None) -> Any:
    """Masks as colours over an image; where several are there is black.

    Args:
        image: (3, height, width) of bytes, or of floating point in [0, 1].
        masks: (n, height, width) or (height, width) of bool.
        alpha: how much of the colours is seen.
        colors: see :func:`draw_bounding_boxes`.

    Raises:
        TypeError, ValueError: something else.
    """
    _check_image(image, (3,))
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3:
        raise ValueError("masks must be of shape (H, W) or (batch_size, H, W)")
    if masks.dtype is not dtypes.bool:
        raise ValueError(f"The masks must be of dtype bool. Got {masks.dtype}")
    if masks.shape[-2:] != image.shape[-2:]:
        raise ValueError("The image and the masks must have the same height and width")
    if not len(masks):
        warnings.warn("masks doesn't contain any mask. No mask was drawn", stacklevel=2)
        return image
    painted = image.detach().clone()
    for mask, color in zip(masks, _colors(colors, len(masks)), strict=False):
        shade = tensor_of(color, dtype=dtypes.float32, device=image.device) / (255 if image.is_floating_point() else 1)
        painted = FUNCTIONS["where"](mask, shade[:, None, None].to(image.dtype), painted)
    painted = painted.masked_fill(masks.sum(0) > 1, 0)
    return (image * (1 - alpha) + painted * alpha).to(image.dtype)


@no_grad()
def draw_keypoints(image: Any, keypoints: Any, connectivity: list[tuple[int, int]] | None = None, colors: Any = None,
                   radius: int = 2, width: int = 3, visibility: Any = None) -> Any:
    """Points, and lines between them, drawn on an image.

    Args:
        image: (3, height, width) of bytes, or of floating point in [0, 1].
        keypoints: (n, k, 2) of x and y.
        connectivity: pairs of numbers of points between which there is a line.
        colors: of the points. Default: white.
        radius: of the points.
        width: of the lines.
        visibility: (n, k), what is drawn. Default: all.

    Raises:
        TypeError, ValueError: something else.
    """
    _check_image(image, (3,))
    if keypoints.ndim != 3:
        raise ValueError("keypoints must be of shape (num_instances, K, 2)")
    seen = ones(keypoints.shape[:-1], dtype=dtypes.bool) if visibility is None else visibility
    seen = seen.squeeze(-1) if seen.ndim == 3 else seen
    if seen.shape != keypoints.shape[:-1]:
        raise ValueError("keypoints and visibility must have the same dimensionality for num_instances and K. Got "
                         f"visibility.shape={seen.shape!r} and keypoints.shape={keypoints.shape!r}")
    picture = _picture(image)
    draw = pillow("ImageDraw").Draw(picture)
    for points, visible in zip(keypoints.long().tolist(), seen.bool().tolist(), strict=True):
        for (x, y, *_), shown in zip(points, visible, strict=True):
            if shown:
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colors, outline=None, width=0)
        for first, second in connectivity or ():
            if visible[first] and visible[second]:
                draw.line((tuple(points[first][:2]), tuple(points[second][:2])), width=width)
    return _drawn(picture, image)
