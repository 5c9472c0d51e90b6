"""How reductions, searches and the softmax family are written."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.pointwise import maximum, minimum
from clgrad.onnx.exporter.sizes import Dimension, Value
from clgrad.onnx.exporter.table import as_dtype, axes_of, front, translates


def _reduced(g: Builder, kind: str, input: Any, dim: Any, keepdim: bool, rank: int) -> str:
    return g.with_axes(kind, input, axes_of(dim, rank), keepdims=int(keepdim))


def _simple(name: str, kind: str) -> None:
    @translates(name)
    def reduction(g: Builder, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> str:
        if input.dtype is dtypes.bool and g.result.dtype is dtypes.bool:  # amax, amin: ONNX compares numbers
            return g.cast(_reduced(g, kind, g.cast(input, dtypes.int32), dim, keepdim, input.rank), dtypes.bool)
        return _reduced(g, kind, as_dtype(g, input, g.result.dtype), dim, keepdim, input.rank)


for _name, _kind in {"sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd", "amax": "ReduceMax",
                     "amin": "ReduceMin", "logsumexp": "ReduceLogSumExp"}.items():
    _simple(_name, _kind)


def _truth(name: str, kind: str) -> None:
    @translates(name)
    def quantified(g: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> str:
        numbers = g.cast(as_dtype(g, input, dtypes.bool), dtypes.int32)
        return g.cast(_reduced(g, kind, numbers, dim, keepdim, input.rank), dtypes.bool)


_truth("any", "ReduceMax")
_truth("all", "ReduceMin")


def _extreme(g: Builder, input: Value, dim: Any, keepdim: bool, largest: bool, pair: Any) -> Any:
    kind = "Max" if largest else "Min"
    if dim is None:
        return _reduced(g, f"Reduce{kind}", input, None, False, input.rank)
    if isinstance(dim, Value):
        return pair(g, input, dim)
    return (_reduced(g, f"Reduce{kind}", input, dim, keepdim, input.rank),
            g.op(f"Arg{kind}", input, axis=front(dim, input.rank), keepdims=int(keepdim)))


@translates("max")
def max_(g: Builder, input: Value, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest value of all, along an axis with its place, or of two tensors."""
    return _extreme(g, input, other if other is not None else dim, keepdim, True, maximum)


@translates("min")
def min_(g: Builder, input: Value, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest value of all, along an axis with its place, or of two tensors."""
    return _extreme(g, input, other if other is not None else dim, keepdim, False, minimum)


def _place(name: str, kind: str) -> None:
    @translates(name)
    def place(g: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> str:
        if dim is None:
            return g.op(kind, g.op("Reshape", input, [-1]), axis=0, keepdims=0)
        return g.op(kind, input, axis=front(dim, input.rank), keepdims=int(keepdim))


_place("argmax", "ArgMax")
_place("argmin", "ArgMin")


@translates("var", "std")
def var(g: Builder, input: Value, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None) -> str:
    """The variance, or its root."""
    less = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    if isinstance(dim, bool):
        dim, less = None, int(dim)
    axes = axes_of(dim, input.rank) or list(range(input.rank))
    centred = g.op("Sub", input, g.with_axes("ReduceMean", input, axes))
    squares = g.op("Mul", centred, centred)
    if less == 0:
        found = g.with_axes("ReduceMean", squares, axes, keepdims=int(keepdim))
    else:
        total = g.with_axes("ReduceSum", squares, axes, keepdims=int(keepdim))
        found = g.op("Div", total, _count(g, input, axes, less))
    return g.op("Sqrt", found) if g.call_name == "std" else found


def _count(g: Builder, input: Value, axes: list[int], less: int) -> str:
    """How many elements are reduced, less some, as a number of the input's dtype."""
    sizes = [input.shape[axis] for axis in axes]
    whole, varying = 1, [size for size in sizes if isinstance(size, Dimension)]
    for size in sizes:
        whole *= 1 if isinstance(size, Dimension) else size
    if not varying:
        return g.scalar(max(whole - less, 0), input)
    name = g.constant([whole], dtypes.int64)
    for size in varying:
        name = g.op("Mul", name, g.size(size))
    scalar = g.with_axes("Squeeze", g.op("Sub", name, [less]), [0])
    return g.cast(scalar, input.dtype)


@translates("var_mean", "std_mean")
def var_mean(g: Builder, input: Value, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
             correction: Any = None) -> tuple:
    """The variance or its root, and the mean."""
    spread = var(g, input, dim, unbiased, keepdim, correction=correction)
    spread = g.op("Sqrt", spread) if g.call_name == "std_mean" else spread
    return spread, _reduced(g, "ReduceMean", input, None if isinstance(dim, bool) else dim, keepdim, input.rank)


@translates("linalg_vector_norm", "linalg_norm")
def vector_norm(g: Builder, x: Value, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> str:
    """A norm of vectors."""
    if g.call_name == "linalg_norm" and ord is not None and (
            len(dim) == 2 if isinstance(dim, (tuple, list)) else dim is None and x.rank == 2):
        raise UnsupportedOperatorError("export: norms of matrices have no counterpart in ONNX")
    return norm(g, x, 2 if ord is None else ord, dim, keepdim)


@translates("norm")
def norm(g: Builder, input: Value, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> str:
    """A norm of vectors."""
    kinds = {2: "ReduceL2", "fro": "ReduceL2", 1: "ReduceL1", None: "ReduceL2"}
    if p in kinds:
        return _reduced(g, kinds[p], as_dtype(g, input, g.result.dtype), dim, keepdim, input.rank)
    size = g.op("Abs", as_dtype(g, input, g.result.dtype))
    if p == float("inf"):
        return _reduced(g, "ReduceMax", size, dim, keepdim, input.rank)
    if isinstance(p, str) or p in (0, float("-inf")):
        raise UnsupportedOperatorError(f"export: the norm {p} has no counterpart in ONNX")
    total = _reduced(g, "ReduceSum", g.op("Pow", size, g.scalar(p, g.result)), dim, keepdim, input.rank)
    return g.op("Pow", total, g.scalar(1 / p, g.result))


@translates("normalize")
def normalize(g: Builder, input: Value, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> str:
    """Values divided by their norm along an axis."""
    length = norm(g, input, p, dim, True)
    return g.op("Div", input, g.clip(length, eps, None, input))


@translates("cumsum")
def cumsum(g: Builder, input: Value, dim: int, *, dtype: Any = None) -> str:
    """Running sums."""
    return g.op("CumSum", as_dtype(g, input, g.result.dtype), g.constant(front(dim, input.rank), dtypes.int64))


# The softmax family.

def softmax(g: Builder, input: Any, dim: int, kind: str = "Softmax", rank: int | None = None) -> str:
    """Softmax over one axis; before operator set 13 ONNX's is over all axes from one on, so the axis is made the last."""
    count = input.rank if rank is None else rank
    axis = front(dim, count)
    if g.opset >= 13 or axis == count - 1:
        return g.op(kind, input, axis=axis)
    order = list(range(count))
    order[axis], order[-1] = order[-1], order[axis]
    return g.op("Transpose", g.op(kind, g.op("Transpose", input, perm=order), axis=count - 1), perm=order)


def _softmax_axis(dim: Any, rank: int) -> int:
    return dim if dim is not None else 0 if rank in (0, 1, 3) else 1


@translates("softmax")
def soft(g: Builder, input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> str:
    """Probabilities."""
    x = as_dtype(g, input, g.result.dtype)
    return softmax(g, x, _softmax_axis(dim, input.rank), rank=input.rank)


@translates("log_softmax")
def log_soft(g: Builder, input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> str:
    """Logarithms of probabilities."""
    x = as_dtype(g, input, g.result.dtype)
    return softmax(g, x, _softmax_axis(dim, input.rank), "LogSoftmax", input.rank)


@translates("softmin")
def softmin(g: Builder, input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> str:
    """Probabilities of the negative values."""
    return softmax(g, g.op("Neg", input), _softmax_axis(dim, input.rank), rank=input.rank)


# Sorting.

@translates("topk")
def topk(g: Builder, input: Value, k: Any, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The largest values, with their places."""
    axis = front(dim, input.rank)
    if g.opset < 11 and not largest:
        raise UnsupportedOperatorError("export: topk of the smallest values needs opset_version 11")
    extra = {"largest": int(largest), "sorted": int(sorted)} if g.opset >= 11 else {}
    return g.op("TopK", input, [k], outputs=2, axis=axis, **extra)


@translates("sort")
def sort(g: Builder, input: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """All values in order, with their places."""
    return topk(g, input, input.shape[dim], dim, descending)


@translates("argsort")
def argsort(g: Builder, input: Value, dim: int = -1, descending: bool = False, stable: bool = False) -> str:
    """The places of the values in order."""
    return topk(g, input, input.shape[dim], dim, descending)[1]
