"""``torch.distributed.elastic.multiprocessing.errors``: what a program's main function is marked with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def record(fn: Callable, error_handler: Any = None) -> Callable:
    """The function itself: an exception of the one process is Python's to report."""
    return fn
