"""Pipes that make batches and resolve them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from clgrad.utils.data.datapipes.datapipe import (
    DataChunk,
    IterDataPipe,
    check_batch_size,
    check_callable,
    functional_datapipe,
)


@functional_datapipe("batch")
class BatcherIterDataPipe(IterDataPipe):
    """Batches of ``batch_size`` elements; the last one may be smaller, or is dropped.

    Args:
        wrapper_class: makes a batch from a list.
    """

    def __init__(self, datapipe: IterDataPipe, batch_size: int, drop_last: bool = False, wrapper_class: type = DataChunk):
        check_batch_size(batch_size)
        self.datapipe, self.batch_size, self.drop_last, self.wrapper_class = datapipe, batch_size, drop_last, wrapper_class

    def __iter__(self) -> Iterator[Any]:
        batch: list = []
        for data in self.datapipe:
            batch.append(data)
            if len(batch) == self.batch_size:
                yield self.wrapper_class(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.wrapper_class(batch)

    def __len__(self) -> int:
        count = len(self.datapipe)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


@functional_datapipe("unbatch")
class UnBatcherIterDataPipe(IterDataPipe):
    """The elements of batches, of ``unbatch_level`` levels of them, -1 for all."""

    def __init__(self, datapipe: IterDataPipe, unbatch_level: int = 1):
        self.datapipe, self.unbatch_level = datapipe, unbatch_level

    def __iter__(self) -> Iterator[Any]:
        if self.unbatch_level < -1:
            raise ValueError("unbatch_level must be -1 or >= 0")
        for data in self.datapipe:
            yield from self._resolved(data, self.unbatch_level)

    def _resolved(self, data: Any, level: int) -> Iterator[Any]:
        if level == 0 or (level < 0 and not isinstance(data, list)):
            yield data
            return
        if not isinstance(data, list):
            raise IndexError(f"unbatch_level {self.unbatch_level} exceeds the depth of the DataPipe")
        for element in data:
            yield from self._resolved(element, level - 1 if level > 0 else level)


@functional_datapipe("groupby")
class GrouperIterDataPipe(IterDataPipe):
    """Lists of elements for which ``group_key_fn`` is the same, given away when they are full or the pipe ends.

    Args:
        keep_key: pairs of the key and the list are given.
        buffer_size: how many elements wait at most; then the largest group is given away.
        group_size: of a full group; without it a group ends with the pipe, or with its place in the buffer.
        guaranteed_group_size: a group that is given away early must have so many elements.
        drop_remaining: a smaller one is left out then, instead of an error.
    """

    def __init__(self, datapipe: IterDataPipe, group_key_fn: Callable, *, keep_key: bool = False, buffer_size: int = 10000,
                 group_size: int | None = None, guaranteed_group_size: int | None = None, drop_remaining: bool = False):
        check_callable(group_key_fn)
        if guaranteed_group_size is not None and not (group_size is not None and 0 < guaranteed_group_size <= group_size):
            raise AssertionError("guaranteed_group_size must be > 0 and <= group_size and group_size must be set")
        self.datapipe, self.group_key_fn, self.keep_key, self.buffer_size = datapipe, group_key_fn, keep_key, buffer_size
        self.group_size, self.drop_remaining = group_size, drop_remaining
        self.guaranteed_group_size = group_size if guaranteed_group_size is None else guaranteed_group_size

    def _given(self, key: Any, group: list) -> Any:
        return (key, group) if self.keep_key else group

    def __iter__(self) -> Iterator[Any]:
        groups: dict[Any, list] = {}
        waiting = 0
        for data in self.datapipe:
            key = self.group_key_fn(data)
            groups.setdefault(key, []).append(data)
            waiting += 1
            if len(groups[key]) == self.group_size:
                waiting -= len(groups[key])
                yield self._given(key, groups.pop(key))
            elif waiting == self.buffer_size:
                largest = max(groups, key=lambda k: len(groups[k]))
                group = groups.pop(largest)
                waiting -= len(group)
                if self.guaranteed_group_size is None or len(group) >= self.guaranteed_group_size:
                    yield self._given(largest, group)
                elif not self.drop_remaining:
                    raise RuntimeError("Failed to group items", str(group))
        for key, group in groups.items():
            yield self._given(key, group)
