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


BESSEL = {
    "airy_ai": lambda x: sp.airy(x)[0], "bessel_j0": sp.j0, "bessel_j1": sp.j1, "bessel_y0": sp.y0, "bessel_y1": sp.y1,
    "modified_bessel_i0": sp.i0, "modified_bessel_i1": sp.i1, "modified_bessel_k0": sp.k0, "modified_bessel_k1": sp.k1,
    "scaled_modified_bessel_k0": sp.k0e, "scaled_modified_bessel_k1": sp.k1e,
    "spherical_bessel_j0": lambda x: sp.spherical_jn(0, x),
}
POLYNOMIALS = {
    "chebyshev_polynomial_t": sp.eval_chebyt, "chebyshev_polynomial_u": sp.eval_chebyu,
    "chebyshev_polynomial_v": lambda n, x: sp.eval_chebyu(n, x) - sp.eval_chebyu(n - 1, x),
    "chebyshev_polynomial_w": lambda n, x: sp.eval_chebyu(n, x) + sp.eval_chebyu(n - 1, x),
    "hermite_polynomial_h": sp.eval_hermite, "hermite_polynomial_he": sp.eval_hermitenorm,
    "laguerre_polynomial_l": sp.eval_laguerre, "legendre_polynomial_p": sp.eval_legendre,
}
POLYNOMIALS |= {f"shifted_{name}": lambda n, x, f=f: f(n, 2 * x - 1) for name, f in POLYNOMIALS.items()
                if name.startswith("chebyshev")}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BESSEL)
def test_bessel_functions(name, dtype):
    """On both sides of where a series ends, at tiny and large arguments, at signed zeros, infinities and NaN."""
    x = np.concatenate([np.linspace(-25, 25, 203), np.logspace(-30, 3, 50),
                        [0.0, -0.0, 1, -1, 2, -2, np.inf, -np.inf, np.nan]]).astype(dtype)
    found = getattr(special, name)(clgrad.tensor(x))
    assert found.dtype is getattr(clgrad, dtype)
    with np.errstate(over="ignore"):
        expected = BESSEL[name](x.astype(np.float64)).astype(dtype)
    tolerance = dict(rtol=5e-5, atol=2e-5) if "_i" in name and dtype == "float32" else (
        dict(rtol=2e-6, atol=3e-6) if dtype == "float32" else dict(rtol=3e-14, atol=1e-14))
    np.testing.assert_allclose(values(found), expected, **tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name, dtype):
    """Degrees of the recurrence and of the closed form, inside, at the ends of and outside the interval."""
    x = np.array([0.0, 0.3, -0.3, 0.999, -0.999, 1, -1, 1.25, -1.25, 0.5]).astype(dtype)
    n = np.array([[0], [1], [2], [3], [5], [6], [7], [8], [11], [20]])
    found = getattr(special, name)(clgrad.tensor(x), clgrad.tensor(n))
    assert found.dtype is getattr(clgrad, dtype)
    tolerance = dict(rtol=1e-3, atol=1e-3) if dtype == "float32" else dict(rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(values(found), POLYNOMIALS[name](n, x.astype(np.float64)), **tolerance)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_operands_of_polynomials(torch, name):
    """Numbers on either side, integers, truncated and negative degrees, infinities, ``out=``, as PyTorch has them."""
    home, there = getattr(special, name), getattr(torch.special, name)
    for program in (lambda t, f: f(t.tensor([0.5, 2.0]), 3), lambda t, f: f(0.5, t.tensor([3, 7])),
                    lambda t, f: f(t.tensor([1, 2]), t.tensor([3, 4])), lambda t, f: f(t.tensor([True]), n=2),
                    lambda t, f: f(x=t.tensor([0.5]), n=t.tensor([[2.7], [-0.5], [-1.0]])),
                    lambda t, f: f(t.tensor([0.5]).double(), t.tensor([3.0])),
                    lambda t, f: f(t.tensor([float("inf")]), 1), lambda t, f: f(t.zeros(0, 2), 3),
                    lambda t, f: f(t.tensor([0.25, 0.5]), 600), lambda t, f: f(t.arange(6.0).reshape(2, 3).t() / 6, 7),
                    lambda t, f: f(t.tensor(0.5), t.tensor(4), out=t.zeros(()))):
        assert_same(program(clgrad, home), program(torch, there), 1e-3, 1e-3)


def test_no_derivatives_of_bessel_functions_and_polynomials(torch):
    x = clgrad.tensor([0.5, 1.5], requires_grad=True)
    assert clgrad.equal(special.airy_ai(x=x), special.airy_ai(x))
    assert not any(getattr(special, name)(x).requires_grad for name in BESSEL)
    assert not any(getattr(special, name)(x, 2).requires_grad for name in POLYNOMIALS)
    for program in (lambda t: t.special.bessel_j0(t.ones(1, requires_grad=True)).backward(),
                    lambda t: t.special.legendre_polynomial_p(t.ones(1, requires_grad=True), 2).backward(),
                    lambda t: t.special.airy_ai(2.0), lambda t: t.special.hermite_polynomial_h(2.0, 3),
                    lambda t: t.special.bessel_y0(), lambda t: t.special.laguerre_polynomial_l(t.ones(1)),
                    lambda t: t.special.bessel_j1(t.ones(1), out=t.zeros(1, dtype=t.int64))):
        assert_same_error(torch, program)


def test_polygamma_of_negative_arguments(torch):
    x, y = pair(torch, [-0.3, -1.7, -5.2, 0.4, 3.0], "float64")
    for n in (1, 2, 3):
        assert_same(clgrad.polygamma(n, x), torch.polygamma(n, y), 1e-9)
    for dtype, tolerance in (("float64", 1e-11), ("float32", 2e-5)):
        x, y = pair(torch, [-100.5, -77.3, -1234.75, -0.0016, -0.999, -64.25], dtype)
        for n in (2, 3, 5):
            assert_same(clgrad.polygamma(n, x), torch.polygamma(n, y), tolerance)


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
    x, y = (t[[0, 1, 2, 3, 5, 6]].requires_grad_() for t in (x, y))
    clgrad.frexp(x).mantissa.sum().backward()
    torch.frexp(y).mantissa.sum().backward()
    assert_same(x.grad, y.grad)


@pytest.mark.parametrize("program", [
    lambda t: t.frexp(t.ones(2, dtype=t.int64)), lambda t: t.mvlgamma(t.ones(2), 0), lambda t: t.ones(2).float_power_(2),
    lambda t: t.ones(2, dtype=t.int64).logit_(), lambda t: t.igamma(
        t.ones(2, requires_grad=True), t.ones(2)).sum().backward()])
def test_errors(torch, program):
    assert_same_error(torch, program)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("float64", 2e-14)])
def test_incomplete_gamma_functions_of_near_arguments(dtype, tolerance):
    a = np.repeat(np.geomspace(0.2, 900, 60), 40).astype(dtype)
    x = (a + np.tile(np.linspace(-1, 6, 40), 60) * np.sqrt(a)).clip(0).astype(dtype)
    for name, reference in (("igamma", sp.gammainc), ("igammac", sp.gammaincc)):
        found = getattr(clgrad, name)(clgrad.tensor(a), clgrad.tensor(x)).numpy()
        np.testing.assert_allclose(found, reference(a.astype(float), x.astype(float)), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-3), ("float64", 3e-11)])
def test_incomplete_gamma_functions_of_large_arguments(dtype, tolerance):
    a = np.repeat(np.geomspace(9e4, 1e9, 20), 30).astype(dtype)
    x = (a + np.tile(np.linspace(-4, 4, 30), 20) * np.sqrt(a)).astype(dtype)
    for name, reference in (("igamma", sp.gammainc), ("igammac", sp.gammaincc)):
        found = getattr(clgrad, name)(clgrad.tensor(a), clgrad.tensor(x)).numpy()
        np.testing.assert_allclose(found, reference(a.astype(float), x.astype(float)), rtol=0, atol=tolerance)
    ends, others = (clgrad.tensor(v, dtype=getattr(clgrad, dtype)) for v in ([1e30, 1e30, 1e6, np.nan], [1e30, 1, 1e30, 2]))
    np.testing.assert_allclose(clgrad.igamma(ends, others).tolist(), [0.5, 0, 1, np.nan])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-12)])
def test_small_incomplete_gamma_functions(dtype, tolerance):
    a = np.array([5.05, 4.3, 22.1, 10.3], dtype)
    x = np.array([2.8e-6, 1.5e-6, 0.3, 0.05], dtype)
    found = clgrad.igamma(clgrad.tensor(a), clgrad.tensor(x)).numpy()
    np.testing.assert_allclose(found, sp.gammainc(a.astype(float), x.astype(float)), rtol=tolerance)
    # What is done first is not spoilt by the steps that others need.
    a, x = np.repeat(np.array([0.02, 900.0], dtype), 16), np.repeat(np.array([25.0, 960.0], dtype), 16)
    found = clgrad.igammac(clgrad.tensor(a), clgrad.tensor(x)).numpy()
    np.testing.assert_allclose(found[:16], sp.gammaincc(a[:16].astype(float), x[:16].astype(float)), rtol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponents_beside_infinities_and_denormals(dtype, torch, rng):
    """PoCL's own function mixes the elements of a vector up."""
    smallest = -1070 if dtype == "float64" else -120  # of float32 not every device has denormals
    values = rng.uniform(-1, 1, 512) * 2.0 ** rng.integers(smallest, 100, 512)
    values[rng.integers(0, 512, 60)] = rng.choice([0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], 60)
    x, y = pair(torch, values, dtype)
    (mantissa, exponent), (wanted, places) = clgrad.frexp(x), torch.frexp(y)
    assert exponent.tolist() == places.tolist()
    np.testing.assert_array_equal(np.array(mantissa.tolist()), np.array(wanted.tolist()))


def test_slopes_of_sums_of_exponentials_of_large_numbers():
    x = clgrad.tensor([1e5, 20.0, 3.0], requires_grad=True)
    (grad,) = clgrad.autograd.grad(clgrad.logaddexp(x, x.detach() + clgrad.tensor([0.0, 0.0, 1.0])).sum(), x)
    np.testing.assert_allclose(grad.tolist(), [0.5, 0.5, 1 / (1 + np.e)], rtol=1e-6)
