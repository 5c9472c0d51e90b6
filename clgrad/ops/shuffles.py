"""Channels and pixels that change places."""

from __future__ import annotations

from typing import Any

from clgrad.formats import contiguous_format
from clgrad.ops.memory_formats import keeps_format
from clgrad.ops.registry import operator


def _copied(x: Any) -> Any:
    """The same elements in rows, in memory of their own even where none changes its place."""
    return x.clone(memory_format=contiguous_format)


@operator("pixel_shuffle", method=False)
@keeps_format
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(*, c * r^2, h, w) to (*, c, h * r, w * r) (Shi et al. 2016)."""
    shape, r = input.spec.shape, upscale_factor
    if len(shape) < 3:
        raise RuntimeError(f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {len(shape)} "
                           "dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if r * r >= 2 ** 63:
        raise ValueError(f"pixel_shuffle: expected an upscale_factor whose square fits 64 bits, got {r}")
    *lead, c, h, w = shape
    if c % (r * r):
        raise RuntimeError(f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
                           f"upscale_factor, but input.size(-3)={c} is not divisible by {r * r}")
    k = len(lead)
    parts = input.reshape(*lead, c // (r * r), r, r, h, w)
    return _copied(parts.permute(*range(k), k, k + 3, k + 1, k + 4, k + 2)).reshape(*lead, c // (r * r), h * r, w * r)


@operator("pixel_unshuffle", method=False)
@keeps_format
def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(*, c, h * r, w * r) to (*, c * r^2, h, w): :func:`pixel_shuffle` undone."""
    shape, r = input.spec.shape, downscale_factor
    if len(shape) < 3:
        raise RuntimeError(f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {len(shape)} "
                           "dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = shape
    for name, size in (("height", h), ("width", w)):
        if size % r:
            raise RuntimeError(f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                               f"input.size({-2 if name == 'height' else -1})={size} is not divisible by {r}")
    k = len(lead)
    parts = input.reshape(*lead, c, h // r, r, w // r, r)
    return _copied(parts.permute(*range(k), k, k + 2, k + 4, k + 1, k + 3)).reshape(*lead, c * r * r, h // r, w // r)


@operator("channel_shuffle", method=False)
@keeps_format
def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels (dimension 1) of ``groups`` groups dealt out in turn (Zhang et al. 2018)."""
    shape = input.spec.shape
    if len(shape) < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if shape[1] % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} groups.")
    return _copied(input.reshape(shape[0], groups, shape[1] // groups, *shape[2:]).transpose(1, 2)).reshape(shape)
