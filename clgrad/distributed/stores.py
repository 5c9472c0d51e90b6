"""Stores: keys and values that the members of a group share.

:class:`HashStore` is a table in this process, :class:`FileStore` one in a file, :class:`clgrad.distributed.TCPStore` one in
another process; a :class:`PrefixStore` is a part of another store.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from clgrad.distributed.errors import DistStoreError, QueueEmptyError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

TIMEOUT = timedelta(minutes=5)
_POLL = 0.01  # seconds between looks at a file that others write


def to_bytes(name: str, value: Any) -> bytes:
    """A value of a store as bytes.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{name}(): incompatible function arguments: a value must be str or bytes, not "
                        f"{type(value).__name__}")
    return value.encode() if isinstance(value, str) else value


def missing(timeout: timedelta, keys: Sequence[str]) -> DistStoreError:
    """The error for keys that did not come in time."""
    return DistStoreError(f"wait timeout after {round(timeout.total_seconds() * 1000)}ms, keys: {', '.join(keys)}")


class Store:
    """What all stores can do. A class of a program's own defines ``set``, ``get``, ``add`` and what else it needs."""

    timeout: timedelta = TIMEOUT

    def set(self, key: str, value: str | bytes) -> None:
        """Writes a value."""
        raise NotImplementedError

    def get(self, key: str) -> bytes:
        """A value, which is waited for.

        Raises:
            DistStoreError: it does not come in time.
        """
        raise NotImplementedError

    def add(self, key: str, amount: int) -> int:
        """Adds to a counter, which begins with 0, and returns it."""
        raise NotImplementedError

    def append(self, key: str, value: str | bytes) -> None:
        """Writes behind what is there."""
        raise NotImplementedError

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        """Writes a value where the expected one stands, or where nothing is expected and there; returns what then stands."""
        raise NotImplementedError

    def delete_key(self, key: str) -> bool:
        """Forgets a key; whether it was there."""
        raise NotImplementedError

    def check(self, keys: list[str]) -> bool:
        """Whether all keys are there."""
        raise NotImplementedError

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Waits for keys.

        Raises:
            DistStoreError: one does not come in time.
        """
        raise NotImplementedError

    def multi_get(self, keys: list[str]) -> list[bytes]:
        """Several values, which are waited for."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys: list[str], values: list[str | bytes]) -> None:
        """Writes several values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def queue_push(self, key: str, value: str | bytes) -> None:
        """Puts a value at the end of a queue."""
        raise NotImplementedError("queue support is not implemented.")

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        """Takes the value at the beginning of a queue, which is waited for unless ``block`` is False.

        Raises:
            DistStoreError: none comes in time; QueueEmptyError without waiting.
        """
        raise NotImplementedError("queue support is not implemented.")

    def queue_len(self, key: str) -> int:
        """How many values a queue holds."""
        raise NotImplementedError("queue support is not implemented.")

    def num_keys(self) -> int:
        """How many keys there are."""
        raise NotImplementedError

    def list_keys(self) -> list[str]:
        """The keys."""
        raise NotImplementedError

    def set_timeout(self, timeout: timedelta) -> None:
        """How long a key is waited for."""
        self.timeout = timeout

    def has_extended_api(self) -> bool:
        """Whether there are ``append``, ``multi_get`` and ``multi_set`` that ask once."""
        return True

    def clone(self) -> Any:
        """Another object with the same keys and values."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made


class Table:
    """Values, and queues of them, by their keys, for the threads of one process; ``changed`` is told of every change."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.queues: dict[str, deque[bytes]] = {}
        self.changed = threading.Condition()

    def until(self, keys: Sequence[str], timeout: timedelta, where: dict) -> None:
        """Waits for keys; the table's lock is held."""
        if not self.changed.wait_for(lambda: all(key in where for key in keys), timeout.total_seconds()):
            raise missing(timeout, [key for key in keys if key not in where])

    def set(self, key: str, value: bytes) -> None:
        """Writes a value."""
        with self.changed:
            self.values[key] = value
            self.changed.notify_all()

    def get(self, timeout: timedelta, keys: Sequence[str]) -> list[bytes]:
        """Values, which are waited for."""
        with self.changed:
            self.until(keys, timeout, self.values)
            return [self.values[key] for key in keys]

    def add(self, key: str, amount: int) -> int:
        """Adds to a counter."""
        with self.changed:
            total = int(self.values.get(key, b"0")) + amount
            self.set(key, str(total).encode())
        return total

    def append(self, key: str, value: bytes) -> None:
        """Writes behind what is there."""
        with self.changed:
            self.set(key, self.values.get(key, b"") + value)

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        """Writes a value where the expected one stands."""
        with self.changed:
            present = self.values.get(key)
            if present is None and expected:
                return expected
            if present is None or present == expected:
                present = desired
                self.set(key, desired)
        return present

    def delete(self, key: str) -> bool:
        """Forgets a key."""
        with self.changed:
            return self.values.pop(key, None) is not None

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are there."""
        with self.changed:
            return all(key in self.values for key in keys)

    def push(self, key: str, value: bytes) -> None:
        """Puts a value at the end of a queue."""
        with self.changed:
            self.queues.setdefault(key, deque()).append(value)
            self.changed.notify_all()

    def pop(self, key: str, timeout: timedelta) -> bytes:
        """Takes the value at the beginning of a queue."""
        with self.changed:
            self.until([key], timeout, self.queues)
            queue = self.queues[key]
            value = queue.popleft()
            if not queue:
                del self.queues[key]
        return value

    def length(self, key: str) -> int:
        """How many values a queue holds."""
        with self.changed:
            return len(self.queues.get(key, ()))

    def names(self) -> list[str]:
        """The keys."""
        with self.changed:
            return list(self.values)


class HashStore(Store):
    """A store of this process alone, for its threads.

    >>> store = HashStore()
    >>> store.set("key", "value")
    >>> store.get("key"), store.add("counter", 2)
    (b'value', 2)
    """

    def __init__(self) -> None:
        self._table = Table()

    def set(self, key: str, value: str | bytes) -> None:
        self._table.set(key, to_bytes("set", value))

    def get(self, key: str) -> bytes:
        return self._table.get(self.timeout, [key])[0]

    def add(self, key: str, amount: int) -> int:
        return self._table.add(key, amount)

    def append(self, key: str, value: str | bytes) -> None:
        self._table.append(key, to_bytes("append", value))

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        return self._table.compare_set(key, to_bytes("compare_set", expected_value), to_bytes("compare_set", desired_value))

    def delete_key(self, key: str) -> bool:
        return self._table.delete(key)

    def check(self, keys: list[str]) -> bool:
        return self._table.check(keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        self._table.get(self.timeout if timeout is None else timeout, keys)

    def queue_push(self, key: str, value: str | bytes) -> None:
        self._table.push(key, to_bytes("queue_push", value))

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        if not block and not self._table.length(key):
            raise QueueEmptyError(f"queue_pop: the queue {key} is empty")
        return self._table.pop(key, self.timeout)

    def queue_len(self, key: str) -> int:
        return self._table.length(key)

    def num_keys(self) -> int:
        return len(self._table.names())

    def list_keys(self) -> list[str]:
        return self._table.names()


class FileStore(Store):
    """The store of all processes that name the same file; each change is written behind the ones before.

    Args:
        file_name: the file; it is made where there is none, and the last of ``world_size`` stores removes it when it dies.
        world_size: how many stores of this file there are; -1 where that is not known, and the file stays.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "store")
    ...     one, other = FileStore(path), FileStore(path)
    ...     one.set("key", "value")
    ...     other.get("key")
    b'value'
    """

    def __init__(self, file_name: str, world_size: int = -1):
        if fcntl is None:
            raise NotImplementedError("FileStore needs a system with locks of files (POSIX); use a TCPStore")
        self.path, self._members = file_name, world_size
        self._values: dict[str, bytes] = {}
        self._read = 0
        self._turn = threading.Lock()
        if world_size > 0:
            self.add("&members", 1)

    def _change(self, change: Callable[[dict[str, bytes]], tuple[Any, dict[str, bytes | None]]]) -> Any:
        """Reads what others wrote, and writes what ``change`` says: a result, and new values (None: forgotten)."""
        with self._turn, open(self.path, "ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0, os.SEEK_END)
            if file.tell() < self._read:  # somebody began anew
                self._values, self._read = {}, 0
            file.seek(self._read)
            data = file.read()
            self._replay(data)
            self._read += len(data)
            result, written = change(self._values)
            record = b"".join(_field(key.encode()) + _field(value) for key, value in written.items())
            if record:
                file.write(record)
                file.flush()
        return result

    def _replay(self, data: bytes) -> None:
        place = 0
        while place < len(data):
            fields: list[bytes | None] = []
            for _ in range(2):
                size = int.from_bytes(data[place:place + 8], "little", signed=True)
                place += 8
                fields.append(None if size < 0 else data[place:place + size])
                place += max(size, 0)
            key, value = fields
            assert key is not None
            if value is None:
                self._values.pop(key.decode(), None)
            else:
                self._values[key.decode()] = value

    def set(self, key: str, value: str | bytes) -> None:
        found = to_bytes("set", value)
        self._change(lambda values: (None, {key: found}))

    def get(self, key: str) -> bytes:
        self.wait([key])
        return self._values[key]

    def add(self, key: str, amount: int) -> int:
        def change(values: dict[str, bytes]) -> tuple[int, dict[str, bytes | None]]:
            total = int(values.get(key, b"0")) + amount
            return total, {key: str(total).encode()}
        return self._change(change)

    def append(self, key: str, value: str | bytes) -> None:
        found = to_bytes("append", value)
        self._change(lambda values: (None, {key: values.get(key, b"") + found}))

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        expected, desired = to_bytes("compare_set", expected_value), to_bytes("compare_set", desired_value)

        def change(values: dict[str, bytes]) -> tuple[bytes, dict[str, bytes | None]]:
            present = values.get(key)
            if present is None and expected:
                return expected, {}
            return (desired, {key: desired}) if present is None or present == expected else (present, {})
        return self._change(change)

    def delete_key(self, key: str) -> bool:
        return self._change(lambda values: (key in values, {key: None}))

    def check(self, keys: list[str]) -> bool:
        return self._change(lambda values: (all(key in values for key in keys), {}))

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        limit = self.timeout if timeout is None else timeout
        end = time.monotonic() + limit.total_seconds()
        while not self.check(keys):
            if time.monotonic() > end:
                raise missing(limit, [key for key in keys if key not in self._values])
            time.sleep(_POLL)

    def num_keys(self) -> int:
        return self._change(lambda values: (len(values), {}))

    def list_keys(self) -> list[str]:
        return self._change(lambda values: ([key for key in values if key != "&members"], {}))

    def has_extended_api(self) -> bool:
        return False

    def clone(self) -> FileStore:
        made = FileStore(self.path)
        made.timeout = self.timeout
        return made

    def __del__(self) -> None:
        if self.__dict__.get("_members", -1) > 0 and os.path.exists(self.path) and self.add("&left", 1) >= self._members:
            os.remove(self.path)


def _field(value: bytes | None) -> bytes:
    return (-1 if value is None else len(value)).to_bytes(8, "little", signed=True) + (value or b"")


class PrefixStore(Store):
    """A part of another store: its keys begin with ``prefix`` and a slash there.

    >>> store = HashStore()
    >>> PrefixStore("part", store).set("key", "value")
    >>> store.list_keys()
    ['part/key']
    """

    def __init__(self, prefix: str, store: Store):
        self._prefix, self.underlying_store, self.timeout = f"{prefix}/", store, store.timeout

    def _keys(self, keys: Sequence[str]) -> list[str]:
        return [self._prefix + key for key in keys]

    def set(self, key: str, value: str | bytes) -> None:
        self.underlying_store.set(self._prefix + key, value)

    def get(self, key: str) -> bytes:
        return self.underlying_store.get(self._prefix + key)

    def add(self, key: str, amount: int) -> int:
        return self.underlying_store.add(self._prefix + key, amount)

    def append(self, key: str, value: str | bytes) -> None:
        self.underlying_store.append(self._prefix + key, value)

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        return self.underlying_store.compare_set(self._prefix + key, expected_value, desired_value)

    def delete_key(self, key: str) -> bool:
        return self.underlying_store.delete_key(self._prefix + key)

    def check(self, keys: list[str]) -> bool:
        return self.underlying_store.check(self._keys(keys))

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        self.underlying_store.wait(self._keys(keys), self.timeout if timeout is None else timeout)

    def multi_get(self, keys: list[str]) -> list[bytes]:
        return self.underlying_store.multi_get(self._keys(keys))

    def multi_set(self, keys: list[str], values: list[str | bytes]) -> None:
        self.underlying_store.multi_set(self._keys(keys), values)

    def queue_push(self, key: str, value: str | bytes) -> None:
        self.underlying_store.queue_push(self._prefix + key, value)

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        return self.underlying_store.queue_pop(self._prefix + key, block)

    def queue_len(self, key: str) -> int:
        return self.underlying_store.queue_len(self._prefix + key)

    def num_keys(self) -> int:
        return self.underlying_store.num_keys()

    def list_keys(self) -> list[str]:
        return [key.removeprefix(self._prefix) for key in self.underlying_store.list_keys() if key.startswith(self._prefix)]

    def set_timeout(self, timeout: timedelta) -> None:
        self.timeout = timeout
        self.underlying_store.set_timeout(timeout)

    def has_extended_api(self) -> bool:
        return self.underlying_store.has_extended_api()

    def clone(self) -> PrefixStore:
        made: Any = super().clone()
        made.underlying_store = self.underlying_store.clone()
        return made
