"""Convolutions of integers, against sums over their windows and against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad

CASES = [  # rank, transposed, groups, stride, padding, dilation
    (1, False, 1, 1, 0, 1), (1, False, 2, 2, 1, 2), (2, False, 1, (1, 2), (2, 0), 1), (2, False, 3, 2, 1, (1, 2)),
    (3, False, 1, 2, 1, 1), (1, True, 1, 1, 0, 1), (1, True, 2, 3, 2, 2), (2, True, 1, (2, 1), (1, 2), 1),
    (2, True, 3, 2, 3, (2, 1)), (3, True, 1, 2, 1, 1),
]


@pytest.mark.parametrize(("rank", "transposed", "groups", "stride", "padding", "dilation"), CASES)
def test_like_pytorch(rank, transposed, groups, stride, padding, dilation, torch):
    rng = np.random.default_rng(rank)
    x = rng.integers(-9, 9, (2, 2 * groups, *range(5, 5 + rank)))
    w = rng.integers(-9, 9, (*((2 * groups, 3) if transposed else (3 * groups, 2)), *[3, 2, 2][:rank]))
    b = rng.integers(-9, 9, 3 * groups)
    name = f"conv{'_transpose' * transposed}{rank}d"
    options = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    expected = getattr(torch.nn.functional, name)(*map(torch.tensor, (x, w, b)), **options)
    found = getattr(clgrad.nn.functional, name)(*map(clgrad.tensor, (x, w, b)), **options)
    assert found.dtype is clgrad.int64
    assert found.tolist() == expected.tolist() and found.stride() == expected.stride()


@pytest.mark.parametrize("kind", [clgrad.int64, clgrad.int32, clgrad.int16, clgrad.int8, clgrad.uint8])
def test_every_sum_is_exact(kind):
    x, w = clgrad.arange(12, dtype=kind).view(1, 1, 12), clgrad.tensor([[[3, 1, 2]]], dtype=kind)
    expected = np.convolve(np.arange(12), [2, 1, 3], "valid")
    found = clgrad.nn.functional.conv1d(x, w)
    assert found.dtype is kind
    assert found.tolist() == [[expected.tolist()]]
    large = clgrad.tensor([[[2**62 + 1, -2**62]]])
    assert clgrad.nn.functional.conv1d(large, clgrad.ones(1, 1, 2, dtype=clgrad.int64)).item() == 1


@pytest.mark.parametrize(("name", "kind"), [("conv1d", clgrad.bool), ("conv_transpose1d", clgrad.int32)])
def test_dtypes_that_are_not_taken(name, kind):
    with pytest.raises(NotImplementedError, match=name):
        getattr(clgrad.nn.functional, name)(clgrad.ones(1, 1, 3, dtype=kind), clgrad.ones(1, 1, 1, dtype=kind))


@pytest.mark.parametrize("x", [(1, 2, 0), (2, 0)])
def test_signals_without_length_are_refused(x):
    with pytest.raises(RuntimeError, match="zero batch or zero channel"):
        clgrad.nn.functional.conv1d(clgrad.ones(x), clgrad.ones(3, 2, 1), padding=1)
    with pytest.raises(RuntimeError, match="at least 1 at dimension 0"):
        clgrad.nn.functional.conv1d(clgrad.ones(1, 2, 4), clgrad.ones(0, 2, 1))
