"""Tensors taken apart: views of pieces or slices that together are all of a tensor."""

from __future__ import annotations

import operator as op
from collections.abc import Callable
from functools import partial
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, as_view, attach, needs_graph, wrap
from clgrad.autograd.listening import switch
from clgrad.autograd.shared_memory import SEVERAL, set_origin
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.views import select, slice_view
from clgrad.shapes import is_dense, normalize_dim
from clgrad.spec import Spec, spec


def _views(x: Any, parts: list[tuple], name: str, join: Callable) -> tuple:
    """Views that together are all of ``x``, an (offset, shape, strides, replay) each, recorded as one operation.

    ``join`` makes its gradient from those of all views.
    """
    old = x.spec
    views = tuple([as_view(wrap(x.memory, offset, spec(shape, strides, old.dtype, old.device)), x, replay)
                   for offset, shape, strides, replay in parts])
    if views and needs_graph(x):
        specs = [view.spec for view in views]
        starts, replays = [offset - x.offset for offset, *_ in parts], [replay for *_, replay in parts]

        def backward(*grads: Any) -> Any:
            arrived = [g for g in grads if g is not None]
            if len(arrived) == len(grads):
                whole = _side_by_side(grads, specs, starts, old)
                return join(grads) if whole is None else whole
            whole = arrived[0].new_zeros(old.shape)
            for replay, g in zip(replays, grads, strict=True):
                if g is not None:
                    replay(whole).copy_(g)
            return whole
        attach(views, name, (x,), backward)
    return set_origin(views, SEVERAL)


def _side_by_side(grads: tuple, specs: list[Spec], starts: list[int], whole: Spec) -> Any:
    """The tensor of a spec of which ``grads`` are the parts already, not recorded; None where they lie otherwise."""
    memory, start = grads[0].memory, grads[0].offset - starts[0]
    if start < 0 or needs_graph(*grads) or not is_dense(whole.shape, whole.strides) or any(
            g.memory is not memory or g.spec is not own or g.offset != start + first
            for g, own, first in zip(grads, specs, starts, strict=True)):
        return None
    return wrap(memory, start, whole)


def heads_of(x: Any, count: int, heads: int) -> tuple:
    """(steps, batch, count * width) as ``count`` views of (batch, heads, steps, width / heads), recorded as one operation."""
    steps, batch, total = x.spec.shape
    down, across, along = x.spec.strides
    size = total // count // heads

    def view_of(number: int, whole: Any) -> Any:
        return whole.unflatten(-1, (count, heads, size)).select(2, number).permute(1, 2, 0, 3)

    if switch.watched:  # somebody is to see operators
        return tuple([view_of(number, x) for number in range(count)])

    def join(grads: tuple) -> Any:
        return FUNCTIONS["stack"]([g.permute(2, 0, 1, 3) for g in grads], 2).flatten(2)
    parts = [(x.offset + number * heads * size * along, (batch, heads, steps, size), (across, size * along, down, along),
              partial(view_of, number)) for number in range(count)]
    return _views(x, parts, "HeadsOf", join)


@operator("chunk")
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most ``chunks`` pieces of equal size (the last may be smaller)."""
    if chunks < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    if not input.spec.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    size = input.spec.shape[normalize_dim(dim, input.spec.ndim)]
    return split(input, max(-(-size // chunks), 1), dim) if size else split(input, [0] * chunks, dim)


@operator("split")
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Pieces of one size (the last may be smaller), or of the given sizes."""
    dim = normalize_dim(dim, tensor.spec.ndim)
    size = tensor.spec.shape[dim]
    uniform = not isinstance(split_size_or_sections, (tuple, list))
    if uniform:
        full = op.index(split_size_or_sections)
        if full < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={full}")
        if full == 0 and size:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
        full = full or 1
        sections = [min(full, size - start) for start in range(0, size, full)] or [0]
    else:
        sections = [op.index(length) for length in split_size_or_sections]
    if any(length < 0 for length in sections):
        raise RuntimeError(f"split_with_sizes expects split_sizes have only non-negative entries, but got "
                           f"split_sizes={list(sections)}")
    if sum(sections) != size:
        raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at "
                           f"dimension {dim}), but got split_sizes={list(sections)}")
    shape, strides = tensor.spec.shape, tensor.spec.strides
    parts, start = [], 0
    for length in sections:
        parts.append((tensor.offset + start * strides[dim], (*shape[:dim], length, *shape[dim + 1:]), strides,
                      partial(slice_view, dim=dim, start=start, length=length, step=1)))
        start += length
    return _views(tensor, parts, "Split" if uniform else "SplitWithSizes", lambda grads: FUNCTIONS["cat"](grads, dim))


@operator("split_with_sizes")
def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple:
    """Pieces of the given sizes."""
    return split(input, list(split_sizes), dim)


@operator("tensor_split")
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple:
    """A number of nearly equal pieces, or pieces between the given indices."""
    if not input.spec.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = normalize_dim(dim, input.spec.ndim)
    size, sections = input.spec.shape[dim], indices_or_sections
    if isinstance(sections, TensorBase):
        if sections.spec.dtype is not dtypes.int64:
            raise RuntimeError("tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
                               f"{dtypes.type_name(sections.spec.dtype)}")
        if sections.spec.ndim > 1:
            raise RuntimeError("tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional "
                               f"tensor, but got a tensor with {sections.spec.ndim} dims")
        sections = sections.tolist()
    if isinstance(sections, (tuple, list)):
        cuts = [min(max(c + size if c < 0 else c, 0), size) for c in map(op.index, sections)]
    else:
        sections = op.index(sections)
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        base, extra = divmod(size, sections)
        cuts = [k * base + min(k, extra) for k in range(1, sections)]
    bounds = [0, *cuts, size]
    return tuple([slice_view(input, dim, a, max(b - a, 0), 1) for a, b in zip(bounds, bounds[1:], strict=False)])


@operator("unbind")
def unbind(input: Any, dim: int = 0) -> tuple:
    """The slices along a dimension."""
    dim = normalize_dim(dim, input.spec.ndim)
    if not input.spec.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    shape, strides = input.spec.shape, input.spec.strides
    parts = [(input.offset + index * strides[dim], shape[:dim] + shape[dim + 1:], strides[:dim] + strides[dim + 1:],
              partial(select, dim=dim, index=index)) for index in range(shape[dim])]
    return _views(input, parts, "Unbind", lambda grads: FUNCTIONS["stack"](grads, dim))


def _split_along(name: str, x: Any, sections: Any, dim: int, least: int) -> tuple:
    if x.spec.ndim < least:
        raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with "
                           f"{x.spec.ndim} dimensions!")
    if isinstance(sections, int):
        size = x.spec.shape[dim]
        if sections <= 0 or size % sections:
            raise RuntimeError(f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
                               f"{size} is not divisible by the split_size {sections}!")
    elif not isinstance(sections, (tuple, list)):
        raise TypeError(f"{name}() received an invalid combination of arguments - got (Tensor, {type(sections).__name__}), "
                        "but expected int sections or a tuple of ints")
    return tensor_split(x, sections, dim)


@operator("hsplit")
def hsplit(input: Any, indices_or_sections: Any) -> tuple:
    """Equal pieces, or pieces between indices, along the second dimension (of a vector: the first)."""
    return _split_along("hsplit", input, indices_or_sections, min(max(input.spec.ndim - 1, 0), 1), 1)


@operator("vsplit")
def vsplit(input: Any, indices_or_sections: Any) -> tuple:
    """Equal pieces, or pieces between indices, along the first dimension."""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


@operator("dsplit")
def dsplit(input: Any, indices_or_sections: Any) -> tuple:
    """Equal pieces, or pieces between indices, along the third dimension."""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)


def _apart(pieces: tuple) -> tuple:
    for piece in pieces:
        piece._view = None
    return pieces


@operator("unsafe_split")
def unsafe_split(input: Any, split_size: int, dim: int = 0) -> tuple:
    """:func:`split` into a size; the pieces are not known as views, so changes in place are not seen by one another."""
    return _apart(split(input, split_size, dim))


@operator("unsafe_split_with_sizes")
def unsafe_split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple:
    """:func:`split` into sizes; see :func:`unsafe_split`."""
    return _apart(split(input, split_sizes, dim))


@operator("unsafe_chunk")
def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """:func:`chunk`; see :func:`unsafe_split`."""
    return _apart(chunk(input, chunks, dim))
