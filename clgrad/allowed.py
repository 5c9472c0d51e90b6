"""The classes and functions that files of plain data may refer to besides tensors: programs say which."""

from __future__ import annotations

import contextlib
from typing import Any

from clgrad.pickles import Allowed

_safe: dict[tuple[str, str], Any] = {}


def safe_table() -> dict[tuple[str, str], Any]:
    """What :func:`add_safe_globals` allowed, as a table for the reader."""
    return {name: Allowed(value, value) for name, value in _safe.items()}


def add_safe_globals(safe_globals: list) -> None:
    """Lets files of plain data refer to more classes and functions; their code runs when such a file is read.

    Args:
        safe_globals: classes and functions, or pairs (object, ``"module.name"`` under which files know it).
    """
    for entry in safe_globals:
        value, name = entry if isinstance(entry, tuple) else (entry, f"{entry.__module__}.{entry.__qualname__}")
        module, _, last = name.rpartition(".")
        for known in {module, module.replace("clgrad", "torch", 1), module.replace("numpy._core", "numpy.core")}:
            _safe[known, last] = value


def get_safe_globals() -> list:
    """The classes and functions that were allowed."""
    return list(dict.fromkeys(_safe.values()))


def clear_safe_globals() -> None:
    """Allows none of them any more."""
    _safe.clear()


class safe_globals(contextlib.AbstractContextManager):
    """:func:`add_safe_globals` within a ``with`` block."""

    def __init__(self, safe_globals: list):
        self._entries = safe_globals

    def __enter__(self) -> safe_globals:
        self._before = dict(_safe)
        add_safe_globals(self._entries)
        return self

    def __exit__(self, *exception: object) -> None:
        _safe.clear()
        _safe.update(self._before)
