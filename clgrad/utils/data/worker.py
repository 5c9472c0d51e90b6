"""A process that loads batches for another one."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np

from clgrad.errors import ForkedProcessError
from clgrad.ops.random import manual_seed
from clgrad.utils.data import transfer
from clgrad.utils.data.fetch import Fetcher

DATA, ERROR, END = "data", "error", "end"


class WorkerInfo(NamedTuple):
    """What :func:`get_worker_info` tells a data set in a worker: its number, how many there are, its seed, its copy."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a DataLoader its :class:`WorkerInfo`; in the main process None."""
    return _info


class Task(NamedTuple):
    """What every worker of a loader needs."""

    dataset: Any
    collate_fn: Callable
    batched: bool
    drop_last: bool
    init: Callable | None
    num_workers: int


class Failure(NamedTuple):
    """An exception of a worker, as text, because not every exception survives a pickle."""

    kind: type[Exception]
    text: str

    def reraise(self) -> None:
        """Raises the same kind of exception here, with the worker's traceback as its message."""
        try:
            error = self.kind(_Verbatim(self.text)) if issubclass(self.kind, KeyError) else self.kind(self.text)
        except Exception:  # an exception class that wants other arguments
            raise RuntimeError(self.text) from None
        raise error


class _Verbatim(str):
    """A text whose repr is itself: KeyError shows its argument's repr."""

    def __repr__(self) -> str:
        return str(self)


def describe(error: Exception, number: int, advice: str) -> Failure:
    """An exception that was caught in worker ``number``."""
    text = f"Caught {type(error).__name__} in DataLoader worker process {number}.\nOriginal {traceback.format_exc()}"
    if isinstance(error, ForkedProcessError) and advice:
        text += advice
    try:
        transfer.Package(type(error)).close()
    except Exception:  # a class that the main process cannot find
        return Failure(RuntimeError, text)
    return Failure(type(error), text)


def run(number: int, connection: Connection, task: Task | None, strangers: list[Connection], advice: str) -> None:
    """The worker's program.

    Args:
        connection: orders come in, batches go out.
        task: None where it comes through the connection.
        strangers: connections of others that a forked process has inherited and has to let go.
        advice: what to tell a data set that needs a device in a forked process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
    for stranger in strangers:
        stranger.close()
    with contextlib.suppress(EOFError, OSError):  # the main process is gone: nobody waits for an answer
        try:
            if task is None:
                _, task = transfer.receive(connection)
        except EOFError:
            raise
        except Exception as error:
            connection.recv()
            _answer(connection, (-1, -1, ERROR), describe(error, number, advice))
            return
        _serve(number, connection, task, advice)


def _answer(connection: Connection, header: tuple, value: Any) -> None:
    transfer.send(connection, header, value)


def _serve(number: int, connection: Connection, task: Task, advice: str) -> None:
    parent = multiprocessing.parent_process()
    watched: list[Any] = [connection, *([parent.sentinel] if parent is not None else [])]
    fetcher: Fetcher | None = None
    broken: Failure | None = None
    epoch = -1
    while connection in wait(watched):
        order = connection.recv()
        if order is None:
            return
        if order[0] == "epoch":
            _, epoch, seed = order
            try:
                if _info is None:
                    _begin(number, seed, task)
                fetcher = Fetcher(task.dataset, task.collate_fn, task.batched, task.drop_last)
            except Exception as error:
                broken = describe(error, number, advice)
            continue
        _, index, wanted = order
        if broken is not None or fetcher is None:
            _answer(connection, (epoch, index, ERROR), broken)
            continue
        try:
            package = transfer.Package(fetcher.fetch(wanted))
        except StopIteration:
            _answer(connection, (epoch, index, END), None)
        except Exception as error:
            _answer(connection, (epoch, index, ERROR), describe(error, number, advice))
        else:
            package.send(connection, (epoch, index, DATA))
            package.close()


def _begin(number: int, seed: int, task: Task) -> None:
    """Seeds every stream of random numbers with the worker's own seed, and calls the user's function."""
    global _info
    own = seed + number
    random.seed(own)
    manual_seed(own)
    np.random.seed(np.random.SeedSequence([seed % (1 << 64), number]).generate_state(4))
    _info = WorkerInfo(number, task.num_workers, own, task.dataset)
    if task.init is not None:
        task.init(number)
