"""Chains of steps that data passes through: ``IterableWrapper(lines).map(parse).filter(known).shuffle().batch(32)``."""

from clgrad.utils.data.datapipes import datapipe, iter, map

__all__ = ["datapipe", "iter", "map"]
