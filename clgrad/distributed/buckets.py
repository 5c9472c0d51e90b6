"""``GradBucket``: gradients that travel together, as hooks of communication see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class GradBucket:
    """Gradients behind each other in one vector.

    Args:
        index: the bucket's number; those of the last parameters come first.
        buffer: the vector.
        parameters: to whom the gradients belong.
        last: whether no bucket follows.
    """

    def __init__(self, index: int, buffer: Any, parameters: Sequence[Any], last: bool):
        self._index, self._buffer, self._parameters, self._last = index, buffer, list(parameters), last

    def index(self) -> int:
        """The bucket's number."""
        return self._index

    def buffer(self) -> Any:
        """The vector of all gradients."""
        return self._buffer

    def set_buffer(self, buffer: Any) -> None:
        """Another vector of the same length."""
        self._buffer = buffer

    def parameters(self) -> list[Any]:
        """The parameters."""
        return list(self._parameters)

    def gradients(self) -> list[Any]:
        """A view of the vector for each parameter, of its shape."""
        sizes = [parameter.numel() for parameter in self._parameters]
        return [part.view(parameter.shape) for part, parameter in
                zip(self._buffer.split(sizes), self._parameters, strict=True)]

    def is_last(self) -> bool:
        """Whether no bucket follows."""
        return self._last
