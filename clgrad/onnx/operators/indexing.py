"""Operators that look elements up, write them at places, search and sort."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.creation import arange, full
from clgrad.from_data import tensor
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.table import axis_of, implements, ints, number, ops

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _from_front(indices: Any, length: int) -> Any:
    """Indices that may be negative, counted from the front."""
    indices = indices.to(dtypes.int64)
    return ops.where(indices < 0, indices + length, indices)


@implements("Gather")
def gather(x: Any, indices: Any, *, axis: int = 0) -> Any:
    """Slices along an axis."""
    at = axis_of(axis, x.dim())
    flat = _from_front(indices, x.shape[at]).reshape(-1)
    return x.index_select(at, flat).reshape([*x.shape[:at], *indices.shape, *x.shape[at + 1:]])


@implements("GatherElements")
def gather_elements(x: Any, indices: Any, *, axis: int = 0) -> Any:
    """For each index one element, whose other coordinates are the index's own."""
    return ops.gather(x, axis, _from_front(indices, x.shape[axis]))


@implements("GatherND")
def gather_nd(x: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    """Slices whose first coordinates are the last axis of ``indices``."""
    batch = list(x.shape[:batch_dims])
    depth = indices.shape[-1]
    places = indices.to(dtypes.int64).reshape(math.prod(batch), -1, depth)
    rows = x.reshape(math.prod(batch), *x.shape[batch_dims:])
    number_of_row = arange(rows.shape[0], device=x.device).unsqueeze(1)
    found = rows[(number_of_row, *places.unbind(-1))]
    return found.reshape([*indices.shape[:-1], *x.shape[batch_dims + depth:]])


@implements("ScatterElements", "Scatter")
def scatter_elements(x: Any, indices: Any, updates: Any, *, axis: int = 0, reduction: str = "none") -> Any:
    """A copy with the updates written, or reduced into it, at the indices."""
    places = _from_front(indices, x.shape[axis])
    if reduction == "none":
        return ops.scatter(x, axis, places, updates)
    return ops.scatter_reduce(x, axis, places, updates, _REDUCTIONS[reduction])


@implements("ScatterND")
def scatter_nd(x: Any, indices: Any, updates: Any, *, reduction: str = "none") -> Any:
    """A copy with slices written, or reduced into it, at the coordinates in the last axis of ``indices``."""
    depth = indices.shape[-1]
    heads = list(x.shape[:depth])
    flat = indices.to(dtypes.int64).reshape(-1, depth)
    places = sum((_from_front(flat[:, axis], heads[axis]) * math.prod(heads[axis + 1:]) for axis in range(depth)),
                 start=ops.zeros_like(flat[:, 0]))
    rows = x.reshape(math.prod(heads), -1)
    values = updates.reshape(flat.shape[0], -1)
    if reduction == "none":
        return ops.index_copy(rows, 0, places, values).reshape(x.shape)
    wide = places.unsqueeze(1).expand(values.shape)
    return ops.scatter_reduce(rows, 0, wide, values, _REDUCTIONS[reduction]).reshape(x.shape)


@implements("TensorScatter")
def tensor_scatter(past: Any, update: Any, write_indices: Any = None, *, axis: int = -2, mode: str = "linear") -> Any:
    """A cache in which each batch's new steps are written from its own index on."""
    at = axis_of(axis, past.dim())
    length, steps, batch = past.shape[at], update.shape[at], past.shape[0]
    first = full((batch,), 0, dtype=dtypes.int64, device=past.device) if write_indices is None else write_indices
    places = first.reshape(batch, 1) + arange(steps, device=past.device)
    if mode == "circular":
        places = places % length
    elif number(places.max()) >= length:
        raise OnnxError(f"TensorScatter writes beyond the cache's {length} steps")
    places = places.reshape([batch] + [steps if axis == at else 1 for axis in range(1, past.dim())])
    return ops.scatter(past, at, places.expand(update.shape), update)


@implements("NonZero")
def non_zero(x: Any) -> Any:
    """The coordinates of the elements that are not zero, (rank, count)."""
    return ops.nonzero(x).t()


@implements("Compress")
def compress(x: Any, condition: Any, *, axis: int | None = None) -> Any:
    """The slices (or, without an axis, elements) for which the condition holds."""
    rows, at = (x.reshape(-1), 0) if axis is None else (x, axis_of(axis, x.dim()))
    return rows.index_select(at, ops.nonzero(condition).reshape(-1))


def _arg(function: Any, x: Any, axis: int, keepdims: int, last: int) -> Any:
    if not last:
        return function(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - function(x.flip(axis), axis, bool(keepdims))


@implements("ArgMax")
def arg_max(x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    """Where the largest value along an axis is: the first of them, or the last."""
    return _arg(ops.argmax, x, axis, keepdims, select_last_index)


@implements("ArgMin")
def arg_min(x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    """Where the smallest value along an axis is: the first of them, or the last."""
    return _arg(ops.argmin, x, axis, keepdims, select_last_index)


@implements("TopK")
def top_k(x: Any, k: Any, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Any:
    """The ``k`` largest or smallest values along an axis, and where they are."""
    count = ints(k)[0] if not isinstance(k, int) else k
    values, places = ops.sort(x, dim=axis, descending=bool(largest), stable=True)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


@implements("Unique")
def unique(x: Any, *, axis: int | None = None, sorted: int = 1) -> Any:
    """The values that occur, where each is first, which of them each element is, and how often each occurs."""
    values, inverse, counts = ops.unique(x, return_inverse=True, return_counts=True, dim=axis)
    inverse = inverse.reshape(-1)
    number_of = arange(inverse.shape[0], device=x.device)
    first = full((counts.shape[0],), inverse.shape[0], dtype=dtypes.int64, device=x.device)
    first = ops.scatter_reduce(first, 0, inverse, number_of, "amin")
    if sorted:
        return values, first, inverse, counts
    order = ops.argsort(first)
    rank = ops.scatter(order, 0, order, arange(order.shape[0], device=x.device))
    at = 0 if axis is None else axis
    return values.index_select(at, order), first[order], rank[inverse], counts[order]


@implements("Trilu")
def trilu(x: Any, k: Any = None, *, upper: int = 1) -> Any:
    """The upper or lower triangles of matrices."""
    shift = 0 if k is None else number(k)
    return ops.triu(x, shift) if upper else ops.tril(x, shift)


def _running(function: Any, neutral: int, x: Any, axis: Any, exclusive: int, reverse: int) -> Any:
    at = axis_of(int(number(axis)), x.dim())
    x = x.flip(at) if reverse else x
    found = function(x, at).to(x.dtype)
    if exclusive:
        first = ops.full_like(x.narrow(at, 0, 1), neutral)
        found = ops.cat([first, found.narrow(at, 0, x.shape[at] - 1)], at)
    return found.flip(at) if reverse else found


@implements("CumSum")
def cum_sum(x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    """Running sums along an axis."""
    return _running(ops.cumsum, 0, x, axis, exclusive, reverse)


@implements("CumProd")
def cum_prod(x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    """Running products along an axis."""
    return _running(ops.cumprod, 1, x, axis, exclusive, reverse)


@implements("NonMaxSuppression")
def non_max_suppression(boxes: Any, scores: Any, limit: Any = None, iou_threshold: Any = None,
                        score_threshold: Any = None, *, center_point_box: int = 0) -> Any:
    """The boxes that remain for each batch and class when those that overlap better ones are dropped (Neubeck 2006).

    Which box comes next depends on the last one: this runs on the host, where the numbers of the answer are needed.
    """
    corners = np.asarray(boxes.tolist(), np.float64).reshape(tuple(boxes.shape))
    if center_point_box:
        middle, half = corners[..., :2], corners[..., 2:] / 2
        corners = np.concatenate([middle - half, middle + half], -1)
    low, high = np.minimum(corners[..., :2], corners[..., 2:]), np.maximum(corners[..., :2], corners[..., 2:])
    most = int(number(limit.reshape(-1)[0])) if limit is not None else 0
    overlap = number(iou_threshold.reshape(-1)[0]) if iou_threshold is not None else 0.0
    least = number(score_threshold.reshape(-1)[0]) if score_threshold is not None else -math.inf
    found = []
    for batch, classes in enumerate(scores.tolist()):
        for kind, row in enumerate(classes):
            for box in _kept(low[batch], high[batch], np.asarray(row), most, overlap, least):
                found.append([batch, kind, box])
    return tensor(np.asarray(found, np.int64).reshape(-1, 3), device=boxes.device)


def _kept(low: np.ndarray, high: np.ndarray, scores: np.ndarray, most: int, overlap: float, least: float) -> list[int]:
    """The boxes of one class that are kept, the best first."""
    area = np.prod(high - low, -1)
    chosen: list[int] = []
    for box in np.argsort(-scores, kind="stable"):
        if len(chosen) >= most or scores[box] <= least:
            break
        shared = np.prod(np.clip(np.minimum(high[box], high[chosen]) - np.maximum(low[box], low[chosen]), 0, None), -1)
        if np.all(shared <= overlap * (area[box] + area[chosen] - shared)):
            chosen.append(int(box))
    return chosen
