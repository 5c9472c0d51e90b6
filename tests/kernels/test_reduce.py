import numpy as np
import pytest
from scipy.special import logsumexp

from clgrad import dtypes
from clgrad.kernels import reduce

from .buffers import call, decode, download, encode, poisoned, upload


def run(device, op, x, dims, out_dtype=None, in_dtype=None, strides=None, shape=None, offset=0, aux=None, **options):
    """Reduces the array ``x`` (or a strided view of its memory); returns values, or (values, aux)."""
    in_dtype = in_dtype or dtypes.from_numpy(x.dtype)
    out_dtype = out_dtype or in_dtype
    shape = shape or x.shape
    strides = strides or tuple(s // x.itemsize for s in x.strides)
    kept = tuple(shape[d] for d in range(len(shape)) if d not in dims)
    count = int(np.prod(kept))
    plan = reduce.plan(device, op, in_dtype, out_dtype, shape, strides, dims, **options)
    source, out = upload(device, x), poisoned(device, (count + 3) * out_dtype.itemsize)
    second = poisoned(device, (count + 2) * 8)
    call(plan, source.buffer, offset, out.buffer, 3, second.buffer, 2)
    values = decode(download(device, out, kept, out_dtype.numpy, 3), out_dtype)
    if aux is None:
        return values
    return values, download(device, second, kept, aux, 2)


SHAPES = [((1000,), (0,)), ((70000,), (0,)), ((3, 100), (1,)), ((100, 3), (0,)), ((129, 70), (0,)), ((70, 129), (1,)),
          ((5, 6, 7), (1,)), ((5, 6, 7), (0, 2)), ((2, 33, 4, 35), (0, 2)), ((2, 33, 4, 35), (1, 3)), ((4, 1), (1,)),
          ((), ()), ((3, 4), ()), ((40000, 3), (0,)), ((3, 40000), (1,)), ((1000, 10), (1,)), ((1000, 10), (0,)),
          ((3, 50, 7), (0, 2)), ((600, 520), (0,))]


@pytest.mark.parametrize(("shape", "dims"), SHAPES)
def test_layouts(device, shape, dims):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    exact = x.astype(np.float64)
    assert np.allclose(run(device, "sum", x, dims), exact.sum(dims), rtol=1e-6, atol=1e-5 * np.sqrt(x.size))
    assert np.array_equal(run(device, "amax", x, dims), x.max(dims))
    if dims:
        assert np.allclose(run(device, "logsumexp", x, dims), logsumexp(exact, dims), rtol=1e-5, atol=1e-6)
    if np.prod([shape[d] for d in dims]) > 1:
        var, mean = run(device, "var_mean", x, dims, aux=np.float32)
        assert np.allclose(var, exact.var(dims, ddof=1), rtol=2e-5)
        assert np.allclose(mean, exact.mean(dims), atol=1e-6)


@pytest.mark.parametrize(("shape", "dims"), [s for s in SHAPES if len(s[1]) == 1])
def test_indices(device, shape, dims):
    x = np.random.default_rng(1).integers(-50, 50, shape).astype(np.float32)
    values, index = run(device, "max", x, dims, aux=np.int64)
    assert np.array_equal(index, x.argmax(dims[0])) and np.array_equal(values, x.max(dims))
    values, index = run(device, "min", x, dims, aux=np.int64)
    assert np.array_equal(index, x.argmin(dims[0])) and np.array_equal(values, x.min(dims))
    x.reshape(-1)[x.size // 2:x.size // 2 + 4] = np.nan
    assert np.array_equal(run(device, "argmax", x, dims, aux=np.int64)[1], x.argmax(dims[0]))


def test_strided_views(device):
    base = np.random.default_rng(2).standard_normal(6000).astype(np.float32)
    for shape, strides, offset in [((10, 20), (40, 2), 5), ((20, 10), (1, 20), 7), ((4, 5, 6), (0, 7, 1), 0),
                                   ((8, 9), (3, 0), 1), ((30, 30), (1, 30), 0)]:
        view = np.lib.stride_tricks.as_strided(base[offset:], shape, [4 * s for s in strides])
        for dims in [(0,), (1,), tuple(range(len(shape)))]:
            got = run(device, "sum", base, dims, strides=strides, shape=shape, offset=offset)
            assert np.allclose(got, view.astype(np.float64).sum(dims), rtol=1e-5, atol=1e-5)
        whole = tuple(range(len(shape)))
        index = run(device, "argmax", base, whole, strides=strides, shape=shape, offset=offset, aux=np.int64)[1]
        assert index == view.argmax()


@pytest.mark.parametrize("kind", dtypes.ALL, ids=lambda d: d.name)
def test_dtypes(device, kind):
    values = np.random.default_rng(3).integers(0 if kind.code in ("u8", "b8") else -9, 2 if kind.code == "b8" else 9,
                                               (37, 50))
    stored = encode(values, kind)
    as_float = values.astype(np.float64)
    total = dtypes.int64 if not kind.is_floating_point else kind
    for dims in [(0,), (1,)]:  # few combinations: each dtype and operator is a program of its own
        assert np.allclose(run(device, "sum", stored, dims, total, kind), as_float.sum(dims),
                           rtol=0.004 if kind.itemsize == 2 else 0)
    assert np.array_equal(run(device, "amin", stored, dims, kind, kind), values.min(dims))
    assert np.array_equal(run(device, "all", stored, dims, dtypes.bool, kind), values.all(dims))
    assert np.array_equal(run(device, "count_nonzero", stored, dims, dtypes.int64, kind), np.count_nonzero(values, 1))
    assert np.array_equal(run(device, "argmax", stored, dims, kind, kind, aux=np.int64)[1], values.argmax(1))


@pytest.mark.parametrize("order", [0, 1, 2, 3.5, np.inf, -np.inf])
def test_norms(device, order):
    x = np.random.default_rng(4).standard_normal((19, 45)).astype(np.float32)
    for dim in (0, 1):
        got = run(device, reduce.norm_op(order), x, (dim,), order=order)
        assert np.allclose(got, np.linalg.norm(x.astype(np.float64), order, dim), rtol=1e-5)


def test_special_values(device):
    x = np.zeros((4, 40), np.float32)
    x[0, 20] = np.nan
    x[1, :] = -np.inf
    x[2, 5], x[2, 30] = np.inf, np.inf
    for op, reference in [("amax", np.max), ("amin", np.min), ("sum", np.sum), ("prod", np.prod)]:
        with np.errstate(invalid="ignore"):
            assert np.array_equal(run(device, op, x, (1,)), reference(x, 1), equal_nan=True)
    assert np.array_equal(run(device, "logsumexp", x, (1,))[:3], [np.nan, -np.inf, np.inf], equal_nan=True)
    assert np.array_equal(run(device, "argmax", x, (1,), aux=np.int64)[1], [20, 0, 5, 0])
    assert np.array_equal(run(device, "all", x, (1,), dtypes.bool), [False, True, False, False])


def test_empty_reductions_give_the_identity(device):
    x = np.zeros((3, 0), np.float32)
    for op, value in [("sum", 0), ("prod", 1), ("mean", np.nan), ("logsumexp", -np.inf), ("var", np.nan)]:
        assert np.array_equal(run(device, op, x, (1,)), np.full(3, value, np.float32), equal_nan=True)
    assert run(device, "all", x, (0, 1), dtypes.bool) and not run(device, "any", x, (0, 1), dtypes.bool)


def test_accuracy_is_that_of_pairwise_summation(device):
    x = np.full((1 << 22,), 0.1, np.float32)
    exact = x.astype(np.float64).sum()
    assert abs(run(device, "sum", x, (0,)) / exact - 1) < 1e-6
    assert np.allclose(run(device, "mean", x.reshape(-1, 2), (0,)), x[0], rtol=3e-6)
    big = (1e4 + np.random.default_rng(5).standard_normal(100001)).astype(np.float32)
    assert abs(run(device, "var", big, (0,), correction=0) / big.astype(np.float64).var() - 1) < 3e-5
