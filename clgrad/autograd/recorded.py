"""Gradients of higher order of operators with kernels of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clgrad.autograd.engine import grad
from clgrad.autograd.grad_mode import enable_grad


def recorded_gradients(function: Callable, operands: Sequence, grads: Sequence) -> list:
    """The gradients of an operator as recorded operations, so that they can be differentiated again.

    Args:
        function: the operator as a composition of recorded ones: ``function(*operands)`` is its result or a sequence of them.
        operands: tensors, and None for what was left out.
        grads: the gradient of each result, None where there is none.

    Returns:
        For each operand its gradient; None where it needs none or no result depends on it.
    """
    with enable_grad():
        # Through views, so that the walk ends there: one operand may come from another, or be the same.
        views = [t.view_as(t) if t is not None and t._requires_grad else t for t in operands]
        results = function(*views)
        pairs = zip(results if isinstance(results, (tuple, list)) else (results,), grads, strict=True)
        used = [(y, g) for y, g in pairs if g is not None]
        wanted = [n for n, t in enumerate(views) if t is not None and t._requires_grad]
        found: list = [None] * len(views)
        if wanted:
            values = grad([y for y, _ in used], [views[n] for n in wanted], [g for _, g in used], create_graph=True,
                          allow_unused=True)
            for n, value in zip(wanted, values, strict=True):
                found[n] = value
        return found
