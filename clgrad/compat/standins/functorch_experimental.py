"""``functorch.experimental``: functions that ``torch.func`` has, and batches in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.func import functionalize, hessian, jacfwd, jvp, replace_all_batch_norm_modules_, vmap

__all__ = ["chunk_vmap", "functionalize", "hessian", "jacfwd", "jvp", "replace_all_batch_norm_modules_"]


def chunk_vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", chunks: int = 2) -> Callable:
    """:func:`vmap`, which takes all entries at once, however many pieces are asked for."""
    return vmap(func, in_dims, out_dims, randomness)
