"""``clgrad.library``: operators of the program's own."""

from __future__ import annotations

import inspect
from typing import Optional, Union

import pytest

import clgrad
from clgrad import Tensor, library
from clgrad.types import Number


def test_a_derivative_is_the_registered_one():
    @library.custom_op("tests::scaled", mutates_args=())
    def scaled(x: Tensor, factor: float = 2.0, *, shift: float = 0.0) -> Tensor:
        return x * factor + shift

    x = clgrad.ones(3, requires_grad=True)
    assert scaled(x.detach(), shift=1.0).tolist() == [3.0] * 3
    with pytest.raises(RuntimeError, match="no autograd formula"):
        scaled(x).sum().backward()

    def setup(ctx, inputs, keyword_only_inputs, output):
        ctx.factor = inputs[1]
        assert keyword_only_inputs == {"shift": 0.5}
    scaled.register_autograd(lambda ctx, g: (g * ctx.factor * 10, None), setup_context=setup)
    scaled(x, 3.0, shift=0.5).sum().backward()
    assert x.grad.tolist() == [30.0] * 3
    assert library.opcheck(scaled, (x,), {"shift": 0.5}) == {"test_schema": "SUCCESS"}


def test_defined_and_implemented_apart():
    library.define("tests::joined", "(Tensor a, Tensor b) -> Tensor")

    @library.impl("tests::joined", "cpu")
    def joined(a, b):
        return clgrad.cat([a, b])
    assert library.OPERATORS["tests::joined"](clgrad.ones(1), clgrad.zeros(1)).tolist() == [1.0, 0.0]
    own = library.Library("tests_own", "DEF")
    assert own.define("negated(Tensor x) -> Tensor") == "negated"
    with pytest.raises(NotImplementedError, match="no kernel"):
        library.OPERATORS["tests_own::negated"](clgrad.ones(1))
    own.impl("negated", clgrad.neg, "CPU")
    assert library.OPERATORS["tests_own::negated"](clgrad.ones(1)).tolist() == [-1.0]


def test_schemas_and_errors():
    def function(x: Tensor, y: float, z: list[int], w: Tensor | None = None, *, k: bool = True) -> tuple[Tensor, Tensor]:
        raise NotImplementedError
    assert library.infer_schema(function, mutates_args=("x",)) == (
        "(Tensor(a0!) x, float y, SymInt[] z, Tensor? w=None, *, bool k=True) -> (Tensor, Tensor)")
    def numbers(x: Tensor, a: Number, b: Union[int, float, bool], c: Number | None = None,  # noqa: UP007
                d: Optional[Number] = None, e: Union[int, None] = None) -> Tensor:  # noqa: UP007, UP045
        raise NotImplementedError
    numbers.__annotations__ = inspect.get_annotations(numbers, eval_str=True)
    assert library.infer_schema(numbers, mutates_args=()) == (
        "(Tensor x, Scalar a, Scalar b, Scalar? c=None, Scalar? d=None, SymInt? e=None) -> Tensor")
    with pytest.raises(ValueError, match="type annotation"):
        library.infer_schema(lambda x: x, mutates_args=())
    with pytest.raises(ValueError, match="namespace::name"):
        library.custom_op("nowhere", mutates_args=())
    with pytest.raises(RuntimeError, match="does not exist"):
        library.register_autograd("tests::unknown", print)
    with pytest.raises(ValueError, match="Unsupported kind"):
        library.Library("tests", "OTHER")


def test_batches(torch):
    """Each entry by itself, or all by a rule that the program registers."""
    def program(t):
        told = []

        def half(x: t.Tensor, by: float) -> t.Tensor:
            return t.tensor(x.detach().numpy() / by)
        op = t.library.custom_op("batches::half", half, mutates_args=(), schema="(Tensor x, float by) -> Tensor")
        x = t.arange(6.0).view(2, 3)
        alone = t.vmap(lambda row: op(row, 2.0), out_dims=1)(x).tolist()

        def rule(info, in_dims, x, by):
            told.append((info.batch_size, info.randomness, in_dims, tuple(x.shape)))
            return op(x, by), in_dims[0]
        t.library.register_vmap("batches::half", rule)
        return alone, t.vmap(lambda row: op(row, 2.0))(x).tolist(), told
    assert program(clgrad) == program(torch)
