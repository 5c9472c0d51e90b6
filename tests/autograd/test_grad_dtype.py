"""``Tensor.grad_dtype``: gradients of another dtype than their leaf's, against PyTorch."""

import pytest

import clgrad
from tests.compare import assert_same_error, assert_same_outcome


def accumulated(t):
    x = t.tensor([1.0, 3.0], dtype=t.bfloat16, requires_grad=True)
    x.grad_dtype = t.float32
    for _ in range(2):
        (x * x).sum().backward()
    return x.grad_dtype, x.grad.dtype, x.grad, t.autograd.grad((x * x).sum(), x)[0].dtype


def recorded(t):
    x = t.tensor([1.0, 3.0], requires_grad=True)
    x.grad_dtype = t.float64
    (x ** 3).sum().backward(create_graph=True)
    return x.grad.dtype, t.autograd.grad(x.grad.sum(), x)[0]


def assigned(t):
    x = t.ones(2, requires_grad=True)
    x.grad_dtype = None
    x.grad = t.ones(2, dtype=t.float64)
    return x.grad_dtype, x.grad.dtype, t.ones(2).grad_dtype, t.nn.Parameter(t.ones(2, dtype=t.float64)).grad_dtype


@pytest.mark.parametrize("program", [accumulated, recorded, assigned])
@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_programs(torch, program):
    assert_same_outcome(torch, program)


def with_leaf(change):
    def program(t):
        x = t.ones(2, requires_grad=True)
        change(t, x)
    return program


def set_after_a_gradient(t, x):
    x.grad = t.ones(2)
    x.grad_dtype = t.float64


@pytest.mark.parametrize("change", [
    set_after_a_gradient, lambda t, x: setattr(x, "grad_dtype", 3), lambda t, x: setattr(x * 2, "grad_dtype", t.float64),
    lambda t, x: (x * 2).grad_dtype, lambda t, x: setattr(x, "grad", t.ones(2, dtype=t.float64))])
def test_refusals(torch, change):
    assert_same_error(torch, with_leaf(change))


def test_other_tensors_have_nothing_of_it():
    x = clgrad.ones(2, requires_grad=True)
    x.grad_dtype = clgrad.float64
    assert x.detach().grad_dtype is clgrad.float32 and clgrad.nn.Parameter(x).grad_dtype is clgrad.float32
