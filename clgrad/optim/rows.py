"""Steps on sparse gradients: the rule of the optimizer, on the rows that the gradient has."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from clgrad.ops.sparse import coalesced, pattern_of, values_of


class RowsOf:
    """The rows of a parameter and of its states that a sparse gradient has values in: ``rows``, and the ``values``."""

    def __init__(self, tensors: Sequence[Any], grad: Any):
        found = coalesced(grad)
        pattern = pattern_of(found)
        self._tensors, self._flat, self._count = tensors, pattern.flat(), prod(pattern.sizes)
        self.values = values_of(found)
        rest = self.values.spec.shape[1:]
        self.rows = [t.detach().reshape(self._count, *rest).index_select(0, self._flat) for t in tensors]

    def put_back(self) -> None:
        """Writes the rows where they are from."""
        for tensor, rows in zip(self._tensors, self.rows, strict=True):
            shape = (self._count, *rows.spec.shape[1:])
            if tensor.spec.contiguous:
                tensor.detach().view(shape).index_copy_(0, self._flat, rows)
            else:
                tensor.copy_(tensor.detach().reshape(shape).index_copy(0, self._flat, rows).reshape(tensor.spec.shape))
