"""Storage: a tensor's memory, with a host half and a device half, moved only when somebody looks.

Where device and host share memory (:class:`SharedStorage`) the halves are the same bytes, and looking only waits for
the queue. Elsewhere (:class:`DiscreteStorage`) a storage begins as a host array or a fill value, goes to the device
when the first kernel needs it, and is copied back when its values are asked for.

Host memory that was handed out (``numpy()``, ``from_numpy``) is *exported*: its holder may read or write it at any
moment. So its ``buffer`` stays None, each use passes through :meth:`Storage.acquire`, and the operation ends with
:func:`settle`, which waits and makes what was written visible.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from clgrad.errors import OutOfMemoryError
from clgrad.runtime.device import Device
from clgrad.runtime.memory import Block
from clgrad.runtime.meta import NOTHING
from clgrad.runtime.shared import SharedFile

# Bytes from which on a storage's ``buffer`` is None, too: offsets into it may not fit the 32 bits with which kernels for
# small operands count, and only those who ask by ``acquire`` look at them.
LARGE = 1 << 31
_NOTHING = bool  # gives nothing back
KNOWN_MOST = 1 << 16  # bytes of a fill value that are written out for a look
ALIGNMENT = 64  # bytes; vectors that cross it cost a second access
SMALLEST_ALIGNED = 1 << 11  # bytes


_eras = itertools.count(1)
_current: set[int] = set()  # the eras that have begun and not ended


def begin_era() -> int:
    """From now on storages note the youngest era, so that they can be told from those made before."""
    era = next(_eras)
    _current.add(era)
    return era


def end_era(era: int) -> None:
    """Ends an era."""
    _current.discard(era)


class _Export:
    """Handed-out memory: arrays made from it have it as their base. When it dies, nobody looks any more."""

    __slots__ = ("__array_interface__", "keep", "__weakref__")

    def __init__(self, memory: np.ndarray, storage: Storage):
        self.__array_interface__ = memory.__array_interface__
        self.keep = (memory, storage)


class _Touched(threading.local):
    """The exported storages that the current thread's operation uses, and whether it writes them."""

    def __init__(self) -> None:
        self.storages: list[tuple[Storage, bool]] = []


_touched = _Touched()


def settle() -> None:
    """Ends an operation that acquired exported storages: waits for it and publishes what it wrote."""
    touched, _touched.storages = _touched.storages, []
    for device in {storage.device for storage, _ in touched}:
        device.synchronize()
    for storage, written in touched:
        if written:
            storage.publish()


class Storage:
    """``nbytes`` of memory on whose contents ``device`` computes.

    ``buffer`` is what kernels get, or None where :meth:`acquire` has to be asked. ``version`` counts in-place changes:
    autograd compares it with what it was when a tensor was saved.
    """

    # What gives the memory back when the storage dies. It is no method: Python would lose a Ctrl-C that arrives in it.
    __slots__ = ("__del__", "__dict__", "__weakref__")
    __del__: Callable[[], object]

    # What few storages have stays in the class, so that making one is cheap.
    version = 0
    era = 0  # the youngest of those in which it was made
    checked: Any = None  # what was found in order when somebody looked at the contents, with its version
    _host: np.ndarray | None = None
    _fill: np.generic | None = None
    _foreign = False
    _export: weakref.ref[_Export] | None = None
    face: weakref.ref[Any] | None = None  # what programs see of it, while they do
    file: SharedFile | None = None  # what the contents are in, where other processes see them
    _block: Block | None = None

    def __init__(self, device: Device, nbytes: int, block: Block | None = None):
        self.device, self.nbytes = device, nbytes
        self.buffer: Any = None
        if block is None:
            self.__del__ = _NOTHING
        else:
            self._block, self.__del__ = block, block.release
            if nbytes < LARGE:
                self.buffer = block.buffer
        if _current:
            self.era = max(_current, default=0)  # the last may have ended in the meantime, in another thread

    @property
    def exported(self) -> bool:
        """Whether somebody outside holds this memory."""
        return self._foreign or (self._export is not None and self._export() is not None)

    @property
    def filling(self) -> np.generic | None:
        """What repeats in all of it, as long as nobody has looked; else None."""
        return self._fill if self._block is None and self._host is None else None

    def acquire(self, write: bool = False) -> Any:
        """The buffer to pass to a kernel, with the current values in it."""
        raise NotImplementedError

    def refill(self, pattern: np.generic, start: int, nbytes: int) -> bool:
        """Fills ``nbytes`` from ``start`` on, all of them now or when somebody looks; says whether it could: others may hold
        this memory."""
        if self._block is None and self._host is None:
            if nbytes == self.nbytes:
                self._fill = pattern
                return True
            self.acquire(True)
        if self._block is None or self.buffer is None or not nbytes:
            return False
        self.device.fill(self._block, np.asarray(pattern), nbytes, start)
        return True

    def read(self) -> np.ndarray:
        """The current bytes, to look at now: neither to be changed nor to be kept."""
        raise NotImplementedError

    def read_element(self, offset: int, nbytes: int) -> np.ndarray:
        """``nbytes`` bytes from ``offset`` on, moving no more than those."""
        raise NotImplementedError

    def overwritten(self, offset: int, nbytes: int) -> np.ndarray | None:
        """``nbytes`` bytes from ``offset`` on, in place, for the host to write now; None where it cannot reach them."""
        return None

    def known(self) -> np.ndarray | None:
        """The bytes, to look at now, where that costs neither waiting nor a transfer; else None."""
        if self._fill is not None and self._block is None and 0 < self.nbytes <= KNOWN_MOST:
            return np.full(self.nbytes // self._fill.itemsize, self._fill).view(np.uint8)
        return None

    def export(self) -> np.ndarray:
        """The bytes as an array that shares this storage's memory from now on."""
        if self._foreign and self._host is not None:
            return self._host
        existing = self._export() if self._export is not None else None
        if existing is None:
            existing = _Export(self._exportable(), self)
            self._export = weakref.ref(existing)
        return np.asarray(existing)

    def hold_table(self) -> None:
        """Says that the contents never change: launches that are recorded may use them again and again."""
        if self.device.has_memory:
            self.device.tables[id(self.acquire())] = self

    def publish(self) -> None:
        """Makes what kernels wrote visible in exported memory."""

    def address(self) -> int:
        """The host address of the contents; where they are not in host memory, a number of their own."""
        if self._host is not None:
            return self._host.ctypes.data
        if self._block is not None:
            return self._block.host.ctypes.data if self._block.host is not None else self._block.buffer.int_ptr
        return 0

    def wrote(self, counted: bool = True) -> None:
        """Notes that a kernel changes the contents; ``counted``: those who saved them are to notice."""
        if counted:
            self.version += 1

    def resize(self, nbytes: int) -> None:
        """Another size for all who use this storage; the first bytes stay.

        Raises:
            RuntimeError: somebody outside holds the memory.
            OutOfMemoryError: there is not as much.
        """
        if self.exported:
            raise RuntimeError("Trying to resize storage that is not resizable: its memory is shared with an array")
        try:
            grown = np.zeros(nbytes, np.uint8)
        except MemoryError as error:
            raise OutOfMemoryError(f"can't allocate {nbytes:,} bytes of host memory") from error
        kept = min(nbytes, self.nbytes)
        if kept and (self._block is not None or self._host is not None or self._fill is not None):
            grown[:kept] = self.read()[:kept]
        self._drop()
        self._host, self._fill, self.buffer, self.nbytes = grown, None, None, nbytes

    def move_to(self, file: SharedFile) -> None:
        """Takes the contents into memory that other processes see, for all who use this storage."""
        file.bytes[:] = self.read()
        self._drop()
        self._host, self._fill, self.buffer, self._foreign, self.file = file.bytes, None, None, True, file

    def _drop(self) -> None:
        """Gives back what the device half holds."""
        self.__del__()
        self.__del__, self._block = _NOTHING, None

    def _hold(self, block: Block) -> Block:
        self._block, self.__del__ = block, block.release
        return block

    def _exportable(self) -> np.ndarray:
        raise NotImplementedError

    def _allocate(self) -> Block:
        """Makes the device half, filled where a fill value is waiting."""
        block = self._hold(self.device.allocate(self.nbytes))
        if self._fill is not None:
            if self.nbytes:
                self.device.fill(block, np.asarray(self._fill), self.nbytes)
            self._fill = None
        return block


class SharedStorage(Storage):
    """Storage on a device that works in the host's memory: one half, either a block of the pool or a host array."""

    _wrapped: Any = None

    def _drop(self) -> None:
        super()._drop()
        self._wrapped = None

    def acquire(self, write: bool = False) -> Any:
        if self._block is not None:
            buffer = self._block.buffer
        elif self._host is None or not self.nbytes:
            buffer = self._allocate().buffer
        else:
            if self._wrapped is None:
                self._wrapped = self.device.wrap(self._host)
                self.__del__ = partial(self.device.retired.append, (self._wrapped, self._host))
            buffer = self._wrapped
        if self.exported:
            _touched.storages.append((self, write))
        elif self.nbytes < LARGE:
            self.buffer = buffer
        return buffer

    def read(self) -> np.ndarray:
        self.device.moves += 1
        if self._block is None and self._host is None:
            block = self._hold(self.device.pool.allocate_idle(self.nbytes))
            self.buffer = block.buffer if self.nbytes < LARGE else None
            assert block.host is not None
            made = block.host[:self.nbytes]
            if self._fill is not None:
                made.view(self._fill.dtype)[:] = self._fill
                self._fill = None
            return made  # no launch uses it: there is nothing to wait for
        if self.device.clock.completed != self.device.clock.submitted and (self._block or self._wrapped) is not None:
            self.device.synchronize()
        host = self._block.host if self._block is not None else self._host
        assert host is not None
        return host[:self.nbytes]

    def read_element(self, offset: int, nbytes: int) -> np.ndarray:
        return self.read()[offset:offset + nbytes]

    def overwritten(self, offset: int, nbytes: int) -> np.ndarray | None:
        self.wrote()
        return self.read()[offset:offset + nbytes]

    def known(self) -> np.ndarray | None:
        untouched = self._host is not None and self._wrapped is None and self._block is None
        if untouched or (self._block is not None and self.device.idle()):
            return self.read()
        return super().known()

    def _exportable(self) -> np.ndarray:
        self.buffer, memory = None, self.read()
        self.buffer = None
        return memory


class DiscreteStorage(Storage):
    """Storage on a device with memory of its own.

    ``_host`` holds the truth while it exists and is not exported (it waits for its first use); exported, it holds the
    truth between operations. Otherwise the truth is in ``_block``, or is ``_fill``.
    """

    _snapshot: np.ndarray | None = None

    def _drop(self) -> None:
        super()._drop()
        self._snapshot = None

    def acquire(self, write: bool = False) -> Any:
        block = self._block or self._allocate()
        if self._host is not None and self.nbytes:
            self.device.upload(block, self._host)
        if self.exported:
            _touched.storages.append((self, write))
        else:
            self._host, self.buffer = None, block.buffer if self.nbytes < LARGE else None
        return block.buffer

    def wrote(self, counted: bool = True) -> None:
        self._snapshot = None
        super().wrote(counted)

    def publish(self) -> None:
        if self._host is not None and self._block is not None and self.nbytes:
            self.device.download(self._block, self._host)

    def read(self) -> np.ndarray:
        if self._host is not None:
            return self._host
        if self._snapshot is not None:
            return self._snapshot
        host = np.empty(self.nbytes, np.uint8)
        if self._fill is not None:
            host.view(self._fill.dtype)[:] = self._fill
        elif self._block is not None and self.nbytes:
            self.device.download(self._block, host)
        self._snapshot = host
        return host

    def read_element(self, offset: int, nbytes: int) -> np.ndarray:
        if self._host is not None or self._fill is not None or self._snapshot is not None or self._block is None:
            return self.read()[offset:offset + nbytes]
        host = np.empty(nbytes, np.uint8)
        self.device.download(self._block, host, offset)
        return host

    def known(self) -> np.ndarray | None:
        found = self._host if self._host is not None else self._snapshot
        return super().known() if found is None else found

    def _exportable(self) -> np.ndarray:
        memory = self.read()
        self._host, self._snapshot, self.buffer, self._fill = memory, None, None, None
        return memory


class MetaStorage(Storage):
    """Storage on the device ``meta``: a size without contents."""

    def __init__(self, device: Device, nbytes: int, block: Any = None):
        super().__init__(device, nbytes)
        self.buffer = NOTHING

    def acquire(self, write: bool = False) -> Any:
        return NOTHING

    def refill(self, pattern: np.generic, start: int, nbytes: int) -> bool:
        return True

    def read(self) -> np.ndarray:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def read_element(self, offset: int, nbytes: int) -> np.ndarray:
        return self.read()

    def resize(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def _exportable(self) -> np.ndarray:
        return self.read()


def new_storage(device: Device, nbytes: int, block: Block | None = None) -> Storage:
    """Uninitialised storage; without ``block`` its memory is taken at first use."""
    kind = SharedStorage if device.shared_memory else DiscreteStorage if device.has_memory else MetaStorage
    return kind(device, nbytes, block)


def result_storage(device: Device, nbytes: int) -> Storage:
    """Uninitialised storage with its memory: for what a kernel is about to write."""
    if device.shared_memory:
        return SharedStorage(device, nbytes, device.allocate(nbytes))
    return new_storage(device, nbytes, device.allocate(nbytes))


def host_array(shape: Sequence[int], kind: Any) -> np.ndarray:
    """An uninitialised array; from ``SMALLEST_ALIGNED`` bytes on it begins, as a device's vectors do, at a multiple of 64."""
    nbytes = prod(shape) * np.dtype(kind).itemsize
    if nbytes < SMALLEST_ALIGNED:
        return np.empty(shape, kind)
    whole = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start:start + nbytes].view(kind).reshape(shape)


def host_copy(values: np.ndarray, kind: Any = None) -> np.ndarray:
    """A contiguous copy of an array in memory of :func:`host_array`, converted to ``kind``."""
    made = host_array(values.shape, values.dtype if kind is None else kind)
    np.copyto(made, values, "unsafe")
    return made


def host_storage(device: Device, data: np.ndarray, *, foreign: bool = False) -> Storage:
    """Storage whose contents are those of a contiguous host array, which it keeps; ``foreign``: others hold it too."""
    storage = new_storage(device, data.nbytes)
    if not device.has_memory:
        return storage
    storage._host = data.reshape(-1).view(np.uint8)
    storage._foreign = foreign
    return storage


def filled_storage(device: Device, nbytes: int, pattern: np.generic) -> Storage:
    """Storage in which ``pattern`` repeats; written when somebody looks."""
    storage = new_storage(device, nbytes)
    if device.has_memory:
        storage._fill = pattern
    return storage
