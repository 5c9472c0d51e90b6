import numpy as np
import pytest
from scipy import stats

from clgrad import dtypes
from clgrad.kernels import random

from .buffers import decode, download, encode, poisoned, upload

SEED, FIRST = 0x123456789ABCDEF, 7


def draw(device, kind, n, out_dtype=dtypes.float32, a=0.0, b=1.0, seed=SEED, first=FIRST):
    """``n`` numbers of a kind, written behind an offset of 3 elements."""
    out = poisoned(device, (n + 3) * out_dtype.itemsize)
    random.plan(device, kind, out_dtype, n)((out.buffer,), (3,), seed, first, a, b)
    return decode(download(device, out, (n,), out_dtype.numpy, 3), out_dtype)


def philox(counter, key):
    """Philox4x32-10 in Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & 0xFFFFFFFF, p >> 32 ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


@pytest.mark.parametrize(("counter", "key", "words"), [  # Random123's kat_vectors, philox4x32 10
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1))])
def test_the_reference_gives_the_known_answers(counter, key, words):
    assert tuple(philox(counter, key)) == words


@pytest.mark.parametrize(("seed", "first"), [(0, 0), (0xDEADBEEF12345678, 0xFFFFFFF0), ((1 << 64) - 1, (1 << 64) - 5)])
def test_words_are_those_of_the_reference(device, seed, first):
    n = 61
    got = draw(device, "INTEGER", n, dtypes.int64, 0, 1 << 62, seed, first)  # the upper 62 of 64 bits
    singles = draw(device, "UNIFORM", n, dtypes.float32, 0.0, 1.0, seed, first)
    for i in range(n):
        words = [philox(((first + k) % (1 << 32), (first + k) % (1 << 64) >> 32, 0, 0), (seed % (1 << 32), seed >> 32))
                 for k in (i // 2, i // 4)]
        pair = words[0][2 * (i % 2):2 * (i % 2) + 2]
        assert got[i] == (pair[1] << 32 | pair[0]) >> 2
        assert singles[i] == (words[1][i % 4] >> 8) / 2**24


def test_a_number_depends_on_its_counter_alone(device):
    long = draw(device, "UNIFORM", 100_003)
    assert np.array_equal(long[4 * 1000:4 * 1000 + 37], draw(device, "UNIFORM", 37, first=FIRST + 1000))


@pytest.mark.parametrize("kind", [dtypes.float32, dtypes.float64], ids=lambda d: d.name)
def test_distributions(device, kind):
    n = 200_001
    u = draw(device, "UNIFORM", n, kind, -2.0, 3.0)
    assert u.min() >= -2 and u.max() < 3 and stats.kstest(u, "uniform", (-2, 5)).pvalue > 1e-3
    z = draw(device, "NORMAL", n, kind, 1.0, 2.0)
    assert stats.kstest(z, "norm", (1, 2)).pvalue > 1e-3
    assert abs(np.corrcoef(z[:-1:2], z[1::2])[0, 1]) < 0.02


@pytest.mark.parametrize("kind", [dtypes.float16, dtypes.bfloat16], ids=lambda d: d.name)
def test_half_precision_uniform_stays_below_one(device, kind):
    u = draw(device, "UNIFORM", 50_000, kind)
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.01


def test_integers(device):
    got = draw(device, "INTEGER", 60_000, dtypes.int64, -3, 6)
    assert set(np.unique(got)) == {-3, -2, -1, 0, 1, 2}
    assert stats.chisquare(np.bincount(got + 3)).pvalue > 1e-3
    assert draw(device, "INTEGER", 100, dtypes.uint8, 250, 6).min() >= 250


def test_bernoulli(device):
    assert abs(draw(device, "BERNOULLI", 100_000, a=0.3).mean() - 0.3) < 0.01
    assert draw(device, "BERNOULLI", 1000, a=1.0).all() and not draw(device, "BERNOULLI", 1000, a=0.0).any()


@pytest.mark.parametrize("kind", dtypes.FLOATING, ids=lambda d: d.name)
def test_dropout(device, kind):
    n, keep = 10_007, 0.75
    x = encode(np.random.default_rng(0).standard_normal(n), kind)
    mask, y = poisoned(device, n), poisoned(device, x.nbytes)
    random.plan(device, "DROPOUT", kind, n)((upload(device, x).buffer, y.buffer, mask.buffer), (0, 0, 0), SEED, FIRST,
                                            keep, 1 / keep)
    kept = download(device, mask, (n,), np.uint8)
    assert set(np.unique(kept)) == {0, 1} and abs(kept.mean() - keep) < 0.03
    got = decode(download(device, y, (n,), x.dtype), kind)
    assert np.allclose(got, decode(x, kind) * kept / keep, rtol=0.01 if kind.itemsize == 2 else 1e-6)
