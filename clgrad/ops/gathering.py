"""Elements picked by tensors of indices along one dimension, and the sums that are their gradients."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.kernels import gather as kernels
from clgrad.ops.copying import cast, empty, full
from clgrad.ops.execute import check_device, execute
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import Shape, normalize_dim

_plans: dict[tuple, kernels.Plan] = {}


def _plan(name: str, like: Any, shape: Shape, m: int, axis: int) -> kernels.Plan:
    key = (name, like.layout.device, like.layout.dtype, shape, m, axis)
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = kernels.plan(like.layout.device.compute, name, like.layout.dtype, prod(shape[:axis]),
                                          shape[axis], m, prod(shape[axis + 1:]))
    return plan


def _checked(name: str, x: Any, dim: int, index: Any) -> int:
    own, places = x.layout, index.layout
    axis = normalize_dim(dim, own.ndim)
    if places.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}(): Expected dtype int64 for index, got {places.dtype.name}")
    if max(own.ndim, 1) != max(places.ndim, 1):
        raise RuntimeError(f"{name}(): Index tensor must have the same number of dimensions as input tensor, got "
                           f"{places.ndim} and {own.ndim}")
    if any(a > b for d, (a, b) in enumerate(zip(places.shape, own.shape, strict=False)) if d != axis):
        raise RuntimeError(f"{name}(): Size does not match at some dimension: expected index {list(places.shape)} to be "
                           f"no larger than {list(own.shape)} apart from dimension {axis}")
    check_device(name, x, index)
    return axis


@operator("gather")
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:
    """The elements of ``input`` whose place along ``dim`` is given by ``index``; the result has its shape.

    An index that is out of range is an IndexError when the result is read.

    >>> import clgrad
    >>> clgrad.gather(clgrad.tensor([[1, 2], [3, 4]]), 1, clgrad.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    axis = _checked("gather", input, dim, index)
    own = input.layout
    window = input
    for d, size in enumerate(index.layout.shape):
        if d != axis and size != own.shape[d]:
            window = window.narrow(d, 0, size)
    result = _gather(window, axis, cast(index, dtypes.int64).contiguous())
    return result if out is None else out.resize_(result.layout.shape).copy_(result)


def _gather(x: Any, axis: int, index: Any) -> Any:
    x = x.contiguous()
    shape = x.layout.shape or (1,)
    made = empty(index.layout.shape, x.layout.dtype, x.layout.device)
    execute(_plan("gather", x, shape, (index.layout.shape or (1,))[axis], axis), (x, index), (made,))
    if needs_graph(x):
        saved = Saved("gather", [index])
        shape_before = x.layout.shape

        def backward(g: Any) -> Any:
            (places,) = saved.unpack()
            return _sums(g, axis, places, shape_before)
        attach(made, "Gather", (x,), backward, saved)
    return made


def _sums(g: Any, axis: int, index: Any, shape: Shape) -> Any:
    """Zeros of ``shape`` to which the elements of ``g`` are added at their index."""
    g = g.contiguous()
    total = full(shape, 0, g.layout.dtype, g.layout.device)
    execute(_plan("scatter_add", g, shape or (1,), (index.layout.shape or (1,))[axis], axis), (g, index), (total,))
    if needs_graph(g):
        saved = Saved("scatter_add", [index])

        def backward(v: Any) -> Any:
            (places,) = saved.unpack()
            return _gather(v, axis, places)
        attach(total, "ScatterAdd", (g,), backward, saved)
    return total


@operator("index_select")
def index_select(input: Any, dim: int, index: Any, *, out: Any = None) -> Any:
    """The slices of ``input`` along ``dim`` that a vector of indices names."""
    if index.layout.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    axis = normalize_dim(dim, input.layout.ndim)
    if not input.layout.ndim:
        return gather(input.reshape(1), 0, index.reshape(-1), out=out)
    shape = list(input.layout.shape)
    shape[axis] = index.layout.numel
    view = [1] * len(shape)
    view[axis] = index.layout.numel
    return gather(input, axis, index.reshape(view).expand(shape), out=out)


@operator("take_along_dim")
def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """``gather`` with shapes broadcast; without ``dim`` from the flattened tensor."""
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1), out=out)
    axis = normalize_dim(dim, input.layout.ndim)
    shapes = [[1 if d == axis else s for d, s in enumerate(t.layout.shape)] for t in (input, indices)]
    wide = [max(a, b) for a, b in zip(*shapes, strict=True)]
    own, places = ([t.layout.shape[axis] if d == axis else s for d, s in enumerate(wide)] for t in (input, indices))
    return gather(input.expand(own), axis, indices.expand(places), out=out)


@operator("embedding", method=False)
def embedding(input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """The rows of ``weight`` that ``input`` names; the row ``padding_idx`` gets no gradient."""
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise NotImplementedError("embedding: max_norm, scale_grad_by_freq and sparse are not supported")
    rows = index_select(weight, 0, input.reshape(-1))
    if padding_idx is not None:
        skip = padding_idx % weight.layout.shape[0]
        kept = input.reshape(-1, 1).ne(skip)
        rows = FUNCTIONS["where"](kept, rows, rows.detach())
    return rows.view(*input.layout.shape, weight.layout.shape[1])


@operator("scatter_add")
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """``input`` with the elements of ``src`` added at their index along ``dim``."""
    axis = _checked("scatter_add", input, dim, index)
    for d, size in enumerate(index.layout.shape):
        if size != src.layout.shape[d]:
            src = src.narrow(d, 0, size)
        if d != axis and size != input.layout.shape[d]:
            raise NotImplementedError("scatter_add: an index smaller than input in other dimensions is not supported")
    return input + _sums(src, axis, cast(index, dtypes.int64).contiguous(), input.layout.shape)
