"""``torch._C._nn``: operators of networks, and how the arguments of ``to`` are read."""

from __future__ import annotations

from typing import Any

from clgrad.nn import functional
from clgrad.ops.copying import parse_to
from clgrad.ops.registry import FUNCTIONS
from clgrad.runtime import device


def _parse_to(*args: Any, **kwargs: Any) -> tuple:
    """Device, dtype, non_blocking and memory format that the arguments of ``to`` name."""
    place, kind, _, memory_format = parse_to(args, kwargs)
    non_blocking = next((value for value in args if isinstance(value, bool)), kwargs.get("non_blocking", False))
    return None if place is None else device(place), kind, non_blocking, memory_format


def __getattr__(name: str) -> Any:
    found = FUNCTIONS.get(name) or getattr(functional, name, None)
    if found is not None:
        return found
    raise AttributeError(f"clgrad has no torch._C._nn.{name}")
