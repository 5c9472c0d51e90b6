"""One small test of each family of kernels, quick enough for every driver: what the device matrix runs in CI."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad as torch
import clgrad.nn.functional as F

TOLERANCE = dict(rtol=1e-4, atol=1e-5)


def close(result: torch.Tensor, expected: np.ndarray, **tolerance: float) -> None:
    np.testing.assert_allclose(np.array(result.tolist()), expected, **(tolerance or TOLERANCE))


def softmax(x: np.ndarray) -> np.ndarray:
    shares = np.exp(x - x.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def correlate(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """conv2d of (N, C, H, W) with (O, C, K, L), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))
    return np.einsum("nchwkl,ockl->nohw", windows, w)


def weight_gradient(x: np.ndarray, g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, shape[2:], (2, 3))
    return np.einsum("nchwkl,nohw->ockl", windows, g)


def test_pointwise(rng):
    x, y = rng.normal(size=(3, 37)).astype("f4"), rng.normal(size=(37,)).astype("f4")
    close(torch.tensor(x).exp() * torch.tensor(y) - 1, np.exp(x) * y - 1)
    close(torch.tensor(x).t().tanh(), np.tanh(x.T))
    assert (torch.tensor([5, -7, 9]) // 2).tolist() == [2, -4, 4]
    assert torch.tensor([1.0, float("nan")]).relu().isnan().tolist() == [False, True]


def test_sixteen_bit_floats(rng):
    x = rng.normal(size=70).astype("f4")
    for dtype, unit in ((torch.float16, 1e-3), (torch.bfloat16, 8e-3)):
        close((torch.tensor(x).to(dtype) + 1).float(), x + 1, rtol=unit, atol=unit)
        y = torch.arange(40).to(dtype)  # windows begin at odd addresses, too
        assert F.max_pool1d(y[None], 3, 1)[0].tolist() == list(range(2, 40))


def test_double_precision_is_right_or_refused(rng):
    x = rng.normal(size=(5, 40))
    if torch.device("cpu").compute.limits.fp64:
        close((torch.tensor(x) * 3).sum(1), (x * 3).sum(1), rtol=1e-13, atol=1e-13)
    else:
        with pytest.raises(RuntimeError, match="float64"):
            torch.tensor(x) * 3


@pytest.mark.parametrize("shape", [(1000,), (7, 300), (300, 7), (100000,)])
def test_reductions(rng, shape):
    x = rng.normal(size=shape).astype("f4")
    tensor = torch.tensor(x)
    close(tensor.sum(0), x.astype("f8").sum(0), rtol=1e-4, atol=1e-3)
    close(tensor.var(0), x.astype("f8").var(0, ddof=1))
    assert np.array(tensor.argmax(0).tolist()).tolist() == x.argmax(0).tolist()
    close(tensor.logsumexp(0), np.log(np.exp(x.astype("f8")).sum(0)))
    close(tensor.cumsum(0), x.astype("f8").cumsum(0), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (5, 7, 3), (33, 65, 40), (1, 300, 70), (130, 140, 150)])
def test_products(rng, m, n, k):
    a, b = rng.normal(size=(m, k)).astype("f4"), rng.normal(size=(k, n)).astype("f4")
    close(torch.tensor(a) @ torch.tensor(b), a.astype("f8") @ b, rtol=1e-4, atol=1e-4)
    close(torch.tensor(b.T.copy()) @ torch.tensor(a.T.copy()), (a.astype("f8") @ b).T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("x_shape", "w_shape"), [((2, 3, 9, 11), (5, 3, 3, 2)), ((2, 16, 18, 18), (16, 16, 3, 3))])
def test_convolution_and_its_gradients(rng, x_shape, w_shape):
    x, w = rng.normal(size=x_shape).astype("f4"), rng.normal(size=w_shape).astype("f4")
    images, weight = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    result = F.conv2d(images, weight)
    close(result, correlate(x, w), rtol=1e-4, atol=1e-4)
    result.sum().backward()
    ones = np.ones(result.shape, "f4")
    close(weight.grad, weight_gradient(x, ones, w.shape), rtol=1e-4, atol=1e-3)
    padded = np.pad(ones, ((0, 0), (0, 0), *((size - 1, size - 1) for size in w_shape[2:])))
    close(images.grad, correlate(padded, w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]), rtol=1e-4, atol=1e-3)


def test_a_sparse_matrix_times_a_dense_one(rng):
    a, x = rng.normal(size=(7, 5)).astype("f4"), rng.normal(size=(5, 12)).astype("f4")
    a[rng.random(a.shape) < 0.7] = 0
    matrix, table = torch.tensor(a, requires_grad=True), torch.tensor(x, requires_grad=True)
    result = matrix.to_sparse() @ table
    close(result, a @ x, rtol=1e-5, atol=1e-5)
    result.sum().backward()
    close(table.grad, a.T @ np.ones(result.shape, "f4"), rtol=1e-5, atol=1e-5)
    close(matrix.grad, (a != 0) * (np.ones(result.shape, "f4") @ x.T), rtol=1e-5, atol=1e-5)


def test_pooling(rng):
    x = rng.normal(size=(2, 3, 8, 6)).astype("f4")
    blocks = x.reshape(2, 3, 4, 2, 3, 2)
    close(F.max_pool2d(torch.tensor(x), 2), blocks.max((3, 5)))
    close(F.avg_pool2d(torch.tensor(x), 2), blocks.mean((3, 5)))


@pytest.mark.parametrize("classes", [5, 300])
def test_softmax_and_cross_entropy(rng, classes):
    x, target = rng.normal(size=(6, classes)).astype("f4"), rng.integers(0, classes, 6)
    close(torch.tensor(x).softmax(1), softmax(x))
    scores = torch.tensor(x, requires_grad=True)
    loss = F.cross_entropy(scores, torch.tensor(target))
    loss.backward()
    close(loss, -np.log(softmax(x)[np.arange(6), target]).mean())
    close(scores.grad, (softmax(x) - np.eye(classes)[target]) / 6)


def test_normalisation(rng):
    x = rng.normal(size=(4, 6, 5)).astype("f4")
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    close(F.layer_norm(torch.tensor(x), (5,)), normal)
    over = (x - x.mean((0, 2), keepdims=True)) / np.sqrt(x.var((0, 2), keepdims=True) + 1e-5)
    close(F.batch_norm(torch.tensor(x), None, None, training=True), over)


def test_indexing(rng):
    x, where = rng.normal(size=(9, 4)).astype("f4"), rng.integers(0, 9, 20)
    close(torch.tensor(x)[torch.tensor(where)], x[where])
    table = torch.tensor(x, requires_grad=True)
    F.embedding(torch.tensor(where), table).sum().backward()
    close(table.grad, np.repeat(np.bincount(where, minlength=9)[:, None], 4, 1))
    close(torch.tensor(x)[torch.tensor(x > 0)], x[x > 0])


def test_sorting(rng):
    x = rng.normal(size=(3, 1500)).astype("f4")
    values, places = torch.tensor(x).sort(1)
    close(values, np.sort(x, 1))
    assert np.array(places.tolist()).tolist() == np.argsort(x, 1, kind="stable").tolist()
    close(torch.tensor(x).topk(5, 1).values, -np.sort(-x, 1)[:, :5])


def test_attention(rng):
    q, k, v = (rng.normal(size=(2, 7, 8)).astype("f4") for _ in range(3))
    expected = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(8)) @ v
    close(F.scaled_dot_product_attention(*(torch.tensor(t) for t in (q, k, v))), expected)


def test_random_numbers_are_the_same_everywhere():
    torch.manual_seed(5)
    first = torch.rand(5)
    torch.manual_seed(5)
    assert torch.rand(5).tolist() == first.tolist()
    assert 0.45 < torch.rand(2000).mean().item() < 0.55
    assert abs(torch.randn(2000).mean().item()) < 0.1


@pytest.mark.parametrize("make", [torch.nn.LSTM, torch.nn.GRU])
def test_a_recurrent_network_learns(make):
    layer, head = make(3, 8, batch_first=True), torch.nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], 0.02)
    x = torch.randn(4, 5, 3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = F.mse_loss(head(layer(x)[0])[:, -1, 0], x.sum((1, 2)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def pairs_of(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def test_complex_numbers(rng):
    a, b = pairs_of(rng, 9, 37), pairs_of(rng, 9, 37)
    x, y = torch.tensor(a, requires_grad=True), torch.tensor(b)
    for found, expected in ((x * y / (y + 2), a * b / (b + 2)), (x.exp(), np.exp(a)),
                            (x.sqrt() + x.abs(), np.sqrt(a) + np.abs(a)), (x[1:, ::2] - y[0, 0], a[1:, ::2] - b[0, 0]),
                            (x @ y.mH, a @ b.conj().T), (x.sum(1), a.sum(1))):
        close(found, expected, rtol=1e-4, atol=1e-4)
    (x * y).abs().square().sum().backward()
    close(x.grad, 2 * a * np.abs(b) ** 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [16, 60, 97])
def test_fourier_transforms(rng, n):
    a, b = pairs_of(rng, 5, n), rng.normal(size=(5, n)).astype("f4")
    close(torch.fft.fft(torch.tensor(a)), np.fft.fft(a), rtol=1e-4, atol=1e-3)
    close(torch.fft.irfft(torch.fft.rfft(torch.tensor(b)), n), b, rtol=1e-4, atol=1e-4)


def test_an_index_that_is_out_of_range_is_an_error():
    with pytest.raises(IndexError):
        (torch.ones(4)[torch.tensor([1, 9]) + 0] + 1).tolist()
