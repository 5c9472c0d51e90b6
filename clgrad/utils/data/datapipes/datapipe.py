"""What data pipes are: data sets that can be continued by name, as in ``pipe.map(f).batch(4)``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from clgrad.utils.data.dataset import Dataset, IterableDataset, T

__all__ = ["DataChunk", "IterDataPipe", "MapDataPipe", "functional_datapipe"]


class _Pipe:
    """What both kinds share: the steps by their names."""

    functions: ClassVar[dict[str, Callable]]

    @classmethod
    def register_function(cls, function_name: str, function: Callable) -> None:
        """Lets ``pipe.function_name(...)`` call ``function(pipe, ...)``."""
        cls.functions[function_name] = function

    @classmethod
    def register_datapipe_as_function(cls, function_name: str, cls_to_register: type) -> None:
        """Lets ``pipe.function_name(...)`` make a ``cls_to_register(pipe, ...)``.

        Raises:
            Exception: the name is taken.
        """
        if function_name in cls.functions:
            raise Exception(f"Unable to add DataPipe function name {function_name} as it is already taken")
        cls.register_function(function_name, cls_to_register)

    def __getattr__(self, name: str) -> Any:
        function = type(self).functions.get(name)
        if function is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return functools.partial(function, self)

    def __getstate__(self) -> dict:
        return self.__dict__

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return type(self).__qualname__


class IterDataPipe(_Pipe, IterableDataset[T]):
    """A pipe whose elements come one after the other. Subclasses define ``__iter__``.

    >>> from clgrad.utils.data.datapipes.iter import IterableWrapper
    >>> list(IterableWrapper(range(5)).filter(lambda x: x != 2).batch(2))
    [[0, 1], [3, 4]]
    """

    functions: ClassVar[dict[str, Callable]] = {}

    def __add__(self, other: Any) -> Any:
        return self.concat(other)


class MapDataPipe(_Pipe, Dataset[T]):
    """A pipe whose elements are found by their keys. Subclasses define ``__getitem__``, and ``__len__`` if they can."""

    functions: ClassVar[dict[str, Callable]] = {}

    def __add__(self, other: Any) -> Any:
        return self.concat(other)

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):  # type: ignore[arg-type]
            yield self[index]


class functional_datapipe:
    """Decorates a class of pipes: pipes of its kind can be continued by it under this name."""

    def __init__(self, name: str, enable_df_api_tracing: bool = False):
        self.name = name

    def __call__(self, cls: type) -> type:
        for kind in (IterDataPipe, MapDataPipe):
            if issubclass(cls, kind):
                kind.register_datapipe_as_function(self.name, cls)
                return cls
        raise TypeError(f"functional_datapipe: {cls} is neither an IterDataPipe nor a MapDataPipe")


class DataChunk(list):
    """A batch: a list of elements."""

    def __init__(self, items: Iterable[Any]):
        items = list(items)
        super().__init__(items)
        self.items = items

    def as_str(self, indent: str = "") -> str:
        """The batch as a text."""
        return f"{indent}[{', '.join(str(item) for item in self)}]"

    def raw_iterator(self) -> Iterator[Any]:
        """The elements, also of classes that iterate over something else."""
        yield from self.items


def check_pipes(pipes: tuple, kind: type, told: str) -> None:
    """ValueError where there are no pipes, TypeError where one is of another kind."""
    if not pipes:
        raise ValueError("Expected at least one DataPipe, but got nothing")
    if not all(isinstance(pipe, kind) for pipe in pipes):
        raise TypeError(told)


def check_batch_size(size: int) -> None:
    """AssertionError where a batch would hold nothing."""
    if size <= 0:
        raise AssertionError("Batch size is required to be larger than 0!")


def check_callable(function: Any) -> None:
    """TypeError where something else than a function was given."""
    if not callable(function):
        raise TypeError(f"A callable function is expected, but {type(function)} is provided.")
