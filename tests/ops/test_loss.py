"""Softmax and losses against PyTorch: every option of cross entropy, targets out of range, gradients twice."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair, values


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "dim"), [((5,), 0), ((4, 7), 1), ((4, 7), 0), ((2, 3, 5), 1), ((2, 3, 5), -1),
                                            ((), 0), ((3, 300), -1), ((0, 4), 1)])
def test_softmax(name, shape, dim, torch, rng):
    x, y = pair(torch, 5 * rng.normal(size=shape), requires_grad=True)
    found, expected = getattr(clgrad, name)(x, dim), getattr(torch, name)(y, dim)
    assert_same(found, expected, 1e-10)
    (found * found).sum().backward()
    (expected * expected).sum().backward()
    assert_same(x.grad, y.grad, 1e-9, 1e-12)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_large_strided_and_other_dtypes(name, torch, rng):
    data = np.array([[1000.0, 1001.0, -1000.0], [-np.inf, 0.0, 1.0], [np.nan, 1.0, 2.0]], np.float32)
    x, y = pair(torch, data)
    assert_same(getattr(x, name)(1), getattr(y, name)(1), 1e-6)
    assert_same(getattr(x.t(), name)(1), getattr(y.t(), name)(1), 1e-6)
    assert_same(getattr(clgrad, name)(x[:1], 1, dtype=clgrad.float64), getattr(torch, name)(y[:1], 1,
                dtype=torch.float64), 1e-12)
    for dtype in ("float16", "bfloat16"):
        a, b = pair(torch, data[:1] / 1000, dtype)
        assert_same(getattr(a, name)(-1), getattr(b, name)(-1), 1e-2)
    with pytest.raises(RuntimeError):
        getattr(clgrad.tensor([1, 2]), name)(0)
    with pytest.raises(IndexError):
        getattr(x, name)(2)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_to_second_order(name, rng):
    x = clgrad.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    assert gradcheck(lambda v: getattr(clgrad, name)(v, 1), x)
    assert gradgradcheck(lambda v: getattr(clgrad, name)(v, 0), x)


# name: (shape of the scores, options); weights and targets are drawn
ENTROPY = {
    "plain": ((6, 4), {}),
    "sum": ((6, 4), {"reduction": "sum"}),
    "none": ((6, 4), {"reduction": "none"}),
    "weight": ((6, 4), {"weight": True}),
    "weight_none": ((6, 4), {"weight": True, "reduction": "none"}),
    "ignore": ((6, 4), {"ignore_index": 2}),
    "ignore_weight": ((6, 4), {"ignore_index": 1, "weight": True}),
    "smoothing": ((6, 4), {"label_smoothing": 0.2}),
    "smoothing_weight_ignore": ((6, 4), {"label_smoothing": 0.1, "weight": True, "ignore_index": 0}),
    "smoothing_sum": ((6, 4), {"label_smoothing": 0.3, "reduction": "sum", "weight": True}),
    "smoothing_none": ((6, 4), {"label_smoothing": 0.3, "reduction": "none"}),
    "planes": ((2, 4, 3, 2), {}),
    "planes_none": ((2, 4, 3), {"reduction": "none", "weight": True}),
    "one": ((4,), {}),
}


@pytest.mark.parametrize(("loss", "name"), [(loss, name) for loss in ("cross_entropy", "nll_loss") for name in ENTROPY
                                            if loss == "cross_entropy" or "label_smoothing" not in ENTROPY[name][1]])
def test_class_losses_and_gradients(name, loss, torch, rng):
    shape, options = ENTROPY[name]
    classes = shape[1] if len(shape) > 1 else shape[0]
    scores, weight = rng.normal(size=shape), rng.uniform(0.5, 2, classes)
    target = rng.integers(0, classes, (shape[0], *shape[2:]) if len(shape) > 1 else ())
    results = []
    for library in (clgrad, torch):
        x = library.tensor(scores, requires_grad=True)
        given = dict(options)
        if "weight" in given:
            given["weight"] = library.tensor(weight)
        out = getattr(library.nn.functional, loss)(x, library.tensor(target), **given)
        (out * out).sum().backward()
        results.append((out.detach(), x.grad))
    assert_same(results[0], results[1], 1e-9, 1e-12)


@pytest.mark.parametrize("options", [{}, {"reduction": "sum"}, {"reduction": "none"}, {"label_smoothing": 0.2},
                                     {"weight": True}])
def test_cross_entropy_with_probabilities(options, torch, rng):
    scores, target, weight = rng.normal(size=(5, 4)), rng.dirichlet(np.ones(4), 5), rng.uniform(0.5, 2, 4)
    results = []
    for library in (clgrad, torch):
        x = library.tensor(scores, requires_grad=True)
        goal = library.tensor(target, requires_grad=True)
        given = {n: library.tensor(weight) if n == "weight" else v for n, v in options.items()}
        out = library.nn.functional.cross_entropy(x, goal, **given)
        out.sum().backward()
        results.append((out.detach(), x.grad, goal.grad))
    assert_same(results[0], results[1], 1e-9, 1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("options", [{}, {"reduction": "sum", "ignore_index": 1}, {"reduction": "none"}])
def test_class_losses_to_second_order(loss, options, rng):
    target = clgrad.tensor([0, 2, 1])
    function = getattr(clgrad.nn.functional, loss)
    x = clgrad.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    assert gradcheck(lambda v: function(v, target, **options), x)
    assert gradgradcheck(lambda v: function(v * v, target, **options), x)


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("bad", [4, -1, 10**9, -10**9])
def test_a_target_out_of_range_is_an_index_error_and_spoils_nothing(loss, bad, rng):
    guard = [clgrad.full((64,), 7.0) for _ in range(8)]
    for t in guard:
        t.add_(0)
    x = clgrad.tensor(rng.normal(size=(3, 4)).astype(np.float32), requires_grad=True)
    with pytest.raises(IndexError, match="out of bounds"):
        out = getattr(clgrad.nn.functional, loss)(x, clgrad.tensor([0, bad, 1]))
        out.backward()
        x.grad.sum().item()
    assert all((t == 7).all() for t in guard)
    x.grad = None
    getattr(clgrad.nn.functional, loss)(x, clgrad.tensor([0, 3, 1])).backward()
    assert np.isfinite(values(x.grad)).all(), "the next call works"


def test_everything_ignored_is_nan_as_in_pytorch(torch):
    x, y = pair(torch, np.ones((2, 3), np.float32))
    target = [-100, -100]
    for reduction in ("mean", "sum", "none"):
        assert_same(clgrad.nn.functional.cross_entropy(x, clgrad.tensor(target), reduction=reduction),
                    torch.nn.functional.cross_entropy(y, torch.tensor(target), reduction=reduction))


def test_large_scores_do_not_overflow(torch):
    x, y = pair(torch, np.array([[1e4, -1e4, 0], [-1e30, 1e30, 0]], np.float32), requires_grad=True)
    for library, t in ((clgrad, x), (torch, y)):
        library.nn.functional.cross_entropy(t, library.tensor([0, 1])).backward()
    assert_same(x.grad, y.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse(reduction, torch, rng):
    results = []
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    for library in (clgrad, torch):
        x, y = library.tensor(a, requires_grad=True), library.tensor(b, requires_grad=True)
        out = library.nn.functional.mse_loss(x, y, reduction=reduction)
        (out * out).sum().backward()
        results.append((out.detach(), x.grad, y.grad))
    assert_same(results[0], results[1], 1e-12)
    x, y = (clgrad.tensor(v, requires_grad=True) for v in (a[:1, :2], b[:1, :2]))
    assert gradgradcheck(lambda u, v: clgrad.nn.functional.mse_loss(u, v, reduction=reduction), (x, y))


@pytest.mark.parametrize("layout", [(7,), (40, 129), (300, 1021), (3, 20, 17), (2, 3, 13, 5)], ids=str)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
                                  "binary_cross_entropy_with_logits"])
def test_means_of_pairs(name, turned, layout, torch, rng):
    """Vectors, rows, parts of work-items and several dimensions; the prediction may lie across the target."""
    a, b = (rng.uniform(0.1, 0.9, size=layout).astype(np.float32) for _ in range(2))
    for reduction in ("mean", "sum"):
        results = []
        for library in (clgrad, torch):
            x, y = library.tensor(a, requires_grad=True), library.tensor(b, requires_grad=True)
            moved = x.mT.contiguous().mT if turned and len(layout) > 1 else x * 1
            loss = getattr(library.nn.functional, name)(moved, y, reduction=reduction)
            results.append((loss.detach(), *library.autograd.grad(loss * 3, (x, y))))
        assert_same(results[0], results[1], 1e-5)


def test_long_means_are_as_exact_as_sums(rng):
    a = rng.uniform(size=1 << 21).astype(np.float32)
    loss = clgrad.nn.functional.l1_loss(clgrad.tensor(a), clgrad.zeros(1 << 21))
    np.testing.assert_allclose(loss.item(), a.astype(np.float64).mean(), rtol=2e-7)


def test_mse_of_different_sizes_warns():
    with pytest.warns(UserWarning, match="target size"):
        clgrad.nn.functional.mse_loss(clgrad.ones(1, 4), clgrad.ones(4))


@pytest.mark.parametrize("program", [
    lambda t: t.nn.functional.cross_entropy(t.ones(3, 4), t.zeros(2, dtype=t.int64)),
    lambda t: t.nn.functional.cross_entropy(t.ones(3, 4), t.zeros(3, dtype=t.int64), weight=t.ones(3)),
    lambda t: t.nn.functional.cross_entropy(t.ones(3, 4), t.zeros(3, dtype=t.int64), reduction="all"),
    lambda t: t.nn.functional.cross_entropy(t.ones(3, 4), t.zeros(3)),
    lambda t: t.nn.functional.cross_entropy(t.ones(3, 4), t.zeros(3, dtype=t.int64), label_smoothing=2.0),
    lambda t: t.nn.functional.nll_loss(t.ones(3, 4), t.zeros(3, dtype=t.int32)),
])
def test_errors(program, torch):
    assert_same_error(torch, program)


@pytest.mark.parametrize("kinds", [("float32", "float64"), ("float64", "float32"), ("float32", "int64"),
                                   ("float16", "float32")])
@pytest.mark.parametrize("name", ["huber_loss", "soft_margin_loss", "binary_cross_entropy_with_logits", "kl_div", "mse_loss"])
def test_dtypes_of_losses_of_two_dtypes(name, kinds, torch, rng):
    if name in ("binary_cross_entropy_with_logits", "kl_div") and kinds[1] == "int64":
        return
    found = []
    predicted, wanted = pair(torch, [0.25, 0.5, 0.75], kinds[0]), pair(torch, [0, 1, 1], kinds[1])
    for t, x, y in zip((clgrad, torch), predicted, wanted, strict=True):
        found.append(getattr(t.nn.functional, name)(x, y, reduction="sum"))
    assert_same(*found, rtol=2e-3)
