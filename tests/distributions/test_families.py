"""Inverse gamma, continuous Bernoulli, generalized Pareto, Wishart and LKJ: PyTorch's values, and moments of samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import clgrad


def made(lib, name):
    """A distribution, and values in its support."""
    d = lib.distributions

    def v(*x):
        return lib.tensor(x, dtype=lib.float64)
    cov = lib.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=lib.float64)
    factor = lib.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=lib.float64)
    return {
        "inverse gamma": lambda: (d.InverseGamma(v(2.5, 0.7), v(1.5, 1.5)), v(0.4, 2.0)),
        "continuous Bernoulli": lambda: (d.ContinuousBernoulli(v(0.2, 0.5, 0.9)), v(0.4, 0.7, 1.0)),
        "its logits": lambda: (d.ContinuousBernoulli(logits=v(-2.0, 0.001, 0.5)), v(0.4, 0.7, 0.0)),
        "Wishart": lambda: (d.Wishart(v(3.0, 4.5), covariance_matrix=cov), cov),
        "Wishart of a factor": lambda: (d.Wishart(v(4.5), scale_tril=factor), cov),
        "Wishart of a precision": lambda: (d.Wishart(v(4.5), precision_matrix=cov), cov),
        "LKJ": lambda: (d.LKJCholesky(2, v(0.7, 2.0)), factor),
        "LKJ of 4": lambda: (d.LKJCholesky(4, v(1.5)), lib.eye(4, dtype=lib.float64)),
        "logistic normal": lambda: (d.LogisticNormal(v(0.1, 0.2), v(1.0, 0.5)), v(0.2, 0.3, 0.5)),
    }[name]()


NAMES = ["inverse gamma", "continuous Bernoulli", "its logits", "Wishart", "Wishart of a factor",
         "Wishart of a precision", "LKJ", "LKJ of 4", "logistic normal"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:Singular sample")
def test_against_pytorch(torch, name):
    (ours, x), (theirs, y) = made(clgrad, name), made(torch, name)
    for attribute in ("log_prob", "mean", "mode", "variance", "stddev", "entropy", "cdf", "icdf"):
        given = ((x,), (y,)) if attribute in ("log_prob", "cdf", "icdf") else ((), ())
        try:
            want = getattr(theirs, attribute)
            want = want(*given[1]) if callable(want) else want
        except NotImplementedError:
            continue
        found = getattr(ours, attribute)
        found = found(*given[0]) if callable(found) else found
        np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-6, atol=1e-9, err_msg=attribute)
    assert ours.batch_shape == tuple(theirs.batch_shape) and ours.event_shape == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample and ours.support.event_dim == theirs.support.event_dim
    grown = ours.expand((3, *ours.batch_shape))
    assert type(grown) is type(ours) and grown.batch_shape == (3, *ours.batch_shape)
    drawn = grown.sample((4,))
    assert drawn.shape == (4, 3, *ours.batch_shape, *ours.event_shape) and bool(ours.support.check(drawn).all())
    np.testing.assert_allclose(grown.log_prob(x).numpy(), np.broadcast_to(
        ours.log_prob(x).numpy(), grown.log_prob(x).shape), rtol=1e-9)


def test_generalized_pareto(torch):
    """SciPy's, and PyTorch's where that takes float32 only."""
    loc, scale, shape = 0.5, 2.0, [-0.4, 0.0, 0.3, 2.0]
    law = stats.genpareto(shape, loc, scale)
    d = clgrad.distributions.GeneralizedPareto(loc, scale, clgrad.tensor(shape, dtype=clgrad.float64))
    x, share = np.array([0.6, 0.7, 1.0, 2.0]), np.array([0.1, 0.5, 0.6, 0.9])
    value = clgrad.tensor(x)
    np.testing.assert_allclose(d.log_prob(value).numpy(), law.logpdf(x), rtol=1e-6)
    np.testing.assert_allclose(d.cdf(value).numpy(), law.cdf(x), rtol=1e-6)
    np.testing.assert_allclose(d.log_cdf(value).numpy(), law.logcdf(x), rtol=1e-6)
    np.testing.assert_allclose(d.icdf(clgrad.tensor(share)).numpy(), law.ppf(share), rtol=1e-6)
    np.testing.assert_allclose(d.entropy().numpy(), law.entropy(), rtol=1e-6)
    other = torch.distributions.GeneralizedPareto(torch.tensor(loc), torch.tensor(scale), torch.tensor(shape))
    for name in ("mean", "variance", "mode"):
        np.testing.assert_allclose(getattr(d, name).numpy(), getattr(other, name).numpy(), rtol=1e-5, err_msg=name)
    clgrad.manual_seed(1)
    drawn = d.expand((3, 4)).rsample((1500,)).reshape(-1, 4).numpy()
    for k, c in enumerate(shape):
        assert stats.kstest(drawn[:, k], stats.genpareto(c, loc, scale).cdf).pvalue > 1e-3
    with pytest.raises(ValueError, match="within the support"):
        d.log_prob(clgrad.tensor(6.0))


@pytest.mark.parametrize("name", ["inverse gamma", "continuous Bernoulli", "its logits"])
def test_samples(name):
    clgrad.manual_seed(2)
    d = made(clgrad, name)[0]
    drawn = d.sample((4000,))
    for k in range(drawn.shape[1]):
        def law(x, k=k):
            return d.cdf(clgrad.tensor(x).unsqueeze(-1).expand(-1, drawn.shape[1]))[:, k].numpy()
        assert stats.kstest(drawn[:, k].numpy(), law).pvalue > 1e-3


def test_samples_of_wishart():
    clgrad.manual_seed(2)
    d = made(clgrad, "Wishart of a factor")[0]
    for drawn in (d.sample((4000,)).numpy(), d._bartlett_sampling((4000,)).numpy()):
        np.testing.assert_allclose(drawn.mean(0), d.mean.numpy(), atol=0.3)
        np.testing.assert_allclose(drawn.var(0), d.variance.numpy(), rtol=0.2)


@pytest.mark.parametrize("n", [2, 4])
def test_samples_of_lkj(n):
    """Each correlation is beta distributed over (-1, 1) with both parameters concentration + n / 2 - 1."""
    clgrad.manual_seed(2)
    factor = clgrad.distributions.LKJCholesky(n, 1.5).sample((2000,))
    correlation = (factor @ factor.mT).numpy()
    law = stats.beta(1.5 + n / 2 - 1, 1.5 + n / 2 - 1, -1, 2)
    for row in range(1, n):
        assert stats.kstest(correlation[:, row, 0], law.cdf).pvalue > 1e-3


def test_gradients_of_samples():
    scale = clgrad.eye(2, dtype=clgrad.float64).requires_grad_()
    clgrad.distributions.Wishart(3.0, scale_tril=scale).rsample().sum().backward()
    logits = clgrad.zeros(3, requires_grad=True)
    clgrad.distributions.ContinuousBernoulli(logits=logits + 1).rsample().sum().backward()
    assert (scale.grad.diagonal() != 0).all() and (logits.grad > 0).all()


@pytest.mark.parametrize(("make", "words"), [
    (lambda d: d.LKJCholesky(1), "greater than or equal to 2"),
    (lambda d: d.Wishart(3.0), "Exactly one of"),
    (lambda d: d.Wishart(0.5, covariance_matrix=clgrad.eye(2)), "expected to be greater"),
    (lambda d: d.Wishart(3.0, covariance_matrix=-clgrad.eye(2)), "covariance_matrix"),
    (lambda d: d.InverseGamma(-1.0, 1.0), "concentration"),
    (lambda d: d.ContinuousBernoulli(1.5), "invalid values"),
    (lambda d: d.GeneralizedPareto(0.0, -1.0, 0.0), "scale")])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make(clgrad.distributions)


def test_wishart_draws_singular_samples_again(monkeypatch):
    made = clgrad.distributions.Wishart(clgrad.tensor(3.0), covariance_matrix=clgrad.eye(2))
    drawn = iter([clgrad.zeros(2, 2), clgrad.eye(2)])
    monkeypatch.setattr(made, "_bartlett_sampling", lambda shape: next(drawn))
    with pytest.warns(UserWarning, match="Singular sample"):
        assert clgrad.equal(made.rsample(max_try_correction=3), clgrad.eye(2))


def test_supports_are_known_of_classes_as_far_as_pytorchs(torch):
    def known(library, name):
        found = []
        for part in ("is_discrete", "event_dim"):
            try:
                found.append(getattr(getattr(library.distributions, name).support, part))
            except NotImplementedError:
                found.append("of instances")
        return found
    for name in ("Independent", "TransformedDistribution", "MixtureSameFamily", "RelaxedBernoulli",
                 "RelaxedOneHotCategorical", "Uniform", "Pareto", "Binomial", "Categorical", "Multinomial"):
        assert known(clgrad, name) == known(torch, name)
    dependent = clgrad.distributions.constraints.dependent
    with pytest.raises(NotImplementedError, match="event_dim cannot be determined statically"):
        dependent(is_discrete=True).event_dim  # noqa: B018


def test_a_subclass_of_independent_stays_one_when_expanded():
    class Own(clgrad.distributions.Independent):
        pass
    own = Own(clgrad.distributions.Normal(clgrad.zeros(2, 3), clgrad.ones(2, 3)), 1).expand((4, 2))
    assert type(own) is Own and own.batch_shape == (4, 2) and own.event_shape == (3,)
    assert own.log_prob(clgrad.zeros(3)).shape == own.sample().shape[:2] == (4, 2)


@pytest.mark.parametrize("logits", [1e38, -1e38, 1e9])
def test_continuous_bernoulli_of_certainty(logits, torch):
    results = []
    for t in (torch, clgrad):
        d = t.distributions.ContinuousBernoulli(logits=t.tensor([logits]))
        results.append([float(v) for v in (d.mean, d.variance, d.entropy(), d.log_prob(t.tensor([float(logits > 0)])))])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4)


def test_multinomial_refuses_negative_counts():
    with pytest.raises(ValueError, match="total_count .* to satisfy the constraint IntegerGreaterThan"):
        clgrad.distributions.Multinomial(-1, clgrad.ones(2))


@pytest.mark.parametrize("name", ["Categorical", "Bernoulli", "Geometric", "ContinuousBernoulli"])
@pytest.mark.parametrize("given", ["probs", "logits"])
def test_the_other_parameter_is_computed_once_and_has_its_gradient(name, given, torch):
    results = []
    for t in (torch, clgrad):
        value = t.tensor([0.2, 0.5, 0.3], requires_grad=True)
        d = getattr(t.distributions, name)(**{given: value})
        other = "logits" if given == "probs" else "probs"
        with t.no_grad():
            found = getattr(d, other)
        assert found is getattr(d, other) and found.requires_grad
        (g,) = t.autograd.grad((found * t.arange(3.0)).sum(), value)
        results.append((repr(d), getattr(d, "param_shape", d.batch_shape), found.detach().numpy(), g.numpy()))
    assert results[0][:2] == results[1][:2]
    for a, b in zip(results[0][2:], results[1][2:], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("values", [[0.0, 1.0, 2.0], [0.5, 1.0, 1.5], [-1.0, 3.0, float("nan")],
                                    [float("inf"), 0.0, -0.0], [0, 1, 5]])
def test_constraints_of_numbers(values, torch):
    found = [[getattr(t.distributions.constraints, name)(*bounds).check(t.tensor(values)).tolist()
              for name, bounds in (("interval", (0, 1)), ("integer_interval", (0, 2)), ("half_open_interval", (0.0, 1.0)),
                                   ("greater_than", (0,)), ("integer_interval", (-1, 5)))] for t in (torch, clgrad)]
    assert found[0] == found[1]


@pytest.mark.parametrize("values", [[0.2, 0.8], [0.2, 0.7], [-0.1, 1.1], [float("nan"), 1.0], [[0.5, 0.5], [1.0, 0.1]],
                                    [1.0, 1e-7]])
def test_constraint_of_probabilities(values, torch):
    found = [t.distributions.constraints.simplex.check(t.tensor(values)).tolist() for t in (torch, clgrad)]
    assert found[0] == found[1]
    assert clgrad.distributions.constraints.simplex.check(clgrad.zeros(2, 0)).tolist() == [False, False]
