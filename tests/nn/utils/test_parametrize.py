"""Parametrized tensors, against PyTorch's."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import clgrad
from clgrad.nn.utils import parametrizations, parametrize


def in_both(torch, program):
    """What a program returns with clgrad and with PyTorch."""
    return program(clgrad), program(torch)


def layer_of(lib, out_features=3, in_features=2):
    layer = lib.nn.Linear(in_features, out_features)
    with lib.no_grad():
        layer.weight.copy_((lib.arange(out_features * in_features) * 0.5 - 1).reshape(out_features, in_features))
        layer.bias.fill_(0.25)
    return layer


def symmetric(lib):
    class Symmetric(lib.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, x):
            return x.triu()
    return Symmetric()


def doubled(lib):
    class Doubled(lib.nn.Module):
        def forward(self, x):
            return x * 2
    return Doubled()


def rank_one(lib):
    class RankOne(lib.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) * y

        def right_inverse(self, z):
            return z[:, 0].clone(), z[0].clone()
    return RankOne()


def test_one_tensor(torch):
    def program(lib):
        P = lib.nn.utils.parametrize
        layer = P.register_parametrization(layer_of(lib, 2), "weight", symmetric(lib))
        found = [repr(layer), list(layer.state_dict()), [n for n, _ in layer.named_parameters()],
                 P.is_parametrized(layer), P.is_parametrized(layer, "bias"), layer.weight.tolist()]
        layer(lib.ones(1, 2)).sum().backward()
        found.append(layer.parametrizations.weight.original.grad.tolist())
        with lib.no_grad():
            layer.weight = lib.tensor([[1.0, 2.0], [2.0, 5.0]])
        found += [layer.weight.tolist(), layer.parametrizations.weight.original.tolist()]
        P.register_parametrization(layer, "weight", doubled(lib))
        P.register_parametrization(layer, "bias", doubled(lib))
        found += [layer.weight.tolist(), layer.bias.tolist(), repr(layer), list(layer.state_dict()),
                  P.type_before_parametrizations(layer).__name__, type(layer).__name__]
        with pytest.raises(RuntimeError, match="does not implement"):
            layer.weight = lib.eye(2)
        P.remove_parametrizations(layer, "bias", leave_parametrized=False)
        P.remove_parametrizations(layer, "weight")
        found += [layer.weight.tolist(), layer.bias.tolist(), repr(layer), list(layer.state_dict()),
                  type(layer) is lib.nn.Linear, isinstance(layer.weight, lib.nn.Parameter)]
        return found
    ours, theirs = in_both(torch, program)
    assert ours == theirs


def test_several_tensors(torch):
    def program(lib):
        P = lib.nn.utils.parametrize
        layer = P.register_parametrization(layer_of(lib), "weight", rank_one(lib))
        found = [list(layer.state_dict()), layer.weight.tolist()]
        layer(lib.ones(1, 2)).sum().backward()
        listed = layer.parametrizations.weight
        found += [listed.original0.grad.tolist(), listed.original1.grad.tolist(), listed.ntensors, listed.is_tensor]
        layer.weight = lib.ones(3, 2)
        found.append(layer.weight.tolist())
        with pytest.raises(ValueError, match="leave_parametrized=False"):
            P.remove_parametrizations(layer, "weight", leave_parametrized=False)
        P.remove_parametrizations(layer, "weight")
        found += [layer.weight.tolist(), list(layer.state_dict()), layer.weight.requires_grad]
        return found
    ours, theirs = in_both(torch, program)
    assert ours == theirs


def test_a_buffer(torch):
    def program(lib):
        module = lib.nn.Module()
        module.register_buffer("scale", lib.tensor([1.0, 2.0]))
        lib.nn.utils.parametrize.register_parametrization(module, "scale", doubled(lib))
        found = [[n for n, _ in module.named_buffers()], module.scale.tolist()]
        lib.nn.utils.parametrize.remove_parametrizations(module, "scale")
        return [*found, [n for n, _ in module.named_buffers()], module.scale.tolist()]
    ours, theirs = in_both(torch, program)
    assert ours == theirs


def test_copies_and_caches():
    layer = parametrize.register_parametrization(layer_of(clgrad, 2), "weight", symmetric(clgrad))
    made = copy.deepcopy(layer)
    with clgrad.no_grad():
        made.parametrizations.weight.original.zero_()
    assert made.weight.tolist() == [[0, 0], [0, 0]]
    assert layer.weight.abs().sum().item() > 0
    assert layer.weight is not layer.weight
    with parametrize.cached():
        assert layer.weight is layer.weight
    with pytest.raises(RuntimeError, match="state_dict"):
        clgrad.save(layer, "never")
    other = parametrize.transfer_parametrizations_and_params(layer, clgrad.nn.Linear(2, 2))
    assert other.parametrizations.weight.original is layer.parametrizations.weight.original
    other.load_state_dict(made.state_dict())
    assert other.weight.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("cause", ["name", "dtype", "shape", "inverse", "number"])
def test_what_is_refused(torch, cause):
    def program(lib):
        class Changed(lib.nn.Module):
            def forward(self, x):
                return {"dtype": lambda: x.double(), "shape": lambda: x[:1]}.get(cause, lambda: x)()

            def right_inverse(self, x):
                return {"inverse": 1, "number": [1]}.get(cause, x)
        layer = layer_of(lib)
        with pytest.raises(ValueError):
            lib.nn.utils.parametrize.register_parametrization(layer, "w" if cause == "name" else "weight", Changed())
        return [type(layer) is lib.nn.Linear, list(layer.state_dict())]
    ours, theirs = in_both(torch, program)
    assert ours == theirs


def test_unsafe_parametrizations_may_change_the_shape():
    layer = clgrad.nn.Linear(2, 3)

    class Cut(clgrad.nn.Module):
        def forward(self, x):
            return x[:2]
    parametrize.register_parametrization(layer, "weight", Cut(), unsafe=True)
    assert layer.weight.shape == (2, 2)
    with pytest.raises(ValueError, match="does not have"):
        parametrize.remove_parametrizations(layer, "bias")


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(torch, dim):
    def program(lib):
        layer = lib.nn.utils.parametrizations.weight_norm(layer_of(lib), dim=dim)
        layer(lib.tensor([[1.0, 2.0]])).square().sum().backward()
        listed = layer.parametrizations.weight
        arrays = [layer.weight, listed.original0, listed.original1, listed.original0.grad, listed.original1.grad]
        return repr(layer), list(layer.state_dict()), [a.detach().numpy() for a in arrays]
    ours, theirs = in_both(torch, program)
    assert ours[:2] == theirs[:2]
    for a, b in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_weight_norm_takes_the_older_names():
    old = clgrad.nn.utils.weight_norm(layer_of(clgrad))
    new = parametrizations.weight_norm(clgrad.nn.Linear(2, 3))
    assert new.load_state_dict(old.state_dict()) == ([], [])
    np.testing.assert_allclose(new.weight.detach().numpy(), old.weight.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["Linear", "Conv2d", "ConvTranspose2d"])
def test_spectral_norm(torch, kind):
    def program(lib):
        layer = getattr(lib.nn, kind)(*((4, 3) if kind == "Linear" else (4, 3, 2)))
        with lib.no_grad():
            layer.weight.copy_((lib.arange(layer.weight.numel()) * 0.7).sin().reshape(layer.weight.shape))
        lib.nn.utils.parametrizations.spectral_norm(layer)
        state = layer.state_dict()
        for key in ("_u", "_v"):
            vector = state[f"parametrizations.weight.0.{key}"]
            vector.copy_(lib.linspace(0.1, 1, vector.numel()))
        layer.weight.square().sum().backward()
        first = layer.weight.detach().numpy()
        layer.eval()
        same = bool((layer.weight == layer.weight).all())
        arrays = [first, layer.weight.detach().numpy(), layer.parametrizations.weight.original.grad.numpy(),
                  *(value.numpy() for value in state.values())]
        return list(state), same, arrays
    ours, theirs = in_both(torch, program)
    assert ours[:2] == theirs[:2]
    for name, a, b in zip("12345678", ours[2], theirs[2], strict=False):
        if name != "4":  # the bias is random
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_spectral_norm_of_a_vector_and_its_errors():
    layer = parametrizations.spectral_norm(layer_of(clgrad), "bias")
    assert layer.bias.square().sum().item() == pytest.approx(1)
    with pytest.raises(ValueError, match="no parameter"):
        parametrizations.spectral_norm(layer, "nothing")
    with pytest.raises(ValueError, match="n_power_iterations"):
        parametrizations.spectral_norm(layer, n_power_iterations=0)
    with pytest.raises(IndexError, match="out of range"):
        parametrizations.spectral_norm(layer, dim=2)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("use_trivialization", [True, False])
@pytest.mark.parametrize("kind", [np.float64, np.complex128])
def test_orthogonal(torch, shape, orthogonal_map, use_trivialization, kind):
    start = np.random.default_rng(3).normal(size=shape).astype(kind)
    if kind is np.complex128:
        start += 1j * np.random.default_rng(5).normal(size=shape)
        if orthogonal_map == "householder":
            with pytest.raises(ValueError, match="does not support complex tensors"):
                parametrizations.orthogonal(clgrad.nn.Linear(2, 2, dtype=clgrad.complex64), "weight", orthogonal_map)
            return

    def program(lib):
        module = lib.nn.Module()
        module.weight = lib.nn.Parameter(lib.tensor(start))
        lib.nn.utils.parametrizations.orthogonal(module, "weight", orthogonal_map,
                                                 use_trivialization=use_trivialization)
        first = module.weight.detach().numpy()
        if use_trivialization:  # the base is partly random
            base = np.linalg.qr(np.random.default_rng(4).normal(size=module.parametrizations.weight[0].base.shape))[0]
            module.parametrizations.weight[0].base.copy_(lib.tensor(base))
        original = module.parametrizations.weight.original
        with lib.no_grad():
            original.add_(lib.tensor(np.cos(np.arange(start.size)).reshape(shape) * 0.3).tril(-1))
        (module.weight * lib.tensor(start)).sum().abs().backward()
        return list(module.state_dict()), [first, module.weight.detach().numpy(), original.grad.numpy()]
    ours, theirs = in_both(torch, program)
    assert ours[0] == theirs[0]
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    wide = shape[-2] < shape[-1]
    q = ours[1][1] if not wide else np.swapaxes(ours[1][1], -1, -2)
    np.testing.assert_allclose(np.swapaxes(q, -1, -2).conj() @ q, np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2],
                               q.shape[-1], q.shape[-1])), atol=1e-12)


def test_orthogonal_takes_assignments():
    layer = parametrizations.orthogonal(layer_of(clgrad, 3, 3))
    value = clgrad.tensor(np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0].astype(np.float32))
    layer.weight = value
    np.testing.assert_allclose(layer.weight.detach().numpy(), value.numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="shape"):
        layer.weight = clgrad.ones(2, 2)
    with pytest.raises(ValueError, match="orthogonal_map"):
        parametrizations.orthogonal(layer_of(clgrad), orthogonal_map="other")
    with pytest.raises(ValueError, match="dimensions"):
        parametrizations.orthogonal(layer_of(clgrad), "bias")
    fixed = parametrizations.orthogonal(layer_of(clgrad), orthogonal_map="cayley", use_trivialization=False)
    with pytest.raises(NotImplementedError):
        fixed.weight = clgrad.ones(3, 2)
