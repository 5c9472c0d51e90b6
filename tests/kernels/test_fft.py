"""Fourier transforms against NumPy's, in float64."""

from dataclasses import replace

import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import fft
from clgrad.runtime import Device

from .buffers import call, download, poisoned, upload

TOLERANCE = {dtypes.float32: 1e-6, dtypes.float64: 5e-15}
COMPLEX = {dtypes.float32: np.complex64, dtypes.float64: np.complex128}
LENGTHS = [1, 2, 3, 4, 7, 13, 16, 17, 30, 37, 64, 100, 127, 128, 143, 256, 272, 360, 512, 1000, 1009, 1024, 2187, 4096, 30030]


def values(shape):
    real, imaginary = np.random.default_rng(sum(shape)).standard_normal((2, *shape))
    return real + 1j * imaginary


def transformed(device, x, kind, n, ends, *, inverse=False, scale=1.0, offset=3):
    """The transform over the middle one of x's three dimensions; x and the result lie behind an offset."""
    memory = kind.numpy if ends.real_in else COMPLEX[kind]
    held, at = upload(device, np.concatenate([np.full(offset, np.nan), x.reshape(-1)]).astype(memory)), offset
    for step in fft.steps(device, kind, x.shape, n, ends, inverse=inverse, scale=scale):
        tables = [upload(device, table.array().astype(kind.numpy)) for table in step.tables]
        size = kind.itemsize * (1 if step.real else 2)
        out = poisoned(device, (np.prod(step.shape, dtype=int) + offset + 1) * size)
        operands = [part for table in tables for part in (table.buffer, 0)]
        call(step.plan, held.buffer, at, *operands, out.buffer, offset)
        held, at = out, offset
    shape = (x.shape[0], ends.n_out, x.shape[2])
    assert step.shape == shape
    result = download(device, held, (np.prod(shape, dtype=int) + 1,), kind.numpy if ends.real_out else COMPLEX[kind], offset)
    assert (result[-1:].view(np.uint8) == 0xA5).all()
    return result[:-1].reshape(shape)


def check(device, shape, kind=dtypes.float32, *, inverse=False, scale=1.0):
    x = values(shape)
    expected = (np.fft.ifft if inverse else np.fft.fft)(x, axis=1, norm="forward" if inverse else "backward")
    got = transformed(device, x, kind, shape[1], fft.Ends(shape[1]), inverse=inverse, scale=scale)
    compare(got, expected * scale, kind)


def compare(got, expected, kind):
    assert got.shape == expected.shape
    assert np.abs(got - expected).max(initial=0) <= TOLERANCE[kind] * np.abs(expected).max(initial=1e-300)


@pytest.mark.parametrize("n", LENGTHS)
def test_lengths(device, n):
    check(device, (3, n, 1))
    check(device, (2, n, 1), dtypes.float64, inverse=True, scale=1 / n)


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 50])
def test_rows(device, rows):
    for n in (12, 64, 100, 101, 512):
        check(device, (rows, n, 1))
        check(device, (rows, n, 1), dtypes.float64)


@pytest.mark.parametrize("shape", [(1, 8, 3), (3, 12, 16), (2, 60, 33), (1, 17, 20), (2, 256, 2), (1, 512, 100)])
def test_inner_dimensions(device, shape):
    check(device, shape)
    check(device, shape, dtypes.float64, inverse=True)


def test_few_long_rows(device):
    for n in (1 << 15, 3 << 15, 65537):
        check(device, (1, n, 1))
        check(device, (2, n, 1), dtypes.float64, inverse=True)


@pytest.mark.parametrize("kind", TOLERANCE, ids=lambda kind: kind.name)
@pytest.mark.parametrize("shape", [(3, 12, 1), (20, 13, 1), (1, 256, 1), (40, 100, 1), (2, 16, 16), (3, 33, 5), (2, 17, 1),
                                   (1, 2, 1), (20, 600, 1), (1, 600, 1), (3, 2048, 1), (1, 1 << 15, 1)])
def test_real_numbers(device, shape, kind):
    n, half = shape[1], shape[1] // 2 + 1
    x = values(shape).real
    z = np.fft.rfft(x, axis=1)
    compare(transformed(device, x, kind, n, fft.Ends(half, real_in=True)), z, kind)
    back = transformed(device, z, kind, n, fft.Ends(n, real_out=True, halves_in=True), inverse=True, scale=1 / n)
    compare(back, x, kind)
    compare(transformed(device, x, kind, n, fft.Ends(half, real_in=True), inverse=True), z.conj(), kind)
    forward = transformed(device, z, kind, n, fft.Ends(n, real_out=True, halves_in=True))
    compare(forward, np.fft.irfft(z.conj(), n, axis=1) * n, kind)
    twice = np.where((np.arange(half) > 0) & (np.arange(half) * 2 < n), 2, 1)[:, None]
    compare(transformed(device, x, kind, n, fft.Ends(half, real_in=True, halves_out=True)), z * twice, kind)
    once = transformed(device, z, kind, n, fft.Ends(n, real_out=True), inverse=True)
    compare(once, np.fft.irfft(z / twice, n, axis=1) * n, kind)


@pytest.mark.parametrize("n", [12, 17, 64, 1024])
def test_zeros_behind_short_sequences(device, n):
    for rows in (1, 20):
        x = values((rows, n // 2 + 3, 1))
        expected = np.fft.fft(x, n, axis=1)[:, :n - 3]
        compare(transformed(device, x, dtypes.float64, n, fft.Ends(n - 3)), expected, dtypes.float64)


def test_nothing_to_transform(device):
    check(device, (0, 8, 1))
    check(device, (3, 8, 0))


@pytest.mark.parametrize("width", [1, 4, 8])
def test_other_vectors(device, width):
    """Devices with shorter vectors than this one's."""
    lane = device.lane
    narrow = Device(lane.handle, device.index, replace(device.limits, vector_width=width))
    for shape in [(1, 64, 1), (20, 60, 1), (2, 30, 9), (1, 1 << 15, 1), (3, 101, 1)]:
        check(narrow, shape)
        check(narrow, shape, dtypes.float64)


def test_wide_indices(device, monkeypatch):
    monkeypatch.setattr(fft._Transform, "_letter", lambda self: "l")
    for shape in [(3, 256, 1), (20, 60, 1), (2, 30, 9), (1, 1 << 15, 1), (3, 101, 1)]:
        check(device, shape)


def test_same_bits_in_every_run(device):
    first, again = (transformed(device, values((5, 360, 7)), dtypes.float32, 360, fft.Ends(360)) for _ in range(2))
    assert np.array_equal(first, again)


def test_lengths_of_many_factors_are_convolutions():
    assert fft.radices_of(3**16) is None and fft.radices_of(34) is None and fft.radices_of(8**5) == (8,) * 5
    assert all(fft.convolution_length(n) >= 2 * n - 1 and fft.radices_of(fft.convolution_length(n)) for n in range(2, 2000))
