"""``torch._higher_order_ops.associative_scan``: running totals by a function of the program's own (Blelloch 1990)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import normalize_dim
from clgrad.trees import tree_flatten, tree_unflatten


def associative_scan(combine_fn: Callable, xs: Any, dim: int, reverse: bool = False, combine_mode: str = "pointwise") -> Any:
    """``xs``, each entry along ``dim`` combined with all before it, or after it, in about 2 log2(n) calls of ``combine_fn``.

    Args:
        combine_fn: an associative function of two trees like ``xs``.
        xs: tensors in any containers, of one size along ``dim``.
        combine_mode: "generic", or "pointwise", which says that elements are combined with those of their own place.

    Raises:
        ValueError: ``combine_fn`` is no function, the mode is unknown, there is nothing along ``dim``.
        IndexError: the tensors have no such dimension.
    """
    if not callable(combine_fn):
        raise ValueError(f"Combine_fn must be a callable, but got {combine_fn}")
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}")
    leaves, spec = tree_flatten(xs)
    axis = normalize_dim(dim, leaves[0].ndim)
    if any(leaf.ndim <= axis or not leaf.shape[axis] for leaf in leaves):
        raise ValueError("All xs leaves must at least have 'dim' number of dimensions and scan dimension > 0")

    def combine(a: list, b: list) -> list:
        first, second = ([leaf.movedim(0, axis) for leaf in given] for given in (a, b))
        made = combine_fn(tree_unflatten(first, spec), tree_unflatten(second, spec))
        return [leaf.movedim(axis, 0) for leaf in tree_flatten(made)[0]]
    lines = [leaf.movedim(axis, 0) for leaf in leaves]
    if reverse:
        lines = [line.flip(0) for line in lines]
    totals = _totals(combine, lines)
    if reverse:
        totals = [line.flip(0) for line in totals]
    return tree_unflatten([line.movedim(0, axis) for line in totals], spec)


def _totals(combine: Callable[[list, list], list], lines: list) -> list:
    """The running totals along dimension 0: those of pairs, and between them the ones that end in the middle of a pair."""
    count = lines[0].shape[0]
    if count == 1:
        return lines
    of_pairs = _totals(combine, combine([line[:count - 1:2] for line in lines], [line[1::2] for line in lines]))
    if count == 2:
        return [FUNCTIONS["cat"]([line[:1], pairs]) for line, pairs in zip(lines, of_pairs, strict=True)]
    between = combine([pairs[:(count - 1) // 2] for pairs in of_pairs], [line[2::2] for line in lines])
    return [_interleaved(FUNCTIONS["cat"]([line[:1], middle]), pairs)
            for line, middle, pairs in zip(lines, between, of_pairs, strict=True)]


def _interleaved(even: Any, odd: Any) -> Any:
    """The entries of two tensors in turn; the first may have one more."""
    paired = FUNCTIONS["stack"]([even[:odd.shape[0]], odd], 1).flatten(0, 1)
    return paired if even.shape[0] == odd.shape[0] else FUNCTIONS["cat"]([paired, even[-1:]])
