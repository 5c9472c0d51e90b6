"""Pruned parameters, against PyTorch's."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

import clgrad
from clgrad.nn.utils import prune


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    """PyTorch's package does not import this module by itself."""
    if importlib.util.find_spec("torch") is not None:
        importlib.import_module("torch.nn.utils.prune")


def layer_of(lib, shape=(4, 3)):
    layer = lib.nn.Linear(shape[1], shape[0])
    with lib.no_grad():
        layer.weight.copy_(((lib.arange(layer.weight.numel()) * 5 % 12 - 6.25) * (1 + shape[0] / 16)).reshape(shape))
        layer.bias.copy_(lib.arange(shape[0]) * 3 - 4.125)
    return layer


METHODS = {
    "identity": lambda lib, layer: lib.identity(layer, "weight"),
    "l1": lambda lib, layer: lib.l1_unstructured(layer, "weight", 0.4),
    "twice": lambda lib, layer: lib.l1_unstructured(lib.l1_unstructured(layer, "weight", 3), "weight", amount=0.5),
    "ln": lambda lib, layer: lib.ln_structured(layer, "weight", amount=2, n=2, dim=0),
    "ln of one column": lambda lib, layer: lib.ln_structured(layer, "weight", 0.3, n=float("inf"), dim=-1),
    "both": lambda lib, layer: lib.l1_unstructured(lib.ln_structured(layer, "weight", 1, n=1, dim=0), "weight", 0.5),
    "structured later": lambda lib, layer: lib.ln_structured(
        lib.ln_structured(layer, "weight", 1, n=1, dim=0), "weight", 1, n=1, dim=0),
    "nothing": lambda lib, layer: lib.ln_structured(layer, "weight", 0, n=2, dim=0),
}


@pytest.mark.parametrize("method", METHODS)
def test_methods(torch, method):
    def program(lib):
        layer = METHODS[method](lib.nn.utils.prune, layer_of(lib))
        layer(lib.ones(2, 3)).sum().backward()
        hook = next(iter(layer._forward_pre_hooks.values()))
        found = [list(layer.state_dict()), layer.weight_mask.tolist(), layer.weight.tolist(), type(hook).__name__,
                 layer.weight_orig.grad.tolist(), lib.nn.utils.prune.is_pruned(lib.nn.Sequential(layer))]
        lib.nn.utils.prune.remove(layer, "weight")
        return [*found, list(layer.state_dict()), layer.weight.tolist(), lib.nn.utils.prune.is_pruned(layer),
                isinstance(layer.weight, lib.nn.Parameter)]
    assert program(clgrad) == program(torch)


def test_masks_and_scores(torch):
    def program(lib):
        P = lib.nn.utils.prune
        layer = P.custom_from_mask(layer_of(lib), "bias", lib.tensor([0, 1, 0, 1]))
        P.l1_unstructured(layer, "weight", 2, importance_scores=lib.arange(12.0).reshape(4, 3))
        method = P.L1Unstructured(amount=1)
        t = lib.tensor([[3.0, 1.0], [-0.5, 2.0]])
        return [layer.bias.tolist(), layer.weight_mask.tolist(), method.prune(t).tolist(),
                method.prune(t, importance_scores=t.flip(0)).tolist()]
    assert program(clgrad) == program(torch)


def test_several_parameters_at_once(torch):
    def program(lib):
        P, first, second = lib.nn.utils.prune, layer_of(lib), layer_of(lib, (2, 4))
        places = ((first, "weight"), (second, "weight"), (first, "bias"))
        for _ in range(2):
            P.global_unstructured(places, pruning_method=P.L1Unstructured, amount=7)
        with pytest.raises(TypeError):
            P.global_unstructured(places, pruning_method=P.LnStructured, amount=1, n=1)
        return [getattr(layer, name + "_mask").tolist() for layer, name in places]
    assert program(clgrad) == program(torch)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_random_slices(dim):
    layer = prune.random_structured(layer_of(clgrad), "weight", amount=1, dim=dim)
    kept = layer.weight_mask.sum(1 if dim == 0 else 0)
    assert sorted(set(kept.tolist())) == [0.0, 3.0 if dim == 0 else 4.0]
    assert (kept == 0).sum().item() == 1


def test_random_elements():
    layer = prune.random_unstructured(layer_of(clgrad), "weight", 0.5)
    assert layer.weight_mask.sum().item() == 6
    prune.random_unstructured(layer, "weight", 0.5)
    assert layer.weight_mask.sum().item() == 3
    hook = next(iter(layer._forward_pre_hooks.values()))
    assert isinstance(hook, prune.PruningContainer) and len(hook) == 2
    assert [type(m) for m in hook] == [prune.RandomUnstructured] * 2


@pytest.mark.parametrize(("error", "call"), [
    (TypeError, lambda P, m: P.l1_unstructured(m, "weight", "much")),
    (ValueError, lambda P, m: P.l1_unstructured(m, "weight", 1.5)),
    (ValueError, lambda P, m: P.l1_unstructured(m, "weight", -1)),
    (ValueError, lambda P, m: P.l1_unstructured(m, "weight", 13)),
    (ValueError, lambda P, m: P.ln_structured(m, "bias", 1, 2, 0)),
    (IndexError, lambda P, m: P.ln_structured(m, "weight", 1, 2, 2)),
    (AssertionError, lambda P, m: P.l1_unstructured(m, "weight", 1, m.bias)),
    (ValueError, lambda P, m: P.remove(m, "weight")),
    (TypeError, lambda P, m: P.global_unstructured(1, None)),
    (AttributeError, lambda P, m: P.identity(m, "nothing")),
])
def test_errors_leave_the_module_as_it_was(torch, error, call):
    for lib in (torch, clgrad):
        layer = layer_of(lib)
        with pytest.raises(error):
            call(lib.nn.utils.prune, layer)
        assert sorted(layer.state_dict()) == ["bias", "weight"]
        assert not lib.nn.utils.prune.is_pruned(layer)


def test_norms_of_lazy_modules_wait_for_a_shape():
    for function in (clgrad.nn.utils.weight_norm, clgrad.nn.utils.spectral_norm):
        with pytest.raises(ValueError, match="uninitialized parameters"):
            function(clgrad.nn.LazyLinear(3))


def test_nothing_can_be_packed_out_of_nothing():
    with pytest.raises(RuntimeError, match="empty tensor"):
        clgrad.nn.utils.rnn.pack_padded_sequence(clgrad.zeros(0, 0), [])
