"""2-D convolution and its gradients against SciPy in float64: every path of the launcher, both forms of the kernels."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from scipy.signal import correlate2d

from clgrad import dtypes
from clgrad.kernels import conv, conv_geometry, conv_panels, conv_weight_winograd, conv_weights, conv_winograd

from .buffers import call
from .operands import Operand, random_values, tolerance


def spread(values: np.ndarray, step: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """``values`` every ``step`` elements of a plane of ``size`` zeros."""
    plane = np.zeros(size)
    plane[: values.shape[0] * step[0]: step[0], : values.shape[1] * step[1]: step[1]] = values
    return plane


def reference(x, w, gy, stride, padding, dilation, groups):
    """y, dx and dw, each by its definition, one (image, output channel, input channel) at a time."""
    n, ci, h, width = x.shape
    co, cig, kh, kw = w.shape
    cog = co // groups
    padded = np.pad(x, [(0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])])
    reach = (dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1)
    dense_shape = (padded.shape[2] - reach[0] + 1, padded.shape[3] - reach[1] + 1)
    y = np.zeros(gy.shape)
    dpadded, dw = np.zeros(padded.shape), np.zeros(w.shape)
    for image in range(n):
        for o in range(co):
            dense = spread(gy[image, o], stride, dense_shape)
            for c in range(cig):
                channel = o // cog * cig + c
                kernel = spread(w[o, c], dilation, reach)
                y[image, o] += correlate2d(padded[image, channel], kernel, "valid")[:: stride[0], :: stride[1]]
                dpadded[image, channel] += correlate2d(dense, kernel[::-1, ::-1], "full")
                dw[o, c] += correlate2d(padded[image, channel], dense, "valid")[:: dilation[0], :: dilation[1]]
    dx = dpadded[:, :, padding[0]: padding[0] + h, padding[1]: padding[1] + width]
    return y, dx, dw


def paths(device, window):
    """A CPU has two ways for any convolution, and a third for most of 3x3; every shape takes all, not only the fastest."""
    ways = ((False, False), (True, False), (False, True)) if window == (3, 3) else ((False, False), (True, False))
    for panels, winograd in ways if device.is_cpu else ways[:1]:
        with (mock.patch.object(conv, "many_channels", lambda *_, choice=panels: choice),
              mock.patch.object(conv_weights, "many_outputs", lambda *_, choice=panels: choice),
              mock.patch.object(conv_winograd, "pays", lambda *_, choice=winograd: choice),
              mock.patch.object(conv_weight_winograd, "pays", lambda *_, choice=winograd: choice),
              mock.patch.object(conv_panels, "PANEL_DEPTH", 24)):
            yield


def check(device, dtype, x_shape, w_shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, activation=None):
    y_size = tuple(conv.output_size(x_shape[2 + a], w_shape[2 + a], stride[a], padding[a], dilation[a]) for a in (0, 1))
    y_shape = (x_shape[0], w_shape[0], *y_size)
    settings = (x_shape, w_shape, stride, padding, dilation, groups)
    x, w, gy, bias = (Operand(device, dtype, shape) for shape in (x_shape, w_shape, y_shape, w_shape[:1]))
    y, dx, dw = reference(x.values, w.values, gy.values, stride, padding, dilation, groups)
    bound_y, bound_dx, bound_dw = reference(*(np.abs(o.values) for o in (x, w, gy)), stride, padding, dilation, groups)

    def compare(plan, operands, result_shapes, expected, bounds, terms):
        results = [Operand(device, dtype, shape, poison=True) for shape in result_shapes]
        call(plan, *(part for o in (*operands, *results) for part in (o.buffer, o.offset)))
        for result, value, bound in zip(results, expected, bounds, strict=True):
            assert np.all(np.abs(result.read() - value) <= tolerance(dtype, terms) * (bound + 1))
            assert result.gaps_untouched()

    terms = int(np.prod(w_shape[1:]))
    with_bias = y + bias.values.reshape(1, -1, 1, 1)
    if activation == "relu":
        with_bias = np.maximum(with_bias, 0)
    x_bias = Operand(device, dtype, x_shape[1:2])
    positions = x_shape[0] * int(np.prod(y_size))
    for _ in paths(device, w_shape[2:]):
        compare(conv.forward_plan(device, dtype, *settings), (x, w), [y_shape], [y], [bound_y], terms)
        compare(conv.forward_plan(device, dtype, *settings, bias=True, activation=activation), (x, w, bias), [y_shape],
                [with_bias], [bound_y + np.abs(bias.values).reshape(1, -1, 1, 1)], terms)
        compare(conv.input_gradient_plan(device, dtype, *settings), (gy, w), [x_shape], [dx], [bound_dx], terms)
        compare(conv.input_gradient_plan(device, dtype, *settings, bias=True), (gy, w, x_bias), [x_shape],
                [dx + x_bias.values.reshape(1, -1, 1, 1)], [bound_dx + 3], terms)
        compare(conv.weight_gradient_plan(device, dtype, *settings), (x, gy), [w_shape], [dw], [bound_dw], positions)
        compare(conv.weight_gradient_plan(device, dtype, *settings, bias=True), (x, gy), [w_shape, w_shape[:1]],
                [dw, gy.values.sum((0, 2, 3))], [bound_dw, np.abs(gy.values).sum((0, 2, 3))], positions)


CASES = [
    # x, w, stride, padding, dilation, groups
    ((2, 3, 9, 11), (5, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 9, 8), (4, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((3, 1, 32, 32), (6, 1, 5, 5), (1, 1), (0, 0), (1, 1), 1),
    ((4, 6, 14, 14), (16, 6, 5, 5), (1, 1), (0, 0), (1, 1), 1),
    ((3, 16, 8, 8), (16, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 8, 16, 16), (12, 8, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 4, 17, 33), (8, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((1, 4, 40, 40), (7, 4, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((2, 4, 15, 13), (6, 4, 3, 2), (3, 2), (2, 1), (1, 1), 1),
    ((2, 4, 15, 19), (6, 4, 3, 2), (2, 3), (1, 0), (2, 3), 1),
    ((2, 4, 15, 19), (6, 4, 3, 3), (1, 1), (2, 2), (2, 2), 1),
    ((2, 6, 9, 9), (9, 2, 3, 3), (1, 1), (1, 1), (1, 1), 3),
    ((2, 5, 12, 12), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
    ((2, 5, 12, 12), (10, 1, 3, 3), (2, 2), (1, 1), (1, 1), 5),
    ((2, 7, 5, 9), (9, 7, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 7, 6, 8), (9, 7, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 7, 5, 9), (9, 7, 1, 1), (1, 1), (1, 1), (1, 1), 1),
    ((1, 2, 1, 1), (3, 2, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 2, 3, 3), (3, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 4, 4), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 3, 3, 40), (2, 3, 2, 9), (1, 1), (1, 4), (1, 1), 1),
    ((1, 32, 20, 20), (64, 32, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 64, 2, 10), (40, 64, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((20, 2, 4, 10), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 5, 5), (4, 3, 2, 2), (3, 3), (0, 0), (1, 1), 1),
    ((1, 2, 6, 6), (2, 2, 3, 3), (4, 4), (0, 0), (1, 1), 1),
    ((5, 6, 7, 7), (33, 6, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 20, 9, 9), (28, 20, 2, 2), (2, 2), (0, 0), (1, 1), 1),
    ((3, 30, 11, 5), (26, 30, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 8, 6, 6), (10, 4, 3, 3), (1, 1), (2, 2), (1, 1), 2),
    ((3, 6, 7, 7), (6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 6),
    ((2, 3, 14, 15), (3, 1, 3, 3), (2, 2), (1, 1), (1, 1), 3),
    ((2, 3, 33, 18), (3, 1, 5, 4), (1, 2), (2, 1), (2, 1), 3),
    ((2, 3, 5, 40), (3, 1, 3, 3), (3, 3), (0, 0), (1, 1), 3),
    ((2, 2, 3, 2), (2, 1, 1, 1), (1, 1), (2, 1), (1, 1), 2),
    ((2, 4, 9, 20), (4, 1, 3, 3), (1, 1), (2, 2), (1, 1), 4),
    ((1, 3, 9, 10), (4, 3, 3, 5), (1, 1), (3, 4), (2, 1), 1),
    ((3, 5, 4, 16), (37, 5, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 10, 38), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 8, 4, 18), (12, 4, 3, 3), (1, 1), (0, 2), (1, 1), 2),
    ((7, 5, 6, 12), (52, 5, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 96, 4, 8), (80, 96, 3, 3), (1, 1), (1, 1), (1, 1), 1),
]


@pytest.mark.parametrize("x_shape, w_shape, stride, padding, dilation, groups", CASES)
def test_float32(device, x_shape, w_shape, stride, padding, dilation, groups):
    check(device, dtypes.float32, x_shape, w_shape, stride, padding, dilation, groups, activation="relu")


@pytest.mark.parametrize("dtype", [dtypes.float64, dtypes.float16, dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("case", [0, 3, 4, 6, 9, 11, 12, 14, 19, 31, 32, 39])
def test_other_dtypes(device, dtype, case):
    if dtype is dtypes.float64 and not device.limits.fp64:
        pytest.skip("no float64 on this device")
    check(device, dtype, *CASES[case])


def test_bands_and_many_units(device):
    """Planes too large for the cache are cut into bands; images are spread over work-items."""
    check(device, dtypes.float32, (1, 24, 70, 60), (8, 24, 3, 3), padding=(1, 1))
    check(device, dtypes.float32, (1, 24, 70, 60), (8, 24, 3, 3), stride=(2, 2), padding=(1, 1))
    check(device, dtypes.float32, (9, 4, 24, 24), (8, 4, 3, 3), padding=(1, 1))


@pytest.mark.parametrize("x_shape, w_shape", [((0, 3, 8, 8), (4, 3, 3, 3)), ((2, 3, 8, 8), (0, 3, 3, 3)),
                                              ((2, 0, 8, 8), (4, 0, 3, 3))])
def test_empty(device, x_shape, w_shape):
    check(device, dtypes.float32, x_shape, w_shape, padding=(1, 1))


def test_wide_indices(device, monkeypatch):
    monkeypatch.setattr(conv_geometry, "WIDE", 0)
    check(device, dtypes.float32, *CASES[0])
    check(device, dtypes.float32, *CASES[5])
    check(device, dtypes.float32, *CASES[39])


def test_nan_reaches_only_its_neighbours(device):
    x, w = random_values(dtypes.float32, (1, 2, 12, 12)), random_values(dtypes.float32, (3, 2, 3, 3))
    x[0, 1, 5, 11] = np.nan
    operands = [Operand(device, dtypes.float32, v.shape, values=v) for v in (x, w)]
    y = Operand(device, dtypes.float32, (1, 3, 12, 12), poison=True)
    plan = conv.forward_plan(device, dtypes.float32, x.shape, w.shape, (1, 1), (1, 1), (1, 1), 1, activation="relu")
    call(plan, *(part for o in (*operands, y) for part in (o.buffer, o.offset)))
    expected = np.zeros((1, 3, 12, 12), bool)
    expected[:, :, 4:7, 10:12] = True
    assert np.array_equal(np.isnan(y.read()), expected)


def test_against_torch(device, torch):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 6, 21, 18, generator=generator)
    w = torch.randn(8, 3, 3, 3, generator=generator)
    expected = torch.nn.functional.conv2d(x, w, None, (2, 1), (1, 2), (1, 2), 2)
    operands = [Operand(device, dtypes.float32, tuple(v.shape), values=v.numpy()) for v in (x, w)]
    y = Operand(device, dtypes.float32, tuple(expected.shape), poison=True)
    plan = conv.forward_plan(device, dtypes.float32, tuple(x.shape), tuple(w.shape), (2, 1), (1, 2), (1, 2), 2)
    call(plan, *(part for o in (*operands, y) for part in (o.buffer, o.offset)))
    assert np.allclose(y.read(), expected.numpy(), rtol=1e-4, atol=1e-4)
