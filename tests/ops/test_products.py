"""Products made of others against NumPy and PyTorch: tensordot, Kronecker, cross, chains, powers, the exponential."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair

# name: (program, shapes)
PROGRAMS = {
    "inner": (lambda t, a, b: t.inner(a, b), [(2, 3), (4, 3)]), "inner_scalar": (lambda t, a, b: a.inner(b), [(2,), ()]),
    "vdot": (lambda t, a, b: t.vdot(a, b), [(3,), (3,)]), "kron": (lambda t, a, b: t.kron(a, b), [(2, 3), (3, 1, 2)]),
    "tensordot": (lambda t, a, b: t.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 2)]),
    "tensordot_lists": (lambda t, a, b: t.tensordot(a, b, ([0, -1], [2, 0])), [(2, 3, 4), (4, 3, 2)]),
    "cross": (lambda t, a, b: t.cross(a, b, dim=0), [(3, 2), (3, 2)]),
    "chain_matmul": (lambda t, a, b: t.chain_matmul(a, b, a, b), [(2, 5), (5, 2)]),
    "matrix_power": (lambda t, a: t.matrix_power(a, 5), [(2, 3, 3)]),
    "matrix_power_0": (lambda t, a: a.matrix_power(0) + a, [(3, 3)]),
    "matrix_exp": (lambda t, a: t.matrix_exp(a), [(2, 3, 3)]),
    "matrix_exp_large": (lambda t, a: (a * 9).matrix_exp(), [(2, 2)]),
}


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(torch, name, rng):
    program, shapes = PROGRAMS[name]
    pairs = [pair(torch, rng.normal(size=shape), "float64", requires_grad=True) for shape in shapes]
    ours = [p[0] for p in pairs]
    assert_same(program(clgrad, *ours), program(torch, *[p[1] for p in pairs]), 1e-10, 1e-10)
    if name != "matrix_exp_large":
        assert gradcheck(lambda *x: program(clgrad, *x), ours)
        assert gradgradcheck(lambda *x: program(clgrad, *x), ours)


def test_integers_and_float32(torch):
    for dtype in ("int64", "float32", "uint8"):
        (a, x), (b, y) = zip(pair(torch, [[1, 2], [3, 4]], dtype), pair(torch, [[2, 0], [1, 5]], dtype), strict=True)
        for program in (lambda t, p, q: t.kron(p, q), lambda t, p, q: t.tensordot(p, q, 1), lambda t, p, q: t.inner(p, q),
                        lambda t, p, q: t.addmm(p, p, q, beta=2, alpha=3), lambda t, p, q: t.matrix_power(p, 3),
                        lambda t, p, q: t.tensordot(p[:, :1], q, ([1], [0])),
                        lambda t, p, q: t.nn.functional.bilinear(p, q, t.stack([p, q]))):
            assert_same(program(clgrad, a, x), program(torch, b, y))


@pytest.mark.parametrize("program", [
    lambda t: t.inner(t.zeros(2), t.zeros(3)), lambda t: t.tensordot(t.zeros(2), t.zeros(3), 1),
    lambda t: t.tensordot(t.zeros(2), t.zeros(3), 2), lambda t: t.tensordot(t.zeros(2), t.zeros(2), ([0], [])),
    lambda t: t.cross(t.zeros(2), t.zeros(2), dim=0), lambda t: t.vdot(t.zeros(2, 2), t.zeros(2)),
    lambda t: t.vdot(t.zeros(2), t.zeros(3)),
    lambda t: t.matrix_power(t.zeros(2, 3), 2), lambda t: t.matrix_exp(t.zeros(2, 3)), lambda t: t.matrix_exp(t.zeros(3)),
    lambda t: t.matrix_exp(t.zeros(2, 2, dtype=t.int64)), lambda t: t.addr(t.zeros(2, dtype=t.int64), *[t.ones(
        2, dtype=t.int64)] * 2, beta=0.5),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


def test_a_chain_is_multiplied_in_the_best_order():
    thin = clgrad.ones(1, 100)
    assert clgrad.chain_matmul(thin.t(), thin, thin.t(), thin).tolist()[0][:2] == [100.0, 100.0]


def test_each_matrix_of_a_batch_is_scaled_by_its_own_norm():
    """Squaring a matrix as often as the largest one of its batch needs would cost it digits."""
    values = np.random.default_rng(0).uniform(-1, 1, (4, 5, 5)) * np.array([0.01, 1, 5, 20]).reshape(4, 1, 1)
    expected = np.stack([linalg.expm(v) for v in values])
    found = clgrad.matrix_exp(clgrad.tensor(values, dtype=clgrad.float32)).numpy()
    errors = np.abs(found - expected).max((1, 2)) / np.abs(expected).max((1, 2))
    assert (errors < [2e-7, 1e-6, 4e-6, 2e-5]).all(), errors
    x = clgrad.tensor(values[:3], requires_grad=True)
    assert gradcheck(clgrad.matrix_exp, (x,)) and gradgradcheck(clgrad.matrix_exp, (x,))


@pytest.mark.parametrize(("name", "x", "a", "b"), [
    ("addmm", (2, 2), (2, 3), (3, 2)), ("addbmm", (2, 2), (5, 2, 3), (5, 3, 2)), ("baddbmm", (5, 2, 2), (5, 2, 3), (5, 3, 2)),
    ("addmv", (2,), (2, 3), (3,)), ("addr", (2, 3), (2,), (3,)),
])
def test_factors_where_older_programs_have_them(name, x, a, b):
    x, a, b = (clgrad.rand(shape) for shape in (x, a, b))
    function, method = getattr(clgrad, name), getattr(x, name)
    both, first = (function(x, a, b, beta=2, alpha=alpha).tolist() for alpha in (3, 1))
    assert function(2, x, 3, a, b).tolist() == method(2, 3, a, b).tolist() == both
    assert function(2, x, a, b).tolist() == method(2, a, b).tolist() == first
    assert getattr(x.clone(), f"{name}_")(2, 3, a, b).tolist() == both
    with pytest.raises(TypeError, match=f"{name}.*takes 3 positional arguments"):
        method(2, 3, 4, a, b)


def test_matrix_power_leaves_an_exponent_that_is_a_tensor(torch, rng):
    a, n = rng.standard_normal((3, 3)), clgrad.tensor(5)
    assert_same(clgrad.matrix_power(clgrad.tensor(a), n), torch.matrix_power(torch.tensor(a), 5))
    assert n.item() == 5


GROUPED = {"rows": ((12, 16), (3, 16, 8)), "columns": ((3, 4, 16), (16, 16)), "sums": ((16, 12), (12, 8)),
           "matrices": ((3, 4, 16), (3, 16, 8))}


@pytest.mark.parametrize("ends", [(2, 5, 12), (0, 0, 12), (3, 3, 3)])
@pytest.mark.parametrize("kind", GROUPED)
def test_grouped_products(kind, ends, torch, rng):
    left, right = (np.float32(rng.standard_normal(shape)) for shape in GROUPED[kind])
    if kind == "columns":
        ends = (8, 8, 16)
    results = []
    for t in (clgrad, torch):
        a, b = t.tensor(left, requires_grad=True), t.tensor(right, requires_grad=True)
        offs = None if kind == "matrices" else t.tensor(ends, dtype=t.int32)
        y = t.nn.functional.grouped_mm(a, b, offs=offs)
        if kind == "rows":
            y = y[:ends[-1]]  # there is nothing in what comes after
        pair = (y,) if ends[-1] < 12 and kind != "columns" else (y, *t.autograd.grad(y, (a, b), t.ones(y.shape)))
        results.append([x.detach().numpy() for x in pair])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("program", [
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(3, 16, 8)),
    lambda F, t, offs: F.grouped_mm(t.ones(3, 4, 16), t.ones(3, 16, 8), offs=offs),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(3, 16, 8), offs=offs.long()),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(3, 16, 8), offs=offs[None]),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(2, 16, 8), offs=offs),
    lambda F, t, offs: F.grouped_mm(t.ones(2, 8, 16), t.ones(3, 16, 8)),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(3, 32, 8), offs=offs),
    lambda F, t, offs: F.grouped_mm(t.ones(8), t.ones(3, 16, 8), offs=offs),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16).double(), t.ones(3, 16, 8).double(), offs=offs),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(3, 16, 8).half(), offs=offs),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(3, 16, 8), offs=offs, bias=t.ones(3, 8)),
    lambda F, t, offs: F.grouped_mm(t.ones(8, 16), t.ones(3, 16, 8), offs=offs, out_dtype=t.float16)])
def test_refusals_of_grouped_products(program, torch):
    assert_same_error(torch, lambda t: program(t.nn.functional, t, t.tensor([2, 5, 8], dtype=t.int32)))
