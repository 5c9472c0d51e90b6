"""Batches from samples."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.creation import as_tensor, tensor
from clgrad.ops import copying
from clgrad.ops.registry import FUNCTIONS
from clgrad.runtime import host_array
from clgrad.tensor import Tensor

np_str_obj_array_pattern = re.compile(r"[SaUO]")  # dtypes of arrays that make no tensors
default_collate_err_msg_format = ("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
                                  "found {}")


def _on_host(t: Any) -> bool:
    return t.device.type == "cpu" and not t.requires_grad


def stacked(tensors: Sequence[Any]) -> Any:
    """``stack``; tensors of the host are put together on the host, without a launch for each."""
    first, own = tensors[0], tensors[0].spec
    if _on_host(first) and all(not t._requires_grad and (t.spec is own or (
            t.spec.device is own.device and t.spec.shape == own.shape and t.spec.dtype is own.dtype)) for t in tensors):
        arrays = [copying.to_array(t) for t in tensors]
        values = host_array((len(arrays), *own.shape), arrays[0].dtype)
        np.stack(arrays, out=values)
        return copying.from_array(values, first.dtype, first.device)
    return FUNCTIONS["stack"](list(tensors))


def gathered(source: Any, indices: Sequence[int]) -> Any:
    """The rows of a tensor that ``indices`` name, as one tensor."""
    if _on_host(source):
        values, places = copying.to_array(source), np.asarray(indices, np.int64)
        if len(places) and not -len(values) <= places.min() <= places.max() < len(values):
            raise IndexError(f"an index of {places.min()} to {places.max()} is out of bounds for dimension 0 with size "
                             f"{len(values)}")
        rows = host_array((len(places), *values.shape[1:]), values.dtype)
        values.take(places, 0, rows, "wrap")
        return copying.from_array(rows, source.dtype, source.device)
    return FUNCTIONS["stack"]([source[n] for n in indices])


def default_convert(data: Any) -> Any:
    """Arrays, in whatever nested in, as tensors; the rest as it is."""
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUOM" else as_tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(value) for value in data])
    if isinstance(data, (list, tuple)):
        return [default_convert(value) for value in data]
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: Mapping[Any, Callable] | None = None) -> Any:
    """Samples as one batch, with a function for each class of items.

    Args:
        collate_fn_map: by class (or tuple of classes) a function ``f(batch, *, collate_fn_map)``. A class's own entry is
            taken, else the first that the item is an instance of. Mappings, named tuples and sequences without an entry are
            collated item by item, and keep their class where it can be made.

    Raises:
        RuntimeError: sequences of different lengths.
        TypeError: items of a class that nothing is known for.
    """
    first, known = batch[0], collate_fn_map or {}
    made = known.get(type(first)) or next((known[kind] for kind in known if isinstance(first, kind)), None)
    if made is not None:
        return made(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        return _like(first, {key: collate([item[key] for item in batch], collate_fn_map=collate_fn_map) for key in first})
    if not isinstance(first, Sequence):
        raise TypeError(default_collate_err_msg_format.format(type(first)))
    if any(len(item) != len(first) for item in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)]
    if isinstance(first, tuple):
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    return _like(first, columns)


def _like(first: Any, items: Any) -> Any:
    """Collated items in a container of the samples' class; a plain one where that cannot be made."""
    try:
        if isinstance(first, MutableMapping):
            return _updated(copy.copy(first), items.items())
        if isinstance(first, MutableSequence):
            return _updated(copy.copy(first), enumerate(items))
        return type(first)(items)
    except TypeError:
        return items


def _updated(container: Any, items: Iterable[tuple[Any, Any]]) -> Any:
    for key, value in items:
        container[key] = value
    return container


def collate_tensor_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Tensors, stacked."""
    return stacked(batch)


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Arrays, as a stacked tensor."""
    if np_str_obj_array_pattern.search(batch[0].dtype.str) is not None:
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return as_tensor(np.stack([np.asarray(item) for item in batch]))


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """NumPy's numbers, as a tensor of their dtype."""
    return as_tensor(np.stack([np.asarray(item) for item in batch]))


def collate_float_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Numbers, as a tensor of float64."""
    return tensor(list(batch), dtype=dtypes.float64)


def collate_int_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Integers, as a tensor of int64."""
    return tensor(list(batch))


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    """Texts, as they are."""
    return batch


# What default_collate goes by; programs add their own classes.
default_collate_fn_map: dict[Any, Callable] = {
    Tensor: collate_tensor_fn, np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn, float: collate_float_fn, int: collate_int_fn,
    str: collate_str_fn, bytes: collate_str_fn}


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples as one batch: tensors, arrays and numbers are stacked, dicts and sequences collated item by item.

    ``default_collate_fn_map`` says how, class by class.

    Raises:
        RuntimeError: sequences of different lengths.
        TypeError: samples of a type that cannot be put together; give the loader a ``collate_fn``.

    >>> import clgrad
    >>> clgrad.utils.data.default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ('a', 'b')]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
