"""Random tensors: repeatable, of the stated distributions, the same on both memory paths."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import stats

import clgrad
from clgrad.autograd import gradcheck
from tests.compare import assert_same_error, values

N = 20_000


def test_a_seed_repeats_the_numbers():
    def draw():
        return [clgrad.rand(5).tolist(), clgrad.randn(3, 2).tolist(), clgrad.randint(10, (4,)).tolist(),
                clgrad.randperm(6).tolist(), clgrad.dropout(clgrad.ones(20), 0.5).tolist()]
    clgrad.manual_seed(1000)
    first = draw()
    second = draw()
    clgrad.manual_seed(1000)
    assert draw() == first
    assert second != first
    clgrad.manual_seed(1001)
    assert draw() != first


def test_state_of_generators():
    g = clgrad.Generator().manual_seed(7)
    assert g.initial_seed() == 7
    clgrad.rand(13, generator=g)
    state = g.get_state()
    assert state.dtype is clgrad.uint8
    before = clgrad.default_generator.get_state().tolist()
    a = clgrad.rand(10, generator=g).tolist()
    clgrad.rand(3, generator=g)
    assert clgrad.default_generator.get_state().tolist() == before, "a generator of one's own leaves the other alone"
    assert clgrad.rand(10, generator=g.set_state(state)).tolist() == a
    assert isinstance(g.seed(), int)
    with pytest.raises(RuntimeError):
        g.set_state(state[:3])
    with pytest.raises(RuntimeError, match="expected a long"):
        g.manual_seed("x")
    g.manual_seed(-1)
    g.manual_seed(2**63)


def test_element_numbers_do_not_depend_on_layout():
    clgrad.manual_seed(3)
    dense = clgrad.empty(4, 6).uniform_()
    clgrad.manual_seed(3)
    strided = clgrad.empty(6, 4).t().uniform_()
    np.testing.assert_array_equal(values(dense), values(strided))


DISTRIBUTIONS = {
    "rand": (lambda: clgrad.rand(N), stats.uniform()),
    "rand64": (lambda: clgrad.rand(N, dtype=clgrad.float64), stats.uniform()),
    "randn": (lambda: clgrad.randn(N), stats.norm()),
    "randn64": (lambda: clgrad.randn(N, dtype=clgrad.float64), stats.norm()),
    "uniform_": (lambda: clgrad.empty(N).uniform_(-2, 5), stats.uniform(-2, 7)),
    "normal_": (lambda: clgrad.empty(N).normal_(3, 0.5), stats.norm(3, 0.5)),
    "normal": (lambda: clgrad.normal(clgrad.full((N,), 1.0), 2.0), stats.norm(1, 2)),
    "normal_size": (lambda: clgrad.normal(1.0, 2.0, size=(N,)), stats.norm(1, 2)),
    "exponential_": (lambda: clgrad.empty(N).exponential_(2.0), stats.expon(scale=0.5)),
    "log_normal_": (lambda: clgrad.empty(N).log_normal_(0.0, 0.5), stats.lognorm(0.5)),
    "cauchy_": (lambda: clgrad.empty(N).cauchy_(1.0, 2.0), stats.cauchy(1, 2)),
    "randn_like": (lambda: clgrad.randn_like(clgrad.empty(N)), stats.norm()),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(name):
    """Kolmogorov and Smirnov's test; the seed is fixed, so that a pass today is a pass always."""
    draw, expected = DISTRIBUTIONS[name]
    sample = values(draw())
    assert stats.kstest(sample, expected.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(sample.clip(-9, 9)[:-1], sample.clip(-9, 9)[1:])[0, 1]) < 0.03, "neighbours correlate"


def test_uniform_numbers_stay_below_one():
    for dtype in ("float32", "float16", "bfloat16", "float64"):
        sample = clgrad.rand(200_000, dtype=getattr(clgrad, dtype))
        assert sample.min().item() >= 0
        assert sample.max().item() < 1, dtype


def test_normal_numbers_are_written_where_asked():
    for arguments in ((clgrad.full((3,), 5.0), 0.0), (5.0, clgrad.zeros(3)), (5.0, 0.0, (3,))):
        out = clgrad.zeros(3)
        assert clgrad.normal(*arguments, out=out) is out
        assert out.tolist() == [5.0] * 3


def test_integers():
    sample = values(clgrad.randint(-3, 4, (N,)))
    assert set(np.unique(sample)) == set(range(-3, 4))
    assert stats.chisquare(np.bincount(sample + 3)).pvalue > 1e-3
    assert clgrad.randint(5, (2, 3)).dtype is clgrad.int64
    assert clgrad.randint(0, 2, (50,), dtype=clgrad.float32).max().item() == 1.0
    assert clgrad.randint(low=2, high=3, size=(4,)).tolist() == [2, 2, 2, 2]
    assert clgrad.randint_like(clgrad.zeros(3), 1, 2).tolist() == [1.0, 1.0, 1.0]
    assert values(clgrad.randint(2**40, 2**40 + 10, (100,))).min() >= 2**40
    assert set(values(clgrad.empty(200).random_(3))) == {0.0, 1.0, 2.0}
    assert set(values(clgrad.empty(100, dtype=clgrad.uint8).random_(250, 256))) <= set(range(250, 256))


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutations(n):
    assert sorted(clgrad.randperm(n).tolist()) == sorted(clgrad.randperm(clgrad.tensor(n)).tolist()) == list(range(n))
    if n == 1000:
        assert clgrad.randperm(n).tolist() != list(range(n))


def test_small_permutations_are_equally_frequent():
    counts: dict = {}
    for _ in range(600):
        key = tuple(clgrad.randperm(3).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_bernoulli():
    assert abs(clgrad.empty(N).bernoulli_(0.3).mean().item() - 0.3) < 0.02
    p = clgrad.tensor([0.0, 1.0, 0.5]).repeat(4000).view(4000, 3)
    means = values(clgrad.bernoulli(p).mean(0))
    assert (means[0], means[1]) == (0, 1)
    assert abs(means[2] - 0.5) < 0.05
    assert clgrad.empty(9, dtype=clgrad.int64).bernoulli_(1.0).tolist() == [1] * 9


@pytest.mark.parametrize("draw", [lambda t, p: t.bernoulli(p), lambda t, p: t.poisson(p)])
def test_draws_have_gradients_of_zero(draw, torch):
    for t in (clgrad, torch):
        p = t.full((3,), 0.5, requires_grad=True)
        draw(t, p).sum().backward()
        assert p.grad.tolist() == [0] * 3


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_scales_and_drops(p):
    x = clgrad.full((N,), 3.0, requires_grad=True)
    y = clgrad.dropout(x, p)
    kept = values(y) != 0
    assert abs(kept.mean() - (1 - p)) < 0.02
    np.testing.assert_allclose(values(y)[kept], 3 / (1 - p), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(values(x.grad), kept / (1 - p), rtol=1e-6)


@pytest.mark.parametrize("cut", [slice(None), slice(1, None)], ids=["dense", "gaps"])
def test_dropout_keeps_the_order_of_dimensions(cut, torch):
    strides = []
    for library in (clgrad, torch):
        x = library.ones(2, 3, 4, 5).permute(3, 1, 0, 2)[cut].requires_grad_()
        y = library.dropout(x, 0.5, True)
        y.sum().backward()
        strides.append(y.stride())
        assert set(y.unique().tolist()) == {0.0, 2.0}
        assert library.equal(x.grad, y.detach())
    assert strides[0] == strides[1]


def test_dropout_at_its_ends_and_twice_differentiable():
    x = clgrad.ones(5, dtype=clgrad.float64, requires_grad=True)
    assert clgrad.dropout(x, 0.5, False) is x
    assert clgrad.dropout(x, 0.0).tolist() == [1.0] * 5
    assert clgrad.dropout(x, 1.0).tolist() == [0.0] * 5
    with pytest.raises(ValueError, match="between 0 and 1"):
        clgrad.dropout(x, 1.5)

    def fixed(v):
        clgrad.manual_seed(11)
        return clgrad.dropout(v * v, 0.4)
    assert gradcheck(fixed, x)
    y = fixed(x)
    (g,) = clgrad.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = clgrad.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(values(h), 2 * values(y))


@pytest.mark.parametrize("program", [
    lambda t: t.randint(3, 3, (2,)),
    lambda t: t.rand(2, dtype=t.int64),
    lambda t: t.empty(2).normal_(0, -1),
    lambda t: t.empty(2).uniform_(2, 1),
    lambda t: t.empty(2, dtype=t.int64).normal_(),
    lambda t: t.empty(2).exponential_(0),
    lambda t: t.randperm(-1),
    lambda t: t.empty(2).bernoulli_(2.0),
    lambda t: t.ones(2, requires_grad=True).uniform_(),
    lambda t: t.rand(-1),
    lambda t: t.normal(t.zeros(2), t.tensor([1.0, -1.0])),
])
def test_errors(program, torch):
    assert_same_error(torch, program)


def test_threads_never_draw_the_same_numbers():
    drawn = []

    def work():
        drawn.extend(clgrad.rand(4).tolist()[0] for _ in range(20))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(drawn)) == 80


STREAM = """
import clgrad
clgrad.manual_seed(42)
print(clgrad.rand(7).tolist(), clgrad.randn(9).tolist(), clgrad.randint(100, (5,)).tolist(),
      clgrad.randperm(8).tolist(), clgrad.dropout(clgrad.ones(33), 0.3).tolist())
"""


def test_the_stream_is_the_same_with_memory_of_its_own(monkeypatch):
    monkeypatch.setenv("CLGRAD_DISCRETE", "1")
    other = subprocess.run([sys.executable, "-c", STREAM], capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("CLGRAD_DISCRETE", "0")
    here = subprocess.run([sys.executable, "-c", STREAM], capture_output=True, text=True, check=True).stdout
    assert other == here


@pytest.mark.parametrize("kind", [clgrad.float16, clgrad.bfloat16, clgrad.bool, clgrad.int8])
def test_integers_of_every_dtype(kind):
    clgrad.manual_seed(0)
    for drawn in (clgrad.randint(0, 2, (100,), dtype=kind), clgrad.empty(100, dtype=kind).random_(0, 2)):
        assert drawn.dtype is kind and set(drawn.tolist()) == {0, 1}


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_all_unsigned_integers_are_drawn(dtype):
    drawn = clgrad.empty(N, dtype=getattr(clgrad, dtype)).random_().numpy()
    most = np.iinfo(dtype).max
    assert drawn.min() < 0.01 * most and drawn.max() > 0.99 * most


@pytest.mark.parametrize("deviation, mean", [(True, True), (True, False), (False, True)])
def test_draws_around_means_have_gradients_of_zero(deviation, mean, torch):
    found = []
    for t in (clgrad, torch):
        given = [t.ones(3, requires_grad=True) if wanted else 1.0 for wanted in (mean, deviation)]
        leaves = [x for x in given if not isinstance(x, float)]
        y = t.normal(*given)
        found.append((y.grad_fn.name(), [g.tolist() for g in t.autograd.grad(y.sum(), leaves)]))
    assert found[0] == found[1]
