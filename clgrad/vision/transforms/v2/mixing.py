"""Transforms of batches that mix each entry with the one before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clgrad.autograd.listening import without_classes
from clgrad.nn.functional import one_hot
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.transforms import chance
from clgrad.vision.transforms.v2.kinds import labels_of
from clgrad.vision.transforms.v2.transform import PICTURES, Transform, has_any, leaves, query_size, rebuilt
from clgrad.vision.tv_tensors import BoundingBoxes, KeyPoints, Mask, TVTensor, Video, wrap


class _Mixing(Transform):
    """Base of the two; ``transform`` gets batches of pictures alone."""

    _transformed_types = PICTURES

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Any = "default"):
        super().__init__()
        if not (labels_getter in ("default", None) or callable(labels_getter)):
            raise ValueError(f"labels_getter should either be 'default', a callable, or None, but got {labels_getter}.")
        self.alpha, self.num_classes = float(alpha), num_classes
        self._labels_getter: Callable = labels_of if labels_getter == "default" else labels_getter or (lambda sample: None)

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        if has_any(flat, is_picture, BoundingBoxes, Mask, KeyPoints):
            raise ValueError(f"{type(self).__name__}() does not support PIL images, bounding boxes, keypoints and masks.")
        labels = self._labels_getter(sample)
        self._check_labels(labels)
        chosen = [wanted and one is not labels for one, wanted in zip(flat, self._needs_transform_list(flat), strict=True)]
        pictures = [one for one, wanted in zip(flat, chosen, strict=True) if wanted]
        for one in pictures:
            dims = 5 if isinstance(one, Video) else 4
            if one.ndim != dims:
                raise ValueError(f"Expected a batched input with {dims} dims, but got {one.ndim} dimensions instead.")
            if len(one) != len(labels):
                raise ValueError("The batch size of the image or video does not match the batch size of the labels: "
                                 f"{len(one)} != {len(labels)}.")
        params = self.make_params(pictures)
        return rebuilt(sample, iter([self._labels(one, params["lam"]) if one is labels else self._mixed(one, params)
                                     if wanted else one for one, wanted in zip(flat, chosen, strict=True)]))

    def _check_labels(self, labels: Any) -> None:
        if not isinstance(labels, Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        if labels.ndim not in (1, 2):
            raise ValueError("labels should be index based with shape (batch_size,) or probability based with shape "
                             f"(batch_size, num_classes), but got a tensor of shape {labels.shape} instead.")
        if labels.ndim == 1 and self.num_classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based (1D)")
        if labels.ndim == 2 and self.num_classes not in (None, labels.shape[1]):
            raise ValueError("When passing 2D labels, the number of elements in last dimension must match num_classes: "
                             f"{labels.shape[1]} != {self.num_classes}. You can Leave num_classes to None.")

    def _labels(self, labels: Any, share: float) -> Any:
        shares = labels if self.num_classes is None or labels.ndim == 2 else one_hot(labels, self.num_classes)
        shares = shares if shares.is_floating_point() else shares.float()
        return share * shares + (1 - share) * shares.roll(1, 0)

    def _mixed(self, inpt: Any, params: dict[str, Any]) -> Any:
        with without_classes():
            made = self.transform(inpt.as_subclass(Tensor), params)
            return wrap(made, like=inpt) if isinstance(inpt, TVTensor) else made


class MixUp(_Mixing):
    """Each picture of a batch blended with the one before it, and the labels as well (Zhang et al. 2018).

    Args:
        alpha: both parameters of the Beta distribution that gives the picture's own share.
        num_classes: needed where labels are numbers of classes (n); they become shares (n, classes).
        labels_getter: a function of a sample that returns its labels. By default they are the second part of a pair, or under
            ``labels``.

    Raises:
        ValueError: parts other than batches of pictures, labels that are no tensor of one or two dimensions, or that do not
            fit ``num_classes`` or the pictures.

    >>> import clgrad
    >>> pictures, labels = MixUp(num_classes=3)(clgrad.rand(4, 3, 8, 8), clgrad.tensor([0, 1, 2, 1]))
    >>> labels.shape, round(labels.sum().item(), 4)
    (torch.Size([4, 3]), 4.0)
    """

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        return {"lam": float(chance.stream().beta(self.alpha, self.alpha))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        mixed = params["lam"] * inpt + (1 - params["lam"]) * inpt.roll(1, 0)
        return mixed.to(inpt.dtype)


class CutMix(_Mixing):
    """A rectangle of each picture of a batch taken from the one before it, and as much of its label (Yun et al. 2019).

    Arguments and errors as of :class:`MixUp`.
    """

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        draw = chance.stream()
        side = 0.5 * math.sqrt(1.0 - float(draw.beta(self.alpha, self.alpha)))
        x, y = int(draw.integers(0, width)), int(draw.integers(0, height))
        left, right = max(x - int(side * width), 0), min(x + int(side * width), width)
        top, bottom = max(y - int(side * height), 0), min(y + int(side * height), height)
        return {"box": (left, top, right, bottom), "lam": 1.0 - (right - left) * (bottom - top) / (width * height)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        left, top, right, bottom = params["box"]
        made = inpt.clone()
        made[..., top:bottom, left:right] = inpt.roll(1, 0)[..., top:bottom, left:right]
        return made
