"""Which devices there are, what they are called, and which one is meant."""

from __future__ import annotations

import glob
import importlib.util
import os
import threading
from typing import Any

from clgrad.errors import ForkedProcessError, NoDeviceError
from clgrad.runtime import cache, interrupts
from clgrad.runtime.device import Device
from clgrad.runtime.limits import Limits, read_limits
from clgrad.runtime.meta import MetaDevice
from clgrad.runtime.opencl import cl
from clgrad.runtime.probe import check_pocl
from clgrad.runtime.processor import target_of

TYPES = ("cpu", "cuda", "cl", "meta")


class device:
    """The name of a place where tensors live: ``cpu``, ``cuda:N`` (the N-th OpenCL GPU) or ``cl:N`` (any device).

    ``gpu`` and ``cuda`` mean the current GPU. Tensors on ``meta`` have no memory: operators find out shapes and dtypes
    there. Names of equal places are the same object.

    >>> import clgrad
    >>> clgrad.device("cpu"), clgrad.device("cuda", 1), clgrad.device("gpu:1") == clgrad.device("cuda:1")
    (device(type='cpu'), device(type='cuda', index=1), True)

    Raises:
        RuntimeError: the text is not a device's name.
    """

    __slots__ = ("type", "index", "compute")
    type: str
    index: int | None
    compute: Device  # the open device that computes on tensors that live here; opened when it is first asked for

    def __new__(cls, type: str | int | device, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if isinstance(type, int):
            index = type
            type = "cuda"
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, int or device, not {type.__class__.__name__}")
        name, colon, number = type.partition(":")
        name = "cuda" if name in ("gpu", "xpu", "mps") else name
        if colon:
            if index is not None or not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        if name not in TYPES:
            raise RuntimeError(f"Expected one of cpu, cuda, gpu, cl, meta device type at start of device string: {type}")
        if index is not None and index < 0:
            raise RuntimeError(f"Device index must not be negative, got {index}")
        key = (name, index)
        found = _names.get(key)
        if found is None:
            found = object.__new__(cls)
            found.type, found.index = name, index
            found = _names.setdefault(key, found)
        return found

    def __getattr__(self, name: str) -> Any:
        if name != "compute":
            raise AttributeError(f"'device' object has no attribute '{name}'")
        self.compute = resolve(self)
        return self.compute

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + ("" if self.index is None else f", index={self.index}") + ")"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        _context.stack.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _context.stack.pop()


_names: dict[tuple[str, int | None], device] = {}
_lock = threading.RLock()
_asked_in = 0  # the process that asked the drivers: a forked child must not use what they then began
_found: list[tuple[Any, Limits, Any]] | None = None  # driver's device, what it says of itself, its companion
_opened: dict[int, Device] = {}
_state: dict[str, Any] = {"default": None, "gpu": 0}


class _DeviceContext(threading.local):
    def __init__(self) -> None:
        self.stack: list[device] = []


_context = _DeviceContext()


def devices() -> list[Limits]:
    """The limits of all OpenCL devices, GPUs first: number N is ``cl:N``."""
    return [limits for _, limits, _ in _discover()]


def gpus() -> list[int]:
    """The numbers, among :func:`devices`, of those that have a memory of their own."""
    return [number for number, limits in enumerate(devices()) if not limits.is_cpu]


def open_devices() -> list[Device]:
    """The devices that this process has used so far."""
    return list(_opened.values())


def resolve(name: device) -> Device:
    """Opens the device that a name stands for; NoDeviceError where there is none."""
    if name.type == "meta":
        return _meta()
    return _open(_number(name))


def default_device() -> device:
    """Where tensors are created when no device is named: ``CLGRAD_DEVICE``, else what was set, else ``cpu``."""
    if _context.stack:
        return _context.stack[-1]
    if _state["default"] is None:
        wanted = os.environ.get("CLGRAD_DEVICE")
        _state["default"] = parse_default(wanted) if wanted else device("cpu")
    return _state["default"]


def set_default_device(device: Any) -> None:
    """The device of new tensors: a device, its number, ``cpu``, ``cl:N``, ``gpu``, or part of a driver's or device's name."""
    _state["default"] = parse_default(device) if device is not None else None
    if device is not None and _state["default"].type != "meta":
        _number(_state["default"])


def parse_default(name: device | str | int) -> device:
    """A device's name, or a part of a platform's or device's own name such as ``intel`` or ``oclgrind``."""
    try:
        found = device(name)
        return canonical(found) if found.type == "cuda" else found
    except RuntimeError:
        wanted = str(name).lower()
        for number, limits in enumerate(devices()):
            if wanted in f"{limits.platform} {limits.name} {limits.vendor}".lower():
                if limits.is_cpu:
                    _state["cpu"] = number
                    return device("cpu")
                return device("cuda", gpus().index(number))
        raise NoDeviceError(f"no OpenCL device is called {str(name)!r}; there are: {_listing()}") from None


def current_device() -> int:
    """The number of the GPU that ``cuda`` without an index means."""
    return _state["gpu"]


def set_current_device(name: device | str | int) -> None:
    """Makes ``cuda`` without an index mean this GPU."""
    wanted = device(name)
    if wanted.type == "cuda" and wanted.index is not None:
        _number(wanted)
        _state["gpu"] = wanted.index


def canonical(name: device) -> device:
    """``cuda`` with its current index filled in, ``cpu`` and ``meta`` without one; other names as they are."""
    if name.type == "cuda" and name.index is None:
        return device("cuda", _state["gpu"])
    if name.type in ("cpu", "meta") and name.index is not None:
        return device(name.type)
    return name


def cpu_number() -> int:
    """The number of the device that computes on ``cpu`` tensors: a CPU device, else the first there is."""
    if "cpu" not in _state:
        wanted = os.environ.get("CLGRAD_DEVICE")
        if wanted and "default" in _state and _state["default"] is None:
            default_device()
    if "cpu" in _state:
        return _state["cpu"]
    listed = devices()
    return next((number for number, limits in enumerate(listed) if limits.is_cpu), 0)


def _number(name: device) -> int:
    count = len(_discover())
    if count == 0:
        raise NoDeviceError(
            "there is no OpenCL device. On Linux x86-64 'pip install pocl-binary-distribution' makes the CPU one; for "
            "a GPU install its vendor's OpenCL driver. 'python -m clgrad' shows what is found")
    if name.type == "cpu":
        return cpu_number()
    index = _state["gpu"] if name.index is None and name.type == "cuda" else name.index or 0
    known = gpus() if name.type == "cuda" else list(range(count))
    if index >= len(known):
        what = "OpenCL GPU" if name.type == "cuda" else "OpenCL device"
        raise NoDeviceError(f"device '{name}': there are {len(known)} {what}s here, so no number {index}. "
                            f"Devices: {_listing()}")
    return known[index]


def _open(number: int) -> Device:
    with _lock:
        found = _opened.get(number)
        if found is None:
            handle, limits, companion = _discover()[number]
            if _asked_in != os.getpid():
                raise ForkedProcessError()
            if limits.is_pocl:
                check_pocl(limits)
            found = _opened[number] = Device(handle, number, limits, companion)
        return found


def _meta() -> Device:
    """The device without memory, of which there is one: it plans like that of ``cpu``."""
    with _lock:
        if "meta" not in _state:
            _state["meta"] = MetaDevice(devices()[_number(device("cpu"))])
        return _state["meta"]


def _discover() -> list[tuple[Any, Limits, Any]]:
    global _found, _asked_in
    with _lock:
        if _found is None:
            _asked_in = os.getpid()
            _found = sorted(_ask_drivers(), key=lambda entry: entry[1].is_cpu)
        return _found


def _ask_drivers() -> list[tuple[Any, Limits, Any]]:
    if _ships_with_pip():
        # Before PoCL looks: both of its drivers for the CPU. What a user chose stays.
        os.environ.setdefault("POCL_DEVICES", "pthread basic")
    if importlib.util.find_spec("pocl_binary_distribution") is not None or glob.glob("/etc/OpenCL/vendors/*pocl*"):
        cache.prepare()
    held = interrupts.hold()  # drivers start threads, some of which compile
    try:
        return _all_devices()
    finally:
        interrupts.release(held)


def _all_devices() -> list[tuple[Any, Limits, Any]]:
    try:
        platforms = cl.get_platforms()
    except cl.Error:
        return []
    entries = []
    for platform in platforms:
        try:
            entries += _with_companions(platform.get_devices())
        except cl.Error:
            continue  # a platform whose driver finds no hardware; the others still work
    return entries


def _ships_with_pip() -> bool:
    """Whether PoCL is the one of pip alone: version 3, which knows its drivers by the names used here."""
    return (importlib.util.find_spec("pocl_binary_distribution") is not None and "OCL_ICD_VENDORS" not in os.environ
            and not glob.glob("/etc/OpenCL/vendors/*pocl*"))


def _with_companions(handles: list[Any]) -> list[tuple[Any, Limits, Any]]:
    """A platform's devices. PoCL's ``basic``, which runs in the caller's thread, goes with ``pthread`` as its companion."""
    basic = next((handle for handle in handles if handle.name.startswith("basic")), None)
    if basic is None or not any(handle.name.startswith("pthread") for handle in handles):
        basic = None
    if basic is not None:
        target_of(basic)
    return [(handle, read_limits(handle), basic if handle.name.startswith("pthread") else None)
            for handle in handles if handle is not basic]


def _listing() -> str:
    names = [f"cl:{number} {limits.name} ({limits.platform})" for number, limits in enumerate(devices())]
    return ", ".join(names) or "none"
