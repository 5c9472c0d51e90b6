"""Hooks of all modules, against PyTorch's."""

from __future__ import annotations

import pytest

import clgrad
from clgrad.nn.modules.module import register_module_forward_hook


def test_hooks_of_every_module(torch):
    def program(lib):
        M, seen = lib.nn.modules.module, []
        layer = lib.nn.Sequential(lib.nn.Identity(), lib.nn.ReLU())
        layer[1].register_forward_hook(lambda m, a, out: seen.append("own"))
        handles = [
            M.register_module_forward_pre_hook(lambda m, a: seen.append(("pre", type(m).__name__)) or (a[0] * 2,)),
            M.register_module_forward_hook(lambda m, a, out: seen.append(("post", type(m).__name__)) or out + 1),
            M.register_module_forward_hook(lambda m, a, k, out: seen.append(("kwargs", k)), with_kwargs=True),
            M.register_module_full_backward_pre_hook(lambda m, g: seen.append(("back", type(m).__name__, g[0].tolist()))),
            M.register_module_full_backward_hook(
                lambda m, gi, go: seen.append((type(m).__name__, gi[0].tolist(), go[0].tolist())))]
        x = lib.tensor([1.0, -2.0], requires_grad=True)
        try:
            y = layer(x)
            y.sum().backward()
        finally:
            for handle in handles:
                handle.remove()
        return [seen, y.tolist(), x.grad.tolist(), layer(x).tolist()]
    assert program(clgrad) == program(torch)


def test_always_called():
    seen = []

    class Broken(clgrad.nn.Module):
        def forward(self, x):
            raise ValueError("broken")
    with register_module_forward_hook(lambda m, a, out: seen.append(out), always_call=True), pytest.raises(ValueError):
        Broken()(clgrad.ones(1))
    assert seen == [None]


def test_the_hooks_are_in_the_dict_as_they_are():
    layer = clgrad.nn.ReLU()

    def hook(module, args, kwargs):
        return None
    with layer.register_forward_pre_hook(hook, with_kwargs=True):
        assert list(layer._forward_pre_hooks.values()) == [hook]
        layer(clgrad.ones(1))


def test_hooks_that_are_called_in_any_case(torch):
    def program(lib):
        seen = []

        def fails(*args):
            raise ValueError("hook")
        layer = lib.nn.Linear(2, 2)
        layer.register_forward_hook(lambda m, a, out: seen.append("first"), always_call=True)
        layer.register_forward_hook(fails)
        layer.register_forward_hook(lambda m, a, out: seen.append("plain"))
        layer.register_forward_hook(lambda m, a, k, out: seen.append(out is not None), always_call=True, with_kwargs=True)
        layer.register_forward_hook(fails, always_call=True)
        with pytest.raises(ValueError, match="hook"), pytest.warns(UserWarning, match="silenced"):
            layer(lib.ones(1, 2))
        with pytest.raises(RuntimeError), pytest.warns(UserWarning, match="silenced"):
            layer(lib.ones(1, 3))
        return seen
    assert program(clgrad) == program(torch)
