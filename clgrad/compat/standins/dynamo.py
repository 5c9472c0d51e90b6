"""``torch._dynamo`` and ``torch.compiler`` where nothing is captured: functions run as they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

config = SimpleNamespace(suppress_errors=False, verbose=False, cache_size_limit=8)


def reset() -> None:
    """Nothing was captured, so nothing is dropped."""


def disable(fn: Any = None, recursive: bool = True, **kwargs: Any) -> Any:
    """The function itself, or a decorator that gives it back."""
    return fn if callable(fn) else (lambda f: f)


allow_in_graph = assume_constant_result = disable


def is_compiling() -> bool:
    """False."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def cudagraph_mark_step_begin() -> None:
    """Marks nothing."""


def list_backends() -> list[str]:
    """None: kernels are compiled as they are needed."""
    return []
