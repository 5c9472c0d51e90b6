"""Transforms of what a tensor is: of its kind, its dtype, of the format of boxes; and boxes that are none any more."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.transforms import dispatch, points
from clgrad.vision.transforms.v2.transform import Transform, get_bounding_boxes, is_pure_tensor, leaves, rebuilt
from clgrad.vision.tv_tensors import BoundingBoxes, Image, Mask, TVTensor, Video, wrap


class Identity(Transform):
    """The sample itself."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class Lambda(Transform):
    """A function of each part of a sample that is of one of ``types``, by default of each."""

    _transformed_types = (object,)

    def __init__(self, lambd: Callable, *types: type):
        super().__init__()
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd, self.types = lambd, types or self._transformed_types

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self.lambd(inpt) if isinstance(inpt, self.types) else inpt


class ToTensor(Transform):
    """Pictures of Pillow's and arrays (height, width, channels) as tensors (channels, height, width); bytes become [0, 1]."""

    _transformed_types = (is_picture, np.ndarray)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return dispatch.to_tensor(inpt)


class PILToTensor(Transform):
    """Pictures of Pillow's as tensors (channels, height, width) of the same values."""

    _transformed_types = (is_picture,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return dispatch.pil_to_tensor(inpt)


class ToImage(Transform):
    """Pictures of Pillow's, arrays (height, width, channels) and plain tensors as :class:`tv_tensors.Image`."""

    _transformed_types = (is_pure_tensor, is_picture, np.ndarray)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return dispatch.to_image(inpt)


class ToPILImage(Transform):
    """Tensors (channels, height, width) and arrays with channels last as pictures of Pillow's, of its ``mode``."""

    _transformed_types = (is_pure_tensor, Image, np.ndarray)

    def __init__(self, mode: str | None = None):
        super().__init__()
        self.mode = mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return dispatch.to_pil_image(inpt, self.mode)


class ToPureTensor(Transform):
    """Plain tensors of those that know what they are."""

    _transformed_types = (TVTensor,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.as_subclass(Tensor)


class ToDtype(Transform):
    """Tensors in another dtype.

    Args:
        dtype: that of pictures, or a dict of classes and their dtypes; None leaves a class as it is, "others" stands for all
            that are not named.
        scale: pictures with their values scaled to the new range.

    Raises:
        ValueError: no dtype and no dict; a sample with a class for which the dict has none.
    """

    _transformed_types = (Tensor,)

    def __init__(self, dtype: Any, scale: bool = False):
        super().__init__()
        if not isinstance(dtype, (dict, dtypes.dtype)):
            raise ValueError(f"dtype must be a dict or a torch.dtype, got {type(dtype)} instead")
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        picture = is_pure_tensor(inpt) or isinstance(inpt, (Image, Video))
        if not isinstance(self.dtype, dict):
            return dispatch.to_dtype(inpt, self.dtype, self.scale) if picture else inpt
        if type(inpt) not in self.dtype and "others" not in self.dtype:
            raise ValueError(f"No dtype was specified for type {type(inpt)}. If you only need to convert the dtype of images "
                             "or videos, you can just pass e.g. dtype=torch.float32. The key of all other types is 'others'.")
        dtype = self.dtype.get(type(inpt), self.dtype.get("others"))
        if dtype is None:
            if self.scale and picture:
                warnings.warn("scale was set to True but no dtype was specified for images or videos: no scaling will be "
                              "done.", stacklevel=2)
            return inpt
        return dispatch.to_dtype(inpt, dtype, self.scale)


class ConvertBoundingBoxFormat(Transform):
    """Boxes in another format."""

    _transformed_types = (BoundingBoxes,)

    def __init__(self, format: Any):
        super().__init__()
        self.format = format

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return points.convert_bounding_box_format(inpt, new_format=self.format)


class ClampBoundingBoxes(Transform):
    """Boxes cut at the edges of their picture; see :func:`clamp_bounding_boxes`."""

    _transformed_types = (BoundingBoxes,)

    def __init__(self, clamping_mode: str | None = "auto"):
        super().__init__()
        self.clamping_mode = clamping_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return points.clamp_bounding_boxes(inpt, clamping_mode=self.clamping_mode)


class SetClampingMode(Transform):
    """Boxes with another clamping mode: "soft", "hard" or None."""

    _transformed_types = (BoundingBoxes,)

    def __init__(self, clamping_mode: str | None):
        super().__init__()
        if clamping_mode not in (None, "soft", "hard"):
            raise ValueError(f"clamping_mode must be soft, hard or None, got {clamping_mode}")
        self.clamping_mode = clamping_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return wrap(inpt, like=inpt, clamping_mode=self.clamping_mode)


def labels_of(inputs: Any) -> Any:
    """What a sample has under ``labels``, or under a name with "label" in it; of a pair, in its second part.

    Raises:
        ValueError: it has nothing of that kind.
    """
    if isinstance(inputs, (tuple, list)):
        inputs = inputs[1]
    if is_pure_tensor(inputs):
        return inputs
    if not isinstance(inputs, Mapping):
        raise ValueError("When using the default labels_getter, the input passed to forward must be a dictionary or a "
                         f"two-tuple whose second item is a dictionary or a tensor, but got {inputs} instead.")
    names = [name for name in inputs if name.lower() == "labels"] or [name for name in inputs if "label" in name.lower()]
    if not names:
        raise ValueError("Could not infer where the labels are in the sample. Try passing a callable as the labels_getter "
                         "parameter? If there are no labels in the sample by design, pass labels_getter=None.")
    return inputs[names[0]]


def labels_in(sample: Any, getter: Any) -> Sequence[Any]:
    """The tensors that a function of a sample says are its labels; "default": those of :func:`labels_of`, None: none.

    Raises:
        ValueError: something that is no tensor.
    """
    getter = labels_of if getter == "default" else getter
    found = None if getter is None else getter(sample)
    labels = () if found is None else (found,) if isinstance(found, Tensor) else found
    if not isinstance(labels, (tuple, list)) or not all(isinstance(one, Tensor) for one in labels):
        raise ValueError(f"The labels in the input to forward() must be a tensor or None, got {type(found)} instead.")
    return labels


class SanitizeBoundingBoxes(Transform):
    """Leaves boxes out that are too small or not in the picture, with their labels and masks.

    Args:
        min_size, min_area: of the boxes that stay.
        labels_getter: a function of a sample that returns its labels, one tensor or several; None for none. By default they
            are looked for under ``labels``.

    Raises:
        ValueError: sizes below 1; a sample without boxes, or with another number of labels.
    """

    def __init__(self, min_size: float = 1.0, min_area: float = 1.0, labels_getter: Any = "default"):
        super().__init__()
        for name, value in (("min_size", min_size), ("min_area", min_area)):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}.")
        if not (labels_getter in ("default", None) or callable(labels_getter)):
            raise ValueError(f"labels_getter should either be 'default', a callable, or None, but got {labels_getter}.")
        self.min_size, self.min_area, self.labels_getter = min_size, min_area, labels_getter

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        labels = labels_in(sample, self.labels_getter)
        flat = leaves(sample)
        boxes = get_bounding_boxes(flat)
        for one in labels:
            if len(one) != len(boxes):
                raise ValueError(f"Number of boxes (shape={boxes.shape}) must match the number of labels. Found labels with "
                                 f"shape={one.shape}.")
        _, valid = points.sanitize_bounding_boxes(boxes, min_size=self.min_size, min_area=self.min_area)
        return rebuilt(sample, iter([self._kept(one, valid, labels) for one in flat]))

    def _kept(self, inpt: Any, valid: Any, labels: Any) -> Any:
        if isinstance(inpt, (BoundingBoxes, Mask)):
            belongs = isinstance(inpt, BoundingBoxes) or (inpt.ndim and len(inpt) == len(valid))
            return wrap(inpt[valid], like=inpt) if belongs else inpt
        return inpt[valid] if any(inpt is one for one in labels) else inpt
