"""An open device: its context, its in-order queue, its kernels, and the one function that launches them."""

from __future__ import annotations

import atexit
import contextlib
import os
import struct
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from clgrad.errors import DeviceError, ForkedProcessError
from clgrad.runtime.limits import Limits
from clgrad.runtime.memory import Block, Clock, Pool
from clgrad.runtime.opencl import cl
from clgrad.runtime.program import build

SCALARS: dict[str, type | None] = {"P": None, "i": np.int32, "l": np.int64, "f": np.float32, "d": np.float64}


def _packer(letter: str, code: str) -> Callable[[Any], bytes]:
    """A function from a number to the bytes of a kernel argument."""
    quick, thorough = struct.Struct(code).pack, SCALARS[letter]

    def pack(value: Any) -> bytes:
        try:
            return quick(value)
        except (struct.error, OverflowError):  # what is too large for a float becomes infinite
            return thorough(value).tobytes()  # type: ignore[misc]
    return pack


_PACKERS = {letter: _packer(letter, code) for letter, code in {"i": "i", "l": "q", "f": "f", "d": "d"}.items()}


def enqueue(queue: Any, handle: Any, global_size: tuple[int, ...], local_size: tuple[int, ...]) -> Any:
    """``clEnqueueNDRangeKernel``, in the one place that calls it."""
    return cl.enqueue_nd_range_kernel(queue, handle, global_size, local_size)


class Kernel:
    """One kernel of a built program. ``set_args`` binds all arguments; ``handle`` is what is enqueued."""

    __slots__ = ("name", "handle", "set_args", "signature", "program")

    def __init__(self, program: Any, name: str, signature: str):
        self.name, self.program, self.signature = name, program, signature
        self.handle = cl.Kernel(program, name)
        if self.handle.num_args != len(signature):
            raise DeviceError(f"kernel {name} has {self.handle.num_args} arguments, not {len(signature)}")
        self.handle.set_scalar_arg_dtypes([SCALARS[letter] for letter in signature])
        self.set_args: Callable[..., None] = self.handle.set_args


class Bound:
    """A launch with all its sizes: a kernel of its own whose constant arguments are set once.

    The arguments are buffers first, then the *varying* scalars (offsets, then numbers; ``varying`` gives their
    signature letters), then the constants. Only what differs from the call before is set again.
    """

    __slots__ = ("kernel", "handle", "global_size", "local_size", "buffers", "varying", "floats", "current",
                 "_set_bytes", "_packers")

    def __init__(self, kernel: Kernel, global_size: tuple[int, ...], local_size: tuple[int, ...], buffers: int,
                 varying: str, constants: tuple):
        self.kernel = Kernel(kernel.program, kernel.name, kernel.signature)
        self.handle = self.kernel.handle
        self.global_size, self.local_size, self.buffers, self.varying = global_size, local_size, buffers, varying
        # Where the floating-point numbers begin: a zero among them is always set again, as -0.0 equals 0.0.
        self.floats = next((n for n, letter in enumerate(varying) if letter in "fd"), None)
        self.current: tuple | None = None
        # An argument given as packed bytes takes half a microsecond; given as a NumPy number, twenty: pyopencl then
        # tries in turn what else it could be.
        self._set_bytes = getattr(self.handle, "_set_arg_buf", self.handle.set_arg)
        self._packers = [_PACKERS[letter] for letter in varying]
        for position, value in enumerate(constants, buffers + len(varying)):
            self._set_bytes(position, _PACKERS[kernel.signature[position]](value))

    def set_varying(self, values: tuple) -> None:
        """Sets the varying scalars; the caller holds the device's lock."""
        set_bytes, position = self._set_bytes, self.buffers
        for pack, value in zip(self._packers, values, strict=True):
            set_bytes(position, pack(value))
            position += 1
        self.current = values


class _ForkedLock:
    """Stands for a device's lock in a forked child, where drivers hang: whoever takes it gets an error."""

    def __enter__(self) -> None:
        raise ForkedProcessError("this process was forked after OpenCL was used, and drivers do not survive a fork; "
                                 "start processes with multiprocessing's 'spawn' or 'forkserver' method")

    def __exit__(self, *exception: object) -> None:
        """Never reached: entering raises."""


class Device:
    """An OpenCL device in use. Everything that reaches the driver goes through it."""

    def __init__(self, handle: Any, index: int, limits: Limits):
        self.index, self.limits = index, limits
        self.is_cpu = limits.is_cpu
        self.context = cl.Context([handle])
        self.queue = cl.CommandQueue(self.context, handle)
        self.lock: Any = threading.Lock()
        self.clock = Clock()
        self.shared_memory = limits.is_cpu and self._shares_memory()
        self.pool = Pool(self.context, limits, self.clock, self.shared_memory)
        self.pool.finish = self.synchronize
        self.allocate = self.pool.allocate
        self.recorder: Callable[[Kernel, Any], None] | None = None
        self._programs: dict[tuple, Any] = {}
        self._kernels: dict[tuple, Kernel] = {}
        self._building = threading.Lock()
        self._faults: dict[str, tuple[Block, np.ndarray]] = {}
        self._retired: list[Any] = []
        self._retired_bytes = 0
        _open.add(self)

    def __repr__(self) -> str:
        return f"<OpenCL device {self.index}: {self.limits.name}>"

    def kernel(self, file: str, name: str, macros: Mapping[str, object], signature: str, *,
               prelude: str = "") -> Kernel:
        """The kernel ``name`` of ``cl_kernels/file`` built with ``macros``; built at first use, then kept.

        ``signature`` has a letter an argument: P buffer, i int32, l int64, f float32, d float64. ``prelude`` is
        generated C that is placed before the file's text.
        """
        program_key = (file, tuple(sorted(macros.items())), prelude)
        key = (*program_key, name)
        found = self._kernels.get(key)
        if found is None:
            with self._building:
                program = self._programs.get(program_key)
                if program is None:
                    program = self._programs[program_key] = build(self.context, file, macros, prelude, self.limits)
                found = self._kernels.setdefault(key, Kernel(program, name, signature))
        return found

    def launch(self, kernel: Kernel, global_size: tuple[int, ...], local_size: tuple[int, ...], args: tuple) -> None:
        """Enqueues a kernel and returns at once. Every computation of clgrad passes here."""
        try:
            with self.lock:
                kernel.set_args(*args)
                event = enqueue(self.queue, kernel.handle, global_size, local_size)
                self.clock.submitted += 1
        except cl.Error as error:
            raise self.explain(error, f"launching {kernel.name} over {global_size} in {local_size}") from error
        if self.recorder is not None:
            self.recorder(kernel, event)

    def run(self, bound: Bound, buffers: tuple, varying: tuple) -> None:
        """Like :meth:`launch`, for a bound kernel: the way of the operators that run most often."""
        try:
            with self.lock:
                if varying != bound.current or (bound.floats is not None and 0 in varying[bound.floats:]):
                    bound.set_varying(varying)
                handle = bound.handle
                for position, buffer in enumerate(buffers):
                    handle.set_arg(position, buffer)
                event = enqueue(self.queue, handle, bound.global_size, bound.local_size)
                self.clock.submitted += 1
        except cl.Error as error:
            raise self.explain(error, f"launching {bound.kernel.name} over {bound.global_size}") from error
        if self.recorder is not None:
            self.recorder(bound.kernel, event)

    def synchronize(self) -> None:
        """Waits until everything that was enqueued has finished."""
        with self.lock:
            reached = self.clock.submitted
            try:
                self.queue.finish()
            except cl.Error as error:
                raise self.explain(error, "waiting for the device") from error
            self.clock.completed = reached
            self._retired.clear()
            self._retired_bytes = 0
        if self._faults:
            self._raise_faults()

    def fault_word(self, message: str) -> Any:
        """The buffer of an int32 that a kernel sets to 1 where it met bad data (an index out of range).

        It is looked at when somebody waits for the device, who then gets IndexError(message).
        """
        found = self._faults.get(message)
        if found is None:
            block = self.pool.allocate_idle(4)
            word = block.host[:4].view(np.int32) if block.host is not None else np.zeros(1, np.int32)
            word[:] = 0
            if block.host is None:
                self.upload(block, word)
            found = self._faults[message] = (block, word)
        return found[0].buffer

    def _raise_faults(self) -> None:
        for message, (block, word) in list(self._faults.items()):
            if block.host is None:
                self.download(block, word)
            if word[0]:
                word[0] = 0
                if block.host is None:
                    self.upload(block, word)
                raise IndexError(message)

    def fill(self, block: Block, pattern: np.ndarray, nbytes: int) -> None:
        """Enqueues filling the first ``nbytes`` of a block with a repeated pattern of 1 to 8 bytes."""
        with self.lock:
            cl.enqueue_fill_buffer(self.queue, block.buffer, pattern, 0, nbytes)
            self.clock.submitted += 1

    def upload(self, block: Block, host: np.ndarray) -> None:
        """Copies host bytes into a block; returns when they may be changed again."""
        with self.lock:
            cl.enqueue_copy(self.queue, block.buffer, host, is_blocking=True)

    def download(self, block: Block, host: np.ndarray, byte_offset: int = 0) -> None:
        """Copies bytes of a block to the host, after everything that was enqueued before."""
        with self.lock:
            cl.enqueue_copy(self.queue, host, block.buffer, src_offset=byte_offset, is_blocking=True)
            self.clock.completed = self.clock.submitted

    def wrap(self, host: np.ndarray) -> Any:
        """A buffer over memory that the host owns, used in place."""
        return cl.Buffer(self.context, cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR, hostbuf=host)

    def retire(self, keep: Any, nbytes: int) -> None:
        """Keeps host memory alive until the launches enqueued so far, which may use it, have finished."""
        self._retired.append(keep)
        self._retired_bytes += nbytes
        if self._retired_bytes > 1 << 28:
            self.synchronize()

    def explain(self, error: Exception, doing: str) -> DeviceError:
        """A driver's error code as a sentence."""
        return DeviceError(f"{self.limits.name} ({self.limits.platform}): {doing} failed: {error}")

    def _shares_memory(self) -> bool:
        """Whether buffers over host memory really are that memory: tried once with a few bytes each way."""
        host = np.zeros(1024, np.uint8)
        buffer = self.wrap(host)
        cl.enqueue_fill_buffer(self.queue, buffer, np.uint8(7), 0, host.nbytes)
        self.queue.finish()
        if not (host == 7).all():
            return False
        host[:] = np.arange(host.size) % 251
        back = np.empty_like(host)
        cl.enqueue_copy(self.queue, back, buffer)
        return bool((back == host).all())


_open: weakref.WeakSet[Device] = weakref.WeakSet()


def _refuse_in_child() -> None:
    for device in _open:
        device.lock = _ForkedLock()


def _finish_all() -> None:
    """Before the interpreter takes memory apart, kernels that use it have to end."""
    for device in list(_open):
        if not isinstance(device.lock, _ForkedLock):
            with contextlib.suppress(IndexError, DeviceError):  # nobody is left to tell
                device.synchronize()


atexit.register(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_refuse_in_child)
