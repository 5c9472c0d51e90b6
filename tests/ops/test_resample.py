"""Padding, resizing, unfolding and folding against PyTorch: values, gradients of both orders, dtypes, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair

PADS = [
    ((2, 3), (1, 2), "constant"), ((2, 3, 4), (1, -1, -2, 3), "constant"), ((3,), (0, 0), "constant"),
    ((2, 5), (3, 4), "reflect"), ((1, 2, 5), (-1, 2), "reflect"), ((1, 2, 4, 5), (1, 2, 3, 0), "reflect"),
    ((2, 3, 4, 5), (2, 7, -1, 1), "replicate"), ((1, 2, 3, 4, 5), (1, 2, 0, 3, 2, 1), "replicate"),
    ((1, 2, 5), (3, 5), "circular"), ((1, 2, 4, 5), (-2, 3, 1, -1), "circular"),
    ((1, 2, 3, 4, 5), (1, 2, 3, 1, 0, 2), "circular"), ((0, 2, 5), (1, 1), "reflect"),
]

SIZES = [
    ((1, 2, 5), {"size": 8}), ((1, 2, 5), {"scale_factor": 1.7}), ((2, 1, 5, 7), {"size": (3, 9)}),
    ((2, 1, 5, 7), {"scale_factor": (2, 0.5)}), ((1, 1, 3, 4, 5), {"size": (6, 2, 7)}),
    ((2, 1, 5, 7), {"scale_factor": 1.6, "recompute_scale_factor": True}), ((1, 2, 5), {"size": 5}),
]
SMOOTH = {3: ["linear"], 4: ["bilinear", "bicubic"], 5: ["trilinear"]}


@pytest.mark.parametrize(("shape", "pad", "mode"), PADS)
def test_pad(torch, rng, shape, pad, mode):
    x, y = pair(torch, rng.normal(size=shape), requires_grad=True)
    found = clgrad.nn.functional.pad(x, pad, mode)
    expected = torch.nn.functional.pad(y, pad, mode)
    assert_same(found, expected)
    (found**3).sum().backward()
    (expected**3).sum().backward()
    assert_same(x.grad, y.grad, 1e-12)


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "uint8"])
def test_pad_of_other_dtypes(torch, dtype):
    x, y = pair(torch, [[0, 1, 1], [1, 0, 1]], dtype)
    assert_same(clgrad.nn.functional.pad(x, (1, 2), value=1), torch.nn.functional.pad(y, (1, 2), value=1))
    assert_same(clgrad.nn.functional.pad(x, (1, 2), "circular"), torch.nn.functional.pad(y, (1, 2), "circular"))
    if dtype in ("int64", "float16"):
        assert_same(clgrad.nn.functional.pad(x, (2, 1), "replicate"), torch.nn.functional.pad(y, (2, 1), "replicate"))


@pytest.mark.parametrize(("shape", "options"), SIZES)
def test_interpolate(torch, rng, shape, options):
    data = rng.normal(size=shape)
    modes = [("nearest", {}), ("nearest-exact", {}), ("area", {})]
    for mode in SMOOTH[len(shape)]:
        modes += [(mode, {"align_corners": corners}) for corners in (False, True)]
        if len(shape) == 4:
            modes.append((mode, {"antialias": True}))
    if len(shape) == 4:
        modes.append(("lanczos", {"antialias": True}))
    for mode, more in modes:
        x, y = pair(torch, data, requires_grad=True)
        found = clgrad.nn.functional.interpolate(x, mode=mode, **options, **more)
        expected = torch.nn.functional.interpolate(y, mode=mode, **options, **more)
        assert_same(found, expected, 1e-9, 1e-12)
        (found**2).sum().backward()
        (expected**2).sum().backward()
        assert_same(x.grad, y.grad, 1e-9, 1e-12)


def test_interpolate_keeps_infinities_where_they_are(torch):
    x, y = pair(torch, [[[1.0, np.inf, 2.0, 3.0]]])
    for size in (8, 3):
        assert_same(clgrad.nn.functional.interpolate(x, size), torch.nn.functional.interpolate(y, size))


@pytest.mark.parametrize("options", [{"size": (7, 5)}, {"size": (21, 30)}, {"scale_factor": 0.6},
                                     {"size": (7, 30), "align_corners": True}, {"size": (5, 9), "antialias": True}])
def test_bytes_are_resized_to_the_same_bytes(torch, rng, options):
    x, y = pair(torch, rng.integers(0, 256, (2, 3, 13, 17)), "uint8")
    for mode in ("bilinear", "bicubic", "lanczos")[:3 if "antialias" in options else 2]:
        assert_same(clgrad.nn.functional.interpolate(x, mode=mode, **options),
                    torch.nn.functional.interpolate(y, mode=mode, **options))


def test_interpolate_of_strided_and_half(torch, rng):
    x, y = pair(torch, rng.normal(size=(2, 6, 5, 3)).astype(np.float32))
    for mode in ("nearest", "bilinear"):
        assert_same(clgrad.nn.functional.interpolate(x.permute(0, 3, 2, 1), scale_factor=2, mode=mode),
                    torch.nn.functional.interpolate(y.permute(0, 3, 2, 1), scale_factor=2, mode=mode), 1e-5)
    half = clgrad.nn.functional.interpolate(x.half(), scale_factor=2)
    assert_same(half, torch.nn.functional.interpolate(y.half(), scale_factor=2))


@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"kernel_size": (3, 2), "stride": 2, "padding": 1},
                                     {"kernel_size": 2, "dilation": 2, "stride": (1, 3)}])
def test_unfold_and_fold(torch, rng, options):
    x, y = pair(torch, rng.normal(size=(2, 3, 6, 7)), requires_grad=True)
    found, expected = clgrad.nn.functional.unfold(x, **options), torch.nn.functional.unfold(y, **options)
    assert_same(found, expected)
    back, wanted = (lib.nn.functional.fold(t * t, (6, 7), **options) for lib, t in ((clgrad, found), (torch, expected)))
    assert_same(back, wanted, 1e-12)
    (back * back).sum().backward()
    (wanted * wanted).sum().backward()
    assert_same(x.grad, y.grad, 1e-10)


def test_second_derivatives(rng):
    x = clgrad.tensor(rng.normal(size=(1, 2, 4, 5)), requires_grad=True)
    F = clgrad.nn.functional
    for function in (lambda t: F.pad(t, (1, 1, 2, 0), "reflect") ** 2, lambda t: F.pad(t, (1, -1)) ** 2,
                     lambda t: F.interpolate(t, size=(3, 7), mode="bicubic") ** 2, lambda t: F.unfold(t, 2) ** 2):
        assert gradcheck(function, (x,)) and gradgradcheck(function, (x,))


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (1, 2, 5, 3), (1, 1, 7, 11), (1, 3, 33, 17)])
def test_rows_of_halves_begin_at_odd_addresses(rng, shape):
    values = clgrad.tensor(rng.integers(-8, 9, shape)).half()
    for size, mode in (((5, 9), "bilinear"), ((13, 21), "bicubic"), ((9, 5), "nearest"), ((17, 21), "area")):
        x, y = values.clone().requires_grad_(), values.float().requires_grad_()
        found, expected = (clgrad.nn.functional.interpolate(z, size, mode=mode) for z in (x, y))
        found.sum().backward()
        expected.sum().backward()
        np.testing.assert_allclose(found.tolist(), expected.tolist(), rtol=5e-3, atol=2e-2)
        np.testing.assert_allclose(x.grad.tolist(), y.grad.tolist(), rtol=5e-3, atol=2e-2)


PROGRAMS = {
    "reflect too far": lambda t: t.nn.functional.pad(t.ones(1, 3), (3, 0), "reflect"),
    "circular too far": lambda t: t.nn.functional.pad(t.ones(1, 3), (4, 0), "circular"),
    "odd": lambda t: t.nn.functional.pad(t.ones(1, 3), (1,)),
    "too many": lambda t: t.nn.functional.pad(t.ones(3), (1, 1, 1, 1)),
    "below zero": lambda t: t.nn.functional.pad(t.ones(3), (-2, -2)),
    "unknown mode": lambda t: t.nn.functional.pad(t.ones(1, 3), (1, 1), "mirror"),
    "dimensions": lambda t: t.nn.functional.pad(t.ones(3), (1, 1), "reflect"),
    "size and factor": lambda t: t.nn.functional.interpolate(t.ones(1, 1, 3), 4, 2),
    "neither": lambda t: t.nn.functional.interpolate(t.ones(1, 1, 3)),
    "corners of nearest": lambda t: t.nn.functional.interpolate(t.ones(1, 1, 3), 4, align_corners=True),
    "mode of other dimensions": lambda t: t.nn.functional.interpolate(t.ones(1, 1, 3), 4, mode="bilinear"),
    "antialias": lambda t: t.nn.functional.interpolate(t.ones(1, 1, 3, 3), 4, antialias=True),
    "sizes": lambda t: t.nn.functional.interpolate(t.ones(1, 1, 3, 3), (4, 4, 4)),
    "fold": lambda t: t.nn.functional.fold(t.ones(1, 4, 5), (4, 4), 2),
    "unfold": lambda t: t.nn.functional.unfold(t.ones(1, 1, 2, 2), 3),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors(torch, name):
    assert_same_error(torch, PROGRAMS[name])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_half_precision_is_rounded_once(torch, rng, dtype, mode):
    x, y = pair(torch, rng.normal(size=(1, 3, 9, 11)), dtype, requires_grad=True)
    found = clgrad.nn.functional.interpolate(x, scale_factor=2, mode=mode)
    exact = clgrad.nn.functional.interpolate(x.detach().double(), scale_factor=2, mode=mode)
    assert found.dtype is x.dtype and found.equal(exact.to(x.dtype)) or (
        (found.double() - exact).abs().max().item() <= 0.51 * exact.abs().max().item() * clgrad.finfo(x.dtype).eps)
    found.sum().backward()
    torch.nn.functional.interpolate(y, scale_factor=2, mode=mode).sum().backward()
    assert_same(x.grad, y.grad, 0.05, 0.05)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape, pads", [((7,), (2, 30)), ((3, 5), (-1, 2, 1, 0)), ((2, 3, 4, 5), (0, 0, 1, -2)),
                                         ((0, 3), (1, 1, 2, 0)),
                                         ((2, 1, 3, 2, 4), (1, 1, 0, 2, 1, 0, -1, 1, 1, 1)), ((2, 3), (-1, -2, 1, 1))])
def test_padding_by_a_value(torch, rng, shape, pads, dtype):
    array, found = rng.integers(0, 2, shape), []
    for library in (clgrad, torch):
        x = library.tensor(array).to(getattr(library, dtype))
        x.requires_grad_(x.is_floating_point())
        y = library.nn.functional.pad(x, pads, value=1)
        found.append([y.detach()])
        if x.requires_grad:
            found[-1] += library.autograd.grad((y * library.arange(y.numel()).reshape(y.shape)).sum(), x)
    for mine, theirs in zip(*found, strict=True):
        assert_same(mine, theirs, 0)
