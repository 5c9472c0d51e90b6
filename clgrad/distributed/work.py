"""``Work``: an operation of a group that goes on, and the thread in which a group's operations run in their order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from clgrad.distributed.errors import DistBackendError
from clgrad.futures import Future


class Work:
    """An operation that may go on while the program does; what it uses must not be changed before :meth:`wait`.

    Args:
        outputs: what it writes: a list of tensors.
        name: of the operation.
    """

    def __init__(self, outputs: Any = (), name: str = ""):
        self._outputs, self._name = outputs, name
        self._future: Future = Future()
        self._error: BaseException | None = None
        self._over = threading.Event()
        self.source = -1

    @classmethod
    def done(cls, outputs: Any = (), name: str = "") -> Work:
        """An operation that is over."""
        work = cls(outputs, name)
        work.finish(None)
        return work

    def finish(self, error: BaseException | None) -> None:
        """Says that it is over, with an error or without."""
        self._error = error
        self._over.set()
        if error is None:
            self._future.set_result(self._outputs)
        else:
            self._future.set_exception(error)

    def wait(self, timeout: timedelta | None = None) -> bool:
        """True when the operation is over.

        Raises:
            DistBackendError: it failed, or it is not over in time.
        """
        if not self._over.wait(None if not timeout else timeout.total_seconds()):
            raise DistBackendError(f"{self._name}: timed out after {timeout} in wait()")
        if self._error is not None:
            raise self._error
        return True

    def synchronize(self) -> None:
        """:meth:`wait`."""
        self.wait()

    def is_completed(self) -> bool:
        """Whether it is over."""
        return self._over.is_set()

    def is_success(self) -> bool:
        """Whether it is over, without an error."""
        return self._over.is_set() and self._error is None

    def exception(self) -> BaseException | None:
        """Its error."""
        return self._error

    def result(self) -> Any:
        """What it wrote: a list of tensors."""
        self.wait()
        return self._outputs

    def get_future(self) -> Future:
        """A future whose value is what :meth:`result` gives."""
        return self._future

    def source_rank(self) -> int:
        """From whom a message came."""
        return self.source

    _source_rank = source_rank


def _run(work: Work, action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:
        work.finish(error)
    except BaseException as error:
        work.finish(DistBackendError(f"the operation was interrupted by {type(error).__name__}"))
        raise
    else:
        work.finish(None)


class Turns:
    """Runs operations one after the other, in the order in which they were called.

    One that the caller waits for runs in its own thread, if no other is under way; the others in a thread of these turns.
    """

    def __init__(self, name: str):
        self._name = name
        self._lock, self._running = threading.Lock(), threading.Lock()
        self._pending = 0
        self._waiting: queue.SimpleQueue[tuple[Work, Callable[[], None]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def take(self, work: Work, action: Callable[[], None], async_op: bool) -> Work | None:
        """Has an operation done; returns it with ``async_op``, else None when it is over."""
        with self._lock:
            here = not async_op and not self._pending
            self._pending += 1
            if here:
                self._running.acquire()
            else:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, daemon=True, name=self._name)
                    self._thread.start()
                self._waiting.put((work, action))
        if here:
            try:
                _run(work, action)
            finally:
                self._running.release()
                self._ended()
        if async_op:
            return work
        work.wait()
        return None

    def _ended(self) -> None:
        with self._lock:
            self._pending -= 1

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            with self._running:
                _run(*item)
            self._ended()
            del item  # its tensors are free while the thread waits

    def close(self) -> None:
        """Ends the thread when what waits has run."""
        with self._lock:
            if self._thread is not None:
                self._waiting.put(None)
