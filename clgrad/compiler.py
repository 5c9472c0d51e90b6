"""``torch.compiler``: nothing is captured, functions run as they are."""

from __future__ import annotations

from typing import Any

from clgrad.settings import compile as compile

__all__ = ["allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
           "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance"]


def reset() -> None:
    """Nothing was captured, so nothing is dropped."""


def disable(fn: Any = None, recursive: bool = True, **kwargs: Any) -> Any:
    """The function itself, or a decorator that gives it back."""
    return fn if callable(fn) else (lambda f: f)


allow_in_graph = assume_constant_result = disable


class set_stance:
    """Accepted as a call, a context and a decorator."""

    def __init__(self, stance: str = "default", **kwargs: Any):
        self.stance = stance

    def __call__(self, fn: Any) -> Any:
        return fn

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *exception: object) -> None:
        """Nothing to do."""


def is_compiling() -> bool:
    """False."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def cudagraph_mark_step_begin() -> None:
    """Marks nothing."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """None: kernels are compiled as they are needed."""
    return []
