"""How the members of a group find each other: a store, a rank and a number of members from a URL and the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlparse

from clgrad.distributed.stores import FileStore, PrefixStore, Store
from clgrad.distributed.tcp_store import TCPStore

DEFAULT_TIMEOUT = timedelta(minutes=30)
_Found = tuple[Store, int, int]


def _error(scheme: str, message: str) -> ValueError:
    return ValueError(f"Error initializing torch.distributed using {scheme}:// rendezvous: {message}")


def _number(scheme: str, given: int, query: dict[str, str], name: str) -> int:
    if given >= 0:
        return given
    if name in query:
        return int(query[name])
    if scheme != "env":
        raise _error(scheme, f"{name} parameter missing")
    return int(_variable(name.upper()))


def _variable(name: str) -> str:
    found = os.environ.get(name)
    if found is None:
        raise _error("env", f"environment variable {name} expected, but not set")
    return found


def _tcp(host: str, port: int, rank: int, size: int, timeout: timedelta) -> Store:
    """The store at an address: the launcher's, where it says so, else that of the first member."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return PrefixStore(f"/worker/attempt_{attempt}", TCPStore(host, port, None, False, timeout))
    return TCPStore(host, port, size, rank == 0, timeout, multi_tenant=True)


def _by_environment(url: str, rank: int, size: int, timeout: timedelta) -> _Found:
    query = dict(parse_qsl(urlparse(url).query))
    rank, size = _number("env", rank, query, "rank"), _number("env", size, query, "world_size")
    return _tcp(_variable("MASTER_ADDR"), int(_variable("MASTER_PORT")), rank, size, timeout), rank, size


def _by_address(url: str, rank: int, size: int, timeout: timedelta) -> _Found:
    parts = urlparse(url)
    query = dict(parse_qsl(parts.query))
    rank, size = _number("tcp", rank, query, "rank"), _number("tcp", size, query, "world_size")
    if parts.port is None:
        raise _error("tcp", "port number missing")
    return _tcp(parts.hostname or "", parts.port, rank, size, timeout), rank, size


def _by_file(url: str, rank: int, size: int, timeout: timedelta) -> _Found:
    parts = urlparse(url)
    query = dict(parse_qsl(parts.query))
    if not parts.path:
        raise _error("file", "path missing")
    rank, size = _number("file", rank, query, "rank"), _number("file", size, query, "world_size")
    return FileStore(parts.path, size), rank, size


_HANDLERS: dict[str, Callable[..., Any]] = {"env": _by_environment, "tcp": _by_address, "file": _by_file}


def register_rendezvous_handler(scheme: str, handler: Callable[..., Iterator[_Found]]) -> None:
    """Lets URLs of a scheme be answered by ``handler(url)``, a generator of (store, rank, world size).

    Raises:
        RuntimeError: the scheme is known.
    """
    if scheme in _HANDLERS:
        raise RuntimeError(f"Rendezvous handler for {scheme}:// already registered")
    _HANDLERS[scheme] = lambda url, rank, size, timeout: next(iter(handler(url)))


def find(url: str, rank: int, world_size: int, timeout: timedelta) -> _Found:
    """The store that a URL names, with the rank and the number of members.

    Raises:
        RuntimeError: nobody answers for such URLs.
        ValueError: a number, or a variable of the environment, is missing.
    """
    handler = _HANDLERS.get(urlparse(url).scheme)
    if handler is None:
        raise RuntimeError(f"No rendezvous handler for {urlparse(url).scheme}://")
    return handler(url, rank, world_size, timeout)


def rendezvous(url: str, rank: int = -1, world_size: int = -1, timeout: timedelta = DEFAULT_TIMEOUT,
               **kwargs: Any) -> Iterator[_Found]:
    """Yields the store that a URL names, the rank and the number of members.

    Args:
        url: ``env://`` (the variables MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE), ``tcp://host:port``, or ``file:///path``,
            the latter two perhaps with ``?rank=0&world_size=2``.
        rank, world_size: in place of the URL's and the environment's; -1 where they are not known.
        timeout: for the store.
    """
    yield find(url, rank, world_size, timeout)


def numbers(url: str, rank: int, world_size: int) -> tuple[int, int]:
    """The rank and the number of members as far as arguments, URL and environment tell; -1 where they do not."""
    parts = urlparse(url)
    known: dict[str, str] = {"rank": os.environ.get("RANK", "-1"), "world_size": os.environ.get("WORLD_SIZE", "-1")}
    if parts.scheme != "env":
        known = {}
    known.update(parse_qsl(parts.query))
    return (int(known.get("rank", -1)) if rank < 0 else rank,
            int(known.get("world_size", -1)) if world_size < 0 else world_size)
