"""``BlockMask``: which blocks of an attention's scores are empty, full, or cut by a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.creation import arange
from clgrad.ops.registry import FUNCTIONS


def ordered(blocks: Any) -> tuple[Any, Any]:
    """A bool matrix of blocks as the number of true ones in each row, and all columns' numbers, those of true ones first."""
    chosen = blocks.to(dtypes.int32)
    return chosen.sum(-1).to(dtypes.int32), chosen.argsort(dim=-1, descending=True, stable=True).to(dtypes.int32)


def _dense(counts: Any, indices: Any) -> Any:
    """The bool matrix that :func:`ordered` was made of."""
    valid = arange(indices.shape[-1], device=indices.device) < counts[..., None]
    return FUNCTIONS["scatter"](valid, -1, indices.to(dtypes.int64), valid)


def _turned(counts: Any, indices: Any) -> tuple[Any, Any]:
    return (None, None) if counts is None else ordered(_dense(counts, indices).transpose(-2, -1))


class BlockMask:
    """The blocks of (batch, heads, queries, keys) that attention has to compute; made by ``create_block_mask``.

    Args:
        seq_lengths: how many queries and keys there are.
        kv_num_blocks: for each block of queries how many blocks of keys the mask cuts, (batch, heads, rows).
        kv_indices: which ones, those first that count, (batch, heads, rows, columns).
        full_kv_num_blocks, full_kv_indices: the same for blocks that are let through as a whole.
        q_num_blocks, q_indices, full_q_num_blocks, full_q_indices: the same, seen from the keys.
        BLOCK_SIZE: queries and keys of a block.
        mask_mod: ``f(b, h, q_idx, kv_idx)``, the mask within cut blocks.
    """

    _PARTS = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices", "q_num_blocks", "q_indices",
              "full_q_num_blocks", "full_q_indices")

    def __init__(self, seq_lengths: tuple[int, int], kv_num_blocks: Any, kv_indices: Any, full_kv_num_blocks: Any,
                 full_kv_indices: Any, q_num_blocks: Any, q_indices: Any, full_q_num_blocks: Any, full_q_indices: Any,
                 BLOCK_SIZE: tuple[int, int] = (128, 128), mask_mod: Callable | None = None):
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise ValueError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        self.seq_lengths, self.BLOCK_SIZE = (seq_lengths[0], seq_lengths[1]), BLOCK_SIZE
        self.mask_mod: Callable = mask_mod or (lambda b, h, q_idx, kv_idx: b.new_ones((), dtype=dtypes.bool))
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices
        self.q_num_blocks, self.q_indices = q_num_blocks, q_indices
        self.full_q_num_blocks, self.full_q_indices = full_q_num_blocks, full_q_indices

    @classmethod
    def from_kv_blocks(cls, kv_num_blocks: Any, kv_indices: Any, full_kv_num_blocks: Any = None, full_kv_indices: Any = None,
                       BLOCK_SIZE: int | tuple[int, int] = 128, mask_mod: Callable | None = None,
                       seq_lengths: tuple[int, int] | None = None, compute_q_blocks: bool = True) -> BlockMask:
        """A mask from the blocks of keys of each block of queries."""
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else (BLOCK_SIZE[0], BLOCK_SIZE[1])
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        lengths = seq_lengths or (kv_indices.shape[-2] * size[0], kv_indices.shape[-1] * size[1])
        turned: tuple[Any, Any, Any, Any] = None, None, None, None
        if compute_q_blocks:
            turned = *_turned(kv_num_blocks, kv_indices), *_turned(full_kv_num_blocks, full_kv_indices)
        return cls(lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, *turned, BLOCK_SIZE=size,
                   mask_mod=mask_mod)

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, heads, queries, keys)."""
        return (*self.kv_num_blocks.shape[:-1], *self.seq_lengths)

    def partial(self) -> Any:
        """Which blocks the mask cuts, as bool."""
        return _dense(self.kv_num_blocks, self.kv_indices)

    def full(self) -> Any:
        """Which blocks are let through as a whole, as bool."""
        if self.full_kv_num_blocks is None:
            return FUNCTIONS["zeros_like"](self.partial())
        return _dense(self.full_kv_num_blocks, self.full_kv_indices)

    def spread(self, blocks: Any, queries: int, keys: int) -> Any:
        """A value for each block as one for each pair of a query and a key."""
        wide = blocks.repeat_interleave(self.BLOCK_SIZE[0], -2).repeat_interleave(self.BLOCK_SIZE[1], -1)
        return wide[..., :queries, :keys]

    def to_dense(self) -> Any:
        """Which blocks are not empty, int32 of (batch, heads, rows, columns)."""
        return (self.partial() | self.full()).to(dtypes.int32)

    def numel(self) -> int:
        """Pairs of queries and keys."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    def sparsity(self) -> float:
        """How many percent of the pairs lie in empty blocks."""
        computed = int(self.to_dense().sum()) * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1]
        return 100.0 * (1.0 - computed / self.numel())

    def as_tuple(self, flatten: bool = True) -> tuple:
        """Everything that the constructor takes."""
        lengths, size = (self.seq_lengths, self.BLOCK_SIZE) if flatten else ((self.seq_lengths,), (self.BLOCK_SIZE,))
        return (*lengths, *(getattr(self, name) for name in self._PARTS), *size, self.mask_mod)

    def _with(self, change: Callable) -> BlockMask:
        parts = [getattr(self, name) for name in self._PARTS]
        made: Any = BlockMask
        return made(self.seq_lengths, *(None if part is None else change(part) for part in parts), self.BLOCK_SIZE,
                    self.mask_mod)

    def to(self, device: Any) -> BlockMask:
        """The mask with its tensors on a device."""
        return self._with(lambda part: part.to(device))

    def __getitem__(self, index: Any) -> BlockMask:
        """The mask of some batches, heads and blocks of queries; it has no ``mask_mod``, which knows other positions."""
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(slice(i, i + 1) if isinstance(i, int) and i != -1 else slice(i, None) if isinstance(i, int) else i
                      for i in index)
        parts: list[Any] = [None if part is None else part[index] for part in (
            self.kv_num_blocks, self.kv_indices, self.full_kv_num_blocks, self.full_kv_indices)]
        lengths = (parts[1].shape[-2] * self.BLOCK_SIZE[0], self.seq_lengths[1]) if len(index) > 2 else self.seq_lengths
        return BlockMask.from_kv_blocks(parts[0], parts[1], parts[2], parts[3], self.BLOCK_SIZE, None,
                                        (lengths[0], lengths[1]), self.q_indices is not None)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"
