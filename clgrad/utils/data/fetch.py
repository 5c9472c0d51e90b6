"""Fetching one batch from a data set: the same in the main process and in workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from clgrad.utils.data.collate import default_collate
from clgrad.utils.data.dataset import IterableDataset, Subset, TensorDataset


class Fetcher:
    """Makes batches of a data set.

    Args:
        batched: whether ``fetch`` is asked for several samples at once.
        drop_last: leave out an incomplete last batch of an IterableDataset.
        streaming: whether samples come by iteration. Default: those of an IterableDataset do.
    """

    def __init__(self, dataset: Any, collate_fn: Callable, batched: bool, drop_last: bool, streaming: bool | None = None):
        self.dataset, self.collate_fn, self.batched, self.drop_last = dataset, collate_fn, batched, drop_last
        streaming = isinstance(dataset, IterableDataset) if streaming is None else streaming
        self._samples: Iterator[Any] | None = iter(dataset) if streaming else None

    def fetch(self, wanted: Any) -> Any:
        """The batch of these samples (of an IterableDataset: as many as ``wanted`` has); StopIteration at the end."""
        if self._samples is not None:
            return self._next_of_stream(wanted)
        if not self.batched:
            return self.collate_fn(self.dataset[wanted])
        dataset = self.dataset
        if self.collate_fn is default_collate and type(dataset) in (TensorDataset, Subset):
            made = dataset.batch(wanted)
            if made is not None:
                return made
        several = getattr(dataset, "__getitems__", None)
        return self.collate_fn(several(wanted) if callable(several) else [dataset[index] for index in wanted])

    def _next_of_stream(self, wanted: Any) -> Any:
        assert self._samples is not None
        if not self.batched:
            return self.collate_fn(next(self._samples))
        samples = list(islice(self._samples, len(wanted)))
        if not samples or (self.drop_last and len(samples) < len(wanted)):
            raise StopIteration
        return self.collate_fn(samples)
