"""Layers and losses refuse what PyTorch's refuse, with errors of the same classes."""

from __future__ import annotations

import pytest

import clgrad
from tests.compare import assert_same_error


def classes(lib, *shape):
    return lib.zeros(*shape, dtype=lib.int64)


@pytest.mark.parametrize("program", [
    lambda lib: lib.nn.BatchNorm1d(3, eps=-1.0)(lib.ones(2, 3)),
    lambda lib: lib.nn.BatchNorm2d(3, eps=0.0)(lib.ones(2, 3, 2, 2)),
    lambda lib: lib.nn.BatchNorm1d(3, eps=-1.0).eval()(lib.ones(2, 3)),
    lambda lib: lib.nn.HuberLoss(delta=1j), lambda lib: lib.nn.HuberLoss(delta="1"),
    lambda lib: lib.nn.functional.huber_loss(lib.ones(2), lib.ones(2), delta=1j),
    lambda lib: lib.nn.functional.nll_loss(lib.ones(2, 3), classes(lib, 2), lib.ones(3).half()),
    lambda lib: lib.nn.functional.nll_loss(lib.ones(2, 3).half(), classes(lib, 2), lib.ones(3)),
    lambda lib: lib.nn.functional.nll_loss(lib.ones(2, 3), classes(lib, 2), lib.ones(2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 2, 3)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 2, 2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 3)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(3), classes(lib, 3, 2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(()), classes(lib)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3, 5), classes(lib, 2, 4)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3, 5, 6), classes(lib, 2, 5)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), lib.ones(2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), lib.ones(4, 3)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 2).int()),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), lib.ones(2, 3), ignore_index=1),
    lambda lib: lib.nn.CircularPad1d(1)(lib.ones(2, 3, 4, 5)), lambda lib: lib.nn.CircularPad2d(1)(lib.ones(2, 3)),
    lambda lib: lib.nn.CircularPad3d(1)(lib.ones(2, 3)),
    lambda lib: lib.nn.functional.fractional_max_pool2d(lib.ones(1, 3, 5, 6), 2, output_size=2,
                                                        _random_samples=lib.ones(1, 3, 2).double()),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


def test_random_pooling_of_no_samples(torch):
    for lib in (clgrad, torch):
        values, places = lib.nn.functional.fractional_max_pool3d(lib.ones(0, 1, 4, 5, 4), 2, output_size=2,
                                                                 return_indices=True)
        assert tuple(values.shape) == tuple(places.shape) == (0, 1, 2, 2, 2)


CLASS_LOSSES = {
    "samples": ((5, 10), (3,), {}),
    "several targets": ((5, 10), (5, 2), {}),
    "one sample": ((10,), (5,), {}),
    "no plane": ((5, 10, 4, 4), (5, 4), {}),
    "another plane": ((5, 10, 4, 4), (5, 4, 3), {}),
    "another line": ((5, 10, 4), (5, 3), {}),
    "weights": ((5, 10), (5,), {"weight": (3,)}),
    "weights of planes": ((5, 10, 4, 4), (5, 4, 4), {"weight": (3,)}),
}


@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize("case", CLASS_LOSSES)
def test_losses_of_classes_say_what_pytorchs_say(loss, case, torch):
    shape, target, options = CLASS_LOSSES[case]
    errors = []
    for t in (torch, clgrad):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            getattr(t.nn.functional, loss)(t.zeros(shape), t.zeros(target, dtype=t.int64),
                                           **{name: t.zeros(size) for name, size in options.items()})
        errors.append(caught)
    assert errors[1].type is errors[0].type
    assert str(errors[0].value) in str(errors[1].value)


def test_losses_of_classes_refuse_integers_and_other_weights(torch):
    for t in (torch, clgrad):
        target = t.zeros(5, dtype=t.int64)
        with pytest.raises(RuntimeError, match="expected scalar type Float but found Half"):
            t.nn.functional.nll_loss(t.zeros(5, 10), target, t.zeros(10).half())
        with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
            t.nn.functional.nll_loss(t.zeros(5, 10, dtype=t.int64), target)
        with pytest.raises(RuntimeError, match=r"target tensor should be 1-D.*Expected target size \[5\], but got \[3\]"):
            t.nn.functional.multi_margin_loss(t.zeros(5, 10), target[:3])


@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive_pools_of_nothing_have_no_gradient(kind, torch):
    for t in (torch, clgrad):
        out = getattr(t.nn.functional, f"adaptive_{kind}_pool2d")(t.zeros(1, 4, 5, 5, requires_grad=True), 0)
        assert out.shape == (1, 4, 0, 0)
        with pytest.raises(RuntimeError, match="Expected grad_output to have non-zero size for non-batch dimensions"):
            out.sum().backward()


@pytest.mark.parametrize("options", [((), (3, 3)), ((1,), (3, 3)), (2, (3,)), (2, (9, 3)), (2, (3, 9))])
def test_fractional_pools_say_what_pytorchs_say(options, torch):
    kernel, output = options
    texts = []
    for t in (torch, clgrad):
        with pytest.raises(RuntimeError) as caught:
            t.nn.functional.fractional_max_pool2d(t.zeros(2, 7, 7), kernel, output_size=output)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


FALLING = {
    "leaky_relu_": lambda f, x: f.leaky_relu_(x, -0.1),
    "elu_": lambda f, x: f.elu_(x, -0.1),
    "elu": lambda f, x: f.elu(x, -0.1, inplace=True),
    "celu_": lambda f, x: f.celu_(x, -0.1),
}


@pytest.mark.parametrize("name", FALLING)
def test_falling_slopes_in_place_have_no_gradient(name, torch):
    for t in (torch, clgrad):
        out = FALLING[name](t.nn.functional, t.ones(3, requires_grad=True).mul(1))
        with pytest.raises(RuntimeError, match="backward calculation is triggered with a negative slope"):
            out.sum().backward()


OUTPUTS = {
    "softplus": lambda f, x, **out: f.softplus(x, 2.0, **out),
    "softshrink": lambda f, x, **out: f.softshrink(x, 0.2, **out),
    "hardshrink": lambda f, x, **out: f.hardshrink(x, **out),
    "gelu": lambda f, x, **out: f.gelu(x, approximate="tanh", **out),
    "linear": lambda f, x, **out: f.linear(x, x, **out),
    "avg_pool2d": lambda f, x, **out: f.avg_pool2d(x[None], 2, **out),
    "of the C library": lambda f, x, **out: clgrad._C._nn.softplus(x, **out),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_functions_write_their_result_where_they_are_asked_to(name):
    x = clgrad.rand(4, 4) - 0.5
    expected = OUTPUTS[name](clgrad.nn.functional, x)
    out = clgrad.empty_like(expected)
    assert OUTPUTS[name](clgrad.nn.functional, x, out=out) is out
    assert out.equal(expected)
