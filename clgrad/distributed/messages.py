"""Messages from one member of a group to another: ``send`` and ``recv``, with tags and from anybody.

Each direction between two members has a connection. A thread reads what comes: straight into the tensor of a receive that
waits for it, else into memory, where it waits for its receive. So a send never waits for the other member to receive.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from clgrad.distributed.connections import MESSAGES, Connections
from clgrad.distributed.errors import DistBackendError
from clgrad.distributed.host_bytes import incoming, outgoing
from clgrad.distributed.tcp_store import read_exactly
from clgrad.distributed.work import Turns, Work

_GRACE = 1.0  # seconds in which what an ended member sent may still arrive
_HEADER = struct.Struct("<qQ32s")  # tag, length, what it is


class _Receive:
    """A receive that waits: for whose message, and where that goes."""

    def __init__(self, source: int | None, tag: int, tensor: Any, text: str, work: Work):
        self.source, self.tag, self.tensor, self.text, self.work = source, tag, tensor, text, work

    def takes(self, source: int, tag: int) -> bool:
        """Whether it waits for such a message."""
        return self.source in (None, source) and self.tag == tag


class Messages:
    """The messages of a member."""

    def __init__(self, links: Connections):
        self._links = links
        self._lock = threading.Lock()
        self._receives: deque[_Receive] = deque()
        self._arrived: deque[tuple[int, int, str, bytes]] = deque()  # source, tag, what it is, the bytes
        self._ended: dict[int, str] = {}  # members whose connections broke, with the reason
        self._outgoing: dict[int, socket.socket] = {}
        self._served: dict[int, socket.socket] = {}  # connections of members that have sent something
        self._connecting = threading.Lock()
        self._turns = Turns("group's messages")
        links.on_message_connection = self._serve

    def send(self, tensor: Any, peer: int, tag: int, async_op: bool) -> Work | None:
        """Sends a contiguous vector."""
        work = Work([tensor], "isend" if async_op else "send")

        def action() -> None:
            view = outgoing(tensor)
            try:
                connection = self._to(peer)
                connection.sendall(_HEADER.pack(tag, len(view), _text(tensor)))
                connection.sendall(view)
            except OSError as error:
                raise DistBackendError(f"send to rank {self._links.names[peer]} on rank {self._name()}: the connection is "
                                       f"lost: {error}") from error
        return self._turns.take(work, action, async_op)

    def _to(self, peer: int) -> socket.socket:
        """The connection for messages to a member. Who reads from it, where nothing ever comes, learns that the member has
        ended."""
        with self._connecting:
            found = self._outgoing.get(peer)
            if found is None:
                found = self._outgoing[peer] = self._links.connect(peer, MESSAGES)
                threading.Thread(target=self._watch, args=(peer, found), daemon=True, name="group's watch").start()
        return found

    def _watch(self, peer: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)
        if not self._links.closed:
            time.sleep(_GRACE)
            if peer not in self._served:
                self._lose(peer, self._gone(peer))

    def _gone(self, peer: int) -> str:
        return f"rank {self._links.names[peer]} has ended, or its connection is lost"

    def receive(self, tensor: Any, peer: int | None, tag: int, finish: Callable[[], Any]) -> Work:
        """Begins to receive into a contiguous vector; ``finish`` is called when it is there."""
        source = "anybody" if peer is None else f"rank {self._links.names[peer]}"
        name = f"recv from {source} on rank {self._name()}"
        work = _Receiving([tensor], name, finish, self)
        wanted = _Receive(peer, tag, tensor, name, work)
        for member in range(self._links.size) if peer is None else [peer]:
            if member != self._links.rank and member not in self._served:
                try:
                    self._to(member)
                except OSError:
                    self._lose(member, self._gone(member))
        with self._lock:
            found = next((m for m in self._arrived if wanted.takes(m[0], m[1])), None)
            if found is None:
                gone = self._reason(wanted)
                if gone is None:
                    self._receives.append(wanted)
                    return work
            else:
                self._arrived.remove(found)
        if found is None:
            work.finish(DistBackendError(f"{name}: {gone}"))
            return work
        source_rank, _, text, data = found
        if (error := _wrong(wanted, source_rank, text, len(data), self._links.names)) is None:
            view, written = incoming(tensor)
            view[:] = data
            written()
            work.source = self._links.names[source_rank]
        work.finish(error)
        return work

    def _name(self) -> int:
        return self._links.names[self._links.rank]

    def _reason(self, wanted: _Receive) -> str | None:
        """Why no message can come any more; the lock is held."""
        if self._links.closed:
            return "the group was destroyed"
        if wanted.source is not None:
            return self._ended.get(wanted.source)
        return "all other members have ended" if len(self._ended) == self._links.size - 1 else None

    def forget(self, work: Work) -> None:
        """Takes a receive back that took too long."""
        with self._lock:
            for wanted in [w for w in self._receives if w.work is work]:
                self._receives.remove(wanted)

    def _serve(self, peer: int, connection: socket.socket) -> None:
        """Reads what a member sends, until it ends."""
        wanted = None
        self._served[peer] = connection
        with connection, contextlib.suppress(OSError):
            while True:
                tag, nbytes, text = _HEADER.unpack(read_exactly(connection, _HEADER.size))
                what = text.rstrip(b"\0").decode()
                with self._lock:
                    wanted = next((w for w in self._receives if w.takes(peer, tag)), None)
                    if wanted is not None:
                        self._receives.remove(wanted)
                if wanted is None:
                    self._keep(peer, tag, what, read_exactly(connection, nbytes))
                    continue
                error = _wrong(wanted, peer, what, nbytes, self._links.names)
                if error is not None:
                    read_exactly(connection, nbytes)
                else:
                    _read_into(connection, wanted.tensor)
                    wanted.work.source = self._links.names[peer]
                wanted.work.finish(error)
                wanted = None
        if wanted is not None:
            wanted.work.finish(DistBackendError(f"{wanted.text}: {self._gone(peer)}"))
        self._lose(peer, self._gone(peer))

    def _lose(self, peer: int, reason: str) -> None:
        """Notes that nothing comes from a member any more, and tells the receives that wait for it."""
        with self._lock:
            self._ended[peer] = reason
            lost = [w for w in self._receives if self._reason(w) is not None]
            for entry in lost:
                self._receives.remove(entry)
        for entry in lost:
            entry.work.finish(DistBackendError(f"{entry.text}: {reason}"))

    def _keep(self, peer: int, tag: int, what: str, data: bytes) -> None:
        """Keeps a message, or gives it to a receive that came while it was read."""
        with self._lock:
            wanted = next((w for w in self._receives if w.takes(peer, tag)), None)
            if wanted is None:
                self._arrived.append((peer, tag, what, data))
                return
            self._receives.remove(wanted)
        error = _wrong(wanted, peer, what, len(data), self._links.names)
        if error is None:
            view, written = incoming(wanted.tensor)
            view[:] = data
            written()
            wanted.work.source = self._links.names[peer]
        wanted.work.finish(error)

    def close(self) -> None:
        """Ends all connections; receives that wait fail."""
        self._turns.close()
        for connection in [*self._outgoing.values(), *self._served.values()]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        with self._lock:
            left = list(self._receives)
            self._receives.clear()
        for wanted in left:
            wanted.work.finish(DistBackendError(f"{wanted.text}: the group was destroyed"))


class _Receiving(Work):
    """A receive: what remains to be done with a message is done by whoever waits."""

    def __init__(self, outputs: Any, name: str, finish: Callable[[], Any], messages: Messages):
        super().__init__(outputs, name)
        self._finish: Callable[[], Any] | None = finish
        self._messages = messages

    def wait(self, timeout: Any = None) -> bool:
        limit = timeout or self._messages._links.timeout
        if not self._over.wait(limit.total_seconds()):
            self._messages.forget(self)
            raise DistBackendError(f"{self._name}: no message came within {limit.total_seconds():g} s")
        super().wait()
        finish, self._finish = self._finish, None
        if finish is not None:
            finish()
        return True


def _text(tensor: Any) -> bytes:
    return f"{tensor.spec.numel} {tensor.dtype.name}".encode()


def _wrong(wanted: _Receive, source: int, text: str, nbytes: int, names: list[int]) -> DistBackendError | None:
    """The error where a message is not what is waited for."""
    expected = _text(wanted.tensor).decode()
    if text == expected:
        return None
    return DistBackendError(f"{wanted.text}: rank {names[source]} sends {text}, where {expected} is expected")


def _read_into(connection: socket.socket, tensor: Any) -> None:
    view, written = incoming(tensor)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise ConnectionError("the connection was closed")
        view = view[got:]
    written()
