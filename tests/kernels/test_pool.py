import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import pool

from .buffers import call, decode, download, encode, poisoned, upload

torch = pytest.importorskip("torch")
F = torch.nn.functional
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def run(device, x, g, windows, kind=dtypes.float32, **options):
    """Result, indices and gradient of pooling x[N, C, ...]."""
    planes = x.shape[0] * x.shape[1]
    shape = (*x.shape[:2], *windows.output)
    item = kind.itemsize
    out = poisoned(device, (g.size + 1) * item)
    index_type = options.get("index_dtype", dtypes.int64).numpy
    indices = poisoned(device, g.size * 8) if options["max_pool"] else None
    source, places = upload(device, x), (indices or out).buffer
    call(pool.plan(device, kind, planes, windows, **options), source.buffer, 0, out.buffer, 1, places, 0)
    grad = poisoned(device, x.nbytes)
    call(pool.backward_plan(device, kind, planes, windows, **options), upload(device, g).buffer, 0, grad.buffer, 0, places, 0,
         places, 0)
    return (decode(download(device, out, shape, kind.numpy, 1), kind),
            download(device, indices, shape, index_type) if indices else None,
            decode(download(device, grad, x.shape, kind.numpy), kind))


CASES = [((2, 3, 28, 28), 2, 2, 0, 1, False), ((2, 3, 27, 45), 3, 2, 1, 1, False), ((1, 2, 9, 40), 3, 1, 1, 1, False),
         ((1, 2, 13, 31), 3, 2, 1, 2, True), ((2, 2, 50), 5, 3, 2, 1, True), ((1, 2, 7, 9, 20), 2, 2, 1, 1, True),
         ((1, 1, 5, 5), 2, 2, 0, 1, True), ((3, 1, 4, 70), (2, 5), (1, 4), (1, 2), 1, False)]


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), CASES)
def test_against_torch(device, shape, kernel, stride, padding, dilation, ceil_mode):
    rank = len(shape) - 2
    each = [v if isinstance(v, tuple) else (v,) * rank for v in (kernel, stride, padding, dilation)]
    windows = pool.fixed(shape[2:], *each, ceil_mode)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    y, at = MAX[rank](tx, *each, ceil_mode=ceil_mode, return_indices=True)
    g = torch.randn(y.shape)
    y.backward(g)
    for index_dtype in (dtypes.int64, dtypes.int32):
        got, indices, grad = run(device, x, g.numpy(), windows, max_pool=True, index_dtype=index_dtype)
        assert np.array_equal(got, y.detach().numpy()) and np.array_equal(indices, at.numpy())
        assert np.allclose(grad, tx.grad.numpy(), atol=1e-5)
    if dilation != 1:
        return
    for include_pad, divisor in [(True, None), (False, None)] + ([(True, 3)] if rank > 1 else []):
        tx.grad = None
        extra = {"divisor_override": divisor} if rank > 1 else {}
        y = AVERAGE[rank](tx, *each[:3], ceil_mode=ceil_mode, count_include_pad=include_pad, **extra)
        y.backward(g)
        got, _, grad = run(device, x, g.numpy(), windows, max_pool=False, include_pad=include_pad,
                           divisor=divisor or 0)
        assert np.allclose(got, y.detach().numpy(), rtol=1e-5, atol=1e-6)
        assert np.allclose(grad, tx.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [dtypes.float32, dtypes.float16], ids=str)
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), CASES)
def test_the_gradient_of_a_relu_before_it(device, kind, shape, kernel, stride, padding, dilation, ceil_mode):
    rank = len(shape) - 2
    each = [v if isinstance(v, tuple) else (v,) * rank for v in (kernel, stride, padding, dilation)]
    windows = pool.fixed(shape[2:], *each, ceil_mode)
    x = np.random.default_rng(0).standard_normal(shape) - 0.5
    x.flat[3] = np.nan
    tx = torch.from_numpy(decode(encode(x, kind), kind).astype(np.float32)).requires_grad_()
    y, at = MAX[rank](tx.relu(), *each, ceil_mode=ceil_mode, return_indices=True)
    g = torch.randn(y.shape).to(torch.float16).float()
    y.backward(g)
    plan = pool.backward_plan(device, kind, shape[0] * shape[1], windows, max_pool=True, gated=True)
    grad = poisoned(device, x.size * kind.itemsize)
    gate = encode(y.detach().numpy(), kind)
    call(plan, upload(device, encode(g.numpy(), kind)).buffer, 0, grad.buffer, 0, upload(device, at.numpy()).buffer, 0,
         upload(device, np.concatenate([gate.reshape(-1)[:1], gate.reshape(-1)])).buffer, 1)
    found = decode(download(device, grad, shape, kind.numpy), kind)
    assert np.allclose(found, tx.grad.numpy(), atol=1e-5 if kind is dtypes.float32 else 1e-2)


@pytest.mark.parametrize(("shape", "output"), [((2, 3, 11, 13), (5, 4)), ((1, 2, 8, 8), (1, 1)), ((1, 2, 6, 8), (9, 3)),
                                               ((2, 2, 17), (5,)), ((1, 2, 5, 6, 7), (2, 3, 4))])
def test_adaptive(device, shape, output):
    rank = len(output)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    windows = pool.adaptive(shape[2:], output)
    y, at = getattr(F, f"adaptive_max_pool{rank}d")(tx, output, return_indices=True)
    g = torch.randn(y.shape)
    y.backward(g)
    got, indices, grad = run(device, x, g.numpy(), windows, max_pool=True)
    assert np.array_equal(got, y.detach().numpy()) and np.array_equal(indices, at.numpy())
    assert np.allclose(grad, tx.grad.numpy(), atol=1e-5)
    tx.grad = None
    y = getattr(F, f"adaptive_avg_pool{rank}d")(tx, output)
    y.backward(g)
    got, _, grad = run(device, x, g.numpy(), windows, max_pool=False)
    assert np.allclose(got, y.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert np.allclose(grad, tx.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_nan_and_infinity(device):
    x = np.random.default_rng(2).standard_normal((1, 1, 6, 40)).astype(np.float32)
    x[0, 0, 2, 5:9], x[0, 0, :2, 20:24], x[0, 0, 4, 30] = np.nan, -np.inf, np.inf
    y, at = F.max_pool2d(torch.from_numpy(x), 2, return_indices=True)
    got, indices, _ = run(device, x, np.ones(y.shape, np.float32), pool.fixed((6, 40), (2, 2), (2, 2), (0, 0), (1, 1)),
                          max_pool=True)
    assert np.array_equal(got, y.numpy(), equal_nan=True) and np.array_equal(indices, at.numpy())


@pytest.mark.parametrize("kind", dtypes.FLOATING, ids=lambda d: d.name)
def test_dtypes(device, kind):
    generator = np.random.default_rng(3)
    x = generator.permutation(2 * 8 * 40).reshape(1, 2, 8, 40) / 4.0 - 100
    x = np.round(x) if kind.itemsize == 2 else x
    stored = encode(x, kind)
    x = decode(stored, kind).astype(np.float64)
    g = encode(generator.integers(-4, 4, (1, 2, 6, 38)), kind)
    windows = pool.fixed((8, 40), (3, 3), (1, 1), (0, 0), (1, 1))
    tx = torch.from_numpy(x).requires_grad_()
    y = F.max_pool2d(tx, 3, 1)
    y.backward(torch.from_numpy(decode(g, kind).astype(np.float64)))
    got, _, grad = run(device, stored, g, windows, kind, max_pool=True)
    assert np.array_equal(got, y.detach().numpy()) and np.array_equal(grad, tx.grad.numpy())
    y = F.avg_pool2d(torch.from_numpy(x), 3, 1)
    got, _, _ = run(device, stored, g, windows, kind, max_pool=False)
    assert np.allclose(got, y.numpy(), rtol=TOLERANCE[kind.code], atol=1e-6)


TOLERANCE = {"f64": 1e-14, "f32": 1e-5, "f16": 1e-3, "bf16": 8e-3}
