"""``torch.overrides``: operators are not overridden by classes here, so the questions have one answer."""

from __future__ import annotations

from typing import Any

from clgrad.autograd.graph import TensorBase

__all__ = ["has_torch_function", "is_tensor_like"]


def is_tensor_like(inp: Any) -> bool:
    """Whether ``inp`` is a tensor."""
    return isinstance(inp, TensorBase)


def has_torch_function(relevant_args: Any) -> bool:
    """False: ``__torch_function__`` is not looked for."""
    return False
