"""Pipes whose elements are found by their keys."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from clgrad.utils.data.datapipes.datapipe import (
    DataChunk,
    IterDataPipe,
    MapDataPipe,
    check_batch_size,
    check_callable,
    check_pipes,
    functional_datapipe,
)
from clgrad.utils.data.datapipes.shuffling import Shuffling

__all__ = ["Batcher", "Concater", "Mapper", "SequenceWrapper", "Shuffler", "Zipper"]


class SequenceWrapperMapDataPipe(MapDataPipe):
    """A sequence or a mapping as a pipe.

    Args:
        deepcopy: it is copied, so that changes of it are not seen.
    """

    def __init__(self, sequence: Any, deepcopy: bool = True):
        self.sequence = copy.deepcopy(sequence) if deepcopy else sequence

    def __getitem__(self, index: Any) -> Any:
        return self.sequence[index]

    def __len__(self) -> int:
        return len(self.sequence)


def _same(data: Any) -> Any:
    return data


@functional_datapipe("map")
class MapperMapDataPipe(MapDataPipe):
    """``fn`` of each element."""

    def __init__(self, datapipe: MapDataPipe, fn: Callable = _same):
        check_callable(fn)
        self.datapipe, self.fn = datapipe, fn

    def __len__(self) -> int:
        return len(self.datapipe)  # type: ignore[arg-type]

    def __getitem__(self, index: Any) -> Any:
        return self.fn(self.datapipe[index])


@functional_datapipe("batch")
class BatcherMapDataPipe(MapDataPipe):
    """Batches of ``batch_size`` neighbours."""

    def __init__(self, datapipe: MapDataPipe, batch_size: int, drop_last: bool = False, wrapper_class: type = DataChunk):
        check_batch_size(batch_size)
        self.datapipe, self.batch_size, self.drop_last, self.wrapper_class = datapipe, batch_size, drop_last, wrapper_class

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"Index {index} is out of bound.")
        end = min((index + 1) * self.batch_size, len(self.datapipe))  # type: ignore[arg-type]
        return self.wrapper_class([self.datapipe[place] for place in range(index * self.batch_size, end)])

    def __len__(self) -> int:
        count = len(self.datapipe)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


@functional_datapipe("concat")
class ConcaterMapDataPipe(MapDataPipe):
    """The elements of several pipes, of one after those of the other."""

    def __init__(self, *datapipes: MapDataPipe):
        check_pipes(datapipes, MapDataPipe, "Expected all inputs to be `MapDataPipe`")
        self.datapipes = datapipes

    def __getitem__(self, index: int) -> Any:
        place = index
        for pipe in self.datapipes:
            if place < len(pipe):  # type: ignore[arg-type]
                return pipe[place]
            place -= len(pipe)  # type: ignore[arg-type]
        raise IndexError(f"Index {index} is out of range.")

    def __len__(self) -> int:
        return sum(len(pipe) for pipe in self.datapipes)  # type: ignore[arg-type]


@functional_datapipe("zip")
class ZipperMapDataPipe(MapDataPipe):
    """Tuples of the elements that stand at the same place of several pipes."""

    def __init__(self, *datapipes: MapDataPipe):
        check_pipes(datapipes, MapDataPipe, "Expected all inputs to be `MapDataPipe`")
        self.datapipes = datapipes

    def __getitem__(self, index: Any) -> tuple:
        found = []
        for pipe in self.datapipes:
            try:
                found.append(pipe[index])
            except IndexError as error:
                raise IndexError(f"Index {index} is out of range for one of the input MapDataPipes {pipe}.") from error
        return tuple(found)

    def __len__(self) -> int:
        return min(len(pipe) for pipe in self.datapipes)  # type: ignore[arg-type]


class ShufflerIterDataPipe(Shuffling, IterDataPipe):
    """The elements in an order drawn for each pass, as an IterDataPipe.

    Args:
        indices: the keys, 0 to the length if there are none given.
    """

    def __init__(self, datapipe: MapDataPipe, *, indices: list | None = None):
        self.datapipe = datapipe
        self.indices = list(range(len(datapipe))) if indices is None else indices  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        indices = self.indices
        if self.shuffles:
            indices = random.Random(self.take_seed()).sample(indices, len(indices))[::-1]
        for index in indices:
            yield self.datapipe[index]

    def __len__(self) -> int:
        return len(self.datapipe)  # type: ignore[arg-type]


MapDataPipe.register_datapipe_as_function("shuffle", ShufflerIterDataPipe)
Batcher, Concater, Mapper = BatcherMapDataPipe, ConcaterMapDataPipe, MapperMapDataPipe
SequenceWrapper, Shuffler, Zipper = SequenceWrapperMapDataPipe, ShufflerIterDataPipe, ZipperMapDataPipe
