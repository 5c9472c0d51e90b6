"""``torch.fft``: Fourier transforms, their frequencies, and halves exchanged."""

from __future__ import annotations

from typing import Any

from clgrad.creation import arange
from clgrad.ops.fourier import (
    fft,
    fft2,
    fftn,
    hfft,
    hfft2,
    hfftn,
    ifft,
    ifft2,
    ifftn,
    ihfft,
    ihfft2,
    ihfftn,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)
from clgrad.ops.registry import FUNCTIONS

__all__ = ["fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift",
           "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn"]


def _check_dtype(name: str, options: dict[str, Any]) -> None:
    kind = options.get("dtype")
    if kind is not None and not kind.differentiable:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")


def fftfreq(n: int, d: float = 1.0, **options: Any) -> Any:
    """The frequencies (n,) of a transform of ``n`` samples that are ``d`` apart: 0, the positive, the negative.

    >>> import clgrad
    >>> clgrad.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    _check_dtype("fftfreq", options)
    numbers = arange(n, **options)
    return (numbers - n * (numbers >= (n + 1) // 2)) / (n * d if n else 1.0)


def rfftfreq(n: int, d: float = 1.0, **options: Any) -> Any:
    """The frequencies (n // 2 + 1,) of a transform of ``n`` real samples that are ``d`` apart."""
    _check_dtype("rfftfreq", options)
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
