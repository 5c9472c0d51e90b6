"""The sockets between the members of a group.

A member listens at an address that it publishes in the group's store. Collective operations have a connection between each
pair of members, made when it is first needed: the one of the higher rank connects. Messages to single members
(:mod:`clgrad.distributed.messages`) have connections of their own, one for each direction.

A message is a header of 128 bytes (length, number of the operation, and what the sender calls) and raw bytes. Who receives
one compares the header with its own call, so that members that call different things are told so.
"""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from clgrad.distributed.errors import DistBackendError, DistError
from clgrad.distributed.stores import Store
from clgrad.distributed.tcp_store import TCPStore, read_exactly

HEADER = struct.Struct("<QQ112s")
_GREETING = struct.Struct("<32sBI")  # the listener's secret, the purpose, the rank
COLLECTIVE, MESSAGES = 0, 1  # purposes of connections
_BUFFER = 1 << 20  # bytes that a socket may hold
_REPORTING = timedelta(seconds=2)  # for a look at what others have reported
_TAKEN = 4  # views that are handed to a socket at once


class Call(NamedTuple):
    """A collective operation: its number in the group, and what is called, which all members have to agree about."""

    number: int
    text: str

    def header(self, nbytes: int) -> bytes:
        """What precedes a message."""
        return HEADER.pack(nbytes, self.number, self.text.encode()[:112])


class _Outgoing:
    """What still has to be sent to a member."""

    event = select.POLLOUT

    def __init__(self, peer: int, connection: socket.socket):
        self.peer, self.connection = peer, connection
        self.views: deque[memoryview] = deque()

    def advance(self) -> None:
        """Sends as much as the socket takes."""
        while self.views:
            sent = self.connection.sendmsg([self.views[k] for k in range(min(_TAKEN, len(self.views)))])
            while self.views and sent >= len(self.views[0]):
                sent -= len(self.views.popleft())
            if sent:
                self.views[0] = self.views[0][sent:]


class _Incoming:
    """What still has to come from a member: places for bytes, and what to do when one is full."""

    event = select.POLLIN

    def __init__(self, peer: int, connection: socket.socket):
        self.peer, self.connection = peer, connection
        self.views: deque[tuple[memoryview, Callable[[], None] | None]] = deque()

    def advance(self) -> None:
        """Takes as much as has come."""
        while self.views:
            view, full = self.views[0]
            if len(view):
                got = self.connection.recv_into(view)
                if not got:
                    raise ConnectionResetError("the connection was closed")
                view = view[got:]
            if len(view):
                self.views[0] = view, full
                continue
            self.views.popleft()
            if full is not None:
                full()


def _own_address(store: Store) -> str:
    """An address of this machine that the others can reach: that by which it reaches the store's master."""
    while hasattr(store, "underlying_store"):
        store = store.underlying_store
    if isinstance(store, TCPStore):
        return store.address()
    with contextlib.suppress(OSError):
        host = socket.gethostbyname(socket.gethostname())
        socket.create_server((host, 0)).close()
        return host
    return "127.0.0.1"


class Connections:
    """The connections of a member with the others of its group.

    Args:
        store: the group's part of the store.
        rank, size: of this member, and of the group.
        names: the members' ranks in the default group, for errors.
        timeout: for each operation.
    """

    def __init__(self, store: Store, rank: int, size: int, names: Sequence[int], timeout: timedelta):
        self.store, self.rank, self.size, self.names, self.timeout = store, rank, size, list(names), timeout
        self.broken: str | None = None
        self.closed = False
        self._open: dict[int, socket.socket] = {}
        self._accepted: dict[int, socket.socket] = {}
        self._came = threading.Condition()
        self.on_message_connection: Callable[[int, socket.socket], None] | None = None
        host = _own_address(store)
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET,
                                              backlog=1024)
        self._secret = secrets.token_hex(16)
        threading.Thread(target=self._accept, daemon=True, name="group's listener").start()
        store.set(f"address/{rank}", f"{host} {self._listener.getsockname()[1]} {self._secret}")
        # All of them now: the store's master may be the first to end.
        self._addresses = self._read_addresses()

    # Connecting

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(connection,), daemon=True, name="group's greeting").start()

    def _greet(self, connection: socket.socket) -> None:
        """Finds out who has connected; strangers are sent away."""
        connection.settimeout(30)
        try:
            secret, purpose, peer = _GREETING.unpack(read_exactly(connection, _GREETING.size))
        except OSError:
            connection.close()
            return
        if not secrets.compare_digest(secret, self._secret.encode()) or peer >= self.size:
            connection.close()
        elif purpose == MESSAGES and self.on_message_connection is not None:
            _prepare(connection).settimeout(None)
            self.on_message_connection(peer, connection)
        else:
            with self._came:
                self._accepted[peer] = _prepare(connection)
                self._came.notify_all()

    def _read_addresses(self) -> list[str]:
        waiting = self.store.clone()
        waiting.set_timeout(self.timeout)
        try:
            return [waiting.get(f"address/{peer}").decode() for peer in range(self.size)]
        except BaseException:
            self._listener.close()
            raise

    def connect(self, peer: int, purpose: int) -> socket.socket:
        """A new connection to a member."""
        host, port, secret = self._addresses[peer].split()
        connection = _prepare(socket.create_connection((host, int(port)), self.timeout.total_seconds()))
        connection.sendall(_GREETING.pack(secret.encode(), purpose, self.rank))
        return connection

    def _to(self, peer: int, end: float) -> socket.socket:
        """The connection for collective operations with a member."""
        found = self._open.get(peer)
        if found is None:
            if peer < self.rank:
                found = self.connect(peer, COLLECTIVE)
            else:
                with self._came:
                    if not self._came.wait_for(lambda: peer in self._accepted or self.closed,
                                               max(0.0, end - time.monotonic())):
                        raise TimeoutError
                    if self.closed:
                        raise ConnectionResetError("the group was destroyed")
                    found = self._accepted.pop(peer)
            found.setblocking(False)
            self._open[peer] = found
        return found

    # Exchanging

    def exchange(self, call: Call, sends: Sequence[tuple[int, memoryview]],
                 receives: Sequence[tuple[int, memoryview]]) -> None:
        """Sends bytes to members and receives bytes from members, all at the same time; returns when all is done.

        Raises:
            DistBackendError: a member has ended, does not answer in time, or calls something else.
        """
        if self.broken is not None:
            raise DistBackendError(f"{call.text}: this group is broken since an operation failed: {self.broken}")
        end = time.monotonic() + self.timeout.total_seconds()
        flows: dict[tuple[type, int], Any] = {}
        peer = self.rank
        try:
            for peer, view in sends:
                if (_Outgoing, peer) not in flows:
                    flows[_Outgoing, peer] = _Outgoing(peer, self._to(peer, end))
                flows[_Outgoing, peer].views += [memoryview(call.header(len(view))), *([view] if len(view) else [])]
            for peer, view in receives:
                if (_Incoming, peer) not in flows:
                    flows[_Incoming, peer] = _Incoming(peer, self._to(peer, end))
                header = bytearray(HEADER.size)
                check = self._checking(call, peer, header, len(view))
                flows[_Incoming, peer].views += [(memoryview(header), check), (view, None)]
            waiting = []
            for flow in flows.values():
                peer = flow.peer
                if not _advanced(flow):
                    waiting.append(flow)
            while waiting:
                left = end - time.monotonic()
                peer = waiting[0].peer
                if left <= 0 or not (ready := _ready(waiting, left)):
                    raise TimeoutError
                for flow in ready:
                    peer = flow.peer
                    if _advanced(flow):
                        waiting.remove(flow)
        except TimeoutError:
            reason = f"rank {self.names[peer]} did not answer within {self.timeout.total_seconds():g} s"
            raise self.fail(call, reason) from None
        except DistBackendError as error:
            raise self.fail(call, str(error)) from None
        except (OSError, DistError) as error:
            raise self.fail(call, f"the connection to rank {self.names[peer]} is lost, its process has ended or failed: "
                                  f"{error}") from error
        except BaseException:
            self.fail(call, "interrupted")
            raise

    def _checking(self, call: Call, peer: int, header: bytearray, expected: int) -> Callable[[], None]:
        def check() -> None:
            nbytes, number, text = HEADER.unpack(header)
            if header[8:] == call.header(expected)[8:] and nbytes == expected:
                return
            other = text.rstrip(b"\0").decode(errors="replace")
            detail = "" if other != call.text else f" ({nbytes:,} bytes, where {expected:,} are expected)"
            raise DistBackendError(
                f"mismatch among the members: rank {self.names[peer]} calls {other} as operation {number}{detail}, "
                f"rank {self.names[self.rank]} calls {call.text} as operation {call.number}")
        return check

    def fail(self, call: Call, reason: str) -> DistBackendError:
        """Ends all connections, which tells the others; the error to raise, with what failed first anywhere."""
        own = f"{call.text} (operation {call.number}) on rank {self.names[self.rank]}: {reason}"
        first = own
        # The store's master may be gone, or be a store that knows no more than keys.
        with contextlib.suppress(DistError, NotImplementedError, OSError, ValueError):
            reports = self.store.clone()
            reports.set_timeout(_REPORTING)
            first = reports.compare_set("failure", "", own).decode()
        self.broken = own if first == own else f"{own}. What failed first: {first}"
        self._end()
        return DistBackendError(self.broken)

    def _end(self) -> None:
        for connection in [*self._open.values(), *self._accepted.values()]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def close(self) -> None:
        """Ends everything."""
        self.broken = self.broken or "the group was destroyed"
        with self._came:
            self.closed = True
            self._came.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end()


def _prepare(connection: socket.socket) -> socket.socket:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    return connection


def _advanced(flow: Any) -> bool:
    """Moves what can be moved at once; whether that was all."""
    with contextlib.suppress(BlockingIOError, InterruptedError):
        flow.advance()
    return not flow.views


def _ready(flows: Sequence[Any], seconds: float) -> list[Any]:
    poller = select.poll()
    events: dict[int, int] = {}
    for flow in flows:
        events[flow.connection.fileno()] = events.get(flow.connection.fileno(), 0) | flow.event
    for descriptor, event in events.items():
        poller.register(descriptor, event)
    found = dict(poller.poll(min(seconds, 3600) * 1000))
    # A connection that broke is ready for all: the attempt tells what is wrong.
    return [flow for flow in flows if found.get(flow.connection.fileno(), 0) & (flow.event | select.POLLERR | select.POLLHUP)]
