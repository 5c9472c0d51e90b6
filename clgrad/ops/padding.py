"""Padding of the last dimensions: by a value, or by what stands near the edge."""

from __future__ import annotations

import operator as python
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from clgrad.autograd.graph import TensorBase, attach, needs_graph
from clgrad.ops.copying import clone, full
from clgrad.ops.memory_formats import keeps_format
from clgrad.ops.registry import operator
from clgrad.ops.resample import Taps, resample

MODES = ("constant", "reflect", "replicate", "circular")


@operator("constant_pad_nd", method=False)
@keeps_format
def constant_pad_nd(input: Any, pad: Any, value: float = 0) -> Any:
    """Elements of one value added at the edges, or taken away where a count is negative.

    ``pad`` holds pairs (before, after), the last dimension first.
    """
    counts = _counts(pad)
    own = input.spec
    if len(counts) > 2 * own.ndim:
        _refuse_length(counts, own.ndim)
    sides = [(0, 0)] * (own.ndim - len(counts) // 2) + _pairs(counts)[::-1]
    shape = tuple(size + low + high for size, (low, high) in zip(own.shape, sides, strict=True))
    if min(shape, default=0) < 0:
        raise RuntimeError(f"The input size {list(own.shape)}, plus negative padding {counts} resulted in a negative output "
                           "size, which is invalid.")
    out = full(shape, value, own.dtype, own.device)
    source, target = (_overlap(t, sides, sign) for t, sign in ((input, -1), (out, 1)))
    if source.spec.numel:
        target.copy_(source.detach())
    if needs_graph(input):
        opposite = [-count for count in counts]
        attach(out, "ConstantPadNd", (input,), lambda g: constant_pad_nd(g, opposite, 0))
    return out


def _overlap(x: Any, sides: list[tuple[int, int]], sign: int) -> Any:
    """The part that input (sign -1) and result (sign 1) have in common."""
    x = x.detach()
    for axis, side in enumerate(sides):
        low, high = (max(sign * count, 0) for count in side)
        if low or high:
            x = x.narrow(axis, low, max(x.spec.shape[axis] - low - high, 0))
    return x


def _refuse_length(counts: list[int], ndim: int) -> NoReturn:
    raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got padding length "
                       f"{len(counts)} and input of dimension {ndim}")


def _counts(pad: Any) -> list[int]:
    if isinstance(pad, int):
        raise TypeError("pad(): argument 'pad' (position 2) must be tuple of ints, not int")
    counts = [python.index(count) for count in pad]
    if len(counts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    return counts


def _pairs(counts: list[int]) -> list[tuple[int, int]]:
    return list(zip(counts[::2], counts[1::2], strict=True))


@lru_cache(maxsize=512)
def _repeating(mode: str, n: int, low: int, high: int) -> Taps:
    """Where each element of a padded line comes from."""
    m = n + low + high
    places = np.arange(m) - low
    if mode == "replicate":
        places = places.clip(0, n - 1)
    elif mode == "circular":
        places %= n
    else:
        places = n - 1 - abs(n - 1 - abs(places))
    return Taps.from_places(f"{mode.capitalize()}Pad", n, range(m), places, m)


def _pad_axis(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    n = x.spec.shape[axis]
    if mode == "circular" and (low < 0 or high < 0):
        cut = max(-low, 0)
        x = x.narrow(axis, cut, max(n - cut - max(-high, 0), 0))
        low, high, n = max(low, 0), max(high, 0), x.spec.shape[axis]
    if mode == "reflect" and max(low, high) >= n:
        raise RuntimeError(f"Padding size should be less than the corresponding input dimension, but got: padding ({low}, "
                           f"{high}) at dimension {axis} of input {list(x.spec.shape)}")
    if mode == "circular" and max(low, high) > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    if n + low + high < (0 if mode == "circular" else 1):
        raise RuntimeError(f"input (size {n} at dimension {axis}) is too small. Calculated output size: {n + low + high}")
    return resample(x, axis, _repeating(mode, n, low, high)) if low or high else x


def _extended(input: Any, sides: list[tuple[int, int]], mode: str) -> Any:
    padded = input
    for number, (low, high) in enumerate(sides):
        padded = _pad_axis(padded, input.spec.ndim - 1 - number, low, high, mode)
    return clone(padded) if padded.memory is input.memory else padded


_EXTENDED = {"circular": _extended, "reflect": keeps_format(_extended), "replicate": keeps_format(_extended)}


@operator("pad", method=False)
def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """The input with elements added at the edges, or taken away where a count is negative.

    Args:
        input: any number of dimensions; those that are not padded come first.
        pad: pairs (before, after), the last dimension first.
        mode: "constant" fills with ``value`` (0 by default); "reflect" mirrors at the last element, "replicate" repeats
            it, "circular" goes on at the other end; these three pad the last one, two or three dimensions of an input
            that has one or two more.

    >>> import clgrad
    >>> clgrad.nn.functional.pad(clgrad.tensor([[1, 2, 3]]), (1, 2), "reflect")
    tensor([[2, 1, 2, 3, 2, 1]])
    """
    if not isinstance(input, TensorBase):
        raise TypeError(f"pad(): argument 'input' must be Tensor, not {type(input).__name__}")
    if mode not in MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    counts = _counts(pad)
    if mode == "constant":
        return constant_pad_nd(input, counts, 0 if value is None else value)
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    rank, shape = len(counts) // 2, input.spec.shape
    if rank > len(shape):
        _refuse_length(counts, len(shape))
    if rank not in (1, 2, 3) or len(shape) not in (rank + 1, rank + 2):
        raise NotImplementedError(f"Padding size {len(counts)} is not supported for {len(shape)}D input tensor: with {mode} "
                                  "padding 2 numbers go with 2D or 3D, 4 with 3D or 4D, 6 with 4D or 5D input.")
    if 0 in shape[-rank - 1:]:
        raise RuntimeError(f"Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with possibly 0 batch size and other "
                           f"non-zero dimensions for input, but got: {list(shape)}")
    sides = _pairs(counts)
    for number, (low, high) in enumerate(sides):
        if shape[-1 - number] + low + high < (0 if mode == "circular" else 1):
            raise RuntimeError(f"input of size {list(shape)} is too small for padding {counts}")
    return _EXTENDED[mode](input, sides, mode)
