"""``torch.compiler``: nothing is captured, functions run as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.nn.modules.module import Module
from clgrad.nn.modules.optimized import OptimizedModule

__all__ = ["allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
           "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance"]


def compile(model: Callable | None = None, *, fullgraph: bool = False, dynamic: bool | None = None,
            backend: Any = "inductor", mode: str | None = None, options: dict | None = None, disable: bool = False,
            name: str | None = None, recompile_limit: int | None = None, isolate_recompiles: bool = False,
            shapes_spec: Any = None) -> Any:
    """The function itself, or a module that calls the given one: kernels are compiled as they are needed.

    Also a decorator, with or without arguments. The module that it gives holds the given one as ``_orig_mod``, and so do
    the keys of its state.

    Raises:
        RuntimeError: ``mode`` and ``options`` are both given.
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return lambda function: compile(function, disable=disable)
    if not callable(model):
        raise TypeError(f"compile(): expected a function or a module, got {type(model).__name__}")
    return OptimizedModule(model) if isinstance(model, Module) and not disable else model


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
