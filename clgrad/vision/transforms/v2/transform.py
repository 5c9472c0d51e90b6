"""The base of transforms of the second generation: which parts of a sample are transformed, and with which numbers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any

from clgrad.nn import Module
from clgrad.ops.random import default_generator
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.transforms import chance, dispatch
from clgrad.vision.tv_tensors import BoundingBoxes, Image, KeyPoints, Mask, TVTensor, Video


def is_pure_tensor(inpt: Any) -> bool:
    """Whether it is a tensor that does not say what of a picture it is."""
    return isinstance(inpt, Tensor) and not isinstance(inpt, TVTensor)


def check_type(obj: Any, types_or_checks: tuple) -> bool:
    """Whether an object is of one of the classes, or one of the functions says so."""
    return any(isinstance(obj, one) if isinstance(one, type) else one(obj) for one in types_or_checks)


def has_any(flat_inputs: list, *types_or_checks: Any) -> bool:
    """Whether one of the objects is of one of the classes."""
    return any(check_type(one, types_or_checks) for one in flat_inputs)


def has_all(flat_inputs: list, *types_or_checks: Any) -> bool:
    """Whether there is an object of each of the classes."""
    return all(has_any(flat_inputs, one) for one in types_or_checks)


def get_bounding_boxes(flat_inputs: list) -> BoundingBoxes:
    """The first boxes.

    Raises:
        ValueError: there are none.
    """
    for one in flat_inputs:
        if isinstance(one, BoundingBoxes):
            return one
    raise ValueError("No bounding boxes were found in the sample")


def _of_sample(flat_inputs: list, kinds: tuple, what: str, found: Callable) -> Any:
    values = {tuple(found(one)) for one in flat_inputs if check_type(one, kinds)}
    if not values:
        raise TypeError(f"No {what} was found in the sample")
    if len(values) > 1:
        raise ValueError(f"Found multiple dimensions in the sample: {sorted(values)}")
    return values.pop()


PICTURES = (is_pure_tensor, is_picture, Image, Video)


def query_size(flat_inputs: list) -> tuple[int, int]:
    """Height and width of what is in a sample.

    Raises:
        TypeError: there is nothing that has them.
        ValueError: they differ.
    """
    return _of_sample(flat_inputs, (*PICTURES, Mask, BoundingBoxes, KeyPoints),
                      "image, video, mask, bounding box or keypoint", dispatch.get_size)


def query_chw(flat_inputs: list) -> tuple[int, int, int]:
    """Channels, height and width of the pictures in a sample; errors as :func:`query_size`."""
    return _of_sample(flat_inputs, PICTURES, "image or video", dispatch.get_dimensions)


def leaves(structure: Any) -> list:
    """What is in a structure of dicts, lists and tuples, in order."""
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, (tuple, list)):
        return [structure]
    return [leaf for part in structure for leaf in leaves(part)]


def rebuilt(structure: Any, values: Iterator) -> Any:
    """The same structure with other things in it."""
    if isinstance(structure, dict):
        made = {key: rebuilt(value, values) for key, value in structure.items()}
        return made if type(structure) is dict else type(structure)(made)
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(rebuilt(part, values) for part in structure))
    if isinstance(structure, (tuple, list)):
        return type(structure)(rebuilt(part, values) for part in structure)
    return next(values)


class Transform(Module):
    """Base of transforms of samples: a picture, or any structure of dicts, lists and tuples with pictures, boxes, masks.

    A subclass defines ``transform``, and ``make_params`` where parts of a sample have numbers in common. Of plain tensors
    only the first is transformed, and none where there is a picture of another kind.

    >>> import clgrad
    >>> class Half(Transform):
    ...     def transform(self, inpt, params):
    ...         return inpt / 2
    >>> Half()({"image": clgrad.tensor([2.0]), "label": clgrad.tensor([6.0])})
    {'image': tensor([1.]), 'label': tensor([6.])}
    """

    _transformed_types: tuple = (Tensor, is_picture)

    def check_inputs(self, flat_inputs: list) -> None:
        """Raises an error where a sample cannot be transformed."""

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        """What :meth:`transform` gets with each part of a sample; ``flat_inputs`` are those that are transformed."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One part of a sample, transformed."""
        raise NotImplementedError

    def _call_kernel(self, functional: Callable, inpt: Any, *args: Any, **kwargs: Any) -> Any:
        """A function of this package; one that is for pictures alone leaves boxes, masks and points as they are."""
        if getattr(functional, "only_pictures", False) and isinstance(inpt, (BoundingBoxes, KeyPoints, Mask)):
            return inpt
        return functional(inpt, *args, **kwargs)

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        self.check_inputs(flat)
        chosen = self._needs_transform_list(flat)
        params = self.make_params([one for one, wanted in zip(flat, chosen, strict=True) if wanted])
        return rebuilt(sample, iter([self.transform(one, params) if wanted else one
                                     for one, wanted in zip(flat, chosen, strict=True)]))

    def _needs_transform_list(self, flat_inputs: list) -> list[bool]:
        takes_plain = not has_any(flat_inputs, Image, Video, is_picture)
        chosen = []
        for one in flat_inputs:
            wanted = check_type(one, self._transformed_types)
            if wanted and is_pure_tensor(one):
                wanted, takes_plain = takes_plain, False
            chosen.append(wanted)
        return chosen

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if not name.startswith("_")
                         and name != "training" and isinstance(value, (bool, int, float, str, tuple, list, enum.Enum)))


class RandomApplied(Transform):
    """Base of transforms that are made with probability ``p``."""

    def __init__(self, p: float = 0.5):
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        super().__init__()
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        if not chance.happens(self.p):
            return inputs if len(inputs) > 1 else inputs[0]
        return super().forward(*inputs)


def of_one_picture(self: Any, flat_inputs: list) -> None:
    """TypeError where a sample has anything but one picture: that changes by tables are made of alone."""
    for one in flat_inputs:
        if isinstance(one, (BoundingBoxes, Mask, KeyPoints)):
            raise TypeError(f"Inputs of type {type(one).__name__} are not supported by {type(self).__name__}()")
    found = sum(self._needs_transform_list(flat_inputs))
    if not found:
        raise TypeError("Found no image in the sample.")
    if found > 1:
        raise TypeError("Auto augment transformations are only properly defined for a single image or video, but found "
                        f"{found}.")


def second(cls: type, kinds: tuple = (Tensor, is_picture), check_inputs: Any = Transform.check_inputs) -> Any:
    """A transform of the first generation, of one picture, as one of samples: each part has the same chances.

    Args:
        kinds: what is transformed.
        check_inputs: the method that looks at samples.
    """
    def forward(self: Any, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        self.check_inputs(flat)
        state = default_generator.get_state()
        made = []
        for one, wanted in zip(flat, self._needs_transform_list(flat), strict=True):
            if wanted:
                default_generator.set_state(state)
                one = cls.forward(self, one)  # type: ignore[attr-defined]
            made.append(one)
        return rebuilt(sample, iter(made))
    return type(cls.__name__, (cls, Transform), {"forward": forward, "_transformed_types": kinds, "__doc__": cls.__doc__,
                                                 "check_inputs": check_inputs, "__module__": "clgrad.vision.transforms.v2"})
