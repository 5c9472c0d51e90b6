"""The sparse maps along an axis in both forms, and the form that walks rows, against a matrix product."""

import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import ctc, resample

from .buffers import call, decode, download, encode, poisoned, upload

CASES = [(3, 7, 19, 1), (2, 5, 4, 3), (4, 6, 9, 24), (1, 1, 3, 8)]


def taps(rng, n, m):
    """Random starts, places and weights of up to four taps an output."""
    counts = rng.integers(0, 5, m)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return starts, rng.integers(0, n, starts[-1]).astype(np.int32), rng.normal(size=starts[-1])


def matrix(n, m, starts, places, weights):
    full = np.zeros((m, n))
    for j in range(m):
        for t in range(starts[j], starts[j + 1]):
            full[j, places[t]] += weights[t]
    return full


@pytest.mark.parametrize("kind", [dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16])
@pytest.mark.parametrize(("outer", "n", "m", "inner"), CASES)
def test_against_a_product(device, outer, n, m, inner, kind):
    rng = np.random.default_rng(n)
    starts, places, weights = taps(rng, n, m)
    x = decode(encode(rng.normal(size=(outer, n, inner)), kind), kind)
    real = kind.compute.numpy
    out = poisoned(device, (outer * m * inner + 1) * kind.itemsize)
    tables = [upload(device, t).buffer for t in (starts, places, weights.astype(real))]
    call(resample.plan(device, kind, outer, n, m, inner, len(places)), upload(device, encode(x, kind)).buffer, 0,
         tables[0], 0, tables[1], 0, tables[2], 0, out.buffer, 1)
    found = decode(download(device, out, (outer, m, inner), kind.numpy, 1), kind)
    expected = np.einsum("jk,oki->oji", matrix(n, m, starts, places, weights), x.astype(np.float64))
    tolerance = {dtypes.float32: 1e-5, dtypes.float64: 1e-12}.get(kind, 4e-2)
    np.testing.assert_allclose(found.astype(np.float64), expected, tolerance, tolerance)


@pytest.mark.parametrize(("rows", "n", "m"), [(5, 7, 19), (2, 30, 8), (40, 3, 5)])
def test_rows(device, rows, n, m):
    rng = np.random.default_rng(m)
    places, weights = rng.integers(0, n, (3, m)).astype(np.int32), rng.normal(size=(3, m)).astype(np.float32)
    weights[2, ::2] = 0
    x = rng.normal(size=(rows, n)).astype(np.float32)
    out = poisoned(device, rows * m * 4)
    call(resample.rows_plan(device, dtypes.float32, rows, n, m, 3), upload(device, x).buffer, 0,
         upload(device, places).buffer, 0, upload(device, weights).buffer, 0, out.buffer, 0)
    expected = (x[:, places] * weights).sum(1)
    np.testing.assert_allclose(download(device, out, (rows, m), np.float32), expected, 1e-5, 1e-5)


def test_nothing_to_write(device):
    call(resample.plan(device, dtypes.float32, 0, 2, 3, 1, 4))
    call(resample.rows_plan(device, dtypes.float32, 2, 3, 0, 1))


def test_ctc_of_one_label(device):
    """Two times, one label: the paths are blank-label, label-blank and label-label."""
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
    lp = upload(device, np.log(p).astype(np.float32).reshape(2, 1, 3))
    targets, lengths = upload(device, np.array([1])), upload(device, np.array([[0, 1, 2]]))
    alpha, loss = poisoned(device, 2 * 3 * 4), poisoned(device, 4)
    call(ctc.plan(device, dtypes.float32, 2, 1, 3, 3, 0), lp.buffer, 0, targets.buffer, 0, lengths.buffer, 0, alpha.buffer, 0,
         loss.buffer, 0)
    found = download(device, loss, (1,), np.float32)[0]
    np.testing.assert_allclose(np.exp(-found), 0.5 * 0.6 + 0.3 * 0.1 + 0.3 * 0.6, 1e-5)
