import numpy as np
import pytest
from scipy.special import log_softmax as scipy_log_softmax

from clgrad import dtypes
from clgrad.kernels import softmax

from .buffers import call, decode, download, encode, poisoned, upload

TOLERANCE = {"f32": 2e-6, "f64": 1e-14, "f16": 1e-3, "bf16": 8e-3}


def reference(x, g, log):
    with np.errstate(invalid="ignore"):
        y = scipy_log_softmax(x, 1)
    p = np.exp(y)
    if log:
        return y, g - p * g.sum(1, keepdims=True)
    return p, (g - (g * p).sum(1, keepdims=True)) * p


# One shape for each form of the kernels; float32 has more.
FORMS = [(50, 16, 1), (3, 10, 1), (2, 10, 40)]
MORE = [(1, 1, 1), (7, 1000, 1), (3, 5, 7), (1, 3, 700)]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("kind", "shape"), [(kind, shape) for kind in dtypes.FLOATING for shape in (
    FORMS + MORE if kind is dtypes.float32 else FORMS)], ids=str)
def test_softmax(device, kind, shape, log):
    generator = np.random.default_rng(0)
    x, g = (encode(generator.standard_normal(shape) * 3, kind) for _ in range(2))
    y, grad = reference(decode(x, kind).astype(np.float64), decode(g, kind).astype(np.float64), log)
    out, tolerance = poisoned(device, x.nbytes + 16), TOLERANCE[kind.code] * (8 if log else 1)
    call(softmax.plan(device, kind, *shape, log=log), upload(device, x).buffer, 0, out.buffer, 1)
    assert np.allclose(decode(download(device, out, shape, x.dtype, 1), kind), y, rtol=tolerance, atol=tolerance)
    out = poisoned(device, x.nbytes + 16)
    saved = encode(y, kind)
    call(softmax.backward_plan(device, kind, *shape, log=log), upload(device, g).buffer, 0, upload(device, saved).buffer, 0,
         out.buffer, 1)
    assert np.allclose(decode(download(device, out, shape, x.dtype, 1), kind), grad, rtol=tolerance * 4,
                       atol=tolerance * 30)


def test_special_values(device):
    x = np.zeros((4, 20), np.float32)
    x[0, 3], x[1], x[2, 17], x[3, :5] = np.nan, -np.inf, np.inf, -np.inf
    expected = np.exp(scipy_log_softmax(np.zeros_like(x), 1))
    expected[:3], expected[3] = np.nan, [0] * 5 + [1 / 15] * 15  # as PyTorch's
    for columns in (False, True):
        data = np.ascontiguousarray(x.T) if columns else x
        out = poisoned(device, x.nbytes)
        call(softmax.plan(device, dtypes.float32, *((1, 20, 4) if columns else (4, 20, 1)), log=False),
             upload(device, data).buffer, 0, out.buffer, 0)
        got = download(device, out, data.shape, np.float32)
        assert np.allclose(got.T if columns else got, expected, equal_nan=True, atol=1e-6)
