"""What ``torch.xpu``, ``torch.mps`` and ``torch.mtia`` share: there is no such device here.

OpenCL GPUs, whoever made them, are ``cuda``.
"""

from __future__ import annotations

from typing import Any

from clgrad.cuda import empty_cache, get_rng_state, manual_seed, seed, set_rng_state, synchronize

__all__ = ["current_device", "device_count", "empty_cache", "get_rng_state", "is_available", "is_bf16_supported",
           "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved",
           "memory_allocated", "memory_reserved", "reset_peak_memory_stats", "seed", "seed_all", "set_device",
           "set_rng_state", "synchronize"]

manual_seed_all, seed_all = manual_seed, seed


def is_available() -> bool:
    """False."""
    return False


is_initialized = is_available


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_device() -> int:
    """RuntimeError: there is none."""
    raise RuntimeError("there is no such device: the OpenCL GPUs are cuda:0, cuda:1, ...")


def set_device(device: Any) -> None:
    """RuntimeError: there is none."""
    current_device()


def memory_allocated(device: Any = None) -> int:
    """0 bytes."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing to reset."""
