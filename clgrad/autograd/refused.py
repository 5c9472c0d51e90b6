"""Results whose gradients nobody gives, as in PyTorch: they require one, and asking for it is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.autograd.graph import Node, attach, needs_graph

# What PyTorch calls the nodes of operators that have no derivative at all.
NoDerivative = type("NotImplemented", (Node,), {"name": lambda self: "torch::autograd::NotImplemented"})


def no_derivative(operator: str) -> RuntimeError:
    """The error for an operator that has no derivative at all."""
    return RuntimeError(f"derivative for aten::{operator} is not implemented")


def no_formula(operator: str) -> NotImplementedError:
    """The error for an operator, or an operand of one (``operator: operand``), whose derivative nobody wrote down."""
    return NotImplementedError(f"the derivative for '{operator}' is not implemented.")


def refuse_gradient(results: Any, inputs: Sequence[Any], error: Exception, node: str | type[Node] = NoDerivative) -> Any:
    """``results`` (a tensor or a tuple of them), which require a gradient if an input does; it ends in ``error``."""
    if needs_graph(*inputs):
        def backward(*grads: Any) -> tuple:
            raise error
        attach(tuple(results) if isinstance(results, tuple) else results, node, inputs, backward)
    return results
