"""Special functions at extreme arguments, parts of numbers, and the namespace, against SciPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special as sp

import clgrad
import clgrad.special as special
from tests.compare import assert_same, assert_same_error, pair, values

EXTREMES = {
    "erfcx": (sp.erfcx, [-5.0, -1, 0, 0.5, 1.4, 1.6, 3, 30, 1e10, np.inf, np.nan]),
    "ndtr": (sp.ndtr, [-30.0, -3, 0, 3, 30, -np.inf, np.inf, np.nan]),
    "log_ndtr": (sp.log_ndtr, [-1e5, -30.0, -2, -0.5, 0, 3, 9, -np.inf, np.nan]),
    "ndtri": (sp.ndtri, [0.0, 1e-300, 1e-20, 0.01, 0.3, 0.5, 0.7, 0.999999, 1, -0.1, 1.1, np.nan]),
    "entr": (sp.entr, [-1.0, 0, 1e-300, 0.5, 2, np.nan]),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_arguments(name):
    reference, points = EXTREMES[name]
    x = clgrad.tensor(points, dtype=clgrad.float64)
    np.testing.assert_allclose(values(getattr(special, name)(x)), reference(np.array(points)), rtol=1e-12, atol=1e-16)


def test_polygamma_of_negative_arguments(torch):
    x, y = pair(torch, [-0.3, -1.7, -5.2, 0.4, 3.0], "float64")
    for n in (1, 2, 3):
        assert_same(clgrad.polygamma(n, x), torch.polygamma(n, y), 1e-9)


def test_every_name_is_there(torch):
    for name in special.__all__:
        assert callable(getattr(torch.special, name))
    x, y = pair(torch, [[0.2, 0.7], [0.4, 0.9]])
    for program in (lambda t, v: t.special.expit(v), lambda t, v: t.special.gammaincc(v, v + 1),
                    lambda t, v: t.special.zeta(v + 2, 1),
                    lambda t, v: t.special.multigammaln(v + 3, 2), lambda t, v: t.special.softmax(v, 1),
                    lambda t, v: t.special.psi(v),
                    lambda t, v: t.mvlgamma(v + 3, 3), lambda t, v: t.float_power(v, 2), lambda t, v: t.round(v, decimals=1),
                    lambda t, v: t.angle(-v), lambda t, v: (v * 1).logit_(0.1), lambda t, v: (v * 1).nan_to_num_()):
        assert_same(program(clgrad, x), program(torch, y), 1e-5, 1e-6)


def test_mantissa_and_exponent(torch):
    points = [0.0, 1, -3, 0.1, 1e-320, 1e300, float("inf"), float("nan")]
    x, y = pair(torch, points, "float64")
    found, expected = clgrad.frexp(x), torch.frexp(y)
    assert_same(found.mantissa, expected.mantissa)
    assert_same(found.exponent[:6], expected.exponent[:6])
    assert found.exponent.dtype is clgrad.int32


@pytest.mark.parametrize("program", [
    lambda t: t.frexp(t.ones(2, dtype=t.int64)), lambda t: t.mvlgamma(t.ones(2), 0), lambda t: t.ones(2).float_power_(2),
    lambda t: t.ones(2, dtype=t.int64).logit_(), lambda t: t.igamma(
        t.ones(2, requires_grad=True), t.ones(2)).sum().backward()])
def test_errors(torch, program):
    assert_same_error(torch, program)
