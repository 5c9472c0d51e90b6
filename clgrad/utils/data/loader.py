"""``DataLoader``: goes through a data set in batches."""

from __future__ import annotations

import multiprocessing
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, Generic, TypeVar

from clgrad.utils.data.collate import default_collate, default_convert
from clgrad.utils.data.datapipes.datapipe import IterDataPipe
from clgrad.utils.data.dataset import IterableDataset
from clgrad.utils.data.graph_settings import apply_shuffle_settings
from clgrad.utils.data.iterators import InProcess, WithWorkers
from clgrad.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed

T = TypeVar("T")

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class DataLoader(Generic[T]):
    """Batches of a data set.

    Args:
        dataset: samples by number, or an IterableDataset.
        batch_size: samples of a batch; None for single samples. Default: 1.
        shuffle: take them in random order, a new one each time. Default: False.
        sampler, batch_sampler: the order, as numbers or as lists of numbers; instead of ``shuffle``.
        num_workers: processes that load batches ahead of time; 0 loads them here when they are asked for. Default: 0.
        collate_fn: makes a batch of a list of samples. Default: :func:`default_collate`.
        pin_memory, pin_memory_device: accepted; memory of the host needs no pinning.
        drop_last: leave an incomplete last batch out. Default: False.
        timeout: seconds to wait for a worker's batch; 0 waits as long as the worker lives. Default: 0.
        worker_init_fn: called in every worker with its number, after seeding.
        multiprocessing_context: how workers are started: ``"spawn"``, ``"forkserver"``, ``"fork"`` or a context of
            multiprocessing. By default ``forkserver`` where the data set can be pickled and the program's file has an
            ``if __name__ == "__main__":``; otherwise workers are forked, and cannot use OpenCL: where the data set
            needs it, a warning says so, and batches are made in this process.
        generator: the stream of random numbers; by default the one that ``clgrad.manual_seed`` begins.
        prefetch_factor: batches that each worker makes ahead. Default: 2.
        persistent_workers: keep the workers when an epoch ends. Default: False.
        in_order: batches come in the order of the sampler; False takes the one that is ready first. Default: True.

    Worker ``n`` of an epoch has the seed ``s + n`` in ``random``, NumPy and clgrad, with ``s`` drawn from ``generator``.
    An exception in a worker is raised here with its traceback.

    Raises:
        ValueError: arguments that exclude each other, a batch size that is not positive.
        RuntimeError: a worker ended by itself, or took longer than ``timeout``.

    >>> import clgrad
    >>> from clgrad.utils.data import DataLoader
    >>> next(iter(DataLoader([1, 2, 3], batch_size=2)))
    tensor([1, 2])
    """

    __initialized = False  # by this name programs say that they set what else is fixed, as PyTorch's loader lets them
    _here = False

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None,
                 batch_sampler: Any = None, num_workers: int = 0, collate_fn: Callable | None = None,
                 pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable | None = None, multiprocessing_context: Any = None, generator: Any = None, *,
                 prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = "",
                 in_order: bool = True):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        self.dataset, self.num_workers, self.pin_memory, self.timeout = dataset, num_workers, pin_memory, timeout
        self.pin_memory_device, self.in_order = pin_memory_device, in_order
        self.worker_init_fn, self.generator = worker_init_fn, generator
        self.multiprocessing_context = multiprocessing_context
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.persistent_workers = persistent_workers
        self._iterator: WithWorkers | None = None
        self._iterable = isinstance(dataset, IterableDataset)
        self._told_length: int | None = None
        if isinstance(dataset, IterDataPipe):
            self.dataset = dataset = apply_shuffle_settings(dataset, shuffle)
        if self._iterable:
            if shuffle and not isinstance(dataset, IterDataPipe):
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
        self._auto_collation = batch_sampler is not None or (self._iterable and batch_size is not None)
        self.collate_fn = collate_fn or (default_collate if self._auto_collation else default_convert)
        self.__initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after DataLoader is initialized")
        object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Any]:
        if not self.num_workers or self._here:
            return InProcess(self)
        if not self.persistent_workers:
            return WithWorkers(self)
        if self._iterator is not None and self._iterator.alive:
            self._iterator.restart()
        else:
            self._iterator = WithWorkers(self)
        return self._iterator

    def orders(self) -> Iterable[Any]:
        """What each batch consists of, as :meth:`Fetcher.fetch` takes it."""
        if not self._iterable:
            return self.sampler if self.batch_sampler is None else self.batch_sampler
        return repeat(None if self.batch_size is None else range(self.batch_size))

    def load_here(self) -> None:
        """Lets this process make the batches from the next epoch on, whatever ``num_workers`` says."""
        self._here = True

    def draw_seed(self) -> int:
        """The seed of an epoch's workers."""
        return draw_seed(self.generator)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_iterator": None}

    def __len__(self) -> int:
        """How many batches there are."""
        if self._iterable:
            count = len(self.dataset)
            if self.batch_size is not None:
                count = count // self.batch_size if self.drop_last else -(-count // self.batch_size)
            self._told_length = count
            return count
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def check_length(self, count: int) -> None:
        """Warns where an IterableDataset has given more batches than it was said to have."""
        if self._told_length is not None and count > self._told_length:
            hint = ("For multiprocessing data-loading, this could be caused by not properly configuring the IterableDataset "
                    "replica at each worker: all workers go through the whole data set unless it asks get_worker_info() "
                    "which part is theirs." if self.num_workers else "")
            warnings.warn(f"Length of IterableDataset {self.dataset} was reported to be {self._told_length} (when accessing "
                          f"len(dataloader)), but {count} samples have been fetched. {hint}",
                          stacklevel=4 if self.num_workers else 3)

    def check_worker_number_rationality(self) -> None:
        """Accepted for programs that call it."""


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool,
                   context: Any) -> None:
    """ValueError or TypeError for arguments about worker processes that make no sense together."""
    if operator.index(num_workers) < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0:
        if prefetch_factor is not None:
            raise ValueError("prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to "
                             "enable multiprocessing, otherwise set prefetch_factor to None.")
        if persistent_workers:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if context is not None:
            raise ValueError("multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
                             "but got num_workers=0")
        return
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if isinstance(context, str) and context not in multiprocessing.get_all_start_methods():
        raise ValueError(f"multiprocessing_context option should specify a valid start method in "
                         f"{multiprocessing.get_all_start_methods()}, but got multiprocessing_context='{context}'")
    if context is not None and not isinstance(context, str) and not hasattr(context, "get_start_method"):
        raise TypeError("multiprocessing_context option should be a valid context object or a string specifying the "
                        f"start method, but got multiprocessing_context={context}")
