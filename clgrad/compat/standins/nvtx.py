"""``torch.cuda.nvtx``: marks for a tool of NVIDIA's, which PyTorch too has only in its builds for CUDA."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build? "
                       "torch.profiler.record_function names ranges on every device")


mark = range = range_end = range_pop = range_push = range_start = _refuse
