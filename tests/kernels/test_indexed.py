"""The kernels of indexing and compaction in the CPU's form and the GPU's, against NumPy."""

import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import compact, indexed

from .buffers import call, decode, download, encode, poisoned, upload


def run(device, operation, x, values, index, kind=dtypes.float32, ordered=True, negative=False):
    """x[index[j], i] with values[j, i], for x and values of two dimensions; returns x or what was read."""
    (n, width), count = x.shape, len(index)
    plan = indexed.plan(device, operation, kind, (count, width), (0, 1), (width, 1),
                        [indexed.Index(dtypes.int64, (1, 0), n, width)], ordered=ordered, negative=negative, message="bad")
    target = upload(device, encode(x, kind))
    given = upload(device, encode(values, kind)) if values is not None else poisoned(device, count * width * kind.itemsize)
    call(plan, target.buffer, 0, given.buffer, 0, upload(device, np.asarray(index, np.int64)).buffer, 0)
    result, shape = (given, (count, width)) if operation == "read" else (target, x.shape)
    return decode(download(device, result, shape, kind.numpy), kind)


@pytest.mark.parametrize("shape", [(9, 1), (9, 70), (300, 3)])
@pytest.mark.parametrize("operation, ufunc", [("add", np.add), ("multiply", np.multiply), ("amax", np.maximum),
                                              ("amin", np.minimum)])
def test_values_that_meet(device, operation, ufunc, shape):
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, shape).astype(np.float32)
    values, index = rng.integers(-2, 3, (12, shape[1])).astype(np.float32), rng.integers(0, 5, 12)
    expected = x.copy()
    ufunc.at(expected, index, values)
    np.testing.assert_array_equal(run(device, operation, x, values, index), expected)


@pytest.mark.parametrize("kind", dtypes.ALL, ids=lambda d: d.name)
def test_reading_and_putting(device, kind):
    x, index = np.arange(12).reshape(6, 2) % 2, [5, 0, -1]
    np.testing.assert_array_equal(run(device, "read", x, None, index, kind, negative=True), x[index])
    values = np.array([[1, 0], [0, 1], [1, 1]])
    expected = x.copy()
    expected[index] = values  # NumPy keeps the last as well
    np.testing.assert_array_equal(run(device, "put", x, values, index, kind, negative=True), expected)


@pytest.mark.parametrize("operation", ["read", "put", "add"])
@pytest.mark.parametrize("bad", [6, -1, 1 << 40])
def test_an_index_out_of_range_is_skipped_and_told(device, operation, bad):
    x, values = np.ones((6, 2), np.float32), np.full((3, 2), 5, np.float32)
    with pytest.raises(IndexError, match="bad"):
        run(device, operation, x, values, [1, bad, 2])
        device.synchronize()
    device.synchronize()


@pytest.mark.parametrize("n", [1, 31, 1025, 5000])
def test_compaction(device, n):
    rng = np.random.default_rng(n)
    mask, x = rng.random(n) < 0.4, rng.normal(size=n).astype(np.float32)
    chunks = compact.chunks(device, n)
    marks, counts = upload(device, mask.astype(np.uint8)), poisoned(device, 8 * chunks)
    call(compact.count_plan(device, dtypes.bool, n), marks.buffer, 0, counts.buffer, 0)
    sums = np.cumsum(download(device, counts, (chunks,), np.int64))
    assert sums[-1] == mask.sum()
    out, places = poisoned(device, 4 * n + 4), poisoned(device, 16 * n + 16)
    running = upload(device, sums)
    call(compact.values_plan(device, dtypes.bool, dtypes.float32, n), upload(device, x).buffer, 0, marks.buffer, 0,
         running.buffer, 0, out.buffer, 1)
    np.testing.assert_array_equal(download(device, out, (int(sums[-1]),), np.float32, 1), x[mask])
    shape, count = (n, 1), int(sums[-1])
    call(compact.places_plan(device, dtypes.bool, shape, n), marks.buffer, 0, running.buffer, 0, places.buffer, 0)
    np.testing.assert_array_equal(download(device, places, (count, 2), np.int64), np.argwhere(mask.reshape(shape)))
