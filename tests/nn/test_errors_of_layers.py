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
    lambda lib: lib.nn.functional.rrelu(lib.ones(2), 0.1, float("inf")),
    lambda lib: lib.nn.RReLU(float("nan"), 0.3)(lib.ones(2)),
    lambda lib: lib.nn.functional.softshrink(lib.ones(2).half(), 65507.0),
    lambda lib: lib.nn.Softshrink(float("nan"))(lib.ones(2)),
    lambda lib: lib.nn.functional.ctc_loss(lib.ones(0, 0, 4), classes(lib, 0), classes(lib, 0), classes(lib, 0)),
    lambda lib: lib.nn.functional.ctc_loss(lib.ones(3, 0, 4), classes(lib, 0, 2), classes(lib, 0), classes(lib, 0)),
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


# Calls that are wrong, as PyTorch says it: in the same class of error and the same words, others around them at most.
WRONG = {
    "a layer of another dtype": lambda t, n, f: n.Linear(3, 4)(t.zeros(2, 3).double()),
    "no dimension": lambda t, n, f: n.Linear(3, 4)(t.tensor(1.0)),
    "negative features": lambda t, n, f: n.Linear(-3, 4),
    "bilinear features": lambda t, n, f: n.Bilinear(3, 4, 5)(t.zeros(2, 3), t.zeros(2, 5)),
    "bilinear batches": lambda t, n, f: n.Bilinear(3, 4, 5)(t.zeros(2, 3), t.zeros(3, 4)),
    "images of another dtype": lambda t, n, f: n.Conv2d(3, 4, 2)(t.zeros(2, 3, 6, 6).double()),
    "strides": lambda t, n, f: n.Conv2d(4, 4, 2, stride=(1, 1, 1))(t.zeros(1, 4, 5, 5)),
    "no kernel": lambda t, n, f: n.Conv2d(4, 4, 0)(t.zeros(1, 4, 5, 5)),
    "a padding's name": lambda t, n, f: f.conv1d(t.zeros(1, 3, 5), t.zeros(4, 3, 2), padding="foo"),
    "transposed channels": lambda t, n, f: n.ConvTranspose1d(3, 4, 2)(t.zeros(2, 5, 6)),
    "output padding": lambda t, n, f: n.ConvTranspose2d(3, 4, 2, output_padding=1)(t.zeros(1, 3, 5, 5)),
    "output size": lambda t, n, f: n.ConvTranspose2d(3, 4, 2, stride=2)(t.zeros(1, 3, 5, 5), output_size=(20, 20)),
    "norm of integers": lambda t, n, f: n.BatchNorm2d(3)(t.zeros(2, 3, 4, 4, dtype=t.int64)),
    "norm of another dtype": lambda t, n, f: n.LayerNorm(5)(t.zeros(2, 5).double()),
    "no statistics": lambda t, n, f: f.batch_norm(t.zeros(2, 3, 4), None, None),
    "normalized shape": lambda t, n, f: n.LayerNorm((2, 5))(t.zeros(5)),
    "indices of floats": lambda t, n, f: n.Embedding(5, 3)(t.zeros(2)),
    "padding row": lambda t, n, f: n.Embedding(5, 3, padding_idx=9),
    "padding row of bags": lambda t, n, f: n.EmbeddingBag(5, 3, padding_idx=9),
    "first bag": lambda t, n, f: n.EmbeddingBag(5, 3)(t.zeros(4, dtype=t.int64), t.tensor([1, 2])),
    "last bag": lambda t, n, f: n.EmbeddingBag(5, 3)(t.zeros(4, dtype=t.int64), t.tensor([0, 9])),
    "attention mask": lambda t, n, f: n.MultiheadAttention(4, 2)(*[t.zeros(3, 2, 4)] * 3, attn_mask=t.zeros(2, 2)),
    "attention dtypes": lambda t, n, f: f.scaled_dot_product_attention(
        t.zeros(2, 3, 4), t.zeros(2, 3, 4).double(), t.zeros(2, 3, 4)),
    "limits": lambda t, n, f: n.Hardtanh(2, 1),
    "dropout of integers": lambda t, n, f: n.Dropout(0.5)(t.zeros(2, dtype=t.int64)),
    "adaptive dimensions": lambda t, n, f: n.AdaptiveAvgPool2d(2)(t.zeros(2, 2)),
    "adaptive sizes": lambda t, n, f: n.AdaptiveAvgPool2d((2, 2, 2))(t.zeros(2, 2, 2)),
    "nothing to pool": lambda t, n, f: n.AdaptiveAvgPool2d(2)(t.zeros(2, 0, 2)),
    "places of floats": lambda t, n, f: n.MaxUnpool2d(2)(t.zeros(2, 2, 2), t.zeros(2, 2, 2)),
    "a value that is not used": lambda t, n, f: f.pad(t.zeros(2, 3), (1, 1), mode="reflect", value=2),
    "more padding than dimensions": lambda t, n, f: f.pad(t.zeros(2), (1, 1, 1, 1)),
    "rows to unshuffle": lambda t, n, f: n.PixelUnshuffle(2)(t.zeros(3, 3, 2)),
    "linear mode": lambda t, n, f: f.interpolate(t.zeros(1, 2, 3, 3), scale_factor=2, mode="linear"),
    "unknown mode": lambda t, n, f: n.Upsample(scale_factor=2, mode="x")(t.zeros(2, 2, 2)),
    "scales": lambda t, n, f: n.Upsample(scale_factor=(2, 2))(t.zeros(2, 2, 2)),
    "sizes": lambda t, n, f: f.interpolate(t.zeros(1, 1, 3, 3), size=(2, -1), mode="bilinear"),
    "grids": lambda t, n, f: f.grid_sample(t.zeros(1, 1, 3, 3), t.zeros(2, 2, 2, 2)),
    "matrices": lambda t, n, f: f.affine_grid(t.zeros(2, 3), (1, 1, 3, 3)),
    "columns": lambda t, n, f: n.Fold((4, 4), 2)(t.zeros(1, 4, 8)),
    "windows": lambda t, n, f: n.Unfold(9)(t.zeros(1, 2, 4, 4)),
    "angles of integers": lambda t, n, f: n.CosineSimilarity()(*[t.zeros(2, 3, dtype=t.int64)] * 2),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore")
def test_wrong_calls_are_told_in_pytorchs_words(case, torch):
    errors = []
    for t in (torch, clgrad):
        with pytest.raises(Exception) as caught:
            WRONG[case](t, t.nn, t.nn.functional)
        errors.append(caught)
    assert errors[1].type is errors[0].type
    assert str(errors[0].value).split("\n")[0] in str(errors[1].value)
