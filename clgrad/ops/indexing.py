"""``x[...]``: integers, slices, None, Ellipsis, masks, tensors, arrays and lists of indices; for reading and assigning.

Integers, slices, None and Ellipsis make a view. What remains is at most one index a dimension of that view (a mask gives
one for each of its dimensions): those are broadcast together, and their dimensions stand where the first of them stood if
they are neighbours, else in front.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, as_view, check_in_place, needs_graph, wrap
from clgrad.autograd.listening import switch
from clgrad.ops.copying import cast, full
from clgrad.ops.masks import Marked, masked_fill_, selected
from clgrad.ops.output import check_disjoint
from clgrad.ops.places import Places, add, check_range, put, read, spread
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.registry import operator as register
from clgrad.ops.strided import as_strided
from clgrad.ops.views import select, slice_view, unsqueeze
from clgrad.shapes import Shape, broadcast_shapes
from clgrad.spec import Spec, spec

_INDICES = (dtypes.int64, dtypes.int32)
_MASKS = (dtypes.bool, dtypes.uint8)
_MANY = 32  # a longer list is never taken for a tuple
_LARGEST_STEP = (1 << 63) - 1


def _is_integer(item: Any) -> bool:
    if isinstance(item, TensorBase):
        return item.spec.ndim == 0 and item.spec.dtype.category == 1 and item.spec.dtype is not dtypes.uint8
    return hasattr(item, "__index__") and not isinstance(item, (bool, np.ndarray))


def is_basic(item: Any) -> bool:
    """Whether an index item selects without reading a tensor of indices."""
    return item is None or item is Ellipsis or isinstance(item, slice) or _is_integer(item)


def as_items(index: Any) -> list:
    """The items of an index. A list that holds more than numbers is a tuple's equal, as in PyTorch."""
    if isinstance(index, tuple):
        return list(index)
    if isinstance(index, list) and len(index) < _MANY and any(
            item is None or item is Ellipsis or isinstance(item, (TensorBase, slice, tuple, list, np.ndarray))
            for item in index):
        return list(index)
    return [index]


def _too_many(rank: int) -> IndexError:
    return IndexError(f"too many indices for tensor of dimension {rank}" if rank else
                      "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ "
                      "to convert a 0-dim tensor to a number")


def _select(x: Any, dim: int, item: Any, named: int) -> Any:
    """``x.select(dim, item)``; errors call the dimension ``named``, as it was before others were taken away."""
    index, size = operator.index(item), x.spec.shape[dim] if dim < x.spec.ndim else 0  # behind a second ellipsis
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {named} with size {size}")
    return select(x, dim, index)


def _slice(x: Any, dim: int, item: slice) -> Any:
    if item == slice(None) or dim >= x.spec.ndim:
        return x
    size = x.spec.shape[dim]
    step = 1 if item.step is None else operator.index(item.step)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, _ = item.indices(size)
    step = min(step, _LARGEST_STEP)
    return slice_view(x, dim, start if start < size else size, max(0, -(-(stop - start) // step)), step)


def _as_tensor(item: Any, place: Any) -> Any:
    """An index item that is neither basic nor True or False, as a tensor of indices or a mask."""
    if not isinstance(item, TensorBase):
        if isinstance(item, (str, bytes)):
            raise TypeError(f"an index of type {type(item).__name__} is not possible: invalid data type "
                            f"'{type(item).__name__}'")
        if not isinstance(item, (Sequence, np.ndarray, np.generic)) or isinstance(item, np.floating):
            raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
                             f"indices (got {type(item).__name__})")
        array = isinstance(item, (np.ndarray, np.generic))
        item = FUNCTIONS["tensor"](item if array or not isinstance(item, range) else list(item))
        if array and item.spec.dtype.category == 1 or not item.spec.numel:
            item = cast(item, dtypes.int64)
    kind = item.spec.dtype
    if kind not in _INDICES and kind not in _MASKS:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return item if item.spec.device is place else item.to(place)


def _truth(value: bool, x: Any) -> Any:
    """True or False as the index of a new dimension of size 1."""
    return full((int(value),), 0, dtypes.int64, x.spec.device)


def _warn_of_bytes(mask: Any, stacklevel: int) -> None:
    if mask.spec.dtype is dtypes.uint8:
        warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                      UserWarning, stacklevel=stacklevel)


def _window(x: Any, index: Any) -> Any:
    """``x[index]`` of integers, slices and an ellipsis as one view, where nobody records or listens; None where it is not so
    simple, or wrong.

    One view after the other, each a node where they are recorded, takes twice as long for one item and six times for four.
    """
    own = x.spec
    items = index if index.__class__ is tuple else (index,)
    if needs_graph(x) or switch.watched or not items:
        return None
    shape: list = []
    strides: list = []
    offset, dim, open_ended = x.offset, 0, False
    for item in items:
        kind = item.__class__
        if item is Ellipsis:
            end = own.ndim - len(items) + 1 + dim
            if end < dim or open_ended:
                return None
            shape += own.shape[dim:end]
            strides += own.strides[dim:end]
            dim, open_ended = end, True
            continue
        if dim >= own.ndim:
            return None
        size, step = own.shape[dim], own.strides[dim]
        if kind is int and -size <= item < size:
            offset += item % size * step
        elif kind is slice and (item.step is None or item.step.__class__ is int and 0 < item.step <= size):
            places = range(*item.indices(size))
            offset += places.start * step
            shape.append(len(places))
            strides.append(step * places.step)
        else:
            return None
        dim += 1
    made = wrap(x.memory, offset, spec((*shape, *own.shape[dim:]), (*strides, *own.strides[dim:]), own.dtype, own.device))
    return as_view(made, x, partial(get_item, index=index))


class Parsed:
    """An index taken apart: a view of x, and for some of its dimensions a tensor of indices, or a mask from there on."""

    def __init__(self, x: Any, index: Any):
        self.tensors: dict[int, Any] = {}
        self.view = _window(x, index)
        if self.view is not None:
            return
        items = [item if isinstance(item, bool) or is_basic(item) else _as_tensor(item, x.spec.device)
                 for item in as_items(index)]
        used = sum(self._span(item) for item in items)
        if used > x.spec.ndim:
            raise _too_many(x.spec.ndim)
        rest, dim, taken = x.spec.ndim - used, 0, 0
        for item in items:
            if item is None:
                x = unsqueeze(x, dim)
                dim += 1
            elif item is Ellipsis:
                dim += rest
                taken += rest
            elif isinstance(item, slice):
                x = _slice(x, dim, item)
                dim += 1
            elif isinstance(item, (TensorBase, bool)):
                x, dim = self._tensor(x, dim, item, taken)
            else:
                x = _select(x, dim, item, taken)
            taken += self._span(item)
        self.view = x

    @staticmethod
    def _span(item: Any) -> int:
        """How many dimensions of x an item takes."""
        if item is None or item is Ellipsis or isinstance(item, bool):
            return 0
        return item.spec.ndim if isinstance(item, TensorBase) and item.spec.dtype in _MASKS else 1

    def _tensor(self, x: Any, dim: int, item: Any, named: int) -> tuple[Any, int]:
        if _is_integer(item):
            return _select(x, dim, item, named), dim
        if isinstance(item, bool) or (item.spec.dtype in _MASKS and not item.spec.ndim):
            x = unsqueeze(x, dim)
            self.tensors[dim] = _truth(bool(item), x)
            return x, dim + 1
        self.tensors[dim] = item
        if item.spec.dtype not in _MASKS:
            return x, dim + 1
        _warn_of_bytes(item, 3)
        _check_mask_shape(x, dim, item)
        return x, dim + item.spec.ndim

    @property
    def mask(self) -> Any:
        """The mask over all of the view, where the index is nothing else."""
        found = self.tensors.get(0)
        if len(self.tensors) == 1 and found is not None and found.spec.dtype in _MASKS and (
                found.spec.ndim == self.view.spec.ndim):
            return found
        return None


def _check_mask_shape(x: Any, dim: int, mask: Any) -> None:
    for d, size in enumerate(mask.spec.shape):
        if dim + d >= x.spec.ndim or x.spec.shape[dim + d] != size:
            raise IndexError(f"The shape of the mask {list(mask.spec.shape)} at index {d} does not match the shape of "
                             f"the indexed tensor {list(x.spec.shape)} at index {dim + d}")


def places_of(name: str, x: Any, tensors: dict[int, Any]) -> Places:
    """The places that tensors of indices, and masks, in dimensions of ``x`` name."""
    unique = len(tensors) == 1 and all(t.spec.dtype in _MASKS for t in tensors.values())
    indices: dict[int, Any] = {}
    for dim, t in sorted(tensors.items()):
        if t.spec.dtype in _MASKS:
            indices.update({dim + d: column for d, column in enumerate(FUNCTIONS["unbind"](Marked(t).places(), 1))})
        else:
            size = x.spec.shape[dim]
            if not size and t.spec.numel:
                raise IndexError("index is out of bounds for dimension with size 0")
            check_range(t, size, _bounds(dim, size), negative=True)
            indices[dim] = t
    axes, shape, own, common, lead, after = _geometry(x.spec, tuple(indices), *[t.spec for t in indices.values()])
    return Places(name, shape, own, axes, [spread(t, common, lead, after, shape) for t in indices.values()],
                  negative=True, unique=unique)


@lru_cache(4096)
def _geometry(x: Spec, axes: Shape, *indices: Spec) -> tuple:
    """How the dimensions of a result come from those of x and of index tensors in its dimensions ``axes``."""
    try:
        common = broadcast_shapes(*[t.shape for t in indices])
    except RuntimeError:
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                         + ", ".join(str(list(t.shape)) for t in indices)) from None
    rest = [d for d in range(x.ndim) if d not in axes]
    lead = axes[0] if axes == tuple(range(axes[0], axes[-1] + 1)) else 0
    own = (*rest[:lead], *(None,) * len(common), *rest[lead:])
    shape = (*(x.shape[d] for d in rest[:lead]), *common, *(x.shape[d] for d in rest[lead:]))
    return axes, shape, own, tuple(common), lead, len(rest) - lead


def _bounds(dim: int, size: int) -> Any:
    return lambda index: IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def get_item(x: Any, index: Any) -> Any:
    """``x[index]``."""
    parsed = Parsed(x, index)
    if not parsed.tensors:
        return parsed.view if parsed.view is not x else FUNCTIONS["alias"](x)
    if parsed.mask is not None:
        return selected(parsed.view, parsed.mask)
    return read(parsed.view, places_of("index", parsed.view, parsed.tensors), "Index")


def set_item(x: Any, index: Any, value: Any) -> None:
    """``x[index] = value``."""
    parsed = Parsed(x, index)
    view, own = parsed.view, x.spec
    if not isinstance(value, TensorBase):
        if not isinstance(value, (int, float, np.integer)):
            raise TypeError(f"can't assign a {type(value).__name__} to a {x.type()}")
        _set_number(parsed, value)
        return
    if value.spec.device is not own.device:
        value = value.to(own.device)
    if not parsed.tensors:
        while value.spec.ndim > view.spec.ndim and value.spec.shape[0] == 1:
            value = value.squeeze(0)
        if value.memory is x.memory and value.spec.shape != view.spec.shape:
            value = value.clone()  # one of the elements that it is spread over may be its own
        view.copy_(value)
    elif parsed.mask is not None and value.spec.numel == 1:
        masked_fill_(view, _as_mask(parsed.mask), value.reshape(()))
    else:
        _assign(view, places_of("index_put_", view, parsed.tensors), value)


def _as_mask(mask: Any) -> Any:
    return mask if mask.spec.dtype is dtypes.bool else cast(mask, dtypes.bool)


def _set_number(parsed: Parsed, value: Any) -> None:
    view, kind = parsed.view, parsed.view.spec.dtype
    if kind is not kind.compute:
        value = kind.rounded(value)  # beyond the dtype's range: infinite
    if not parsed.tensors:
        check_in_place(view, False)
        view.fill_(value)
    elif parsed.mask is not None:
        masked_fill_(view, _as_mask(parsed.mask), value)
    else:
        _write(put, view, value, places_of("index_put_", view, parsed.tensors))


def _write(work: Callable, x: Any, value: Any, places: Places) -> Any:
    """``work``, which is :func:`put` or :func:`add`, in place; where ``x`` repeats elements, in the memory that it shows."""
    if not x.spec.repeats:
        return work("IndexPut", x, value, places, in_place=True)
    warnings.warn("Use of index_put_ on expanded tensors is deprecated. Please clone() the tensor before performing this "
                  "operation. This also applies to advanced indexing e.g. tensor[indices] = tensor", stacklevel=5)
    own = x.spec
    numbers = as_strided(FUNCTIONS["arange"](own.extent, device=own.device), own.shape, own.strides)
    memory = as_strided(x, (own.extent,), (1,), x.offset)
    work("IndexPut", memory, value, places_of("index_put_", memory, {0: read(numbers, places, "Index")}), in_place=True)
    return x


def _fitted(value: Any, shape: Shape) -> Any:
    """The values without leading dimensions of size 1 that the places do not have; RuntimeError where they do not fit."""
    was = list(value.spec.shape)
    while value.spec.ndim > len(shape) and value.spec.shape[0] == 1:
        value = value.squeeze(0)
    lead = len(shape) - value.spec.ndim
    if lead < 0 or any(a not in (1, b) for a, b in zip(value.spec.shape, shape[lead:], strict=True)):
        raise RuntimeError(f"shape mismatch: value tensor of shape {was} cannot be broadcast to indexing result of shape "
                           f"{list(shape)}")
    return value


def _check_dtypes(x: Any, values: Any) -> None:
    if values.spec.dtype is not x.spec.dtype:
        raise RuntimeError("Index put requires the source and destination dtypes match, got "
                           f"{dtypes.type_name(x.spec.dtype)} for the destination and "
                           f"{dtypes.type_name(values.spec.dtype)} for the source.")


def _assign(x: Any, places: Places, value: Any) -> None:
    fitted = _fitted(value, places.shape)
    _check_dtypes(x, value)
    _write(put, x, fitted, places)


def _index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool, in_place: bool) -> Any:
    own = input.spec
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"index_put(): argument 'indices' must be tuple of Tensors, not {type(indices).__name__}")
    tensors: dict[int, Any] = {}
    dim = 0
    for item in indices:
        if item is None:
            dim += 1
            continue
        t = tensors[dim] = _as_tensor(item, own.device)
        masked = t.spec.dtype in _MASKS
        dim += t.spec.ndim if masked else 1
        if dim > own.ndim:
            raise IndexError(f"too many indices for tensor of dimension {own.ndim} (got {dim})")
        if masked:
            _warn_of_bytes(t, 5)
            _check_mask_shape(input, dim - t.spec.ndim, t)
    if not tensors:
        _check_dtypes(input, values)
        result = input if in_place else input.clone()
        return result.add_(values) if accumulate else result.copy_(values)
    if in_place:
        check_disjoint("index_put_", input, values, *tensors.values())
    places = places_of("index_put_", input, tensors)
    fitted = _fitted(values, places.shape)
    _check_dtypes(input, values)
    work = add if accumulate else put
    if in_place:
        return _write(work, input, fitted.to(own.device), places)
    return work("IndexPut", input, fitted.to(own.device), places)


@register("index_put")
def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """``input`` with ``values`` put at (with ``accumulate``: added at) the places that tensors of indices name.

    >>> import clgrad
    >>> places = (clgrad.tensor([0, 2, 0]),)
    >>> clgrad.zeros(3).index_put(places, clgrad.tensor([1., 2., 3.]), accumulate=True)
    tensor([4., 0., 2.])
    """
    return _index_put(input, indices, values, accumulate, False)


@register("index_put_")
def index_put_(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """:func:`index_put` in place."""
    return _index_put(input, indices, values, accumulate, True)
