"""clgrad.linalg against PyTorch: values, gradients twice, batches, empty and singular matrices, errors."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
import scipy.linalg

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair, values


def positive(x):
    """A symmetric positive definite matrix."""
    return x @ x.mT + 2 * x.new_ones(x.shape[-1]).diag()


def symmetric(x):
    return x + x.mT


# name: (program, shape); what is arbitrary in signs is made definite.
PROGRAMS = {
    "inv": (lambda t, x: t.linalg.inv(x), (2, 3, 3)), "inverse": (lambda t, x: x.inverse(), (3, 3)),
    "det": (lambda t, x: t.det(x), (2, 3, 3)), "slogdet": (lambda t, x: t.linalg.slogdet(x)[1], (2, 3, 3)),
    "logdet": (lambda t, x: t.logdet(positive(x)), (3, 3)),
    "cholesky": (lambda t, x: t.linalg.cholesky(positive(x)), (2, 3, 3)),
    "cholesky_upper": (lambda t, x: t.linalg.cholesky(positive(x), upper=True), (3, 3)),
    "cholesky_inverse": (lambda t, x: t.cholesky_inverse(t.linalg.cholesky(positive(x))), (3, 3)),
    "cholesky_solve": (lambda t, x: t.cholesky_solve(x[:, :2], t.linalg.cholesky(positive(x))), (3, 3)),
    "solve": (lambda t, x: t.linalg.solve(x, x[..., :2] * 2 + 1), (2, 3, 3)),
    "solve_vector": (lambda t, x: t.linalg.solve(x, x[0]), (3, 3)),
    "solve_right": (lambda t, x: t.linalg.solve(x, x[:2] + 1, left=False), (3, 3)),
    "solve_triangular": (lambda t, x: t.linalg.solve_triangular(positive(x), x, upper=True), (3, 3)),
    "solve_triangular_unit": (lambda t, x: t.linalg.solve_triangular(x, x, upper=False, left=False, unitriangular=True),
                             (3, 3)),
    "triangular_solve": (lambda t, x: t.triangular_solve(x, positive(x), False, True)[0], (3, 3)),
    "lu": (lambda t, x: t.linalg.lu(x)[1] @ t.linalg.lu(x)[2].square(), (2, 3, 3)),
    "lu_factor_wide": (lambda t, x: t.linalg.lu_factor(x)[0], (2, 4)),
    "lu_factor_tall": (lambda t, x: t.linalg.lu_factor(x)[0], (4, 2)),
    "lu_solve": (lambda t, x: t.linalg.lu_solve(*t.linalg.lu_factor(x), x[..., :1] + 1, adjoint=True), (3, 3)),
    "qr": (lambda t, x: t.linalg.qr(x)[0] * 2, (4, 3)), "qr_r": (lambda t, x: t.linalg.qr(x)[1], (2, 3, 3)),
    "qr_wide": (lambda t, x: t.qr(x)[1], (2, 4)), "svdvals": (lambda t, x: t.linalg.svdvals(x), (2, 3, 4)),
    "svd": (lambda t, x: t.linalg.svd(x, full_matrices=False)[0].abs(), (4, 3)),
    "svd_v": (lambda t, x: t.linalg.svd(x)[2][:2].abs(), (2, 4)),
    "eigh": (lambda t, x: t.linalg.eigh(symmetric(x))[1].abs(), (3, 3)),
    "eigvalsh": (lambda t, x: t.linalg.eigvalsh(symmetric(x)), (2, 3, 3)),
    "pinv": (lambda t, x: t.linalg.pinv(x), (4, 2)), "pinv_wide": (lambda t, x: x.pinverse(), (2, 2, 3)),
    "lstsq": (lambda t, x: t.linalg.lstsq(x, x[:, :1] * 2 + 1)[0], (4, 3)),
    "matrix_power": (lambda t, x: t.linalg.matrix_power(x, -2), (3, 3)),
    "multi_dot": (lambda t, x: t.linalg.multi_dot([x[0], x.mT, x, x[:, 0]]) if x.shape[0] == x.shape[1] else None, (3, 3)),
    "householder": (lambda t, x: t.linalg.householder_product(x, x[0, :2]), (4, 2)),
    "tensorinv": (lambda t, x: t.linalg.tensorinv(x.reshape(2, 2, 4), 2), (4, 4)),
    "tensorsolve": (lambda t, x: t.linalg.tensorsolve(x.reshape(2, 2, 4), x[:2, :2]), (4, 4)),
    "cond": (lambda t, x: t.linalg.cond(x), (3, 3)), "cond_1": (lambda t, x: t.linalg.cond(x, 1), (2, 3, 3)),
    "vander": (lambda t, x: t.linalg.vander(x, N=3), (2, 3)), "vecdot": (lambda t, x: t.linalg.vecdot(x, x[0]), (2, 3)),
    "cross": (lambda t, x: t.linalg.cross(x, x[:1] * 2 + 1), (2, 3)),
    "nuc": (lambda t, x: t.linalg.matrix_norm(x, "nuc", (0, 2)), (3, 2, 2)),
    "norm_2": (lambda t, x: t.linalg.norm(x, 2), (3, 2)),
    "norm_inf": (lambda t, x: t.linalg.matrix_norm(x, float("inf"), keepdim=True), (2, 3)),
    "norm_-1": (lambda t, x: t.linalg.norm(x, -1), (3, 2)), "norm": (lambda t, x: x.norm(), (3, 2)),
    "norm_p": (lambda t, x: x.norm(1.5, 1, True), (3, 2)),
    "norm_3": (lambda t, x: t.linalg.vector_norm(x, 3.5, (0, 2)), (2, 2, 3)),
    "norm_half": (lambda t, x: t.norm(x, 0.5), (4,)), "dist": (lambda t, x: t.dist(x, x[0] * 2, 3), (2, 3)),
    "renorm": (lambda t, x: t.renorm(x, 2, 0, 1.0), (3, 2)), "cdist": (lambda t, x: t.cdist(x, x[:2] + 1), (3, 2)),
    "cdist_product": (lambda t, x: t.cdist(x, x[:2] + 1, compute_mode="use_mm_for_euclid_dist"), (3, 2)),
}


@pytest.mark.filterwarnings("ignore:torch.(triangular_solve|qr) is deprecated")
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(torch, name, rng):
    program, shape = PROGRAMS[name]
    ours, theirs = pair(torch, rng.normal(size=shape), "float64", requires_grad=True)
    assert_same(program(clgrad, ours), program(torch, theirs), 1e-8, 1e-9)
    assert gradcheck(lambda x: program(clgrad, x), [ours])
    assert gradgradcheck(lambda x: program(clgrad, x), [ours])


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3)])
def test_empty_matrices(torch, shape):
    for name in ("inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv", "qr", "lu_factor", "matrix_rank", "slogdet"):
        for found, expected in zip(*([r if isinstance(r, tuple) else (r,)] for r in (
                getattr(library.linalg, name)(library.zeros(shape)) for library in (clgrad, torch))), strict=True):
            assert_same(found, expected)


def test_float32_and_larger_matrices(torch, rng):
    a = rng.normal(size=(40, 40)).astype(np.float32)
    x, y = pair(torch, a)
    for program in (lambda t, m: t.linalg.lu_factor(m), lambda t, m: t.linalg.inv(m), lambda t, m: t.linalg.svdvals(m),
                    lambda t, m: t.linalg.solve_triangular(m + 9 * t.eye(40), m, upper=True),
                    lambda t, m: t.linalg.ldl_factor(m + m.T + 3 * t.eye(40))):
        assert_same(tuple(program(clgrad, x)), tuple(program(torch, y)), 2e-3, 2e-3)


def test_symmetric_indefinite_systems(torch, rng):
    for n in (1, 2, 5, 12):
        a = rng.normal(size=(3, n, n))
        a = a + a.swapaxes(1, 2)
        factors = clgrad.linalg.ldl_factor(clgrad.tensor(a))
        assert_same(tuple(factors), tuple(torch.linalg.ldl_factor(torch.tensor(a))), 1e-8, 1e-8)
        b = rng.normal(size=(3, n, 2))
        np.testing.assert_allclose(a @ values(clgrad.linalg.ldl_solve(*factors, clgrad.tensor(b))), b, atol=1e-8)


def test_singular_matrices(torch):
    a = np.array([[[1.0, 2], [2, 4]], [[1, 0], [0, 1]]])
    x, y = pair(torch, a, requires_grad=True)
    assert_same(clgrad.linalg.inv_ex(x).info, torch.linalg.inv_ex(y).info)
    assert_same(clgrad.linalg.solve_ex(x, x)[1], torch.linalg.solve_ex(y, y)[1])
    assert_same(clgrad.linalg.matrix_rank(x), torch.linalg.matrix_rank(y))
    assert_same(clgrad.linalg.pinv(x), torch.linalg.pinv(y))
    x.det().sum().backward()
    np.testing.assert_allclose(values(x.grad), [[[4, -2], [-2, 1]], [[1, 0], [0, 1]]], atol=1e-6)
    assert clgrad.linalg.cond(x.detach(), 1).tolist()[0] == float("inf")
    for name in ("inv", "cholesky", "lu_factor"):
        with pytest.raises(clgrad.linalg.LinAlgError, match="Batch element 0"):
            getattr(clgrad.linalg, name)(x)
    with pytest.raises(RuntimeError, match="singular"):
        clgrad.linalg.solve(x[0], x[0])


def test_results_have_names_and_go_into_out(torch, rng):
    x, y = pair(torch, rng.normal(size=(3, 2)))
    for library, t in ((clgrad, x), (torch, y)):
        result = library.linalg.svd(t)
        assert type(result).__name__ == "linalg_svd" and result.S is result[1]
        Q, R = (library.empty(0, dtype=library.float64) for _ in range(2))
        library.linalg.qr(t, out=(Q, R))
        assert tuple(Q.shape) == (3, 2) and tuple(R.shape) == (2, 2)
    assert_same(clgrad.geqrf(x)[1], torch.geqrf(y)[1], 1e-5)
    assert_same(clgrad.ormqr(*clgrad.geqrf(x), x, transpose=True),
                torch.ormqr(*torch.geqrf(y), y, transpose=True), 1e-4, 1e-5)


def test_low_rank(rng):
    a = clgrad.tensor(rng.normal(size=(8, 2)) @ rng.normal(size=(2, 6)))
    U, S, V = clgrad.svd_lowrank(a, 3)
    np.testing.assert_allclose(values(U * S @ V.mT), values(a), atol=1e-8)
    np.testing.assert_allclose(values(clgrad.pca_lowrank(a, 2)[1]), np.linalg.svd(values(a - a.mean(0)))[1][:2])


@pytest.mark.parametrize("program", [
    lambda t: t.linalg.inv(t.zeros(2, 3)), lambda t: t.linalg.inv(t.zeros(3)),
    lambda t: t.linalg.inv(t.ones(2, 2, dtype=t.int64)), lambda t: t.linalg.svd(t.ones(2, 2, dtype=t.float16)),
    lambda t: t.linalg.solve(t.eye(2), t.ones(3)), lambda t: t.linalg.qr(t.eye(2), "full"),
    lambda t: t.linalg.eigh(t.zeros(2, 3)), lambda t: t.linalg.eigh(t.eye(2), "X"),
    lambda t: t.linalg.norm(t.zeros(2, 2, 2), 2),
    lambda t: t.linalg.matrix_norm(t.zeros(2)),
    lambda t: t.linalg.matrix_norm(t.eye(2), 3),
    lambda t: t.linalg.vector_norm(t.zeros(0), float("inf")), lambda t: t.linalg.vector_norm(t.zeros(2, dtype=t.int64)),
    lambda t: t.linalg.multi_dot([t.eye(2)]), lambda t: t.linalg.multi_dot([t.eye(2), t.zeros(2, 2, 2), t.eye(2)]),
    lambda t: t.linalg.lu_factor(t.eye(2), pivot=False),
    lambda t: t.linalg.vander(t.ones(2), N=1),
    lambda t: t.linalg.tensorinv(t.ones(2, 3), 1),
    lambda t: t.linalg.householder_product(t.ones(2, 3), t.ones(2)),
    lambda t: t.renorm(t.ones(2), 2, 0, 1.0),
    lambda t: t.cdist(
        t.ones(2, 2), t.ones(2, 3)), lambda t: t.linalg.cross(t.ones(2), t.ones(2)),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


@pytest.mark.parametrize("largest", [None, False])
@pytest.mark.parametrize("general", [False, True])
def test_lobpcg(largest, general, torch):
    rng = np.random.default_rng(0)
    a, b = (m + m.T for m in rng.standard_normal((2, 9, 9)))
    b = b @ b + np.eye(9)
    A, B = clgrad.tensor(a), clgrad.tensor(b) if general else None
    E, X = clgrad.lobpcg(A, 2, B, largest=largest)
    expected = scipy.linalg.eigvalsh(a, b if general else None)
    np.testing.assert_allclose(E.numpy(), expected[:2] if largest is False else expected[::-1][:2], 1e-10)
    np.testing.assert_allclose((A @ X).numpy(), ((B @ X if general else X) * E).numpy(), atol=1e-10)
    with pytest.raises(ValueError, match="3 x"):
        clgrad.lobpcg(clgrad.eye(4), 2)


# LAPACK's singular values of some such matrices do not end.
UNKNOWN = [[[math.nan, 1.0, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]],
           [[-1.0, 1.6432363, 3e4], [math.inf, 3e4, 3e4], [-math.inf, math.nan, 0.72914481]],
           [[1.7583213, -2.1435747, math.inf], [-0.0401, -2.4974978, math.nan], [0.1082, -math.inf, 1e-6]]]
INFINITE = [[[1.0, math.inf, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]],
            [[-1.0280128, 1.0, 0.3349], [0.2180, -2.4547, -1.3665], [-math.inf, 1.0, -0.1965]]]
BY_SINGULAR_VALUES = ["svd", "svdvals", "cond", "pinv", "matrix_rank"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", BY_SINGULAR_VALUES)
def test_singular_values_of_what_is_not_finite(name, torch):
    for rows in UNKNOWN:
        for matrix in (rows, [np.eye(3).tolist(), rows]):
            for library in (clgrad, torch):
                with pytest.raises(library.linalg.LinAlgError, match="contained non-finite values"):
                    getattr(library.linalg, name)(library.tensor(matrix))
    for rows in INFINITE:
        found = getattr(clgrad.linalg, name)(clgrad.tensor([rows, np.eye(3).tolist()]))
        for part in found if isinstance(found, tuple) else (found,):
            assert (part[0].isnan().all() or name == "matrix_rank" and part[0] == 0) and part[1].isfinite().all()


@pytest.mark.timeout(60)
def test_the_gradient_of_the_determinant_of_what_is_not_finite():
    x = clgrad.tensor([*UNKNOWN, *INFINITE, np.eye(3).tolist()], requires_grad=True)
    clgrad.linalg.det(x).sum().backward()
    assert x.grad[:-1].isnan().all() and x.grad[-1].equal(clgrad.eye(3))


@pytest.mark.parametrize("number", [math.nan, math.inf, 3e38])
def test_numbers_that_are_lost_warn_of_nothing(number):
    x = clgrad.eye(3)
    for row, column in ((0, 0), (0, 1), (1, 2), (2, 0)):
        x[row, column] = number
    for program in (clgrad.linalg.det, clgrad.linalg.slogdet, clgrad.linalg.qr, clgrad.linalg.lu, clgrad.linalg.ldl_factor,
                    clgrad.linalg.inv_ex, clgrad.geqrf, clgrad.matrix_exp):
        found = program(x)
        first = found if isinstance(found, clgrad.Tensor) else found[0]
        assert first.dtype is clgrad.float32


# What LAPACK writes lies column after column; a function of (library, positive definite matrices, right-hand sides).
IN_COLUMNS = {
    "cholesky": lambda t, a, b: [t.linalg.cholesky(a, upper=upper) for upper in (False, True)],
    "cholesky_ex": lambda t, a, b: t.linalg.cholesky_ex(a, upper=True),
    "householder_product": lambda t, a, b: t.linalg.householder_product(*t.geqrf(a)),
    "ormqr": lambda t, a, b: [t.ormqr(*t.geqrf(a), other, left=left, transpose=transpose)
                              for left, other in ((True, b), (False, b.mT)) for transpose in (False, True)],
    "solve": lambda t, a, b: [t.linalg.solve(a, b), t.linalg.solve(a, b.mT, left=False), t.linalg.solve(a, b[..., 0])],
    "solve_triangular": lambda t, a, b: [t.linalg.solve_triangular(a, b if left else b.mT, upper=upper, left=left)
                                         for left in (False, True) for upper in (False, True)],
    "triangular_solve": lambda t, a, b: t.triangular_solve(b, a),
    "lu_solve": lambda t, a, b: [t.linalg.lu_solve(*t.linalg.lu_factor(a), b if left else b.mT, left=left, adjoint=adjoint)
                                 for left in (False, True) for adjoint in (False, True)],
    "lstsq": lambda t, a, b: [t.linalg.lstsq(a, b).solution, t.linalg.lstsq(a[..., :2], b).solution,
                              t.linalg.lstsq(a[..., :2, :], b[..., :2, :]).solution
                              if b.shape[-1] > 2 else a],
    "svd": lambda t, a, b: [*t.linalg.svd(a), *t.linalg.svd(a[..., :2]), *t.svd(a)],
}


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("name", IN_COLUMNS)
def test_results_lie_in_columns_as_in_pytorch(name, batch, torch, rng):
    a, b = rng.standard_normal((*batch, 4, 4)), rng.standard_normal((*batch, 4, 3))
    a = a @ a.swapaxes(-1, -2) + np.eye(4)
    for order in (lambda x: x, lambda x: x.mT.contiguous().mT):
        ours, theirs = (IN_COLUMNS[name](t, order(t.tensor(a)), order(t.tensor(b))) for t in (clgrad, torch))
        assert [x.stride() for x in ours] == [x.stride() for x in theirs]


@pytest.mark.filterwarnings("ignore:torch.(cholesky|lu) is deprecated")
@pytest.mark.parametrize(("name", "kinds"), [
    ("linalg.cholesky", ["float64"]), ("linalg.inv", ["float64"]), ("linalg.svd", ["float64"] * 3),
    ("geqrf", ["float64"] * 2), ("cholesky", ["float64"]), ("lu", ["float64", "int32"]),
    ("linalg.eigh", ["float64"] * 2), ("linalg.qr", ["float64"] * 2), ("linalg.ldl_factor", ["float64", "int32"]),
    ("linalg.lu_factor", ["float64", "int32"]), ("linalg.lu", ["float64"] * 3)])
def test_an_empty_out_gets_the_order_of_the_result(name, kinds, torch, rng):
    a = rng.standard_normal((2, 4, 4))
    a = a @ a.swapaxes(-1, -2) + np.eye(4)
    strides = []
    for t in (clgrad, torch):
        out = tuple(t.empty(0, dtype=getattr(t, kind)) for kind in kinds)
        operator.attrgetter(name)(t)(t.tensor(a), out=out if len(out) > 1 else out[0])
        strides.append([x.stride() for x in out])
    assert strides[0] == strides[1]


def test_an_empty_out_of_cholesky_solve_gets_rows(torch):
    for t in (clgrad, torch):
        assert t.cholesky_solve(t.ones(4, 3), t.eye(4), out=t.empty(0)).stride() == (3, 1)


def test_qr_of_torch_has_a_name_of_its_own():
    assert type(clgrad.qr(clgrad.eye(2))).__name__ == "qr" and type(clgrad.linalg.qr(clgrad.eye(2))).__name__ == "linalg_qr"


@pytest.mark.filterwarnings("ignore:torch.lu is deprecated:UserWarning")
@pytest.mark.parametrize("infos", [False, True])
def test_what_lu_returns_is_a_tuple_with_names_only_beside_infos(infos, torch):
    found = [t.lu(t.eye(3), get_infos=infos) for t in (clgrad, torch)]
    assert type(found[0]).__name__ == type(found[1]).__name__.rpartition(".")[2]
    assert repr(found[0]) == repr(found[1])


@pytest.mark.parametrize("pivot", [0, 3, -1])
def test_pivots_are_rows(pivot, torch):
    for t in (clgrad, torch):
        LU, pivots = t.linalg.lu_factor(t.eye(2))
        pivots[0] = pivot
        bound = "greater or equal to 1" if pivot < 1 else r"smaller or equal to LU.size\(-2\)"
        with pytest.raises(RuntimeError, match=f"Pivots given to lu_solve must all be {bound}"):
            t.linalg.lu_solve(LU, pivots, t.ones(2, 1))
        with pytest.raises(RuntimeError, match=r"between 1 and LU.size\(-2\) inclusive"):
            t.lu_unpack(LU, pivots)


@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("rcond", [None, -1.0, 0.0, 1.0, 2.0])
def test_least_squares_of_any_rcond(driver, rcond, torch, rng):
    shapes = [(1, 1)] if driver == "gelsy" and rcond is not None and rcond >= 1 else [(1, 1), (3, 2), (2, 3)]
    for m, n in shapes:
        a, b = rng.standard_normal((m, n)), rng.standard_normal((m, 2))
        ours, theirs = (t.linalg.lstsq(t.tensor(a), t.tensor(b), rcond=rcond, driver=driver) for t in (clgrad, torch))
        for name in ours._fields:
            np.testing.assert_allclose(getattr(ours, name).tolist(), getattr(theirs, name).tolist(), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("program", [
    lambda t, A, out: t.cholesky_inverse(A, out=out), lambda t, A, out: t.cholesky_solve(A, A, out=out),
    lambda t, A, out: t.linalg.cond(A, out=out), lambda t, A, out: t.linalg.pinv(A, out=out),
    lambda t, A, out: t.linalg.tensorinv(A, 1, out=out), lambda t, A, out: t.linalg.tensorsolve(A, A[0], out=out),
    lambda t, A, out: t.linalg.householder_product(A, A[0], out=out)])
def test_integers_hold_no_results_of_matrices(program, torch):
    for t in (clgrad, torch):
        with pytest.raises(RuntimeError, match="Expected result to be safely castable from Float dtype, but got result with "
                                               "dtype Int"):
            program(t, t.eye(3), t.empty(0, dtype=t.int32))
