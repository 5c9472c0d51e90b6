"""What transforms of pictures do with boxes and points: each moves points by a matrix, and gives the picture a size."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clgrad.autograd.listening import without_classes
from clgrad.creation import tensor
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor
from clgrad.vision.ops.boxes import box_convert
from clgrad.vision.transforms import functional
from clgrad.vision.transforms.matrices import given_perspective, inverse_affine, turned_size
from clgrad.vision.tv_tensors import BoundingBoxes, KeyPoints, TVTensor, format_of, is_rotated_bounding_format, wrap

_cat, _stack = FUNCTIONS["cat"], FUNCTIONS["stack"]
Matrix = list[float]  # x = m[0] x + m[1] y + m[2], y = m[3] x + m[4] y + m[5]


def _converted(plain: Any, before: str, after: str) -> Any:
    """Boxes in another format and the same dtype: whole corners are cut off, whole centres rounded down."""
    if plain.is_floating_point() or is_rotated_bounding_format(before):
        return box_convert(plain, before, after)
    corners = box_convert(plain, before, "xyxy").to(plain.dtype)
    made = box_convert(corners, "xyxy", after)
    return (made.floor() if made.is_floating_point() else made).to(plain.dtype)


def convert_bounding_box_format(inpt: Any, old_format: Any = None, new_format: Any = None, inplace: bool = False) -> Any:
    """Boxes in another format; ``old_format`` is that of a plain tensor.

    Raises:
        TypeError: no ``new_format``, or no tensor.
        ValueError: ``old_format`` is missing for a plain tensor, or given for boxes that know theirs.
    """
    if new_format is None:
        raise TypeError("convert_bounding_box_format() missing 1 required argument: 'new_format'")
    if not isinstance(inpt, Tensor):
        raise TypeError(f"Input can either be a plain tensor or a bounding box tv_tensor, but got {type(inpt)} instead.")
    own = isinstance(inpt, BoundingBoxes)
    if own == (old_format is not None):
        raise ValueError("For bounding box tv_tensor inputs, `old_format` must not be passed." if own else
                         "For pure tensor inputs, `old_format` has to be passed.")
    before, after = (format_of(one).value.lower() for one in (inpt.format if own else old_format, new_format))
    with without_classes():
        plain = inpt.as_subclass(Tensor)
        made = plain if before == after else _converted(plain, before, after)
        made = plain.copy_(made) if inplace else made
    return wrap(made, like=inpt, format=format_of(new_format)) if own else made


def clamp_bounding_boxes(inpt: Any, format: Any = None, canvas_size: Any = None, clamping_mode: Any = "auto") -> Any:
    """Boxes cut at the edges of their picture; a plain tensor needs all arguments, boxes that know theirs the last at most.

    Args:
        clamping_mode: "soft" or "hard"; None: they stay as they are; "auto": as the boxes say.

    Raises:
        ValueError: another mode; arguments are missing for a plain tensor, or given for boxes that know theirs.
        NotImplementedError: turned boxes.
    """
    if clamping_mode not in (None, "soft", "hard", "auto"):
        raise ValueError(f"clamping_mode must be soft, hard, auto or None, got {clamping_mode}")
    own = isinstance(inpt, BoundingBoxes)
    if own and (format is not None or canvas_size is not None):
        raise ValueError("For bounding box tv_tensor inputs, `format` and `canvas_size` must not be passed.")
    if not own:
        if format is None or canvas_size is None or clamping_mode == "auto":
            raise ValueError("For pure tensor inputs, `format`, `canvas_size` and `clamping_mode` have to be passed.")
        known = BoundingBoxes(inpt, format=format, canvas_size=canvas_size, clamping_mode=clamping_mode)
        return clamp_bounding_boxes(known).as_subclass(Tensor)
    mode = inpt.clamping_mode if clamping_mode == "auto" else clamping_mode
    return inpt.clone() if mode is None else _moved(inpt, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], inpt.canvas_size, True)


def _affinely(points: Any, matrix: Matrix) -> Any:
    """Points (..., 2), moved."""
    known = tensor(matrix, dtype=points.dtype, device=points.device).reshape(2, 3)
    if matrix[1] == matrix[3] == 0:
        return points * _stack([known[0, 0], known[1, 1]]) + known[:, 2]
    return points @ known[:, :2].T + known[:, 2]


def _moved(inpt: Any, matrix: Matrix, size: tuple[int, int], cut: bool) -> Any:
    """Boxes or points of a picture of which each point was moved by a matrix, and which has another size."""
    return _carried(inpt, lambda points: _affinely(points, matrix), size, cut)


def _carried(inpt: Any, move: Callable[[Any], Any], size: tuple[int, int], cut: bool) -> Any:
    """Boxes or points of a picture of which each point was moved, and which has another size.

    Boxes become the smallest ones around their corners.

    Args:
        move: gets points (..., 2) in floating point.
        cut: boxes end at the picture's edges, where they do not say otherwise.

    Raises:
        NotImplementedError: turned boxes.
    """
    dtype = inpt.dtype
    with without_classes():
        plain = inpt.as_subclass(Tensor)
        plain = plain if plain.is_floating_point() else plain.float()
        if isinstance(inpt, KeyPoints):
            return wrap(move(plain).to(dtype), like=inpt, canvas_size=size)
        if is_rotated_bounding_format(inpt.format):
            raise NotImplementedError(f"transforms know no turned boxes, got the format {inpt.format.value}")
        form = inpt.format.value.lower()
        x1, y1, x2, y2 = box_convert(plain, form, "xyxy").unbind(-1)
        corners = move(_stack([_stack([x1, y1], -1), _stack([x2, y1], -1), _stack([x2, y2], -1), _stack([x1, y2], -1)], -2))
        low, high = corners.amin(-2), corners.amax(-2)
        if cut and inpt.clamping_mode is not None:
            edge = tensor([size[1], size[0]], dtype=low.dtype, device=low.device)
            low, high = (FUNCTIONS["minimum"](one.clamp(min=0), edge) for one in (low, high))
        made = box_convert(_cat([low, high], -1), "xyxy", form).to(dtype)
        return wrap(made, like=inpt, canvas_size=size)


def hflip(inpt: Any) -> Any:
    """Left and right exchanged; a point is a pixel, a box lies between pixels."""
    height, width = inpt.canvas_size
    return _moved(inpt, [-1.0, 0.0, width - isinstance(inpt, KeyPoints), 0.0, 1.0, 0.0], (height, width), False)


def vflip(inpt: Any) -> Any:
    """Top and bottom exchanged."""
    height, width = inpt.canvas_size
    return _moved(inpt, [1.0, 0.0, 0.0, 0.0, -1.0, height - isinstance(inpt, KeyPoints)], (height, width), False)


def resize(inpt: Any, size: Any, interpolation: Any = None, max_size: int | None = None, antialias: Any = None) -> Any:
    """Another size of the picture."""
    old, new = inpt.canvas_size, functional.resized(inpt.canvas_size, size, max_size)
    return inpt if old == new else _moved(inpt, [new[1] / old[1], 0.0, 0.0, 0.0, new[0] / old[0], 0.0], new, False)


def crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part of the picture."""
    return _moved(inpt, [1.0, 0.0, -left, 0.0, 1.0, -top], (height, width), True)


def center_crop(inpt: Any, output_size: Any) -> Any:
    """The middle of the picture."""
    rows, columns = inpt.canvas_size
    height, width = functional.pair_of(output_size)
    return crop(inpt, int(round((rows - height) / 2.0)), int(round((columns - width) / 2.0)), height, width)


def resized_crop(inpt: Any, top: int, left: int, height: int, width: int, size: Any, interpolation: Any = None,
                 antialias: Any = None) -> Any:
    """A part of the picture in another size."""
    return resize(crop(inpt, top, left, height, width), size)


def pad(inpt: Any, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    """Borders around the picture.

    Raises:
        ValueError: borders that repeat what is in the picture.
    """
    if padding_mode != "constant":
        raise ValueError(f"Padding mode '{padding_mode}' is not supported with bounding boxes")
    left, top, right, bottom = functional.sides_of(padding)
    rows, columns = inpt.canvas_size
    return _moved(inpt, [1.0, 0.0, left, 0.0, 1.0, top], (rows + top + bottom, columns + left + right), True)


def _forward(size: tuple[int, int], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float],
             center: Any) -> Matrix:
    """Where a picture's points go, the inverse of where its pixels are looked up."""
    middle = [size[1] * 0.5, size[0] * 0.5] if center is None else [float(v) for v in center]
    a, b, tx, c, d, ty = inverse_affine(middle, angle, translate, scale, shear)
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    return [a, b, -(a * tx + b * ty), c, d, -(c * tx + d * ty)]


def affine(inpt: Any, angle: float, translate: Sequence[float], scale: float, shear: Any, interpolation: Any = None,
           fill: Any = None, center: Any = None) -> Any:
    """The picture turned, moved, scaled and sheared; see :func:`functional.affine`."""
    slants = [float(shear), 0.0] if isinstance(shear, numbers.Number) else [*shear, 0.0][:2]  # type: ignore[arg-type]
    size = inpt.canvas_size
    return _moved(inpt, _forward(size, angle, translate, scale, slants, center), size, True)


def rotate(inpt: Any, angle: float, interpolation: Any = None, expand: bool = False, center: Any = None,
           fill: Any = None) -> Any:
    """The picture turned; see :func:`functional.rotate`."""
    size = inpt.canvas_size
    matrix = _forward(size, -angle, (0.0, 0.0), 1.0, (0.0, 0.0), center)
    if expand:
        corners = [(x, y) for x in (0.0, float(size[1])) for y in (0.0, float(size[0]))]
        for row in (0, 3):
            matrix[row + 2] -= min(matrix[row] * x + matrix[row + 1] * y + matrix[row + 2] for x, y in corners)
        middle = [0.0, 0.0] if center is None else [center[0] - size[1] * 0.5, center[1] - size[0] * 0.5]
        size = turned_size(size, inverse_affine(middle, -angle, (0.0, 0.0), 1.0, (0.0, 0.0)))
    return _moved(inpt, matrix, size, True)


def perspective(inpt: Any, startpoints: Any, endpoints: Any, interpolation: Any = None, fill: Any = None,
                coefficients: Sequence[float] | None = None) -> Any:
    """The picture seen from elsewhere; see :func:`functional.perspective`.

    Raises:
        ValueError: neither points nor coefficients, or coefficients without an inverse.
    """
    coefficients = given_perspective(startpoints, endpoints, coefficients)
    known = np.array([*coefficients, 1.0]).reshape(3, 3)
    if not np.linalg.det(known[:2, :2]):
        raise ValueError(f"Provided perspective_coeffs {coefficients} can not be inverted to transform bounding boxes.")
    inverse = np.linalg.inv(known)
    rows = (inverse / inverse[2, 2]).tolist()

    def move(points: Any) -> Any:
        x, y = points[..., 0], points[..., 1]
        u, v, w = (a * x + b * y + c for a, b, c in rows)
        return _stack([u / w, v / w], -1)
    return _carried(inpt, move, inpt.canvas_size, True)


def elastic_transform(inpt: Any, displacement: Any, interpolation: Any = None, fill: Any = None) -> Any:
    """The picture's pixels looked up elsewhere; a point goes the other way, by the step of the pixel that it lies in.

    Raises:
        TypeError, ValueError: as :func:`functional.elastic_transform`.
    """
    height, width = inpt.canvas_size
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    if tuple(displacement.shape) != (1, height, width, 2):
        raise ValueError(f"Argument displacement shape should be {(1, height, width, 2)}, but given "
                         f"{tuple(displacement.shape)}")

    def move(points: Any) -> Any:
        steps = displacement[0].to(device=points.device, dtype=points.dtype)
        x, y = points[..., 0].long().clamp(0, width - 1), points[..., 1].long().clamp(0, height - 1)
        return _stack([x, y], -1).to(points.dtype) - steps[y, x] * tensor([width / 2, height / 2], dtype=points.dtype,
                                                                          device=points.device)
    return _carried(inpt, move, inpt.canvas_size, isinstance(inpt, BoundingBoxes))


def clamp_keypoints(inpt: Any, canvas_size: Any = None) -> Any:
    """Points moved to the nearest pixel of their picture; ``canvas_size`` is that of a plain tensor.

    Raises:
        ValueError: it is missing for a plain tensor, or given for points that know theirs.
        TypeError: something else.
    """
    if not isinstance(inpt, Tensor) or isinstance(inpt, TVTensor) and not isinstance(inpt, KeyPoints):
        raise TypeError(f"Input can either be a plain tensor or a keypoints tv_tensor, but got {type(inpt)} instead.")
    own = isinstance(inpt, KeyPoints)
    if own == (canvas_size is not None):
        raise ValueError("For keypoints tv_tensor inputs, `canvas_size` must not be passed." if own else
                         "For pure tensor inputs, `canvas_size` has to be passed.")
    height, width = inpt.canvas_size if own else canvas_size
    with without_classes():
        plain = inpt.as_subclass(Tensor)
        made = _stack([plain[..., 0].clamp(0, width - 1), plain[..., 1].clamp(0, height - 1)], -1)
    return wrap(made, like=inpt) if own else made


def sanitize_keypoints(key_points: Any, canvas_size: Any = None) -> tuple[Any, Any]:
    """The points that lie in their picture, and which (n) they are; of groups (n, ..., 2) those with all points in it.

    Raises:
        ValueError: ``canvas_size`` is missing for a plain tensor, or given for points that know theirs; something else.
    """
    own = isinstance(key_points, KeyPoints)
    if not own and (not isinstance(key_points, Tensor) or isinstance(key_points, TVTensor)):
        raise ValueError("key_points must be a tv_tensors.KeyPoints instance or a pure tensor.")
    if own == (canvas_size is not None):
        raise ValueError(f"canvas_size must be None when key_points is a tv_tensors.KeyPoints instance. Got {canvas_size=}" if
                         own else "canvas_size cannot be None if key_points is a pure tensor.")
    height, width = key_points.canvas_size if own else canvas_size
    with without_classes():
        plain = key_points.as_subclass(Tensor)
        valid = (plain >= 0).all(-1) & (plain[..., 0] < width) & (plain[..., 1] < height)
        valid = valid.flatten(1).all(1) if valid.ndim > 1 else valid
        kept = plain[valid]
    return (wrap(kept, like=key_points) if own else kept), valid


def valid_boxes(boxes: Any, format: Any, canvas_size: tuple[int, int], min_size: float = 1.0, min_area: float = 1.0) -> Any:
    """Which boxes (n) lie in their picture and are large enough."""
    plain = box_convert(boxes.as_subclass(Tensor), format_of(format).value.lower(), "xyxy")
    width, height = plain[:, 2] - plain[:, 0], plain[:, 3] - plain[:, 1]
    inside = (plain >= 0).all(-1) & (plain[:, ::2] <= canvas_size[1]).all(1) & (plain[:, 1::2] <= canvas_size[0]).all(1)
    return inside & (width >= min_size) & (height >= min_size) & (width * height >= min_area)


def sanitize_bounding_boxes(bounding_boxes: Any, format: Any = None, canvas_size: Any = None, min_size: float = 1.0,
                            min_area: float = 1.0) -> tuple[Any, Any]:
    """The boxes that lie in their picture and are large enough, and which (n) they are.

    Raises:
        ValueError: format and size are missing for a plain tensor, or given for boxes that know theirs.
    """
    own = isinstance(bounding_boxes, BoundingBoxes)
    if own and (format is not None or canvas_size is not None):
        raise ValueError("format and canvas_size must be None when bounding_boxes is a tv_tensors.BoundingBoxes instance. "
                         f"Got format={format} and canvas_size={canvas_size}")
    if not own and (format is None or canvas_size is None):
        raise ValueError("format and canvas_size cannot be None if bounding_boxes is a pure tensor. Got "
                         f"format={format} and canvas_size={canvas_size}")
    known = (bounding_boxes.format, bounding_boxes.canvas_size) if own else (format, canvas_size)
    with without_classes():
        valid = valid_boxes(bounding_boxes, *known, min_size, min_area)
        kept = bounding_boxes.as_subclass(Tensor)[valid]
    return (wrap(kept, like=bounding_boxes) if own else kept), valid


__all__ = ["affine", "center_crop", "clamp_bounding_boxes", "clamp_keypoints", "convert_bounding_box_format", "crop",
           "elastic_transform", "hflip", "pad", "perspective", "resize", "resized_crop", "rotate", "sanitize_bounding_boxes",
           "sanitize_keypoints", "valid_boxes", "vflip"]
