"""``torchvision.tv_tensors``: tensors that say what of a picture they are, so that transforms know what to do with them.

What is computed with one is a plain tensor; copies, and tensors moved to a device or dtype, stay what they are.

>>> import clgrad
>>> from clgrad.vision import tv_tensors
>>> boxes = tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(10, 20))
>>> type(boxes.clone()).__name__, type(boxes + 1).__name__
('BoundingBoxes', 'Tensor')
>>> tv_tensors.wrap(boxes + 1, like=boxes)
BoundingBoxes([[2, 3, 4, 5]], format=BoundingBoxFormat.XYXY, canvas_size=(10, 20), clamping_mode=soft)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np

from clgrad.autograd.listening import without_classes
from clgrad.creation import as_tensor
from clgrad.optional import is_picture
from clgrad.tensor import Tensor

__all__ = ["BoundingBoxFormat", "BoundingBoxes", "Image", "KeyPoints", "Mask", "TVTensor", "Video",
           "is_rotated_bounding_format", "set_return_type", "wrap"]

# What makes of a tensor of a class another one of it.
_KEPT = {"clone", "to", "detach", "requires_grad_", "pin_memory"}


class TVTensor(Tensor):
    """Base of the classes; a class of one's own needs no more than to be derived from it."""

    _stays = False

    @staticmethod
    def _made(data: Any, dtype: Any, device: Any, requires_grad: bool | None) -> Any:
        if is_picture(data):
            values = np.array(data)
            data = values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))
        kept = requires_grad if requires_grad is not None else isinstance(data, Tensor) and data.requires_grad
        return as_tensor(data, dtype=dtype, device=device).requires_grad_(kept)

    @classmethod
    def wrap(cls, tensor: Any, like: Any, **kwargs: Any) -> Any:
        """``tensor`` as one of this class, with what ``like`` knows."""
        return tensor.as_subclass(cls)

    @classmethod
    def _wrapped(cls, output: Any, like: Any) -> Any:
        if isinstance(output, (tuple, list)):
            return type(output)(cls._wrapped(part, like) for part in output)
        return cls.wrap(output, like) if isinstance(output, Tensor) else output

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if not all(issubclass(cls, one) for one in types):
            return NotImplemented
        with without_classes():
            output = func(*args, **(kwargs or {}))
            if TVTensor._stays or (getattr(func, "__name__", "") in _KEPT and isinstance(args[0], cls)):
                like = next(one for one in (*args, *(kwargs or {}).values()) if isinstance(one, cls))
                return cls._wrapped(output, like)
            return output.as_subclass(Tensor) if isinstance(output, TVTensor) else output

    def __deepcopy__(self, memo: dict) -> Any:
        return self.detach().clone().requires_grad_(self.requires_grad)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        with without_classes():
            text = repr(self.as_subclass(Tensor))
        known = "".join(f", {name}={value}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}{text.removeprefix('tensor')[:-1]}{known})"


class Image(TVTensor):
    """Pictures (..., channels, height, width), of a tensor or what makes one, or of a picture of Pillow's; two dimensions
    become one channel.

    Raises:
        ValueError: fewer than two dimensions.
    """

    def __new__(cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        made = cls._made(data, dtype, device, requires_grad)
        if made.ndim < 2:
            raise ValueError(f"Image needs two or more dimensions, got {made.ndim}")
        return (made.unsqueeze(0) if made.ndim == 2 else made).as_subclass(cls)


class Video(TVTensor):
    """Pictures in time (..., time, channels, height, width).

    Raises:
        ValueError: fewer than four dimensions.
    """

    def __new__(cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        made = cls._made(data, dtype, device, requires_grad)
        if made.ndim < 4:
            raise ValueError(f"Video needs four or more dimensions, got {made.ndim}")
        return made.as_subclass(cls)


class Mask(TVTensor):
    """Masks (..., height, width), of a tensor or of a picture of Pillow's."""

    def __new__(cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        return cls._made(data, dtype, device, requires_grad).as_subclass(cls)


class BoundingBoxFormat(Enum):
    """What the columns of boxes are: corners, a corner or the centre with the sides; with R turned ones."""

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"
    XYWHR = "XYWHR"
    CXCYWHR = "CXCYWHR"
    XYXYXYXY = "XYXYXYXY"


def format_of(format: Any) -> BoundingBoxFormat:
    """A format, also from its name."""
    return BoundingBoxFormat[format.upper()] if isinstance(format, str) else format


def is_rotated_bounding_format(format: Any) -> bool:
    """Whether boxes of a format can be turned."""
    if not isinstance(format, (str, BoundingBoxFormat)):
        raise ValueError(f"format should be str or BoundingBoxFormat, got {type(format)}")
    return format_of(format) not in (BoundingBoxFormat.XYXY, BoundingBoxFormat.XYWH, BoundingBoxFormat.CXCYWH)


class BoundingBoxes(TVTensor):
    """Boxes (n, 4), of turned ones (n, 5) or (n, 8).

    Args:
        format: a :class:`BoundingBoxFormat` or its name.
        canvas_size: height and width of the picture.
        clamping_mode: "soft" and "hard": transforms cut boxes at the picture's edges; None: they do not.

    Raises:
        ValueError: more than two dimensions, another clamping mode, turned boxes of whole numbers.
    """

    format: BoundingBoxFormat
    canvas_size: tuple[int, int]
    clamping_mode: str | None

    def __new__(cls, data: Any, *, format: Any, canvas_size: tuple[int, int], clamping_mode: str | None = "soft",
                dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        made = cls._made(data, dtype, device, requires_grad)
        if not made.is_floating_point() and is_rotated_bounding_format(format):
            raise ValueError(f"Rotated bounding boxes should be floating point tensors, got {made.dtype}.")
        return cls._with(made, format, canvas_size, clamping_mode)

    @classmethod
    def _with(cls, tensor: Any, format: Any, canvas_size: tuple[int, int], clamping_mode: str | None) -> Any:
        if tensor.ndim not in (1, 2):
            raise ValueError(f"Expected a 1D or 2D tensor, got {tensor.ndim}D")
        if clamping_mode not in (None, "hard", "soft"):
            raise ValueError(f"clamping_mode must be None, hard or soft, got {clamping_mode}.")
        made = (tensor.unsqueeze(0) if tensor.ndim == 1 else tensor).as_subclass(cls)
        made.format, made.canvas_size, made.clamping_mode = format_of(format), tuple(canvas_size), clamping_mode
        return made

    @classmethod
    def wrap(cls, tensor: Any, like: Any, **kwargs: Any) -> Any:
        """``tensor`` as boxes; ``format``, ``canvas_size`` and ``clamping_mode`` are given, or those of ``like``."""
        return cls._with(tensor, *(kwargs.get(name, getattr(like, name))
                                   for name in ("format", "canvas_size", "clamping_mode")))


class KeyPoints(TVTensor):
    """Points (..., 2) of x and y.

    Args:
        canvas_size: height and width of the picture.

    Raises:
        ValueError: the last dimension is not 2.
    """

    canvas_size: tuple[int, int]

    def __new__(cls, data: Any, *, canvas_size: tuple[int, int], dtype: Any = None, device: Any = None,
                requires_grad: bool | None = None) -> Any:
        made = cls._made(data, dtype, device, requires_grad)
        if made.ndim and made.shape[-1] != 2:
            raise ValueError(f"Expected a tensor of shape (..., 2), not {tuple(made.shape)}")
        return cls._with(made, canvas_size)

    @classmethod
    def _with(cls, tensor: Any, canvas_size: tuple[int, int]) -> Any:
        made = tensor.as_subclass(cls)
        made.canvas_size = tuple(canvas_size)
        return made

    @classmethod
    def wrap(cls, tensor: Any, like: Any, **kwargs: Any) -> Any:
        """``tensor`` as points; ``canvas_size`` is given, or that of ``like``."""
        return cls._with(tensor, kwargs.get("canvas_size", like.canvas_size))


def wrap(wrappee: Any, *, like: Any, **kwargs: Any) -> Any:
    """A tensor as one of the class of ``like``, with what ``like`` knows where nothing else is given."""
    with without_classes():
        return type(like).wrap(wrappee, like, **kwargs)


class _Restored:
    """Sets what was set before when a ``with`` block ends."""

    def __init__(self, before: bool):
        self._before = before

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: Any) -> None:
        TVTensor._stays = self._before


def set_return_type(return_type: str) -> _Restored:
    """What is computed with tensors of these classes is "Tensor" (as it is at first) or "TVTensor": from now on, or within a
    ``with`` block.

    Raises:
        ValueError: another text.
    """
    if return_type.lower() not in ("tensor", "tvtensor"):
        raise ValueError(f"return_type must be 'TVTensor' or 'Tensor', got {return_type}")
    before, TVTensor._stays = TVTensor._stays, return_type.lower() == "tvtensor"
    return _Restored(before)
