"""``torch.cuda.graphs``: there are none, a call of an operator is what it launches."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables"]

_REASON = "clgrad captures no graphs of launches; call the function itself"


class CUDAGraph:
    """RuntimeError: launches are not captured."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError(f"torch.cuda.CUDAGraph: {_REASON}")


class graph:
    """RuntimeError: launches are not captured."""

    def __init__(self, cuda_graph: Any, pool: Any = None, stream: Any = None, capture_error_mode: str = "global",
                 **settings: Any):
        raise RuntimeError(f"torch.cuda.graph: {_REASON}")


def make_graphed_callables(callables: Any, sample_args: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """RuntimeError: launches are not captured."""
    raise RuntimeError(f"torch.cuda.make_graphed_callables: {_REASON}")


def graph_pool_handle() -> NoReturn:
    """RuntimeError: launches are not captured."""
    raise RuntimeError(f"torch.cuda.graph_pool_handle: {_REASON}")


def is_current_stream_capturing() -> bool:
    """False."""
    return False
