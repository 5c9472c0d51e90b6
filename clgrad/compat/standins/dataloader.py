"""``torch.utils.data.dataloader`` with the private names that programs take from it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from clgrad.utils.data.collate import default_collate, default_convert
from clgrad.utils.data.fetch import Fetcher
from clgrad.utils.data.iterators import InProcess, WithWorkers
from clgrad.utils.data.iterators import Iteration as _BaseDataLoaderIter
from clgrad.utils.data.loader import DataLoader
from clgrad.utils.data.worker import get_worker_info

__all__ = ["DataLoader", "_BaseDataLoaderIter", "_DatasetKind", "_MultiProcessingDataLoaderIter",
           "_SingleProcessDataLoaderIter", "default_collate", "default_convert", "get_worker_info"]


# The type of a function that makes a batch of a list of samples.
_collate_fn_t = Callable[[list[Any]], Any]


class _DatasetKind(enum.IntEnum):
    Map = 0
    Iterable = 1


class _Foreign(InProcess):
    """Batches of a program's own loader, which has only what PyTorch's iterators ask for."""

    def __init__(self, loader: Any):
        self.loader, self._orders = loader, iter(loader._index_sampler)
        self._fetcher = Fetcher(loader.dataset, loader.collate_fn, loader._auto_collation, loader.drop_last,
                                streaming=loader._dataset_kind == _DatasetKind.Iterable)

    def __next__(self) -> Any:
        return self._advance()


class _OfAnyLoader(type):
    """A class whose call makes an iterator of a kind that suits the loader."""

    own: type

    def __call__(cls, loader: Any) -> Any:
        return cls.own(loader) if isinstance(loader, DataLoader) else _Foreign(loader)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.own)


class _SingleProcessDataLoaderIter(metaclass=_OfAnyLoader):
    own = InProcess


class _MultiProcessingDataLoaderIter(metaclass=_OfAnyLoader):
    own = WithWorkers
