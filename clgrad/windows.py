"""Window functions of signal processing as tensors: the shapes, and ``torch.hann_window`` and its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.creation import arange, ones
from clgrad.from_data import checked, kind_of
from clgrad.ops.interception import intercepted
from clgrad.ops.registry import FUNCTIONS


def sampled(shape: Callable[[Any, int], Any], length: int, periodic: bool, dtype: Any, device: Any,
            requires_grad: bool) -> Any:
    """``shape(n, N)`` at n = 0 ... length - 1, where N is the symmetric window's length.

    A periodic window is the symmetric one that is longer by one, without its last sample.
    """
    kind = kind_of(dtype)
    if length < 2:
        return ones(1 if length else 0, dtype=kind, device=device, requires_grad=requires_grad)
    exact = kind if kind is dtypes.float64 else dtypes.float32
    values = shape(arange(length, dtype=exact, device=device), length + 1 if periodic else length)
    return checked(values.to(kind), requires_grad)


def cosine_sum(n: Any, length: int, coefficients: Any) -> Any:
    """``a0 - a1 cos(x) + a2 cos(2x) - ...`` with x from 0 to 2 pi."""
    total = FUNCTIONS["full_like"](n, float(coefficients[0]))
    for order, a in enumerate(coefficients[1:], 1):
        total = total + (n * (2 * math.pi * order / (length - 1))).cos() * ((-1) ** order * float(a))
    return total


def bartlett_shape(n: Any, length: int) -> Any:
    """A triangle that is zero at both ends."""
    return 1 - (n * (2 / (length - 1)) - 1).abs()


def kaiser_shape(n: Any, length: int, beta: float) -> Any:
    """Kaiser's window, of the modified Bessel function of order zero."""
    inside = (1 - (n * (2 / (length - 1)) - 1).square()).clamp(min=0).sqrt() * beta
    return FUNCTIONS["i0"](inside) / FUNCTIONS["i0"](FUNCTIONS["full_like"](n[:1], float(beta)))


def _window(name: str, shape: Callable[..., Any], **defaults: Any) -> Callable:
    def make(window_length: int, periodic: bool = True, *args: Any, dtype: Any = None, device: Any = None,
             requires_grad: bool = False, layout: Any = None, pin_memory: bool = False, **kwargs: Any) -> Any:
        values = {**defaults, **dict(zip(defaults, args, strict=False))}
        unknown = set(kwargs) - set(defaults)
        if unknown or len(args) > len(defaults):
            raise TypeError(f"{name}() got unexpected arguments {sorted(unknown) or args[len(defaults):]}")
        values.update(kwargs)
        if window_length < 0:
            raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
        if not kind_of(dtype).is_floating_point:
            raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
        return sampled(lambda n, length: shape(n, length, **values), window_length, periodic, dtype, device, requires_grad)
    make.__name__ = make.__qualname__ = name
    arguments = "".join(f", {n}={v}" for n, v in defaults.items())
    make.__doc__ = (f"{name}(window_length, periodic=True{arguments}): {shape.__doc__}\n\n    ``periodic=False`` is the "
                    "symmetric window.")
    return make


def _blackman(n: Any, length: int) -> Any:
    """0.42 - 0.5 cos(x) + 0.08 cos(2x)."""
    return cosine_sum(n, length, (0.42, 0.5, 0.08))


def _hamming(n: Any, length: int, alpha: float, beta: float) -> Any:
    """alpha - beta cos(x)."""
    return cosine_sum(n, length, (alpha, beta))


def _hann(n: Any, length: int) -> Any:
    """0.5 - 0.5 cos(x)."""
    return cosine_sum(n, length, (0.5, 0.5))


CREATORS = {name: intercepted(_window(name, shape, **defaults), name) for name, shape, defaults in (
    ("bartlett_window", bartlett_shape, {}),
    ("blackman_window", _blackman, {}),
    ("hamming_window", _hamming, {"alpha": 0.54, "beta": 0.46}),
    ("hann_window", _hann, {}),
    ("kaiser_window", kaiser_shape, {"beta": 12.0}))}
