"""Arguments that are refused: the class of error is PyTorch's."""

from __future__ import annotations

import pytest

import clgrad
from tests.compare import assert_same_error


def shared(t):
    x = t.arange(6.0)
    return x, t.tensor([0, 1, 2])


@pytest.mark.parametrize("call", [
    lambda t: t.zeros(()).narrow(0, 0, 1), lambda t: t.zeros(4).narrow(0, t.zeros(2, dtype=t.int64), 1),
    lambda t: t.zeros(()).roll(0, 0), lambda t: t.zeros(2, 3, 4).movedim((1, 0, 2), (0, 1, -3)),
    lambda t: t.cat(t.zeros(2, 3)), lambda t: t.isclose(t.ones(1), t.ones(1), rtol=-1.0), lambda t: t.max(2, 3),
    lambda t: t.zeros(2, 2).masked_fill(t.tensor(True), 1j), lambda t: t.linalg.lstsq(t.zeros(()), t.zeros(())),
    lambda t: t.ormqr(t.zeros(()), t.zeros(()), t.zeros(())),
    lambda t: t.broadcast_shapes((1, -12)), lambda t: t.broadcast_shapes(-1, 1), lambda t: t.broadcast_shapes(1.5, (5,)),
    lambda t: t.add(t.ones(2), t.ones(2), alpha=True), lambda t: t.ones(2).sub(1, alpha=True),
    lambda t: t.ones(2).add_(t.ones(2), alpha=False), lambda t: t.add(t.arange(2), t.ones(2) > 0, alpha=True),
    lambda t: t.ones(2).map_(t.ones(2, requires_grad=True), max),
    lambda t: t.isclose(t.ones(1), t.ones(1), atol=t.tensor(1.0, requires_grad=True)),
    lambda t: t.zeros(2).sum(dtype=str), lambda t: t.tensor([1], dtype=list), lambda t: t.zeros(2).view(str)])
def test_arguments(call, torch):
    assert_same_error(torch, call)


@pytest.mark.parametrize("call", [
    lambda t, x, i: t.gather(x, 0, i, out=t.empty(1).expand(3)), lambda t, x, i: t.gather(x, 0, i, out=x[:3]),
    lambda t, x, i: t.gather(x, 0, i, out=t.empty(3, dtype=t.float64)),
    lambda t, x, i: t.index_select(x, 0, i, out=t.empty(1).expand(3)), lambda t, x, i: t.take(x, i, out=x[:3]),
    lambda t, x, i: t.masked_select(x, x > 2, out=x), lambda t, x, i: t.kthvalue(x, 2, out=(x[0], i[0])),
    lambda t, x, i: t.bernoulli(x / 6, out=t.empty(1).expand(6))])
def test_results_that_cannot_be_written(call, torch):
    assert_same_error(torch, lambda t: call(t, *shared(t)))


@pytest.mark.parametrize("name", ["abs", "ceil", "floor", "neg", "relu", "trunc"])
def test_no_bool(name, torch):
    assert_same_error(torch, lambda t: getattr(t, name)(t.ones(2, dtype=t.bool)))


@pytest.mark.parametrize("call", [
    lambda t, x: t.frac(x), lambda t, x: t.hypot(x, x), lambda t, x: t.logaddexp(x, x),
    lambda t, x: t.igamma(x, x), lambda t, x: t.nn.functional.silu(x), lambda t, x: t.nn.functional.gelu(x),
    lambda t, x: t.nn.functional.elu(x), lambda t, x: t.addcdiv(x, x, x), lambda t, x: t.nn.functional.softplus(x)])
def test_no_integers(call, torch):
    assert_same_error(torch, lambda t: call(t, t.ones(2, dtype=t.int64)))


@pytest.mark.parametrize("call", [
    lambda F, t: F.adaptive_avg_pool2d(t.zeros(2, 2), (2, 2)), lambda F, t: F.adaptive_max_pool1d(t.zeros(1, 2, 3), ()),
    lambda F, t: F.max_pool1d(t.zeros(0, 10), 1), lambda F, t: F.prelu(t.zeros(2, 8), t.zeros(2, 4)),
    lambda F, t: F.multi_margin_loss(t.zeros(5, 4), t.zeros(5), reduction="abc"),
    lambda F, t: t.signal.windows.hann(3, dtype=t.float16)])
def test_layers(call, torch):
    assert_same_error(torch, lambda t: call(t.nn.functional, t))


def test_slices_that_do_not_fit(torch):
    for t in (torch, clgrad):
        with pytest.raises(RuntimeError, match="index_copy_.*same slice shapes"):
            t.ones(3, 4).index_copy(0, t.tensor([0, 1, 2]), t.ones(4, 5))
