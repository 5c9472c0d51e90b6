"""Hooks of registration, and what modules do with odd requests, as in PyTorch."""

from __future__ import annotations

import inspect

import pytest

import clgrad
from tests.compare import assert_same_error


def test_hooks_see_what_modules_are_given(torch):
    logs = []
    for lib in (clgrad, torch):
        place, log = lib.nn.modules.module, []
        hooks = [getattr(place, f"register_module_{kind}_registration_hook")(
            lambda m, name, value, kind=kind, log=log: log.append((kind, name)))
                 for kind in ("parameter", "buffer", "module")]
        lib.nn.Sequential(lib.nn.BatchNorm1d(2), lib.nn.Linear(2, 2, bias=False)).extra = lib.nn.ReLU()
        for hook in hooks:
            hook.remove()
        lib.nn.Linear(1, 1)
        logs.append(log)
    assert logs[0] == logs[1] and ("module", "extra") in logs[0]


def test_a_hook_replaces_a_parameter():
    with clgrad.nn.modules.module.register_module_parameter_registration_hook(
            lambda m, name, p: clgrad.nn.Parameter(p.detach().double())):
        layer = clgrad.nn.Linear(2, 2)
    assert layer.weight.dtype is layer.bias.dtype is clgrad.float64


@pytest.mark.parametrize("training", [True, False])
def test_normalising_no_samples_gives_gradients(training):
    layer = clgrad.nn.BatchNorm2d(2).train(training)
    layer(clgrad.zeros(0, 2, 3, 3)).sum().backward()
    assert layer.weight.grad.tolist() == [0, 0] and layer.bias.grad.tolist() == [0, 0]


@pytest.mark.parametrize("program", [
    lambda lib: lib.func.functional_call(lib.nn.Linear(1, 1), 3, (lib.ones(1),)),
    lambda lib: lib.nn.ParameterDict({"a": lib.ones(1)})["b"],
    lambda lib: lib.nn.ModuleDict([lib.nn.ReLU()]),
    lambda lib: lib.nn.ModuleDict([[lib.nn.ReLU()]]),
    lambda lib: lib.nn.ParameterDict([("a", lib.ones(1), 3)]),
    lambda lib: lib.nn.LayerNorm(())(lib.ones(())),
    lambda lib: lib.nn.functional.interpolate(lib.ones(1, 1, 4, 4), scale_factor=1e20, mode="bilinear"),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


@pytest.mark.parametrize("name", ["LazyConv1d", "LazyConv3d", "LazyConvTranspose2d"])
def test_lazy_convolutions_have_the_arguments_of_pytorchs(torch, name):
    ours, theirs = (inspect.signature(getattr(lib.nn, name)).parameters for lib in (clgrad, torch))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


def test_weights_of_convolutions_in_a_memory_format():
    model = clgrad.nn.Sequential(clgrad.nn.Conv2d(3, 4, 2), clgrad.nn.Linear(2, 2))
    before = model[0].weight.clone()
    assert clgrad.nn.utils.convert_conv2d_weight_memory_format(model, clgrad.channels_last) is model
    assert model[0].weight.is_contiguous(memory_format=clgrad.channels_last) and model[0].weight.equal(before)
    assert list(model.modules(remove_duplicate=False))
