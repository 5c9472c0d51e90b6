"""Classes derive from those from which PyTorch's derive, so that ``isinstance`` says the same."""

from __future__ import annotations

import inspect

import pytest

import clgrad

PLAIN = {"Generic", "object", "ABC"}


def bases(cls):
    return {base.__name__ for base in cls.__mro__} - PLAIN


@pytest.mark.parametrize("place", ["nn", "optim", "optim.lr_scheduler", "distributions", "distributions.transforms"])
def test_bases(torch, place):
    ours, theirs = clgrad, torch
    for name in place.split("."):
        ours, theirs = getattr(ours, name), getattr(theirs, name)
    for name, cls in vars(theirs).items():
        if inspect.isclass(cls) and inspect.isclass(getattr(ours, name, None)):
            assert bases(cls) <= bases(getattr(ours, name)), name


def test_what_is_not_derived():
    pools = clgrad.nn.modules.pooling
    assert not isinstance(clgrad.nn.AdaptiveMaxPool1d(1), pools._AdaptiveAvgPoolNd)
    assert repr(clgrad.nn.ReLU6()) == "ReLU6()" and repr(clgrad.nn.ZeroPad1d(1)) == "ZeroPad1d((1, 1))"
    assert clgrad.nn.ReLU6()(clgrad.tensor([-1.0, 3.0, 9.0])).tolist() == [0, 3, 6]


@pytest.mark.parametrize(("name", "arguments"), [
    ("Gumbel", (0.3, 0.7)), ("HalfNormal", (0.7,)), ("HalfCauchy", (0.7,)), ("Pareto", (0.5, 1.7)), ("Weibull", (0.5, 1.7))])
def test_transformed_distributions(torch, name, arguments):
    """The formulas of these are their own; the general ones of transformed distributions give the same."""
    ours, theirs = (getattr(lib.distributions, name)(*[lib.tensor([a, a + 0.2]) for a in arguments])
                    for lib in (clgrad, torch))
    assert [repr(type(t).__name__) for t in ours.transforms] == [repr(type(t).__name__) for t in theirs.transforms]
    assert type(ours.base_dist).__name__ == type(theirs.base_dist).__name__
    value = ours.expand((3, 2)).rsample((4,))
    assert value.shape == (4, 3, 2) and ours.support.check(value).all()
    if "Half" in name:  # abs has no inverse
        return
    general = clgrad.distributions.TransformedDistribution(ours.base_dist, ours.transforms)
    for method in ("log_prob", "cdf"):
        clgrad.testing.assert_close(getattr(ours, method)(value), getattr(general, method)(value), rtol=1e-3, atol=1e-4)
