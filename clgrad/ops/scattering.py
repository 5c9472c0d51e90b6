"""Values put, added and combined at places along one dimension; windows of a tensor replaced."""

from __future__ import annotations

import operator as op
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import Saved, TensorBase, ends_in, needs_graph
from clgrad.formats import contiguous_format
from clgrad.ops.copying import as_element, full
from clgrad.ops.gathering import check_gather, check_vector, taken
from clgrad.ops.node_names import node_name
from clgrad.ops.output import check_disjoint, store
from clgrad.ops.places import Places, add, as_index, changed, check_range, combine, out_of_range, put, read
from clgrad.ops.registry import FUNCTIONS, operator, publish
from clgrad.ops.views import diagonal, select, slice_view
from clgrad.shapes import normalize_dim


def in_place_form(name: str) -> Callable[[Callable], Callable]:
    """Registers ``function(*args, out=None, in_place=False)`` as ``name`` and, as a method, ``name_``."""
    def decorate(function: Callable) -> Callable:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return function(self, *args, in_place=True, **kwargs)
        method.__name__ = method.__qualname__ = f"{name}_"
        method.__doc__ = f":func:`{name}` in place."

        def plain(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
            return store(name, function(input, *args, **kwargs), out, exact=True)
        plain.__name__ = plain.__qualname__ = name
        plain.__doc__ = function.__doc__
        shown = signature(function)
        listed = [p for p in shown.parameters.values() if p.name != "in_place"]
        plain.__signature__ = shown.replace(parameters=[  # type: ignore[attr-defined]
            *listed, Parameter("out", Parameter.KEYWORD_ONLY, default=None, annotation="Any")])
        publish(plain, name)
        publish(method, f"{name}_")
        return function
    return decorate


def _same_dtype(name: str, x: Any, src: Any) -> None:
    if x.spec.dtype is not src.spec.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype, got {x.spec.dtype.name} and "
                           f"{src.spec.dtype.name}")


class _Lines:
    """The operands of a scatter, perhaps in place, checked; scalars as vectors of one element."""

    def __init__(self, name: str, x: Any, dim: int, index: Any, src: Any, in_place: bool):
        tensor = isinstance(src, TensorBase)
        if in_place:
            check_disjoint(name, x, index, *([src] if tensor else []))
        if tensor:
            _same_dtype(name, x, src)
        axis = check_gather(name, x, dim, index, src if tensor else None)
        self.empty = not index.spec.numel
        index = as_index(name, index)
        index = index if index.spec.ndim else index.reshape(1)
        self.index = index
        self.places = Places.along(name, axis, index)
        if tensor and not self.empty:
            src = src if src.spec.ndim else src.reshape(1)
            for d, size in enumerate(index.spec.shape):
                if size != src.spec.shape[d]:
                    src = src.narrow(d, 0, size)
        self.src, self.axis = src, axis


def _over_lines(x: Any, in_place: bool, work: Callable[[Any, bool], Any]) -> Any:
    """``work(x, in_place)`` for an x that may be 0-d: as a vector of one element. A copy of x is in row-major order."""
    if x.spec.ndim:
        return work(x if in_place else x.contiguous(), in_place)
    if in_place:
        work(x.view(1), True)
        return x
    return work(x.reshape(1), False).view(())


_REDUCTIONS = {"add": "sum", "multiply": "prod"}


@in_place_form("scatter")
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None,
            in_place: bool = False) -> Any:
    """``input`` with ``src`` (a tensor or a number) put at its index along ``dim``; of several the last stays.

    ``reduce``: "add" or "multiply" combines instead of replacing.

    >>> import clgrad
    >>> clgrad.zeros(3).scatter(0, clgrad.tensor([2, 0]), clgrad.tensor([1., 5.]))
    tensor([5., 0., 1.])
    """
    src = value if src is None else src
    if src is None:
        raise TypeError("scatter() missing 1 required positional arguments: \"src\"")
    if reduce is not None:
        if reduce not in _REDUCTIONS:
            raise RuntimeError("reduce argument must be either add or multiply.")
        if not isinstance(src, TensorBase):
            src = full((), src, input.spec.dtype, input.spec.device).expand(index.spec.shape)
        return scatter_reduce(input, dim, index, src, _REDUCTIONS[reduce], in_place=in_place)

    def work(x: Any, here: bool) -> Any:
        lines = _Lines("scatter", x, dim, index, src, here)
        if lines.empty:
            return x if here else x.clone()
        return put("Scatter", x, lines.src, lines.places, in_place=here)
    return _over_lines(input, in_place, work)


@in_place_form("scatter_add")
def scatter_add(input: Any, dim: int, index: Any, src: Any, *, in_place: bool = False) -> Any:
    """``input`` with the elements of ``src`` added at their index along ``dim``, in the order of ``src``."""
    def work(x: Any, here: bool) -> Any:
        lines = _Lines("scatter_add", x, dim, index, src, here)
        if lines.empty:
            return x if here else x.clone()
        return add("ScatterAdd", x, lines.src, lines.places, in_place=here)
    return _over_lines(input, in_place, work)


@in_place_form("scatter_reduce")
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True,
                   in_place: bool = False) -> Any:
    """``input`` with the elements of ``src`` combined at their index: "sum", "prod", "mean", "amax" or "amin".

    "max" and "min" are other names of the last two. Without ``include_self`` the elements of ``input`` that get values do not
    count themselves.
    """
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got " f"{reduce}.")

    def work(x: Any, here: bool) -> Any:
        lines = _Lines("scatter_reduce", x, dim, index, src, here)
        if lines.empty:
            return x if here else x.clone()
        return reduced("ScatterReduce", x, lines.src, lines.places, reduce, include_self, in_place=here)
    return _over_lines(input, in_place, work)


def reduced(node: str, x: Any, v: Any, places: Places, reduce: str, include_self: bool, *, in_place: bool) -> Any:
    """``x`` with values combined at places by "sum", "prod", "mean", "amax" or "amin"."""
    if not include_self:
        # Elements that get values begin as what changes nothing.
        start = put(node, x, _neutral(reduce, x.spec.dtype), places, in_place=False)
    else:
        start = x
    if reduce == "sum":
        result = add(node, start, v, places)
    elif reduce == "mean":
        result = _mean(node, start, v, places, include_self)
    else:
        result = _Combined(node, start, v, places, reduce).result
    return x.copy_(result) if in_place else result


def _neutral(reduce: str, kind: Any) -> Any:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if kind.differentiable:
        return float("-inf" if reduce == "amax" else "inf")
    if kind.name == "bool":
        return reduce == "amin"
    limits = np.iinfo(kind.numpy)
    return int(limits.min if reduce == "amax" else limits.max)


def _counts(x: Any, places: Places, start: int) -> Any:
    """How many values each element of ``x`` gets, and ``start``."""
    counts = full(x.spec.shape, start, x.spec.dtype, x.spec.device)
    combine("add", counts, full((), 1, x.spec.dtype, x.spec.device), places)
    return counts


def _mean(node: str, x: Any, v: Any, places: Places, include_self: bool) -> Any:
    counts = _counts(x, places, int(include_self)).clamp(min=1)
    total = add(node, x, v, places)
    return total / counts if x.spec.dtype.differentiable else total.div(counts, rounding_mode="floor")


class _Combined:
    """prod, amax and amin, whose gradients depend on the values."""

    def __init__(self, node: str, x: Any, v: Any, places: Places, reduce: str):
        self.node, self.kept = node, places.without_indices()
        operation = "multiply" if reduce == "prod" else reduce
        # In-place forms change x afterwards: what is saved of it is a copy then.
        saved = None
        if needs_graph(x, v):
            saved = Saved(places.name, [x.clone(), v, *places.indices])
        gradient = self._prod if reduce == "prod" else self._extreme

        def backward(g: Any) -> tuple:
            own, values, *rest = saved.unpack()  # type: ignore[union-attr]
            if reduce == "prod":
                return gradient(g, own, values, self.kept.over(rest), None)
            return gradient(g, own, values, self.kept.over(rest[:-1]), rest[-1])
        self.result = changed(node, x, (v,), lambda target: combine(operation, target, v, places), backward, saved)
        if saved is not None and reduce != "prod":
            saved.add_output(self.result)

    def _extreme(self, g: Any, x: Any, v: Any, places: Places, y: Any) -> tuple:
        """Equal extremes share the gradient."""
        at_v = read(y, places, self.node)
        won_x, won_v = x.eq(y).to(g.spec.dtype), v.eq(at_v).to(g.spec.dtype)
        winners = add(self.node, won_x, won_v, places)
        share = g / winners.clamp(min=1)
        return won_x * share, won_v * read(share, places, self.node)

    def _prod(self, g: Any, x: Any, v: Any, places: Places, _: Any) -> tuple:
        """The product of all others, exact also where some of them are zero."""
        one = x.new_ones(())
        zero_x, zero_v = x.eq(0), v.eq(0)
        where = FUNCTIONS["where"]
        zeros = add(self.node, zero_x.to(g.spec.dtype), zero_v.to(g.spec.dtype), places)
        plain_x, plain_v = where(zero_x, one, x), where(zero_v, one, v)
        product = _Combined(self.node, plain_x, plain_v, places, "prod").result  # of what is not zero
        gp = g * product
        nothing = g.new_zeros(())
        for_x = where(zeros.eq(zero_x.to(g.spec.dtype)), gp / plain_x, nothing)
        zeros_v, gp_v = read(zeros, places, self.node), read(gp, places, self.node)
        return for_x, where(zeros_v.eq(zero_v.to(g.spec.dtype)), gp_v / plain_v, nothing)


def _slices(name: str, x: Any, dim: int, index: Any, source: Any = None) -> tuple[Any, Places]:
    """x as a tensor of at least one dimension, and the places of its slices that a vector of indices names."""
    index = check_vector(name, index)
    axis = normalize_dim(dim, x.spec.ndim)
    x = x if x.spec.ndim else x.view(1)
    size = x.spec.shape[axis]
    error = RuntimeError if name == "index_add" and x.spec.ndim > 1 else IndexError
    check_range(index, size, out_of_range(name, axis, size, error), negative=name == "index_fill")
    if source is not None:
        _check_source(name, x, axis, index, source)
    return x, Places.slices(name, x, axis, index, negative=name == "index_fill")


def _check_source(name: str, x: Any, axis: int, index: Any, source: Any) -> None:
    if x.spec.dtype is not source.spec.dtype:
        raise RuntimeError(f"{name}_(): self ({x.spec.dtype.name}) and source ({source.spec.dtype.name}) must have the "
                           "same scalar type")
    own, shape = list(x.spec.shape), list(source.spec.shape) or [1]
    if len(own) != len(shape):
        raise RuntimeError(f"{name}_(): source tensor shape must match self tensor shape, excluding the specified dimension. "
                           f"Got self.shape = {own} source.shape = {shape}")
    count = index.spec.numel
    if name == "index_copy" and own[:axis] + own[axis + 1:] != shape[:axis] + shape[axis + 1:]:
        raise RuntimeError(f"{name}_(): Source/destination tensor must have same slice shapes. Destination slice shape: "
                           f"{own[:axis] + own[axis + 1:]} at dimension {axis} and source slice shape: "
                           f"{shape[:axis] + shape[axis + 1:]} at dimension {axis}.")
    if shape[axis] != count:
        error = IndexError if name in ("index_copy", "index_reduce") else RuntimeError
        raise error(f"{name}_(): Number of indices ({count}) should be equal to source.size(dim) ({shape[axis]})")
    if own[:axis] + own[axis + 1:] != shape[:axis] + shape[axis + 1:]:
        raise RuntimeError(f"{name}_(): source {shape} and self {own} must have the same sizes apart from dimension {axis}")


def _by_slices(name: str, x: Any, dim: int, index: Any, source: Any, in_place: bool,
               work: Callable[[Any, Any, Places], Any]) -> Any:
    whole, places = _slices(name, x, dim, index, source)
    if in_place:
        check_disjoint(name, x, index, *(() if source is None else (source,)))
    if source is not None and not source.spec.ndim:
        source = source.reshape(1)
    result = work(whole, source, places)
    return x if in_place else result.view(x.spec.shape)


@in_place_form("index_add")
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1, in_place: bool = False) -> Any:
    """``input`` with ``alpha`` times the slices of ``source`` added to those along ``dim`` that the indices name."""
    input.spec.dtype.to_numpy_scalar(alpha)
    def work(x: Any, v: Any, places: Places) -> Any:
        return add("IndexAdd", x, v if alpha == 1 else v * alpha, places, in_place=in_place)
    return _by_slices("index_add", input, dim, index, source, in_place, work)


@in_place_form("index_copy")
def index_copy(input: Any, dim: int, index: Any, source: Any, *, in_place: bool = False) -> Any:
    """``input`` with the slices along ``dim`` that the indices name replaced by those of ``source``."""
    return _by_slices("index_copy", input, dim, index, source, in_place,
                      lambda x, v, places: put("IndexCopy", x, v, places, in_place=in_place))


@in_place_form("index_fill")
def index_fill(input: Any, dim: int, index: Any, value: Any, *, in_place: bool = False) -> Any:
    """``input`` with the slices along ``dim`` that the indices name filled with a number or a 0-d tensor."""
    if isinstance(value, TensorBase):
        if value.spec.ndim:
            raise RuntimeError("index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                               f"{value.spec.ndim} dimension(s).")
        value = as_element(value, input)
    elif isinstance(value, complex):
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    if in_place and input.spec.repeats:
        mask = FUNCTIONS["zeros_like"](input, dtype=dtypes.bool, memory_format=contiguous_format)
        return FUNCTIONS["masked_fill_"](input, mask.index_fill_(dim, index, True), value)

    def work(x: Any, _: Any, places: Places) -> Any:
        if not isinstance(value, TensorBase):
            return put("IndexFill", x, value, places, in_place=in_place)
        kept, saved = places.without_indices(), Saved("index_fill", places.indices)

        def backward(g: Any) -> tuple:
            rest = put("IndexFill", g, 0, kept.over(saved.unpack()))
            return rest, (g - rest).sum()  # each filled element once, however often it is named
        return changed("IndexFill", x, (value,), lambda target: combine("put", target, value, places), backward, saved,
                       in_place=in_place)
    return _by_slices("index_fill", input, dim, index, None, in_place, work)


@in_place_form("index_reduce")
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True,
                 in_place: bool = False) -> Any:
    """``input`` with the slices of ``source`` combined into those named: "prod", "mean", "amax" or "amin"."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}")
    return _by_slices("index_reduce", input, dim, index, source, in_place,
                      lambda x, v, places: reduced("IndexReduce", x, v, places, reduce, include_self, in_place=in_place))


@in_place_form("put")
def put_(input: Any, index: Any, source: Any, accumulate: bool = False, *, in_place: bool = False) -> Any:
    """``input`` with ``source`` put at (with ``accumulate``: added at) places of the flattened tensor."""
    if input.spec.dtype is not source.spec.dtype:
        raise RuntimeError(f"put_(): self and source expected to have the same dtype, but got self.dtype = "
                           f"{input.spec.dtype.name} and source.dtype = {source.spec.dtype.name}")
    if index.spec.numel != source.spec.numel:
        raise IndexError(f"put_(): Expected source and index to have the same number of elements, but got source with "
                           f"{source.spec.numel} elements and index with {index.spec.numel} elements")
    if in_place:
        check_disjoint("put_", input, index, source)
    flat, places = taken("put_", input, index)
    work = add if accumulate else put
    values = source.reshape(index.spec.shape)
    if not in_place:
        return work("Put", flat, values, places).view(input.spec.shape)
    if flat.memory is input.memory:
        work("Put", flat, values, places, in_place=True)
        return input
    return input.copy_(work("Put", flat, values, places).view(input.spec.shape))


def _replaced(name: str, input: Any, src: Any, window: Callable[[Any], Any]) -> Any:
    """A copy of ``input`` in which a window, a view of it, has the values of ``src``."""
    result = input.clone()
    target = window(result)
    if target.spec.shape != src.spec.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.spec.shape)}, slice size = {list(target.spec.shape)}")
    target.copy_(src)
    return ends_in(result, node_name(name))


@operator("select_scatter")
def select_scatter(input: Any, src: Any, dim: int, index: int, *, out: Any = None) -> Any:
    """A copy of ``input`` in which ``select(dim, index)`` is ``src``."""
    return store("select_scatter", _replaced("select_scatter", input, src, lambda x: select(x, dim, index)), out)


@operator("slice_scatter")
def slice_scatter(input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1, *,
                  out: Any = None) -> Any:
    """A copy of ``input`` in which ``input[start:end:step]`` along ``dim`` is ``src``."""
    axis, step = normalize_dim(dim, input.spec.ndim), op.index(step)
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    first, last, _ = slice(start, end, step).indices(input.spec.shape[axis])
    count = max(0, -(-(last - first) // step))
    return store("slice_scatter", _replaced("slice_scatter", input, src,
                                            lambda x: slice_view(x, axis, first, count, step)), out, exact=True)


@operator("diagonal_scatter")
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy of ``input`` in which ``diagonal(offset, dim1, dim2)`` is ``src``."""
    return _replaced("diagonal_scatter", input, src, lambda x: diagonal(x, offset, dim1, dim2))
