"""``torch.fft``: Fourier transforms, their frequencies, and halves exchanged."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from clgrad.creation import arange
from clgrad.dtypes import type_name
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
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS

__all__ = ["fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift",
           "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn"]


def _frequencies(name: str, numbers: Callable[..., Any], spacing: float, options: dict[str, Any]) -> Any:
    """Whole ``numbers`` made with these options, over a spacing."""
    out, requires_grad = options.pop("out", None), options.pop("requires_grad", False)
    if out is not None and options.get("dtype") not in (None, out.spec.dtype):
        raise RuntimeError(f"dtype {type_name(options['dtype'])} does not match dtype of out parameter "
                           f"({type_name(out.spec.dtype)})")
    kind = options["dtype"] = options.get("dtype") or (None if out is None else out.spec.dtype)
    if kind is not None and not kind.differentiable:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    found = store(name, numbers(**options) / spacing, out)
    return found.requires_grad_() if requires_grad else found


def fftfreq(n: int, d: float = 1.0, **options: Any) -> Any:
    """The frequencies (n,) of a transform of ``n`` samples that are ``d`` apart: 0, the positive, the negative.

    >>> import clgrad
    >>> clgrad.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    def numbers(**options: Any) -> Any:
        found = arange(n, **options)
        return found - n * (arange(n, device=found.device) >= (n + 1) // 2)
    n = operator.index(n)
    return _frequencies("fftfreq", numbers, n * d if n else 1.0, options)


def rfftfreq(n: int, d: float = 1.0, **options: Any) -> Any:
    """The frequencies (n // 2 + 1,) of a transform of ``n`` real samples that are ``d`` apart."""
    return _frequencies("rfftfreq", functools.partial(arange, operator.index(n) // 2 + 1), n * d, options)


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
