"""Every module of the table: text, value, gradients and state equal PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from tests.nn.table import LOSSES, ROWS_OF_MODULES

TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}


def pair(torch, name, arguments):
    """The module of both libraries, with the same weights."""
    ours, theirs = getattr(clgrad.nn, name)(**arguments), getattr(torch.nn, name)(**arguments)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs


def close(ours, theirs):
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **TOLERANCE)


@pytest.mark.filterwarnings("ignore:Using padding=:UserWarning")
@pytest.mark.parametrize(("name", "arguments", "shapes"), ROWS_OF_MODULES,
                         ids=[f"{n}{i}" for i, (n, _, _) in enumerate(ROWS_OF_MODULES)])
def test_module(torch, rng, name, arguments, shapes):
    ours, theirs = pair(torch, name, arguments)
    assert repr(ours) == repr(theirs)
    data = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    inputs = [[lib.tensor(d, requires_grad=True) for d in data] for lib in (clgrad, torch)]
    results = [module(*given) for module, given in zip((ours, theirs), inputs, strict=True)]
    close(*results)
    grad = rng.standard_normal(tuple(results[1].shape)).astype(np.float32)
    for lib, result in zip((clgrad, torch), results, strict=True):
        result.backward(lib.tensor(grad))
    for a, b in zip(*inputs, strict=True):
        close(a.grad, b.grad)
    for (_, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        close(a.grad, b.grad)
    for (n, a), (m, b) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert n == m
        close(a, b)
    close(ours.eval()(inputs[0][0].detach(), *inputs[0][1:]), theirs.eval()(inputs[1][0].detach(), *inputs[1][1:]))


@pytest.mark.parametrize(("name", "arguments", "kind"), LOSSES, ids=[f"{n}{i}" for i, (n, _, _) in enumerate(LOSSES)])
def test_loss(torch, rng, name, arguments, kind):
    scores = rng.standard_normal((6, 4)).astype(np.float32)
    target = {"classes": rng.integers(0, 4, 6), "values": rng.standard_normal((6, 4)).astype(np.float32),
              "probabilities": rng.random((6, 4), np.float32), "targets": rng.random((6, 4), np.float32),
              "signs": np.sign(rng.standard_normal((6, 4))).astype(np.float32),
              "labels": np.array([[1, 3, -1, 0], [0, 1, 2, 3], [-1, 1, 1, 1], [2, -1, 3, -1]] * 2)[:6]}[kind]
    if kind == "probabilities":
        scores = rng.random((6, 4), np.float32)
    found = []
    for lib in (clgrad, torch):
        x = lib.tensor(scores, requires_grad=True)
        loss = getattr(lib.nn, name)(**arguments)(x, lib.tensor(target))
        loss.sum().backward()
        found.append((loss, x.grad))
    close(found[0][0], found[1][0])
    close(found[0][1], found[1][1])


def test_loss_gradient_at_the_ends_of_the_range(torch):
    for lib in (clgrad, torch):
        x = lib.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
        lib.nn.functional.binary_cross_entropy(x, lib.tensor([0.0, 1.0, 1.0, 0.0])).backward()
        assert np.isfinite(x.grad.numpy()).all()
        kept = x.grad.numpy() if lib is clgrad else kept  # noqa: F821
    np.testing.assert_allclose(kept, x.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 5), (6, 3, 3, 3), (4, 6, 5)])
@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"])
def test_initial_values_have_pytorchs_spread(torch, name, shape):
    big = (shape[0] * 20, shape[1] * 20, *shape[2:])
    ours = getattr(clgrad.nn.init, name)(clgrad.empty(big)).numpy()
    theirs = getattr(torch.nn.init, name)(torch.empty(big)).numpy()
    assert abs(ours.mean()) < 3 * theirs.std() / np.sqrt(ours.size) + 1e-4
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.05)


def test_default_initialisation_is_within_its_bounds():
    layer = clgrad.nn.Linear(100, 50)
    assert layer.weight.abs().max().item() <= 0.1 and layer.bias.abs().max().item() <= 0.1
    assert layer.weight.abs().max().item() > 0.09
    conv = clgrad.nn.Conv2d(4, 25, 5)
    assert 0.09 < conv.weight.abs().max().item() <= 0.1


def test_other_initialisers(torch):
    init = clgrad.nn.init
    assert init.eye_(clgrad.empty(2, 3)).tolist() == torch.nn.init.eye_(torch.empty(2, 3)).tolist()
    assert init.dirac_(clgrad.empty(4, 2, 3), 2).tolist() == torch.nn.init.dirac_(torch.empty(4, 2, 3), 2).tolist()
    q = init.orthogonal_(clgrad.empty(5, 3), gain=2).numpy()
    np.testing.assert_allclose(q.T @ q, 4 * np.eye(3), atol=1e-5)
    cut = init.trunc_normal_(clgrad.empty(5000), std=1.0, a=-1.0, b=1.0).numpy()
    assert abs(cut).max() <= 1 and abs(cut.mean()) < 0.05
    assert (init.sparse_(clgrad.empty(10, 4), 0.3).numpy() == 0).sum(0).tolist() == [3] * 4
    for name in ("linear", "tanh", "relu", "selu", "sigmoid", "leaky_relu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize("norm", [2.0, 1.0, float("inf"), 3.0])
def test_clipping(torch, rng, norm):
    grads = [rng.standard_normal(s).astype(np.float32) for s in ((3, 4), (5,))]
    found = []
    for lib in (clgrad, torch):
        params = [lib.nn.Parameter(lib.zeros(*g.shape)) for g in grads]
        for p, g in zip(params, grads, strict=True):
            p.grad = lib.tensor(g)
        total = lib.nn.utils.clip_grad_norm_(params, 1.5, norm)
        lib.nn.utils.clip_grad_value_(params, 0.4)
        found.append([total, *[p.grad for p in params]])
    for a, b in zip(*found, strict=True):
        close(a, b)


def test_containers_print_as_pytorchs(torch):
    texts = []
    for lib in (clgrad, torch):
        nn = lib.nn
        model = nn.ModuleDict({
            "list": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(True)]), "empty": nn.Sequential(),
            "p": nn.ParameterList([nn.Parameter(lib.zeros(2, 3)), nn.Parameter(lib.zeros(1))]),
            "d": nn.ParameterDict({"a": nn.Parameter(lib.zeros(4))})})
        texts.append(repr(model))
    assert texts[0] == texts[1]
