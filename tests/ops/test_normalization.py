"""Norms against PyTorch, and their kernel's gradients against the composition's."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, assert_same_outcome, pair

NORMS = {
    "layer": ((3, 4, 10), (10,), lambda F, x, w, b: F.layer_norm(x, (10,), w, b)),
    "layer of two": ((3, 4, 5), (4, 5), lambda F, x, w, b: F.layer_norm(x, (4, 5), w, b, 0.1)),
    "layer without": ((2, 19), (19,), lambda F, x, w, b: F.layer_norm(x, (19,)) + w * b),
    "layer without bias": ((2, 19), (19,), lambda F, x, w, b: F.layer_norm(x, (19,), w) + b),
    "rms": ((3, 17), (17,), lambda F, x, w, b: F.rms_norm(x, (17,), w, 1e-3) + b),
    "group": ((2, 6, 3, 5), (6,), lambda F, x, w, b: F.group_norm(x, 3, w, b)),
    "group of lines": ((2, 4), (4,), lambda F, x, w, b: F.group_norm(x, 2, w, b)),
    "batch": ((3, 4, 5, 2), (4,), lambda F, x, w, b: F.batch_norm(x, None, None, w, b, True)),
    "batch of rows": ((5, 3), (3,), lambda F, x, w, b: F.batch_norm(x, None, None, w, b, True, eps=0.2)),
    "instance": ((3, 4, 11), (4,), lambda F, x, w, b: F.instance_norm(x, None, None, w, b)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NORMS)
def test_values_and_gradients(torch, rng, name, dtype):
    shape, size, function = NORMS[name]
    ours, theirs = zip(*(pair(torch, rng.normal(size=s) + 0.5, dtype, True) for s in (shape, size, size)), strict=True)
    found, expected = (function(lib.nn.functional, *t) for lib, t in ((clgrad, ours), (torch, theirs)))
    tolerance = 2e-5 if dtype == "float32" else 1e-10
    assert_same(found, expected, tolerance, tolerance)
    (found**3).sum().backward()
    (expected**3).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a.grad, b.grad, tolerance * 10, tolerance * 10)


@pytest.mark.parametrize("name", ["layer", "rms", "group", "batch"])
def test_both_derivatives(rng, name):
    shape, size, function = NORMS[name]
    shape = (2, *shape[1:])
    inputs = tuple(clgrad.tensor(rng.normal(size=s), requires_grad=True) for s in (shape, size, size))
    run = lambda *t: function(clgrad.nn.functional, *t) ** 2  # noqa: E731
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize("training", [True, False])
def test_running_statistics(torch, rng, training):
    x, y = pair(torch, rng.normal(size=(4, 3, 5)).astype(np.float32), requires_grad=True)
    stats = [pair(torch, rng.random(3, np.float32) + 0.5) for _ in range(2)]
    scale = pair(torch, rng.random(3, np.float32), requires_grad=True)
    results = [lib.nn.functional.batch_norm(t, *(s[n] for s in stats), scale[n], None, training, 0.3)
               for n, (lib, t) in enumerate(((clgrad, x), (torch, y)))]
    assert_same(*results, 1e-5, 1e-6)
    for result in results:
        (result * result).sum().backward()
    assert_same(x.grad, y.grad, 1e-3, 1e-4)
    assert_same(scale[0].grad, scale[1].grad, 1e-4, 1e-4)
    for ours, theirs in stats:
        assert_same(ours, theirs, 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half(torch, rng, dtype):
    x, y = pair(torch, rng.normal(size=(4, 33)).astype(np.float32))
    w, v = pair(torch, rng.normal(size=33).astype(np.float32))
    kinds = [getattr(lib, dtype) for lib in (clgrad, torch)]
    found = clgrad.nn.functional.layer_norm(x.to(kinds[0]), (33,), w.to(kinds[0]))
    expected = torch.nn.functional.layer_norm(y.to(kinds[1]), (33,), v.to(kinds[1]))
    assert_same(found.float(), expected.float(), 2e-2, 2e-2)


@pytest.mark.parametrize("training", [False, True])
def test_running_statistics_that_are_strided(torch, training):
    results = []
    for lib in (clgrad, torch):
        mean, var = lib.tensor([[0.0, 5.0], [1.0, 5.0]])[:, 0], lib.tensor([[1.0, 9.0], [4.0, 9.0]])[:, 0]
        y = lib.nn.functional.batch_norm(lib.arange(12.0).view(1, 2, 6), mean, var, training=training)
        results.append((y, mean, var))
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected, 1e-5, 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("size", [1e-4, 1.0])
def test_root_mean_square_of_other_dtypes(torch, dtype, size):
    results = [lib.nn.functional.rms_norm(lib.tensor([[size, -size]], dtype=getattr(lib, dtype)), (2,)).double()
               for lib in (clgrad, torch)]
    assert_same(*results, 1e-2)


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_second_derivatives_of_half_are_computed_in_float(norm):
    """Where all elements of a group are equal, a rounding of the variance is a large part of the result."""
    found = []
    for kind in (clgrad.float16, clgrad.float64):
        x = clgrad.tensor([[0.5], [1.5]], dtype=kind, requires_grad=True)
        y = getattr(clgrad.nn.functional, norm)(x, (1,), clgrad.full((1,), 0.5, dtype=kind))
        grad, = clgrad.autograd.grad(y.double().square().sum(), x, create_graph=True)
        found.append(clgrad.autograd.grad((grad.double() + 1).square().sum(), x)[0].double())
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), 0.05, 1e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_statistics_of_the_lower_level_forms_have_the_inputs_dtype_or_the_weights(torch, dtype):
    def program(t):
        x, ones = t.arange(12.0).view(1, 3, 4).to(getattr(t, dtype)), t.ones(3)
        calls = (t.native_layer_norm(x, (4,), None, None, 1e-5), t.native_layer_norm(x, (4,), t.ones(4), None, 1e-5),
                 t.native_group_norm(x, None, None, 1, 3, 4, 3, 1e-5),
                 t.native_batch_norm(x, ones, ones, ones.clone(), ones.clone(), True, 0.1, 1e-5),
                 t.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5))
        return [(tuple(result.shape), str(result.dtype)) for results in calls for result in results]
    assert_same_outcome(torch, program)


def test_long_groups_strided_and_empty(torch, rng):
    x, y = pair(torch, rng.normal(size=(3000, 5)).astype(np.float32))
    assert_same(clgrad.nn.functional.layer_norm(x.t(), (3000,)), torch.nn.functional.layer_norm(y.t(), (3000,)), 1e-4, 1e-5)
    assert_same(clgrad.nn.functional.layer_norm(clgrad.zeros(0, 4), (4,)),
                torch.nn.functional.layer_norm(torch.zeros(0, 4), (4,)))


PROGRAMS = {
    "shape": lambda t: t.nn.functional.layer_norm(t.ones(2, 3), (4,)),
    "weight": lambda t: t.nn.functional.layer_norm(t.ones(2, 3), (3,), t.ones(2)),
    "groups": lambda t: t.nn.functional.group_norm(t.ones(2, 3), 2),
    "one value": lambda t: t.nn.functional.batch_norm(t.ones(1, 3), None, None, training=True),
    "no statistics": lambda t: t.nn.functional.batch_norm(t.ones(2, 3), None, None),
    "statistics": lambda t: t.nn.functional.batch_norm(t.ones(2, 3), t.ones(2), t.ones(2)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors(torch, name):
    assert_same_error(torch, PROGRAMS[name])
