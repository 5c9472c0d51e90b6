"""Masks: where they hold, what they select, fill and replace. Shapes that depend on data cost one read-back, of a count."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import Saved, TensorBase, attach, ends_in, needs_graph
from clgrad.dtypes import dtype
from clgrad.errors import warn_once
from clgrad.kernels import compact
from clgrad.ops import pointwise, rows
from clgrad.ops.copying import as_element, cast, empty, full
from clgrad.ops.execute import check_device, execute
from clgrad.ops.output import store
from clgrad.ops.places import Places, put, sums
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator, publish
from clgrad.ops.scattering import in_place_form
from clgrad.shapes import broadcast_shapes

_plans: dict[tuple, compact.Plan] = {}


def _plan(name: str, device: Any, *key: Any) -> compact.Plan:
    whole = (name, device, *key)
    found = _plans.get(whole)
    if found is None:
        make = {"count": compact.count_plan, "values": compact.values_plan, "places": compact.places_plan}[name]
        found = _plans[whole] = make(device, *key)  # type: ignore[operator]
    return found


class Marked:
    """The elements of a contiguous mask that are not zero, counted chunk by chunk. ``count`` reads one number back."""

    def __init__(self, mask: Any, count: int | None = None):
        self.mask = mask.detach().contiguous()
        self.device = check_device("nonzero", mask)
        own = self.mask.spec
        self.count = 0
        if own.numel:
            counts = empty((compact.chunks(self.device, own.numel),), dtypes.int64, own.device)
            execute(_plan("count", self.device, own.dtype, own.numel), (self.mask,), (counts,))
            self.sums = FUNCTIONS["cumsum"](counts, 0) if counts.spec.numel > 1 else counts
            self.count = self.sums[-1].item() if count is None else count

    def values(self, x: Any) -> Any:
        """The marked elements of an x of the mask's shape, as a vector."""
        x = x.detach().contiguous()
        own = x.spec
        out = empty((self.count,), own.dtype, own.device)
        if self.count:
            execute(_plan("values", self.device, self.mask.spec.dtype, own.dtype, own.numel), (x, self.mask, self.sums),
                    (out,))
        return out

    def flat(self) -> Any:
        """Where in the flattened mask they stand, as int64."""
        return self._places((self.mask.spec.numel,)).view(-1)

    def places(self) -> Any:
        """Their coordinates, (count, dimensions)."""
        shape = self.mask.spec.shape
        if len(shape) <= compact.RANK_MOST:
            return self._places(shape)
        return FUNCTIONS["stack"](unravel_index(self.flat(), shape), 1)

    def _places(self, shape: tuple) -> Any:
        own = self.mask.spec
        out = empty((self.count, len(shape)), dtypes.int64, own.device)
        if self.count and shape:
            execute(_plan("places", self.device, own.dtype, tuple(shape), own.numel), (self.mask, self.sums), (out,))
        return out


@operator("nonzero")
def nonzero(input: Any, *, as_tuple: bool = False, out: Any = None) -> Any:
    """The places of the elements that are not zero: (count, dimensions), or a tuple of one vector a dimension.

    >>> import clgrad
    >>> clgrad.nonzero(clgrad.tensor([0, 3, 0, 5]))
    tensor([[1],
            [3]])
    """
    if as_tuple:
        if out is not None:
            raise RuntimeError("nonzero does not support the out kwarg when as_tuple is True")
        x = input if input.spec.ndim else input.reshape(1)
        return FUNCTIONS["unbind"](Marked(x).places(), 1)
    if out is not None and out.spec.dtype is not dtypes.int64:
        raise RuntimeError("nonzero: Expected out tensor to have scalar type Long but got scalar type"
                           f"{dtypes.type_name(out.spec.dtype)}")
    return store("nonzero", Marked(input).places(), out)


@operator("nonzero_static")
def nonzero_static(input: Any, *, size: int, fill_value: int = -1, out: Any = None) -> Any:
    """:func:`nonzero` with exactly ``size`` rows: cut off, or filled up with ``fill_value``."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    found = nonzero(input)[:size]
    rest = full((size - found.spec.shape[0], input.spec.ndim), fill_value, dtypes.int64, input.spec.device)
    return store("nonzero_static", FUNCTIONS["cat"]([found, rest]), out)


@operator("argwhere")
def argwhere(input: Any) -> Any:
    """The places of the elements that are not zero, (count, dimensions)."""
    return nonzero(input)


@operator("unravel_index", method=False)
def unravel_index(indices: Any, shape: Any) -> tuple:
    """Places in a flattened tensor as coordinates in one of ``shape``."""
    if indices.spec.dtype.category != 1:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.spec.dtype}")
    if not isinstance(shape, (int, Sequence)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    sizes = [shape] if isinstance(shape, int) else list(shape)
    for size in sizes:
        if not isinstance(size, int):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(size)}")
    if any(s < 0 for s in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(sizes)}")
    found, rest = [], cast(indices, dtypes.int64)
    for size in reversed(sizes):
        found.append(rest % size)
        rest = rest.div(size, rounding_mode="floor")
    return tuple(reversed(found))


def _check_mask(name: str, mask: Any, *allowed: dtype) -> None:
    if not isinstance(mask, TensorBase):
        raise TypeError(f"{name}(): argument 'mask' must be Tensor, not {type(mask).__name__}")
    if mask.spec.dtype not in allowed:
        if name == "masked_select":
            raise RuntimeError("masked_select: expected BoolTensor for mask")
        raise RuntimeError(f"{name}_ only supports boolean masks, but got mask with dtype "
                           f"{dtypes.c_name(mask.spec.dtype)}")


@operator("where", method=False)
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None, **kwargs: Any) -> Any:
    """``input`` where ``condition`` holds, else ``other``; ``where(condition)`` is ``nonzero(as_tuple=True)``.

    >>> import clgrad
    >>> clgrad.where(clgrad.tensor([True, False]), 1., 2.)
    tensor([1., 2.])
    """
    input = kwargs.pop("self", input)
    if kwargs:
        raise TypeError(f"where() got an unexpected keyword argument '{next(iter(kwargs))}'")
    if not isinstance(condition, TensorBase):
        raise TypeError(f"where(): argument 'condition' must be Tensor, not {type(condition).__name__}")
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if condition.spec.dtype.name not in ("bool", "uint8"):
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{condition.spec.dtype.name}")
    if condition.spec.dtype is dtypes.uint8:
        warn_once("where received a uint8 condition tensor. This behavior is deprecated. Use a boolean condition instead.", 4)
    return pointwise.call(REGISTRY.pointwise["where"], (condition, input, other), (), out)


def _where_method(self: Any, condition: Any, other: Any) -> Any:
    """``self`` where ``condition`` holds, else ``other``."""
    return where(condition, self, other)


publish(_where_method, "where", function=False)


@operator("masked_select")
def masked_select(input: Any, mask: Any, *, out: Any = None) -> Any:
    """The elements where the mask, broadcast with ``input``, holds, as a vector."""
    _check_mask("masked_select", mask, dtypes.bool)
    return store("masked_select", selected(input, mask), out, input, mask, exact=True)


def selected(x: Any, mask: Any) -> Any:
    """:func:`masked_select` without checks."""
    shape = broadcast_shapes(x.spec.shape, mask.spec.shape)
    x = x if x.spec.shape == shape else x.expand(shape)
    mask = mask if mask.spec.shape == shape else mask.expand(shape)
    out = Marked(mask).values(x)
    if needs_graph(x):
        saved = Saved("masked_select", [mask])

        def backward(g: Any) -> Any:
            (marks,) = saved.unpack()
            places = _flat_places("masked_select", Marked(marks, g.spec.numel).flat())
            return sums(g, places, (marks.spec.numel,), "MaskedSelect").view(shape)
        attach(out, "MaskedSelect", (x,), backward, saved)
    return out


def _flat_places(name: str, index: Any) -> Places:
    return Places(name, index.spec.shape, (None,), (0,), (index,), unique=True)


@operator("masked_fill_")
def masked_fill_(x: Any, mask: Any, value: Any) -> Any:
    """The elements where the mask, broadcast to ``x``, holds replaced by a number or a 0-d tensor."""
    if isinstance(x, TensorBase) and x.spec.repeats:
        return _filled_where_any(x, mask, value)
    return pointwise.call_in_place(REGISTRY.pointwise["_masked_fill"], (x, mask, _filling(x, mask, value)))


def _filled_where_any(x: Any, mask: Any, value: Any) -> Any:
    """:func:`masked_fill_` of a tensor that repeats elements: each place is filled where the mask holds for any of them."""
    warnings.warn("Use of masked_fill_ on expanded tensors is deprecated. Please clone() the tensor before performing this "
                  "operation. This also applies to advanced indexing e.g. tensor[mask] = scalar", stacklevel=4)
    own = x.spec
    axes = [axis for axis, (size, step) in enumerate(zip(own.shape, own.strides, strict=True)) if size > 1 and not step]
    once = x
    for axis in axes:
        once = once.narrow(axis, 0, 1)
    masked_fill_(once, FUNCTIONS["any"](mask.expand(own.shape), axes, True), value)
    return x


def _filling(x: Any, mask: Any, value: Any) -> Any:
    """The value of a masked fill, checked, as one of x's dtype."""
    _check_mask("masked_fill", mask, dtypes.bool)
    kind = x.spec.dtype
    if isinstance(value, TensorBase):
        if value.spec.ndim:
            raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                               f"{value.spec.ndim} dimension(s).")
        return as_element(value, x)
    if isinstance(value, complex) and not kind.is_complex:
        raise kind.overflow()
    if not rows.is_number(value):
        raise TypeError(f"masked_fill(): argument 'value' must be Number or a 0-d Tensor, not {type(value).__name__}")
    return value if kind.differentiable else bool(value) if kind is dtypes.bool else kind.element(value)


@operator("masked_fill")
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``input`` with the elements where the mask holds replaced by a number or a 0-d tensor; shapes are broadcast."""
    result = pointwise.call(REGISTRY.pointwise["_masked_fill"], (input, mask, _filling(input, mask, value)))
    return ends_in(result, "MaskedFillBackward1") if isinstance(value, TensorBase) else result


@in_place_form("masked_scatter")
def masked_scatter(input: Any, mask: Any, source: Any, *, in_place: bool = False) -> Any:
    """``input`` with the elements where the mask holds replaced by those of ``source``, one after the other."""
    _check_mask("masked_scatter", mask, dtypes.bool)
    if input.spec.dtype is not source.spec.dtype:
        raise RuntimeError("masked_scatter_: expected self and source to have same dtypes but got "
                           f"{input.spec.dtype.name} and {source.spec.dtype.name}")
    shape = broadcast_shapes(input.spec.shape, mask.spec.shape)
    if in_place and shape != input.spec.shape:
        raise RuntimeError(f"masked_scatter_(): mask of shape {list(mask.spec.shape)} does not broadcast to the shape "
                           f"{list(input.spec.shape)}")
    marked = Marked(mask.expand(shape))
    if source.spec.numel < marked.count:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes and source to have at least "
                           f"{marked.count} elements, but it has {source.spec.numel}")
    values = source.reshape(-1)[:marked.count]
    x = input.expand(shape).reshape(-1)
    shared = in_place and x.memory is input.memory
    result = put("MaskedScatter", x, values, _flat_places("masked_scatter", marked.flat()), in_place=shared)
    if shared:
        return input
    return input.copy_(result.view(shape)) if in_place else result.view(shape)
