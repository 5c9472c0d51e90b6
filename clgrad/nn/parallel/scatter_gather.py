"""Batches split over devices, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor
from clgrad.trees import tree_flatten, tree_unflatten

__all__ = ["gather", "scatter", "scatter_kwargs"]


def scatter(inputs: Any, target_gpus: Sequence, dim: int = 0) -> list:
    """Nested containers of tensors as one for each device, each tensor split along ``dim``; other objects are repeated.

    A batch that is too small gives fewer parts than devices.
    """
    leaves, spec = tree_flatten(inputs)
    columns = [leaf.chunk(len(target_gpus), dim) if isinstance(leaf, Tensor) else None for leaf in leaves]
    parts = min([len(target_gpus), *(len(column) for column in columns if column is not None)])
    return [tree_unflatten([leaf if column is None else column[part].to(target_gpus[part])
                            for leaf, column in zip(leaves, columns, strict=True)], spec) for part in range(parts)]


def scatter_kwargs(inputs: tuple, kwargs: dict | None, target_gpus: Sequence, dim: int = 0) -> tuple[tuple, tuple]:
    """Positional and named arguments for each device."""
    split = scatter((tuple(inputs), dict(kwargs or {})), target_gpus, dim)
    return tuple(args for args, _ in split), tuple(named for _, named in split)


def gather(outputs: Sequence, target_device: Any, dim: int = 0) -> Any:
    """The devices' outputs as one, on ``target_device``: tensors are put behind each other along ``dim``."""
    flat = [tree_flatten(output) for output in outputs]
    joined = [FUNCTIONS["cat"]([t.unsqueeze(0).to(target_device) if not t.ndim else t.to(target_device) for t in column], dim)
              if isinstance(column[0], Tensor) else column[0] for column in zip(*[leaves for leaves, _ in flat], strict=True)]
    return tree_unflatten(joined, flat[0][1])
