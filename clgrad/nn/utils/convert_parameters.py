"""Parameters as one vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All elements one after the other."""
    return FUNCTIONS["cat"]([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Makes the parameters views of consecutive parts of ``vec``.

    Raises:
        TypeError: ``vec`` is not a tensor.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.data = vec[start:start + count].view(parameter.shape).data
        start += count
