"""``torch.accelerator``: the OpenCL GPU by a name that fits every kind."""

from __future__ import annotations

from typing import Any

from clgrad import cuda
from clgrad.cuda import (
    empty_cache,
    max_memory_allocated,
    max_memory_reserved,
    memory_allocated,
    memory_reserved,
    memory_stats,
    reset_accumulated_memory_stats,
    reset_peak_memory_stats,
    synchronize,
)
from clgrad.runtime import device as Device

__all__ = ["current_accelerator", "current_device_idx", "current_device_index", "current_stream", "device_count",
           "device_index", "empty_cache", "empty_host_cache", "get_memory_info", "is_available", "max_memory_allocated",
           "max_memory_reserved", "memory_allocated", "memory_reserved", "memory_stats", "reset_accumulated_memory_stats",
           "reset_peak_memory_stats", "set_device_idx", "set_device_index", "set_stream", "synchronize"]


def is_available() -> bool:
    """Whether there is an OpenCL GPU."""
    return cuda.is_available()


def device_count() -> int:
    """How many OpenCL GPUs there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> Device | None:
    """``device(type='cuda')``, the name of OpenCL GPUs, where there is one; else None."""
    return Device("cuda") if cuda.is_available() else None


def current_device_index() -> int:
    """The number of the current GPU."""
    return cuda.current_device()


def set_device_index(device: Any) -> None:
    """Makes a GPU the current one."""
    cuda.set_device(device)


def current_stream(device: Any = None) -> cuda.Stream:
    """The device's one queue."""
    return cuda.current_stream(device)


def set_stream(stream: cuda.Stream) -> None:
    """Accepted: a device has one queue."""
    cuda.set_stream(stream)


class device_index(cuda.device):
    """Within the block this GPU is the current one; None changes nothing."""


def get_memory_info(device_index: Any = None) -> tuple[int, int]:
    """(free bytes, bytes) of a GPU."""
    return cuda.mem_get_info(device_index)


def empty_host_cache() -> None:
    """Nothing is kept of the host's memory."""


current_device_idx, set_device_idx = current_device_index, set_device_index
