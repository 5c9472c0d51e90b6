"""Rules that programs give for operators of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.trees import tree_map


class VmapInfo:
    """What a rule of the program is told: how many entries there are, and whether their random numbers differ."""

    def __init__(self, batch_size: int, randomness: str):
        self.batch_size, self.randomness = batch_size, randomness


def by_own_rule(level: Any, own_rule: Callable, args: tuple, kwargs: dict) -> Any:
    """All entries by a rule of the program's: ``own_rule(info, in_dims, *args)`` gives results and their mapped dims."""
    in_dims = tuple([tree_map(lambda leaf: 0 if level.owns(leaf) else None, a) for a in args])
    whole, named = (tree_map(lambda leaf: leaf.whole if level.owns(leaf) else leaf, given) for given in (args, kwargs))
    result, out_dims = own_rule(VmapInfo(level.size, level.randomness), in_dims, *whole, **named)

    def batched(value: Any, dim: int | None) -> Any:
        return level.batch(value.movedim(dim, 0)) if isinstance(value, TensorBase) and dim is not None else value
    if not isinstance(result, (tuple, list)):
        return batched(result, out_dims)
    dims = out_dims if isinstance(out_dims, (tuple, list)) else (out_dims,) * len(result)
    return type(result)([batched(value, dim) for value, dim in zip(result, dims, strict=True)])
