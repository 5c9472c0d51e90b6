"""Stores: keys and values that the members of a group share. The only member here is this process, so a store is a table.

A FileStore of the same path, and a TCPStore of the same port, is the same table; no file is written, no port opened.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

_TIMEOUT = timedelta(minutes=5)


class DistError(RuntimeError):
    """Something is wrong between the members of a group."""


class DistStoreError(DistError):
    """A key did not come in time."""


class DistNetworkError(DistError):
    """A server is not there."""


class _Table:
    """Values, and queues of them, by their keys; ``changed`` is told of every change."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.queues: dict[str, deque[bytes]] = {}
        self.changed = threading.Condition()


def _bytes(name: str, value: Any) -> bytes:
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{name}(): incompatible function arguments: a value must be str or bytes, not "
                        f"{type(value).__name__}")
    return value.encode() if isinstance(value, str) else value


class Store:
    """What all stores can do."""

    timeout: timedelta = _TIMEOUT

    def __init__(self) -> None:
        self._table, self._prefix = _Table(), ""

    def _key(self, key: str) -> str:
        return self._prefix + key

    def _until(self, keys: Iterable[str], timeout: timedelta, where: dict) -> None:
        """Waits for keys; the table's lock is held."""
        wanted = [self._key(key) for key in keys]
        if not self._table.changed.wait_for(lambda: all(key in where for key in wanted), timeout.total_seconds()):
            raise DistStoreError(f"Wait timeout: {', '.join(key for key in wanted if key not in where)}")

    def set(self, key: str, value: str | bytes) -> None:
        """Writes a value."""
        found = _bytes("set", value)
        with self._table.changed:
            self._table.values[self._key(key)] = found
            self._table.changed.notify_all()

    def get(self, key: str) -> bytes:
        """A value, which is waited for.

        Raises:
            DistStoreError: it does not come in time.
        """
        with self._table.changed:
            self._until([key], self.timeout, self._table.values)
            return self._table.values[self._key(key)]

    def add(self, key: str, amount: int) -> int:
        """Adds to a counter, which begins with 0, and returns it."""
        with self._table.changed:
            total = int(self._table.values.get(self._key(key), b"0")) + amount
            self._table.values[self._key(key)] = str(total).encode()
            self._table.changed.notify_all()
        return total

    def append(self, key: str, value: str | bytes) -> None:
        """Writes behind what is there."""
        found = _bytes("append", value)
        with self._table.changed:
            self._table.values[self._key(key)] = self._table.values.get(self._key(key), b"") + found
            self._table.changed.notify_all()

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        """Writes a value where the expected one stands, or where nothing is expected and there; returns what then stands."""
        expected, desired = _bytes("compare_set", expected_value), _bytes("compare_set", desired_value)
        with self._table.changed:
            present = self._table.values.get(self._key(key))
            if present is None and expected:
                return expected
            if present is None or present == expected:
                present = self._table.values[self._key(key)] = desired
                self._table.changed.notify_all()
        return present

    def delete_key(self, key: str) -> bool:
        """Forgets a key; whether it was there."""
        with self._table.changed:
            return self._table.values.pop(self._key(key), None) is not None

    def check(self, keys: list[str]) -> bool:
        """Whether all keys are there."""
        return all(self._key(key) in self._table.values for key in keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Waits for keys.

        Raises:
            DistStoreError: one does not come in time.
        """
        with self._table.changed:
            self._until(keys, timeout or self.timeout, self._table.values)

    def multi_get(self, keys: list[str]) -> list[bytes]:
        """Several values."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys: list[str], values: list[str | bytes]) -> None:
        """Writes several values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def queue_push(self, key: str, value: str | bytes) -> None:
        """Puts a value at the end of a queue."""
        found = _bytes("queue_push", value)
        with self._table.changed:
            self._table.queues.setdefault(self._key(key), deque()).append(found)
            self._table.changed.notify_all()

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        """Takes the value at the beginning of a queue, which is waited for unless ``block`` is False."""
        with self._table.changed:
            self._until([key], self.timeout if block else timedelta(0), self._table.queues)
            queue = self._table.queues[self._key(key)]
            value = queue.popleft()
            if not queue:
                del self._table.queues[self._key(key)]
        return value

    def queue_len(self, key: str) -> int:
        """How many values a queue holds."""
        return len(self._table.queues.get(self._key(key), ()))

    def num_keys(self) -> int:
        """How many keys there are."""
        return len(self._table.values)

    def list_keys(self) -> list[str]:
        """The keys."""
        return [key.removeprefix(self._prefix) for key in self._table.values if key.startswith(self._prefix)]

    def set_timeout(self, timeout: timedelta) -> None:
        """How long a key is waited for."""
        self.timeout = timeout

    def has_extended_api(self) -> bool:
        """True: there are ``append``, ``multi_get`` and ``multi_set``."""
        return True

    def clone(self) -> Any:
        """Another object with the same table."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made


class HashStore(Store):
    """A store of this process alone.

    >>> store = HashStore()
    >>> store.set("key", "value")
    >>> store.get("key"), store.add("counter", 2)
    (b'value', 2)
    """


_files: WeakValueDictionary[str, _Table] = WeakValueDictionary()
_ports: WeakValueDictionary[int, _Table] = WeakValueDictionary()
_free = itertools.count(49152)


class FileStore(Store):
    """The store of all that name the same path."""

    def __init__(self, file_name: str, world_size: int = -1):
        super().__init__()
        self._table, self.path = _files.setdefault(file_name, self._table), file_name


class TCPStore(Store):
    """The store of all that name the same port, of whom one is its master.

    Args:
        port: 0 for any that is free.

    Raises:
        DistNetworkError: there is no master, or a second one.
    """

    def __init__(self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False,
                 timeout: timedelta = _TIMEOUT, wait_for_workers: bool = True, multi_tenant: bool = False,
                 master_listen_fd: int | None = None, use_libuv: bool = True):
        super().__init__()
        self.host, self.timeout = host_name, timeout
        self.port = next(number for number in _free if number not in _ports) if is_master and not port else port
        if is_master and self.port in _ports and not multi_tenant:
            raise DistNetworkError(f"The server socket has failed to listen on any local network address: port {self.port} "
                                   "is in use")
        if not is_master and self.port not in _ports:
            raise DistNetworkError(f"The client socket has timed out while trying to connect to ({host_name}, {port}): "
                                   "clgrad's stores are shared within one process")
        self._table = _ports.setdefault(self.port, self._table)


class PrefixStore(Store):
    """A part of another store: its keys begin with a prefix there."""

    def __init__(self, prefix: str, store: Store):
        self.underlying_store, self._table = store, store._table
        self._prefix, self.timeout = f"{store._prefix}{prefix}/", store.timeout
