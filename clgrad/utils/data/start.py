"""How worker processes are started.

A forked process must not touch OpenCL once its parent has: drivers hang there. So workers are forked from a fresh server
(``forkserver``) wherever that can work: the data set has to survive a pickle, and the program's file, which such
processes import, must not start everything again. Otherwise they are forked; what they do on the host, with Pillow, NumPy
and tensors that are only indexed and put together, works there too, and what needs a device is an error that says why.
"""

from __future__ import annotations

import ast
import multiprocessing
import sys
import warnings
from functools import cache
from typing import Any

from clgrad.runtime import device, open_devices
from clgrad.utils.data import transfer
from clgrad.utils.data.worker import Task, run


@cache
def _guarded(path: str) -> bool:
    """Whether a program's file keeps its actions behind ``if __name__ == "__main__"``."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.If) and any(isinstance(part, ast.Name) and part.id == "__name__"
                                                for part in ast.walk(node.test)) for node in tree.body)


def _obstacle(package: transfer.Package) -> str | None:
    """Why processes that import the program afresh cannot serve this data set; None where they can."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.rpartition(".")[2] == "__main__":
        path = None  # python -m package: such a program is not imported again
    if path is None:
        return "it is defined in a session that has no file" if b"__main__" in package.pickle else None
    if not _guarded(path):
        return f'{path} has no `if __name__ == "__main__":` around its actions'
    return None


class Start:
    """Starts the workers of one loader. ``close`` frees what it holds for them."""

    def __init__(self, task: Task, wanted: Any):
        self.advice = ""
        self.package: transfer.Package | None = None
        self.task: Task | None = None
        self.context: Any
        if wanted is not None:
            self.context = multiprocessing.get_context(wanted) if isinstance(wanted, str) else wanted
            if self.context.get_start_method() != "fork":
                self._pack(task)
                return
        elif sys.platform == "linux":
            reason = self._forking_reason(task)
            if reason is None:
                self.context = multiprocessing.get_context("forkserver")
                self.context.set_forkserver_preload(["clgrad.utils.data.worker"])
                return
            self.context = multiprocessing.get_context("fork")
            self.advice = (f"\nThis worker was forked because {reason}; forked processes cannot use OpenCL. Change that, "
                           "or let the data set return arrays, or use num_workers=0.")
        else:
            self._pack(task)
            self.context = multiprocessing.get_context("spawn")
            return
        self.task = task
        # What the workers inherit has to be complete, and they must find the device open to know that it is not theirs.
        _ = device("cpu").compute
        for opened in open_devices():
            opened.synchronize()

    def _pack(self, task: Task) -> None:
        try:
            self.package = transfer.Package(task)
        except Exception as error:
            raise type(error)(f"DataLoader: the data set, collate_fn and worker_init_fn have to be pickled for worker "
                              f"processes, which failed: {error}. Define classes and functions at the top of a module (no "
                              "lambdas), or use num_workers=0") from error

    def _forking_reason(self, task: Task) -> str | None:
        try:
            package = transfer.Package(task)
        except Exception as error:
            return f"the data set cannot be pickled ({type(error).__name__}: {error})"
        reason = _obstacle(package)
        if reason is None:
            self.package = package
        else:
            package.close()
        return reason

    def process(self, number: int, others: list[Any]) -> tuple[Any, Any]:
        """A new worker and the connection to it."""
        own, theirs = multiprocessing.Pipe(duplex=True)
        strangers = [own, *others] if self.task is not None else []
        process = self.context.Process(target=run, args=(number, theirs, self.task, strangers, self.advice), daemon=True,
                                       name=f"DataLoader worker {number}")
        with warnings.catch_warnings():
            # Python warns of forks beside other threads, which drivers have; what forked workers cannot do, ``advice`` says.
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            process.start()
        theirs.close()
        if self.package is not None:
            self.package.send(own)
        return process, own

    def close(self) -> None:
        """Gives the packed data set back."""
        if self.package is not None:
            self.package.close()
