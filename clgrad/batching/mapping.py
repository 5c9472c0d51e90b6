"""``vmap``: which dimensions of arguments are mapped, where those of results go, and the block between."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.batching import (  # noqa: F401 (they register rules)
    dimensions,
    layers,
    matrices,
    pointwise,
    products,
    shapes,
    transforms,
)
from clgrad.batching.level import Level, check_randomness
from clgrad.ops.random import default_generator
from clgrad.ops.registry import FUNCTIONS
from clgrad.trees import tree_leaves, tree_structure, tree_unflatten


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Callable:
    """A function over a batch: what ``func`` does with one entry of the mapped dimensions, done for all of them at once.

    Args:
        in_dims: the dimension of each argument that is mapped, None for one that is passed as it is; one for all, or
            a nested structure like the arguments'.
        out_dims: where the results' new dimension goes.
        randomness: whether random numbers differ between the entries (``"different"``), are the ``"same"`` for all, or are
            an ``"error"``.
        chunk_size: how many entries are computed at once; None: all.

    Operators that :mod:`clgrad.batching` has no rule for are called for each entry.

    >>> import clgrad
    >>> clgrad.func.vmap(clgrad.dot)(clgrad.ones(2, 3), clgrad.ones(2, 3))
    tensor([3., 3.])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    check_randomness(randomness)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not args:
            raise ValueError("vmap: got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function "
                             "with no inputs. The latter is unsupported: there must be at least one Tensor")
        leaves, dims = tree_leaves(args), _dims_of(in_dims, args)
        sizes = {leaf.shape[dim] for leaf, dim in zip(leaves, dims, strict=True) if dim is not None}
        if not sizes:
            raise ValueError("vmap: at least one Tensor of the arguments must be mapped over: in_dims names no dimension")
        if len(sizes) != 1:
            raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                             f"{sorted(sizes)} for the mapped dimension")
        count = sizes.pop()
        if count == 0:
            raise ValueError("vmap: the mapped dimension is empty")
        wholes = [leaf.movedim(dim, 0) if dim else leaf for leaf, dim in zip(leaves, dims, strict=True)]
        pieces, state = [], default_generator.get_state() if randomness == "same" else None
        for begin in range(0, count, chunk_size or count):
            size = min(chunk_size or count, count - begin)
            parts = wholes if size == count else [w if d is None else w.narrow(0, begin, size)
                                                  for w, d in zip(wholes, dims, strict=True)]
            if state is not None:
                default_generator.set_state(state)
            level = Level(size, randomness)
            entries = [w if d is None else level.batch(w) for w, d in zip(parts, dims, strict=True)]
            with level:
                output = func(*tree_unflatten(entries, tree_structure(args)), **kwargs)
            pieces.append(_settled(level, output, out_dims))
        return _joined(pieces)
    return wrapped


def _settled(level: Level, output: Any, out_dims: Any) -> tuple[Any, list, list]:
    """A level's result: its structure, its leaves with all entries along the dimensions that are wanted, and those."""
    leaves, dims = tree_leaves(output), _out_dims_of(out_dims, output)
    found = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is None:
            if level.owns(leaf):
                raise ValueError("vmap: the function can not return a BatchedTensor when out_dim is None")
            found.append(leaf)
            continue
        if not isinstance(leaf, TensorBase):
            raise ValueError(f"vmap: the function must only return Tensors, got type {type(leaf)}. Did you mean to set "
                             "out_dims= to None for output?")
        if not -leaf.ndim - 1 <= dim <= leaf.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-leaf.ndim - 1}, {leaf.ndim}], but got "
                             f"{dim})")
        whole = level.whole_of(leaf)
        found.append(whole if dim == 0 else whole.movedim(0, dim))
    return tree_structure(output), found, dims


def _joined(pieces: list[tuple[Any, list, list]]) -> Any:
    """The results of all chunks as one."""
    structure, leaves, dims = pieces[0]
    if len(pieces) > 1:
        leaves = [column[0] if dim is None else FUNCTIONS["cat"](list(column), dim)
                  for dim, *column in zip(dims, *[found for _, found, _ in pieces], strict=True)]
    return tree_unflatten(leaves, structure)


def _dims_of(in_dims: Any, args: tuple) -> list:
    """For each leaf of the arguments its mapped dimension, not negative, or None."""
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(f"vmap: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of "
                         f"inputs, got: {type(in_dims)}.")

    def walk(dim: Any, tree: Any) -> list:
        if isinstance(dim, (tuple, list, dict)):
            if type(dim) is not type(tree) or (set(dim) != set(tree) if isinstance(dim, dict) else len(dim) != len(tree)):
                raise ValueError(f"vmap: in_dims is not compatible with the structure of `inputs`: {dim} for {type(tree)}, "
                                 "expected one entry for each of the input's, in a structure of the same kind")
            entries: Any = tree.items() if isinstance(tree, dict) else enumerate(tree)
            return [d for key, item in entries for d in walk(dim[key], item)]
        if isinstance(tree, (tuple, list, dict)):
            return [d for item in (tree.values() if isinstance(tree, dict) else tree) for d in walk(dim, item)]
        if dim is None:
            return [None]
        if not isinstance(tree, TensorBase):
            raise ValueError(f"vmap: Got in_dim={dim} for an input but the input is of type {type(tree)}. We cannot vmap "
                             "over non-Tensor arguments, please use None as the respective in_dim")
        if not -tree.ndim <= dim < tree.ndim:
            raise ValueError(f"vmap: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality "
                             f"{tree.ndim} so expected in_dim to satisfy -{tree.ndim} <= in_dim < {tree.ndim}.")
        return [dim % tree.ndim]
    return walk(in_dims, args)


def _out_dims_of(out_dims: Any, output: Any) -> list:
    """For each leaf of a result where its new dimension goes, or None."""
    if any(not isinstance(dim, (int, type(None))) for dim in tree_leaves(out_dims)):
        raise ValueError(f"vmap: `out_dims` must be an int, None or a python collection of ints representing where in the "
                         f"outputs the vmapped dimension should appear, got {out_dims!r}")

    def walk(dim: Any, tree: Any) -> list:
        if dim is None or isinstance(dim, int):
            return [dim] * len(tree_leaves(tree))
        if type(dim) is not type(tree) or len(dim) != len(tree):
            raise ValueError(f"vmap: out_dims is not compatible with the structure of `outputs`: out_dims is {out_dims}")
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        return [d for key in keys for d in walk(dim[key], tree[key])]
    alone = isinstance(out_dims, tuple) and len(out_dims) == 1 and isinstance(output, TensorBase)
    return walk(out_dims[0] if alone else out_dims, output)
