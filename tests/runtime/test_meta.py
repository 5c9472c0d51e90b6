"""Tensors of the device ``meta`` have shapes and dtypes, and no memory."""

from __future__ import annotations

import pytest

import clgrad
from clgrad import nn

META = clgrad.device("meta")

MODULES = [
    (lambda: nn.Linear(3, 4), (2, 3)), (lambda: nn.Conv2d(3, 4, 3, padding=1), (1, 3, 8, 8)),
    (lambda: nn.ConvTranspose1d(3, 4, 3), (1, 3, 8)), (lambda: nn.BatchNorm2d(3), (2, 3, 4, 4)),
    (lambda: nn.LayerNorm(4), (2, 4)), (lambda: nn.GroupNorm(2, 4), (2, 4, 3)), (lambda: nn.LSTM(3, 4, 2), (5, 2, 3)),
    (lambda: nn.GRU(3, 4), (5, 2, 3)), (lambda: nn.MaxPool2d(2), (1, 2, 4, 4)),
    (lambda: nn.AdaptiveAvgPool2d(1), (1, 2, 4, 4)),
    (lambda: nn.TransformerEncoderLayer(4, 2, 8), (3, 2, 4)), (lambda: nn.Dropout(), (3, 2)),
    (lambda: nn.Softmax(-1), (3, 2)), (lambda: nn.PReLU(), (3, 2)),
    (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 4, 4)),
]


@pytest.mark.parametrize(("make", "shape"), MODULES, ids=range(len(MODULES)))
def test_modules_find_out_shapes(make, shape):
    with META:
        module, x = make(), clgrad.randn(*shape, requires_grad=True)
    results = [m(v) for m, v in ((module, x), (make(), clgrad.randn(*shape)))]
    found, expected = (r[0] if isinstance(r, tuple) else r for r in results)
    assert found.is_meta and found.shape == expected.shape and found.dtype is expected.dtype
    assert found.stride() == expected.stride()
    found.sum().backward()
    assert x.grad.is_meta and x.grad.shape == x.shape
    assert all(p.grad.is_meta and p.grad.shape == p.shape for p in module.parameters())


def test_operators():
    x = clgrad.empty(3, 4, device="meta")
    assert repr(x) == "tensor(..., device='meta', size=(3, 4))"
    assert (x @ x.T + clgrad.zeros(3, 1, device=META)).sum(0).shape == (3,)
    assert x.t()[1:, ::2].reshape(-1).shape == (6,) and x.to(clgrad.float16).dtype is clgrad.float16
    assert clgrad.cat([x, x]).shape == (6, 4) and x.topk(2).indices.dtype is clgrad.int64
    assert clgrad.tensor([1, 2], device="meta").dtype is clgrad.int64 and clgrad.ones(2).to("meta").shape == (2,)
    assert x.element_size() == 4 and x.data_ptr() == 0 and x.device == META and not clgrad.ones(1).is_meta
    assert nn.functional.embedding(clgrad.zeros(2, dtype=clgrad.int64, device=META), x).shape == (2, 4)
    x.add_(1).normal_()[0] = 3


def test_memory_is_not_taken():
    before = clgrad.accelerator.memory_allocated()
    with META:
        layer = nn.Linear(1 << 20, 1 << 18)
    assert layer.weight.numel() == 1 << 38 and layer(clgrad.empty(2, 1 << 20, device=META)).shape == (2, 1 << 18)
    assert clgrad.accelerator.memory_allocated() == before


@pytest.mark.parametrize("look", [
    lambda x: x.item(), lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x.cpu(), lambda x: x.nonzero(), bool,
    lambda x: nn.Parameter(x).to("cpu")])
def test_there_are_no_values(look):
    with pytest.raises((RuntimeError, TypeError)):
        look(clgrad.ones(1, device="meta"))


def test_random_numbers_are_not_used_up():
    clgrad.manual_seed(4)
    expected = clgrad.rand(3)
    clgrad.manual_seed(4)
    nn.Linear(3, 3, device="meta")
    assert clgrad.rand(3).equal(expected)


def test_models_are_given_memory_later():
    with META:
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert all(t.is_meta for t in model.state_dict().values())
    with pytest.raises(NotImplementedError):
        model.to("cpu")
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    x = clgrad.randn(5, 3)
    model.load_state_dict(other.state_dict(), assign=True)
    clgrad.testing.assert_close(model(x), other(x))
    empty = nn.Linear(3, 4, device="meta").to_empty(device="cpu")
    empty.load_state_dict(other[0].state_dict())
    clgrad.testing.assert_close(empty(x), other[0](x))
    assert nn.utils.skip_init(nn.Linear, 3, 4).weight.device.type == "cpu"
    stateless = nn.Linear(3, 4).to("meta")
    clgrad.testing.assert_close(clgrad.func.functional_call(stateless, other[0].state_dict(), (x,)), other[0](x))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_images_are_resized_without_tables(mode):
    x = clgrad.ones(1, 2, 10, 10, device="meta", requires_grad=True)
    y = clgrad.nn.functional.interpolate(x, size=(10, 10**8), mode=mode)
    assert y.shape == (1, 2, 10, 10**8) and y.is_meta
    assert clgrad.autograd.grad(y.sum(), x)[0].shape == x.shape


def test_there_is_one_meta_device(torch):
    for t in (clgrad, torch):
        x = t.empty(2, device="meta:1")
        assert x.device == t.device("meta") == x.to(t.device("meta", 3)).device != t.device("meta", 1)
        with pytest.raises(RuntimeError, match="Expected one of cpu, .*meta.* device type"):
            t.device("nowhere")
