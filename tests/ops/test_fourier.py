"""Fourier transforms against PyTorch: values, gradients of gradients, errors; and what programs make of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same_outcome

KINDS = {"float32": 1e-5, "float64": 1e-12, "complex64": 1e-5, "complex128": 1e-12}
OF_COMPLEX = ("fft", "ifft", "irfft", "hfft", "fft2", "ifft2", "irfft2", "hfft2", "fftn", "ifftn", "irfftn", "hfftn")
OF_REAL = ("rfft", "ihfft", "rfft2", "ihfft2", "rfftn", "ihfftn")


def values(rng, shape, is_complex=True):
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if is_complex else x


def array(t):
    return t.detach().resolve_conj().numpy()


def compare(found, expected, tolerance=1e-12):
    found, expected = array(found), array(expected)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=1.0))


def parts_of(library, t):
    """Its real numbers, or its real and imaginary parts."""
    return library.view_as_real(t.resolve_conj()) if t.is_complex() else t


def with_gradients(library, function, *arrays):
    """The function's value, the gradients of a sum of its squares and cubes, and the gradients of those."""
    inputs = [library.tensor(x, requires_grad=True) for x in arrays]
    y = function(library, *inputs)
    parts = parts_of(library, y)
    weights = library.tensor(np.cos(np.arange(parts.numel())).reshape(tuple(parts.shape)))
    first = library.autograd.grad((parts**2 * weights).sum() + (parts**3).sum(), inputs, create_graph=True)
    total = sum(parts_of(library, g).pow(3).sum() for g in first)
    return [y, *first, *library.autograd.grad(total, inputs)]


@pytest.mark.parametrize(("name", "dtype"), [(name, dtype) for name in OF_COMPLEX + OF_REAL for dtype in KINDS
                                             if name in OF_COMPLEX or not dtype.startswith("complex")])
def test_values(name, dtype, torch, rng):
    x = values(rng, (4, 6, 5), dtype.startswith("complex")).astype(dtype)
    for options in ({}, {"norm": "ortho"}, {"norm": "forward"}):
        compare(*[getattr(library.fft, name)(library.tensor(x), **options) for library in (clgrad, torch)], KINDS[dtype])


@pytest.mark.parametrize("name", OF_COMPLEX + OF_REAL)
def test_gradients(name, torch, rng):
    x = values(rng, (2, 3, 4), name in OF_COMPLEX)
    results = [with_gradients(library, lambda library, t: getattr(library.fft, name)(t), x) for library in (clgrad, torch)]
    for found, expected in zip(*results, strict=True):
        compare(found, expected)


@pytest.mark.parametrize(("name", "options"), [
    ("fft", {"n": 7}), ("fft", {"n": 3, "dim": 0}), ("ifft", {"n": 34, "dim": -2}), ("rfft", {"n": 9}),
    ("rfft", {"n": 4, "dim": 0}), ("irfft", {"n": 5}), ("irfft", {"n": 14, "dim": 1}), ("irfft", {"n": 3}),
    ("hfft", {"n": 8}), ("ihfft", {"n": 3}), ("fftn", {"s": (3, 8)}), ("fftn", {"dim": (0, 2)}), ("fftn", {"s": 2}),
    ("rfftn", {"s": (-1, 4), "dim": (2, 0)}), ("irfftn", {"s": (2, 7)}), ("fft2", {"dim": (0, 1)}), ("rfft2", {"s": (8, 3)}),
    ("hfft2", {"s": (3, 4)}), ("ifftn", {"dim": ()})])
def test_lengths_and_dimensions(name, options, torch, rng):
    x = values(rng, (4, 6, 5), name in OF_COMPLEX)
    results = [with_gradients(library, lambda library, t: getattr(library.fft, name)(t, **options), x)
               for library in (clgrad, torch)]
    for found, expected in zip(*results, strict=True):
        compare(found, expected)


def test_integers_and_strided_operands(torch):
    for make in (lambda t: t.arange(6).reshape(2, 3), lambda t: t.tensor([[True, False]]),
                 lambda t: t.arange(12.0).reshape(3, 4).t()[::2]):
        compare(*[library.fft.fft(make(library)) for library in (clgrad, torch)], 1e-6)
    compare(*[library.fft.irfft(library.arange(6)) for library in (clgrad, torch)], 1e-6)


def test_results_in_tensors_that_are_given(torch, rng):
    x = values(rng, (3, 4))
    for library in (clgrad, torch):
        out = library.empty(0, dtype=library.complex128)
        assert library.fft.fft(library.tensor(x), out=out) is out
        np.testing.assert_allclose(out.numpy(), np.fft.fft(x))
    with pytest.raises(RuntimeError, match="fft expects a complex output tensor, but got Float"):
        clgrad.fft.fft(clgrad.tensor(x), out=clgrad.empty(0))
    with pytest.raises(RuntimeError, match="irfftn expects a floating point output tensor, but got ComplexFloat"):
        clgrad.fft.irfftn(clgrad.tensor(x), out=clgrad.empty(0, dtype=clgrad.complex64))


WRONG = [
    lambda t: t.fft.fft(t.tensor(1.0)), lambda t: t.fft.fft(t.ones(4), 0), lambda t: t.fft.fft(t.ones(4), 4, 3),
    lambda t: t.fft.fft(t.ones(4), norm="foo"), lambda t: t.fft.rfft(t.ones(4, dtype=t.complex64)),
    lambda t: t.fft.ihfft(t.ones(4, dtype=t.complex64)), lambda t: t.fft.irfft(t.ones(1)),
    lambda t: t.fft.fft(t.ones(4).half()),
    lambda t: t.fft.fftn(t.ones(3, 4), dim=(0, 0)), lambda t: t.fft.fftn(t.ones(3, 4), s=(2,), dim=(0, 1)),
    lambda t: t.fft.fftn(t.ones(3, 4), s=(2, 2, 2)), lambda t: t.fft.fftn(t.ones(3, 4), s=(0, 2)),
    lambda t: t.fft.rfftn(t.tensor(1.0)), lambda t: t.fft.rfftn(t.ones(4, dtype=t.complex64)),
    lambda t: t.fft.fft2(t.ones(4)),
    lambda t: t.fft.ihfftn(t.ones(4, dtype=t.complex64)), lambda t: t.fft.irfftn(t.ones(3, 4), dim=()),
    lambda t: t.fft.fftfreq(4, dtype=t.int64), lambda t: t.fft.fft(1), lambda t: t.fft.fft(t.ones(0))]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_errors(number, torch):
    told = []
    for library in (clgrad, torch):
        with pytest.raises((RuntimeError, IndexError, TypeError)) as caught:
            WRONG[number](library)
        told.append((caught.type, str(caught.value).replace(" (position 1)", "")))
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name, torch):
    def program(t, call):
        return call(t, getattr(t.fft, name))
    for call in (lambda t, f: f(5, 0.5, out=t.ones(3)), lambda t, f: f(4, out=t.empty(0, dtype=t.float64)),
                 lambda t, f: f(4, 2, dtype=t.float64, requires_grad=True), lambda t, f: f(4, requires_grad=True).is_leaf,
                 lambda t, f: f(4, dtype=t.float64, out=t.empty(0)), lambda t, f: f(2.5), lambda t, f: f(4, foo=1),
                 lambda t, f: f(4, out=t.empty(0, dtype=t.int64))):
        assert_same_outcome(torch, lambda t: program(t, call))  # noqa: B023


def test_empty_batches_and_meta_tensors():
    assert clgrad.fft.rfft(clgrad.ones(0, 6)).shape == (0, 4)
    assert clgrad.fft.fft(clgrad.ones(3, 0), dim=0).shape == (3, 0)
    made = clgrad.fft.irfft(clgrad.empty(3, 5, dtype=clgrad.complex64, device="meta"))
    assert made.shape == (3, 8) and made.dtype is clgrad.float32 and made.is_meta


def test_devices_without_float64(monkeypatch):
    device = clgrad.device("cpu").compute
    x = clgrad.ones(3, 58, dtype=clgrad.complex128)
    monkeypatch.setattr(device, "limits", dataclasses.replace(device.limits, fp64=False))
    for function in (clgrad.fft.fft, clgrad.exp):
        with pytest.raises(RuntimeError, match="has no float64; convert to float32 first"):
            function(x)


def test_nodes(rng):
    x = clgrad.tensor(values(rng, 4, False), requires_grad=True)
    z = clgrad.fft.fft(x)
    names = [t.grad_fn.name() for t in (z, clgrad.fft.ifft(z), clgrad.fft.hfft(z))]
    assert names == ["FftR2CBackward0", "FftC2CBackward0", "FftC2RBackward0"]


@pytest.mark.parametrize(("name", "options"), [("rfft", {}), ("fftn", {"norm": "ortho"}), ("fft", {"dim": 0})])
def test_batches_of_functions(name, options, torch, rng):
    x = values(rng, (3, 4, 6), False)
    compare(*[library.func.vmap(lambda x, library=library: getattr(library.fft, name)(x, **options))(library.tensor(x))
              for library in (clgrad, torch)])


def test_tangents(torch, rng):
    x, tangents = values(rng, (2, 3, 6), False)

    def power(library, x):
        return library.fft.irfft(library.fft.rfft(x) * library.fft.rfft(x).conj())
    found = clgrad.func.jvp(lambda x: power(clgrad, x), (clgrad.tensor(x),), (clgrad.tensor(tangents),))
    expected = torch.autograd.functional.jvp(lambda x: power(torch, x), torch.tensor(x), torch.tensor(tangents))
    for a, b in zip(found, expected, strict=True):
        compare(a, b)


# Pieces of signals.

@pytest.mark.parametrize("options", [
    {}, {"hop_length": 3}, {"center": False}, {"normalized": True}, {"onesided": False}, {"win_length": 6},
    {"pad_mode": "constant"}, {"win_length": 6, "center": False, "align_to_window": True}])
@pytest.mark.parametrize("shape", [(40,), (3, 40)])
def test_short_time_transforms(options, shape, torch, rng):
    x, window = values(rng, shape, False), rng.uniform(0.5, 2, options.get("win_length", 8))

    def function(library, x, window):
        return library.stft(x, 8, window=window, return_complex=True, **options)
    for found, expected in zip(*[with_gradients(library, function, x, window) for library in (clgrad, torch)], strict=True):
        compare(found, expected)


def test_short_time_transforms_of_complex_signals(torch, rng):
    x, window = values(rng, (2, 30)), values(rng, 10)

    def function(library, x, window):
        return library.stft(x, 10, window=window)
    for found, expected in zip(*[with_gradients(library, function, x, window) for library in (clgrad, torch)], strict=True):
        compare(found, expected)


@pytest.mark.parametrize("options", [
    {}, {"hop_length": 4}, {"center": False}, {"normalized": True}, {"win_length": 6}, {"length": 17}, {"n_fft": 5},
    {"n_fft": 5, "return_complex": True}])
@pytest.mark.parametrize("shape", [(5, 11), (2, 5, 11)])
def test_signals_of_short_time_transforms(options, shape, torch, rng):
    options = {"n_fft": 8, **options}
    x, window = values(rng, shape), rng.uniform(0.5, 2, options.get("win_length", options["n_fft"]))

    def function(library, x, window):
        return library.istft(x, window=window, **options)
    for found, expected in zip(*[with_gradients(library, function, x, window) for library in (clgrad, torch)], strict=True):
        compare(found, expected, 1e-10)


def test_there_and_back(rng):
    x = clgrad.tensor(values(rng, (2, 4000), False))
    window = clgrad.hann_window(256, dtype=clgrad.float64)
    spectrum = x.stft(256, window=window, return_complex=True)
    np.testing.assert_allclose(spectrum.istft(256, window=window, length=4000).numpy(), x.numpy(), atol=1e-12)


WRONG_PIECES = [
    lambda t, w, z: t.stft(t.ones(40), 8, window=w),
    lambda t, w, z: t.stft(t.ones(2, 3, 40), 8, window=w, return_complex=True),
    lambda t, w, z: t.stft(t.ones(40), 8, 0, window=w, return_complex=True),
    lambda t, w, z: t.stft(t.ones(40), 8, 4, 9, window=w, return_complex=True),
    lambda t, w, z: t.stft(t.ones(40), 8, 4, 6, window=w, return_complex=True),
    lambda t, w, z: t.stft(t.ones(40), 50, window=w, return_complex=True, center=False),
    lambda t, w, z: t.stft(t.arange(40), 8, window=w, return_complex=True),
    lambda t, w, z: t.stft(t.ones(40), 8, window=w, return_complex=True, align_to_window=True),
    lambda t, w, z: t.stft(t.ones(40, dtype=t.complex64), 8, window=w, onesided=True),
    lambda t, w, z: t.istft(t.ones(5, 11), 8, window=w), lambda t, w, z: t.istft(z[:4], 8, window=w),
    lambda t, w, z: t.istft(z, 8, window=w, onesided=False), lambda t, w, z: t.istft(z, 8, 9, window=w),
    lambda t, w, z: t.istft(z, 8, 2, 9, window=w), lambda t, w, z: t.istft(z, 8, window=w[:7]),
    lambda t, w, z: t.istft(z, 8, window=w, onesided=True, return_complex=True),
    lambda t, w, z: t.istft(z, 8, window=w.to(t.complex64)), lambda t, w, z: t.istft(z[:0], 8, window=w)]


@pytest.mark.parametrize("number", range(len(WRONG_PIECES)))
def test_errors_of_pieces(number, torch):
    told = []
    for library in (clgrad, torch):
        with pytest.raises(RuntimeError) as caught:
            WRONG_PIECES[number](library, library.hann_window(8), library.ones(5, 11, dtype=library.complex64))
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_windows_that_leave_samples_out():
    with pytest.raises(RuntimeError, match="window overlap add min: 1"):
        clgrad.istft(clgrad.ones(5, 11, dtype=clgrad.complex64), 8, window=clgrad.zeros(8))


def test_warnings():
    with pytest.warns(UserWarning, match="A window was not provided"):
        clgrad.stft(clgrad.ones(40), 8, return_complex=True)
    with pytest.warns(UserWarning, match="A window was not provided"):
        clgrad.istft(clgrad.ones(5, 11, dtype=clgrad.complex64), 8)
    with pytest.warns(UserWarning, match="return_complex=False is deprecated"):
        assert clgrad.stft(clgrad.ones(40), 8, window=clgrad.ones(8), return_complex=False).shape == (5, 21, 2)
    with pytest.warns(UserWarning, match="padded with zeros"):
        clgrad.istft(clgrad.ones(5, 11, dtype=clgrad.complex64), 8, window=clgrad.ones(8), length=50)


# What programs do.

def trained(library, arrays, loss, steps=5):
    """The losses of some steps of Adam from given parameters."""
    parameters = [library.nn.Parameter(library.tensor(x)) for x in arrays]
    optimizer, losses = library.optim.Adam(parameters, lr=0.05), []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(library, *parameters)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def test_mel_spectrograms(torch, rng):
    """As torchaudio computes them, here with filters that are learned."""
    signal, filters = values(rng, (2, 2000), False), np.abs(rng.normal(size=(65, 16)))

    def loss(library, filters):
        window = library.hann_window(128, dtype=library.float64)
        power = library.stft(library.tensor(signal), 128, 32, window=window, return_complex=True).abs().pow(2)
        return (power.transpose(-1, -2) @ filters.abs() + 1e-6).log().square().mean()
    np.testing.assert_allclose(*[trained(library, [filters], loss) for library in (clgrad, torch)], rtol=1e-10)


def test_correlations(torch, rng):
    """As Autoformer compares queries with keys, at all distances at once."""
    queries, keys = values(rng, (2, 4, 3, 24), False), values(rng, (2, 4, 3, 24), False)

    def loss(library, queries, keys):
        product = library.fft.rfft(queries, dim=-1) * library.conj(library.fft.rfft(keys, dim=-1))
        correlation = library.fft.irfft(product, n=24, dim=-1)
        return library.softmax(correlation.mean(1).topk(3, dim=-1).values, -1).square().sum()
    np.testing.assert_allclose(*[trained(library, [queries, keys], loss) for library in (clgrad, torch)], rtol=1e-9)


def test_spectral_convolutions(torch, rng):
    """As Fourier neural operators have them: complex weights for the lowest frequencies."""
    x, y, weights = values(rng, (2, 3, 16, 16), False), values(rng, (2, 4, 16, 16), False), values(rng, (3, 4, 5, 5)) / 12

    def loss(library, weights):
        spectrum = library.fft.rfft2(library.tensor(x))
        result = library.zeros(2, 4, 16, 9, dtype=library.complex128)
        result[:, :, :5, :5] = library.einsum("bixy,ioxy->boxy", spectrum[:, :, :5, :5], weights)
        return (library.fft.irfft2(result, s=(16, 16)) - library.tensor(y)).square().mean()
    np.testing.assert_allclose(*[trained(library, [weights], loss) for library in (clgrad, torch)], rtol=1e-9)
