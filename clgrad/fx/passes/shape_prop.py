"""``ShapeProp``: runs a graph and notes at each node what kind of tensor it gave."""

from __future__ import annotations

from typing import Any, NamedTuple

from clgrad.dtypes import dtype
from clgrad.fx.interpreter import Interpreter
from clgrad.fx.node import Node, map_aggregate
from clgrad.shapes import Size
from clgrad.tensor import Tensor

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What is known of a tensor beside its values."""

    shape: Size
    dtype: dtype
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: Any
    is_quantized: bool
    qparams: dict


class ShapeProp(Interpreter):
    """Notes in ``node.meta["tensor_meta"]`` the shapes and dtypes that :meth:`propagate` meets, in ``"type"`` the class."""

    def run_node(self, n: Node) -> Any:
        """The node's value, noted."""
        result = super().run_node(n)
        tensors = []

        def noted(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            tensors.append(value)
            return TensorMetadata(value.shape, value.dtype, value.requires_grad, tuple(value.stride()), None, False, {})
        meta = map_aggregate(result, noted)
        if tensors:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Runs the graph with these arguments."""
        return self.run(*args)
