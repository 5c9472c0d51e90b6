import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import scan

from .buffers import call, decode, download, encode, poisoned, upload

torch = pytest.importorskip("torch")


def run(device, op, x, in_dtype=dtypes.float32, out_dtype=dtypes.float32):
    out, indices = poisoned(device, (x.size + 1) * out_dtype.itemsize), poisoned(device, (x.size + 2) * 8)
    call(scan.plan(device, op, in_dtype, out_dtype, *x.shape), upload(device, x).buffer, 0, out.buffer, 1, indices.buffer, 2)
    return (decode(download(device, out, x.shape, out_dtype.numpy, 1), out_dtype),
            download(device, indices, x.shape, np.int64, 2))


@pytest.mark.parametrize("shape", [(3, 10, 1), (1, 1000, 1), (2, 7, 100), (5, 1, 3), (1, 300, 5)])
def test_against_torch(device, shape):
    x = (np.random.default_rng(0).integers(-6, 7, shape) / 4).astype(np.float32)
    tx = torch.from_numpy(x)
    for op in ("cumsum", "cumprod", "logcumsumexp"):
        assert np.allclose(run(device, op, x)[0], getattr(torch, op)(tx, 1).numpy(), rtol=1e-5, atol=1e-6)
    x.reshape(-1)[x.size // 2::7] = np.nan
    for op in ("cummax", "cummin"):
        values, indices = getattr(torch, op)(tx, 1)
        got, where = run(device, op, x)
        assert np.array_equal(got, values.numpy(), equal_nan=True) and np.array_equal(where, indices.numpy())


@pytest.mark.parametrize("kind", dtypes.ALL, ids=lambda d: d.name)
def test_dtypes(device, kind):
    x = np.random.default_rng(1).integers(0, 2, (4, 20, 3))
    out = kind if kind.is_floating_point else dtypes.int64
    assert np.array_equal(run(device, "cumsum", encode(x, kind), kind, out)[0], x.cumsum(1))


def test_infinities(device):
    x = np.float32([-np.inf, -np.inf, 1, np.inf, np.inf, 2]).reshape(1, 6, 1)
    got = run(device, "logcumsumexp", x)[0].reshape(-1)
    assert np.array_equal(got, np.float32([-np.inf, -np.inf, 1, np.inf, np.inf, np.inf]))


def test_nothing_to_scan(device):
    assert run(device, "cumsum", np.zeros((0, 3, 2), np.float32))[0].size == 0
