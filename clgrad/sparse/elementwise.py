"""Rules of pointwise operators: where a zero stays a zero, the operator is applied to the values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from numbers import Number
from typing import Any

from clgrad.autograd.graph import TensorBase, attach, needs_graph
from clgrad.formats import sparse_coo
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.ops.sparse import (
    COMPRESSED,
    Pattern,
    as_coo,
    coalesced,
    dense_of,
    entries_of,
    is_sparse,
    pattern_of,
    sparse,
    values_at,
    values_of,
)
from clgrad.shapes import broadcast_shapes
from clgrad.sparse.rules import entrywise, in_place, in_place_forms, like, on_values, rule
from clgrad.spec import common_dtype

# Functions f with f(0) = 0.
ZERO_AT_ZERO = ("abs", "angle", "asin", "asinh", "atan", "atanh", "ceil", "conj_physical", "deg2rad", "erf", "erfinv",
                "expm1", "floor", "frac", "log1p", "nan_to_num", "positive", "rad2deg", "relu", "round", "sgn", "sign", "sin",
                "sinh", "sqrt", "tan", "tanh", "trunc")
PREDICATES = ("isinf", "isnan", "isneginf", "isposinf", "signbit")


def _unary(name: str) -> Callable:
    function = FUNCTIONS[name]

    def made(input: Any, *args: Any, **kwargs: Any) -> Any:
        return on_values(input, lambda values: function(values, *args, **kwargs))
    return made


for _name in (*ZERO_AT_ZERO, *PREDICATES):
    rule(_name)(_unary(_name))
in_place_forms(*(name for name in ZERO_AT_ZERO if f"{name}_" in METHODS))


@rule("neg")
def _neg(input: Any) -> Any:
    return entrywise(input, FUNCTIONS["neg"], "Neg", FUNCTIONS["neg"])


@rule("conj", "resolve_conj", "resolve_neg")
def _conj(input: Any) -> Any:
    return on_values(input, FUNCTIONS["conj"]) if input.spec.dtype.is_complex else input


@rule("real")
def _real(input: Any) -> Any:
    return on_values(input, FUNCTIONS["real"]) if input.spec.dtype.is_complex else input


@rule("imag")
def _imag(input: Any) -> Any:
    return on_values(input, FUNCTIONS["imag"])


# Sums.

def _shapes(a: Any, b: Any) -> None:
    if a.spec.shape != b.spec.shape:
        raise RuntimeError("add: expected sizes of 'self' and 'other' to match, but "
                           f"{list(a.spec.shape)} != {list(b.spec.shape)}")


@rule("add")
def _add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    if not is_sparse(input):
        return _dense_plus_sparse(input, other, alpha)
    if not is_sparse(other):
        if input.spec.layout in COMPRESSED and isinstance(other, TensorBase) and other.spec.shape == input.spec.shape:
            return FUNCTIONS["add"](dense_of(input), other, alpha=alpha)
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    _shapes(input, other)
    kind = common_dtype((input.spec, other.spec))
    a, b = (x if x.spec.dtype is kind else x.to(kind) for x in (input, other))
    b = b if alpha == 1 else b * alpha
    pattern = pattern_of(a)
    if pattern is pattern_of(b) and (pattern.coalesced or not needs_graph(a, b)):
        return sparse(pattern, values_of(a) + values_of(b))
    return like(_union(as_coo(a), as_coo(b)), input.spec.layout)


def _union(a: Any, b: Any) -> Any:
    """The sum of two tensors of coordinates: the places of both."""
    one, other = pattern_of(a), pattern_of(b)
    if len(one.sizes) != len(other.sizes):
        raise RuntimeError("add: expected 'self' and 'other' to have same number of sparse dimensions, but "
                           f"{len(one.sizes)} != {len(other.sizes)}")
    ordered = one.coalesced and other.coalesced
    indices = FUNCTIONS["cat"]([one.indices.long(), other.indices.long()], 1)
    values = FUNCTIONS["cat"]([a.memory.values, b.memory.values])
    made = sparse(Pattern(sparse_coo, one.sizes, indices), values)
    made = coalesced(made) if ordered else made
    if needs_graph(a, b):
        attach(made, "Add", (a, b), lambda g: (g, g))
    return made


def _dense_plus_sparse(dense: Any, other: Any, alpha: Any) -> Any:
    if not isinstance(dense, TensorBase):
        raise RuntimeError("add(number, sparse) is not supported: the result would be dense")
    if dense.spec.shape != other.spec.shape:
        wanted = broadcast_shapes(dense.spec.shape, other.spec.shape)
        if wanted != other.spec.shape:
            raise RuntimeError(f"add: expected 'other' of shape {list(other.spec.shape)} to have the shape of the result, "
                               f"{list(wanted)}")
        dense = dense.expand(wanted)
    kind = common_dtype((dense.spec, other.spec))
    pattern, values = entries_of(other)
    rest = dense.spec.shape[len(pattern.sizes):]
    values = (values if alpha == 1 else values * alpha).to(kind)
    return dense.to(kind).reshape(_rows(pattern), *rest).index_add(0, pattern.flat(), values).reshape(dense.spec.shape)


def _rows(pattern: Pattern) -> int:
    return prod(pattern.sizes)


@rule("add_")
def _add_in_place(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """Into a dense tensor whose rows a sparse one names, which is how optimizers step, only these rows are written."""
    if not is_sparse(input) and is_sparse(other) and input.spec.contiguous and not needs_graph(input, other):
        if input.spec.shape != other.spec.shape:
            raise RuntimeError(f"add_: expected 'other' of shape {list(input.spec.shape)}, but got {list(other.spec.shape)}")
        pattern, values = entries_of(other)
        rest = input.spec.shape[len(pattern.sizes):]
        input.view(_rows(pattern), *rest).index_add_(0, pattern.flat(), values.to(input.spec.dtype), alpha=alpha)
        return input
    return _ADD_IN_PLACE(input, other, alpha=alpha)


@rule("sub")
def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return _add(input, other, alpha=-alpha)


@rule("sub_")
def _sub_in_place(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return METHODS["add_"](input, other, alpha=-alpha)


@rule("rsub")
def _rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return _add(other, input, alpha=-alpha)


# Products.

def _is_number(value: Any) -> bool:
    return isinstance(value, Number) or isinstance(value, TensorBase) and not value.spec.ndim and not is_sparse(value)


@rule("mul")
def _mul(input: Any, other: Any) -> Any:
    x, y = (input, other) if is_sparse(input) else (other, input)
    if is_sparse(y):
        return _intersection(x, y)
    if _is_number(y):
        if isinstance(y, TensorBase) and needs_graph(y):
            return on_values(x, lambda values: values * y)
        return entrywise(x, lambda values: values * y, "Mul", lambda g: g * y)
    return _times_dense(x, y)


def _times_dense(x: Any, dense: Any) -> Any:
    """The product with a dense tensor, which has no other places than the sparse one."""
    shape = broadcast_shapes(x.spec.shape, dense.spec.shape)
    if shape != x.spec.shape:
        return like(_times_dense(_expanded(as_coo(x), shape), dense), x.spec.layout)
    if shape == dense.spec.shape:
        x = coalesced(x) if x.spec.layout is sparse_coo else x
        return sparse(pattern_of(x), values_of(x) * values_at(dense, pattern_of(x)))
    coo = coalesced(as_coo(x))
    pattern = pattern_of(coo)
    sizes = (1,) * (len(shape) - dense.spec.ndim) + tuple(dense.spec.shape)
    own, rest = sizes[:len(pattern.sizes)], sizes[len(pattern.sizes):]
    flat = None
    for axis, size in enumerate(own):
        if size > 1:
            place = pattern.indices.select(0, axis)
            flat = place if flat is None else flat * size + place
    rows = dense.reshape(-1, *rest)
    factors = rows if flat is None else rows.index_select(0, flat)
    return like(sparse(pattern, values_of(coo) * factors), x.spec.layout)


def _expanded(x: Any, shape: tuple) -> Any:
    """A tensor of coordinates, repeated along dimensions of size 1 and new ones, in the order of rows."""
    pattern = pattern_of(coalesced(x))
    values, indices = values_of(coalesced(x)), pattern.indices
    new = len(shape) - x.spec.ndim
    rest = shape[new + len(pattern.sizes):]
    own = (1,) * new + pattern.sizes
    rows = [indices.new_zeros(pattern.count)] * new + list(indices.unbind(0))
    number = FUNCTIONS["arange"](pattern.count, device=indices.spec.device)
    for axis, (size, wanted) in enumerate(zip(own, shape, strict=False)):
        if size != wanted:
            copies = FUNCTIONS["arange"](wanted, device=indices.spec.device).repeat_interleave(number.spec.numel)
            number = number.repeat(wanted)
            rows = [copies if n == axis else row.repeat(wanted) for n, row in enumerate(rows)]
    sizes = shape[:new + len(pattern.sizes)]
    values = values.index_select(0, number).expand(number.spec.numel, *rest)
    return coalesced(sparse(Pattern(sparse_coo, sizes, FUNCTIONS["stack"](rows)), values))


def _intersection(x: Any, y: Any) -> Any:
    """The product of two sparse tensors: the places that both have. Dense dimensions are broadcast, and single numbers."""
    if not (x.spec.ndim and y.spec.ndim):
        x, y = (x, y) if x.spec.ndim else (y, x)
        return _mul(x, dense_of(y))
    if x.spec.ndim != y.spec.ndim or pattern_of(x).sizes != pattern_of(y).sizes:
        raise RuntimeError("mul(): expected sparse tensors of equally many dimensions and the same sizes of sparse ones, but "
                           f"got shapes {list(x.spec.shape)} and {list(y.spec.shape)}")
    a, b = coalesced(as_coo(x)), coalesced(as_coo(y))
    one, other = pattern_of(a), pattern_of(b)
    if one is other:
        return like(sparse(one, values_of(a) * values_of(b)), x.spec.layout)
    number, there = other.numbers_at(one.flat())
    kept = there.nonzero().reshape(-1)
    pattern = Pattern(sparse_coo, one.sizes, one.indices.index_select(1, kept), True)
    values = values_of(a).index_select(0, kept) * values_of(b).index_select(0, number.index_select(0, kept))
    return like(sparse(pattern, values), x.spec.layout)


@rule("div")
def _div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    if is_sparse(other) or not _is_number(other):
        shape = other.spec.shape if isinstance(other, TensorBase) else other
        raise RuntimeError("Sparse division requires a scalar or zero-dim dense tensor divisor (got shape "
                           f"{list(shape) if isinstance(other, TensorBase) else shape} for divisor)")
    if rounding_mode is None and not (isinstance(other, TensorBase) and needs_graph(other)):
        return entrywise(input, lambda values: values / other, "Div", lambda g: g / other)
    return on_values(input, lambda values: FUNCTIONS["div"](values, other, rounding_mode=rounding_mode))


@rule("floor_divide")
def _floor_divide(input: Any, other: Any) -> Any:
    return _div(input, other, rounding_mode="floor")


@rule("pow")
def _pow(input: Any, exponent: Any) -> Any:
    if not is_sparse(input) or isinstance(exponent, TensorBase):
        raise NotImplementedError("Could not run 'aten::pow.Tensor_Tensor' with arguments from the 'SparseCPU' backend: the "
                                  "exponent has to be a number")
    if exponent == 0:
        raise RuntimeError("pow: cannot raise to zeroth power on sparse tensor; it would make the result tensor dense")
    return on_values(input, lambda values: values ** exponent)


@rule("square")
def _square(input: Any) -> Any:
    return _pow(input, 2)


_ADD_IN_PLACE = functools.partial(in_place, "add")
in_place_forms("neg", "mul", "div", "floor_divide", "pow", "square")
