"""The kernel that puts rows of several tensors one behind the other, in the CPU's form and the GPU's, against NumPy."""

import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import concatenate
from clgrad.kernels.concatenate import Piece

from .buffers import call, download, poisoned, upload


def joined(device, kind, rows, lengths, gaps, reach=0):
    """What the kernel makes of rows of random bytes, ``gaps`` elements apart, and what NumPy makes of them."""
    rng = np.random.default_rng(len(lengths))
    wholes = [rng.integers(0, 256, (1 + rows * (n + gap)) * kind.itemsize, np.uint8)
              for n, gap in zip(lengths, gaps, strict=True)]
    pieces, expected, start = [], [], 0
    for whole, n, gap in zip(wholes, lengths, gaps, strict=True):
        pieces.append(Piece(n, n + gap, start))
        expected.append(whole[kind.itemsize:].reshape(rows, n + gap, kind.itemsize)[:, :n])
        start += n
    plan = concatenate.plan(device, kind, rows, start, pieces, reach)
    out = poisoned(device, (1 + rows * start) * kind.itemsize)
    call(plan, *[part for whole in wholes for part in (upload(device, whole).buffer, 1)], out.buffer, 1)
    found = download(device, out, ((1 + rows * start) * kind.itemsize,), np.uint8)
    assert (found[:kind.itemsize] == 0xA5).all()
    np.testing.assert_array_equal(found[kind.itemsize:].reshape(rows, start, kind.itemsize), np.concatenate(expected, 1))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 17, 32])
@pytest.mark.parametrize("kind", [dtypes.uint8, dtypes.bfloat16, dtypes.float32, dtypes.int64], ids=lambda d: d.name)
def test_numbers_of_pieces(device, kind, count):
    joined(device, kind, 3, [1 + 7 * k % 19 for k in range(count)], [k % 3 for k in range(count)])


@pytest.mark.parametrize("rows, lengths", [(1, [5000, 1, 4096]), (70, [300, 16]), (5000, [1, 2]), (9, [4096, 4097])])
def test_pieces_of_several_chunks(device, rows, lengths):
    joined(device, dtypes.float32, rows, lengths, [0, 5, 0][:len(lengths)])


def test_offsets_of_64_bits(device):
    joined(device, dtypes.int16, 3, [40, 9], [2, 0], reach=1 << 31)
    assert concatenate.capacity(1 << 31) < concatenate.capacity((1 << 31) - 1) == max(concatenate.COUNTS)
