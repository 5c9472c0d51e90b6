"""The runtime: devices, memory, programs and launches. The only package that imports pyopencl."""

from clgrad.runtime.device import Device
from clgrad.runtime.devices import (
    canonical,
    current_device,
    default_device,
    device,
    devices,
    gpus,
    open_devices,
    resolve,
    set_current_device,
    set_default_device,
)
from clgrad.runtime.kernel import Bound, Kernel
from clgrad.runtime.limits import Limits
from clgrad.runtime.memory import Block
from clgrad.runtime.profiling import KernelTime, Profile, Span
from clgrad.runtime.recording import Recording
from clgrad.runtime.shared import SharedFile
from clgrad.runtime.storage import (
    Storage,
    begin_era,
    end_era,
    filled_storage,
    host_array,
    host_copy,
    host_storage,
    new_storage,
    result_storage,
    settle,
)

__all__ = [
    "Block", "Bound", "Device", "Kernel", "KernelTime", "Limits", "Profile", "Recording", "SharedFile", "Span", "Storage",
    "begin_era", "canonical", "current_device", "default_device", "device", "devices", "end_era", "filled_storage", "gpus",
    "host_array", "host_copy", "host_storage", "new_storage", "open_devices", "resolve", "result_storage",
    "set_current_device", "set_default_device", "settle",
]
