"""Divergences of all pairs that PyTorch has, against PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clgrad

FAMILIES = {"Beta": (1.5, 2.5), "ContinuousBernoulli": (0.3,), "Exponential": (1.5,), "Gamma": (2.5, 1.5),
            "Gumbel": (0.5, 2.0), "Laplace": (0.5, 2.0), "Normal": (0.5, 2.0), "Pareto": (0.1, 3.5),
            "Uniform": (0.2, 0.7), "Poisson": (2.5,), "Bernoulli": (0.3,), "Binomial": (6, 0.3), "Cauchy": (0.5, 2.0)}


def made(lib, name, shift=0.0):
    values = [v if isinstance(v, int) else lib.tensor([v + shift], dtype=lib.float64) for v in FAMILIES[name]]
    return getattr(lib.distributions, name)(*values)


@pytest.mark.parametrize("p_name", FAMILIES)
def test_pairs(p_name, torch):
    for q_name in FAMILIES:
        try:
            want = torch.distributions.kl_divergence(made(torch, p_name), made(torch, q_name, 0.05))
        except NotImplementedError:
            with pytest.raises(NotImplementedError, match="No KL"):
                clgrad.distributions.kl_divergence(made(clgrad, p_name), made(clgrad, q_name, 0.05))
            continue
        found = clgrad.distributions.kl_divergence(made(clgrad, p_name), made(clgrad, q_name, 0.05))
        np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-6, atol=1e-9, err_msg=q_name)


@pytest.mark.parametrize("name", ["Normal", "Gamma", "Beta", "Exponential", "Bernoulli"])
def test_exponential_families(name):
    """The general formulas give what each family's own do."""
    p, q = made(clgrad, name), made(clgrad, name, 0.05)
    general = clgrad.distributions.kl._exponential_family(p, q)
    np.testing.assert_allclose(general.detach().numpy(), clgrad.distributions.kl_divergence(p, q).numpy(), rtol=1e-5)
    entropy = clgrad.distributions.ExponentialFamily.entropy(p)
    np.testing.assert_allclose(entropy.detach().numpy(), p.entropy().numpy(), rtol=1e-5)


def test_families_of_matrices_and_transformed_ones():
    torch, found = pytest.importorskip("torch"), []
    for lib in (clgrad, torch):
        d, eye = lib.distributions, lib.eye(2, dtype=lib.float64)
        three, four = (lib.tensor(v, dtype=lib.float64) for v in (3.0, 4.0))
        low = d.LowRankMultivariateNormal(lib.zeros(2, dtype=lib.float64), eye[:, :1], eye.diagonal())
        moved = [d.TransformedDistribution(made(lib, "Normal", s), [d.AffineTransform(1.0, 2.0)]) for s in (0.0, 0.3)]
        found.append([d.kl_divergence(d.Wishart(three, 2 * eye), d.Wishart(four, eye)).item(),
                      d.kl_divergence(low, d.MultivariateNormal(lib.ones(2, dtype=lib.float64), eye)).item(),
                      d.kl_divergence(d.MultivariateNormal(lib.ones(2, dtype=lib.float64), eye), low).item(),
                      d.kl_divergence(*moved).item()])
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_unknown_entropy():
    with pytest.raises(NotImplementedError):
        clgrad.distributions.Poisson(3.0).entropy()


def test_supports():
    kl, d = clgrad.distributions.kl_divergence, clgrad.distributions
    assert kl(d.Uniform(-1.0, 1.0), d.Exponential(1.0)).item() == math.inf
    assert kl(d.Beta(2.0, 2.0), d.Uniform(0.2, 2.0)).item() == math.inf
    assert kl(d.Pareto(1.0, 2.0), d.Pareto(1.5, 2.0)).item() == math.inf
    with pytest.raises(NotImplementedError, match="No KL"):
        kl(d.TransformedDistribution(d.Normal(0.0, 1.0), [d.ExpTransform()]),
           d.TransformedDistribution(d.Normal(0.0, 1.0), [d.TanhTransform()]))
