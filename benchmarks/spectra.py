"""Complex numbers that are measured, and Fourier transforms: rows, images, pieces of sound, spectral convolutions."""

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


def numbers() -> Iterator[Row]:
    """Pointwise operators, sums and products of complex numbers."""
    for name, call, operands in (("mul", lambda t, x, y: x * y, 3), ("add", lambda t, x, y: x + y, 3),
                                 ("exp", lambda t, x, y: x.exp(), 2), ("abs", lambda t, x, y: x.abs(), 1.5),
                                 ("conjugate transpose", lambda t, x, y: x.mH.contiguous(), 2),
                                 ("sum", lambda t, x, y: x.sum(), 1)):
        def pointwise(library: Any, call: Callable = call) -> Callable:
            x, y = (library.view_as_complex(pairs) for pairs in tensors(library, (1024, 1024, 2), (1024, 1024, 2)))
            return lambda: call(library, x, y)
        yield Row("complex", f"{name} 1M", pointwise, bytes=8.0 * operands * 2**20)
    for n in (16, 128, 512):
        def product(library: Any, n: int = n) -> Callable:
            x, y = (library.view_as_complex(pairs) for pairs in tensors(library, (n, n, 2), (n, n, 2)))
            return lambda: x @ y
        yield Row("complex", f"product {n}x{n}x{n}", product, flops=8.0 * n**3)
    yield Row("complex", "rotary positions and gradients 2x64x4x32", _rotary_positions)


def _rotary_positions(library: Any) -> Callable:
    """Queries turned as complex numbers, as language models write it."""
    (x,) = tensors(library, (2, 64, 4, 32), requires_grad=True)
    angles = library.outer(library.arange(64.0), 10000.0 ** (-library.arange(0, 32, 2) / 32))
    turns = library.polar(library.ones_like(angles), angles).view(1, 64, 1, 16)

    def work() -> Any:
        pairs = library.view_as_complex(x.reshape(2, 64, 4, 16, 2))
        turned = library.view_as_real(pairs * turns).flatten(3)
        return library.autograd.grad(turned.square().sum(), x)
    return work


GROUPS = {"complex": numbers, "fft": transforms}
