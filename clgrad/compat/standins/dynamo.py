"""``torch._dynamo`` where nothing is captured: functions run as they are."""

from __future__ import annotations

from types import SimpleNamespace

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

__all__ = ["allow_in_graph", "assume_constant_result", "config", "cudagraph_mark_step_begin", "disable", "is_compiling",
           "is_dynamo_compiling", "is_exporting", "list_backends", "reset"]

config = SimpleNamespace(suppress_errors=False, verbose=False, cache_size_limit=8)
