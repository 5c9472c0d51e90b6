"""Padding of the last dimensions: by a value, or by what stands near the edge."""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import prod
from typing import Any, NoReturn, cast

import numpy as np

from clgrad import dtypes
from clgrad.autograd.formal import make_formal
from clgrad.autograd.graph import TensorBase, attach, needs_graph
from clgrad.autograd.walks import determined_by
from clgrad.kernels import pad as kernels
from clgrad.ops.copying import clone, full, table
from clgrad.ops.execute import blank, check_specs, execute
from clgrad.ops.memory_formats import keeps_format
from clgrad.ops.registry import operator
from clgrad.runtime import device
from clgrad.spec import Spec, contiguous_spec

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
    shape = tuple(size + low + high for size, (low, high) in zip(own.shape[::-1], _pairs(counts), strict=False))[::-1]
    shape = own.shape[:own.ndim - len(shape)] + shape
    if min(shape, default=0) < 0:
        raise RuntimeError(f"The input size {list(own.shape)}, plus negative padding {counts} resulted in a negative output "
                           "size, which is invalid.")
    if not own.numel:
        made = full(shape, value, own.dtype, own.device)
        if needs_graph(input):
            attach(made, "ConstantPadNd", (input,), lambda g: g.new_zeros(own.shape))
        return made
    return _filled(input, _pairs(counts), _element(own.dtype, value))


def _filled(x: Any, sides: list[tuple[int, int]], value: float) -> Any:
    """A tensor padded by a value, three dimensions at a time; those that stay as they are go together."""
    while sides and sides[-1] == (0, 0):
        sides.pop()
    if not sides:
        return clone(x)
    if len(sides) > 3:
        inner = _filled(x, sides[:3], value)
        flat = _filled(inner.flatten(-3), [(0, 0), *sides[3:]], value)
        return flat.reshape(*flat.spec.shape[:-1], *inner.spec.shape[-3:])
    opposite = [(-low, -high) for low, high in sides]
    return _extension(x.spec, "constant", tuple(sides)).extend(x, lambda g: _filled(g, list(opposite), 0), value)


def _element(kind: dtypes.dtype, value: Any) -> float:
    """The number that a padded tensor of this dtype gets."""
    if kind.differentiable:
        return kind.fitting(value)
    return int(bool(value)) if kind is dtypes.bool else kind.element(value)


def _refuse_length(counts: list[int], ndim: int) -> NoReturn:
    raise RuntimeError(f"Padding length should be less than or equal to two times the input dimension but got padding length "
                       f"{len(counts)} and input of dimension {ndim}")


def _counts(pad: Any) -> list[int]:
    if not isinstance(pad, Iterable) or isinstance(pad, str):
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}")
    counts = [python.index(count) for count in pad]
    if len(counts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    return counts


def _pairs(counts: list[int]) -> list[tuple[int, int]]:
    return list(zip(counts[::2], counts[1::2], strict=True))


def _origins(mode: str, n: int, low: int, high: int) -> np.ndarray:
    """Which element of a line of ``n`` each element of the padded line is; -1 where it is a value of its own."""
    places = np.arange(n + low + high) - low
    if mode == "constant":
        return np.where((places >= 0) & (places < n), places, -1)
    if mode == "replicate":
        return places.clip(0, n - 1)
    if mode == "reflect":
        return n - 1 - abs(n - 1 - abs(places))
    begin, end = max(-low, 0), n - max(-high, 0)  # what is cut off does not come again
    return begin + (places - begin) % max(end - begin, 1)


def _places_of(origins: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of ``n`` elements went: its places are ``places[starts[i]:starts[i + 1]]``."""
    order = np.argsort(origins, kind="stable")
    return np.searchsorted(origins[order], np.arange(n + 1)), order


_NAMES = {"reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}
make_formal(*[f"{_NAMES[mode]}{rank}D" for mode in ("reflect", "replicate") for rank in (1, 2, 3)])


@determined_by()
class _Extension:
    """What is known of a padding before its data: the specs of both sides, and for each way the plan and its tables."""

    def __init__(self, own: Spec, mode: str, sides: tuple[tuple[int, int], ...]):
        rank, place = len(sides), cast(device, own.device)
        self.name = "ConstantPadNd" if mode == "constant" else f"{_NAMES[mode]}{rank}D"
        compute = check_specs(self.name, own)
        lead, lines = own.shape[:own.ndim - rank], own.shape[own.ndim - rank:]
        origins = [_origins(mode, n, *side) for n, side in zip(lines, sides[::-1], strict=True)]
        padded = tuple([len(o) for o in origins])
        self.specs = contiguous_spec(own.shape, own.dtype, own.device), contiguous_spec(lead + padded, own.dtype, own.device)
        ones = (1,) * (3 - rank)
        maps = origins[::-1] + [np.zeros(1, np.int64)] * (3 - rank)
        places = [] if mode == "constant" else [part for n, o in zip(lines[::-1] + ones, maps, strict=True)
                                                for part in _places_of(o, n)]
        low = sides[0][0]
        first, last = max(low, 0), max(low, 0, min(padded[-1], lines[-1] + low))
        run = kernels.Run(first, last, -low if last > first else -first)
        self.ways = [(kernels.plan(compute, own.dtype, prod(lead), ones + lines, ones + padded, run, gradient),
                      table(np.concatenate(tables), dtypes.int32, place))
                     for gradient, tables in ((False, maps), (True, [maps[0], *places]))]

    def extend(self, x: Any, back: Callable | None = None, value: float = 0) -> Any:
        """The padded tensor. ``back``: its gradient, where that is not :meth:`fold`."""
        return self._moved(x, 0, self.name, back or self.fold, value)

    def fold(self, g: Any) -> Any:
        """The gradient of what was padded by its own elements: for each the sum of those of its places."""
        return self._moved(g, 1, f"{self.name}Backward", self.extend)

    def _moved(self, x: Any, way: int, name: str, back: Callable, *value: float) -> Any:
        plan, tables = self.ways[way]
        out = blank(self.specs[1 - way])
        execute(plan, (x.contiguous(), tables), (out,), value)
        if needs_graph(x):
            attach(out, name, (x,), back)
        return out


_extension = lru_cache(maxsize=512)(_Extension)


def _extended(input: Any, sides: tuple[tuple[int, int], ...], mode: str) -> Any:
    for number, (low, high) in enumerate(sides):
        n, axis = input.spec.shape[-1 - number], input.spec.ndim - 1 - number
        if mode == "reflect" and max(low, high) >= n:
            raise RuntimeError("Padding size should be less than the corresponding input dimension, but got: padding "
                               f"({low}, {high}) at dimension {axis} of input {list(input.spec.shape)}")
        if mode == "circular" and max(low, high) > n + min(low, 0) + min(high, 0):
            raise RuntimeError("Padding value causes wrapping around more than once.")
    return _extension(input.spec, mode, sides).extend(input)


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
    sides = tuple(_pairs(counts))
    for number, (low, high) in enumerate(sides):
        if shape[-1 - number] + low + high < (0 if mode == "circular" else 1):
            raise RuntimeError(f"input of size {list(shape)} is too small for padding {counts}")
    return _EXTENDED[mode](input, sides, mode)
