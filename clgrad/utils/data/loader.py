"""``DataLoader``: goes through a data set in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from clgrad.utils.data.collate import default_collate, default_convert
from clgrad.utils.data.dataset import IterableDataset, Subset, TensorDataset
from clgrad.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler


def get_worker_info() -> None:
    """None: samples are loaded in the main process."""
    return None


class DataLoader:
    """Batches of a data set.

    Args:
        dataset: samples by number, or an IterableDataset.
        batch_size: samples of a batch; None for single samples. Default: 1.
        shuffle: take them in random order, a new one each time. Default: False.
        sampler, batch_sampler: the order, as numbers or as lists of numbers; instead of ``shuffle``.
        num_workers: processes that load samples; only 0 is supported yet.
        collate_fn: makes a batch of a list of samples. Default: :func:`default_collate`.
        drop_last: leave an incomplete last batch out. Default: False.
        generator: the stream of random numbers; by default the one that ``clgrad.manual_seed`` begins.
        pin_memory, timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers: accepted;
            they have no effect without worker processes.

    Raises:
        ValueError: arguments that exclude each other, a batch size that is not positive.
        NotImplementedError: ``num_workers`` above 0.

    >>> import clgrad
    >>> from clgrad.utils.data import DataLoader
    >>> next(iter(DataLoader([1, 2, 3], batch_size=2)))
    tensor([1, 2])
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None,
                 batch_sampler: Any = None, num_workers: int = 0, collate_fn: Callable | None = None,
                 pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable | None = None, multiprocessing_context: Any = None, generator: Any = None, *,
                 prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = "",
                 in_order: bool = True):
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if num_workers > 0:
            raise NotImplementedError(f"DataLoader: num_workers={num_workers} is not supported yet; use num_workers=0, "
                                      "which loads samples in the main process")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        self.dataset, self.num_workers, self.pin_memory, self.timeout = dataset, num_workers, pin_memory, timeout
        self.worker_init_fn, self.generator = worker_init_fn, generator
        self.prefetch_factor, self.persistent_workers = prefetch_factor, persistent_workers
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            if shuffle:
                raise ValueError(f"DataLoader with IterableDataset: expected unspecified shuffle option, but got "
                                 f"shuffle={shuffle}")
            if sampler is not None or batch_sampler is not None:
                given = "sampler" if sampler is not None else "batch_sampler"
                raise ValueError(f"DataLoader with IterableDataset: expected unspecified {given} option, but got "
                                 f"{given}={sampler if sampler is not None else batch_sampler}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
                                 "drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        elif batch_size is not None and (not isinstance(batch_size, int) or batch_size <= 0):
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = (
            batch_size, drop_last, sampler, batch_sampler)
        batched = batch_sampler is not None or (self._iterable and batch_size is not None)
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            return self._stream()
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[index]) for index in self.sampler)
        return (self._batch(indices) for indices in self.batch_sampler)

    def _batch(self, indices: list[int]) -> Any:
        dataset = self.dataset
        if self.collate_fn is default_collate and type(dataset) in (TensorDataset, Subset):
            made = dataset.batch(indices)
            if made is not None:
                return made
        several = getattr(dataset, "__getitems__", None)
        samples = several(indices) if callable(several) else [dataset[index] for index in indices]
        return self.collate_fn(samples)

    def _stream(self) -> Iterator[Any]:
        if self.batch_size is None:
            yield from map(self.collate_fn, self.dataset)
            return
        samples: list = []
        for sample in self.dataset:
            samples.append(sample)
            if len(samples) == self.batch_size:
                yield self.collate_fn(samples)
                samples = []
        if samples and not self.drop_last:
            yield self.collate_fn(samples)

    def __len__(self) -> int:
        """How many batches there are."""
        if self._iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)
