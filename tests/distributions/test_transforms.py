"""Transforms, constraints and the registries between them, against PyTorch's; round trips and log determinants."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import clgrad

D = clgrad.distributions


def points(lib, *shape, shift=0.0):
    values = np.linspace(-1.2, 1.4, int(np.prod(shape))).reshape(shape) + shift
    return lib.tensor(values.tolist(), dtype=lib.float64)


# name: makes the transform from a library, the shape of x
MADE = {
    "exp": (lambda d, lib: d.ExpTransform(), (3,)),
    "sigmoid": (lambda d, lib: d.SigmoidTransform(), (3,)),
    "tanh": (lambda d, lib: d.TanhTransform(), (3,)),
    "affine": (lambda d, lib: d.AffineTransform(1.0, -2.0, event_dim=1), (2, 3)),
    "stick": (lambda d, lib: d.StickBreakingTransform(), (2, 3)),
    "corr": (lambda d, lib: d.CorrCholeskyTransform(), (2, 6)),
    "corr2": (lambda d, lib: d.CorrCholeskyTransform(), (1,)),
    "reshape": (lambda d, lib: d.ReshapeTransform((2, 3), (6,)), (4, 2, 3)),
    "independent": (lambda d, lib: d.IndependentTransform(d.ExpTransform(), 1), (2, 3)),
    "cat": (lambda d, lib: d.CatTransform([d.ExpTransform(), d.TanhTransform()], -1, [1, 2]), (2, 3)),
    "stack": (lambda d, lib: d.StackTransform([d.ExpTransform(), d.SigmoidTransform()], 0), (2, 3)),
    "cdf": (lambda d, lib: d.CumulativeDistributionTransform(d.Normal(0.0, 1.0)), (3,)),
    "compose": (lambda d, lib: d.ComposeTransform([d.AffineTransform(0.5, 2.0), d.StickBreakingTransform()]), (2, 3)),
    "inverse": (lambda d, lib: d.ComposeTransform([d.TanhTransform(), d.AffineTransform(2.0, 0.1)]).inv, None),
}


@pytest.mark.parametrize("name", MADE)
def test_values_and_slopes(torch, name):
    make, shape = MADE[name]
    x, y = (points(lib, 3) * 0.05 + 2 if shape is None else points(lib, *shape) for lib in (clgrad, torch))
    ours, theirs = make(D, clgrad), make(torch.distributions, torch)
    a, b = ours(x), theirs(y)
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.inv(a).numpy(), x.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.log_abs_det_jacobian(x, a).numpy(), theirs.log_abs_det_jacobian(y, b).numpy(),
                               rtol=1e-5, atol=1e-6)
    assert tuple(ours.forward_shape(tuple(x.shape))) == tuple(theirs.forward_shape(tuple(x.shape))) == tuple(a.shape)
    assert tuple(ours.inverse_shape(tuple(a.shape))) == tuple(x.shape)
    assert (ours.domain.event_dim, ours.codomain.event_dim) == (theirs.domain.event_dim, theirs.codomain.event_dim)
    assert ours.bijective == theirs.bijective and bool(ours.codomain.check(a).all())


def test_matrices_without_slopes(torch):
    for name in ("LowerCholeskyTransform", "PositiveDefiniteTransform", "SoftmaxTransform"):
        ours, theirs = getattr(D, name)(), getattr(torch.distributions, name)()
        x, y = points(clgrad, 2, 3, 3), points(torch, 2, 3, 3)
        np.testing.assert_allclose(ours(x).numpy(), theirs(y).numpy(), rtol=1e-6)
        np.testing.assert_allclose(ours.inv(ours(x)).numpy(), theirs.inv(theirs(y)).numpy(), rtol=1e-5, atol=1e-7)
        assert ours.bijective is theirs.bijective is False and bool(ours.codomain.check(ours(x)).all())


def test_slope_is_that_of_the_jacobian():
    transform, x = D.StickBreakingTransform(), points(clgrad, 3)
    slope = clgrad.autograd.functional.jacobian(lambda v: transform(v)[:-1], x)
    assert transform.log_abs_det_jacobian(x, transform(x)).item() == pytest.approx(slope.det().abs().log().item())


def test_cache_inverse_and_equality():
    t = D.ExpTransform(cache_size=1)
    x = points(clgrad, 3)
    y = t(x)
    assert t(x) is y and t.inv(y) is x and t.inv.inv is t and t.inv is t.inv
    assert D.ExpTransform().with_cache(1)._cache_size == 1 and t.with_cache(1) is t
    assert D.ExpTransform() == D.ExpTransform() and D.ExpTransform() != D.TanhTransform()
    assert D.AffineTransform(1.0, 2.0) == D.AffineTransform(1.0, 2.0) != D.AffineTransform(1.0, 3.0)
    assert D.ExpTransform().inv == D.ExpTransform().inv and D.AffineTransform(0.0, -2.0).sign == -1
    assert pickle.loads(pickle.dumps(D.ComposeTransform([t]))) == D.ComposeTransform([t])
    with pytest.raises(ValueError, match="cache_size"):
        D.ExpTransform(cache_size=2)


def test_transform_of_a_program():
    class Square(D.Transform):
        domain = codomain = D.constraints.positive
        bijective, sign = True, +1

        def _call(self, x):
            return x.square()

        def _inverse(self, y):
            return y.sqrt()

        def log_abs_det_jacobian(self, x, y):
            return (2 * x).log()
    made = D.TransformedDistribution(D.Exponential(1.0), [Square()])
    value = clgrad.tensor(4.0)
    assert made.log_prob(value).item() == pytest.approx(-2 - np.log(4)) and made.cdf(value).item() == pytest.approx(
        1 - np.exp(-2))


@pytest.mark.parametrize("make", [
    lambda c: c.real, lambda c: c.positive, lambda c: c.nonnegative, lambda c: c.greater_than(2.0),
    lambda c: c.less_than(-1.0), lambda c: c.unit_interval, lambda c: c.interval(-1.0, 3.0),
    lambda c: c.half_open_interval(0.0, 2.0), lambda c: c.simplex, lambda c: c.corr_cholesky, lambda c: c.real_vector,
    lambda c: c.independent(c.positive, 2), lambda c: c.stack([c.positive, c.unit_interval, c.real], -1),
    lambda c: c.cat([c.positive, c.unit_interval], -1, [1, 2]), lambda c: c.lower_cholesky,
    lambda c: c.positive_definite, lambda c: c.positive_semidefinite])
def test_registries(torch, make):
    for name in ("biject_to", "transform_to"):
        constraint, reference = make(D.constraints), make(torch.distributions.constraints)
        try:
            theirs = getattr(torch.distributions, name)(reference)
        except NotImplementedError:
            with pytest.raises(NotImplementedError, match="Cannot transform"):
                getattr(D, name)(constraint)
            continue
        ours = getattr(D, name)(constraint)
        found, want = ours(points(clgrad, 3, 3)), theirs(points(torch, 3, 3))
        np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-6)
        assert bool(constraint.check(found).all()) and type(ours).__name__ == type(theirs).__name__


def test_own_registration():
    class Even(D.constraints.Constraint):
        pass
    registry = D.ConstraintRegistry()
    registry.register(Even, lambda c: D.AffineTransform(0.0, 2.0))
    assert registry(Even()).scale == 2.0
    with pytest.raises(TypeError, match="Constraint subclass"):
        registry.register(3, lambda c: c)


@pytest.mark.parametrize("name", ["lower_triangular", "lower_cholesky", "corr_cholesky", "square", "symmetric",
                                  "positive_semidefinite", "positive_definite"])
def test_constraints_of_matrices(torch, name):
    for rows in ([[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.0], [0.6, -0.8]], [[1.0, 0.5], [0.5, 1.0]],
                 [[1.0, 2.0], [2.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]]):
        ours, theirs = getattr(D.constraints, name), getattr(torch.distributions.constraints, name)
        assert ours.check(clgrad.tensor(rows)).item() == theirs.check(torch.tensor(rows)).item(), rows
        assert repr(ours) == repr(theirs) and ours.event_dim == theirs.event_dim == 2


def test_constraints_of_parts(torch):
    found = []
    for lib in (clgrad, torch):
        c = lib.distributions.constraints
        x = lib.tensor([[0.5, -1.0, 2.0], [2.0, 0.5, 3.0]])
        found.append([c.cat([c.unit_interval, c.positive], -1, [1, 2]).check(x).tolist(),
                      c.stack([c.unit_interval, c.positive], 0).check(x).tolist(),
                      c.stack([c.simplex, c.simplex], -2).event_dim,
                      c.MixtureSameFamilyConstraint(c.positive).check(x).tolist(),
                      repr(c.real_vector), repr(c.interval(0.0, 1.0)), repr(c.MixtureSameFamilyConstraint(c.real)),
                      c.dependent(is_discrete=True, event_dim=2).event_dim])
    assert found[0] == found[1]


def test_triangles(torch):
    utils, theirs = D.utils, pytest.importorskip("torch.distributions.utils")
    for diag, count in ((0, 6), (-1, 3), (1, 8)):
        vec = clgrad.arange(1.0, count + 1).repeat(2, 1)
        mat = utils.vec_to_tril_matrix(vec, diag)
        np.testing.assert_array_equal(mat.numpy(), theirs.vec_to_tril_matrix(torch.tensor(vec.numpy()), diag).numpy())
        assert utils.tril_matrix_to_vec(mat, diag).tolist() == vec.tolist()
    with pytest.raises(ValueError, match="triangular part"):
        utils.vec_to_tril_matrix(clgrad.zeros(4))
    with pytest.raises(ValueError, match="outside"):
        utils.tril_matrix_to_vec(clgrad.zeros(2, 2), 2)


def test_utilities():
    calls = []

    class Lazy:
        @D.utils.lazy_property
        def value(self):
            calls.append(1)
            return 3
    one = Lazy()
    assert (one.value, one.value, len(calls)) == (3, 3, 1) and isinstance(Lazy.value, property)
    assert D.utils.clamp_probs(clgrad.tensor([0.0, 1.0])).tolist() == [
        clgrad.finfo(clgrad.float32).eps, 1 - clgrad.finfo(clgrad.float32).eps]
    assert D.Normal(0.0, 1.0).sample_n(3).shape == (3,)


@pytest.mark.parametrize("call", [
    lambda: D.ReshapeTransform((2,), (3,)), lambda: D.ReshapeTransform((2,), (1, 2)).forward_shape((3,)),
    lambda: D.CorrCholeskyTransform().forward_shape((4,)), lambda: D.CorrCholeskyTransform().inverse_shape((2, 3)),
    lambda: D.CatTransform([D.ExpTransform()], 0, [1, 2]),
    lambda: D.StackTransform([D.ExpTransform()], 0)(clgrad.zeros(3)),
    lambda: D.IndependentTransform(D.ExpTransform(), 2)(clgrad.zeros(3)),
    lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), [D.StickBreakingTransform()])])
def test_errors(call):
    with pytest.raises(ValueError):
        call()
