"""Loads one OpenCL driver and lists its devices: ``python -I driver_probe.py LIBRARY``, in a process of its own.

The library may abort, hang or corrupt memory: whoever starts this process sees that from outside. It needs neither
pyopencl nor a loader: an installable client driver is entered through ``clIcdGetPlatformIDsKHR``, and each platform
begins with a pointer to the table of the driver's functions, whose order the extension ``cl_khr_icd`` fixes. Prints a
line for each step that it begins, and a line of JSON at the end.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

GET_PLATFORM_INFO, GET_DEVICE_IDS, GET_DEVICE_INFO = 1, 2, 3  # places in the table
PLATFORM_NAME, PLATFORM_VERSION = 0x0902, 0x0901
DEVICE_NAME, DRIVER_VERSION = 0x102B, 0x102D
ALL_DEVICES = 0xFFFFFFFF
DEVICE_NOT_FOUND, PLATFORM_NOT_FOUND = -1, -1001


def step(name: str) -> None:
    """Says what is about to happen, before it can go wrong."""
    print(f"step {name}", flush=True)


def entry_point(library: Any) -> Any:
    """The driver's ``clIcdGetPlatformIDsKHR``."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint))
    find = getattr(library, "clGetExtensionFunctionAddress", None)
    if find is not None:
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        address = find(b"clIcdGetPlatformIDsKHR")
        if address:
            return prototype(address)
    exported = getattr(library, "clIcdGetPlatformIDsKHR", None)
    if exported is None:
        raise OSError("it is no OpenCL driver: it has no clIcdGetPlatformIDsKHR")
    return prototype(ctypes.cast(exported, ctypes.c_void_p).value or 0)


def function(platform: int, place: int, *arguments: Any) -> Any:
    """A function of the table that a platform points to."""
    table = ctypes.cast(platform, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
    return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(table[place])


def text(platform: int, place: int, handle: int, what: int) -> str:
    """One of the names that a platform or device has."""
    ask = function(platform, place, ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p)
    buffer = ctypes.create_string_buffer(4096)
    if ask(handle, what, len(buffer), ctypes.addressof(buffer), None):
        return "?"
    return buffer.value.decode(errors="replace").strip()


def handles(call: Any) -> list[int]:
    """What a function of the form (count, array, found) gives."""
    found = ctypes.c_uint(0)
    status = call(0, None, ctypes.byref(found))
    if status in (DEVICE_NOT_FOUND, PLATFORM_NOT_FOUND):
        return []
    if status:
        raise OSError(f"the driver answers with error {status}")
    array = (ctypes.c_void_p * max(1, found.value))()
    if call(found.value, ctypes.addressof(array), None):
        raise OSError("the driver counts its devices and then does not list them")
    return [handle for handle in array[:found.value] if handle]


def devices_of(platform: int) -> list[dict[str, str]]:
    """Name and driver version of each device."""
    ask = function(platform, GET_DEVICE_IDS, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p,
                   ctypes.c_void_p)
    found = handles(lambda count, array, number: ask(platform, ALL_DEVICES, count, array,
                                                     ctypes.addressof(number._obj) if number else None))
    return [{"name": text(platform, GET_DEVICE_INFO, device, DEVICE_NAME),
             "driver": text(platform, GET_DEVICE_INFO, device, DRIVER_VERSION)} for device in found]


def main() -> None:
    step("loading the library")
    library = ctypes.CDLL(sys.argv[1])
    step("asking for its platforms")
    platforms = handles(entry_point(library))
    found = []
    for platform in platforms:
        step("asking for its devices")
        found.append({"name": text(platform, GET_PLATFORM_INFO, platform, PLATFORM_NAME),
                      "version": text(platform, GET_PLATFORM_INFO, platform, PLATFORM_VERSION),
                      "devices": devices_of(platform)})
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (OSError, AttributeError, ValueError) as error:
        print(json.dumps({"problem": str(error)}), flush=True)
        sys.exit(2)
