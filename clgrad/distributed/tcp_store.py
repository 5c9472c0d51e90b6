"""``TCPStore``: keys and values in one process, its master, that others reach over the network.

A request and a reply are lists of fields: their number, then each one's length and bytes. The first field of a request is
the operation's name, that of a reply says how it went. A connection has a thread of the master that answers it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from clgrad.distributed.errors import DistNetworkError, DistStoreError, QueueEmptyError
from clgrad.distributed.stores import TIMEOUT, Store, Table, to_bytes

_JOINED = "init/"  # counts who has come
_GRACE = 30.0  # seconds that an answer may take longer than what it waits for
_RETRY = 0.05  # seconds between attempts to reach a master that is not there yet
_LONGEST = 1 << 30  # bytes of a field: no value of a store is as long


def _send(connection: socket.socket, fields: Sequence[bytes]) -> None:
    parts = [struct.pack("<I", len(fields))]
    for field in fields:
        parts += [struct.pack("<Q", len(field)), field]
    connection.sendall(b"".join(parts))


def read_exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes of a connection.

    Raises:
        ConnectionError: it ends before.
    """
    found = bytearray(count)
    rest = memoryview(found)
    while rest:
        got = connection.recv_into(rest)
        if not got:
            raise ConnectionError("the connection was closed")
        rest = rest[got:]
    return bytes(found)


def _receive(connection: socket.socket) -> list[bytes]:
    fields = []
    for _ in range(struct.unpack("<I", read_exactly(connection, 4))[0]):
        size = struct.unpack("<Q", read_exactly(connection, 8))[0]
        if size > _LONGEST:
            raise ConnectionError("this is no store's connection")
        fields.append(read_exactly(connection, size))
    return fields


def _texts(fields: Sequence[bytes]) -> list[str]:
    return [field.decode() for field in fields]


def _seconds(field: bytes) -> timedelta:
    return timedelta(seconds=float(field))


def _set(table: Table, fields: list[bytes]) -> Sequence[bytes]:
    for key, value in zip(fields[::2], fields[1::2], strict=True):
        table.set(key.decode(), value)
    return ()


def _append(table: Table, fields: list[bytes]) -> Sequence[bytes]:
    table.append(fields[0].decode(), fields[1])
    return ()


def _push(table: Table, fields: list[bytes]) -> Sequence[bytes]:
    table.push(fields[0].decode(), fields[1])
    return ()


# What the master does for a request: the fields behind the operation's name, to the fields of the reply.
_OPERATIONS: dict[bytes, Callable[[Table, list[bytes]], Sequence[bytes]]] = {
    b"set": _set,
    b"get": lambda table, f: table.get(_seconds(f[0]), _texts(f[1:])),
    b"wait": lambda table, f: table.get(_seconds(f[0]), _texts(f[1:]))[:0],
    b"add": lambda table, f: [str(table.add(f[0].decode(), int(f[1]))).encode()],
    b"append": _append,
    b"compare_set": lambda table, f: [table.compare_set(f[0].decode(), f[1], f[2])],
    b"delete": lambda table, f: [b"1" if table.delete(f[0].decode()) else b""],
    b"check": lambda table, f: [b"1" if table.check(_texts(f)) else b""],
    b"push": _push,
    b"pop": lambda table, f: [table.pop(f[1].decode(), _seconds(f[0]))],
    b"length": lambda table, f: [str(table.length(f[0].decode())).encode()],
    b"keys": lambda table, f: [key.encode() for key in table.names()],
}


class _Server:
    """The master's table and the threads that answer for it."""

    def __init__(self, listener: socket.socket):
        self.table, self.listener = Table(), listener
        self.port = listener.getsockname()[1]
        self.connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        threading.Thread(target=_accept, args=(listener, self.table, self.connections), daemon=True,
                         name="store").start()

    def close(self) -> None:
        """Ends the server; who is connected sees that."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    __del__ = close


def _accept(listener: socket.socket, table: Table, connections: weakref.WeakSet) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections.add(connection)
        threading.Thread(target=_answer, args=(connection, table), daemon=True, name="store's member").start()


def _answer(connection: socket.socket, table: Table) -> None:
    with connection, contextlib.suppress(OSError):
        while True:
            operation, *fields = _receive(connection)
            try:
                reply = [b"done", *_OPERATIONS[operation](table, fields)]
            except DistStoreError as error:
                reply = [b"late", str(error).encode()]
            except (ValueError, KeyError, IndexError) as error:
                reply = [b"wrong", f"{type(error).__name__}: {error}".encode()]
            _send(connection, reply)


# Servers of this process, for stores that share one. Of the processes' ids the first is noted: a forked child has none.
_servers: weakref.WeakValueDictionary[tuple[int, int], _Server] = weakref.WeakValueDictionary()


def _listen(port: int, descriptor: int | None) -> socket.socket:
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _in_use(port, error) from error
    try:
        return socket.create_server(("", port), backlog=1024)
    except OSError as error:
        raise _in_use(port, error) from error


def _in_use(port: int, error: OSError) -> DistNetworkError:
    return DistNetworkError(f"The server socket has failed to listen on any local network address. port: {port}, "
                            f"message: {error}")


class TCPStore(Store):
    """The store of all processes that name the same host and port, of which one is its master and holds it.

    Args:
        host_name: the master's name or address.
        port: the master's port; 0 there for any that is free, which is then in ``port``.
        world_size: how many stores there will be; None where that is not known.
        is_master: whether this process is the master.
        timeout: how long to wait for the master, for the others, and for keys. Default: 5 minutes.
        wait_for_workers: whether the master waits until ``world_size`` stores have come. Default: True.
        multi_tenant: whether stores of this process share one server. Default: False.
        master_listen_fd: an open socket that the master is to listen on.
        use_libuv: accepted; there is one server.

    Raises:
        DistNetworkError: the port is in use, or no master is found in time.
        DistStoreError: the others do not come in time.

    >>> master = TCPStore("localhost", 0, is_master=True)
    >>> member = TCPStore("localhost", master.port)
    >>> member.set("key", "value")
    >>> master.get("key")
    b'value'
    """

    def __init__(self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False,
                 timeout: timedelta = TIMEOUT, wait_for_workers: bool = True, multi_tenant: bool = False,
                 master_listen_fd: int | None = None, use_libuv: bool = True):
        self.host, self.timeout, self.libuvBackend = host_name, timeout, use_libuv
        self._server: _Server | None = None
        if is_master:
            shared = _servers.get((os.getpid(), port)) if multi_tenant else None
            self._server = shared or _Server(_listen(port, master_listen_fd))
            port = self._server.port
            _servers.setdefault((os.getpid(), port), self._server)
        self.port = port
        self._idle: list[socket.socket] = []  # connections that no thread uses
        self.add(_JOINED, 1)
        if is_master and wait_for_workers and world_size:
            end = time.monotonic() + timeout.total_seconds()
            while (joined := self.add(_JOINED, 0)) < world_size:
                if time.monotonic() > end:
                    raise DistStoreError(f"Timed out after {timeout.total_seconds():g} seconds waiting for clients. "
                                         f"{joined}/{world_size} clients joined.")
                time.sleep(_RETRY)

    def _connect(self) -> socket.socket:
        end = time.monotonic() + self.timeout.total_seconds()
        while True:
            try:
                connection = socket.create_connection((self.host, self.port), max(0.1, end - time.monotonic()))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if connection.getsockname() == connection.getpeername():  # a free port of the system's may meet itself
                    connection.close()
                    raise ConnectionRefusedError("nobody listens")
                return connection
            except OSError as error:
                if time.monotonic() + _RETRY > end:
                    raise DistNetworkError(
                        f"The client socket has timed out after {round(self.timeout.total_seconds() * 1000)}ms while trying "
                        f"to connect to ({self.host}, {self.port}): {error}") from error
                time.sleep(_RETRY)

    def address(self) -> str:
        """The address of this process as the master sees it, by which others reach it."""
        connection = self._idle.pop() if self._idle else self._connect()
        self._idle.append(connection)
        return connection.getsockname()[0]

    def _ask(self, operation: bytes, *fields: bytes, waiting: timedelta = timedelta(0)) -> list[bytes]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            connection.settimeout(waiting.total_seconds() + _GRACE)
            _send(connection, [operation, *fields])
            how, *reply = _receive(connection)
        except OSError as error:
            connection.close()
            raise DistNetworkError(f"TCPStore: the master at ({self.host}, {self.port}) is lost while '{operation.decode()}' "
                                   f"waits for its answer: {error}") from error
        except BaseException:
            connection.close()  # an answer may still come
            raise
        self._idle.append(connection)
        if how == b"done":
            return reply
        raise (DistStoreError if how == b"late" else ValueError)(reply[0].decode())

    def _wait(self, operation: bytes, keys: Sequence[str], timeout: timedelta) -> list[bytes]:
        return self._ask(operation, str(timeout.total_seconds()).encode(), *(key.encode() for key in keys), waiting=timeout)

    def set(self, key: str, value: str | bytes) -> None:
        self._ask(b"set", key.encode(), to_bytes("set", value))

    def get(self, key: str) -> bytes:
        return self._wait(b"get", [key], self.timeout)[0]

    def add(self, key: str, amount: int) -> int:
        return int(self._ask(b"add", key.encode(), str(amount).encode())[0])

    def append(self, key: str, value: str | bytes) -> None:
        self._ask(b"append", key.encode(), to_bytes("append", value))

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        return self._ask(b"compare_set", key.encode(), to_bytes("compare_set", expected_value),
                         to_bytes("compare_set", desired_value))[0]

    def delete_key(self, key: str) -> bool:
        return self._ask(b"delete", key.encode()) == [b"1"]

    def check(self, keys: list[str]) -> bool:
        return self._ask(b"check", *(key.encode() for key in keys)) == [b"1"]

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        self._wait(b"wait", keys, self.timeout if timeout is None else timeout)

    def multi_get(self, keys: list[str]) -> list[bytes]:
        return self._wait(b"get", keys, self.timeout)

    def multi_set(self, keys: list[str], values: list[str | bytes]) -> None:
        pairs = [(key.encode(), to_bytes("multi_set", value)) for key, value in zip(keys, values, strict=True)]
        self._ask(b"set", *(field for pair in pairs for field in pair))

    def queue_push(self, key: str, value: str | bytes) -> None:
        self._ask(b"push", key.encode(), to_bytes("queue_push", value))

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        if not block and not self.queue_len(key):
            raise QueueEmptyError(f"queue_pop: the queue {key} is empty")
        return self._wait(b"pop", [key], self.timeout)[0]

    def queue_len(self, key: str) -> int:
        return int(self._ask(b"length", key.encode())[0])

    def num_keys(self) -> int:
        return len(self._ask(b"keys"))

    def list_keys(self) -> list[str]:
        return [key.decode() for key in self._ask(b"keys")]

    def clone(self) -> TCPStore:
        made: Any = super().clone()
        made._idle = []
        return made

    def __del__(self) -> None:
        for connection in self.__dict__.get("_idle", ()):
            connection.close()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_server": None, "_idle": []}

    def __repr__(self) -> str:
        return f"TCPStore(host={self.host}, port={self.port}, master={self._server is not None})"
