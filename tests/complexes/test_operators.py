"""Operators on complex numbers, and their gradients of first and second order, against PyTorch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same, assert_same_error

# name: (program, shapes of complex operands); a shape in a list is that of a real one
POINTWISE = {name: (lambda t, a, name=name: getattr(t, name)(a), [(3, 4)]) for name in (
    "abs", "angle", "sgn", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "square",
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sigmoid", "sinc",
    "neg", "conj_physical", "real", "imag", "view_as_real")}
PROGRAMS = {
    **POINTWISE,
    "arithmetic": (lambda t, a, b: (a + b) * (a - b) / b, [(3, 4), (4,)]),
    "numbers": (lambda t, a: (a + 1j) * 2 / (1 - 0.5j) - 3 + 2j ** a + a ** (1 + 1j), [(3,)]),
    "real beside complex": (lambda t, a, b: a * b + b / (a + 2) - a, [[3], (2, 3)]),
    "power": (lambda t, a, b: a ** b + a ** 3 + a ** -1 + a ** 0.5 + b ** 2.5, [(4,), (4,)]),
    "addcmul": (lambda t, x, a, b: t.addcmul(x, a, b, value=0.5j) + t.addcdiv(x, a, b, value=2), [(3,), (3,), (3,)]),
    "lerp": (lambda t, a, b: a.lerp(b, 0.3 + 0.2j) + a.lerp(b, 0.9), [(3,), (3,)]),
    "where": (lambda t, a, b: t.where(a.real > 0, a, b) + a.masked_fill(a.imag > 0, 2j), [(5,), (5,)]),
    "activations": (lambda t, a: t.nn.functional.tanhshrink(a) + t.nn.functional.softsign(a), [(4,)]),
    "complex": (lambda t, a, b: t.complex(a, b) * t.polar(a.abs() + 1, b), [[3], [3]]),
    "sums": (lambda t, a: a.sum() + a.mean(1).sum() + a.cumsum(0)[1, 2] + a.trace(), [(3, 3)]),
    "products": (lambda t, a: a.prod() + a.prod(-1).sum() + a.cumprod(1)[0], [(3, 5)]),
    "spread": (lambda t, a: a.var(0) + a.std(1, keepdim=True) + t.var_mean(a, 1)[1].abs().sum(), [(4, 4)]),
    "norms": (lambda t, a: a.norm() + t.linalg.norm(a, 1) + t.linalg.matrix_norm(a, "nuc") + t.linalg.vector_norm(a, 3),
              [(3, 4)]),
    "logsumexp": (lambda t, a: a.logsumexp(1) + t.logaddexp(a, a * 1j).sum(), [(3, 4)]),
    "logcumsumexp": (lambda t, a: (a * 2).logcumsumexp(1), [(3, 4)]),
    "joined": (lambda t, a, b: t.cat([a, b, a.real], 1)[:, 1:] + t.stack([a, b]).sum(0).sum(), [(2, 3), (2, 3)]),
    "gather": (lambda t, a: a.gather(1, t.tensor([[0, 2], [1, 1]])) + a.index_select(0, t.tensor([1, 0]))[:, :2], [(2, 3)]),
    "items": (lambda t, a: a[t.tensor([0, 1, 0])] + a[0] + a[a.real > -9].sum() + a[..., 1:].sum(), [(2, 3)]),
    "scattered": (lambda t, a, b: a.scatter_add(1, t.tensor([[0, 0], [2, 1]]), b) + a.index_add(0, t.tensor([1, 0]), a),
                  [(2, 3), (2, 2)]),
    "moved": (lambda t, a: a.flip(0).roll(1, 1).tril() + a.triu(1) + a.diag().diag() + a.t() + a.H + a.mT
              + a.adjoint(), [(3, 3)]),
    "padded": (lambda t, a: t.nn.functional.pad(a, (1, 2), value=1.5) + t.nn.functional.pad(a, (1, 2)), [(2, 3)]),
    "windows": (lambda t, a: a.unfold(1, 2, 1).sum(-1) + a.reshape(4, 2).view(2, 4)[:, 1:], [(2, 4)]),
    "written": (lambda t, a, b: _written(t, a, b), [(3, 3), (3,)]),
    "matmul": (lambda t, a, b: a @ b + t.addmm(a @ b, a, b, beta=1j, alpha=0.5), [(2, 3), (3, 2)]),
    "batches": (lambda t, a, b: t.bmm(a, b) + t.einsum("bij,bjk->bik", a, b) + t.baddbmm(t.bmm(a, b), a, b),
                [(2, 2, 3), (2, 3, 2)]),
    "vectors": (lambda t, a, b: t.dot(a, b) + t.vdot(a, b) + t.linalg.vecdot(a, b) + t.outer(a, b).sum() + t.inner(a, b),
                [(3,), (3,)]),
    "fourier layer": (lambda t, x, w: t.einsum("bixy,ioxy->boxy", x, w), [(2, 3, 2, 2), (3, 4, 2, 2)]),
    "kron": (lambda t, a, b: t.kron(a, b) + t.tensordot(a, b, 1).sum(), [(2, 2), (2, 2)]),
    "linear": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), [(2, 3), (4, 3), (4,)]),
    "conv2d": (lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, padding=1), [(1, 2, 4, 4), (3, 2, 3, 3), (3,)]),
    "conv_transpose1d": (lambda t, x, w: t.nn.functional.conv_transpose1d(x, w, stride=2), [(1, 2, 4), (2, 3, 3)]),
    "losses": (lambda t, a, b: t.nn.functional.l1_loss(a, b) + t.dist(a, b) + t.nn.functional.pairwise_distance(a, b).sum(),
               [(2, 3), (2, 3)]),
    "covariance": (lambda t, a: t.cov(a) + t.corrcoef(a), [(3, 5)]),
    "rms_norm": (lambda t, a, w: t.nn.functional.rms_norm(a, (3,), w), [(2, 3), (3,)]),
    "inverse": (lambda t, a: t.linalg.inv(a) + t.linalg.solve(a, a.mT) + (t.linalg.pinv(a[:, :2]) @ a[:, :2]).sum(),
                [(3, 3)]),
    "determinant": (lambda t, a: t.det(a) + t.linalg.slogdet(a).logabsdet + t.logdet(a) + t.linalg.slogdet(a)[0], [(3, 3)]),
    "triangles": (lambda t, a, b: t.linalg.solve_triangular(a, b, upper=True)
                  + t.linalg.solve_triangular(a, b.mT, upper=False, left=False).mT, [(3, 3), (3, 2)]),
    "cholesky": (lambda t, a: t.linalg.cholesky(a @ a.mH + 2 * t.eye(3)) + t.linalg.cholesky(a @ a.mH + t.eye(3), upper=True)
                 + t.cholesky_solve(a, t.linalg.cholesky(a @ a.mH + t.eye(3))), [(3, 3)]),
    "lu": (lambda t, a: t.linalg.lu_factor(a)[0] + t.linalg.lu_solve(*t.linalg.lu_factor(a), a, adjoint=True), [(3, 3)]),
    "qr": (lambda t, a: _without_phase(t, *t.linalg.qr(a)), [(4, 3)]),
    "singular values": (lambda t, a: t.linalg.svdvals(a) + _projection(t.linalg.svd(a, full_matrices=False)[0]).real.sum(),
                        [(3, 4)]),
    "eigh": (lambda t, a: t.linalg.eigvalsh(a + a.mH) + _projection(t.linalg.eigh(a + a.mH)[1][:, :1]).sum().abs(), [(3, 3)]),
    "eig": (lambda t, a: t.linalg.eigvals(a).abs().pow(2).sum() + t.linalg.eig(a)[1].abs().sum(), [(3, 3)]),
    "matrix_exp": (lambda t, a: t.matrix_exp(a) + t.matrix_power(a, 3), [(3, 3)]),
}


def _written(t, a, b):
    x = a * 1
    x[0] = b
    x[1, t.tensor([0, 2])] = 1 + 2j
    x.real.mul_(2)
    x.imag[2] = b.real
    return x.add_(b * 1j).sgn_() + (a * 1).cumprod_(0) + (a * 1).index_add_(0, t.tensor([1]), b.unsqueeze(0))


def _without_phase(t, q, r):
    signs = t.sgn(r.diagonal())
    return (q * signs).abs().sum() + (r * signs.conj().unsqueeze(1)).sum()


def _projection(vectors):
    return (vectors @ vectors.mH) * 2


@pytest.mark.filterwarnings("ignore:Casting complex values to real")
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(torch, name):
    program, shapes = PROGRAMS[name]
    rng = np.random.default_rng(len(name))
    arrays = [rng.normal(size=shape) if isinstance(shape, list) else rng.normal(size=shape) + 1j * rng.normal(size=shape)
              for shape in shapes]
    weight = None
    found = []
    for t in (clgrad, torch):
        leaves = [t.tensor(array, requires_grad=True) for array in arrays]
        result = program(t, *leaves)
        if weight is None:
            weight = rng.normal(size=tuple(result.shape)) + 1j * rng.normal(size=tuple(result.shape))
        given = t.tensor(weight if result.is_complex() else weight.real.copy()).reshape(result.shape)
        grads = t.autograd.grad(result, leaves, given, create_graph=True)
        total = sum((g.abs() ** 2).sum() for g in grads if g.requires_grad)
        second = t.autograd.grad(total, leaves, allow_unused=True) if isinstance(total, t.Tensor) else ()
        found.append((result.detach(), grads, [g for g in second if g is not None]))
    (value, grads, second), (wanted, wanted_grads, wanted_second) = found
    assert_same(value, wanted.resolve_conj(), 1e-8, 1e-8)
    assert_same(grads, [g.resolve_conj() for g in wanted_grads], 1e-7, 1e-7)
    assert_same(second, [g.resolve_conj() for g in wanted_second], 1e-6, 1e-6)


@pytest.mark.parametrize("name", POINTWISE)
def test_single_precision_and_layouts(torch, name):
    rng = np.random.default_rng(5)
    array = (rng.normal(size=(4, 6, 3)) + 1j * rng.normal(size=(4, 6, 3))).astype(np.complex64)
    for look in (lambda x: x, lambda x: x[1:, ::2], lambda x: x.permute(2, 0, 1), lambda x: x[0, 0, 0], lambda x: x[:0],
                 lambda x: x[:1].expand(3, 6, 3)):
        found, expected = (getattr(t, name)(look(t.tensor(array))) for t in (clgrad, torch))
        assert_same(found, expected.resolve_conj(), 2e-5, 1e-5)


SPECIAL = [complex(a, b) for a in (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan) for b in (0.0, -0.0, 2.0, np.inf, np.nan)]


@pytest.mark.parametrize("name", ["sqrt", "log", "abs", "angle", "asin", "acos", "atanh", "asinh", "conj_physical", "isnan",
                                  "isinf", "isfinite", "isreal"])
def test_on_branch_cuts(name):
    """Against NumPy, on both sides of the cuts: zeros have signs."""
    cuts = np.array([complex(a, b) for a in (-2.0, -0.5, 0.5, 2.0) for b in (0.0, -0.0)]
                    + [complex(a, b) for a in (0.0, -0.0) for b in (-2.0, -0.5, 0.5, 2.0)])
    numpy_name = {"abs": "abs", "asin": "arcsin", "acos": "arccos", "atanh": "arctanh", "asinh": "arcsinh",
                  "conj_physical": "conj"}.get(name, name)
    found = getattr(clgrad, name)(clgrad.tensor(cuts))
    np.testing.assert_allclose(found.numpy(), getattr(np, numpy_name)(cuts), 1e-12, 1e-12)
    if name.startswith("is"):
        np.testing.assert_array_equal(getattr(clgrad, name)(clgrad.tensor(SPECIAL)).numpy(), getattr(np, name)(SPECIAL))


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
@pytest.mark.parametrize("name", ["acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinh", "tan",
                                  "tanh", "exp", "log", "sqrt"])
def test_of_infinities_and_far_out(torch, name, kind):
    """Where PyTorch's value has a part that is no number, ours has one, too; which of the parts it is, no standard says."""
    found, expected = (getattr(t, name)(t.tensor([*SPECIAL, 1e12 - 3e12j, 2e20 + 1e18j], dtype=getattr(t, kind)))
                       for t in (clgrad, torch))
    found, expected = np.array(found.tolist()), np.array(expected.tolist())
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~known)
    for part in ("real", "imag"):
        np.testing.assert_allclose(getattr(found, part)[known], getattr(expected, part)[known], 1e-5, 1e-6)


@pytest.mark.parametrize("program", [
    lambda t, z: z < z, lambda t, z: z.max(), lambda t, z: z.sort(), lambda t, z: t.relu(z), lambda t, z: z.floor(),
    lambda t, z: z // z, lambda t, z: t.maximum(z, z), lambda t, z: t.erf(z), lambda t, z: t.atan2(z, z),
    lambda t, z: t.sign(z),
    lambda t, z: z.real.imag, lambda t, z: t.view_as_real(z.real), lambda t, z: t.view_as_complex(t.ones(3)),
    lambda t, z: t.view_as_complex(t.ones(2, 2).t()), lambda t, z: z.reshape(1, 2) @ t.ones(2, 1),
    lambda t, z: t.view_as_complex(t.ones(2, dtype=t.int64)), lambda t, z: t.complex(t.ones(1), t.ones(1).double()),
    lambda t, z: t.complex(t.ones(1).int(), t.ones(1).int()), lambda t, z: t.polar(t.ones(1), t.ones(1).double()),
    lambda t, z: t.polar(t.ones(1), t.ones(1), out=t.ones(1)), lambda t, z: (z * 1).requires_grad_().sum().backward(),
    lambda t, z: float(z[0]), lambda t, z: t.ones(2).add_(1j), lambda t, z: t.ones(2).mul_(z),
    lambda t, z: t.tensor(1j, dtype=t.float32),
    lambda t, z: t.iinfo(t.complex64), lambda t, z: t.zeros(2).fill_(1j), lambda t, z: t.softmax(z, 0), lambda t, z: z % 2,
])
def test_errors(torch, program):
    assert_same_error(torch, lambda t: program(t, t.tensor([1 + 2j, 3 - 1j])))


@pytest.mark.filterwarnings("ignore:Casting complex values to real")
@pytest.mark.parametrize("kind", ["complex64", "complex128", "float64", "int32"])
@pytest.mark.parametrize("own", ["bool", "int64", "float32", "complex64"])
@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "cumprod"])
def test_dtypes_between_real_and_complex_numbers(torch, name, own, kind):
    def program(t, asked):
        x, wanted = t.tensor([[1, 2], [0, 3], [2, 2]]).to(getattr(t, own)), getattr(t, kind)
        shape = 2 if name in ("sum", "prod") else (3, 2)
        given = {"dtype": wanted} if asked == "dtype" else {"out": t.empty(shape, dtype=wanted)}
        return getattr(t, name)(x, 0, **given)
    for asked in ("dtype", "out"):
        assert_same(program(clgrad, asked), program(torch, asked))
    other = "complex128" if kind == "complex64" else "complex64"
    assert_same_error(torch, lambda t: getattr(t, name)(
        t.tensor([1, 2]).to(getattr(t, own)), 0, dtype=getattr(t, kind), out=t.empty(0, dtype=getattr(t, other))))


@pytest.mark.parametrize("own", ["bool", "int64", "float32"])
def test_means_of_real_tensors_as_complex_numbers(torch, own):
    found, expected = (t.tensor([[1, 2], [0, 3]]).to(getattr(t, own)).mean(1, dtype=t.complex64) for t in (clgrad, torch))
    assert_same(found, expected)
    with pytest.raises(RuntimeError, match="dtype must be either"):
        clgrad.tensor([1j]).mean(dtype=clgrad.int64)


INFINITE = [complex(a, b) for a in (-np.inf, np.inf, np.nan, 0.5) for b in (0.0, 1.0, np.inf, np.nan)]


def test_logarithms_of_sums_with_infinities(torch):
    """Sums of exp(z) where exp(z) is 0, infinite, or too small to be told from 0 beside the largest one."""
    def program(t):
        z = t.tensor(INFINITE)
        infinite = t.tensor([complex(-np.inf, np.inf), -np.inf + 1j, 1.2 + 2.1j, complex(2.4, np.inf)])
        small = t.tensor([-900 + 1j, -200, -800 + 2j, 3, 5j])
        return t.logaddexp(z[:, None], z), infinite.logcumsumexp(0), small.logcumsumexp(0)
    assert_same(program(clgrad), program(torch))


def test_a_real_tensor_is_summed_as_complex_numbers_before_there_were_any():
    program = ("import clgrad; x = clgrad.tensor([1.0, 2.0]); assert x.sum(dtype=clgrad.complex64).tolist() == 3 + 0j; "
               "assert x.cumsum(0, dtype=clgrad.complex64).tolist() == [1 + 0j, 3 + 0j]")
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


COMBINED = [
    *(lambda t, x, i, v, n=n: t.scatter(x, 1, i, v, reduce=n) for n in ("add", "multiply")),
    *(lambda t, x, i, v, n=n: x.clone().scatter_(1, i, 2 - 1j, reduce=n) for n in ("add", "multiply")),
    *(lambda t, x, i, v, n=n, own=own: t.scatter_reduce(x, 1, i, v, n, include_self=own)
      for n in ("sum", "prod", "mean") for own in (True, False)),
    lambda t, x, i, v: x.clone().scatter_reduce_(1, i, v, "prod"),
    lambda t, x, i, v: x.index_add(1, t.tensor([2, 0]), v[:, :2], alpha=2 - 1j)]


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
@pytest.mark.parametrize("number", range(len(COMBINED)))
def test_combined_at_places(torch, number):
    rng = np.random.default_rng(number)
    x, v = (rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3)) for _ in range(2))
    index = rng.integers(0, 3, size=(4, 3))
    found, expected = (COMBINED[number](t, t.tensor(x), t.tensor(index), t.tensor(v)) for t in (clgrad, torch))
    assert_same(found, expected, 1e-12, 1e-12)
