"""Kernels: a source with its macros, built where it is launched, and launches with all their sizes."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from clgrad.errors import DeviceError
from clgrad.runtime.limits import Limits
from clgrad.runtime.opencl import cl
from clgrad.runtime.program import build

SCALARS: dict[str, type | None] = {"P": None, "i": np.int32, "l": np.int64, "f": np.float32, "d": np.float64}

# What a core does in a nanosecond at a moderate guess: it decides only where a launch runs, never what it computes.
FLOPS_PER_NS = 32
BYTES_PER_NS = 24
SMALL_NS = 40_000


def _packer(letter: str, code: str) -> Callable[[Any], bytes]:
    """A function from a number to the bytes of a kernel argument."""
    quick, thorough = struct.Struct(code).pack, SCALARS[letter]

    def pack(value: Any) -> bytes:
        try:
            return quick(value)
        except (struct.error, OverflowError) as error:  # what is too large for a float becomes infinite
            if letter in "il" and not -1 << 63 <= value < 1 << 63:
                raise RuntimeError(f"value cannot be converted to type int64_t without overflow: {value}") from error
            return thorough(value).tobytes()  # type: ignore[misc]
    return pack


_PACKERS = {letter: _packer(letter, code) for letter, code in {"i": "i", "l": "q", "f": "f", "d": "d"}.items()}


class Lane:
    """A queue of an OpenCL device, and the programs built for that device.

    A GPU has one lane. A CPU driven by PoCL has two: one whose threads share the work, and one that runs a launch in
    the caller's own thread before ``enqueue`` returns, for launches that are over sooner than a thread wakes up.
    """

    def __init__(self, context: Any, handle: Any, limits: Limits):
        self.context, self.handle, self.limits = context, handle, limits
        self.queue = cl.CommandQueue(context, handle)
        self._programs: dict[tuple, Any] = {}
        self._building = threading.Lock()

    def program(self, file: str, macros: Mapping[str, object], prelude: str) -> Any:
        """The program of ``cl_kernels/file`` with these macros; built at first use, then kept."""
        key = (file, tuple(sorted(macros.items())), prelude)
        with self._building:
            found = self._programs.get(key)
            if found is None:
                found = self._programs[key] = build(self.context, self.handle, file, macros, prelude, self.limits)
            return found

    def enqueue(self, kernel: Any, global_size: tuple[int, ...], local_size: tuple[int, ...]) -> Any:
        """``clEnqueueNDRangeKernel``, in the one place that calls it; returns its event."""
        return cl.enqueue_nd_range_kernel(self.queue, kernel, global_size, local_size)


class Kernel:
    """A kernel of a source file with its macros. It is built for a lane when it is first launched there."""

    __slots__ = ("file", "name", "macros", "prelude", "signature")

    def __init__(self, file: str, name: str, macros: Mapping[str, object], signature: str, prelude: str):
        self.file, self.name, self.macros, self.signature, self.prelude = file, name, dict(macros), signature, prelude

    def make(self, lane: Lane) -> Any:
        """A new OpenCL kernel, whose arguments nobody else sets; BuildError where the source does not compile."""
        made = cl.Kernel(lane.program(self.file, self.macros, self.prelude), self.name)
        if made.num_args != len(self.signature):
            raise DeviceError(f"kernel {self.name} has {made.num_args} arguments, not {len(self.signature)}")
        return made


class Bound:
    """A launch with all its sizes: a kernel of its own for each lane, whose constant arguments are set once.

    The arguments are buffers first, then the *varying* scalars (offsets, then numbers; ``varying`` gives their
    signature letters), then the constants. ``cost`` is (floating-point operations, bytes moved): what a core does
    sooner than a thread wakes up is *small* and may run in the caller's thread.
    """

    __slots__ = ("kernel", "global_size", "local_size", "buffers", "packers", "floats", "constants", "cost", "duration",
                 "small", "lanes")

    def __init__(self, kernel: Kernel, global_size: tuple[int, ...], local_size: tuple[int, ...], buffers: int,
                 varying: str, constants: tuple, cost: tuple[int, int]):
        self.kernel, self.global_size, self.local_size, self.buffers = kernel, global_size, local_size, buffers
        # Where the floating-point numbers begin: a zero among them is always set again, as -0.0 equals 0.0.
        self.floats = next((n for n, letter in enumerate(varying) if letter in "fd"), None)
        self.packers = [_PACKERS[letter] for letter in varying]
        self.constants = constants
        self.cost = cost
        self.duration = cost[0] / FLOPS_PER_NS + cost[1] / BYTES_PER_NS  # of one core, in ns
        self.small = self.duration < SMALL_NS
        self.lanes: dict[Lane, Arguments] = {}  # made by `on`

    def on(self, lane: Lane) -> Arguments:
        """The arguments of this launch on a lane where it has not run before."""
        return self.lanes.setdefault(lane, Arguments(self, lane))


def fitting(handle: Any, lane: Lane, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The local size of a kernel's launches: ``wanted``, or smaller where the compiled kernel does not allow as many.

    A kernel that uses many registers may allow fewer work-items a group than its device does.
    """
    if prod(wanted) == 1:
        return wanted
    allowed = handle.get_work_group_info(cl.kernel_work_group_info.WORK_GROUP_SIZE, lane.handle)
    if prod(wanted) <= allowed:
        return wanted
    if any(handle.get_work_group_info(cl.kernel_work_group_info.COMPILE_WORK_GROUP_SIZE, lane.handle)):
        raise DeviceError(f"{lane.limits.name} ({lane.limits.platform}): kernel {handle.function_name} is written for "
                          f"work-groups of {prod(wanted)} work-items; this device allows {allowed} for it")
    sizes = list(wanted)
    while prod(sizes) > allowed:
        sizes[sizes.index(max(sizes))] //= 2  # sizes of groups are powers of two, and global sizes multiples of them
    return tuple(sizes)


class Arguments:
    """The arguments of one OpenCL kernel. Numbers are set again only where they differ from those of the call before.

    The caller of its methods holds the device's lock.
    """

    __slots__ = ("handle", "local_size", "set_buffer", "numbers", "_bound", "_set_bytes")

    def __init__(self, bound: Bound, lane: Lane):
        self.handle, self._bound = bound.kernel.make(lane), bound
        self.local_size = fitting(self.handle, lane, bound.local_size)
        self.set_buffer = self.handle.set_arg
        self.numbers: tuple | None = None
        # An argument given as packed bytes takes half a microsecond; given as a NumPy number, twenty: pyopencl then
        # tries in turn what else it could be.
        self._set_bytes = getattr(self.handle, "_set_arg_buf", self.handle.set_arg)
        signature = bound.kernel.signature
        for position, value in enumerate(bound.constants, bound.buffers + len(bound.packers)):
            self._set_bytes(position, _PACKERS[signature[position]](value))

    def set_numbers(self, varying: tuple) -> None:
        """Sets the varying scalars that are not what they were."""
        set_bytes, before, position = self._set_bytes, self.numbers, self._bound.buffers
        floats = len(varying) if self._bound.floats is None else self._bound.floats
        self.numbers = None  # where one cannot be packed, nothing is known of those before it
        for n, pack in enumerate(self._bound.packers):
            value = varying[n]
            if before is None or value != before[n] or n >= floats and not value:  # 0.0 equals -0.0
                set_bytes(position + n, pack(value))
        self.numbers = varying
