"""Gradients of higher order of operators with kernels of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clgrad.autograd.engine import grad
from clgrad.autograd.grad_mode import enable_grad, mode
from clgrad.autograd.graph import Saved, edge_of, is_wanted


def recorded_gradients(saved: Saved, function: Callable, operands: Sequence, grads: Sequence) -> list:
    """The gradients of an operator as recorded operations, so that they can be differentiated again.

    Args:
        saved: what the operator's node has saved. It keeps the composition for the next walk.
        function: the operator as a composition of recorded ones: ``function(*operands)`` is its result or a sequence of them.
        operands: the inputs of the operator's node, but for last ones perhaps; None for what was left out.
        grads: the gradient of each result, None where there is none.

    Returns:
        For each operand its gradient; None where it is not wanted or no result depends on it.
    """
    with enable_grad():
        views, results = _composition(saved, function, operands)
        used = [(y, g) for y, g in zip(results, grads, strict=True) if g is not None]
        wanted = [n for n, t in enumerate(views) if t is not None and t._requires_grad and is_wanted(n)]
        found: list = [None] * len(views)
        if wanted:
            values = grad([y for y, _ in used], [views[n] for n in wanted], [g for _, g in used], create_graph=True,
                          allow_unused=True)
            for n, value in zip(wanted, values, strict=True):
                found[n] = value
        return found


def _composition(saved: Saved, function: Callable, operands: Sequence) -> tuple[list, Sequence]:
    """The operands as new ones to differentiate by, and the results as recorded operations."""
    if saved.composition is not None and not _is_freed(*saved.composition):
        return saved.composition
    # Through views, so that the walk ends there: one operand may come from another, or be the same.
    views = [t.view_as(t) if t is not None and t._requires_grad else t for t in operands]
    results = function(*views)
    made = views, results if isinstance(results, (tuple, list)) else (results,)
    saved.composition = made if mode.walk is None or mode.walk.retain else None
    return made


def _is_freed(views: list, results: Sequence) -> bool:
    """Whether a walk has freed what an operation between these has saved."""
    waiting, ends = ([edge[0] for edge in map(edge_of, tensors) if edge is not None]
                     for tensors in (results, [t for t in views if t is not None]))
    seen = set(ends)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            if node.saved is not None and node.saved.entries is None:
                return True
            waiting += [edge[0] for edge in node.edges if edge is not None]
    return False
