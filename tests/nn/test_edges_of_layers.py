"""Layers and losses at the edges: no classes, features that do not fit, statistics that nobody asked for."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradgradcheck
from clgrad.nn import functional as F
from tests.compare import assert_same, assert_same_error


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_nothing_is_pytorchs(shape, reduction, smoothing, torch):
    expected, got = (t.nn.functional.cross_entropy(t.zeros(shape), t.zeros(shape), reduction=reduction,
                                                   label_smoothing=smoothing).numpy() for t in (torch, clgrad))
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_instance_norm_says_what_does_not_fit(rank):
    kind = getattr(clgrad.nn, f"InstanceNorm{rank}d")
    x = clgrad.rand(2, 3, *(4,) * rank)
    with pytest.warns(UserWarning, match="dim=1 does not match num_features"):
        kind(5)(x)
    with pytest.warns(UserWarning, match="dim=0 does not match num_features"):
        kind(5)(x[0])
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="running_mean should contain 3 elements not 5"):
        kind(5, track_running_stats=True)(x)
    state = dict(kind(3, track_running_stats=True).state_dict())
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match=rf'buffer\(s\) "running_mean" and "running_var" for InstanceNorm{rank}d'):
        kind(3).load_state_dict(state)


def test_a_variance_may_be_changed_before_the_backward_pass():
    x = clgrad.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 9.0]], dtype=clgrad.float64, requires_grad=True)
    variance, mean = clgrad.var_mean(x, 1)
    variance.mul_(2)
    (variance.sum() + 3 * mean.sum()).backward()
    values = x.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), 2 * (values - values.mean(1, keepdims=True)) + 1, rtol=1e-12)
    root = clgrad.std(x, 1)
    root.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        root.sum().backward()
    assert F.cross_entropy(clgrad.zeros(0, 3), clgrad.zeros(0, dtype=clgrad.int64), reduction="sum").item() == 0


@pytest.mark.parametrize("options", [{}, {"enable_nested_tensor": False}, {"norm": True}], ids=["default", "off", "norm"])
@pytest.mark.parametrize("mask", ["ends", "between"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_encoders_pad_with_zeros_where_pytorch_does(options, mask, torch):
    x = np.random.default_rng(0).standard_normal((2, 4, 8)).astype(np.float32)
    padding = np.array([[False, False, mask == "between", True], [False] * 4])
    results = []
    for t in (torch, clgrad):
        norm = t.nn.LayerNorm(8) if "norm" in options else None
        layer = t.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        encoder = t.nn.TransformerEncoder(layer, 2, **{**options, "norm": norm}).eval()
        for number, (_, p) in enumerate(sorted(encoder.named_parameters())):
            with t.no_grad():
                p.copy_(t.from_numpy(np.random.default_rng(number).standard_normal(tuple(p.shape)).astype(np.float32) / 3))
        given = t.from_numpy(x), t.from_numpy(padding)
        with t.no_grad():
            results.append(encoder(given[0], src_key_padding_mask=given[1]).numpy())
        results.append(encoder(given[0], src_key_padding_mask=given[1]).detach().numpy()[~padding])
    np.testing.assert_allclose(results[2], results[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(results[3], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grids_of_no_samples(rank, mode):
    x = clgrad.zeros(0, 3, *(4,) * rank, requires_grad=True)
    out = F.grid_sample(x, clgrad.zeros(0, *(2,) * rank, rank), mode=mode, align_corners=False)
    assert out.shape == (0, 3, *(2,) * rank)
    out.sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("call, error, message", [
    (lambda: F.interpolate(clgrad.ones(1, 1, 4), size=2.0), TypeError, "expected size to be one of int or"),
    (lambda: F.interpolate(clgrad.ones(1, 1, 4), size=(clgrad.tensor(2.0),)), TypeError, "expected size to be one of int or"),
    (lambda: clgrad.nn.FractionalMaxPool2d([2, 1], output_ratio=[0.5, 0.5, 0.6])(clgrad.rand(1, 1, 8, 8)), ValueError,
     "requires output_ratio to either be"),
    (lambda: clgrad.nn.Unflatten(1, (2, 5, 5.0)), TypeError, "tuple of ints, but found element of type float at pos 2"),
    (lambda: clgrad.nn.Unflatten("features", (("C", 2), ("H", 3))), TypeError, "found element of type tuple at pos 0"),
    (lambda: clgrad.nn.Unflatten("features", (2, 3))(clgrad.zeros(2, 6)), TypeError, "'dim' .* must be int, not str"),
    (lambda: clgrad.nn.Fold((4, 5), 2, dilation=8)(clgrad.rand(1, 12, 12)), RuntimeError, "its components must be at least")])
def test_what_layers_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_full_backward_hook_without_inputs_that_require_gradients_is_warned_of():
    layer = clgrad.nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda module, gi, go: None)
    with pytest.warns(UserWarning, match="Full backward hook is firing"):
        layer(clgrad.ones(1, 2)).sum().backward()


def test_full_backward_hooks_leave_what_requires_no_gradient_so():
    seen = []

    class Sum(clgrad.nn.Module):
        def forward(self, a, b):
            seen.append((a.requires_grad, b.requires_grad))
            return a.sum() + b.sum()
    module, a = Sum(), clgrad.ones(2, requires_grad=True)
    module.register_full_backward_hook(lambda module, gi, go: None)
    module(a, clgrad.ones(2)).backward()
    assert seen == [(True, False)]
    layer = clgrad.nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda module, gi, go: gi)
    with pytest.warns(UserWarning, match="Full backward hook is firing"):
        layer(clgrad.ones(1, 2)).sum().backward()


@pytest.mark.parametrize("answer, count", [(lambda grads: (), 0), (lambda grads: (*grads, grads[0]), 2)])
def test_hooks_of_nodes_return_as_many_gradients_as_they_get(answer, count):
    for register in ("register_hook", "register_prehook"):
        y = clgrad.ones(2, requires_grad=True).sin()
        getattr(y.grad_fn, register)(lambda grads, *outputs: answer(grads))
        with pytest.raises(RuntimeError, match=rf"incorrect number of values \(got {count}, but expected 1\)"):
            y.sum().backward()


def test_pools_of_no_windows_and_lengths_that_are_tensors():
    assert clgrad.nn.FractionalMaxPool2d(2, output_size=(0, 1))(clgrad.rand(2, 3, 5, 4)).shape == (2, 3, 0, 1)
    three = clgrad.tensor(3, dtype=clgrad.int32)
    assert clgrad.arange(4).narrow(0, 0, three).tolist() == [0, 1, 2]
    assert [part.tolist() for part in clgrad.arange(4).split(three)] == [[0, 1, 2], [3]]
    assert [part.tolist() for part in clgrad.arange(4).split([three, 1])] == [[0, 1, 2], [3]]


def test_dropouts_of_channels_say_what_they_take():
    with pytest.warns(UserWarning, match="Received a 3D input to dropout2d"):
        F.dropout2d(clgrad.ones(2, 3, 4))
    for name in ("feature_dropout", "feature_alpha_dropout"):
        function = getattr(clgrad, name)
        with pytest.raises(RuntimeError, match="requires at least 2 dimensions"):
            function(clgrad.ones(3), 0.5, True)
        assert function(clgrad.ones(3), 0.5, False).tolist() == [1.0] * 3
        assert function(clgrad.ones(0), 0.5, True).shape == (0,)
    with pytest.raises(RuntimeError, match="should be a 1D CPU int64 tensor, but got 2D"):
        clgrad.nn.utils.rnn.pack_padded_sequence(clgrad.ones(3, 2), clgrad.tensor([[3, 2]]))


@pytest.mark.parametrize("program", [
    lambda F, a, b: F.cosine_similarity(a, b), lambda F, a, b: F.cosine_similarity(a, b, eps=2.0),
    lambda F, a, b: F.cosine_similarity(a, b[:1], dim=0), lambda F, a, b: F.normalize(a) * b,
    lambda F, a, b: F.normalize(a, eps=1.5) * b, lambda F, a, b: F.pairwise_distance(a, b),
    lambda F, a, b: a.norm(dim=1) * b[:, 0], lambda F, a, b: F.triplet_margin_loss(a, b, b * 2)])
@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_vectors_of_no_length_and_of_less_than_eps(program, kind, torch, rng):
    values = rng.normal(size=(2, 6, 5))
    values[0, 2] = values[1, 4] = 0
    found = []
    for library in (clgrad, torch):
        a, b = (library.tensor(v).to(getattr(library, kind)).requires_grad_() for v in values)
        out = program(library.nn.functional, a, b)
        (out.float() * out.float()).sum().backward()
        found.append([t.detach().double() for t in (out, a.grad, b.grad)])
    tolerance = {"float64": 1e-12, "float32": 2e-6, "float16": 1e-2, "bfloat16": 3e-2}[kind]
    for mine, theirs in zip(*found, strict=True):
        assert_same(mine, theirs, tolerance, tolerance)


@pytest.mark.parametrize("shape, dim", [((3, 6), 1), ((4, 5, 3), 0), ((2, 8, 5), -2)])
@pytest.mark.parametrize("change", ["rows", "turned", "repeated"])
def test_halves_that_gate(shape, dim, change, torch, rng):
    array, seed = rng.normal(size=shape), rng.normal(size=shape)
    found = []
    for library in (torch, clgrad):
        x = library.tensor(array, requires_grad=True)
        y = x.transpose(0, -1).contiguous().transpose(0, -1) if change == "turned" else x
        y = x.select(0, 0).expand(shape) if change == "repeated" else y
        made = library.nn.functional.glu(y, dim)
        (grad,) = library.autograd.grad((made * library.tensor(seed).narrow(dim, 0, made.shape[dim])).sum(), x)
        found.append((made.detach(), grad))
    for theirs, mine in zip(*found, strict=True):
        assert_same(mine, theirs, 1e-10)


def test_second_derivatives_of_halves_that_gate(rng):
    assert gradgradcheck(lambda x: F.glu(x, 0), (clgrad.tensor(rng.normal(size=(4, 3)), requires_grad=True),))


def fractional_pool(t, rank, x):
    pool = getattr(t.nn.functional, f"fractional_max_pool{rank}d")
    return pool(x.view(1, 1, *(5,) * rank), 2, output_size=3, _random_samples=t.full((1, 1, rank), 0.5))


@pytest.mark.parametrize("layer", [
    lambda t, x: fractional_pool(t, 2, x[:25]), lambda t, x: fractional_pool(t, 3, x),
    lambda t, x: t.nn.functional.rrelu(x, 0.2, 0.2, training=True), lambda t, x: t.nn.functional.rrelu(x),
    lambda t, x: t.nn.functional.prelu(x, t.tensor([0.5])), lambda t, x: t.nn.functional.prelu(x - 3, x[:1].detach())])
def test_gradients_may_be_differentiated_although_they_do_not_change(layer, torch):
    """A program may ask for the second derivative of a network of which such layers are all; it is zero."""
    def program(t):
        x = (t.arange(125.0) - 62.5).requires_grad_()
        (first,) = t.autograd.grad(layer(t, x).sum(), x, create_graph=True)
        return first.detach(), t.autograd.grad(first.sum(), x)[0]
    for got, expected in zip(program(clgrad), program(torch), strict=True):
        assert_same(got, expected)


def test_the_second_derivatives_of_prelu(torch):
    def program(t):
        x, w = t.linspace(-2, 2, 12).view(1, 3, 4).requires_grad_(), t.tensor([0.1, 0.2, 0.3], requires_grad=True)
        first = t.autograd.grad(t.nn.functional.prelu(x, w).sum(), (x, w), create_graph=True)
        return [*t.autograd.grad(first[0].sum(), (x, w), retain_graph=True), *t.autograd.grad(first[1].sum(), x)]
    for got, expected in zip(program(clgrad), program(torch), strict=True):
        assert_same(got, expected)


def _cosine(t, first, second, eps):
    x, y = t.tensor(2.0, dtype=getattr(t, first)), t.full((3, 2), 2.0, dtype=getattr(t, second))
    return t.nn.functional.cosine_similarity(x, y, dim=0, eps=eps)


@pytest.mark.parametrize("dtypes", [("float64", "float16"), ("float32", "float64"), ("float16", "float16")])
@pytest.mark.parametrize("eps", [1e-8, 9.7e23])
def test_the_cosine_of_mixed_dtypes_and_a_bound_beyond_the_range_of_a_dtype_are_pytorchs(dtypes, eps, torch):
    assert_same(_cosine(clgrad, *dtypes, eps), _cosine(torch, *dtypes, eps), 1e-3, 1e-3)


@pytest.mark.parametrize("program", [
    lambda t: _cosine(t, "float32", "float32", -1e-8),
    lambda t: t.nn.functional.pixel_shuffle(t.ones(1, 4, 2, 2), 545460846592),
    lambda t: t.nn.functional.pixel_shuffle(t.ones(1, 4, 2, 2), 3),
])
def test_arguments_out_of_their_range_raise_pytorchs_errors(program, torch):
    assert_same_error(torch, program)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("training", [True, False])
def test_instance_norm_takes_statistics_of_another_dtype(dtype, training, torch, rng):
    values = rng.standard_normal((2, 3, 4, 5))
    results = []
    for t in (torch, clgrad):
        layer = t.nn.InstanceNorm2d(3, track_running_stats=True).train(training)
        layer.running_mean.copy_(t.tensor([0.5, 0.0, -1.0]))
        found = layer(t.tensor(values, dtype=getattr(t, dtype)))
        results.append((found, layer.running_mean, layer.running_var))
    assert_same(results[1], results[0], 1e-3, 2e-3)
