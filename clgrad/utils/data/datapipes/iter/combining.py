"""Pipes made of several, and several made of one."""

from __future__ import annotations

import copy
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from clgrad.utils.data.datapipes.datapipe import IterDataPipe, check_callable, check_pipes, functional_datapipe

_COPIES = {None: lambda data: data, "shallow": copy.copy, "deep": copy.deepcopy}


@functional_datapipe("concat")
class ConcaterIterDataPipe(IterDataPipe):
    """The elements of several pipes, of one after those of the other."""

    def __init__(self, *datapipes: IterDataPipe):
        check_pipes(datapipes, IterDataPipe, "Expected all inputs to be `IterDataPipe`")
        self.datapipes = datapipes

    def __iter__(self) -> Iterator[Any]:
        for pipe in self.datapipes:
            yield from pipe

    def __len__(self) -> int:
        return sum(len(pipe) for pipe in self.datapipes)  # type: ignore[arg-type]


@functional_datapipe("zip")
class ZipperIterDataPipe(IterDataPipe):
    """Tuples of an element of each of several pipes, until the shortest ends."""

    def __init__(self, *datapipes: IterDataPipe):
        check_pipes(datapipes, IterDataPipe, "All inputs are required to be `IterDataPipe` for `ZipIterDataPipe`.")
        self.datapipes = datapipes

    def __iter__(self) -> Iterator[Any]:
        yield from zip(*self.datapipes, strict=False)

    def __len__(self) -> int:
        return min(len(pipe) for pipe in self.datapipes)  # type: ignore[arg-type]


@functional_datapipe("mux")
class MultiplexerIterDataPipe(IterDataPipe):
    """One element of each of several pipes in turn, until the shortest ends."""

    def __init__(self, *datapipes: IterDataPipe):
        self.datapipes = datapipes

    def __iter__(self) -> Iterator[Any]:
        for row in zip(*self.datapipes, strict=False):
            yield from row

    def __len__(self) -> int:
        return min(len(pipe) for pipe in self.datapipes) * len(self.datapipes)  # type: ignore[arg-type]


class _Source:
    """A pipe that several others share. What one of them has seen and another not waits in the other's queue."""

    def __init__(self, name: str, datapipe: IterDataPipe, count: int, buffer_size: int):
        if count < 1:
            raise ValueError(f"Expected `num_instances` larger than 0, but {count} is found")
        if buffer_size < 0:
            warnings.warn(f"Unlimited buffer size is set for `{name}`, please be aware of OOM risk", UserWarning,
                          stacklevel=3)
        self.name, self.datapipe, self.count, self.buffer_size = name, datapipe, count, buffer_size
        self._restart()

    def _restart(self) -> None:
        self.begun: set[int] = set()
        self.queues: list[deque] = [deque() for _ in range(self.count)]
        self.iterator: Iterator[Any] | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "iterator": None, "begun": set(), "queues": [deque() for _ in range(self.count)]}

    def targets(self, data: Any) -> list[int]:
        """The queues that an element goes into."""
        return list(range(self.count))

    def waiting(self) -> int:
        """How many elements are kept."""
        return max(len(queue) for queue in self.queues)

    def elements(self, own: int) -> Iterator[Any]:
        """The elements of one of the pipes. A second pass of it begins a new one of all."""
        if own in self.begun:
            self._restart()
        self.begun.add(own)
        if self.iterator is None:
            self.iterator = iter(self.datapipe)
        iterator, queues = self.iterator, self.queues
        while True:
            while queues[own]:
                yield queues[own].popleft()
                if queues is not self.queues:
                    raise RuntimeError("This iterator has been invalidated, because another pass over the same pipe began.")
            try:
                data = next(iterator)
            except StopIteration:
                return
            for target in self.targets(data):
                queues[target].append(data)
            if 0 <= self.buffer_size < self.waiting() - bool(queues[own]):
                raise BufferError(f"{self.name} buffer overflow, buffer size {self.buffer_size} is insufficient.")


class _Sorted(_Source):
    """A source whose elements each go to one pipe, the one that ``classify`` says."""

    def __init__(self, name: str, datapipe: IterDataPipe, count: int, buffer_size: int, classify: Callable,
                 drop_none: bool):
        super().__init__(name, datapipe, count, buffer_size)
        self.classify, self.drop_none = classify, drop_none

    def targets(self, data: Any) -> list[int]:
        """The queue that an element goes into, none where it is dropped."""
        target = self.classify(data)
        if target is None and self.drop_none:
            return []
        if target is None or not 0 <= target < self.count:
            raise ValueError(f"Output of the classification fn should be between 0 and {self.count - 1}. {target} is "
                             "returned.")
        return [target]

    def waiting(self) -> int:
        """How many elements are kept."""
        return sum(len(queue) for queue in self.queues)


class _ChildDataPipe(IterDataPipe):
    """One of the pipes that share a source."""

    def __init__(self, source: _Source, number: int, copied: Callable = _COPIES[None]):
        self.source, self.number, self.copied = source, number, copied

    def __iter__(self) -> Iterator[Any]:
        return map(self.copied, self.source.elements(self.number))

    def __len__(self) -> int:
        if isinstance(self.source, _Sorted):
            raise TypeError(f"{self.source.name} instance doesn't have valid length")
        return len(self.source.datapipe)  # type: ignore[arg-type]


@functional_datapipe("fork")
class ForkerIterDataPipe(IterDataPipe):
    """A list of pipes that each give all elements of one.

    Args:
        buffer_size: by how many elements one of them may be ahead of the others, -1 for any number.
        copy: "shallow" or "deep": what is given away is a copy.
    """

    def __new__(cls, datapipe: IterDataPipe, num_instances: int, buffer_size: int = 1000, copy: str | None = None) -> Any:
        source = _Source(cls.__name__, datapipe, num_instances, buffer_size)
        if copy not in _COPIES:
            raise ValueError(f"Unknown copy method `copy={copy}` requested, choose one of None, `shallow` or `deep`.")
        return [_ChildDataPipe(source, number, _COPIES[copy]) for number in range(num_instances)]


@functional_datapipe("demux")
class DemultiplexerIterDataPipe(IterDataPipe):
    """A list of pipes among which the elements of one are divided: ``classifier_fn`` says which one gets an element.

    Args:
        drop_none: elements for which it says None are left out.
        buffer_size: how many elements may wait, -1 for any number.
    """

    def __new__(cls, datapipe: IterDataPipe, num_instances: int, classifier_fn: Callable[[Any], int | None],
                drop_none: bool = False, buffer_size: int = 1000) -> Any:
        check_callable(classifier_fn)
        source = _Sorted(cls.__name__, datapipe, num_instances, buffer_size, classifier_fn, drop_none)
        return [_ChildDataPipe(source, number) for number in range(num_instances)]
