"""Divisions of integers by zero, and the accuracy of 16-bit floats beside numbers and 0-d tensors: as in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad

_MADE = ["torch.tensor([3, 4])", "torch.tensor([2., 3.])", "torch.tensor([1, 0])", "torch.tensor(0)",
         "torch.tensor([0., 1.])", "0", "0.", "3", "torch.tensor([True, False])"]


@pytest.mark.parametrize("program", [
    "a // b", "a % b", "torch.fmod(a, b)", "torch.div(a, b, rounding_mode='floor')", "torch.div(a, b, rounding_mode='trunc')",
    "a.clone().remainder_(b)", "a.clone().fmod_(b)", "a.clone().floor_divide_(b)", "a.clone().div_(b, rounding_mode='floor')",
    "torch.remainder(a, b, out=torch.empty(0))", "a / b",
])
def test_integers_are_not_divided_by_zero(torch, program):
    for left in _MADE:
        for right in _MADE:
            if "tensor" not in left + right:
                continue
            outcomes = []
            for library in (torch, clgrad):
                names = {"torch": library, "a": eval(left, {"torch": library}), "b": eval(right, {"torch": library})}
                try:
                    outcomes.append(str(eval(program, names).tolist()))
                except (AttributeError, RuntimeError, TypeError) as error:
                    outcomes.append(str(error) if "ZeroDivision" in str(error) else None)
            if outcomes[0] is not None and (outcomes[1] is not None or outcomes[0] == "ZeroDivisionError"):
                assert outcomes[0] == outcomes[1], (left, right)


_OTHERS = [("float32", 0), ("float64", 0), ("float32", 1), ("bfloat16", 0), (None, 0)]


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("function", [
    lambda m, a, b: a + b, lambda m, a, b: a - b, lambda m, a, b: m.mul(a, b), lambda m, a, b: m.div(a, b),
    lambda m, a, b: a % b,
    lambda m, a, b: m.atan2(a, b) if hasattr(b, "dtype") and hasattr(a, "dtype") else a,
    lambda m, a, b: m.lerp(a, a.flip(0), b) if hasattr(b, "dtype") and a.ndim and not b.ndim else a,
    lambda m, a, b: m.addcmul(a, a, b, value=.37) if hasattr(b, "dtype") else a,
])
def test_half_beside_wider_numbers(torch, function, kind):
    values, number = np.random.default_rng(0).standard_normal(500).astype(np.float32), 1.2345678
    for wider, side in _OTHERS:
        results = []
        for library in (torch, clgrad):
            x = library.tensor(values).to(getattr(library, kind))
            other = number if wider is None else library.tensor(number, dtype=getattr(library, wider))
            results.append(function(library, *((other, x) if side else (x, other))).float().numpy())
        np.testing.assert_array_equal(results[1], results[0], err_msg=f"{wider} {side}")


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_a_bound_of_shrinking_is_an_element(torch, kind):
    results = [library.nn.functional.hardshrink(library.tensor([.3, .301, .2, -.3], dtype=getattr(library, kind)), .3).float()
               for library in (torch, clgrad)]
    assert results[1].tolist() == results[0].tolist()


def test_heaviside_of_different_dtypes():
    for other in (clgrad.ones(2).double(), clgrad.ones((), dtype=clgrad.float64)):
        with pytest.raises(RuntimeError, match="heaviside is not yet implemented for tensors with different dtypes"):
            clgrad.heaviside(clgrad.ones(2), other)


def test_slopes_of_sinc_near_zero():
    x = clgrad.tensor([0., 1e-300, 1e-8, -3e-3, .0099, .0101, .5, 1.], dtype=clgrad.float64, requires_grad=True)
    first, = clgrad.autograd.grad(clgrad.sinc(x).sum(), x, create_graph=True)
    second, = clgrad.autograd.grad(first.sum(), x)
    t = np.pi * x.detach().numpy().astype(np.longdouble)
    with np.errstate(all="ignore"):
        slope = np.where(abs(t) < 1e-3, np.pi * (-t / 3 + t**3 / 30), np.pi * (np.cos(t) / t - np.sin(t) / t**2))
        bend = np.where(abs(t) < 1e-2, np.pi**2 * (-1 / 3 + t**2 / 10),
                        np.pi**2 * (-np.sin(t) / t - 2 * np.cos(t) / t**2 + 2 * np.sin(t) / t**3))
    np.testing.assert_allclose(first.detach().numpy(), slope.astype(float), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(second.numpy(), bend.astype(float), rtol=1e-6)
