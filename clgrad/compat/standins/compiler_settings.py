"""Settings of PyTorch's compilers. Programs set, read and patch them; no graphs are compiled, so nothing else looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from types import ModuleType, SimpleNamespace
from typing import Any

__all__ = ["group", "patching"]


def group(**settings: Any) -> SimpleNamespace:
    """Settings under one name, as ``config.triton`` is."""
    return SimpleNamespace(**settings)


def patching(config: ModuleType) -> Any:
    """The function ``patch`` of a module of settings."""

    @contextmanager
    def patch(arg1: Any = None, arg2: Any = None, **kwargs: Any) -> Iterator[None]:
        """Other values within a ``with`` block or a decorated function: a name and its value, a mapping, or keywords."""
        changes = {**(arg1 if isinstance(arg1, dict) else {} if arg1 is None else {arg1: arg2}), **kwargs}
        places = [(reduce(getattr, name.split(".")[:-1], config), name.split(".")[-1], value)
                  for name, value in changes.items()]
        before = [(place, name, getattr(place, name)) for place, name, _ in places]
        for place, name, value in places:
            setattr(place, name, value)
        try:
            yield
        finally:
            for place, name, value in before:
                setattr(place, name, value)

    return patch
