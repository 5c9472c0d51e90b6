"""``torch.cuda.nvtx``: marks for a tool of NVIDIA's, which PyTorch too has only in its builds for CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build? "
                       "torch.profiler.record_function names ranges on every device")


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """Refused where it is entered: as a decorator it may stand before functions that are never called."""
    _refuse()
    yield


mark = range_end = range_pop = range_push = range_start = _refuse
