"""``torch.fft`` as far as numbers are real: frequencies, and halves exchanged.

The transforms themselves have complex results, of which clgrad has no tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from clgrad.creation import arange
from clgrad.ops.registry import FUNCTIONS

__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]


def fftfreq(n: int, d: float = 1.0, **options: Any) -> Any:
    """The frequencies (n,) of a transform of ``n`` samples that are ``d`` apart: 0, the positive, the negative.

    >>> import clgrad
    >>> clgrad.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    numbers = (arange(n, **options) + n // 2) % n - n // 2
    return numbers / (n * d)


def rfftfreq(n: int, d: float = 1.0, **options: Any) -> Any:
    """The frequencies (n // 2 + 1,) of a transform of ``n`` real samples that are ``d`` apart."""
    return arange(n // 2 + 1, **options) / (n * d)


def _dims(input: Any, dim: Any) -> list[int]:
    if dim is None:
        return list(range(input.ndim))
    return [dim] if isinstance(dim, int) else list(dim)


def fftshift(input: Any, dim: Any = None) -> Any:
    """Rolls the frequency 0 to the middle of each of the dimensions (default: all)."""
    dims = _dims(input, dim)
    return FUNCTIONS["roll"](input, [input.shape[d] // 2 for d in dims], dims)


def ifftshift(input: Any, dim: Any = None) -> Any:
    """Takes :func:`fftshift` back."""
    dims = _dims(input, dim)
    return FUNCTIONS["roll"](input, [(input.shape[d] + 1) // 2 for d in dims], dims)


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"fft.{name}: clgrad has no complex tensors")
    refuse.__name__ = name
    refuse.__doc__ = "NotImplementedError: its result, or its input, is complex."
    return refuse


globals().update({name: _refused(name) for name in (
    "fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "rfft", "irfft", "rfft2", "irfft2", "rfftn", "irfftn", "hfft", "ihfft",
    "hfft2", "ihfft2", "hfftn", "ihfftn")})
