"""From one layout to another: strided, coordinates, and compressed rows, columns and blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from clgrad.formats import layout, sparse_coo, strided
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.sparse import (
    BY_ROWS,
    COMPRESSED,
    OF_BLOCKS,
    Pattern,
    as_coo,
    coalesced,
    dense_of,
    entries_of,
    is_sparse,
    pattern_of,
    places_of,
    sparse,
    sparse_of,
    summed,
)

LAYOUTS = (strided, sparse_coo, *COMPRESSED)


def in_layout(x: Any, wanted: layout, blocksize: Sequence[int] | None = None, dense_dim: int | None = None) -> Any:
    """A tensor in a layout, itself where it has it. Of a strided one the last ``dense_dim`` dimensions are those of values.

    Raises:
        RuntimeError: the layout does not fit: matrices of a batch have different numbers of values, sizes are no multiples of
            those of blocks, there is no matrix.
    """
    if x.spec.layout is wanted and (blocksize is None or tuple(blocksize) == pattern_of(x).block):
        return x
    if wanted is strided:
        return dense_of(x)
    if wanted is sparse_coo:
        return sparse_of(x, x.spec.ndim - (dense_dim or 0)) if not is_sparse(x) else _in_order(as_coo(x))
    name = f"to_{wanted.name}"
    block = _checked_block(x, name, wanted, blocksize)
    if not is_sparse(x):
        x = sparse_of(x, x.spec.ndim - (dense_dim or 0))
    return _compressed(coalesced(as_coo(x)), name, wanted, block)


def _in_order(x: Any) -> Any:
    """Coordinates in the order of rows, which those of compressed columns or blocks are not in."""
    return coalesced(x)


def _checked_block(x: Any, name: str, wanted: layout, blocksize: Sequence[int] | None) -> tuple[int, int]:
    if wanted not in OF_BLOCKS:
        if blocksize is not None:
            raise RuntimeError(f"{name}: blocksize must be None for a result of layout {wanted}, got {tuple(blocksize)}")
        return 1, 1
    if blocksize is None or len(blocksize) != 2:
        raise RuntimeError(f"{name}: blocksize must have two numbers for a result of layout {wanted}, got {blocksize}")
    high, wide = map(int, blocksize)
    if high <= 0 or wide <= 0:
        raise RuntimeError(f"{name}: blocksize must be positive, got {tuple(blocksize)}")
    return high, wide


def _compressed(x: Any, name: str, wanted: layout, block: tuple[int, int]) -> Any:
    pattern, values = entries_of(x)
    if len(pattern.sizes) < 2:
        raise RuntimeError(f"{name}: expected at least 2 sparse dimensions, got {len(pattern.sizes)}")
    *batch, high, wide = pattern.sizes
    if high % block[0] or wide % block[1]:
        raise RuntimeError(f"{name}: tensor sparse size ({high},{wide}) must be divisible by given blocksize "
                           f"({block[0]},{block[1]})")
    order, compressed, indices, count = pattern.derived(
        f"{wanted.name} {block}", lambda: _lines(pattern, name, wanted, block))
    made = Pattern(wanted, pattern.sizes, indices, False, compressed, block)
    rest = values.spec.shape[1:]
    if wanted in OF_BLOCKS:
        values = summed(values, order, prod(batch) * count * prod(block)).reshape(*batch, count, *block, *rest)
    else:
        values = (values if order is None else values.index_select(0, order)).reshape(*batch, count, *rest)
    return sparse(made, values, "ToSparse")


def _lines(pattern: Pattern, name: str, wanted: layout, block: tuple[int, int]) -> tuple[Any, Any, Any, int]:
    """(Order of values, or their places in blocks; where lines begin; places within lines; how many these are a matrix)."""
    *batch, high, wide = pattern.sizes
    matrices, by_rows = prod(batch), wanted in BY_ROWS
    numbers = [index.long() for index in pattern.indices.unbind(0)]
    matrix = numbers[0].new_zeros(pattern.count)
    for size, number in zip(batch, numbers, strict=False):
        matrix = matrix * size + number
    row, column = (place.div(size, rounding_mode="floor") for place, size in zip(numbers[-2:], block, strict=True))
    sizes = high // block[0], wide // block[1]
    line, other = (row, column) if by_rows else (column, row)
    lines, others = sizes if by_rows else sizes[::-1]
    distinct, number = FUNCTIONS["unique"]((matrix * lines + line) * others + other, return_inverse=True)
    line, other = places_of(distinct, (matrices * lines, others))
    first = FUNCTIONS["arange"](matrices, device=line.spec.device).unsqueeze(1)
    starts = FUNCTIONS["searchsorted"](line, first * lines + FUNCTIONS["arange"](lines + 1, device=line.spec.device))
    count = distinct.spec.numel // max(matrices, 1)
    if distinct.spec.numel % max(matrices, 1) or not bool((starts[:, -1] == (first.reshape(-1) + 1) * count).all()):
        raise RuntimeError(f"{name}: Expect the same number of specified elements per batch.")
    starts = (starts - first * count).reshape(*batch, lines + 1)
    if wanted in OF_BLOCKS:
        inside = numbers[-2].remainder(block[0]) * block[1] + numbers[-1].remainder(block[1])
        order = number * prod(block) + inside
    else:
        order = None if by_rows else number.argsort()
    return order, starts, other.reshape(*batch, count), count
