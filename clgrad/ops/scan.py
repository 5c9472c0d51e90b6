"""Scans along a dimension: running sums, products, extremes."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.dtypes import dtype
from clgrad.kernels import scan
from clgrad.ops.copying import cast, empty
from clgrad.ops.execute import check_device, execute
from clgrad.ops.output import add_in_place, named_result, store
from clgrad.ops.reduction import changes_kind
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.sorting import select_along
from clgrad.shapes import normalize_dim

CUMMAX, CUMMIN = named_result("cummax", "values indices"), named_result("cummin", "values indices")
_plans: dict[tuple, Any] = {}


def _run(name: str, x: Any, axis: int, result: dtype, indices: bool = False, backwards: bool = False) -> tuple[Any, Any]:
    """The scan's values and, for extremes, where they stood. Not recorded. ``backwards``: from the last element on."""
    x = x.contiguous()
    own = x.spec
    shape = own.shape or (1,)
    out = empty(own.shape, result, own.device)
    where = empty(own.shape, dtypes.int64, own.device) if indices else None
    if out.spec.numel:
        key = (name, own, axis, result, backwards)
        plan = _plans.get(key)
        if plan is None:
            plan = _plans[key] = scan.plan(check_device(name, x), name, own.dtype, result, prod(shape[:axis]),
                                           shape[axis], prod(shape[axis + 1:]), backwards)
        execute(plan, (x,), (out, where))
    return out, where


def _prepared(x: Any, dim: int, kind: dtype | None) -> tuple[Any, int, dtype]:
    axis = normalize_dim(dim, x.spec.ndim)
    own = x.spec.dtype
    result = kind or (own if own.differentiable else dtypes.int64)
    return (cast(x, result) if result.differentiable or kind is not None else x), axis, result


def _summed_in(name: str, kind: dtype | None, out: Any) -> dtype | None:
    """The dtype that was asked for: that of ``out`` where none was named."""
    wanted = out.spec.dtype if kind is None and out is not None else kind
    if wanted is dtypes.bool:
        raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
    return wanted


@operator("cumsum")
def cumsum(input: Any, dim: int, *, dtype: dtype | None = None, out: Any = None) -> Any:
    """The sums of all elements up to each, along a dimension; integers are summed in int64.

    >>> import clgrad
    >>> clgrad.tensor([1., 2., 3.]).cumsum(0)
    tensor([1., 3., 6.])
    """
    kind = _summed_in("cumsum", dtype, out)
    if changes_kind(kind, input):
        return FUNCTIONS["cumsum"](cast(input, kind), dim, dtype=kind, out=out)
    x, axis, result = _prepared(input, dim, kind)
    y, _ = _run("cumsum", x, axis, result)
    if needs_graph(x) and result.differentiable:
        attach(y, "Cumsum", (x,), lambda g: _backwards(g, axis))
    return store("cumsum", y, out, exact=True)


def _backwards(g: Any, axis: int) -> Any:
    """The sums of all elements from each on."""
    y, _ = _run("cumsum", g, axis, g.spec.dtype, backwards=True)
    if needs_graph(g):
        attach(y, "CumsumBackward", (g,), lambda back: cumsum(back, axis))
    return y


@operator("cumprod")
def cumprod(input: Any, dim: int, *, dtype: dtype | None = None, out: Any = None) -> Any:
    """The products of all elements up to each, along a dimension."""
    kind = _summed_in("cumprod", dtype, out)
    if changes_kind(kind, input):
        return FUNCTIONS["cumprod"](cast(input, kind), dim, dtype=kind, out=out)
    x, axis, result = _prepared(input, dim, kind)
    y, _ = _run("cumprod", x, axis, result)
    if needs_graph(x) and result.differentiable:
        saved = Saved("cumprod", [x])

        def backward(g: Any) -> Any:
            values, products = saved.unpack()
            if not values.spec.ndim:
                return g
            if not bool(values.eq(0).any()):
                return _backwards(g * products, axis) / values
            return _cumprod_gradient(g, values, axis)
        attach(y, "Cumprod", (x,), backward, saved)
        saved.add_output(y)
    return store("cumprod", y, out, exact=True)


def _cumprod_gradient(g: Any, x: Any, axis: int) -> Any:
    """Where elements are zero nothing can be divided out: for each element, the products without it."""
    n = x.spec.shape[axis]
    columns = []
    for position in range(n):
        others = x.narrow(axis, position + 1, n - position - 1)
        before = x.narrow(axis, 0, position)
        start = before.prod(axis, keepdim=True) if position else FUNCTIONS["ones_like"](x.narrow(axis, 0, 1))
        rest = FUNCTIONS["cat"]([start, others], axis).cumprod(axis)
        columns.append((rest * g.narrow(axis, position, n - position)).sum(axis, keepdim=True))
    return FUNCTIONS["cat"](columns, axis)


@operator("logcumsumexp")
def logcumsumexp(input: Any, dim: int, *, out: Any = None) -> Any:
    """log of the running sums of exp, without overflow."""
    x, axis, result = _prepared(input, dim, None)
    if not result.differentiable:
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{dtypes.type_name(input.spec.dtype)}'")
    y, _ = _run("logcumsumexp", x, axis, result)
    if needs_graph(x):
        saved = Saved("logcumsumexp", [x])

        def backward(g: Any) -> Any:
            values, sums = saved.unpack()
            # Positive and negative gradients apart, in logarithms: nothing overflows.
            where, lowest = FUNCTIONS["where"], FUNCTIONS["finfo"](g.spec.dtype).min / 2
            parts = [(_log_backwards(where(part > 0, where(part > 0, part, 1.0).log(), lowest) - sums, axis) + values).exp()
                     for part in (g, -g)]
            return parts[0] - parts[1]
        attach(y, "Logcumsumexp", (x,), backward, saved)
        saved.add_output(y)
    return store("logcumsumexp", y, out, exact=True)


def _log_backwards(x: Any, axis: int) -> Any:
    return x.flip(axis).logcumsumexp(axis).flip(axis) if x.spec.ndim else x


def _extreme(name: str, kind: Any, x: Any, dim: int, out: Any) -> Any:
    axis = normalize_dim(dim, x.spec.ndim)
    values, where = _run(name, x, axis, x.spec.dtype, indices=True)
    select_along(name, x, axis, values, where)
    return store(name, kind(values, where), out, exact=True)


@operator("cummax")
def cummax(input: Any, dim: int, *, out: Any = None) -> Any:
    """The largest element up to each, along a dimension, and where it stood, the last of equal ones."""
    return _extreme("cummax", CUMMAX, input, dim, out)


@operator("cummin")
def cummin(input: Any, dim: int, *, out: Any = None) -> Any:
    """The smallest element up to each, along a dimension, and where it stood, the last of equal ones."""
    return _extreme("cummin", CUMMIN, input, dim, out)


add_in_place("cumsum", "cumprod")
