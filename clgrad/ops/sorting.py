"""Sorting along a dimension, and what is picked from sorted rows: the first k, the k-th, medians, quantiles, modes."""

from __future__ import annotations

import operator as op
from math import prod
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import Saved, TensorBase, attach, needs_graph
from clgrad.kernels import sort as kernels
from clgrad.ops.copying import empty, in_order_of
from clgrad.ops.execute import check_device, execute
from clgrad.ops.node_names import node_name
from clgrad.ops.output import named_result, store
from clgrad.ops.reduction import shared_by_equals
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import normalize_dim

SORT, TOPK, KTHVALUE = (named_result(name, "values indices") for name in ("sort", "topk", "kthvalue"))
MEDIAN, NANMEDIAN, MODE = (named_result(name, "values indices") for name in ("median", "nanmedian", "mode"))
_plans: dict[tuple, kernels.Plan] = {}


def select_along(name: str, x: Any, axis: int, values: Any, indices: Any, keepdim: bool = True) -> None:
    """Records that ``values`` are the elements of ``x`` that stand at ``indices`` along a dimension, which is kept or not.

    Their gradient goes back to those places.
    """
    if not needs_graph(x):
        return
    saved, shape = Saved(name, [indices]), x.spec.shape

    def backward(g: Any, _: Any = None) -> Any:
        (places,) = saved.unpack()
        if not shape:
            return g
        if not keepdim:
            g, places = g.unsqueeze(axis), places.unsqueeze(axis)
        return FUNCTIONS["scatter_add"](g.new_zeros(shape), axis, places, g)
    attach((values, indices), node_name(name), (x,), backward, saved)


def _first(name: str, x: Any, axis: int, k: int, descending: bool) -> tuple[Any, Any]:
    """The first k elements in sorted order along a dimension, and their places. Not recorded."""
    x = x.detach().contiguous()
    own, device = x.spec, check_device(name, x)
    shape = own.shape or (1,)
    result = (*shape[:axis], k, *shape[axis + 1:]) if own.ndim else ()
    values, indices = empty(result, own.dtype, own.device), empty(result, dtypes.int64, own.device)
    if values.spec.numel == 0:
        return values, indices
    key = (own, axis, k, descending)
    plan = _plans.get(key)
    if plan is None:
        sizes = (prod(shape[:axis]), shape[axis], prod(shape[axis + 1:]))
        plan = _plans[key] = (kernels.plan(device, own.dtype, *sizes, descending) if k == shape[axis] else
                              kernels.topk_plan(device, own.dtype, *sizes, k, descending))
    execute(plan, (x,), (values, indices))
    return values, indices


def sorted_pairs(x: Any, dim: int = -1, descending: bool = False) -> tuple[Any, Any]:
    """Values in stable order along a dimension and their places, not recorded."""
    axis = normalize_dim(dim, x.spec.ndim)
    return _first("sort", x, axis, (x.spec.shape or (1,))[axis], descending)


@operator("sort")
def sort(input: Any, dim: Any = -1, descending: bool = False, stable: bool | None = False, *, out: Any = None) -> Any:
    """The elements in ascending order along a dimension, as ``(values, indices)``; NaN counts as the largest.

    The order of equal elements is kept, also without ``stable``. ``sort(stable=...)`` takes the rest by keyword.

    >>> import clgrad
    >>> clgrad.tensor([3., 1., 2.]).sort().indices
    tensor([1, 2, 0])
    """
    axis = normalize_dim(dim, input.spec.ndim)
    values, indices = (in_order_of(input.spec, part) for part in sorted_pairs(input, axis, descending))
    select_along("sort", input, axis, values, indices)
    return store("sort", SORT(values, indices), out, exact=True)


@operator("argsort")
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None) -> Any:
    """The places from which the elements of :func:`sort` come."""
    return store("argsort", in_order_of(input.spec, sorted_pairs(input, dim, descending)[1]), out, exact=True)


@operator("msort")
def msort(input: Any, *, out: Any = None) -> Any:
    """The elements sorted along the first dimension."""
    return store("msort", sort(input, 0).values, out, exact=True)


@operator("topk")
def topk(input: Any, k: int, dim: int | None = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:
    """The k largest (or smallest) elements along a dimension, in order, as ``(values, indices)``.

    Of equal elements those that stand first are taken. RuntimeError where k is larger than the dimension.

    >>> import clgrad
    >>> clgrad.tensor([3., 1., 2.]).topk(2).values
    tensor([3., 2.])
    """
    axis = normalize_dim(-1 if dim is None else dim, input.spec.ndim)
    n, k = (input.spec.shape or (1,))[axis], int(k)
    if not 0 <= k <= n:
        raise RuntimeError("selected index k out of range")
    if input.spec.dtype is dtypes.bool:
        raise RuntimeError("topk does not support bool dtypes on CPU")
    if not input.spec.ndim:
        k = 1  # as in PyTorch: of a number there is one, even where none is asked for
    place = input.spec.device.compute
    if k == n or not k or kernels.topk_suits(place, n, k):
        values, indices = _first("topk", input, axis, k, largest)
    else:
        values, indices = (t.narrow(axis, 0, k).contiguous() for t in sorted_pairs(input, axis, largest))
    select_along("topk", input, axis, values, indices)
    return store("topk", TOPK(values, indices), out, exact=True)


def _pick(name: str, kind: Any, x: Any, axis: int, keepdim: bool, pairs: tuple, places: Any) -> Any:
    """The elements of sorted rows at places (a number, or a tensor with the dimension kept), recorded."""
    if not x.spec.ndim:
        values, indices = pairs
    elif isinstance(places, TensorBase):
        values, indices = (FUNCTIONS["gather"](t, axis, places) for t in pairs)
    else:
        values, indices = (t.narrow(axis, places, 1).contiguous() for t in pairs)
    if x.spec.ndim and not keepdim:
        values, indices = values.squeeze(axis).detach(), indices.squeeze(axis).detach()
    select_along(name, x, axis, values, indices, keepdim)
    return kind(values, indices)


def _nonempty_axis(name: str, x: Any, dim: int) -> int:
    axis = normalize_dim(dim, x.spec.ndim)
    if x.spec.ndim and not x.spec.shape[axis]:
        raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
    return axis


@operator("kthvalue")
def kthvalue(input: Any, k: int, dim: int | None = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The k-th smallest element (counted from 1) along a dimension and its place."""
    axis, k = _nonempty_axis("kthvalue", input, -1 if dim is None else dim), op.index(k)
    if not 1 <= k <= (input.spec.shape or (1,))[axis]:
        raise RuntimeError("kthvalue(): selected number k out of range for dimension " + str(axis))
    if input.spec.dtype is dtypes.bool:
        raise NotImplementedError("\"kthvalue_cpu\" not implemented for 'Bool'")
    return store("kthvalue", _pick("kthvalue", KTHVALUE, input, axis, keepdim, sorted_pairs(input, axis), k - 1), out,
                 input, exact=True)


def _median(name: str, kind: Any, x: Any, dim: Any, keepdim: bool, out: Any, skip: bool) -> Any:
    if x.spec.dtype is dtypes.bool:
        raise NotImplementedError(f"\"median_{'cpu' if dim is None else 'out'}\" not implemented for 'Bool'")
    if dim is None:
        if not x.spec.numel:
            lost = float("nan") if x.spec.dtype.is_floating_point else FUNCTIONS["iinfo"](x.spec.dtype).min
            return store(name, x.new_full((), lost), out, exact=True)
        middle = _median(name, kind, x.detach().reshape(-1), 0, False, None, skip).values
        return store(name, shared_by_equals(middle, x, f"{name.capitalize()}Backward0"), out, exact=True)
    axis = _nonempty_axis(name, x, dim)
    values, indices = sorted_pairs(x, axis)
    n = (x.spec.shape or (1,))[axis]
    place: Any = (n - 1) // 2
    if x.spec.dtype.is_floating_point and x.spec.ndim:
        numbers = n - values.isnan().sum(axis, keepdim=True)
        # NaN stands last: a row with some has its first one as the median, or the median of the others.
        some = (numbers - 1).clamp(min=0).div(2, rounding_mode="floor")
        place = some if skip else FUNCTIONS["where"](numbers.eq(n), place, numbers)
    return store(name, _pick(name, kind, x, axis, keepdim, (values, indices), place), out, exact=True)


@operator("median")
def median(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower of the middle elements: of all, or along ``dim`` with its place. NaN where there is one."""
    return _median("median", MEDIAN, input, dim, keepdim, out, False)


@operator("nanmedian")
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """:func:`median` of the elements that are not NaN."""
    return _median("nanmedian", NANMEDIAN, input, dim, keepdim, out, True)


@operator("mode")
def mode(input: Any, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent element along a dimension, the smallest of several, and its last place."""
    axis = _nonempty_axis("mode", input, dim)
    values, indices = sorted_pairs(input, axis)
    if not input.spec.ndim:
        return store("mode", _pick("mode", MODE, input, axis, keepdim, (values, indices), 0), out, exact=True)
    n = input.spec.shape[axis]
    positions = FUNCTIONS["arange"](n, device=input.device).view([n if a == axis else 1 for a in range(input.ndim)])
    changes = values.narrow(axis, 1, n - 1).ne(values.narrow(axis, 0, n - 1))
    edge = FUNCTIONS["ones_like"](values.narrow(axis, 0, 1), dtype=dtypes.bool)
    begins, ends = FUNCTIONS["cat"]([edge, changes], axis), FUNCTIONS["cat"]([changes, edge], axis)
    start = FUNCTIONS["cummax"](FUNCTIONS["where"](begins, positions, 0), axis).values
    lengths = FUNCTIONS["where"](ends, positions - start + 1, 0)
    place = lengths.argmax(axis, keepdim=True)
    return store("mode", _pick("mode", MODE, input, axis, keepdim, (values, indices), place), out, exact=True)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(name: str, x: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, out: Any,
              skip: bool) -> Any:
    if x.spec.numel == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if x.spec.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
                           f"{interpolation}")
    if not isinstance(q, TensorBase):
        if not isinstance(q, (int, float, np.floating)):
            raise TypeError(f"{name}(): argument 'q' must be float or Tensor, not {type(q).__name__}")
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        q = x.detach().new_full((), float(q))
    elif q.spec.dtype is not x.spec.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    elif q.spec.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    elif not bool(q.ge(0).logical_and(q.le(1)).all()):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    rank, scalar = x.spec.ndim, not q.spec.ndim
    rows = x.reshape(-1) if dim is None else (x if rank else x.reshape(1)).movedim(dim, -1)
    rows = sort(rows, -1).values                     # [..., n]
    n = rows.spec.shape[-1]
    missing = rows.detach().isnan().sum(-1, keepdim=True)
    top = (n - 1 - missing).clamp(min=0) if skip else FUNCTIONS["full_like"](missing, n - 1)
    place = q.reshape(-1) * top                      # [..., q]
    if not skip:
        place = FUNCTIONS["where"](missing.gt(0), n - 1.0, place)
    found = _between(rows, place, interpolation).movedim(-1, 0)
    if keepdim:
        found = found.reshape(-1, *[1] * rank) if dim is None else found.unsqueeze(1 + normalize_dim(dim, max(rank, 1)))
    if dim is not None and not rank:
        found = found.reshape(-1)
    return store(name, found.squeeze(0) if scalar else found, out, exact=True)


def _between(rows: Any, place: Any, interpolation: str) -> Any:
    """The values at places between elements along the last dimension."""
    gather = FUNCTIONS["gather"]
    if interpolation == "lower":
        return gather(rows, -1, place.detach().floor().to(dtypes.int64))
    if interpolation == "higher":
        return gather(rows, -1, place.detach().ceil().to(dtypes.int64))
    if interpolation == "nearest":
        return gather(rows, -1, place.detach().round().to(dtypes.int64))
    low = place.detach().floor()
    below = gather(rows, -1, low.to(dtypes.int64))
    above = gather(rows, -1, place.detach().ceil().to(dtypes.int64))
    weight = 0.5 if interpolation == "midpoint" else place - low
    return FUNCTIONS["lerp"](below, above, weight)


@operator("quantile")
def quantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
             out: Any = None) -> Any:
    """The values below which the shares ``q`` of the elements lie: of all, or along a dimension.

    ``interpolation`` (linear, lower, higher, midpoint, nearest) says what is taken between two elements. NaN where
    there is one.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, out, False)


@operator("nanquantile")
def nanquantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
                out: Any = None) -> Any:
    """:func:`quantile` of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, out, True)
