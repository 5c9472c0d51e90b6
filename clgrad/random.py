"""``torch.random``: the default stream of random numbers, which serves all devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from clgrad.ops.random import default_generator as default_generator
from clgrad.ops.random import manual_seed as manual_seed

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


def seed() -> int:
    """Begins the stream of a seed from the operating system; returns that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the stream."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """Where the stream is, as a tensor of bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Goes to where :func:`get_rng_state` was called."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Iterable | None = None, enabled: bool = True, device_type: str = "cuda",
             **names: Any) -> Iterator[None]:
    """After the block the stream is where it was before.

    >>> import clgrad
    >>> with clgrad.random.fork_rng():
    ...     a = clgrad.rand(2)
    >>> bool((clgrad.rand(2) == a).all())
    True
    """
    state = default_generator.get_state()
    try:
        yield
    finally:
        if enabled:
            default_generator.set_state(state)
