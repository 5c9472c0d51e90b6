"""Windows of images as columns, and columns added up to images: ``unfold`` (im2col) and ``fold`` (col2im)."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from clgrad.autograd.graph import ends_in
from clgrad.ops.convolution import tuple_of
from clgrad.ops.registry import operator
from clgrad.ops.resample import Taps, resample


@lru_cache(maxsize=512)
def windows(n: int, kernel: int, stride: int, padding: int, dilation: int, count: int | None = None) -> Taps:
    """The map of n elements to (kernel, count): element ``dilation * k`` of each of ``count`` windows; zeros outside."""
    count = window_count(n, kernel, stride, padding, dilation) if count is None else count
    places = (np.arange(kernel)[:, None] * dilation + np.arange(count) * stride - padding).reshape(-1)
    inside = np.flatnonzero((places >= 0) & (places < n))
    return Taps.from_places("Im2Col", n, inside, places[inside], len(places))


def window_count(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows fit."""
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _geometry(name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> list[tuple[int, ...]]:
    """(kernel, stride, padding, dilation) of each axis."""
    kernel, spread = tuple_of("kernel_size", kernel_size, 2), tuple_of("dilation", dilation, 2)
    around, step = tuple_of("padding", padding, 2), tuple_of("stride", stride, 2)
    for label, short, (high, wide), least in (("kernel size", "kernel", kernel, 1), ("dilation", "dilation", spread, 1),
                                              ("padding", "pad", around, 0), ("stride", "stride", step, 1)):
        if min(high, wide) < least:
            raise RuntimeError(f"{name}: {label} should be {'greater than zero' if least else 'non-negative'}, but got "
                               f"{short}_height: {high} {short}_width: {wide}")
    return list(zip(kernel, step, around, spread, strict=True))


def _told(geometry: list[tuple[int, ...]], stride: bool = False) -> str:
    """A geometry as messages tell it."""
    kernel, step, around, spread = zip(*geometry, strict=True)
    return f"kernel_size={kernel}, dilation={spread}, padding={around}" + (f", stride={step}" if stride else "")


@operator("im2col", method=False)
def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of (N, C, H, W) or (C, H, W) as columns: (N, C * KH * KW, windows)."""
    shape = input.spec.shape
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError(f"Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions "
                           f"for input, but got: {list(shape)}")
    geometry = _geometry("unfold", kernel_size, dilation, padding, stride)
    sizes = shape[-2:]
    counts = [window_count(n, *axis) for n, axis in zip(sizes, geometry, strict=True)]
    if min(counts) < 1:
        raise RuntimeError(f"Given input with spatial size {sizes}, {_told(geometry)}, calculated shape of the array of "
                           f"sliding blocks as {tuple(counts)}, but its components must be at least one.")
    lead, rank = shape[:-2], len(shape)
    x = resample(input, rank - 2, windows(sizes[0], *geometry[0]))
    x = resample(x, rank - 1, windows(sizes[1], *geometry[1]))
    (kh, *_), (kw, *_) = geometry
    x = x.view(*lead, kh, counts[0], kw, counts[1]).transpose(-3, -2)
    return ends_in(x.reshape(*lead[:-1], lead[-1] * kh * kw, prod(counts)), "Im2Col")


@operator("col2im", method=False)
def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Columns (N, C * KH * KW, windows) added up where their windows lie: (N, C, *output_size)."""
    shape = input.spec.shape
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        raise RuntimeError(f"Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero "
                           f"dimensions for input, but got: {list(shape)}")
    geometry = _geometry("fold", kernel_size, dilation, padding, stride)
    sizes = tuple_of("output_size", output_size, 2)
    (kh, *_), (kw, *_) = geometry
    if shape[-2] % (kh * kw):
        raise RuntimeError(f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
                           f"input.size(1)={shape[-2]} and kernel_size=({kh}, {kw}).")
    counts = [window_count(n, *axis) for n, axis in zip(sizes, geometry, strict=True)]
    if min(counts) < 1:
        raise RuntimeError(f"Given output_size={sizes}, {_told(geometry, True)}, calculated shape of the array of sliding "
                           f"blocks as {tuple(counts)}, but its components must be at least one.")
    if prod(counts) != shape[-1]:
        raise RuntimeError(f"Given output_size={sizes}, {_told(geometry, True)}, expected size of input's dimension 2 to "
                           f"match the calculated number of sliding blocks {counts[0]} * {counts[1]} = {prod(counts)}, but "
                           f"got input.size(2)={shape[-1]}.")
    lead = (*shape[:-2], shape[-2] // (kh * kw))
    rank = len(lead) + 2
    x = input.reshape(*lead, kh, kw, *counts).transpose(-3, -2).reshape(*lead, kh * counts[0], kw * counts[1])
    x = resample(x, rank - 1, windows(sizes[1], *geometry[1]).transposed)
    return resample(x, rank - 2, windows(sizes[0], *geometry[0]).transposed)
