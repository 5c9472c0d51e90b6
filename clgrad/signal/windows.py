"""``torch.signal.windows``: windows of M samples, symmetric unless ``sym=False``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from clgrad.formats import strided
from clgrad.from_data import kind_of
from clgrad.windows import bartlett_shape, cosine_sum, kaiser_shape, sampled

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming",
           "hann", "kaiser", "nuttall"]


def _made(name: str, shape: Callable[[Any, int], Any], M: int, sym: bool, dtype: Any, layout: Any, device: Any,
          requires_grad: bool) -> Any:
    if layout not in (None, strided):
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if not kind_of(dtype).is_floating_point or kind_of(dtype).itemsize < 4:
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return sampled(shape, M, not sym, dtype, device, requires_grad)


def general_cosine(M: int, *, a: Iterable, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
                   requires_grad: bool = False) -> Any:
    """``a[0] - a[1] cos(x) + a[2] cos(2x) - ...`` with x from 0 to 2 pi.

    >>> import clgrad
    >>> clgrad.signal.windows.general_cosine(5, a=[0.5, 0.5])
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    coefficients = list(a)
    if not coefficients:
        raise ValueError("Coefficients cannot be empty")
    return _made("general_cosine", lambda n, length: cosine_sum(n, length, coefficients), M, sym, dtype, layout, device,
                 requires_grad)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, layout: Any = None,
                    device: Any = None, requires_grad: bool = False) -> Any:
    """``alpha - (1 - alpha) cos(x)``."""
    return general_cosine(M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def hamming(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
            requires_grad: bool = False) -> Any:
    """``0.54 - 0.46 cos(x)``."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
         requires_grad: bool = False) -> Any:
    """``0.5 - 0.5 cos(x)``."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def blackman(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """``0.42 - 0.5 cos(x) + 0.08 cos(2x)``."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device,
                          requires_grad=requires_grad)


def nuttall(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
            requires_grad: bool = False) -> Any:
    """Nuttall's minimum of four terms (A. Nuttall, "Some windows with very good sidelobe behavior", 1981)."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype, layout=layout,
                          device=device, requires_grad=requires_grad)


def bartlett(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """A triangle that is zero at both ends."""
    return _made("bartlett", bartlett_shape, M, sym, dtype, layout, device, requires_grad)


def cosine(M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
           requires_grad: bool = False) -> Any:
    """Half a period of the sine, sampled in the middles."""
    return _made("cosine", lambda n, length: ((n + 0.5) * (math.pi / length)).sin(), M, sym, dtype, layout, device,
                 requires_grad)


def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: Any = None,
                layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """``exp(-|n - center| / tau)``; a ``center`` other than the middle needs ``sym=False``."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return _made("exponential", lambda n, length: (
        (n - ((length - 1) / 2 if center is None else center)).abs() * (-1 / tau)).exp(), M, sym, dtype, layout, device,
                 requires_grad)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False) -> Any:
    """``exp(-((n - middle) / std)^2 / 2)``."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _made("gaussian", lambda n, length: (((n - (length - 1) / 2) * (1 / std)).square() * -0.5).exp(), M, sym,
                 dtype, layout, device, requires_grad)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
           requires_grad: bool = False) -> Any:
    """Kaiser's window of shape ``beta``."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _made("kaiser", lambda n, length: kaiser_shape(n, length, beta), M, sym, dtype, layout, device, requires_grad)
