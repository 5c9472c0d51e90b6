"""Dropping whole samples or blocks of pixels while training."""

from __future__ import annotations

from typing import Any

from clgrad.creation import empty
from clgrad.fx import wrap
from clgrad.nn import Module, functional


def _check_probability(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: drop probability has to be between 0 and 1, but got {p}")


@wrap
def stochastic_depth(input: Any, p: float, mode: str, training: bool = True) -> Any:
    """Zeroes samples (``mode`` "row") or the whole batch ("batch") with probability ``p``; the rest is scaled
    (Huang et al. 2016)."""
    _check_probability("stochastic_depth", p)
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    count = input.shape[0] if mode == "row" else 1
    kept = empty((count,) + (1,) * (input.ndim - 1), dtype=input.dtype, device=input.device).bernoulli_(1 - p)
    return input * (kept.div_(1 - p) if p < 1 else kept)


class StochasticDepth(Module):
    """:func:`stochastic_depth` as a module."""

    def __init__(self, p: float, mode: str):
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, input: Any) -> Any:
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"


def _drop_blocks(input: Any, p: float, block_size: int, inplace: bool, eps: float, training: bool, dims: int) -> Any:
    if input.ndim != dims + 2:
        raise ValueError(f"input should be {dims + 2} dimensional. Got {input.ndim} dimensions.")
    _check_probability("drop_block", p)
    if not training or p == 0.0:
        return input
    sides = input.shape[2:]
    block = min(block_size, *sides)
    rate = p
    for side in sides:
        rate *= side / (block * (side - block + 1))
    seeds = empty((*input.shape[:2], *(side - block + 1 for side in sides)), dtype=input.dtype,
                               device=input.device).bernoulli_(min(rate, 1.0))
    seeds = functional.pad(seeds, [block // 2] * (2 * dims))
    pool = functional.max_pool2d if dims == 2 else functional.max_pool3d
    kept = 1 - pool(seeds, block, 1, block // 2)[(..., *(slice(0, side) for side in sides))]
    scale = kept.numel() / (eps + kept.sum())
    return input.mul_(kept).mul_(scale) if inplace else input * kept * scale


def drop_block2d(input: Any, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6,
                 training: bool = True) -> Any:
    """Zeroes squares of pixels of (n, c, h, w), a share of about ``p``; the rest is scaled (Ghiasi et al. 2018)."""
    return _drop_blocks(input, p, block_size, inplace, eps, training, 2)


def drop_block3d(input: Any, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6,
                 training: bool = True) -> Any:
    """:func:`drop_block2d` for (n, c, d, h, w)."""
    return _drop_blocks(input, p, block_size, inplace, eps, training, 3)


class DropBlock2d(Module):
    """:func:`drop_block2d` as a module."""

    _function = staticmethod(drop_block2d)

    def __init__(self, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6):
        super().__init__()
        self.p, self.block_size, self.inplace, self.eps = p, block_size, inplace, eps

    def forward(self, input: Any) -> Any:
        return self._function(input, self.p, self.block_size, self.inplace, self.eps, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, block_size={self.block_size}, inplace={self.inplace})"


class DropBlock3d(DropBlock2d):
    """:func:`drop_block3d` as a module."""

    _function = staticmethod(drop_block3d)
