"""Operators over lists of tensors, and the lower-level forms of normalisation: against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck
from tests.compare import assert_same, assert_same_error, assert_same_outcome, pair


def lists(torch, rng, count=3):
    made = [pair(torch, rng.random((2, n + 1)) + 0.5, "float64") for n in range(count)]
    return [a for a, _ in made], [b for _, b in made]


@pytest.mark.parametrize("name", ["exp", "sqrt", "neg", "sigmoid"])
def test_one_list(name, torch, rng):
    own, other = lists(torch, rng)
    assert_same(getattr(clgrad, f"_foreach_{name}")(own), getattr(torch, f"_foreach_{name}")(other))
    assert getattr(clgrad, f"_foreach_{name}_")(own) is own
    assert getattr(torch, f"_foreach_{name}_")(other) is other
    assert_same(own, other)


def test_forms_in_place_give_the_list_back(torch):
    for library in (clgrad, torch):
        listed = [library.ones(2)]
        results = [library._foreach_zero_(listed), library._foreach_copy_(listed, [library.ones(2)]),
                   library._foreach_add_(listed, 1), library._foreach_maximum_(listed, 3.0),
                   library._foreach_lerp_(listed, [library.ones(2)], 0.5),
                   library._foreach_addcmul_(listed, listed, listed)]
        assert all(result is listed for result in results)


@pytest.mark.parametrize("name", ["add", "mul", "div", "sub", "pow", "maximum", "clamp_max"])
def test_two_operands(name, torch, rng):
    own, other = lists(torch, rng)
    for left, right in ((2.0, 2.0), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), (own, other)):
        assert_same(getattr(clgrad, f"_foreach_{name}")(own, left), getattr(torch, f"_foreach_{name}")(other, right))
        getattr(clgrad, f"_foreach_{name}_")(own, left)
        getattr(torch, f"_foreach_{name}_")(other, right)
        assert_same(own, other)


@pytest.mark.parametrize("call", [
    lambda t, x: t._foreach_add(x, x, alpha=3), lambda t, x: t._foreach_addcmul(x, x, x, 0.5),
    lambda t, x: t._foreach_addcdiv(x, x, x, [0.5, 1.0, 2.0]), lambda t, x: t._foreach_lerp(x, x, 0.3),
    lambda t, x: t._foreach_powsum(x, 3), lambda t, x: t._foreach_powsum(x, 1, t.float32),
    lambda t, x: t._foreach_norm(x), lambda t, x: t._foreach_norm(x, ord=1), lambda t, x: t._foreach_max(x),
    lambda t, x: t._foreach_clone(x), lambda t, x: t._foreach_addcmul(x, x, x, scalars=t.tensor([1.0, 2.0, 3.0])),
    lambda t, x: t._foreach_pow(2.0, x), lambda t, x: t._foreach_mm(x[1:2], [x[2][:, :2]])])
def test_several_lists(call, torch, rng):
    own, other = lists(torch, rng)
    assert_same(call(clgrad, own), call(torch, other))


@pytest.mark.parametrize("name", ["maximum", "minimum", "clamp_max", "clamp_min"])
def test_numbers_of_a_wider_dtype(name, torch):
    function = f"_foreach_{name}"
    found, expected = (getattr(t, function)([t.tensor([1, 3]), t.tensor([0.5])], 2.5) for t in (clgrad, torch))
    assert_same(found, expected)


def test_numbers_do_not_stand_first(torch):
    for name in ("add", "sub", "mul", "div", "maximum"):
        assert_same_error(torch, lambda t: getattr(t, f"_foreach_{name}")(1, [t.ones(2)]))  # noqa: B023


def test_numbers_in_a_tensor_are_one_for_each(torch):
    for scalars in ([2.0, 3.0], 2.0, [2.0]):
        assert_same_outcome(torch, lambda t: t._foreach_addcmul(*[[t.ones(2)]] * 3, t.tensor(scalars)))  # noqa: B023


def test_copies_and_zeros(torch, rng):
    own, other = lists(torch, rng)
    target = [clgrad.zeros_like(t) for t in own]
    clgrad._foreach_copy_(target, own)
    assert_same(target, other)
    clgrad._foreach_lerp_(target, own, [0.1, 0.2, 0.3])
    assert_same(target, other)
    clgrad._foreach_zero_(target)
    assert not any(t.any() for t in target)


@pytest.mark.parametrize("call", [
    lambda t: t._foreach_add([], 1), lambda t: t._foreach_add([t.ones(1)], [1, 2]), lambda t: t._foreach_exp(t.ones(2)),
    lambda t: t._foreach_mul([t.ones(1)], t.ones(3))])
def test_errors(call, torch):
    assert_same_error(torch, call)


@pytest.mark.parametrize("call", [
    lambda t, x, w: t.native_layer_norm(x, (4,), w, None, 1e-5),
    lambda t, x, w: t.native_layer_norm(x, (3, 4), None, None, 1e-5),
    lambda t, x, w: t.native_group_norm(x, None, None, 2, 3, 4, 1, 1e-5),
    lambda t, x, w: t.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)])
def test_native_norms(call, torch, rng):
    x, y = pair(torch, rng.normal(size=(2, 3, 4)), "float64")
    w, v = pair(torch, rng.normal(size=4), "float64")
    assert_same(call(clgrad, x, w), call(torch, y, v))


def test_native_batch_norm_in_use(torch, rng):
    x, y = pair(torch, rng.normal(size=(2, 3)), "float32")
    ones, others = pair(torch, np.ones(3), "float32")
    assert_same(clgrad.native_batch_norm(x, ones, None, ones * 2, ones, False, 0.1, 1e-5),
                torch.native_batch_norm(y, others, None, others * 2, others, False, 0.1, 1e-5), 1e-5)


def test_native_dropout():
    x = clgrad.ones(1000)
    out, mask = clgrad.native_dropout(x, 0.25, True)
    assert mask.dtype is clgrad.bool and 650 < mask.sum() < 850
    assert out.equal(mask / 0.75)
    out, mask = clgrad.native_dropout(x, 0.25, False)
    assert out.equal(x) and mask.all()


@pytest.mark.parametrize("call", [
    lambda t, x: x.fill_diagonal_(7), lambda t, x: x.fill_diagonal_(7, wrap=True), lambda t, x: x.t().fill_diagonal_(7),
    lambda t, x: t.zeros(3, 3, 3).fill_diagonal_(2), lambda t, x: t.zeros(0, 3).fill_diagonal_(2)])
def test_fill_diagonal(call, torch):
    x, y = pair(torch, np.arange(21.0).reshape(7, 3))
    assert_same(call(clgrad, x), call(torch, y))


@pytest.mark.parametrize("call", [lambda t: t.zeros(3).fill_diagonal_(1), lambda t: t.zeros(3, 3, 2).fill_diagonal_(1)])
def test_fill_diagonal_errors(call, torch):
    assert_same_error(torch, call)


@pytest.mark.parametrize("options", [
    {}, {"dim": 0}, {"dim": (1, 0)}, {"spacing": 0.5}, {"spacing": (2.0, 3.0)}, {"edge_order": 2},
    {"edge_order": 2, "places": True}, {"places": True}])
def test_gradient(options, torch, rng):
    x, y = pair(torch, rng.normal(size=(4, 5)), "float64")
    places = options.get("places", False)
    rest = {k: v for k, v in options.items() if k != "places"}
    grids = [np.cumsum(rng.random(n) + 0.1) for n in (4, 5)]
    own, other = (dict(rest, spacing=[t.tensor(g) for g in grids]) if places else rest for t in (clgrad, torch))
    assert_same(clgrad.gradient(x, **own), torch.gradient(y, **other))


def test_gradient_of_gradient(rng):
    x = clgrad.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    assert gradcheck(lambda t: clgrad.gradient(t, edge_order=2), x)


@pytest.mark.parametrize("call", [
    lambda t: t.gradient(t.ones(3), edge_order=3), lambda t: t.gradient(t.ones(1)),
    lambda t: t.gradient(t.ones(3), spacing=[1.0, 2.0]), lambda t: t.gradient(t.ones(3, dtype=t.uint8))])
def test_gradient_errors(call, torch):
    assert_same_error(torch, call)


@pytest.mark.parametrize("call", [
    lambda t: t.atan2(t.ones(2), 1), lambda t: t.maximum(2, t.ones(2)), lambda t: t.eq(2, t.ones(2)),
    lambda t: t.hypot(t.ones(2), 2), lambda t: t.logical_and(t.ones(2), True), lambda t: t.gcd(2, t.ones(2).long())])
def test_operands_that_have_to_be_tensors(call, torch):
    assert_same_error(torch, call)


def test_gradients_where_clamped_elements_equal_their_bounds(torch):
    def program(t):
        x, low = t.ones(2, requires_grad=True), t.ones(2, requires_grad=True)
        t._foreach_clamp_min([x], [low])[0].sum().backward()
        t._foreach_clamp_max([x], 1.0)[0].sum().backward()
        return x.grad, low.grad
    assert_same_outcome(torch, program)
