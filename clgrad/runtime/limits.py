"""What a device says of itself, asked once and kept as plain numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from clgrad.runtime.opencl import cl
from clgrad.runtime.processor import target_of

POCL = "Portable Computing Language"  # the name of PoCL's platform
SMALLEST_GROUP = 64  # work-items of a group that the kernels' GPU forms need: tiles of 8 x 8


@dataclass(frozen=True)
class Limits:
    """Limits and capabilities of one OpenCL device; sizes in bytes."""

    name: str
    platform: str
    vendor: str
    driver: str
    version: str
    is_cpu: bool
    compute_units: int
    max_work_group: int
    max_work_item_sizes: tuple[int, ...]
    vector_width: int
    local_memory: int
    local_is_global: bool
    memory: int
    max_alloc: int
    max_parameter_bytes: int
    cache_bytes: int
    fp64: bool
    unified: bool
    is_pocl: bool
    target: str  # the processor that PoCL compiles for

    @property
    def items_are_threads(self) -> bool:
        """Whether a work-item is like a thread, so that kernels take their CPU form: large items and no barriers.

        A CPU that emulates a GPU has local memory apart from the global one, and runs neighbouring
        work-items as lanes of a vector. Devices whose groups are tiny have no use for the GPU form.
        """
        return (self.is_cpu and self.local_is_global) or self.max_work_group < SMALLEST_GROUP

    def group(self, most: int) -> int:
        """Work-items of a group: ``most``, a power of two, or fewer where the device does not allow as many."""
        allowed = min(self.max_work_group, self.max_work_item_sizes[0])
        return min(most, 1 << (allowed.bit_length() - 1))

    @property
    def work_group_multiple(self) -> int:
        """How many work-items a work-group should be a multiple of."""
        return 8 if self.is_cpu else 32


def discrete_forced() -> bool:
    """Whether ``CLGRAD_DISCRETE=1`` asks to treat CPU devices as GPUs with a memory of their own."""
    return os.environ.get("CLGRAD_DISCRETE", "0") not in ("", "0")


def _units(handle: Any, is_pocl: bool) -> int:
    """Into how many shares work is cut: one for each core. How sums are cut decides their last bits.

    So it does not follow ``POCL_MAX_PTHREAD_COUNT``, by which a user chooses how many threads share the work.
    """
    if is_pocl and "POCL_MAX_PTHREAD_COUNT" in os.environ:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return handle.max_compute_units


def read_limits(handle: Any) -> Limits:
    """Asks the driver; ``handle`` is a ``pyopencl.Device``."""
    platform = handle.platform
    is_pocl = platform.name == POCL
    return Limits(
        name=handle.name.strip(),
        platform=platform.name.strip(),
        vendor=handle.vendor.strip(),
        driver=handle.driver_version.strip(),
        version=handle.version.strip(),
        is_cpu=bool(handle.type & cl.device_type.CPU) and not discrete_forced(),
        compute_units=max(1, _units(handle, is_pocl)),
        max_work_group=handle.max_work_group_size,
        max_work_item_sizes=tuple(handle.max_work_item_sizes),
        vector_width=min(16, max(1, handle.native_vector_width_float)),
        local_memory=handle.local_mem_size,
        local_is_global=handle.local_mem_type == cl.device_local_mem_type.GLOBAL,
        memory=handle.global_mem_size,
        max_alloc=handle.max_mem_alloc_size,
        max_parameter_bytes=handle.max_parameter_size,
        cache_bytes=handle.global_mem_cache_size,
        fp64="cl_khr_fp64" in handle.extensions.split(),
        unified=bool(handle.host_unified_memory) and not discrete_forced(),
        is_pocl=is_pocl,
        target=target_of(handle) if is_pocl else "",
    )
