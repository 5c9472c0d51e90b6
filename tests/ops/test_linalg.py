"""Matrix products against NumPy and PyTorch: ranks, batches, layouts, the addmm family, gradients twice, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, assert_same_outcome, pair, values

RANKS = [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((3, 4), (4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5)),
         ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)),
         ((1, 3, 4), (6, 4, 2)), ((3, 2, 3, 4), (1, 1, 4, 5)), ((2, 3, 2, 4), (2, 1, 4, 3))]


@pytest.mark.parametrize(("left", "right"), RANKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matmul_of_all_ranks(left, right, dtype, rng):
    a, b = rng.normal(size=left).astype(dtype), rng.normal(size=right).astype(dtype)
    expected = np.matmul(a, b)
    for found in (clgrad.tensor(a) @ clgrad.tensor(b), clgrad.matmul(clgrad.tensor(a), clgrad.tensor(b))):
        assert tuple(found.shape) == expected.shape
        assert str(found.dtype) == f"torch.{dtype}"
        np.testing.assert_allclose(values(found), expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


def transposed(x):
    return x.transpose(-2, -1).contiguous().transpose(-2, -1)


def strided(x):
    padded = x.new_zeros(*x.shape[:-2], x.shape[-2] * 2, x.shape[-1] * 3)
    padded[..., ::2, 1::3] = x
    return padded[..., ::2, 1::3]


@pytest.mark.parametrize("left", [lambda x: x, transposed, strided], ids=["rows", "columns", "strided"])
@pytest.mark.parametrize("right", [lambda x: x, transposed, strided], ids=["rows", "columns", "strided"])
@pytest.mark.parametrize("shape", [(7, 5, 9), (33, 65, 17), (1, 40, 1), (130, 3, 70)])
def test_layouts_of_operands(left, right, shape, rng):
    m, k, n = shape
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    found = left(clgrad.tensor(a)) @ right(clgrad.tensor(b))
    np.testing.assert_allclose(values(found), a.astype(np.float64) @ b, rtol=1e-4, atol=1e-4)


def test_permuted_and_expanded_batches(rng):
    a = rng.normal(size=(3, 2, 4, 5))
    b = rng.normal(size=(5, 6))
    x, y = clgrad.tensor(a), clgrad.tensor(b)
    np.testing.assert_allclose(values(x.transpose(0, 1) @ y), a.transpose(1, 0, 2, 3) @ b)
    np.testing.assert_allclose(values(x.permute(3, 0, 2, 1) @ x[0].new_ones(2, 1)), a.transpose(3, 0, 2, 1).sum(-1,
                               keepdims=True))
    np.testing.assert_allclose(values(x @ y.expand(3, 2, 5, 6)), a @ b)
    np.testing.assert_allclose(values(x[:, :1].expand(3, 4, 4, 5) @ y.expand(3, 4, 5, 6)), np.broadcast_to(
        a[:, :1] @ b, (3, 4, 4, 6)))
    offset = clgrad.tensor(a)[1:, 1, 1:, 2:]
    np.testing.assert_allclose(values(offset @ y[2:, ::2]), a[1:, 1, 1:, 2:] @ b[2:, ::2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype, torch, rng):
    a, b = rng.normal(size=(20, 300)), rng.normal(size=(300, 10))
    x, y = (clgrad.tensor(v).to(getattr(clgrad, dtype)) for v in (a, b))
    exact = values(x) @ values(y)
    np.testing.assert_allclose(values(x @ y), exact, rtol=2e-3 if dtype == "float16" else 1e-2, atol=2e-2)


@pytest.mark.parametrize(("left", "right"), [((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0,), (0,)),
                                             ((0, 2, 3), (0, 3, 2)), ((2, 0, 3), (3, 4)), ((2, 0), (0,))])
def test_empty(left, right, torch):
    x, y = clgrad.ones(left) @ clgrad.ones(right), torch.ones(left) @ torch.ones(right)
    assert_same(x, y)
    a, b = clgrad.ones(left, requires_grad=True), clgrad.ones(right, requires_grad=True)
    (a @ b).sum().backward()
    assert a.grad.shape == left and b.grad.shape == right


FAMILY = {
    "mm": lambda t, v: t.mm(v((3, 4)), v((4, 5))),
    "bmm": lambda t, v: t.bmm(v((2, 3, 4)), v((2, 4, 5))),
    "mv": lambda t, v: t.mv(v((3, 4)), v((4,))),
    "dot": lambda t, v: t.dot(v((4,)), v((4,))),
    "outer": lambda t, v: t.outer(v((4,)), v((3,))),
    "ger": lambda t, v: v((4,)).ger(v((3,))),
    "addmm": lambda t, v: t.addmm(v((3, 5)), v((3, 4)), v((4, 5)), beta=0.5, alpha=2),
    "addmm_row": lambda t, v: t.addmm(v((5,)), v((3, 4)), v((4, 5))),
    "addmm_column": lambda t, v: t.addmm(v((3, 1)), v((3, 4)), v((4, 5))),
    "addmm_beta_0": lambda t, v: t.addmm(v((5,)) * float("nan"), v((3, 4)), v((4, 5)), beta=0),
    "addmv": lambda t, v: t.addmv(v((3,)), v((3, 4)), v((4,)), beta=2),
    "addr": lambda t, v: t.addr(v((3, 4)), v((3,)), v((4,)), alpha=3),
    "baddbmm": lambda t, v: t.baddbmm(v((2, 3, 5)), v((2, 3, 4)), v((2, 4, 5)), beta=0.5),
    "addbmm": lambda t, v: t.addbmm(v((3, 5)), v((2, 3, 4)), v((2, 4, 5)), alpha=0.5),
    "linear": lambda t, v: t.nn.functional.linear(v((6, 4)), v((5, 4)), v((5,))),
    "linear_many": lambda t, v: t.nn.functional.linear(v((2, 3, 4)), v((5, 4)), v((5,))),
    "linear_vector": lambda t, v: t.nn.functional.linear(v((4,)), v((5, 4))),
    "linear_weight_vector": lambda t, v: t.nn.functional.linear(v((2, 4)), v((4,))),
}


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_and_its_gradients(name, torch):
    """Values and the gradients of every operand, as PyTorch has them."""
    results = []
    for library in (clgrad, torch):
        draws = np.random.default_rng(3)
        made = []

        def operand(shape, library=library, draws=draws, made=made):
            made.append(library.tensor(draws.normal(size=shape), requires_grad=True))
            return made[-1]
        out = FAMILY[name](library, operand)
        library.sum(out * out).backward()
        results.append((out.detach(), [m.grad if m.grad is not None else library.zeros(1) for m in made]))
    if name == "addmm_beta_0":
        assert_same(results[0][0], results[1][0])
        return
    assert_same(results[0][0], results[1][0], 1e-9)
    assert_same(results[0][1], results[1][1], 1e-9)


@pytest.mark.parametrize("beta", [0, 1, 2])
def test_the_input_of_addr_counts_as_a_matrix(beta, torch):
    assert_same_outcome(torch, lambda t: t.addr(t.tensor(2.0, dtype=t.float64), t.arange(3.0), t.arange(2), beta=beta))


@pytest.mark.parametrize(("left", "right"), [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 2)), ((2, 2, 3), (3, 2)),
                                             ((2, 1, 2, 3), (2, 3, 1))])
def test_gradients_to_second_order(left, right, rng):
    a, b = (clgrad.tensor(rng.normal(size=s), requires_grad=True) for s in (left, right))
    assert gradcheck(clgrad.matmul, (a, b))
    assert gradgradcheck(clgrad.matmul, (a, b))


def test_linear_to_second_order(rng):
    x, w, b = (clgrad.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 3), (2, 3), (2,)))
    linear = clgrad.nn.functional.linear
    assert gradcheck(linear, (x, w, b))
    assert gradgradcheck(linear, (x, w, b))


def test_out_and_methods(rng):
    a, b = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    out = clgrad.empty(0)
    assert clgrad.mm(clgrad.tensor(a), clgrad.tensor(b), out=out) is out
    np.testing.assert_allclose(out.numpy(), a @ b, rtol=1e-5)
    again = clgrad.empty(3, 2)
    assert clgrad.matmul(clgrad.tensor(a), clgrad.tensor(b), out=again) is again
    np.testing.assert_allclose(again.numpy(), a @ b, rtol=1e-5)
    np.testing.assert_allclose(clgrad.tensor(a).mm(clgrad.tensor(b)).numpy(), a @ b, rtol=1e-5)


def test_nan_and_infinity_propagate():
    a = np.array([[1, np.nan], [np.inf, 1]], np.float32)
    b = np.array([[0, 1], [2, 1]], np.float32)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(values(clgrad.tensor(a) @ clgrad.tensor(b)), a @ b)


@pytest.mark.parametrize("program", [
    lambda t: t.ones(2, 3) @ t.ones(2, 3),
    lambda t: t.ones(2, 3) @ t.ones(4),
    lambda t: t.ones(()) @ t.ones(4),
    lambda t: t.ones(2, 2, 3) @ t.ones(3, 3, 2),
    lambda t: t.ones(2, 3) @ t.ones(3, 2, dtype=t.float64),
    lambda t: t.mm(t.ones(3), t.ones(3)),
    lambda t: t.mm(t.ones(2, 3), t.ones(2, 3)),
    lambda t: t.bmm(t.ones(2, 3), t.ones(3, 2)),
    lambda t: t.bmm(t.ones(2, 3, 4), t.ones(3, 4, 5)),
    lambda t: t.mv(t.ones(2, 3), t.ones(2)),
    lambda t: t.dot(t.ones(2), t.ones(3)),
    lambda t: t.outer(t.ones(2, 2), t.ones(3)),
    lambda t: t.matmul(t.ones(2, 2), 3),
    lambda t: t.addmm(t.ones(7), t.ones(2, 3), t.ones(3, 4)),
    lambda t: t.addr(t.ones(2, 2), t.ones(2), t.ones(2), beta=True),
    lambda t: t.linalg.cond(t.ones(2)),
    lambda t: t.linalg.householder_product(t.ones(2), t.ones(2)),
    lambda t: t.linalg.householder_product(t.ones(5, 3, 2), t.ones(4, 2)),
    lambda t: t.linalg.householder_product(t.ones(3, 2), t.ones(2, dtype=t.float64)),
    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(5, 4)),
    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(5, 3), t.ones(4)),
])
def test_errors(program, torch):
    assert_same_error(torch, program)


def test_integer_products(torch):
    """PyTorch multiplies integer matrices; where clgrad does not, it says so instead of giving wrong numbers."""
    a, b = pair(torch, [[1, 2], [3, 4]])
    try:
        found = a @ a
    except RuntimeError as error:
        assert "int64" in str(error) or "implemented" in str(error)
    else:
        assert_same(found, b @ b)


@pytest.mark.parametrize(("shape", "p"), [((0, 0), None), ((3, 0, 0), "fro"), ((0, 3), 2), ((0, 3, 3), 1)])
def test_condition_numbers_of_nothing(torch, shape, p):
    assert_same(clgrad.linalg.cond(clgrad.ones(shape), p), torch.linalg.cond(torch.ones(shape), p))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (5, 1), (1, 5), (0, 3), (3, 0)])
def test_matrix_times_vector(shape, transposed, torch):
    rng = np.random.default_rng(0)
    matrix, vector = rng.normal(size=shape[::-1] if transposed else shape), rng.normal(size=2 * shape[1])
    results = []
    for t in (clgrad, torch):
        m, v = t.tensor(matrix, requires_grad=True), t.tensor(vector, requires_grad=True)
        y = (m.t() if transposed else m) @ v[::2]
        assert y.grad_fn.name() == "MvBackward0"
        grads = t.autograd.grad((y ** 2).sum(), (m, v), create_graph=True)
        second = t.autograd.grad(sum((g ** 2).sum() for g in grads), (m, v))
        results.append((y, *grads, *second))
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["bool", "int64", "float32", "complex64"])
@pytest.mark.parametrize("factors", [(True, 1), (2, True), (0.5, 2), (1j, 1), (1, 1j), (True, True)], ids=str)
def test_factors_of_sums_with_products(torch, kind, factors):
    for name, shapes in (("addr", [(2, 2), (2,), (2,)]), ("addmm", [(2, 2)] * 3), ("baddbmm", [(1, 2, 2)] * 3)):
        def program(t):
            operands = [t.ones(shape, dtype=getattr(t, kind)) for shape in shapes]  # noqa: B023
            return str(getattr(t, name)(*operands, beta=factors[0], alpha=factors[1]).dtype)  # noqa: B023
        if name == "addr" or kind != "bool":  # masks have no products of matrices
            assert_same_outcome(torch, program)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3), (3, 0)])
def test_norms_of_empty_matrices(torch, shape):
    for ord in ("fro", "nuc", 1, 2, float("inf"), -1, -2, -float("inf")):
        for kind in ("float32", "complex64"):
            for keepdim in (False, True):
                assert_same_outcome(torch, lambda t: t.linalg.matrix_norm(
                    t.zeros(shape, dtype=getattr(t, kind)), ord, keepdim=keepdim))  # noqa: B023
            if shape[-1] == shape[-2]:
                assert_same_outcome(torch, lambda t: t.linalg.cond(t.zeros(shape, dtype=getattr(t, kind)), ord))  # noqa: B023
