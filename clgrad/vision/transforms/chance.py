"""Random numbers for transforms: on the host, from the stream that ``clgrad.manual_seed`` begins."""

from __future__ import annotations

import numpy as np

from clgrad.ops.random import default_generator


def stream() -> np.random.Generator:
    """A generator whose seed is the next place of clgrad's default stream."""
    seed, place = default_generator.take(1)
    return np.random.Generator(np.random.Philox(key=seed, counter=place << 64))


def uniform(low: float, high: float) -> float:
    """A number of [low, high)."""
    return float(stream().uniform(low, high))


def happens(p: float) -> bool:
    """True with probability ``p``."""
    return bool(stream().random() < p)


def integer(low: int, high: int) -> int:
    """A whole number of [low, high)."""
    return int(stream().integers(low, high))
