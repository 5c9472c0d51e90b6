"""Views: operators whose result shares its input's memory. None of them launches a kernel."""

from __future__ import annotations

import math
import operator as op
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, as_view, attach, needs_graph, wrap
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import (
    Shape,
    expanded_strides,
    infer_shape,
    normalize_dim,
    view_strides,
)
from clgrad.spec import Spec, contiguous_spec, spec


def make_view(x: Any, offset: int, shape: Shape, strides: Shape, replay: Callable, name: str,
              backward: Callable) -> Any:
    """The window ``(offset, shape, strides)`` on the memory of ``x``, with ``backward`` as its gradient."""
    old = x.spec
    return view_of_spec(x, offset, spec(tuple(shape), tuple(strides), old.dtype, old.device), replay, name, backward)


def view_of_spec(x: Any, offset: int, made: Spec, replay: Callable, name: str, backward: Callable) -> Any:
    """:func:`make_view` of a known spec."""
    out = wrap(x.memory, offset, made)
    as_view(out, x, replay)
    if needs_graph(x):
        attach(out, name, (x,), backward)
    return out


def window(x: Any, offset: int, shape: Shape, strides: Shape, replay: Callable, name: str) -> Any:
    """A view of some of the elements: the gradient is zero outside of it."""
    whole_shape = x.spec.shape

    def backward(g: Any) -> Any:
        whole = g.new_zeros(whole_shape)
        replay(whole).copy_(g)
        return whole
    return make_view(x, offset, shape, strides, replay, name, backward)


def sizes_of(args: tuple, what: str = "argument 'size'") -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike; -1 is allowed. ``what`` they are is said where they are no integers."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    try:
        return tuple([op.index(a) for a in args])
    except TypeError:
        kinds = ", ".join(type(a).__name__ for a in args)
        raise TypeError(f"{what} must be tuple of ints, not ({kinds})") from None


@operator("view", function=False)
def view(x: Any, *shape: Any, size: Any = None, dtype: Any = None) -> Any:
    """The same memory with another shape; one size may be -1. RuntimeError where only a copy could have it."""
    if size is not None:
        shape = (size,)
    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], (dtypes.dtype, type))):
        return view_dtype(x, dtypes.as_dtype(dtype or shape[0]))
    if not shape:
        raise TypeError("view() received an invalid combination of arguments - got (), but expected a dtype or a size")
    made = _reshaped(x.spec, sizes_of(shape, "view(): argument 'size'"))
    if made is None:
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension "
                           "spans across two contiguous subspaces). Use .reshape(...) instead.")
    return _reshaped_view(x, made)


def view_dtype(x: Any, dtype: Any) -> Any:
    """The same bytes as another dtype; the last dimension shrinks or grows with the element's size."""
    old, size, new = x.spec, x.spec.dtype.itemsize, dtype.itemsize
    if size == new:
        shape, strides, offset = old.shape, old.strides, x.offset
    else:
        if not old.ndim or old.strides[-1] != 1:
            raise RuntimeError("self.stride(-1) must be 1 to view " f"{old.dtype} as {dtype} (different element sizes)")
        factor, remainder = divmod(max(size, new), min(size, new))
        if new > size:
            for name, value in (("size(-1)", old.shape[-1]), ("storage_offset()", x.offset),
                                *[(f"stride({axis})", step) for axis, step in enumerate(old.strides[:-1])]):
                if value % factor:
                    raise RuntimeError(f"self.{name} must be divisible by {factor} to view {old.dtype} as {dtype} (different "
                                       f"element sizes), but got {value}")
            shape = (*old.shape[:-1], old.shape[-1] // factor)
            strides, offset = (*(s // factor for s in old.strides[:-1]), 1), x.offset // factor
        else:
            shape = (*old.shape[:-1], old.shape[-1] * factor)
            strides, offset = (*(s * factor for s in old.strides[:-1]), 1), x.offset * factor
    out = wrap(x.memory, offset, spec(tuple(shape), tuple(strides), dtype, old.device))
    return as_view(out, x, lambda b: view_dtype(b, dtype))


@lru_cache(4096)
def _reshaped(own: Spec, sizes: Shape) -> Spec | None:
    """The spec of a view of these sizes, of which one may be -1; None where only a copy could have them."""
    wanted = infer_shape(sizes, own.numel)
    strides = view_strides(own.shape, own.strides, wanted)
    return None if strides is None else spec(tuple(wanted), tuple(strides), own.dtype, own.device)


@operator("reshape")
def reshape(input: Any, *sizes: Any, shape: Any = None) -> Any:
    """The elements in another shape: a view where possible, else a copy."""
    if shape is None and not sizes:
        raise TypeError("reshape() missing 1 required argument: 'shape'")
    asked = sizes_of(sizes if shape is None else (shape,), "reshape(): argument 'shape'")
    made = _reshaped(input.spec, asked)
    if made is None:
        return _reshaped_copy(input.contiguous(), infer_shape(asked, input.spec.numel))
    return _reshaped_view(input, made)


def _reshaped_view(x: Any, made: Spec) -> Any:
    wanted, before = made.shape, x.spec.shape
    return view_of_spec(x, x.offset, made, lambda b: b.view(wanted), "View", lambda g: g.reshape(before))


def _reshaped_copy(copy: Any, shape: Shape) -> Any:
    """A copy that nobody else sees in another shape: no view of it."""
    old = copy.spec
    out = wrap(copy.memory, copy.offset, contiguous_spec(shape, old.dtype, old.device))
    if needs_graph(copy):
        attach(out, "UnsafeView", (copy,), lambda g: g.reshape(old.shape))
    return out


@operator("view_as", function=False)
def view_as(x: Any, other: Any) -> Any:
    """``x.view(other.shape)``."""
    return view(x, other.spec.shape)


@operator("reshape_as", function=False)
def reshape_as(x: Any, other: Any) -> Any:
    """``x.reshape(other.shape)``."""
    return reshape(x, other.spec.shape)


def _dim(given: Any) -> int:
    """A dimension as it is given, as a number that caches may keep; True and False stay what they are."""
    return given if given.__class__ in (int, bool) else op.index(given)


@lru_cache(4096)
def _permuted(own: Spec, *dims: int) -> tuple[Spec, Shape, Shape]:
    """The spec with its dimensions in another order; that order as positive numbers, and the way back."""
    rank = own.ndim
    order = tuple(normalize_dim(d, rank) for d in dims)
    if len(order) != rank:
        raise RuntimeError("permute(dims): number of dimensions in the tensor input does not match the length of the desired "
                           f"ordering of dimensions i.e. input.dim() = {rank} is not equal to len(dims) = {len(order)}")
    if len(set(order)) != rank:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    made = spec(tuple(own.shape[a] for a in order), tuple(own.strides[a] for a in order), own.dtype, own.device)
    return made, order, tuple(order.index(axis) for axis in range(rank))


@operator("permute")
def permute(input: Any, *order_: Any, dims: Any = None) -> Any:
    """The dimensions in another order, ``dims``, given as a sequence or one by one."""
    made, order, inverse = _permuted(input.spec, *sizes_of(order_ if dims is None else (dims,)))
    return view_of_spec(input, input.offset, made, lambda b: b.permute(order), "Permute", lambda g: g.permute(inverse))


@lru_cache(4096, typed=True)  # True, which is refused, is equal to 1
def _exchanged(own: Spec, dim0: int, dim1: int) -> tuple[Spec, int, int]:
    """The spec with two of its dimensions exchanged, and these as positive numbers."""
    a, b = normalize_dim(dim0, own.ndim), normalize_dim(dim1, own.ndim)
    shape, strides = list(own.shape), list(own.strides)
    if shape:
        shape[a], shape[b] = shape[b], shape[a]
        strides[a], strides[b] = strides[b], strides[a]
    return spec(tuple(shape), tuple(strides), own.dtype, own.device), a, b


@operator("transpose")
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged."""
    made, a, b = _exchanged(input.spec, _dim(dim0), _dim(dim1))
    return view_of_spec(input, input.offset, made, lambda x: x.transpose(a, b), "Transpose", lambda g: g.transpose(a, b))


@operator("t")
def t(input: Any) -> Any:
    """The transpose of a matrix; a vector or a scalar as it is."""
    if input.spec.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.spec.ndim}D")
    if input.spec.ndim < 2:
        return make_view(input, input.offset, input.spec.shape, input.spec.strides, lambda b: b.t(), "T", lambda g: g.t())
    (rows, columns), (down, across) = input.spec.shape, input.spec.strides
    return make_view(input, input.offset, (columns, rows), (across, down), lambda b: b.t(), "T", lambda g: g.t())


@operator("movedim", "moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Dimensions moved to other places, the others kept in order."""
    rank = max(input.spec.ndim, 1)  # a number counts as having one dimension
    source = source if isinstance(source, (tuple, list)) else (source,)
    destination = destination if isinstance(destination, (tuple, list)) else (destination,)
    if len(source) != len(destination):
        raise RuntimeError("movedim: Invalid source or destination dims: source "
                           f"({list(source)} dims) should contain the same number of dims as destination "
                           f"({list(destination)} dims)")
    from_, to = [normalize_dim(d, rank) for d in source], [normalize_dim(d, rank) for d in destination]
    for label, axes, given in (("source", from_, source), ("destination", to, destination)):
        if len(set(axes)) < len(axes):
            raise RuntimeError(f"movedim: repeated dim in `{label}` ({list(given)})")
    order = [axis for axis in range(rank) if axis not in from_]
    for place, axis in sorted(zip(to, from_, strict=True)):
        order.insert(place, axis)
    return permute(input, order) if input.spec.ndim else view(input, ())


@lru_cache(4096)
def _expanded(own: Spec, wanted: Shape) -> Spec:
    """The spec with dimensions of size 1 repeated, and new ones in front; -1 keeps a size."""
    shape = own.shape
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise RuntimeError(f"expand: the number of sizes provided ({len(wanted)}) must be greater or equal to the "
                           f"number of dimensions in the tensor ({len(shape)})")
    full = []
    for axis, target in enumerate(wanted):
        size = shape[axis - lead] if axis >= lead else None
        if target == -1:
            if size is None:
                raise RuntimeError("The expanded size of the tensor (-1) isn't allowed in a leading, "
                                   f"non-existing dimension {axis}")
            target = size
        if target < 0 or (size is not None and size != 1 and size != target):
            raise RuntimeError(f"The expanded size of the tensor ({target}) must match the existing size ({size}) at "
                               f"non-singleton dimension {axis}.  Target sizes: {list(wanted)}.  Tensor sizes: "
                               f"{list(shape)}")
        full.append(target)
    return spec(tuple(full), expanded_strides(shape, own.strides, tuple(full)), own.dtype, own.device)


@operator("expand", function=False)
def expand(x: Any, *sizes: Any, size: Any = None, implicit: bool = False) -> Any:
    """Dimensions of size 1 repeated without a copy (stride 0), and new ones in front; -1 keeps a size."""
    made = _expanded(x.spec, sizes_of(sizes if size is None else (size,)))
    return view_of_spec(x, x.offset, made, lambda b: b.expand(made.shape), "Expand", lambda g: g)


@operator("expand_as", function=False)
def expand_as(x: Any, other: Any) -> Any:
    """``x.expand(other.shape)``."""
    return expand(x, other.spec.shape)


@operator("broadcast_to")
def broadcast_to(input: Any, size: Any) -> Any:
    """The tensor as if it had a larger shape."""
    return expand(input, size)


@operator("broadcast_tensors", method=False)
def broadcast_tensors(*tensors: Any) -> tuple:
    """The tensors, each expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    from_shapes = [t.spec.shape for t in tensors]
    shape = FUNCTIONS["broadcast_shapes"](*from_shapes)
    return tuple([expand(t, shape) for t in tensors])


@operator("narrow")
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """``length`` elements from ``start`` on along a dimension."""
    if not input.spec.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, TensorBase) and (start.spec.ndim or start.spec.dtype.category != 1):
        raise RuntimeError("narrow(): start must be an 0-dim integral Tensor.")
    dim = normalize_dim(dim, input.spec.ndim)
    size, start, length = input.spec.shape[dim], op.index(start), op.index(length)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return slice_view(input, dim, start, length, 1)


def slice_view(x: Any, dim: int, start: int, length: int, step: int) -> Any:
    """Every ``step``-th element of a dimension, ``length`` of them; all arguments are in range."""
    shape, strides = list(x.spec.shape), list(x.spec.strides)
    offset = x.offset + start * strides[dim]
    shape[dim] = length
    strides[dim] *= step
    return window(x, offset, tuple(shape), tuple(strides), lambda b: slice_view(b, dim, start, length, step), "Slice")


@operator("select")
def select(input: Any, dim: int, index: Any) -> Any:
    """The slice at one index of a dimension, without that dimension."""
    if not input.spec.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = normalize_dim(dim, input.spec.ndim)
    size, index = input.spec.shape[dim], op.index(index)
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    index %= size
    shape, strides = input.spec.shape, input.spec.strides
    return window(input, input.offset + index * strides[dim], shape[:dim] + shape[dim + 1:],
                  strides[:dim] + strides[dim + 1:], lambda b: select(b, dim, index), "Select")


@lru_cache(4096, typed=True)
def _unsqueezed(own: Spec, dim: int) -> tuple[Spec, int]:
    """The spec with a dimension of size 1 put in, and which one that is."""
    dim = normalize_dim(dim, own.ndim + 1)
    shape, strides = own.shape, own.strides
    step = shape[dim] * strides[dim] if dim < len(shape) else 1
    return spec((*shape[:dim], 1, *shape[dim:]), (*strides[:dim], step, *strides[dim:]), own.dtype, own.device), dim


@operator("unsqueeze")
def unsqueeze(input: Any, dim: int) -> Any:
    """A dimension of size 1 put in at ``dim``."""
    made, dim = _unsqueezed(input.spec, _dim(dim))
    return view_of_spec(input, input.offset, made, lambda b: b.unsqueeze(dim), "Unsqueeze", lambda g: g.squeeze(dim))


@lru_cache(4096, typed=True)
def _squeezed(own: Spec, *dims: int) -> Spec:
    """The spec without those of its dimensions that are named and have size 1."""
    named = [normalize_dim(d, own.ndim) for d in dims]
    for axis in named:
        if named.count(axis) > 1:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    keep = [axis for axis in range(own.ndim) if axis not in named or own.shape[axis] != 1]
    return spec(tuple(own.shape[a] for a in keep), tuple(own.strides[a] for a in keep), own.dtype, own.device)


@operator("squeeze")
def squeeze(input: Any, dim: Any = None) -> Any:
    """Without dimensions of size 1: all of them, or those named that have it."""
    own = input.spec
    several = isinstance(dim, (tuple, list))
    named = range(own.ndim) if dim is None else dim if several else (dim,)
    node = "SqueezeBackward0" if dim is None else "SqueezeBackward2" if several else "SqueezeBackward1"
    return view_of_spec(input, input.offset, _squeezed(own, *map(_dim, named)), lambda b: b.squeeze(dim), node,
                        lambda g: g.reshape(own.shape))


@operator("flatten")
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Neighbouring dimensions merged into one; a scalar becomes a vector of one element."""
    shape = input.spec.shape
    start, end = normalize_dim(start_dim, len(shape)), normalize_dim(end_dim, len(shape))
    if not shape:
        return reshape(input, 1)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    merged = 1
    for size in shape[start:end + 1]:
        merged *= size
    return reshape(input, (*shape[:start], merged, *shape[end + 1:]))


@operator("ravel")
def ravel(input: Any) -> Any:
    """The elements in one dimension, contiguous: a view where the tensor is."""
    return view(input.contiguous(), -1)


@operator("unflatten")
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """A dimension split into several; one of ``sizes`` may be -1."""
    dim = normalize_dim(dim, input.spec.ndim)
    shape = input.spec.shape
    wanted = sizes_of((sizes,), "unflatten(): argument 'sizes'")
    if not wanted:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if not shape:
        raise RuntimeError("unflatten: Dimension specified as 0 but tensor has no dimensions")
    if wanted.count(-1) < 2 and not _fits(wanted, shape[dim]):
        raise RuntimeError(f"unflatten: Provided sizes {list(wanted)} don't multiply up to the size of dim {dim} "
                           f"({shape[dim]}) in the input tensor")
    return view(input, (*shape[:dim], *infer_shape(wanted, shape[dim]), *shape[dim + 1:]))


def _fits(sizes: tuple[int, ...], whole: int) -> bool:
    """Whether sizes, one of which may be -1 for what is left, multiply up to a number."""
    product = math.prod(size for size in sizes if size != -1)
    return product == whole or -1 in sizes and product > 0 and whole % product == 0


@operator("diagonal")
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two dimensions, as a new last dimension."""
    rank, offset = input.spec.ndim, op.index(offset)
    a, b = normalize_dim(dim1, rank), normalize_dim(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    shape, strides = input.spec.shape, input.spec.strides
    down, right = max(-offset, 0), max(offset, 0)
    length = max(min(shape[a] - down, shape[b] - right), 0)
    start = input.offset + (down * strides[a] + right * strides[b] if length else 0)
    rest = [axis for axis in range(rank) if axis not in (a, b)]
    return window(input, start, (*(shape[r] for r in rest), length), (*(strides[r] for r in rest),
                  strides[a] + strides[b]), lambda w: w.diagonal(offset, a, b), "Diagonal")


@operator("unfold", function=False)
def unfold(x: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of ``size`` every ``step`` elements along a dimension, as a new last dimension."""
    dim, size, step = normalize_dim(dimension, x.spec.ndim), op.index(size), op.index(step)
    shape, strides = (x.spec.shape, x.spec.strides) if x.spec.ndim else ((1,), (1,))
    if size > shape[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {shape[dim]} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if not x.spec.ndim:
        # A scalar is unfolded like a vector of one element, whose only window is that element.
        return make_view(x, x.offset, (size,), (1,), lambda b: b.unfold(dim, size, step), "Unfold", lambda g: g.sum())
    count = (shape[dim] - size) // step + 1

    def backward(g: Any) -> Any:
        # Windows may overlap: each of the `size` positions within a window is added on its own.
        whole = g.new_zeros(shape)
        for position in range(size):
            part = slice_view(whole, dim, position, count, step)
            part.add_(g.select(-1, position))
        return whole
    return make_view(x, x.offset, (*shape[:dim], count, *shape[dim + 1:], size),
                     (*strides[:dim], strides[dim] * step, *strides[dim + 1:], strides[dim]),
                     lambda b: b.unfold(dim, size, step), "Unfold", backward)


@operator("detach")
def detach(input: Any) -> Any:
    """The same memory and values, outside of the graph."""
    out = wrap(input.memory, input.offset, input.spec)
    out._untracked, out._inference = input._untracked, input._inference
    return out


@operator("detach_", method=False)
def detach_(input: Any) -> Any:
    """:meth:`clgrad.Tensor.detach_`."""
    return input.detach_()
