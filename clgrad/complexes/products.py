"""Rules of products: (a + ib)(c + id) = ac - bd + i(ad + bc), where each product is the operator's on real operands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from clgrad.complexes.rules import is_complex, joined, rule
from clgrad.dtypes import c_name, dtype, result_type
from clgrad.ops.arguments import called
from clgrad.ops.complexes import imag, of_pairs, real, view_as_real
from clgrad.ops.linalg import check_factors
from clgrad.ops.registry import FUNCTIONS


def _product(multiply: Callable, a: Any, b: Any) -> Any:
    """The product of two tensors of which one is complex at least."""
    if not is_complex(a):
        return joined(multiply(a, real(b)), multiply(a, imag(b)))
    if not is_complex(b):
        return joined(multiply(real(a), b), multiply(imag(a), b))
    kind = a.spec.dtype.to_real()
    (ar, ai), (br, bi) = ((real(t), imag(t)) for t in (a, b))
    return joined((multiply(ar, br) - multiply(ai, bi)).to(kind), (multiply(ar, bi) + multiply(ai, br)).to(kind))


@functools.cache
def _units(kind: dtype, place: Any) -> Any:
    """1 and i, below each other: times a row of numbers that row, and it turned by a right angle."""
    return FUNCTIONS["tensor"]([[1], [1j]], dtype=kind, device=place)


@rule("matmul", "mm", "bmm")
def _of_matrices(function: Callable, given: dict[str, Any]) -> Any:
    """One product of real matrices: rows of A are rows of pairs, and each number of B is the 2 x 2 matrix that multiplies a
    pair by it."""
    a, b, *_ = given.values()
    own, other = a.spec, b.spec
    if own.dtype is not other.dtype:
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: "
                           f"{c_name(own.dtype)} != {c_name(other.dtype)}")
    if not own.ndim or own.shape[-1:] != other.shape[-2:][:1]:
        return function(real(a), real(b))  # which says what is wrong
    columns = b if other.ndim > 1 else b.unsqueeze(-1)
    *batch, rows, count = columns.spec.shape
    blocks = view_as_real(columns.unsqueeze(-2) * _units(other.dtype, other.device)).reshape(*batch, 2 * rows, 2 * count)
    found = function(view_as_real(a).reshape(*own.shape[:-1], 2 * rows), blocks)
    found = of_pairs(found.reshape(*found.spec.shape[:-1], count, 2))
    return found if other.ndim > 1 else found.squeeze(-1)


@rule("mv", "dot")
def _of_vectors(function: Callable, given: dict[str, Any]) -> Any:
    a, b, *_ = given.values()
    if a.spec.shape[-1:] != b.spec.shape or a.spec.dtype is not b.spec.dtype:
        return function(real(a), real(b))  # which says what is wrong
    return FUNCTIONS["matmul"](a, b) if a.spec.ndim > 1 else FUNCTIONS["sum"](a * b)


@rule("tensordot", "outer", "inner", "kron", "cross", "linalg_cross")
def _of_two(function: Callable, given: dict[str, Any]) -> Any:
    first, second, *_ = given
    return _product(lambda a, b: called(function, {**given, first: a, second: b}), given[first], given[second])


@rule("linear")
def _linear(function: Callable, given: dict[str, Any]) -> Any:
    weight, bias = given["weight"], given["bias"]
    result = FUNCTIONS["matmul"](given["input"], weight.mT if weight.spec.ndim > 1 else weight)
    return result if bias is None else result + bias


@rule("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _layer(function: Callable, given: dict[str, Any]) -> Any:
    plain = {**given, "bias": None}
    result = _product(lambda a, b: called(function, {**plain, "input": a, "weight": b}), given["input"], given["weight"])
    bias = given["bias"]
    if bias is None:
        return result
    return result + bias.reshape(-1, *(1,) * (given["weight"].ndim - 2))


@rule("vdot")
def _vdot(function: Callable, given: dict[str, Any]) -> Any:
    first, second, *_ = given
    return FUNCTIONS["dot"](FUNCTIONS["conj"](given[first]), given[second])


def _added(product: str) -> Callable[[Callable, dict[str, Any]], Any]:
    def added(function: Callable, given: dict[str, Any]) -> Any:
        """``beta`` times the first operand, unless that is 0, and ``alpha`` times the product of the others."""
        x, a, b = list(given.values())[:3]
        kind = result_type([t.spec.dtype for t in (x, a, b)])
        if product == "outer":
            check_factors(kind, given["beta"], given["alpha"])
        if not kind.is_complex:
            raise RuntimeError("For non-complex input tensors, arguments beta and alpha must not be complex numbers.")
        scaled = given["alpha"] * FUNCTIONS[product](a, b)
        return scaled if given["beta"] == 0 else given["beta"] * x + scaled
    return added


for _name, _product_name in {"addmm": "mm", "addmv": "mv", "addr": "outer", "baddbmm": "bmm"}.items():
    rule(_name)(_added(_product_name))


@rule("addbmm")
def _added_batch(function: Callable, given: dict[str, Any]) -> Any:
    wide, long = FUNCTIONS["cat"](tuple(given["batch1"]), 1), FUNCTIONS["cat"](tuple(given["batch2"]), 0)
    return FUNCTIONS["addmm"](given["input"], wide, long, beta=given["beta"], alpha=given["alpha"])
