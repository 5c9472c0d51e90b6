"""Stacks, splits, rolls, grids, triangles and diagonals against PyTorch: values, gradients twice, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from clgrad.errors import warn_once
from tests.compare import assert_same, assert_same_error, pair, values

# name: (program over (library, tensor), shape of the tensor)
PROGRAMS = {
    "tril": (lambda t, x: t.tril(x), (3, 4)), "tril_low": (lambda t, x: x.tril(-1), (2, 3, 3)),
    "triu": (lambda t, x: x.triu(1), (4, 3)), "diag": (lambda t, x: t.diag(x, 1), (3,)),
    "diag_of_matrix": (lambda t, x: x.diag(-1), (3, 4)), "diag_embed": (lambda t, x: t.diag_embed(x, -1, 0, 2), (2, 3)),
    "diagflat": (lambda t, x: t.diagflat(x, 1), (2, 2)), "trace": (lambda t, x: x.trace(), (3, 4)),
    "roll": (lambda t, x: x.roll((1, -2), (0, 1)), (3, 4)), "roll_flat": (lambda t, x: x.roll(5), (3, 4)),
    "rot90": (lambda t, x: t.rot90(x, 3, (0, 2)), (2, 3, 4)), "rot180": (lambda t, x: x.rot90(2), (2, 3)),
    "fliplr": (lambda t, x: t.fliplr(x), (2, 3)), "flipud": (lambda t, x: t.flipud(x), (3,)),
    "hstack": (lambda t, x: t.hstack((x, x * 2)), (3,)), "vstack": (lambda t, x: t.vstack((x, x * 2)), (3,)),
    "dstack": (lambda t, x: t.dstack((x, x * 2)), (2, 3)), "column_stack": (lambda t, x: t.column_stack((x, x * 2)), (3,)),
    "block_diag": (lambda t, x: t.block_diag(x, x[0], x[0, 0]), (2, 3)),
    "meshgrid": (lambda t, x: t.stack(t.meshgrid(x, x[:2] * 3, indexing="xy")), (3,)),
    "cartesian_prod": (lambda t, x: t.cartesian_prod(x, x[:2]), (3,)),
    "combinations": (lambda t, x: t.combinations(x, 2, True), (3,)), "vander": (lambda t, x: t.vander(x, 3), (4,)),
    "hsplit": (lambda t, x: t.hsplit(x, [1, 3])[1], (2, 4)), "vsplit": (lambda t, x: t.vsplit(x, 2)[1], (4, 2)),
    "dsplit": (lambda t, x: x.dsplit(2)[0], (1, 2, 4)), "atleast": (lambda t, x: t.atleast_3d(x), (2,)),
    "unfold_copy": (lambda t, x: t.unfold_copy(x, 0, 3, 2), (7,)), "split_copy": (lambda t, x: t.split_copy(x, 2)[1], (5,)),
    "as_strided": (lambda t, x: x.as_strided((3, 2), (1, 1), 1), (6,)),
    "as_strided_of_transposed": (lambda t, x: x.t().as_strided((2, 2), (1, 3)), (2, 3)),
    "swapaxes": (lambda t, x: t.swapaxes(x, axis0=0, axis1=1), (2, 3)), "adjoint": (lambda t, x: x.adjoint(), (2, 3)),
    "addmm_": (lambda t, x: (x * 2).addmm_(x, x, beta=0.5), (3, 3)), "tril_": (lambda t, x: (x * 2).tril_(), (3, 3)),
    "transpose_": (lambda t, x: (x * 2).transpose_(0, 1), (2, 3)), "squeeze_": (lambda t, x: (x * 2).squeeze_(0), (1, 3)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(torch, name, rng):
    program, shape = PROGRAMS[name]
    ours, theirs = pair(torch, rng.normal(size=shape), "float64", requires_grad=True)
    found, expected = program(clgrad, ours), program(torch, theirs)
    assert_same(found, expected, 1e-12, 1e-12)
    assert gradcheck(lambda x: program(clgrad, x), [ours])
    assert gradgradcheck(lambda x: program(clgrad, x), [ours])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["tril", "diag_embed", "roll", "rot90", "hstack", "cartesian_prod"])
def test_other_dtypes(torch, name, dtype):
    program, shape = PROGRAMS[name]
    array = np.arange(np.prod(shape)).reshape(shape) % 3
    if name == "hstack" and dtype == "bool":
        array = array.astype(bool)
    ours, theirs = pair(torch, array, dtype)
    assert_same(program(clgrad, ours), program(torch, theirs))


def test_empty_and_scalar_operands(torch):
    for library in (clgrad, torch):
        assert tuple(library.zeros(0, 3).tril().shape) == (0, 3)
        assert tuple(library.zeros(2, 0).roll(1, 1).shape) == (2, 0)
        assert tuple(library.block_diag(library.zeros(2, 0), library.ones(1, 1)).shape) == (3, 1)
        assert tuple(library.tensor(3.0).roll(2).shape) == ()
        assert tuple(library.tensor(3.0).unfold(0, 1, 1).shape) == (1,)
        assert tuple(library.combinations(library.arange(3), 0).shape) == (0,)
        assert [tuple(t.shape) for t in library.atleast_2d(library.tensor(1.0), library.zeros(2))] == [(1, 1), (1, 2)]


def test_results_are_copies_and_inputs_stay(torch):
    for library in (clgrad, torch):
        x = library.zeros(2, 2)
        for result in (x.diag(), x.roll(0, 0), x.rot90(4), library.permute_copy(x, (1, 0)), library.squeeze_copy(x)):
            result.fill_(1)
        assert not x.any()
        target = library.empty(0)
        assert library.tril(library.ones(2, 2), out=target) is target
        assert target.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("program", [
    lambda t: t.zeros(3).tril(), lambda t: t.zeros(2, 2, 2).diag(), lambda t: t.zeros(3).trace(),
    lambda t: t.zeros(3).diag_embed(0, 0, 0), lambda t: t.zeros(2, 3).roll((1, 2), (0,)),
    lambda t: t.zeros(3).rot90(), lambda t: t.zeros(2, 3).rot90(1, (0, 0)), lambda t: t.zeros(3).fliplr(),
    lambda t: t.hstack([]), lambda t: t.vstack((t.zeros(2), t.zeros(3))), lambda t: t.hsplit(t.zeros(3), 2),
    lambda t: t.vsplit(t.zeros(3), 1), lambda t: t.meshgrid(t.zeros(2, 2), indexing="ij"),
    lambda t: t.meshgrid(t.zeros(2), indexing="no"), lambda t: t.cartesian_prod(t.zeros(2, 2)),
    lambda t: t.combinations(t.zeros(2, 2)), lambda t: t.block_diag(t.zeros(1, 1, 1)), lambda t: t.vander(t.zeros(1, 1)),
    lambda t: t.positive(t.tensor(True)), lambda t: t.zeros(3).adjoint(), lambda t: t.zeros(3).unfold(0, 4, 1),
    lambda t: t.tril(t.ones(2, 2), out=t.empty(0, dtype=t.int64)),
    lambda t: t.tril(t.ones(2, 2, requires_grad=True), out=t.empty(0)),
    lambda t: t.zeros(2, 2, dtype=t.int64).addmm_(t.ones(2, 2), t.ones(2, 2)),
    lambda t: t.zeros(2).addmm_(t.ones(2, 2), t.ones(2, 2)),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


def test_shapes_and_memory_of_views_in_place():
    x = clgrad.arange(6.0)
    y = x.as_strided_((2, 3), (3, 1))
    assert y is x and x.t_().shape == (3, 2) and x.unsqueeze_(0).shape == (1, 3, 2)
    repeated = clgrad.ones(2, 1).expand(2, 3)
    assert repeated.unsqueeze_(-1).shape == (2, 3, 1) and repeated.transpose_(0, 1).stride() == (0, 1, 1)
    assert values(x.squeeze_().swapaxes_(0, 1)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_order_of_a_grid_will_have_to_be_said():
    warn_once.cache_clear()
    with pytest.warns(UserWarning, match="it will be required to pass the indexing argument"):
        clgrad.meshgrid(clgrad.ones(2), clgrad.ones(3))
