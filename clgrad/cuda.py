"""``torch.cuda``'s names, for OpenCL GPUs: how many there are, waiting for them, their memory."""

from __future__ import annotations

from typing import Any

from clgrad.ops.random import manual_seed as manual_seed
from clgrad.runtime import current_device as current_device
from clgrad.runtime import device as _Device
from clgrad.runtime import devices, gpus, open_devices, set_current_device
from clgrad.typed import GPU_CLASSES

manual_seed_all = manual_seed


def is_available() -> bool:
    """Whether there is an OpenCL GPU."""
    return bool(gpus())


def device_count() -> int:
    """How many OpenCL GPUs there are."""
    return len(gpus())


def get_device_name(device: Any = None) -> str:
    """The GPU's name."""
    return devices()[gpus()[_number(device)]].name


def set_device(device: Any) -> None:
    """Makes ``cuda`` without a number mean this GPU."""
    set_current_device(device)


def synchronize(device: Any = None) -> None:
    """Waits until a device, or every device in use, has finished."""
    for opened in [_Device(device).compute] if device is not None else open_devices():
        opened.synchronize()


def memory_allocated(device: Any = None) -> int:
    """Bytes in use by tensors."""
    return _Device("cuda", _number(device)).compute.pool.in_use if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were in use by tensors."""
    return _Device("cuda", _number(device)).compute.pool.peak if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds, in use or not."""
    return _Device("cuda", _number(device)).compute.pool.reserved if is_available() else 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Lets :func:`max_memory_allocated` count from now on."""
    if is_available():
        pool = _Device("cuda", _number(device)).compute.pool
        pool.peak = pool.in_use


def empty_cache() -> None:
    """Gives unused memory back to the drivers."""
    for opened in open_devices():
        opened.pool.empty_cache()


def _number(device: Any) -> int:
    if device is None:
        return current_device()
    found = _Device(device).index
    return current_device() if found is None else found


globals().update(GPU_CLASSES)
