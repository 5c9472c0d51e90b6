"""Distributions: PyTorch's densities, moments, entropies and divergences; samples by Kolmogorov's and Smirnov's test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import clgrad

# name: parameters, values in the support
TABLE = {
    "Normal": ((0.5, 2.0), [-1.0, 0.3]), "Laplace": ((0.5, 2.0), [-1.0, 0.7]), "Cauchy": ((0.5, 2.0), [-1.0, 0.7]),
    "Gumbel": ((0.5, 2.0), [-1.0, 0.7]), "Uniform": ((-1.0, 2.0), [-0.5, 1.5]), "Exponential": ((1.5,), [0.3, 2.0]),
    "HalfNormal": ((1.5,), [0.3, 2.0]), "HalfCauchy": ((1.5,), [0.3, 2.0]), "LogNormal": ((0.2, 0.7), [0.3, 2.0]),
    "Pareto": ((1.5, 3.0), [1.7, 2.0]), "Weibull": ((1.5, 2.0), [0.3, 2.0]), "Gamma": ((2.5, 1.5), [0.3, 2.0]),
    "Chi2": ((3.0,), [0.3, 2.0]), "Beta": ((2.0, 3.0), [0.3, 0.8]), "StudentT": ((5.0, 0.5, 2.0), [-1.0, 0.7]),
    "FisherSnedecor": ((5.0, 6.0), [0.3, 2.0]), "Bernoulli": ((0.3,), [0.0, 1.0]), "Geometric": ((0.3,), [0.0, 4.0]),
    "Binomial": ((6, 0.3), [0.0, 4.0]), "NegativeBinomial": ((4.0, 0.3), [0.0, 4.0]), "Poisson": ((2.5,), [0.0, 4.0]),
    "VonMises": ((0.5, 2.0), [-1.0, 0.7]), "Kumaraswamy": ((2.0, 3.0), [0.3, 0.8]),
}


def made(lib, name):
    parameters, values = TABLE[name]
    tensors = [p if isinstance(p, int) else lib.tensor(p, dtype=lib.float64) for p in parameters]
    return getattr(lib.distributions, name)(*tensors), lib.tensor(values, dtype=lib.float64)


def number(distribution, name, *argument):
    """An attribute or a method's result as an array; None where it is not implemented."""
    try:
        found = getattr(distribution, name)
        found = found(*argument) if callable(found) else found
    except NotImplementedError:
        return None
    return np.asarray(found.detach().numpy())


@pytest.mark.parametrize("name", TABLE)
def test_against_pytorch(torch, name):
    (ours, x), (theirs, y) = made(clgrad, name), made(torch, name)
    np.testing.assert_allclose(ours.log_prob(x).numpy(), theirs.log_prob(y).numpy(), rtol=1e-6)
    for attribute in ("mean", "mode", "variance"):
        a, b = number(ours, attribute), number(theirs, attribute)
        if b is not None and not (name == "Kumaraswamy" and attribute == "mode"):
            np.testing.assert_allclose(a, b, rtol=1e-5, err_msg=attribute)
    for call in ("entropy", "cdf", "icdf"):
        shares = [lib.tensor([0.2, 0.6], dtype=lib.float64) for lib in (clgrad, torch)]
        mine, other = {"entropy": ([], []), "cdf": ([x], [y]), "icdf": (shares[:1], shares[1:])}[call]
        a, b = number(ours, call, *mine), number(theirs, call, *other)
        if a is not None and b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5, err_msg=call)
    assert ours.expand((3, 2)).batch_shape == (3, 2) and ours.expand((3, 2)).sample((4,)).shape == (4, 3, 2)
    assert ours.has_rsample == theirs.has_rsample


@pytest.mark.parametrize(("name", "law"), [
    ("Normal", stats.norm(0.5, 2)), ("Laplace", stats.laplace(0.5, 2)), ("Cauchy", stats.cauchy(0.5, 2)),
    ("Gumbel", stats.gumbel_r(0.5, 2)), ("Uniform", stats.uniform(-1, 3)), ("Exponential", stats.expon(0, 1 / 1.5)),
    ("HalfNormal", stats.halfnorm(0, 1.5)), ("HalfCauchy", stats.halfcauchy(0, 1.5)),
    ("LogNormal", stats.lognorm(0.7, 0, np.exp(0.2))), ("Pareto", stats.pareto(3, scale=1.5)),
    ("Weibull", stats.weibull_min(2, scale=1.5)), ("Gamma", stats.gamma(2.5, scale=1 / 1.5)),
    ("Chi2", stats.chi2(3)), ("Beta", stats.beta(2, 3)), ("StudentT", stats.t(5, 0.5, 2)),
    ("FisherSnedecor", stats.f(5, 6)), ("VonMises", stats.vonmises(2, 0.5))])
def test_samples(name, law):
    clgrad.manual_seed(3)
    drawn = made(clgrad, name)[0].sample((4000,)).numpy()
    assert stats.kstest(drawn, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(("name", "law"), [
    ("Bernoulli", stats.bernoulli(0.3)), ("Geometric", stats.geom(0.3, -1)), ("Binomial", stats.binom(6, 0.3)),
    ("NegativeBinomial", stats.nbinom(4, 0.7)), ("Poisson", stats.poisson(2.5))])
def test_discrete_samples(name, law):
    clgrad.manual_seed(3)
    drawn = made(clgrad, name)[0].sample((4000,)).numpy()
    for k in range(5):
        assert (drawn == k).mean() == pytest.approx(law.pmf(k), abs=0.03)


def test_small_shapes_of_gamma():
    clgrad.manual_seed(3)
    drawn = clgrad.distributions.Gamma(clgrad.tensor(0.3), clgrad.tensor(1.0)).sample((4000,)).numpy()
    assert stats.kstest(drawn, stats.gamma(0.3).cdf).pvalue > 1e-3


def test_gradient_of_gamma(torch):
    """The implicit gradient at the same points as PyTorch's."""
    a = clgrad.full((50,), 1.7, dtype=clgrad.float64, requires_grad=True)
    drawn = clgrad.distributions.Gamma(a, clgrad.ones(50, dtype=clgrad.float64)).rsample()
    drawn.sum().backward()
    want = torch._standard_gamma_grad(torch.full((50,), 1.7, dtype=torch.float64), torch.tensor(drawn.detach().numpy()))
    np.testing.assert_allclose(a.grad.numpy(), want.numpy(), rtol=1e-3)  # PyTorch's is an approximation


def test_categories(torch):
    found = []
    for lib in (clgrad, torch):
        logits = lib.tensor([[0.1, 0.5, -1.0], [1.0, 0.0, 0.2]], dtype=lib.float64)
        d, one = lib.distributions.Categorical(logits=logits), lib.distributions.OneHotCategorical(logits=logits)
        counts = lib.distributions.Multinomial(5, logits=logits)
        found.append([d.log_prob(lib.tensor([[0, 1], [2, 2]])), d.entropy(), d.mode, d.enumerate_support(),
                      one.log_prob(lib.tensor([[0.0, 1, 0], [1, 0, 0]])), one.mean, one.entropy(),
                      counts.log_prob(lib.tensor([[2.0, 2, 1], [0, 5, 0]])), counts.variance, d.probs])
        assert d.sample((7,)).shape == (7, 2) and one.sample((7,)).shape == (7, 2, 3)
        assert counts.sample((7,)).sum(-1).tolist() == [[5.0, 5.0]] * 7
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    clgrad.manual_seed(0)
    drawn = clgrad.distributions.Categorical(clgrad.tensor([0.2, 0.5, 0.3])).sample((4000,)).bincount() / 4000
    assert drawn.tolist() == pytest.approx([0.2, 0.5, 0.3], abs=0.03)


def test_multinomial_function():
    clgrad.manual_seed(0)
    weights = clgrad.tensor([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]])
    drawn = clgrad.multinomial(weights, 3000, replacement=True)
    assert drawn.shape == (2, 3000) and drawn.dtype is clgrad.int64
    assert (drawn[0] == 2).float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert not (drawn[1] == 0).any()
    with pytest.raises(RuntimeError, match="without replacement"):
        clgrad.multinomial(weights, 4)
    with pytest.raises(RuntimeError, match="element < 0"):
        clgrad.multinomial(clgrad.tensor([-1.0, 2.0]), 1)


def composed(lib):
    d, t = lib.distributions, lib.float64

    def v(*x):
        return lib.tensor(x, dtype=t)
    matrix = lib.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=t)
    normal = d.Normal(v(0.1, -0.4), v(1.0, 2.0))
    mixture = d.MixtureSameFamily(d.Categorical(v(0.3, 0.7)), normal)
    return [(d.MultivariateNormal(v(0.5, 1.0), matrix), v(0.2, 0.1)), (d.Independent(normal, 1), v(0.2, 0.1)),
            (d.LowRankMultivariateNormal(v(0.5, 1.0), v(0.3, 0.1).view(2, 1), v(1.0, 2.0)), v(0.2, 0.1)),
            (mixture, v(0.2)), (d.Dirichlet(v(1.0, 2.0, 3.0)), v(0.2, 0.3, 0.5)),
            (d.TransformedDistribution(normal, [d.AffineTransform(1.0, 2.0), d.TanhTransform()]), v(0.2, 0.1)),
            (d.TransformedDistribution(normal, [d.ExpTransform()]), v(0.2, 0.1)),
            (d.RelaxedBernoulli(v(0.7), logits=v(0.2, 0.4)), v(0.2, 0.1)),
            (d.RelaxedOneHotCategorical(v(0.7), logits=v(0.2, 0.4, 0.1)), v(0.2, 0.3, 0.5)),
            (d.LogisticNormal(v(0.1, 0.2), v(1.0, 0.5)), v(0.2, 0.3, 0.5))]


def test_compounds(torch):
    for (ours, x), (theirs, y) in zip(composed(clgrad), composed(torch), strict=True):
        np.testing.assert_allclose(ours.log_prob(x).numpy(), theirs.log_prob(y).numpy(), rtol=1e-5,
                                   err_msg=type(ours).__name__)
        assert ours.sample((3,)).shape == tuple(theirs.sample((3,)).shape), type(ours).__name__
        assert ours.batch_shape == tuple(theirs.batch_shape)
        assert ours.event_shape == tuple(theirs.event_shape)


PAIRS = {"Normal": (0.1, 1.0), "Laplace": (0.1, 1.0), "Bernoulli": (0.6,), "Exponential": (0.6,), "Gamma": (1.1, 2.0),
         "Beta": (1.1, 2.0), "Poisson": (1.2,), "Geometric": (0.6,), "Uniform": (-2.0, 3.0), "Gumbel": (0.1, 1.0),
         "HalfNormal": (1.1,), "LogNormal": (0.1, 1.0), "Binomial": (6, 0.7)}


@pytest.mark.parametrize("name", PAIRS)
def test_divergences(torch, name):
    found = []
    for lib in (clgrad, torch):
        p = made(lib, name)[0]
        q = type(p)(*[v if isinstance(v, int) else lib.tensor(v, dtype=lib.float64) for v in PAIRS[name]])
        found.append(lib.distributions.kl_divergence(p, q).item())
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_divergences_of_vectors(torch):
    found = []
    for lib in (clgrad, torch):
        d, parts = lib.distributions, composed(lib)
        other = d.MultivariateNormal(lib.zeros(2, dtype=lib.float64), lib.eye(2, dtype=lib.float64))
        dirichlet = d.Dirichlet(lib.ones(3, dtype=lib.float64))
        found.append([d.kl_divergence(parts[0][0], other).item(), d.kl_divergence(parts[4][0], dirichlet).item(),
                      d.kl_divergence(d.Categorical(lib.tensor([0.2, 0.8])),
                                      d.Categorical(lib.tensor([0.5, 0.5]))).item()])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    with pytest.raises(NotImplementedError, match="No KL"):
        clgrad.distributions.kl_divergence(clgrad.distributions.Poisson(1.0), clgrad.distributions.Normal(0.0, 1.0))


def test_reparameterised_gradients():
    loc, scale = clgrad.zeros(3, requires_grad=True), clgrad.ones(3, requires_grad=True)
    x = clgrad.distributions.Normal(loc, scale).rsample()
    x.sum().backward()
    assert loc.grad.tolist() == [1.0] * 3 and scale.grad.tolist() == pytest.approx(x.tolist())
    assert not clgrad.distributions.Normal(loc, scale).sample().requires_grad


@pytest.mark.parametrize(("make", "words"), [
    (lambda d: d.Normal(0.0, -1.0), "Expected parameter scale"),
    (lambda d: d.Bernoulli(1.5), "Expected parameter probs"),
    (lambda d: d.Bernoulli(), "Either `probs` or `logits`"),
    (lambda d: d.Uniform(2.0, 1.0), "low >= high"),
    (lambda d: d.Exponential(1.0).log_prob(clgrad.tensor(-1.0)), "within the support"),
    (lambda d: d.Categorical(clgrad.tensor([0.5, 0.5])).log_prob(clgrad.tensor(2)), "within the support"),
    (lambda d: d.Normal(clgrad.zeros(3), 1.0).log_prob(clgrad.zeros(2)), "not broadcastable"),
    (lambda d: d.MultivariateNormal(clgrad.zeros(2)), "Exactly one of")])
def test_errors(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make(clgrad.distributions)


def test_repr():
    assert repr(clgrad.distributions.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(clgrad.distributions.Normal(clgrad.zeros(2), 1.0)) == (
        "Normal(loc: torch.Size([2]), scale: torch.Size([2]))")


def test_subclasses_that_make_their_instances_expand_them_themselves(torch):
    for t in (clgrad, torch):
        class Plain(t.distributions.Beta):
            pass

        class Own(t.distributions.Beta):
            def __init__(self, concentration):
                super().__init__(concentration, concentration)

        assert Plain(t.ones(1), t.ones(1)).expand((2, 1)).sample().shape == (2, 1)
        with pytest.raises(NotImplementedError, match="must also define a custom .expand"):
            Own(t.ones(1)).expand((2, 1))


def ordered_categories(t):
    """A distribution of a program's own, made as Pyro makes its OrderedLogistic."""
    class Ordered(t.distributions.Categorical):
        arg_constraints = {"cutpoints": t.distributions.constraints.real_vector}

        def __init__(self, cutpoints, validate_args=None):
            self.cutpoints, q = cutpoints, cutpoints.sigmoid()
            super().__init__(t.cat([q, 1 - q], -1) / 2, validate_args=validate_args)

        def expand(self, batch_shape, _instance=None):
            new = self._get_checked_instance(Ordered, _instance)
            new.cutpoints = self.cutpoints.expand((*batch_shape, 2))
            return super().expand(batch_shape, new)
    return Ordered


def test_subclasses_with_parameters_of_their_own_expand_those_and_let_theirs_expand_the_rest(torch):
    found = []
    for t in (clgrad, torch):
        wider = ordered_categories(t)(t.tensor([[-1.0, 0.5]])).expand((3,))
        found.append([list(wider.cutpoints.shape), list(wider.probs.shape), wider.log_prob(t.tensor([0, 1, 3])).tolist(),
                      wider.entropy().tolist()])
    assert found[0][:2] == found[1][:2]
    np.testing.assert_allclose(found[0][2:], found[1][2:], rtol=1e-6)


def test_shapes_are_what_a_subclass_gives(torch):
    for t in (clgrad, torch):
        made = type("Own", (t.distributions.Distribution,), {"arg_constraints": {}})((), ((2,), (3,)))
        assert made.batch_shape == () and made.event_shape == ((2,), (3,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_concentrations_reach_neither_corner(dtype):
    clgrad.manual_seed(3)
    a = clgrad.tensor(0.01, dtype=getattr(clgrad, dtype), requires_grad=True)
    drawn = clgrad.distributions.Beta(a, a).rsample((4000,))
    values = drawn.detach().numpy()
    assert values.min() > 0 and values.max() < 1
    assert (values < 0.1).mean() == pytest.approx(0.49, abs=0.03) == (values > 0.9).mean()
    drawn.log().sum().backward()
    assert a.grad.isfinite()
    assert clgrad.distributions.Gamma(a.detach(), 1.0).sample((1000,)).min() > 0


def test_gradients_of_dirichlet_samples_are_those_of_the_moments():
    clgrad.manual_seed(3)
    a, weight = clgrad.tensor([0.3, 0.8, 2.0], dtype=clgrad.float64, requires_grad=True), clgrad.tensor([1.0, 2.0, -1.0])
    (drawn,) = clgrad.autograd.grad((clgrad.distributions.Dirichlet(a).rsample((100_000,)) ** 2 * weight).sum(-1).mean(), a)
    total = a.sum()
    (moment,) = clgrad.autograd.grad((a * (a + 1) / (total * (total + 1)) * weight).sum(), a)
    np.testing.assert_allclose(drawn.tolist(), moment.tolist(), atol=0.01)


@pytest.mark.parametrize("concentration", [[2.0, 2, 1], [0.5, 0.2, 0.2], [1.0, 1, 1], [2.0, 0.5, 0.5],
                                           [[0.5, 0.2, 0.2], [3.0, 2, 1]]])
def test_modes_where_concentrations_are_small(concentration, torch):
    ours, theirs = (t.distributions.Dirichlet(t.tensor(concentration)).mode for t in (clgrad, torch))
    np.testing.assert_allclose(ours.tolist(), theirs.tolist(), rtol=1e-6)


@pytest.mark.parametrize(("p", "q"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 0.5), (1.0, 0.5), (0.0, 0.0),
                                      (1.0, 1.0)])
def test_divergences_of_certain_outcomes(p, q, torch):
    found = []
    for t in (clgrad, torch):
        bernoulli = t.distributions.Bernoulli
        found.append(t.distributions.kl_divergence(bernoulli(t.tensor(p)), bernoulli(t.tensor(q))).item())
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_gamma_takes_numbers_and_chi2_stays_of_a_programs_class(torch):
    for t in (clgrad, torch):
        assert t.distributions.Gamma(1.0, 1.0).log_prob(2).item() == -2
        assert t.distributions.Chi2(2.0).log_prob(0).item() == pytest.approx(np.log(0.5))

        class Own(t.distributions.Chi2):
            pass
        expanded = Own(t.tensor([1.0, 2.0])).expand((3, 2))
        assert type(expanded) is Own and expanded.log_prob(1.0).shape == (3, 2) == expanded.df.shape


def test_what_is_certain_has_exact_logarithms(torch):
    """Against PyTorch in float64: logits of 20 leave 2e-9 to the other outcome, which float32 holds."""
    logits, values = [20.0, 30.0, -20.0, -30.0, 0.5], [1.0, 1.0, 0.0, 0.0, 1.0]
    found = clgrad.tensor(logits, requires_grad=True)
    expected = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    log_prob = clgrad.distributions.Bernoulli(logits=found).log_prob(clgrad.tensor(values))
    wanted = -torch.nn.functional.softplus(torch.where(torch.tensor(values).bool(), -expected, expected))
    log_prob.sum().backward()
    wanted.sum().backward()
    np.testing.assert_allclose(log_prob.tolist(), wanted.tolist(), 1e-5)
    np.testing.assert_allclose(found.grad.tolist(), expected.grad.tolist(), 1e-5, 1e-7)


def test_categories_without_probability_are_not_drawn():
    clgrad.manual_seed(0)
    categories = clgrad.distributions.Categorical(clgrad.tensor([0.0, 1.0, 3.0, 0.0]))
    drawn = categories.sample((2_000_000,))
    np.testing.assert_allclose(drawn.bincount(minlength=4).numpy() / 2e6, [0, 0.25, 0.75, 0], atol=2e-3)
    assert drawn.bincount(minlength=4)[[0, 3]].tolist() == [0, 0]
    assert "logits" not in vars(categories)
