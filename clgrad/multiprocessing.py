"""Python's ``multiprocessing`` with ``torch.multiprocessing``'s additions.

Drivers of OpenCL do not survive a fork: a process that uses tensors has to be started with the method ``spawn`` or
``forkserver`` once its parent has used a device. Tensors that a process is started with lie in memory
that both see from then on: what one writes, the other reads. In queues and files they are copied; so are those of a GPU.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from multiprocessing.connection import wait
from typing import Any

__all__ = [*multiprocessing.__all__, "ProcessExitedException", "ProcessRaisedException", "SpawnContext",  # type: ignore
           "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes"]


class ProcessRaisedException(Exception):
    """A process of :func:`spawn` ended with an exception."""


class ProcessExitedException(Exception):
    """A process of :func:`spawn` was ended, or ended itself with an exit code."""


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted for ``file_system`` and ``file_descriptor``: memory is shared in one way."""
    if new_strategy not in get_all_sharing_strategies():
        raise AssertionError(f"{new_strategy} is not one of {sorted(get_all_sharing_strategies())}")


def get_sharing_strategy() -> str:
    """``file_descriptor``."""
    return "file_descriptor"


def get_all_sharing_strategies() -> set[str]:
    """The names that :func:`set_sharing_strategy` takes."""
    return {"file_descriptor", "file_system"}


def _run(fn: Callable, rank: int, args: tuple) -> None:
    fn(rank, *args)


class SpawnContext:
    """The processes that :func:`spawn` started."""

    def __init__(self, processes: list[Any]):
        self.processes = processes

    def pids(self) -> list[int | None]:
        """Their numbers."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Waits for one or more to end; True when all have. Where one failed, the others are ended, and it raises."""
        waiting = {process.sentinel: process for process in self.processes if process.exitcode is None}
        if waiting:
            wait(list(waiting), timeout)
        failed = next((process for process in self.processes if process.exitcode), None)
        if failed is None:
            return all(process.exitcode == 0 for process in self.processes)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
            process.join()
        rank, code = self.processes.index(failed), failed.exitcode
        if code == 1:
            raise ProcessRaisedException(f"process {rank} terminated with an exception; its traceback is printed above")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise ProcessExitedException(f"process {rank} terminated with {how}")


def start_processes(fn: Callable, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
                    start_method: str = "spawn") -> Any:
    """Runs ``fn(number, *args)`` in ``nprocs`` processes.

    Returns:
        None once all have ended; with ``join=False`` at once a :class:`SpawnContext`.
    """
    context = multiprocessing.get_context(start_method)
    processes = []
    for rank in range(nprocs):
        process = context.Process(target=_run, args=(fn, rank, args), daemon=daemon)  # type: ignore[attr-defined]
        process.start()
        processes.append(process)
    started = SpawnContext(processes)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(fn: Callable, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
          start_method: str = "spawn") -> Any:
    """:func:`start_processes`."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
