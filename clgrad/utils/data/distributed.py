"""``DistributedSampler``: the part of a data set that one of several processes takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

from clgrad.distributed import get_rank, get_world_size
from clgrad.ops.random import Generator
from clgrad.sampling import randperm
from clgrad.utils.data.sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every ``num_replicas``-th sample from the ``rank``-th on, of an order that is the same in all processes.

    Args:
        num_replicas, rank: how many processes there are, and which this is. Default: those of the default group.
        shuffle: a new order for every epoch that :meth:`set_epoch` begins. Default: True.
        seed: of the order. Default: 0.
        drop_last: leave out samples that would make the parts unequal; otherwise some are taken twice. Default: False.

    Raises:
        ValueError: ``num_replicas`` or ``rank`` is missing where there is no default group, or ``rank`` is not below
            ``num_replicas``.
    """

    def __init__(self, dataset: Sized, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True,
                 seed: int = 0, drop_last: bool = False):
        num_replicas = get_world_size() if num_replicas is None else num_replicas
        rank = get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank, self.shuffle = dataset, num_replicas, rank, shuffle
        self.seed, self.drop_last, self.epoch = seed, drop_last, 0
        count = len(dataset)
        rounded = count // num_replicas if drop_last and count % num_replicas else math.ceil(count / num_replicas)
        self.num_samples, self.total_size = rounded, rounded * num_replicas

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            stream: Any = Generator().manual_seed(self.seed + self.epoch)
            order = randperm(count, generator=stream, device="cpu").tolist()
        else:
            order = list(range(count))
        if len(order) < self.total_size:
            order = (order * math.ceil(self.total_size / count))[:self.total_size]
        return iter(order[self.rank:self.total_size:self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Makes the order that of another epoch."""
        self.epoch = epoch
