"""Pooling functions of ``nn.functional`` that are made of others: forms with indices, power averages, unpooling."""

from __future__ import annotations

import math
from math import prod
from typing import Any

from clgrad.ops.convolution import tuple_of
from clgrad.ops.registry import FUNCTIONS

adaptive_avg_pool1d = FUNCTIONS["adaptive_avg_pool1d"]
adaptive_avg_pool2d = FUNCTIONS["adaptive_avg_pool2d"]
adaptive_avg_pool3d = FUNCTIONS["adaptive_avg_pool3d"]
adaptive_max_pool1d = FUNCTIONS["adaptive_max_pool1d"]
adaptive_max_pool2d = FUNCTIONS["adaptive_max_pool2d"]
adaptive_max_pool3d = FUNCTIONS["adaptive_max_pool3d"]
avg_pool1d = FUNCTIONS["avg_pool1d"]
avg_pool2d = FUNCTIONS["avg_pool2d"]
avg_pool3d = FUNCTIONS["avg_pool3d"]
max_pool1d = FUNCTIONS["max_pool1d"]
max_pool2d = FUNCTIONS["max_pool2d"]
max_pool3d = FUNCTIONS["max_pool3d"]


def _max_with_indices(rank: int) -> Any:
    pool = FUNCTIONS[f"max_pool{rank}d"]

    def function(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 ceil_mode: bool = False, return_indices: bool = False) -> Any:
        return pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)
    function.__name__ = function.__qualname__ = f"max_pool{rank}d_with_indices"
    function.__doc__ = f":func:`max_pool{rank}d` with ``return_indices=True``."
    return function


def _adaptive_max_with_indices(rank: int) -> Any:
    pool = FUNCTIONS[f"adaptive_max_pool{rank}d"]

    def function(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        return pool(input, output_size, True)
    function.__name__ = function.__qualname__ = f"adaptive_max_pool{rank}d_with_indices"
    function.__doc__ = f":func:`adaptive_max_pool{rank}d` with ``return_indices=True``."
    return function


max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = map(_max_with_indices, (1, 2, 3))
(adaptive_max_pool1d_with_indices, adaptive_max_pool2d_with_indices,
 adaptive_max_pool3d_with_indices) = map(_adaptive_max_with_indices, (1, 2, 3))


def _power(rank: int) -> Any:
    average, largest = FUNCTIONS[f"avg_pool{rank}d"], FUNCTIONS[f"max_pool{rank}d"]

    def lp_pool(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        if norm_type in (math.inf, -math.inf):
            sign = 1 if norm_type > 0 else -1
            return sign * largest(sign * input.abs(), kernel_size, stride, 0, 1, ceil_mode)
        mean = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        count = prod(tuple_of("kernel_size", kernel_size, rank))
        return (mean.sign() * mean.abs().relu() * count).pow(1.0 / norm_type)
    lp_pool.__name__ = lp_pool.__qualname__ = f"lp_pool{rank}d"
    lp_pool.__doc__ = (f"The p-norm of each window over the last {rank} dimension(s): (sum of x^p)^(1/p), "
                       "p = ``norm_type``.")
    return lp_pool


lp_pool1d, lp_pool2d, lp_pool3d = map(_power, (1, 2, 3))


def _unpooled_size(shape: tuple, kernel: tuple, stride: tuple, padding: tuple, output_size: Any) -> tuple[int, ...]:
    """The size before the pooling: as computed, or as given where it is possible."""
    rank = len(kernel)
    default = tuple((n - 1) * s + k - 2 * p for n, k, s, p in zip(shape[-rank:], kernel, stride, padding, strict=True))
    if output_size is None:
        return default
    given = tuple(output_size)
    given = given[2:] if len(given) == rank + 2 else given
    if len(given) != rank:
        raise ValueError(f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it has a length "
                         f"of '{len(output_size)}'")
    for axis, (size, wanted, step) in enumerate(zip(default, given, stride, strict=True)):
        if not size - step < wanted < size + step:
            raise ValueError(f"invalid output_size \"{given}\" (dim {axis} must be between {size - step} and {size + step})")
    return given


def _unpool(rank: int) -> Any:
    name = f"max_unpool{rank}d"

    def max_unpool(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
                   output_size: Any = None) -> Any:
        kernel = tuple_of("kernel_size", kernel_size, rank)
        step = kernel if stride is None else tuple_of("stride", stride, rank)
        around = tuple_of("padding", padding, rank)
        shape = tuple(input.shape)
        sizes = _unpooled_size(shape, kernel, step, around, output_size)
        return FUNCTIONS["_max_unpool"](name, input, indices, sizes)
    max_unpool.__name__ = max_unpool.__qualname__ = name
    max_unpool.__doc__ = (f"The values of a :func:`max_pool{rank}d` put back to where they stood, zeros elsewhere.")
    return max_unpool


max_unpool1d, max_unpool2d, max_unpool3d = map(_unpool, (1, 2, 3))


def _one_or_each(name: str, label: str, value: Any, rank: int) -> tuple[int, ...]:
    """A number for all dimensions, or one each: the windows' sizes, or those of the result."""
    if isinstance(value, (tuple, list)) and len(value) != rank:
        kinds = "tuple of Ints" if rank == 2 else "tuple of three Ints"
        raise RuntimeError(f"{name}: {label} must either be a single Int or {kinds}")
    return tuple_of(label, value, rank)


def _fractional(rank: int, always: bool) -> Any:
    name = f"fractional_max_pool{rank}d"

    def fractional(input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                   return_indices: bool = False, _random_samples: Any = None) -> Any:
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        if output_size is None:
            ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * rank
            if len(ratios) != rank:
                raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of Ints.")
            output_size = [int(n * ratio) for n, ratio in zip(input.shape[-rank:], ratios, strict=True)]
        values, places = FUNCTIONS["_fractional_max_pool"](
            name, input, _one_or_each(name, "kernel_size", kernel_size, rank),
            _one_or_each(name, "output_size", output_size, rank), _random_samples)
        return (values, places) if return_indices or always else values
    fractional.__name__ = fractional.__qualname__ = f"{name}_with_indices" if always else name
    fractional.__doc__ = (f"The largest values of windows placed at random so that the last {rank} dimensions get "
                          "``output_size``, or ``output_ratio`` times theirs (Graham 2014).")
    return fractional


fractional_max_pool2d, fractional_max_pool3d = _fractional(2, False), _fractional(3, False)
fractional_max_pool2d_with_indices, fractional_max_pool3d_with_indices = _fractional(2, True), _fractional(3, True)
