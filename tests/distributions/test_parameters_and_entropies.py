"""What distributions say of their parameters, and entropies and modes, against PyTorch and by enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import clgrad
from clgrad import distributions as D
from clgrad.distributions.constraints import all_fit
from tests.compare import assert_same

MATRIX = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]])
LOC = np.array([[0.5, -1.0, 2.0], [0.0, 1.0, 0.0]])
WAYS = {
    "covariance_matrix": MATRIX, "precision_matrix": np.linalg.inv(MATRIX), "scale_tril": np.linalg.cholesky(MATRIX)}


@pytest.mark.parametrize("name", list(WAYS))
def test_normal_vectors_by_any_matrix(name, torch):
    found = []
    for t in (torch, clgrad):
        matrix = t.tensor(WAYS[name].tolist(), dtype=t.float64, requires_grad=True)
        d = t.distributions.MultivariateNormal(t.tensor(LOC.tolist(), dtype=t.float64), **{name: matrix})
        first = repr(d)
        log = d.log_prob(t.ones(4, 2, 3, dtype=t.float64))
        wider = d.expand((5, 2))
        (slope,) = t.autograd.grad(log.sum() + d.entropy().sum(), matrix)
        found.append([first, log, d.entropy(), d.variance, d.covariance_matrix, d.precision_matrix, d.scale_tril, slope,
                      wider.log_prob(t.zeros(5, 2, 3, dtype=t.float64)), wider.batch_shape, list(d.arg_constraints)])
    for expected, got in zip(*found, strict=True):
        if isinstance(got, clgrad.Tensor):
            assert_same(got, expected, rtol=1e-9, atol=1e-11)
        else:
            assert str(got) == str(expected)
    with pytest.raises(ValueError, match=f"Expected parameter {name}"):
        D.MultivariateNormal(clgrad.zeros(3), **{name: clgrad.full((3, 3), -1.0)})


def test_a_covariance_of_low_rank(torch):
    found = []
    for t in (torch, clgrad):
        w, diagonal = t.tensor([[1.0], [0.5], [-2.0]], dtype=t.float64), t.tensor([0.5, 1.0, 2.0], dtype=t.float64)
        d = t.distributions.LowRankMultivariateNormal(t.tensor(LOC.tolist(), dtype=t.float64), w, diagonal)
        found.append([d.log_prob(t.ones(2, 3, dtype=t.float64)), d.entropy(), d.cov_factor, d.cov_diag, d.variance,
                      d.expand((4, 2)).cov_factor, repr(d)])
    for expected, got in zip(*found, strict=True):
        if isinstance(got, clgrad.Tensor):
            assert_same(got, expected, rtol=1e-9, atol=1e-11)
        else:
            assert got == expected
    with pytest.raises(ValueError, match="cov_factor must be a batch of matrices with shape 3 x m"):
        D.LowRankMultivariateNormal(clgrad.zeros(3), clgrad.ones(2, 1), clgrad.ones(3))


def test_the_entropy_of_a_multinomial_is_its_sum():
    probs, n = np.array([0.2, 0.5, 0.3]), 4
    expected = 0.0
    for counts in itertools.product(range(n + 1), repeat=3):
        if sum(counts) == n:
            p = math.factorial(n) * np.prod(probs ** counts / [math.factorial(c) for c in counts])
            expected -= p * math.log(p)
    got = D.Multinomial(n, clgrad.tensor(probs.tolist(), dtype=clgrad.float64)).entropy()
    np.testing.assert_allclose(got.item(), expected, rtol=1e-12)


def test_kumaraswamys_entropy_and_mode():
    a, b = 2.5, 3.0
    x = (np.arange(200_000) + 0.5) / 200_000
    density = a * b * x ** (a - 1) * (1 - x ** a) ** (b - 1)
    d = D.Kumaraswamy(clgrad.tensor([a, 0.5], dtype=clgrad.float64), b)
    np.testing.assert_allclose(d.entropy()[0].item(), -(density * np.log(density)).mean(), rtol=1e-6)
    np.testing.assert_allclose(d.mode[0].item(), x[density.argmax()], atol=1e-5)
    assert math.isnan(d.mode[1].item())
    assert repr(d) == "Kumaraswamy(concentration1: torch.Size([2]), concentration0: torch.Size([2]))"
    assert d.expand((3, 2)).log_prob(clgrad.full((3, 2), 0.5, dtype=clgrad.float64)).shape == (3, 2)


@pytest.mark.parametrize("make", [
    lambda v: D.Chi2(v), lambda v: D.Kumaraswamy(v, 1.0), lambda v: D.Gumbel(0.0, v), lambda v: D.Weibull(v, 1.0)])
def test_parameters_that_are_not_positive_are_refused(make):
    with pytest.raises(ValueError, match="to satisfy the constraint GreaterThan"):
        make(clgrad.tensor([1.0, -3.0]))


CONSTRAINTS = {
    "real": lambda c: c.real, "positive": lambda c: c.positive, "nonnegative": lambda c: c.nonnegative,
    "unit_interval": lambda c: c.unit_interval, "half_open": lambda c: c.half_open_interval(-1, 2.5),
    "less_than": lambda c: c.less_than(2.5), "greater_than_eq": lambda c: c.greater_than_eq(-1),
    "integers": lambda c: c.integer_interval(0, 2), "boolean": lambda c: c.boolean, "simplex": lambda c: c.simplex,
    "real_vector": lambda c: c.real_vector, "positive vectors": lambda c: c.independent(c.positive, 1)}
VALUES = {
    "fits many": [[0.25, 0.75], [1.0, 0.0]], "zeros and ones": [[1.0, 0.0, 0.0]], "whole": [[2.0, 1.0], [0.0, 2.0]],
    "negative": [[-1.0, 2.0]], "halves": [[2.5, 0.5]], "NaN": [[0.5, float("nan")]], "infinite": [[0.5, float("inf")]],
    "nearly one": [[0.5, 0.5000004]], "not one": [[0.5, 0.500004]], "none": [[]], "many": [[1.0] * 5000]}


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_values_fit_as_in_pytorch(name, kind, torch):
    """Few values are looked at by the host, many by a kernel: with the same answer, which is PyTorch's."""
    for values in VALUES.values():
        if kind in ("int64", "bool") and not np.isfinite(values).all():
            continue
        own = clgrad.tensor(values, dtype=clgrad.float32).to(getattr(clgrad, kind))
        reference = torch.tensor(values, dtype=torch.float32).to(getattr(torch, kind))
        expected = bool(CONSTRAINTS[name](torch.distributions.constraints).check(reference).all())
        for given in (own, own + 0 if kind != "bool" else own.clone()):  # as it came, and computed
            assert all_fit(CONSTRAINTS[name](clgrad.distributions.constraints), given) == expected, (values, kind)
