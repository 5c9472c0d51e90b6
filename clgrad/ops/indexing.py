"""``x[...]`` with integers, slices, None and Ellipsis: views, for reading and for assigning."""

from __future__ import annotations

import operator
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.views import select, slice_view, unsqueeze


def _is_index(item: Any) -> bool:
    if isinstance(item, TensorBase):
        return item.layout.ndim == 0 and item.layout.dtype.category == 1
    return hasattr(item, "__index__") and not isinstance(item, bool)


def is_basic(item: Any) -> bool:
    """Whether an index item selects without reading a tensor of indices."""
    return item is None or item is Ellipsis or isinstance(item, slice) or _is_index(item)


def as_items(index: Any) -> list:
    """The items of an index; a list is one item."""
    return list(index) if isinstance(index, tuple) else [index]


def basic_index(x: Any, index: Any) -> Any:
    """The view that an index of integers, slices, None and Ellipsis stands for."""
    items = _expand_ellipsis(as_items(index), x.layout.ndim)
    dim = 0
    for item in items:
        if item is None:
            x = unsqueeze(x, dim)
            dim += 1
        elif isinstance(item, slice):
            x = _slice(x, dim, item)
            dim += 1
        else:
            x = _select(x, dim, item)
    return x


def _expand_ellipsis(items: list, rank: int) -> list:
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    if used > rank:
        raise IndexError(f"too many indices for tensor of dimension {rank}" if rank else
                         "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ "
                         "to convert a 0-dim tensor to a number")
    if sum(1 for item in items if item is Ellipsis) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    for place, item in enumerate(items):
        if item is Ellipsis:
            return items[:place] + [slice(None)] * (rank - used) + items[place + 1:]
    return items


def _select(x: Any, dim: int, item: Any) -> Any:
    index, size = operator.index(item), x.layout.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return select(x, dim, index)


def _slice(x: Any, dim: int, item: slice) -> Any:
    size = x.layout.shape[dim]
    if item == slice(None):
        return x
    step = 1 if item.step is None else operator.index(item.step)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = item.indices(size)
    return slice_view(x, dim, start if start < size else size, max(0, -(-(stop - start) // step)), step)


def _by_tensor() -> NotImplementedError:
    return NotImplementedError("indexing with masks, tensors or lists of indices is not supported yet; integers, slices, "
                               "None and Ellipsis are")


def get_item(x: Any, index: Any) -> Any:
    """``x[index]``."""
    if all(is_basic(item) for item in as_items(index)):
        found = basic_index(x, index)
        return found if found is not x else FUNCTIONS["alias"](x)
    raise _by_tensor()


def set_item(x: Any, index: Any, value: Any) -> None:
    """``x[index] = value``."""
    if not all(is_basic(item) for item in as_items(index)):
        raise _by_tensor()
    window = basic_index(x, index)
    if isinstance(value, TensorBase):
        shape = value.layout.shape
        while len(shape) > window.layout.ndim and shape[0] == 1:
            value, shape = value.squeeze(0), shape[1:]
        window.copy_(value)
    elif isinstance(value, (int, float)) or not hasattr(value, "__len__"):
        window.fill_(value)
    else:
        window.copy_(FUNCTIONS["tensor"](value, dtype=x.layout.dtype, device=x.layout.device))
