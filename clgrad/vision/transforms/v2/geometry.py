"""Transforms of places that detectors are trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.creation import tensor
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.ops.boxes import box_convert, box_iou
from clgrad.vision.transforms import chance, dispatch
from clgrad.vision.transforms.modes import InterpolationMode
from clgrad.vision.transforms.v2.transform import (
    PICTURES,
    RandomApplied,
    Transform,
    get_bounding_boxes,
    has_all,
    has_any,
    is_pure_tensor,
    query_chw,
    query_size,
)
from clgrad.vision.tv_tensors import BoundingBoxes, Image, wrap


class RandomZoomOut(RandomApplied):
    """The picture somewhere in a larger one (Liu et al. 2015).

    Args:
        fill: value of the new pixels, or a dict of classes and their values.
        side_range: bounds of the ratio of the sides, from 1 on.
        p: the probability of it.
    """

    def __init__(self, fill: Any = 0, side_range: Sequence[float] = (1.0, 4.0), p: float = 0.5):
        super().__init__(p)
        if not isinstance(side_range, Sequence) or len(side_range) != 2:
            raise TypeError(f"side_range should be a sequence of length 2, got {side_range}.")
        if not 1.0 <= side_range[0] <= side_range[1]:
            raise ValueError(f"Invalid side range provided {side_range}.")
        self.fill, self.side_range = fill, side_range

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        ratio = chance.uniform(*self.side_range)
        more_rows, more_columns = int(height * ratio) - height, int(width * ratio) - width
        left, top = int(more_columns * chance.uniform(0, 1)), int(more_rows * chance.uniform(0, 1))
        return {"padding": [left, top, more_columns - left, more_rows - top]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(dispatch.pad, inpt, **params, fill=self.fill)


class RandomIoUCrop(Transform):
    """A part of the picture that shares enough with one of the boxes (Liu et al. 2015).

    Boxes whose centres are not in it become zeros, which :class:`SanitizeBoundingBoxes` leaves out.

    Args:
        min_scale, max_scale: bounds of the part's sides.
        min_aspect_ratio, max_aspect_ratio: bounds of its width over its height.
        sampler_options: the overlaps, of which one is drawn; from 1 on the picture stays as it is.
        trials: how often a part is drawn before another overlap is.

    Raises:
        TypeError: a sample without a picture or without boxes.
    """

    def __init__(self, min_scale: float = 0.3, max_scale: float = 1.0, min_aspect_ratio: float = 0.5,
                 max_aspect_ratio: float = 2.0, sampler_options: Sequence[float] | None = None, trials: int = 40):
        super().__init__()
        self.min_scale, self.max_scale = min_scale, max_scale
        self.min_aspect_ratio, self.max_aspect_ratio = min_aspect_ratio, max_aspect_ratio
        self.options = list(sampler_options) if sampler_options is not None else [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
        self.trials = trials

    def check_inputs(self, flat_inputs: list) -> None:
        if not (has_all(flat_inputs, BoundingBoxes) and has_any(flat_inputs, is_picture, Image, is_pure_tensor)):
            raise TypeError(f"{type(self).__name__}() requires input sample to contain tensor or PIL images and bounding "
                            "boxes. Sample can also contain masks.")

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        found = get_bounding_boxes(flat_inputs)
        size, boxes = query_size(flat_inputs), box_convert(found.as_subclass(Tensor), found.format.value.lower(), "xyxy")
        while True:
            least = self.options[chance.integer(0, len(self.options))]
            if least >= 1.0:
                return {}
            for _ in range(self.trials):
                part = self._part(size, boxes, least)
                if part is not None:
                    return part

    def _part(self, size: tuple[int, int], boxes: Any, least: float) -> dict[str, Any] | None:
        height, width = (int(side * chance.uniform(self.min_scale, self.max_scale)) for side in size)
        if not height or not self.min_aspect_ratio <= width / height <= self.max_aspect_ratio:
            return None
        top, left = int((size[0] - height) * chance.uniform(0, 1)), int((size[1] - width) * chance.uniform(0, 1))
        centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
        corners = tensor([left, top, left + width, top + height], dtype=boxes.dtype, device=boxes.device)
        inside = ((centres > corners[:2]) & (centres < corners[2:])).all(1)
        if not inside.any() or box_iou(boxes[inside], corners[None]).max().item() < least:
            return None
        return {"top": top, "left": left, "height": height, "width": width, "is_within_crop_area": inside}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params:
            return inpt
        place = {name: params[name] for name in ("top", "left", "height", "width")}
        made = self._call_kernel(dispatch.crop, inpt, **place)
        if not isinstance(made, BoundingBoxes):
            return made
        return wrap(made.as_subclass(Tensor) * params["is_within_crop_area"][:, None], like=made)


class _Resized(Transform):
    """Base of transforms to a size that is drawn."""

    def __init__(self, interpolation: Any, antialias: bool | None):
        super().__init__()
        self.interpolation, self.antialias = dispatch.interpolation_of(interpolation), antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(dispatch.resize, inpt, **params, interpolation=self.interpolation, antialias=self.antialias)


class ScaleJitter(_Resized):
    """The picture as large as fits into ``target_size`` (height, width), times a factor drawn from ``scale_range`` (Ghiasi et
    al. 2021)."""

    def __init__(self, target_size: tuple[int, int], scale_range: tuple[float, float] = (0.1, 2.0),
                 interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True):
        super().__init__(interpolation, antialias)
        self.target_size, self.scale_range = target_size, scale_range

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        ratio = min(self.target_size[1] / height, self.target_size[0] / width) * chance.uniform(*self.scale_range)
        return {"size": (int(height * ratio), int(width * ratio))}


class RandomShortestSize(_Resized):
    """The shorter edge one of ``min_size``, the longer one at most ``max_size``."""

    def __init__(self, min_size: Any, max_size: int | None = None, interpolation: Any = InterpolationMode.BILINEAR,
                 antialias: bool | None = True):
        super().__init__(interpolation, antialias)
        self.min_size, self.max_size = [min_size] if isinstance(min_size, int) else list(min_size), max_size

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        ratio = self.min_size[chance.integer(0, len(self.min_size))] / min(height, width)
        if self.max_size is not None:
            ratio = min(ratio, self.max_size / max(height, width))
        return {"size": (int(height * ratio), int(width * ratio))}


class RandomResize(_Resized):
    """The shorter edge drawn from ``min_size`` up to, and without, ``max_size``."""

    def __init__(self, min_size: int, max_size: int, interpolation: Any = InterpolationMode.BILINEAR,
                 antialias: bool | None = True):
        super().__init__(interpolation, antialias)
        self.min_size, self.max_size = min_size, max_size

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        return {"size": [chance.integer(self.min_size, self.max_size)]}


class RandomPhotometricDistort(Transform):
    """Brightness, contrast, saturation and hue changed, channels exchanged, each with probability ``p`` (Liu et al. 2015).

    The others are bounds of factors.
    """

    _transformed_types = PICTURES

    def __init__(self, brightness: tuple[float, float] = (0.875, 1.125), contrast: tuple[float, float] = (0.5, 1.5),
                 saturation: tuple[float, float] = (0.5, 1.5), hue: tuple[float, float] = (-0.05, 0.05), p: float = 0.5):
        super().__init__()
        self.brightness, self.contrast, self.saturation, self.hue, self.p = brightness, contrast, saturation, hue, p

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        channels = query_chw(flat_inputs)[0]
        changes = [(function, chance.uniform(*bounds)) for function, bounds in (
            (dispatch.adjust_brightness, self.brightness), (dispatch.adjust_saturation, self.saturation),
            (dispatch.adjust_hue, self.hue)) if chance.happens(self.p)]
        if chance.happens(self.p):  # the contrast before or after the colours
            place = 0 if chance.happens(0.5) else len(changes)
            changes.insert(place, (dispatch.adjust_contrast, chance.uniform(*self.contrast)))
        if chance.happens(self.p):
            changes.append((dispatch.permute_channels, chance.stream().permutation(channels).tolist()))
        return {"changes": changes}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for function, value in params["changes"]:
            inpt = self._call_kernel(function, inpt, value)
        return inpt
