"""Lists of tensors as one vector each, and other names of ``torch._utils``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from clgrad import cat


def _flatten_dense_tensors(tensors: Sequence[Any]) -> Any:
    """The elements of all tensors, one after the other."""
    return cat([t.reshape(-1) for t in tensors])


def _unflatten_dense_tensors(flat: Any, tensors: Sequence[Any]) -> tuple:
    """Views of a vector with the tensors' shapes."""
    return tuple(part.view(t.shape) for part, t in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True))


def _take_tensors(tensors: Iterable[Any], size_limit: int) -> Iterator[list[Any]]:
    """The tensors in groups of one dtype that hold at least ``size_limit`` bytes, the last of each dtype fewer."""
    groups: dict[Any, list[Any]] = {}
    for t in tensors:
        group = groups.setdefault(t.dtype, [])
        if group and sum(x.numel() * x.element_size() for x in (*group, t)) > size_limit:
            yield group
            group = groups[t.dtype] = []
        group.append(t)
    yield from (group for group in groups.values() if group)


def _element_size(dtype: Any) -> int:
    """The bytes that an element takes."""
    return dtype.itemsize
