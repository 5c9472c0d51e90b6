"""Sorting and the first k: both forms of the kernels, every dtype, against NumPy's stable sort."""

from __future__ import annotations

import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import sort

from .buffers import call, decode, download, encode, poisoned, upload

# (outer, n, inner): rows, columns, a row that several work-items share, rows of every kind of length.
SHAPES = [(3, 10, 1), (40, 33, 1), (2, 1500, 1), (3, 100, 5), (1, 40000, 1), (2, 33000, 1), (1, 1, 1)]


def run(device, plan, x, kind, k):
    shape = (x.shape[0], k, x.shape[2])
    values, indices = poisoned(device, (np.prod(shape) + 1) * kind.itemsize), poisoned(device, (np.prod(shape) + 2) * 8)
    call(plan, upload(device, x).buffer, 0, values.buffer, 1, indices.buffer, 2)
    return download(device, values, shape, kind.numpy, 1), download(device, indices, shape, np.int64, 2)


def order(x, descending):
    """Places in stable order, NaN largest, along axis 1."""
    _, ranks = np.unique(x, return_inverse=True)
    ranks = ranks.reshape(x.shape)
    return np.argsort(-ranks if descending else ranks, axis=1, kind="stable")


def example(shape, kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind is dtypes.bool:
        return encode(rng.integers(0, 2, shape), kind)
    if not kind.is_floating_point:
        bounds = np.iinfo(kind.numpy)
        wide = rng.integers(bounds.min, bounds.max, shape, kind.numpy, endpoint=True)
        return np.where(rng.random(shape) < 0.5, wide, rng.integers(0, 5, shape).astype(kind.numpy))
    x = np.where(rng.random(shape) < 0.3, rng.integers(-2, 3, shape) * 0.5, rng.normal(size=shape) * 100)
    x[rng.random(shape) < 0.05] = np.nan
    x[rng.random(shape) < 0.05] = -0.0
    x[rng.random(shape) < 0.02] = np.inf
    x[rng.random(shape) < 0.02] = -np.inf
    return encode(x, kind)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("descending", [False, True])
def test_shapes(device, shape, descending):
    x = example(shape, dtypes.float32)
    found, places = run(device, sort.plan(device, dtypes.float32, *shape, descending), x, dtypes.float32, shape[1])
    expected = order(x, descending)
    assert np.array_equal(places, expected)
    assert found.tobytes() == np.take_along_axis(x, expected, 1).tobytes()


@pytest.mark.parametrize("kind", dtypes.ALL, ids=lambda d: d.name)
def test_dtypes(device, kind):
    x = example((2, 300, 2), kind)
    for descending in (False, True):
        found, places = run(device, sort.plan(device, kind, *x.shape, descending), x, kind, 300)
        expected = order(decode(x, kind), descending)
        assert np.array_equal(places, expected)
        assert found.tobytes() == np.take_along_axis(x, expected, 1).tobytes()


@pytest.mark.parametrize("kind", [dtypes.int64, dtypes.uint8, dtypes.float64], ids=lambda d: d.name)
def test_long_rows_of_other_sizes(device, kind):
    x = example((1, 40000, 1), kind)
    _, places = run(device, sort.plan(device, kind, *x.shape, False), x, kind, x.shape[1])
    assert np.array_equal(places, order(x, False))


@pytest.mark.parametrize("bits", [0, 0x7F, 0xFF00, 0xF000F0, 0x7F000000FF000000])
@pytest.mark.parametrize("shape", [(3, 70, 1), (1, 3000, 2), (2, 40000, 1)])
def test_keys_that_differ_in_few_bits(device, bits, shape):
    """Only the digits in which keys differ are sorted by."""
    x = np.random.default_rng(0).integers(-1 << 63, (1 << 63) - 1, shape) & bits | 0x1020304
    for descending in (False, True):
        found, places = run(device, sort.plan(device, dtypes.int64, *shape, descending), x, dtypes.int64, shape[1])
        expected = order(x, descending)
        assert np.array_equal(places, expected)
        assert np.array_equal(found, np.take_along_axis(x, expected, 1))


@pytest.mark.parametrize("kind", [dtypes.float32, dtypes.bfloat16, dtypes.float64, dtypes.int32, dtypes.uint8],
                         ids=lambda d: d.name)
@pytest.mark.parametrize(("shape", "k"), [((1, 50000, 1), 7), ((1, 50000, 1), 100), ((5, 3000, 1), 200), ((3, 900, 4), 9)])
@pytest.mark.parametrize("largest", [False, True])
def test_first(device, kind, shape, k, largest):
    assert sort.topk_suits(device, shape[1], k)
    x = example(shape, kind)
    if kind is dtypes.float32:
        x.sort(axis=1)  # the order in which the threshold changes most often
    found, places = run(device, sort.topk_plan(device, kind, *shape, k, largest), x, kind, k)
    expected = order(decode(x, kind), largest)[:, :k]
    assert np.array_equal(places, expected)
    assert found.tobytes() == np.take_along_axis(x, expected, 1).tobytes()
