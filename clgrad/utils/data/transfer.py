"""Objects from one process to another: tensors and arrays travel in shared memory, the rest as a pickle.

Large contents go into anonymous memory of the kernel's (``memfd``), whose descriptor is sent along: it has no name that
could be left behind, and the receiver maps it in place of copying. Where there is no such memory everything is sent
through the pipe.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import socket
import weakref
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.ops import copying
from clgrad.runtime import device
from clgrad.tensor import Tensor

INLINE = 1 << 15
ALIGNMENT = 64
# Each mapping holds a file descriptor, of which a process has few: beyond so many, contents are copied.
MOST_MAPPINGS = 256
_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def _tensor(values: np.ndarray, kind: str, requires_grad: bool) -> Any:
    made = copying.from_array(values, dtypes.BY_NAME[kind], device("cpu"))
    made.requires_grad = requires_grad
    return made


class _Pickler(reduction.ForkingPickler):
    """A pickler that leaves the contents of tensors and arrays to ``buffer_callback``."""

    def __init__(self, file: Any, buffer_callback: Any):
        super().__init__(file, 5)
        # ForkingPickler's own initialiser does not take this argument.
        pickle.Pickler.__init__(self, file, 5, buffer_callback=buffer_callback)

    def reducer_override(self, value: Any) -> Any:
        """Plain tensors of the host as arrays; the rest as it describes itself."""
        if type(value) is Tensor and value.device.type == "cpu" and value.is_leaf:
            return _tensor, (np.array(copying.to_array(value), order="C"), value.dtype.name, value.requires_grad)
        return NotImplemented


class Package:
    """An object made ready for sending, as often as wanted; ``close`` frees what it holds."""

    def __init__(self, value: Any):
        buffers: list[pickle.PickleBuffer] = []
        file = io.BytesIO()
        _Pickler(file, buffers.append).dump(value)
        self.pickle = file.getvalue()
        views = [buffer.raw() for buffer in buffers]
        self.sizes = [view.nbytes for view in views]
        self.memory: int | None = None
        self.inline: list[bytes] = []
        if sum(self.sizes) > INLINE and hasattr(os, "memfd_create"):
            self.memory = os.memfd_create("clgrad")
            try:
                _write(self.memory, views)
            except BaseException:
                self.close()
                raise
        else:
            self.inline = [bytes(view) for view in views]

    def send(self, connection: Connection, header: Any = None) -> None:
        """Sends the object after ``header``, a small value."""
        connection.send((header, self.pickle, self.sizes, self.inline, self.memory is not None))
        if self.memory is not None:
            with _socket_of(connection) as stream:
                socket.send_fds(stream, [b"d"], [self.memory])

    def close(self) -> None:
        """Gives the memory back; receivers keep theirs."""
        if self.memory is not None:
            os.close(self.memory)
            self.memory = None


def _socket_of(connection: Connection) -> socket.socket:
    """What is under a connection. Not by ``multiprocessing.reduction``, which waits for an answer from Python 3.14 on: that
    would keep a worker from going on, and the answer stands among messages."""
    return socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)


def _places(sizes: list[int]) -> list[int]:
    """Where each buffer begins, and where the last one ends."""
    places = [0]
    for size in sizes:
        places.append(places[-1] + -(-size // ALIGNMENT) * ALIGNMENT)
    return places


def _write(memory: int, views: list[memoryview]) -> None:
    places = _places([view.nbytes for view in views])
    os.ftruncate(memory, places[-1])
    for view, place in zip(views, places, strict=False):
        done = 0
        while done < view.nbytes:
            done += os.pwrite(memory, view[done:], place + done)


def send(connection: Connection, header: Any, value: Any) -> None:
    """Sends one object after ``header``, a small value."""
    package = Package(value)
    try:
        package.send(connection, header)
    finally:
        package.close()


def receive(connection: Connection) -> tuple[Any, Any]:
    """Header and object of the next :func:`send`; EOFError where the other side is gone."""
    header, data, sizes, inline, shared = connection.recv()
    if not shared:
        return header, pickle.loads(data, buffers=[bytearray(part) for part in inline])
    with _socket_of(connection) as stream:
        (handle,) = socket.recv_fds(stream, 1, 1)[1] or (None,)
    if handle is None:
        raise EOFError
    places = _places(sizes)
    try:
        if len(_mappings) < MOST_MAPPINGS:
            mapping = mmap.mmap(handle, places[-1], flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
            _mappings.add(mapping)
            memory = memoryview(mapping)
        else:
            memory = memoryview(bytearray(os.pread(handle, places[-1], 0)))
    finally:
        os.close(handle)
    return header, pickle.loads(data, buffers=[memory[place:place + size]
                                               for place, size in zip(places, sizes, strict=False)])
