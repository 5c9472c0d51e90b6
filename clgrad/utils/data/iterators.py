"""Going through a loader's batches: in this process, or with workers."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from itertools import chain
from multiprocessing.connection import wait
from typing import Any, NoReturn

from clgrad.errors import ForkedProcessError
from clgrad.utils.data import transfer
from clgrad.utils.data.dataset import IterableDataset
from clgrad.utils.data.fetch import Fetcher
from clgrad.utils.data.start import Start
from clgrad.utils.data.worker import DATA, END, ERROR, Task

# Seconds that workers get to end by themselves: after their last batch, and where something went wrong.
PATIENCE, IMPATIENCE = 5.0, 0.5


class Iteration:
    """One way through the batches; ``len`` of it is the loader's."""

    def __init__(self, loader: Any):
        self.loader = loader
        self._orders: Iterator[Any] = iter(loader.orders())
        self._count = 0  # of batches given so far

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self.loader)

    def __next__(self) -> Any:
        batch = self._advance()
        self._count += 1
        self.loader.check_length(self._count)
        return batch

    def _advance(self) -> Any:
        raise NotImplementedError


class InProcess(Iteration):
    """Batches that are made when they are asked for."""

    def __init__(self, loader: Any):
        super().__init__(loader)
        self._fetcher = Fetcher(loader.dataset, loader.collate_fn, loader._auto_collation, loader.drop_last)

    def _advance(self) -> Any:
        return self._fetcher.fetch(next(self._orders))


class WithWorkers(Iteration):
    """Batches that processes make ahead of time, ``prefetch_factor`` for each.

    Batch ``n`` is made by the next worker in turn. Answers carry the number of the epoch, so that those which nobody
    waited for are recognised.
    """

    def __init__(self, loader: Any):
        super().__init__(loader)
        self._workers: list[tuple[Any, Any]] = []
        self._epoch = -1
        task = Task(loader.dataset, loader.collate_fn, loader._auto_collation, loader.drop_last, loader.worker_init_fn,
                    loader.num_workers)
        self._here: Fetcher | None = None
        start = Start(task, loader.multiprocessing_context)
        self._advice = start.advice
        try:
            for number in range(loader.num_workers):
                self._workers.append(start.process(number, [connection for _, connection in self._workers]))
        except BaseException:
            self.close()
            raise
        finally:
            start.close()
        self.restart()

    def restart(self) -> None:
        """Begins the next epoch with the same workers."""
        loader = self.loader
        self._orders = iter(loader.orders())
        self._epoch += 1
        self._count = 0
        self._active = [True] * len(self._workers)
        self._sent = self._next = self._turn = 0
        self._waiting: dict[int, int] = {}  # batch: worker
        self._done: dict[int, tuple[str, Any]] = {}
        self._wanted: dict[int, Any] = {}  # of batches that were not handed out yet
        self._more = True
        seed = loader.draw_seed()
        for number in range(len(self._workers)):
            self._order(number, ("epoch", self._epoch, seed))
        self._dispatch()

    @property
    def alive(self) -> bool:
        """Whether there still are workers."""
        return bool(self._workers)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except StopIteration:
            if not self.loader.persistent_workers:
                self.close()
            raise
        except KeyboardInterrupt:
            self.close(IMPATIENCE)
            raise

    def _advance(self) -> Any:
        while True:
            if self._here is not None:
                return self._here.fetch(next(self._orders))
            self._dispatch()
            if not self._waiting and not self._done:
                raise StopIteration
            index = self._next if self.loader.in_order else next(iter(self._done), -1)
            if index not in self._done:
                self._receive()
                continue
            kind, value = self._done.pop(index)
            if kind == ERROR and value.kind is ForkedProcessError and self._can_go_on():
                self._go_on_here()
                continue
            self._next += 1
            self._wanted.pop(index)
            if kind == DATA:
                return value
            if kind == ERROR:
                value.reraise()

    def _can_go_on(self) -> bool:
        """Whether this process can make the batches: workers were forked for want of better, samples have numbers."""
        return bool(self._advice) and not isinstance(self.loader.dataset, IterableDataset)

    def _go_on_here(self) -> None:
        """Makes the rest of the batches, and those of later epochs, in this process: forked workers cannot."""
        warnings.warn("DataLoader: the data set uses OpenCL, which its workers cannot; batches are made in the main process "
                      f"from now on.{self._advice}", RuntimeWarning, stacklevel=6)
        loader = self.loader
        rest = [self._wanted[index] for index in sorted(self._wanted)]
        self._orders = chain(rest, self._orders if self._more else ())
        self.close(IMPATIENCE)
        self._here = Fetcher(loader.dataset, loader.collate_fn, loader._auto_collation, loader.drop_last)
        loader.load_here()

    def _dispatch(self) -> None:
        most = self.loader.prefetch_factor * len(self._workers)
        while self._more and any(self._active) and len(self._waiting) + len(self._done) < most:
            try:
                wanted = next(self._orders)
            except StopIteration:
                self._more = False
                return
            while not self._active[self._turn % len(self._workers)]:
                self._turn += 1
            number = self._turn % len(self._workers)
            self._turn += 1
            self._waiting[self._sent], self._wanted[self._sent] = number, wanted
            self._order(number, ("fetch", self._sent, wanted))
            self._sent += 1

    def _order(self, number: int, order: Any) -> None:
        try:
            self._workers[number][1].send(order)
        except (BrokenPipeError, ConnectionResetError):
            self._lost(number)

    def _receive(self) -> None:
        """Takes in the answers that are there; waits for one."""
        connections = {connection: number for number, (_, connection) in enumerate(self._workers)}
        timeout = self.loader.timeout
        ready = wait(list(connections), timeout or None)
        if not ready:
            self.close(IMPATIENCE)
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
        for connection in ready:
            number = connections[connection]  # type: ignore[index]
            try:
                (epoch, index, kind), value = transfer.receive(connection)  # type: ignore[arg-type]
            except (EOFError, ConnectionResetError):
                self._lost(number)
            if index < 0:  # the worker could not even read the data set
                self.close()
                value.reraise()
            if epoch != self._epoch:
                continue
            del self._waiting[index]
            self._done[index] = kind, value
            if kind == END:
                self._active[number] = False

    def _lost(self, number: int) -> NoReturn:
        process = self._workers[number][0]
        process.join(PATIENCE)
        code, pid = process.exitcode, process.pid
        self.close(IMPATIENCE)
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        raise RuntimeError(f"DataLoader worker (pid {pid}) {how}. Its own messages, if any, are printed above; with "
                           "num_workers=0 the data set runs in the main process, where a debugger reaches it")

    def close(self, patience: float = PATIENCE) -> None:
        """Ends the workers: asks, waits, and then insists."""
        workers, self._workers = self._workers, []
        for _, connection in workers:
            with contextlib.suppress(OSError):
                connection.send(None)
            connection.close()
        deadline = time.monotonic() + patience
        for process, _ in workers:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.terminate()
                process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        self._waiting, self._done, self._more = {}, {}, False

    def __del__(self) -> None:
        if getattr(self, "_workers", None):
            self.close()
