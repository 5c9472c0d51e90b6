"""einsum against NumPy: every form of equation, gradients twice, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same_error, assert_same_outcome, values

EQUATIONS = [
    ("i->", [(3,)]), ("i,i->i", [(3,), (3,)]), ("i,j->ij", [(3,), (4,)]), ("ij,jk", [(2, 3), (3, 4)]), ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]), ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]), ("b...i,b...i->b...", [(2, 3, 4), (2, 3, 4)]),
    ("iij,ijk->k", [(2, 2, 3), (2, 3, 4)]), ("ij,kl,jk->il", [(2, 3), (4, 5), (3, 4)]),
    ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("...", [(2, 3)]), ("ba", [(2, 3)]),
    ("i,ij,j->", [(3,), (3, 4), (4,)]),
    ("ij,j...->i...", [(3, 4), (4, 2, 5)]), ("iji->j", [(3, 2, 3)]), ("...ii->...", [(2, 3, 3)]),
    ("a...,...a->...", [(2, 3), (3, 2)]), (",->", [(), ()]), ("i,->i", [(3,), ()]),
    ("bn,anm,bm->ba", [(2, 3), (4, 3, 5), (2, 5)]), ("ij,jk->ik", [(2, 0), (0, 3)]), (" i j , j k -> k i ", [(2, 3), (3, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum_is_numpy_s(equation, shapes, rng):
    arrays = [rng.normal(size=shape) for shape in shapes]
    found = clgrad.einsum(equation, *map(clgrad.tensor, arrays))
    expected = np.einsum(equation, *arrays)
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(values(found), expected, atol=1e-12)


@pytest.mark.parametrize(("equation", "shapes"), [EQUATIONS[n] for n in (2, 4, 6, 8, 13, 20)])
def test_einsum_gradients(equation, shapes, rng):
    inputs = [clgrad.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]
    assert gradcheck(lambda *t: clgrad.einsum(equation, *t), inputs)
    assert gradgradcheck(lambda *t: clgrad.einsum(equation, *t), inputs)


def test_labels_as_numbers_and_operands_as_a_list(rng):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    x, y = clgrad.tensor(a), clgrad.tensor(b)
    np.testing.assert_allclose(values(clgrad.einsum(x, [0, 1], y, [1, 2], [0, 2])), a @ b)
    np.testing.assert_allclose(values(clgrad.einsum(x, [1, 0])), a.T)
    np.testing.assert_allclose(values(clgrad.einsum(x, [..., 30], y, [30, 40], [..., 40])), a @ b)
    np.testing.assert_allclose(values(clgrad.einsum("ij,jk", [x, y])), a @ b)


def test_sizes_of_one_are_broadcast(torch, rng):
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 1))
    for equation in ("ij,ij->j", "ij,ij->i", "ij,ij->ij"):
        expected = torch.einsum(equation, torch.tensor(a), torch.tensor(b))
        np.testing.assert_allclose(values(clgrad.einsum(equation, clgrad.tensor(a), clgrad.tensor(b))), expected.numpy())


@pytest.mark.parametrize(("equation", "shapes"), [
    ("ij,jk->ik", [(2, 1), (1, 3)]), ("ij,jk->ik", [(2, 2), (1, 3)]), ("i,i->", [(1,), (1,)]),
    ("bij,bkj->bik", [(2, 3, 1), (1, 2, 1)]), ("ij,jk->ik", [(2, 2), (2, 2)])])
@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("int8", "int32"), ("bool", "bool"), ("float16", "float16")])
def test_products_without_a_sum_promote(equation, shapes, dtypes, torch):
    def program(t):
        return t.einsum(equation, *(t.ones(shape, dtype=getattr(t, d)) for shape, d in zip(shapes, dtypes, strict=True)))
    assert_same_outcome(torch, program)


@pytest.mark.parametrize(("equation", "shapes"), [
    ("ij,jk->ik", [(2, 3)]), ("ij->ii", [(2, 3)]), ("ijk->i", [(2, 3)]), ("i1->i", [(2, 3)]), ("ij->ik", [(2, 3)]),
    ("ii->i", [(2, 3)]), ("i,i->i", [(2,), (3,)]), ("i.j->i", [(2, 3)]), ("......->", [(2, 3)])])
def test_wrong_equations(torch, equation, shapes):
    assert_same_error(torch, lambda library: library.einsum(equation, *(library.zeros(s) for s in shapes)))


@pytest.mark.parametrize(("equation", "shapes"), [
    (". ..", [(2,)]), ("... ...", [(2,)]), ("... .", [(2,)]), ("ai...", [(2,)]), ("ai", [(2,)]), ("", [(2,)]),
    ("a->... .", [(2,)]), ("a->..", [(2,)]), ("a->1", [(2,)]), ("a,b 2->", [(2,), (2,)]), ("aa", [(2, 3)]),
    ("a b -> b a", [(2, 3)])])
def test_what_is_wrong_with_an_equation_is_told(torch, equation, shapes):
    found = []
    for t in (clgrad, torch):
        try:
            found.append(tuple(t.einsum(equation, *(t.zeros(s) for s in shapes)).shape))
        except RuntimeError as error:
            found.append(str(error))
    assert found[0] == found[1]


def test_operands_in_a_list_are_seen_by_classes_and_tracers():
    seen = []

    class Watching(clgrad.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func is clgrad.einsum:
                seen.append([type(a).__name__ for a in args])
            return super().__torch_function__(func, types, args, kwargs or {})
    x = clgrad.ones(2, 2).as_subclass(Watching)
    assert clgrad.einsum("ij,jk->ik", [x, clgrad.ones(2, 2)]).tolist() == [[2, 2], [2, 2]]
    assert clgrad.einsum("ij,jk->ik", x, x).tolist() == [[2, 2], [2, 2]]
    assert seen == [["str", "Watching", "Tensor"], ["str", "Watching", "Watching"]]
