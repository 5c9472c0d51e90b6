"""Batches from samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.creation import as_tensor, tensor
from clgrad.ops import copying
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor


def _on_host(t: Any) -> bool:
    return t.device.type == "cpu" and not t.requires_grad


def stacked(tensors: Sequence[Any]) -> Any:
    """``stack``; tensors of the host are put together on the host, without a launch for each."""
    first = tensors[0]
    if all(_on_host(t) and t.layout.shape == first.layout.shape and t.layout.dtype is first.layout.dtype
           for t in tensors):
        values = np.stack([copying.to_array(t) for t in tensors])
        return copying.from_array(values, first.dtype, first.device)
    return FUNCTIONS["stack"](list(tensors))


def gathered(source: Any, indices: Sequence[int]) -> Any:
    """The rows of a tensor that ``indices`` name, as one tensor."""
    if _on_host(source):
        values = copying.to_array(source)[np.asarray(indices, np.int64)]
        return copying.from_array(np.ascontiguousarray(values), source.dtype, source.device)
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


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples as one batch: tensors, arrays and numbers are stacked, dicts and sequences collated item by item.

    Raises:
        RuntimeError: sequences of different lengths.
        TypeError: samples of a type that cannot be put together; give the loader a ``collate_fn``.

    >>> import clgrad
    >>> clgrad.utils.data.default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ('a', 'b')]
    """
    return _collate(list(batch), default_collate)


def _collate(batch: list, again: Callable) -> Any:
    first = batch[0]
    if isinstance(first, Tensor):
        return stacked(batch)
    if isinstance(first, (np.ndarray, np.generic)):
        if np.asarray(first).dtype.kind in "SUOM":
            raise TypeError(f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
                            "found "
                            f"{np.asarray(first).dtype}")
        return as_tensor(np.stack([np.asarray(item) for item in batch]))
    if isinstance(first, float):
        return tensor(batch, dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        pairs = {key: again([item[key] for item in batch]) for key in first}
        try:
            return type(first)(pairs)  # type: ignore[call-arg]
        except TypeError:
            return pairs
    if isinstance(first, (tuple, list)):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = list(zip(*batch, strict=True))
        if hasattr(first, "_fields"):
            return type(first)(*[again(column) for column in columns])
        return [column if isinstance(column[0], (str, bytes)) else again(column) for column in columns]
    raise TypeError(f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
                    f"{type(first)}")
