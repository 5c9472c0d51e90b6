"""``torch._dynamo`` where nothing is captured: functions run as they are."""

from __future__ import annotations

from typing import Any

from clgrad.compat.standins.dynamo import config, eval_frame, exc
from clgrad.compat.standins.dynamo.eval_frame import OptimizedModule, is_dynamo_supported
from clgrad.compiler import (
    allow_in_graph,
    assume_constant_result,
    cudagraph_mark_step_begin,
    disable,
    is_compiling,
    is_dynamo_compiling,
    is_exporting,
    list_backends,
    reset,
)

__all__ = ["OptimizedModule", "allow_in_graph", "assume_constant_result", "config", "cudagraph_mark_step_begin",
           "disable", "eval_frame", "exc", "graph_break", "is_compiling", "is_dynamo_compiling", "is_dynamo_supported",
           "is_exporting", "list_backends", "mark_dynamic", "mark_static", "mark_static_address", "maybe_mark_dynamic",
           "optimize", "reset"]

def graph_break(msg: str = "") -> None:
    """Breaks nothing."""


def mark_dynamic(t: Any, index: Any, **kwargs: Any) -> None:
    """Marks nothing: every shape is as good as another."""


maybe_mark_dynamic = mark_dynamic


def mark_static(t: Any, index: Any = None) -> None:
    """Marks nothing, as :func:`mark_dynamic`."""


def mark_static_address(t: Any, guard: bool = False) -> None:
    """Marks nothing: no graphs are kept that could hold addresses."""


def optimize(*args: Any, **kwargs: Any) -> Any:
    """A decorator that gives the function back."""
    return lambda f: f
