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
    lambda lib: lib.nn.Linear(1, 1).to("cpu", True),
    lambda lib: lib.nn.Linear(1, 1).to(lib.float32, lib.float64),
    lambda lib: lib.nn.Linear(1, 1).to("cpu", lib.ones(1)),
    lambda lib: lib.nn.Linear(1, 1).to([]),
    lambda lib: lib.nn.Linear(1, 1).to("cpu", copy=True),
    lambda lib: lib.nn.Linear(1, 1).to(lib.ones(1, dtype=lib.int64), non_blocking=True),
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


@pytest.mark.parametrize("arguments", [lambda lib: ((lib.float64, True), {}), lambda lib: ((lib.ones(1).double(), False), {}),
                                       lambda lib: (("cpu", lib.float64, True), {}), lambda lib: ((), {"dtype": lib.float64}),
                                       lambda lib: ((None, lib.float64), {"memory_format": lib.preserve_format})])
def test_what_modules_are_converted_to(torch, arguments):
    for lib in (clgrad, torch):
        args, kwargs = arguments(lib)
        assert lib.nn.Linear(1, 1).to(*args, **kwargs).weight.dtype is lib.float64


def test_changes_of_parameters_in_place_are_counted():
    layer = clgrad.nn.Linear(2, 2)
    product = layer.weight * layer.weight
    layer._apply(lambda t: t.add_(1))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_extra_state_of_which_one_half_is_written(torch):
    for lib in (clgrad, torch):
        reads = type("Reads", (lib.nn.Module,), {"set_extra_state": lambda self, state: None})()
        writes = type("Writes", (lib.nn.Module,), {"get_extra_state": lambda self: 5})()
        with pytest.raises(RuntimeError, match="Missing key"):
            reads.load_state_dict(reads.state_dict())
        with pytest.raises(RuntimeError, match="Unexpected key"):
            writes.load_state_dict(writes.state_dict())


def test_loading_into_meta_warns():
    layer = clgrad.nn.Linear(3, 5, device="meta")
    with pytest.warns(UserWarning, match="for weight: copying from a non-meta"):
        layer.load_state_dict({"weight": clgrad.ones(5, 3), "bias": layer.bias})
