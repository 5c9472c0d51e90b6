"""``torch.cuda``'s names, for OpenCL GPUs: how many there are, waiting for them, their memory, their properties.

A device has one queue, in which everything happens in order: streams are accepted and change nothing.
"""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

from clgrad.cuda import amp as amp
from clgrad.cuda.graphs import CUDAGraph as CUDAGraph
from clgrad.cuda.graphs import graph as graph
from clgrad.cuda.graphs import graph_pool_handle as graph_pool_handle
from clgrad.cuda.graphs import is_current_stream_capturing as is_current_stream_capturing
from clgrad.cuda.graphs import make_graphed_callables as make_graphed_callables
from clgrad.errors import OutOfMemoryError as OutOfMemoryError
from clgrad.ops.random import default_generator
from clgrad.ops.random import manual_seed as manual_seed
from clgrad.random import fork_rng as fork_rng
from clgrad.random import initial_seed as initial_seed
from clgrad.random import seed as seed
from clgrad.runtime import current_device as current_device
from clgrad.runtime import device as _Device
from clgrad.runtime import gpus, open_devices, set_current_device
from clgrad.typed import GPU_CLASSES

manual_seed_all, seed_all = manual_seed, seed
has_half = True


# Which devices there are.

def is_available() -> bool:
    """Whether there is an OpenCL GPU."""
    return bool(gpus())


def is_initialized() -> bool:
    """Whether an OpenCL GPU has been used."""
    return any(not device.limits.is_cpu for device in open_devices())


def init() -> None:
    """Nothing to do: a device is opened at its first use."""


_lazy_init = init


def __getattr__(name: str) -> Any:
    if name == "_initialized":  # programs look there before they ask for the states of random numbers
        return is_initialized()
    raise AttributeError(f"module 'clgrad.cuda' has no attribute '{name}'")


def device_count() -> int:
    """How many OpenCL GPUs there are."""
    return len(gpus())


def _number(device: Any) -> int:
    if device is None:
        return current_device()
    found = _Device(device).index
    return current_device() if found is None else found


def _compute(device: Any) -> Any:
    """The open device; NoDeviceError where there is none of that number."""
    if device is not None and _Device(device).type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {_Device(device)}")
    return _Device("cuda", _number(device)).compute


def set_device(device: Any) -> None:
    """Makes ``cuda`` without a number mean this GPU."""
    set_current_device(device)


class device:
    """Within the block this GPU is the current one; None and negative numbers change nothing."""

    def __init__(self, device: Any):
        self.wanted = None if device is None or device == -1 else _number(device)

    def __enter__(self) -> None:
        self.previous = current_device()
        if self.wanted is not None:
            set_current_device(self.wanted)

    def __exit__(self, *exception: object) -> None:
        set_current_device(self.previous)


class device_of(device):
    """Within the block the GPU of a tensor is the current one; other tensors change nothing."""

    def __init__(self, obj: Any):
        super().__init__(obj.get_device() if obj.is_cuda else None)


class DeviceProperties(NamedTuple):
    """What :func:`get_device_properties` tells; ``major`` and ``minor`` are the OpenCL version."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    max_threads_per_block: int
    shared_memory_per_block: int
    L2_cache_size: int
    is_integrated: bool


def get_device_properties(device: Any = None) -> DeviceProperties:
    """Name, memory and limits of a GPU."""
    limits = _compute(device).limits
    version = re.search(r"(\d+)\.(\d+)", limits.version)
    major, minor = (int(version[1]), int(version[2])) if version else (1, 2)
    return DeviceProperties(limits.name, major, minor, limits.memory, limits.compute_units, limits.max_work_group,
                            limits.local_memory, limits.cache_bytes, limits.unified)


def get_device_name(device: Any = None) -> str:
    """The GPU's name."""
    return _compute(device).limits.name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The OpenCL version of a GPU, (3, 0) for example; not CUDA's compute capability."""
    found = get_device_properties(device)
    return found.major, found.minor


def get_arch_list() -> list[str]:
    """Empty: kernels are compiled for the device that is there."""
    return []


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """False: tensors move between devices by way of the host."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 tensors can be used: always, they are computed in float32."""
    return including_emulation


def is_tf32_supported() -> bool:
    """False: float32 is computed as float32."""
    return False


# Waiting.

def synchronize(device: Any = None) -> None:
    """Waits until a device, or every device in use, has finished."""
    for opened in [_Device(device).compute] if device is not None else open_devices():
        opened.synchronize()


class Event:
    """A moment in a device's work. ``record`` waits for what was enqueued before and takes the time.

    >>> import clgrad
    >>> start, end = clgrad.cuda.Event(enable_timing=True), clgrad.cuda.Event(enable_timing=True)
    >>> start.record(); end.record()
    >>> start.elapsed_time(end) >= 0
    True
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False,
                 external: bool = False):
        self._time: float | None = None

    def record(self, stream: Any = None) -> None:
        """Makes this the event of now."""
        synchronize()
        self._time = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another; both must have been recorded."""
        if self._time is None or end_event._time is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._time - self._time) * 1e3

    def synchronize(self) -> None:
        """Waits for the event."""
        synchronize()

    def wait(self, stream: Any = None) -> None:
        """Nothing to do: the queue is in order."""

    def query(self) -> bool:
        """True: ``record`` waited."""
        return True


class Stream:
    """The device's one queue under another name."""

    def __init__(self, device: Any = None, priority: int = 0, **names: Any):
        self.device, self.priority, self.stream_id = _Device("cuda", _number(device)), priority, 0

    def synchronize(self) -> None:
        """Waits for the queue."""
        synchronize()

    def query(self) -> bool:
        """Whether everything has finished; waits for it."""
        synchronize()
        return True

    def record_event(self, event: Event | None = None) -> Event:
        """Records an event."""
        event = event or Event()
        event.record()
        return event

    def wait_event(self, event: Event) -> None:
        """Nothing to do: the queue is in order."""

    def wait_stream(self, stream: Any) -> None:
        """Nothing to do: there is one queue."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing to do."""


class stream:
    """A context for a stream, which changes nothing."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *exception: object) -> None:
        """Nothing to do."""


StreamContext = stream


def current_stream(device: Any = None) -> Stream:
    """The queue of a GPU."""
    return Stream(device)


default_stream = current_stream


def set_stream(stream: Any) -> None:
    """Accepted: a device has one queue."""


# Memory.

def memory_allocated(device: Any = None) -> int:
    """Bytes in use by tensors."""
    return _compute(device).pool.in_use if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were in use by tensors since the start, or :func:`reset_peak_memory_stats`."""
    return _compute(device).pool.peak if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds, in use or not."""
    return _compute(device).pool.reserved if is_available() else 0


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that the pool held: it grows until :func:`empty_cache`, so what it holds or held in use."""
    return max(memory_reserved(device), max_memory_allocated(device))


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def reset_peak_memory_stats(device: Any = None) -> None:
    """Lets :func:`max_memory_allocated` count from now on."""
    if is_available():
        pool = _compute(device).pool
        pool.peak = pool.in_use


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Nothing to do: no sums over time are kept."""


def memory_stats(device: Any = None) -> dict[str, int]:
    """The figures above by PyTorch's names."""
    return {"allocated_bytes.all.current": memory_allocated(device),
            "allocated_bytes.all.peak": max_memory_allocated(device),
            "reserved_bytes.all.current": memory_reserved(device),
            "reserved_bytes.all.peak": max_memory_reserved(device)}


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The figures above as text."""
    return "\n".join(f"{name:<32}{value:>16,} bytes" for name, value in memory_stats(device).items())


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(bytes that the pool may still ask the device for, bytes that the device has)."""
    opened = _compute(device)
    return opened.pool.capacity - opened.pool.in_use, opened.limits.memory


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Limits what tensors may hold to a part of a device's memory; beyond it OutOfMemoryError is raised.

    Args:
        fraction: from 0 to 1.
        device: a GPU; here ``cpu`` and ``cl:N`` can be limited, too.

    Raises:
        ValueError: the fraction is not between 0 and 1.
    """
    if not isinstance(fraction, (int, float)):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    _pool(device).fraction = float(fraction)


def get_per_process_memory_fraction(device: Any = None) -> float:
    """The part that :func:`set_per_process_memory_fraction` set; 1 where it was not called."""
    return _pool(device).fraction


def _pool(device: Any) -> Any:
    return (_Device(device).compute if device is not None else _compute(None)).pool


def empty_cache() -> None:
    """Gives unused memory back to the drivers."""
    for opened in open_devices():
        opened.pool.empty_cache()


def ipc_collect() -> None:
    """Nothing to do: memory is not shared between processes."""


# Random numbers: one stream serves all devices.

def get_rng_state(device: Any = "cuda") -> Any:
    """Where the stream is, as a tensor of bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Goes to where :func:`get_rng_state` was called."""
    default_generator.set_state(new_state)


def get_rng_state_all() -> list:
    """The one state, once for each GPU."""
    return [default_generator.get_state() for _ in gpus()]


def set_rng_state_all(new_states: Any) -> None:
    """Goes to the first of the states."""
    for state in list(new_states)[:1]:
        default_generator.set_state(state)


globals().update(GPU_CLASSES)
