"""Fourier transforms that are measured: rows, images, pieces of sound, spectral convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Row, tensors


def _flops(n: int, count: int) -> float:
    """Of a transform of complex numbers, as they are usually counted."""
    return 5.0 * n * np.log2(n) * count


def transforms() -> Iterator[Row]:
    """Complex and real rows of powers of two and of other lengths, images, and what programs do with them."""
    for batch, n in ((1, 64), (1024, 64), (128, 256), (1024, 256), (16, 1024), (1024, 1024), (128, 4096), (128, 1000),
                     (128, 1009)):
        def rows(library: Any, batch: int = batch, n: int = n) -> Callable:
            (pairs,) = tensors(library, (batch, n, 2))
            x = library.view_as_complex(pairs)
            return lambda: library.fft.fft(x)
        yield Row("fft", f"fft {batch}x{n}", rows, flops=_flops(n, batch), bytes=16.0 * batch * n)
    for batch, n in ((1, 64), (1024, 256), (1024, 1024), (128, 4096)):
        def real(library: Any, batch: int = batch, n: int = n) -> Callable:
            (x,) = tensors(library, (batch, n))
            return lambda: library.fft.rfft(x)

        def back(library: Any, batch: int = batch, n: int = n) -> Callable:
            x = library.fft.rfft(tensors(library, (batch, n))[0])
            return lambda: library.fft.irfft(x)
        yield Row("fft", f"rfft {batch}x{n}", real, flops=_flops(n, batch) / 2, bytes=8.0 * batch * n)
        yield Row("fft", f"irfft {batch}x{n}", back, flops=_flops(n, batch) / 2, bytes=8.0 * batch * n)
    for n in (64, 256, 512):
        def image(library: Any, n: int = n) -> Callable:
            (pairs,) = tensors(library, (n, n, 2))
            x = library.view_as_complex(pairs)
            return lambda: library.fft.fft2(x)
        yield Row("fft", f"fft2 {n}x{n}", image, flops=_flops(n, 2 * n), bytes=32.0 * n * n)
    yield Row("fft", "stft of 8x16000, 512 by 128", _pieces)
    yield Row("fft", "spectral convolution and gradients 8x32x64x64", _spectral_convolution)


def _pieces(library: Any) -> Callable:
    (x,) = tensors(library, (8, 16000))
    window = library.hann_window(512)
    return lambda: library.stft(x, 512, 128, window=window, return_complex=True).abs()


def _spectral_convolution(library: Any) -> Callable:
    """A layer of a Fourier neural operator: 12 x 12 frequencies and 32 channels."""
    x, pairs = tensors(library, (8, 32, 64, 64), (32, 32, 12, 12, 2), requires_grad=True)

    def work() -> Any:
        low = library.fft.rfft2(x)[:, :, :12, :12]
        mixed = library.einsum("bixy,ioxy->boxy", low, library.view_as_complex(pairs))
        return library.autograd.grad(library.fft.irfft2(mixed, s=(64, 64)).square().sum(), [x, pairs])
    return work


GROUPS = {"fft": transforms}
