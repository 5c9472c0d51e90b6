"""``torch.mps``: there is no such device here; OpenCL GPUs, whoever made them, are ``cuda``."""

from __future__ import annotations

from clgrad.cuda import empty_cache, manual_seed, seed, synchronize

__all__ = ["device_count", "empty_cache", "is_available", "manual_seed", "seed", "synchronize"]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0
