"""``torch._dynamo._trace_wrapped_higher_order_op``: what programs set up around functions over indices."""

from __future__ import annotations

from contextlib import AbstractContextManager

__all__ = ["TransformGetItemToIndex"]


class TransformGetItemToIndex(AbstractContextManager):
    """Changes nothing: tensors can be indexed with tensors as they are."""

    def __exit__(self, *exception: object) -> None:
        """Nothing to do."""
