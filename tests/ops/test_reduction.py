"""Reductions against PyTorch and NumPy: dims, dtypes, layouts, NaN, ties, emptiness, gradients, accuracy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair, values

SEVERAL = ["sum", "mean", "var", "std", "amax", "amin", "logsumexp", "all", "any", "count_nonzero"]
ONE = ["prod", "max", "min", "argmax", "argmin"]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "float16": 2e-3, "bfloat16": 2e-2}


def call(x, name, dim, **options):
    if name == "logsumexp" and dim is None:
        dim = tuple(range(x.ndim))
    if dim is None:
        return getattr(x, name)() if name not in ("amax", "amin") else getattr(x, name)(**options)
    return getattr(x, name)(dim, **options)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2), (1,), (2, 1, 0)])
def test_over_none_one_and_several_dimensions(name, dim, torch, rng):
    data = rng.normal(size=(3, 4, 5)).astype(np.float32)
    x, y = pair(torch, data)
    for keepdim in (False, True):
        options = {"keepdim": keepdim} if name != "count_nonzero" and dim is not None else {}
        assert_same(call(x, name, dim, **options), call(y, name, dim, **options), 1e-5, 1e-5)


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("dim", [None, 0, 1, -1])
def test_over_none_and_one_dimension(name, dim, torch, rng):
    x, y = pair(torch, rng.normal(size=(3, 4, 5)).astype(np.float32))
    for keepdim in (False, True):
        options = {"keepdim": keepdim} if dim is not None else {}
        assert_same(call(x, name, dim, **options), call(y, name, dim, **options), 1e-5, 1e-5)


@pytest.mark.parametrize("name", ["sum", "amax", "max", "argmin", "var"])
@pytest.mark.parametrize("layout", ["transposed", "strided", "expanded", "offset"])
def test_layouts(name, layout, torch, rng):
    data = rng.normal(size=(4, 6, 8)).astype(np.float32)

    def laid_out(x):
        return {"transposed": lambda: x.transpose(0, 2), "strided": lambda: x[::2, 1::3, ::2],
                "expanded": lambda: x[:, :1].expand(4, 5, 8), "offset": lambda: x[1:, 2:]}[layout]()
    x, y = (laid_out(t) for t in pair(torch, data))
    for dim in (None, 0, 1, 2):
        assert_same(call(x, name, dim), call(y, name, dim), 1e-5, 1e-5)


# Each pair is a program to compile; tests/kernels/test_reduce.py has the rest.
@pytest.mark.parametrize(("name", "dtype"), [
    *((n, d) for n in ("sum", "max", "any")
      for d in ("bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float64")),
    *((n, d) for n in ("mean", "var", "logsumexp", "prod", "count_nonzero", "argmax") for d in ("int32", "float16"))])
def test_dtypes(name, dtype, torch, rng):
    x, y = pair(torch, rng.integers(0, 4, (3, 7)), dtype)
    if dtype in ("float16", "bfloat16", "float64"):
        x, y = x / 4 + 0.5, y / 4 + 0.5
    for dim in (None, 1):
        try:
            expected = call(y, name, dim)
        except RuntimeError:
            with pytest.raises(RuntimeError):
                call(x, name, dim)
            continue
        found = call(x, name, dim)
        assert_same(found, expected, TOLERANCE.get(dtype, 1e-6), 1e-6)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "max", "argmax", "amax", "all", "logsumexp"])
def test_scalars(name, torch):
    x, y = pair(torch, 2.5)
    if name not in ("var", "std"):
        assert_same(call(x, name, None), call(y, name, None))
        assert_same(call(x, name, 0), call(y, name, 0))
        assert_same(call(x, name, -1), call(y, name, -1))


@pytest.mark.parametrize("name", SEVERAL + ONE)
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_empty(name, dim, torch):
    x, y = clgrad.zeros(0, 3), torch.zeros(0, 3)
    if name in ("var", "std"):
        with pytest.warns(UserWarning, match="degrees of freedom"):
            assert np.isnan(values(x.var())).all()
        return
    try:
        expected = call(y, name, dim)
    except (RuntimeError, IndexError) as error:
        with pytest.raises(type(error)):
            call(x, name, dim)
        return
    assert_same(call(x, name, dim), expected)


@pytest.mark.parametrize(("shape", "dim", "correction"), [
    ((0, 3), None, 1), ((0, 3), 1, 1), ((2, 1), 1, 1), ((1,), None, 1), ((2, 0), 0, -1), ((2,), 0, 2), ((2,), 0, 1)])
def test_variances_of_too_few_elements_warn(shape, dim, correction, torch):
    texts = []
    for t in (torch, clgrad):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for name in ("var", "std"):
                getattr(t.ones(shape), name)(dim, correction=correction)
        found = [w for w in caught if "degrees of freedom" in str(w.message)]  # compilers may say something too
        texts.append([str(w.message).split("(Triggered")[0].strip() for w in found])
    assert texts[1] == texts[0]


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "max", "min", "argmax", "argmin", "prod", "all", "any",
                                  "logsumexp", "var"])
def test_nan_and_infinities(name, torch):
    inf, nan = np.inf, np.nan
    data = np.array([[1, nan, 3, nan], [inf, 1, 2, -inf], [inf, 1, inf, 2], [-inf] * 4], np.float32)
    x, y = pair(torch, data)
    for dim in (None, 0, 1):
        assert_same(call(x, name, dim), call(y, name, dim))


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_the_first_of_equal_values_is_named(name):
    data = np.array([[2, 7, 7, 1, 1, 2, 7, 1], [3, 3, 3, 3, 3, 3, 3, 3]], np.float32)
    reference = np.argmax if name.endswith("max") else np.argmin
    found = getattr(clgrad.tensor(data), name)(1)
    np.testing.assert_array_equal(values(found if name.startswith("arg") else found.indices), reference(data, 1))
    long = np.zeros(5000, np.float32)
    assert getattr(clgrad.tensor(long), f"arg{name[-3:]}")().item() == 0


def test_forms_of_max(torch):
    x, y = pair(torch, np.array([[1.0, 5.0], [7.0, 2.0]], np.float32))
    for t in (x, y):
        assert t.max().item() == 7
        assert t.max(dim=1).values.tolist() == [5, 7]
        named, indices = t.max(0, keepdim=True)
        assert (named.tolist(), indices.tolist()) == ([[7, 5]], [[1, 0]])
    assert_same(clgrad.max(x, x.t()), torch.max(y, y.t()))
    for program in (lambda t: t.max(t.ones(2), t.ones(2), keepdim=True), lambda t: t.min(t.ones(2), t.ones(2), True),
                    lambda t: t.max(t.ones(2), keepdim=False), lambda t: t.min(t.ones(2), 0, other=t.ones(2)),
                    lambda t: t.max(t.ones(2), 1.5)):
        assert_same_error(torch, program)
    low, high = clgrad.aminmax(x, dim=1)
    assert (low.tolist(), high.tolist()) == ([1, 2], [5, 7])
    assert clgrad.aminmax(x).max.item() == 7


def test_arguments(torch, rng):
    x, y = pair(torch, rng.normal(size=(3, 5)).astype(np.float32))
    for program in [lambda t: t.var(0, unbiased=False), lambda t: t.var(unbiased=False), lambda t: t.std(1, True),
                    lambda t: t.var(dim=1, correction=2), lambda t: t.std(dim=(0, 1), correction=0, keepdim=True),
                    lambda t: t.sum(axis=1), lambda t: t.sum(()), lambda t: t.mean([]),
                    lambda t: t.amin([]), lambda t: t.amax(dim=[], keepdim=True)]:
        assert_same(program(x), program(y), 1e-5, 1e-5)
    assert_same(clgrad.sum(x, 1, dtype=clgrad.float64), torch.sum(y, 1, dtype=torch.float64))
    assert_same(clgrad.var_mean(x, 1), torch.var_mean(y, 1), 1e-5, 1e-5)
    out = clgrad.empty(0)
    assert clgrad.sum(x, 1, out=out) is out
    assert out.shape == (3,)


@pytest.mark.parametrize("program", [
    lambda t: t.zeros(2, 3).sum(2),
    lambda t: t.zeros(2, 3).sum((0, 0)),
    lambda t: t.zeros(2, 3).prod([0]),
    lambda t: t.zeros(2, 3).logsumexp([]),
    lambda t: t.zeros(2, 3).sum((0, -2)),
    lambda t: t.zeros(2, 3, dtype=t.int64).mean(),
    lambda t: t.zeros(0).max(),
    lambda t: t.zeros(0).argmax(),
    lambda t: t.zeros(0, 2).amax(0),
    lambda t: t.zeros(0, 2).max(0),
    lambda t: t.zeros(2, 3).max(5),
    lambda t: t.zeros(2, dtype=t.int32).std(),
])
def test_errors(program, torch):
    assert_same_error(torch, program)


DIFFERENTIABLE = {
    "sum": lambda x: x.sum(), "sum_dims": lambda x: x.sum((0, 2), keepdim=True), "mean": lambda x: x.mean(1),
    "var": lambda x: x.var((0, 1)), "std": lambda x: x.std(2, unbiased=False), "amax": lambda x: x.amax((1, 2)),
    "amin": lambda x: x.amin(0), "max": lambda x: x.max(), "max_dim": lambda x: x.max(1)[0],
    "min_dim": lambda x: x.min(-1, keepdim=True).values, "logsumexp": lambda x: x.logsumexp((0, 2)),
    "prod": lambda x: x.prod(1), "prod_all": lambda x: x.prod(), "expanded": lambda x: x.expand(2, 2, 3, 2).sum(0)}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_to_second_order(name, rng):
    # Distinct values, so far apart that a finite difference changes no order.
    x = clgrad.tensor(rng.permutation(12).reshape(2, 3, 2) / 5.0 - 1.1, requires_grad=True)
    assert gradcheck(DIFFERENTIABLE[name], x)
    if name in ("amax", "amin", "max", "max_dim", "min_dim"):
        assert gradgradcheck(lambda v: DIFFERENTIABLE[name](v * v * v), x, atol=1e-4)
    else:
        assert gradgradcheck(DIFFERENTIABLE[name], x, atol=1e-4)


def test_equal_extremes_share_the_gradient(torch):
    data = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])
    for program in [lambda t: t.amax(1).sum(), lambda t: t.max(), lambda t: t.max(1).values.sum(),
                    lambda t: t.amin((0, 1))]:
        x, y = pair(torch, data, requires_grad=True)
        program(x).backward()
        program(y).backward()
        assert_same(x.grad, y.grad)


@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize("zeros", [0, 1, 2, 9])
def test_gradients_of_products_with_zeros(dim, zeros, torch, rng):
    a = rng.uniform(0.5, 1.5, (7, 19))
    a.flat[rng.permutation(a.size)[:zeros]] = 0
    found = []
    for library in (clgrad, torch):
        x = library.tensor(a, requires_grad=True)
        y = x.prod() if dim is None else x.prod(dim)
        (y * y.detach().add(2)).sum().backward()
        found.append(x.grad)
    assert_same(*found, 1e-12)


def test_std_of_equal_values_has_a_gradient_without_nan(torch):
    x, y = pair(torch, np.ones((2, 3)), requires_grad=True)
    x.std(1).sum().backward()
    y.std(1).sum().backward()
    assert_same(x.grad, y.grad)


@pytest.mark.parametrize("shape", [(1_000_000,), (1000, 1000)])
def test_a_long_sum_is_as_accurate_as_a_pairwise_one(shape, rng):
    data = rng.uniform(0, 1, shape).astype(np.float32)
    exact = data.astype(np.float64).sum()
    assert abs(clgrad.tensor(data).sum().item() - exact) / exact < 2e-7
    columns = values(clgrad.tensor(data.reshape(1000, 1000)).sum(0))
    np.testing.assert_allclose(columns, data.reshape(1000, 1000).astype(np.float64).sum(0), rtol=3e-7)


def test_sums_of_half_precision_do_not_saturate():
    assert clgrad.full((4096,), 1.0, dtype=clgrad.float16).sum().item() == 4096
    assert clgrad.full((4096,), 1.0, dtype=clgrad.bfloat16).mean().item() == 1.0
    assert clgrad.full((70_000,), 200, dtype=clgrad.uint8).sum().item() == 14_000_000


def test_inputs_stay_as_they_are(rng):
    data = rng.normal(size=(6, 7)).astype(np.float32)
    x = clgrad.tensor(data)
    for name in (*SEVERAL, *ONE):
        call(x, name, 0)
    np.testing.assert_array_equal(x.numpy(), data)


@pytest.mark.parametrize("name", ["sum", "prod", "nansum"])
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_elements_are_converted_before_they_are_summed(name, dtype, torch):
    x, y = pair(torch, [0.9, 1.9, -1.5, 2.5])
    assert_same(getattr(x, name)(0, dtype=getattr(clgrad, dtype)), getattr(y, name)(0, dtype=getattr(torch, dtype)))


def test_nothing_reduced_where_kept_dimensions_are_many(torch):
    x, y = (lib.zeros(0, 0, 6, 4).permute(2, 3, 0, 1)[::2] for lib in (clgrad, torch))
    assert_same(x.sum((2, 3)), y.sum((2, 3)))
    assert_same(clgrad.dist(x, x), torch.dist(y, y))


def test_sum_to_size_of_integers():
    x = clgrad.ones(3, 2, dtype=clgrad.int32)
    assert x.sum_to_size(()).dtype is clgrad.int64
    assert clgrad.tensor(True).sum_to_size(()).dtype is clgrad.int64
    assert x.sum_to_size(()).item() == 6


def test_at_most_64_dimensions_can_be_named():
    x = clgrad.ones((1,) * 65)
    assert x.sum().item() == 1
    with pytest.raises(RuntimeError, match="64 dims"):
        x.sum(0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_extremes_of_unsigned_integers(dtype, rng):
    array = rng.integers(0, np.iinfo(dtype).max, (37, 21), dtype=dtype, endpoint=True)
    x = clgrad.tensor(array)
    for name in ("max", "min", "amax", "amin", "argmax", "argmin"):
        assert getattr(x, name)().item() == getattr(array, name.replace("am", "m"))(), name
        along = getattr(x, name)(dim=1)
        found = along.values if name in ("max", "min") else along
        np.testing.assert_array_equal(found.numpy(), getattr(array, name.replace("am", "m"))(1))
    np.testing.assert_array_equal(x.cummax(0).values.numpy(), np.maximum.accumulate(array))
    np.testing.assert_array_equal(x.cummin(0).values.numpy(), np.minimum.accumulate(array))


@pytest.mark.filterwarnings("ignore:.*degrees of freedom:UserWarning")
@pytest.mark.parametrize("shape, unbiased", [((1,), True), ((0,), False), ((2, 1), True)])
def test_gradients_of_variances_of_one_element_or_none(shape, unbiased, torch):
    found = []
    for t in (clgrad, torch):
        x = t.ones(shape, requires_grad=True)
        found.append(t.autograd.grad(x.var(-1, unbiased).sum(), x)[0])
    assert_same(*found)
