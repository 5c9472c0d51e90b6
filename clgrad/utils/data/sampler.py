"""Samplers: in which order samples are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from clgrad.ops.random import Generator, default_generator
from clgrad.sampling import rand, randint, randperm

T = TypeVar("T")


class Sampler(Generic[T]):
    """Base class: ``__iter__`` gives numbers of samples, or lists of them."""

    def __init__(self, data_source: Any = None):
        pass

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError


def own_stream(generator: Any) -> Any:
    """The generator; without one, a new one whose seed comes from the default stream."""
    if generator is not None:
        return generator
    seed, place = default_generator.take(1)
    return Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + place * 0xBF58476D1CE4E5B9) % (1 << 63))


def draw_seed(generator: Any) -> int:
    """A seed from a generator, or from the default stream."""
    seed, place = own_stream(generator).take(1)
    return (seed * 0x9E3779B97F4A7C15 + place) % (1 << 62)


class SequentialSampler(Sampler[int]):
    """All samples in their order."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Samples in random order.

    Args:
        replacement: whether a sample may come more than once. Default: False.
        num_samples: how many are taken. Default: all.
        generator: the stream of random numbers; by default the one that ``clgrad.manual_seed`` begins.
    """

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None,
                 generator: Any = None):
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if num_samples is not None and (not isinstance(num_samples, int) or num_samples <= 0):
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        self.data_source, self.replacement, self._num_samples = data_source, replacement, num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many samples are taken."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        stream, count, total = own_stream(self.generator), len(self.data_source), self.num_samples
        if self.replacement:
            yield from randint(count, (total,), generator=stream, device="cpu").tolist()
            return
        while total > 0:
            part = randperm(count, generator=stream, device="cpu").tolist()[:total]
            yield from part
            total -= len(part)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Given numbers in random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None):
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for place in randperm(len(self.indices), generator=self.generator, device="cpu").tolist():
            yield self.indices[place]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Numbers below ``len(weights)``, each with a probability in proportion to its weight.

    Args:
        weights: not negative, not all zero.
        num_samples: how many are drawn.
        replacement: whether a number may come more than once. Default: True.
    """

    def __init__(self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None):
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        values = np.asarray(weights.tolist() if hasattr(weights, "tolist") else list(weights), np.float64)
        if values.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {values.shape}")
        if (values < 0).any() or not values.sum() > 0:
            raise ValueError("weights should not be negative, and not all zero")
        if not replacement and num_samples > (values > 0).sum():
            raise ValueError(f"cannot draw {num_samples} samples without replacement from {(values > 0).sum()} weights "
                             "that are not zero")
        self.weights, self.num_samples, self.replacement, self.generator = values, num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        count = self.num_samples if self.replacement else len(self.weights)
        drawn = np.asarray(rand(count, generator=own_stream(self.generator), device="cpu").tolist(), np.float64)
        if self.replacement:
            edges = np.cumsum(self.weights)
            chosen = np.searchsorted(edges, drawn * edges[-1], side="right")
            return iter(np.minimum(chosen, len(edges) - 1).tolist())
        # Exponential clocks of these rates: the order in which they ring is a draw without replacement.
        with np.errstate(divide="ignore"):
            times = -np.log1p(-drawn) / self.weights
        return iter(np.argsort(times, kind="stable")[:self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of ``batch_size`` numbers of another sampler; with ``drop_last`` without an incomplete last one."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
