"""Pipes that take, change, choose and reorder elements."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from clgrad.utils.data.collate import default_collate
from clgrad.utils.data.datapipes.datapipe import IterDataPipe, check_callable, functional_datapipe
from clgrad.utils.data.datapipes.shuffling import Shuffling
from clgrad.utils.data.sampler import SequentialSampler
from clgrad.utils.data.worker import get_worker_info


class IterableWrapperIterDataPipe(IterDataPipe):
    """An iterable as a pipe.

    Args:
        deepcopy: each pass goes over a copy, where one can be made, so that nothing of the iterable is used up.
    """

    def __init__(self, iterable: Iterable[Any], deepcopy: bool = True):
        self.iterable, self.deepcopy = iterable, deepcopy

    def __iter__(self) -> Iterator[Any]:
        source = self.iterable
        if self.deepcopy:
            with contextlib.suppress(TypeError):  # a generator
                source = copy.deepcopy(source)
        yield from source

    def __len__(self) -> int:
        return len(self.iterable)  # type: ignore[arg-type]


class _Columns:
    """Applies a function to some columns of an element, a tuple, a list or a dict."""

    def __init__(self, function: Callable, columns: Any):
        check_callable(function)
        self.function, self.columns = function, columns

    def __call__(self, data: Any) -> Any:
        if self.columns is None:
            return self.function(data)
        if isinstance(self.columns, (list, tuple)):
            return self.function(*[data[column] for column in self.columns])
        return self.function(data[self.columns])


@functional_datapipe("map")
class MapperIterDataPipe(IterDataPipe):
    """``fn`` of each element, or of some of its columns.

    Args:
        input_col: index or key of the column that ``fn`` gets; a list of them for several arguments.
        output_col: where the result goes, -1 for a new last column; without it the result takes the place of the first
            of the columns that it was made of, and the others are left out.
    """

    def __init__(self, datapipe: IterDataPipe, fn: Callable, input_col: Any = None, output_col: Any = None):
        self.datapipe, self.fn, self.input_col = datapipe, fn, input_col
        if input_col is None and output_col is not None:
            raise ValueError("`output_col` must be None when `input_col` is None.")
        if isinstance(output_col, (list, tuple)):
            if len(output_col) > 1:
                raise ValueError("`output_col` must be a single-element list or tuple")
            output_col = output_col[0]
        self.output_col, self._apply = output_col, _Columns(fn, input_col)

    def _changed(self, data: Any) -> Any:
        result = self._apply(data)
        if self.input_col is None:
            return result
        changed = list(data) if isinstance(data, tuple) else copy.copy(data)
        if self.output_col == -1:
            changed.append(result)
        elif self.output_col is not None:
            changed[self.output_col] = result
        else:
            columns = list(self.input_col) if isinstance(self.input_col, (list, tuple)) else [self.input_col]
            changed[columns[0]] = result
            # The last first, so that the places of the others stay.
            for column in sorted(columns[1:], reverse=True):
                del changed[column]
        return tuple(changed) if isinstance(data, tuple) else changed

    def __iter__(self) -> Iterator[Any]:
        for data in self.datapipe:
            yield self._changed(data)

    def __len__(self) -> int:
        return len(self.datapipe)  # type: ignore[arg-type]


@functional_datapipe("collate")
class CollatorIterDataPipe(MapperIterDataPipe):
    """Batches put together by a function, ``default_collate`` if there is none given."""

    def __init__(self, datapipe: IterDataPipe, conversion: Callable | None = default_collate,
                 collate_fn: Callable | None = None):
        super().__init__(datapipe, fn=collate_fn or conversion or default_collate)


@functional_datapipe("filter")
class FilterIterDataPipe(IterDataPipe):
    """The elements for which ``filter_fn``, of them or of some of their columns, is True."""

    def __init__(self, datapipe: IterDataPipe, filter_fn: Callable, input_col: Any = None):
        self.datapipe, self.filter_fn, self.input_col = datapipe, filter_fn, input_col
        self._apply = _Columns(filter_fn, input_col)

    def __iter__(self) -> Iterator[Any]:
        for data in self.datapipe:
            kept = self._apply(data)
            if not isinstance(kept, bool):
                raise ValueError(f"Boolean output is required for `filter_fn` of FilterIterDataPipe, got {type(kept)}")
            if kept:
                yield data


class SamplerIterDataPipe(IterDataPipe):
    """What a sampler of the pipe draws."""

    def __init__(self, datapipe: IterDataPipe, sampler: type = SequentialSampler, sampler_args: tuple | None = None,
                 sampler_kwargs: dict | None = None):
        self.datapipe = datapipe
        self.sampler = sampler(*(sampler_args or ()), data_source=datapipe, **(sampler_kwargs or {}))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)


@functional_datapipe("shuffle")
class ShufflerIterDataPipe(Shuffling, IterDataPipe):
    """The elements in an order that is drawn for each pass, from a buffer of ``buffer_size`` of them.

    Args:
        unbatch_level: so many levels of batches are resolved first.
    """

    def __init__(self, datapipe: IterDataPipe, *, buffer_size: int = 10000, unbatch_level: int = 0):
        if buffer_size <= 0:
            raise AssertionError("buffer_size should be larger than 0")
        self.datapipe = datapipe if unbatch_level == 0 else datapipe.unbatch(unbatch_level=unbatch_level)
        self.buffer_size = buffer_size

    def __iter__(self) -> Iterator[Any]:
        if not self.shuffles:
            yield from self.datapipe
            return
        draw = random.Random(self.take_seed())
        buffer: list = []
        for data in self.datapipe:
            if len(buffer) < self.buffer_size:
                buffer.append(data)
                continue
            place = draw.randint(0, len(buffer) - 1)
            data, buffer[place] = buffer[place], data
            yield data
        while buffer:
            yield buffer.pop(draw.randint(0, len(buffer) - 1))

    def __len__(self) -> int:
        return len(self.datapipe)  # type: ignore[arg-type]


@functional_datapipe("sharding_filter")
class ShardingFilterIterDataPipe(IterDataPipe):
    """Of every ``num_of_instances`` elements the one whose turn is ours: each worker of a loader takes its part."""

    def __init__(self, source_datapipe: IterDataPipe):
        self.source_datapipe = source_datapipe
        self._share: tuple[int, int] | None = None

    def apply_sharding(self, num_of_instances: int, instance_id: int) -> None:
        """Says whose part this is, where it is not a loader's worker who asks.

        Raises:
            ValueError: there is no such instance.
        """
        if instance_id >= num_of_instances:
            raise ValueError(f"instance_id({instance_id}) should be smaller than num_of_instances({num_of_instances})")
        self._share = num_of_instances, instance_id

    def is_shardable(self) -> bool:
        """True."""
        return True

    def _parts(self) -> tuple[int, int]:
        worker = get_worker_info()
        return self._share or ((1, 0) if worker is None else (worker.num_workers, worker.id))

    def __iter__(self) -> Iterator[Any]:
        count, own = self._parts()
        for number, data in enumerate(self.source_datapipe):
            if number % count == own:
                yield data

    def __len__(self) -> int:
        (count, own), whole = self._parts(), len(self.source_datapipe)  # type: ignore[arg-type]
        return whole // count + (own < whole % count)
