"""Matrix products against NumPy in float64: every path of the launcher, every dtype, both forms of the kernels."""

from __future__ import annotations

import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import gemm

from .buffers import call
from .operands import Operand, download, random_values, tolerance


def check(device, dtype, m, n, k, *, batch=1, a_layout="row", b_layout="row", c_layout="row", shared=(), bias=None,
          activation=None, accumulate=False, alpha=1, tuning=None):
    """Plans, runs and compares one product whose operands have offsets and gaps, and whose result starts as NaN."""
    a = Operand(device, dtype, (batch, m, k), a_layout, shared="a" in shared)
    b = Operand(device, dtype, (batch, k, n), b_layout, shared="b" in shared)
    c = Operand(device, dtype, (batch, m, n), c_layout, poison=not accumulate)
    added = Operand(device, dtype, (1, 1, m if bias == "row" else n), "row")
    expected = alpha * (a.values @ b.values)
    scale = np.abs(alpha) * (np.abs(a.values) @ np.abs(b.values)) + 1
    if accumulate:
        expected = expected + c.values
    if bias in ("row", "column"):
        expected = expected + (added.values.reshape(1, -1, 1) if bias == "row" else added.values.reshape(1, 1, -1))
    if activation == "relu":
        expected = np.maximum(expected, 0)
    if bias == "gate":
        added = Operand(device, dtype, (batch, m, n), c_layout)
        expected = np.where(added.values > 0, expected, 0)
    plan = gemm.plan(device, dtype, batch, m, n, k, a.strides, b.strides, c.strides, bias=bias, activation=activation,
                     accumulate=accumulate, alpha=alpha, tuning=tuning)
    call(plan, a.buffer, a.offset, b.buffer, b.offset, c.buffer, c.offset, added.buffer, added.offset)
    result = c.read()
    if dtype.is_floating_point:
        assert np.all(np.abs(result - expected) <= tolerance(dtype, k) * scale)
    else:
        assert np.array_equal(result, expected.astype(dtype.numpy))
    assert c.gaps_untouched()
    return plan


SIZES = [(1, 1, 1), (1, 7, 5), (5, 1, 9), (3, 4, 300), (4, 10, 84), (17, 33, 29), (64, 64, 64), (65, 130, 70),
         (40, 257, 600), (300, 50, 20), (1, 100, 400), (100, 1, 400), (2, 3, 5000),
         (1, 601, 500), (601, 1, 500),
         (33, 32, 257), (36, 49, 65), (64, 300, 270), (130, 96, 513)]  # two tiles for 32, ragged ends, B copied or not


@pytest.mark.parametrize("a_layout", ["row", "column"])
@pytest.mark.parametrize("b_layout", ["row", "column"])
@pytest.mark.parametrize("m, n, k", SIZES)
def test_sizes_and_transposes(device, m, n, k, a_layout, b_layout):
    check(device, dtypes.float32, m, n, k, a_layout=a_layout, b_layout=b_layout)


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d is not dtypes.bool], ids=str)
@pytest.mark.parametrize("m, n, k", [(5, 30, 37), (70, 25, 300), (3, 2, 1)])
@pytest.mark.parametrize("b_layout", ["row", "column"])
def test_dtypes(device, dtype, m, n, k, b_layout):
    if dtype is dtypes.float64 and not device.limits.fp64:
        pytest.skip("no float64 on this device")
    check(device, dtype, m, n, k, b_layout=b_layout, accumulate=True)


@pytest.mark.parametrize("layout", ["row", "column", "strided", "reversed"])
@pytest.mark.parametrize("m, n, k", [(9, 21, 34), (30, 2, 40)])
def test_layouts(device, layout, m, n, k):
    check(device, dtypes.float32, m, n, k, a_layout=layout)
    check(device, dtypes.float32, m, n, k, b_layout=layout)
    check(device, dtypes.float32, m, n, k, c_layout=layout, bias="row")
    check(device, dtypes.float32, m, n, k, a_layout=layout, b_layout=layout, c_layout=layout, bias="column", batch=2)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float16], ids=str)
@pytest.mark.parametrize("a_layout", ["row", "column", "strided"])
@pytest.mark.parametrize("m, n, k, given", [(10, 84, 4, True), (84, 120, 4, True), (37, 50, 300, True), (3, 40, 1, True),
                                            (300, 70, 65, True), (6, 5, 0, True), (20, 1, 9, False), (0, 3, 4, False)])
def test_sums_of_rows(device, dtype, a_layout, m, n, k, given):
    """The sums of A's rows beside the product, where the kernels store them: they say so."""
    a, b = Operand(device, dtype, (1, m, k), a_layout), Operand(device, dtype, (1, k, n), "row")
    c, sums = Operand(device, dtype, (1, m, n), "row", poison=True), Operand(device, dtype, (1, 1, m), "row", poison=True)
    plan = gemm.plan(device, dtype, 1, m, n, k, a.strides, b.strides, c.strides, bias="sums")
    call(plan, a.buffer, a.offset, b.buffer, b.offset, c.buffer, c.offset, sums.buffer, sums.offset)
    assert np.all(np.abs(c.read() - a.values @ b.values)
                  <= tolerance(dtype, k) * (np.abs(a.values) @ np.abs(b.values) + 1))
    assert plan.sums == given
    if given:
        error = np.abs(sums.read()[0, 0] - a.values[0].sum(1))
        assert np.all(error <= tolerance(dtype, k) * (np.abs(a.values[0]).sum(1) + 1))
        assert sums.gaps_untouched()


@pytest.mark.parametrize("bias", [None, "row", "column", "gate"])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("m, n, k", [(6, 50, 40), (2, 30, 40), (30, 3, 40), (8, 24, 600), (2, 2, 9000)])
def test_endings(device, bias, activation, accumulate, m, n, k):
    for b_layout in ("row", "column"):
        check(device, dtypes.float32, m, n, k, b_layout=b_layout, bias=bias, activation=activation,
              accumulate=accumulate, alpha=0.5)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float16], ids=str)
@pytest.mark.parametrize("c_layout", ["row", "column"])
@pytest.mark.parametrize("m, n, k", [(5, 130, 40), (130, 5, 40), (67, 67, 300), (3, 3, 9000)])
def test_gates(device, dtype, c_layout, m, n, k):
    for batch in (1, 2):
        check(device, dtype, m, n, k, batch=batch, c_layout=c_layout, bias="gate")


@pytest.mark.parametrize("shared", ["", "a", "b", "ab"])
def test_batches(device, shared):
    check(device, dtypes.float32, 13, 27, 40, batch=5, shared=shared)
    check(device, dtypes.float32, 3, 27, 40, batch=5, shared=shared, b_layout="column")


@pytest.mark.parametrize("m, n, k, batch", [(0, 4, 4, 1), (4, 0, 4, 1), (4, 4, 4, 0), (4, 30, 0, 2), (1, 1, 0, 1)])
def test_empty(device, m, n, k, batch):
    for b_layout in ("row", "column"):
        check(device, dtypes.float32, m, n, k, batch=batch, b_layout=b_layout, bias="row")
        check(device, dtypes.float32, m, n, k, batch=batch, b_layout=b_layout)


BLOCKS = [{"block_rows": 8, "block_depth": 24}, {"block_rows": 64, "block_depth": 100}]
TILES = [{"per_item": 2, "slice_depth": 8}]


@pytest.mark.parametrize("a_layout", ["row", "column", "strided"])
@pytest.mark.parametrize("b_layout", ["row", "column", "strided"])
def test_blocks(device, a_layout, b_layout):
    """Several blocks of rows, slices of k and work-items in one product."""
    for numbers in BLOCKS if device.is_cpu else TILES:
        check(device, dtypes.float32, 67, 270, 301, a_layout=a_layout, b_layout=b_layout, bias="column",
              activation="relu", tuning=gemm.Tuning(copied_rows=1, **numbers))
        if device.is_cpu:
            check(device, dtypes.bfloat16, 67, 270, 301, a_layout=a_layout, b_layout=b_layout,
                  tuning=gemm.Tuning(**numbers))


@pytest.mark.parametrize("dtype", [dtypes.float64, dtypes.float16, dtypes.int32, dtypes.int64], ids=str)
def test_blocks_of_other_dtypes(device, dtype):
    if dtype is dtypes.float64 and not device.limits.fp64:
        pytest.skip("no float64 on this device")
    for layouts in ({}, {"a_layout": "column"}, {"b_layout": "column"}):
        check(device, dtype, 70, 129, 260, batch=2, bias="row", tuning=gemm.Tuning(block_rows=16, block_depth=64), **layouts)


def test_rows_far_apart(device):
    """Strides of megabytes between rows."""
    a = Operand(device, dtypes.float32, (1, 5, 40), "row")
    far = Operand(device, dtypes.float32, (1, 40, 1 << 18), "row")
    c = Operand(device, dtypes.float32, (1, 5, 30), "row", poison=True)
    plan = gemm.plan(device, dtypes.float32, 1, 5, 30, 40, a.strides, far.strides, c.strides)
    call(plan, a.buffer, a.offset, far.buffer, far.offset, c.buffer, c.offset, c.buffer, 0)
    assert np.allclose(c.read(), a.values @ far.values[:, :, :30], rtol=1e-4, atol=1e-4)
    assert c.gaps_untouched()


def test_nan_and_infinity_reach_only_their_rows_and_columns(device):
    a, b = random_values(dtypes.float32, (10, 20)), random_values(dtypes.float32, (20, 30))
    a[3, 4], b[7, 11] = np.nan, np.inf
    operands = [Operand(device, dtypes.float32, (1, *x.shape), "row", values=x[None]) for x in (a, b)]
    c = Operand(device, dtypes.float32, (1, 10, 30), "packed", poison=True)
    plan = gemm.plan(device, dtypes.float32, 1, 10, 30, 20, operands[0].strides, operands[1].strides, c.strides,
                     activation="relu")
    call(plan, *[part for o in (*operands, c, c) for part in (o.buffer, o.offset)])
    with np.errstate(invalid="ignore"):
        product = (a.astype(np.float64) @ b)[None]
    expected = np.where(product < 0, 0, product)
    assert np.array_equal(np.isnan(c.read()), np.isnan(expected))
    assert np.allclose(c.read(), expected, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_same_bits_every_time(device):
    a = Operand(device, dtypes.float32, (1, 3, 20000), "row")
    b = Operand(device, dtypes.float32, (1, 20000, 5), "row")
    results = []
    for _ in range(3):
        c = Operand(device, dtypes.float32, (1, 3, 5), "row", poison=True)
        plan = gemm.plan(device, dtypes.float32, 1, 3, 5, 20000, a.strides, b.strides, c.strides)
        call(plan, a.buffer, a.offset, b.buffer, b.offset, c.buffer, c.offset, c.buffer, 0)
        results.append(download(device, c.block, c.host.nbytes).tobytes())
    assert len(set(results)) == 1


def test_long_products_are_split(device):
    plan = check(device, dtypes.float32, 4, 4, 40000)
    assert plan.sum is not None


def test_cost_counts_operations_and_bytes(device):
    plan = gemm.plan(device, dtypes.float32, 2, 3, 4, 5, (15, 5, 1), (20, 4, 1), (12, 4, 1))
    assert plan.cost == (2 * 2 * 3 * 4 * 5, 2 * (15 + 20 + 12) * 4)


def test_wide_indices(device, monkeypatch):
    monkeypatch.setattr(gemm, "WIDE", 0)
    check(device, dtypes.float32, 9, 30, 50, batch=2, bias="row")
    check(device, dtypes.float32, 9, 30, 50, batch=2, b_layout="column")
    check(device, dtypes.float32, 2, 2, 9000)
