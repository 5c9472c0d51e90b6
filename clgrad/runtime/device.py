"""An open device: its context, its in-order queue, its kernels, and the one function that launches them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clgrad.errors import BadIndexError, DeviceError, DeviceLostError, ForkedProcessError, OutOfMemoryError
from clgrad.runtime import interrupts
from clgrad.runtime.kernel import Bound, Kernel, Lane
from clgrad.runtime.limits import Limits
from clgrad.runtime.memory import Block, Clock, Pool
from clgrad.runtime.opencl import cl

MOST_RETIRED = 1 << 28  # bytes of host memory that are kept for launches that may use it
SMALL_FILL = 1 << 18  # bytes that the caller's thread fills sooner than another wakes up
FILLED_AT_ONCE = 64  # bytes; memory of the pool is a multiple of it


# What drivers answer when a device is gone; -9999 is NVIDIA's for a kernel that left its memory.
_LOST = (-2, -14, -33, -34, -36, -9999)
_FULL = (-4,)  # MEM_OBJECT_ALLOCATION_FAILURE: some drivers take memory only when a kernel is launched


class _Refusal:
    """Stands for a device's lock where the device must not be used any more: whoever takes it gets an error.

    So a forked child, where drivers hang, and a device that is lost cost working devices nothing.
    """

    def __init__(self, kind: type[DeviceError], *message: str):
        self.kind, self.message = kind, message

    def __enter__(self) -> None:
        raise self.kind(*self.message)

    def __exit__(self, *exception: object) -> None:
        """Never reached: entering raises."""


class Device:
    """An OpenCL device in use. Everything that reaches the driver goes through it.

    ``companion`` is the OpenCL device that runs launches in the caller's thread, where there is one (see
    :class:`~clgrad.runtime.kernel.Lane`). It is used for small launches while nothing else is under way, so that the
    order of launches is kept: what it runs is over when it returns.
    """

    has_memory = True  # the device ``meta`` has none

    def __init__(self, handle: Any, index: int, limits: Limits, companion: Any = None):
        self.index, self.limits = index, limits
        self.is_cpu = limits.items_are_threads
        self.context = cl.Context([handle] if companion is None else [handle, companion])
        self.lane = Lane(self.context, handle, limits)
        self.lock: Any = threading.Lock()
        self.clock = Clock()
        self._wrapped_bytes = 0  # since the last wait
        self.shared_memory = limits.is_cpu and self._shares_memory()
        self.here = Lane(self.context, companion, limits) if companion is not None and self.shared_memory else None
        self._latest: Any = None  # the event of the last launch on ``lane``, while it may be under way
        self.pool = Pool(self.context, limits, self.clock, self.shared_memory)
        self.pool.finish = self.synchronize
        self.allocate = self.pool.allocate
        # Called after each launch with what was launched, its event, its buffers and numbers.
        self.recorder: Callable[[Bound, Any, Sequence, tuple], None] | None = None
        self.recording: Any = None  # told of fills and fault words: see clgrad/runtime/recording.py
        self.tables: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # see Storage.hold_table
        self.moves = 0  # how often memory was copied from or to the host, looked at by it, or filled with random numbers
        self._kernels: dict[tuple, Kernel] = {}
        self._faults: dict[str, tuple[Block, np.ndarray]] = {}
        self._suspects: set[str] = set()  # faults that launches since the last look may have set
        # Host memory whose storage has died, with its buffer: kept until the launches that may use it have finished.
        self.retired: list[tuple[Any, np.ndarray]] = []
        _open.add(self)

    def __repr__(self) -> str:
        return f"<OpenCL device {self.index}: {self.limits.name}>"

    def kernel(self, file: str, name: str, macros: Mapping[str, object], signature: str, *,
               prelude: str = "") -> Kernel:
        """The kernel ``name`` of ``cl_kernels/file`` built with ``macros``; the same object for the same source.

        ``signature`` has a letter an argument: P buffer, i int32, l int64, f float32, d float64. ``prelude`` is
        generated C that is placed before the file's text.
        """
        key = (file, tuple(sorted(macros.items())), prelude, name)
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels.setdefault(key, Kernel(file, name, macros, signature, prelude))
        return found

    def run(self, bound: Bound, buffers: Sequence, varying: tuple) -> None:
        """Enqueues a launch and returns at once, a small one when it is over. Every computation of clgrad passes here."""
        held = None
        try:
            with self.lock:
                here = bound.small and self.here is not None and (self._latest is None or self._finished())
                lane = self.here if here else self.lane
                arguments = bound.lanes.get(lane)  # type: ignore[arg-type]
                if arguments is None:  # its first launch compiles it
                    held = interrupts.hold()
                    arguments = bound.on(lane)  # type: ignore[arg-type]
                if varying != arguments.numbers or (bound.floats is not None and 0 in varying[bound.floats:]):
                    arguments.set_numbers(varying)
                set_buffer = arguments.set_buffer
                for position, buffer in enumerate(buffers):
                    set_buffer(position, buffer)
                event = lane.enqueue(arguments.handle, bound.global_size, arguments.local_size)  # type: ignore[union-attr]
                self.clock.submitted += 1
                if not here:
                    self._latest = event
        except cl.Error as error:
            raise self.explain(error, f"launching {bound.kernel.name} over {bound.global_size}") from error
        finally:
            if held is not None:
                interrupts.release(held)
        if self.recorder is not None:
            self.recorder(bound, event, buffers, varying)

    def _finished(self) -> bool:
        """Whether all launches have finished, as the driver says without waiting; the caller holds the lock."""
        if self._latest.command_execution_status != cl.command_execution_status.COMPLETE:
            return False
        self._latest = None
        return True

    def synchronize(self) -> None:
        """Waits until everything that was enqueued has finished."""
        with self.lock:
            reached = self.clock.submitted
            if self._latest is not None:
                try:
                    self.lane.queue.finish()
                except cl.Error as error:
                    raise self.explain(error, "waiting for the device") from error
                self._latest = None
            self.clock.completed = reached
            self.retired.clear()
            self._wrapped_bytes = 0
        if self._faults:
            self._raise_faults()

    def fault_word(self, message: str) -> Any:
        """The buffer of an int32 that a kernel sets to 1 where it met bad data (an index out of range).

        It is looked at when somebody waits for the device, who then gets BadIndexError(message).
        """
        found = self._faults.get(message)
        if found is None:
            block = self.pool.allocate_idle(4)
            word = block.host[:4].view(np.int32) if block.host is not None else np.zeros(1, np.int32)
            word[:] = 0
            if block.host is None:
                self.upload(block, word)
            found = self._faults[message] = (block, word)
        self._suspects.add(message)
        if self.recording is not None:
            self.recording.word(found[0].buffer, message)
        return found[0].buffer

    def idle(self) -> bool:
        """Whether all launches have finished, told without waiting."""
        with self.lock:
            return self._latest is None or self._finished()

    def raise_fault(self, message: str) -> None:
        """The BadIndexError of a fault word right after the launch, where the launch is known to have finished."""
        block, word = self._faults[message]
        if block.host is not None and word[0] and self.idle():
            self._raise_faults()

    def _raise_faults(self) -> None:
        for message in list(self._faults if self.shared_memory else self._suspects):
            self._suspects.discard(message)
            block, word = self._faults[message]
            if block.host is None:
                self._copy_back(block, word, 0)
            if word[0]:
                word[0] = 0
                if block.host is None:
                    self.upload(block, word)
                raise BadIndexError(message)

    def fill(self, block: Block, pattern: np.ndarray, nbytes: int, start: int = 0) -> None:
        """Fills ``nbytes`` of a block with a repeated pattern of 1 to 16 bytes, in the order of launches."""
        if self.is_cpu and nbytes > SMALL_FILL and not start:  # where drivers have one thread fill a buffer
            value = np.full(16 // pattern.itemsize, pattern, pattern.dtype).view(np.int64)
            self.run(self._fill, (block.buffer,), (int(value[0]), int(value[1]), -(-nbytes // FILLED_AT_ONCE)))
            return
        with self.lock:
            if self.here is not None and (self._latest is None or self._finished()):
                block.host[start:start + nbytes].view(pattern.dtype)[:] = pattern  # type: ignore[index]
            else:
                try:
                    self._latest = cl.enqueue_fill_buffer(self.lane.queue, block.buffer, pattern, start, nbytes)
                except cl.Error as error:
                    raise self.explain(error, f"filling {nbytes:,} bytes") from error
                self.clock.submitted += 1
        if self.recording is not None:
            self.recording.filled(block, pattern, nbytes, start)

    @functools.cached_property
    def _fill(self) -> Bound:
        parts = 8 * self.limits.compute_units
        # A launch for all sizes: the cost, which is not known, is that of no small one.
        return Bound(self.kernel("fill.cl", "fill", {}, "Plll"), (parts,), (1,), 1, "lll", (), (0, 1 << 20))

    def upload(self, block: Block, host: np.ndarray) -> None:
        """Copies host bytes into a block; returns when they may be changed again."""
        self.moves += 1
        with self.lock:
            try:
                cl.enqueue_copy(self.lane.queue, block.buffer, host, is_blocking=True)
            except cl.Error as error:
                raise self.explain(error, f"moving {host.nbytes:,} bytes to the device") from error

    def download(self, block: Block, host: np.ndarray, byte_offset: int = 0) -> None:
        """Copies bytes of a block to the host, after everything that was enqueued before; IndexError as of a wait."""
        self._copy_back(block, host, byte_offset)
        if self._suspects:
            self._raise_faults()

    def _copy_back(self, block: Block, host: np.ndarray, byte_offset: int) -> None:
        self.moves += 1
        with self.lock:
            try:
                cl.enqueue_copy(self.lane.queue, host, block.buffer, src_offset=byte_offset, is_blocking=True)
            except cl.Error as error:
                raise self.explain(error, f"moving {host.nbytes:,} bytes from the device") from error
            self.clock.completed = self.clock.submitted

    def wrap(self, host: np.ndarray) -> Any:
        """A buffer over memory that the host owns, used in place."""
        self._wrapped_bytes += host.nbytes
        if self._wrapped_bytes > MOST_RETIRED:
            self.synchronize()
        return cl.Buffer(self.context, cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR, hostbuf=host)

    def explain(self, error: Exception, doing: str) -> DeviceError:
        """A driver's error code as a sentence. Where it says that the device is gone, nobody uses it from now on."""
        message = f"{self.limits.name} ({self.limits.platform}): {doing} failed: {error}"
        code = getattr(error, "code", None)
        if code in _FULL:
            return OutOfMemoryError(f"{message}. {self.pool.figures()}")
        if code not in _LOST:
            return DeviceError(message)
        message = f"{message}. This device is lost, with the tensors on it; other devices can still be used"
        self.lock = _Refusal(DeviceLostError, message)
        return DeviceLostError(message)

    def _shares_memory(self) -> bool:
        """Whether buffers over host memory really are that memory: tried once with a few bytes each way."""
        host = np.zeros(1024, np.uint8)
        buffer = self.wrap(host)
        cl.enqueue_fill_buffer(self.lane.queue, buffer, np.uint8(7), 0, host.nbytes)
        self.lane.queue.finish()
        if not (host == 7).all():
            return False
        host[:] = np.arange(host.size) % 251
        back = np.empty_like(host)
        cl.enqueue_copy(self.lane.queue, back, buffer)
        return bool((back == host).all())


_open: weakref.WeakSet[Device] = weakref.WeakSet()


def _refuse_in_child() -> None:
    for device in _open:
        device.lock = _Refusal(ForkedProcessError)


def _finish_all() -> None:
    """Before the interpreter takes memory apart, kernels that use it have to end."""
    for device in list(_open):
        if not isinstance(device.lock, _Refusal):
            with contextlib.suppress(IndexError, DeviceError):  # nobody is left to tell
                device.synchronize()


atexit.register(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_refuse_in_child)
