"""``torch.utils.data._utils.pin_memory``: the name by which libraries pin whole batches."""

from __future__ import annotations

from typing import Any

from clgrad.trees import tree_map

__all__ = ["pin_memory"]


def pin_memory(data: Any, device: Any = None) -> Any:
    """Tensors in lists, tuples and dictionaries, and objects with a method of that name, pinned; the rest as it is."""
    return tree_map(lambda leaf: leaf.pin_memory() if hasattr(leaf, "pin_memory") else leaf, data)
