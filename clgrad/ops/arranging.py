"""Tensors put together and laid out anew: compositions of views and copies."""

from __future__ import annotations

import itertools
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, attach, check_history, ends_in, mark_changed, needs_graph
from clgrad.autograd.shared_memory import view_of
from clgrad.errors import warn_once
from clgrad.formats import contiguous_format
from clgrad.ops.composed import alias_view
from clgrad.ops.copying import empty, flip, is_dtype
from clgrad.ops.joining import cat, stack
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, METHODS, operator, publish
from clgrad.ops.splitting import split, split_with_sizes, unbind
from clgrad.ops.views import expand, narrow, reshape, transpose
from clgrad.shapes import names_none, normalize_dim


def _each(tensors: tuple, rank: int) -> Any:
    """Tensors with dimensions of size 1 added until they have ``rank``; one for one, a tuple for several."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    widened = tuple([_widened(t, rank) for t in given])
    return widened[0] if given is tensors and len(widened) == 1 else widened


def _widened(t: Any, rank: int) -> Any:
    if not isinstance(t, TensorBase):
        raise TypeError(f"atleast_{rank}d(): expected Tensor, but got {type(t).__name__}")
    shape = tuple(t.spec.shape)
    if len(shape) >= rank:
        return t
    if rank == 3:
        return reshape(t, (1, *shape, 1) if len(shape) == 1 else (*shape, 1) if shape else (1, 1, 1))
    return reshape(t, (1,) * (rank - len(shape)) + shape)


@operator("atleast_1d", method=False)
def atleast_1d(*tensors: Any) -> Any:
    """Each tensor, a scalar as a vector of one element."""
    return _each(tensors, 1)


@operator("atleast_2d", method=False)
def atleast_2d(*tensors: Any) -> Any:
    """Each tensor, a vector as a matrix of one row."""
    return _each(tensors, 2)


@operator("atleast_3d", method=False)
def atleast_3d(*tensors: Any) -> Any:
    """Each tensor, a matrix of shape (m, n) as (m, n, 1), a vector as (1, n, 1)."""
    return _each(tensors, 3)


def _listed(name: str, tensors: Any) -> list:
    if isinstance(tensors, TensorBase):
        raise TypeError(f"{name}(): argument 'tensors' must be tuple of Tensors, not Tensor")
    listed = list(tensors)
    if not listed:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return listed


@operator("hstack", method=False)
def hstack(tensors: Any, *, out: Any = None) -> Any:
    """Tensors side by side: along the second dimension, vectors along the first."""
    wide = [_widened(t, 1) for t in _listed("hstack", tensors)]
    return cat(wide, 0 if wide[0].spec.ndim == 1 else 1, out=out)


@operator("vstack", "row_stack", method=False)
def vstack(tensors: Any, *, out: Any = None) -> Any:
    """Tensors one under the other, along the first dimension; vectors are rows."""
    return cat([_widened(t, 2) for t in _listed("vstack", tensors)], 0, out=out)


@operator("dstack", method=False)
def dstack(tensors: Any, *, out: Any = None) -> Any:
    """Tensors one behind the other, along the third dimension."""
    return cat([_widened(t, 3) for t in _listed("dstack", tensors)], 2, out=out)


@operator("column_stack", method=False)
def column_stack(tensors: Any, *, out: Any = None) -> Any:
    """Tensors side by side along the second dimension; scalars and vectors are columns."""
    columns = [t if t.spec.ndim > 1 else reshape(t, (t.spec.numel, 1)) for t in _listed("column_stack", tensors)]
    return cat(columns, 1, out=out)


@operator("roll")
def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Elements moved along dimensions; those that leave at one end enter at the other. Without ``dims``: flattened.

    >>> import clgrad
    >>> clgrad.arange(5).roll(2)
    tensor([3, 4, 0, 1, 2])
    """
    steps = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    if not steps:
        raise RuntimeError("roll(): `shifts` required")
    if names_none(dims):
        if len(steps) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:0")
        return ends_in(roll(input.reshape(-1), steps, 0).view(input.spec.shape), "Roll")
    axes = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if len(steps) != len(axes):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(axes)}")
    if not input.spec.ndim:
        raise IndexError(f"Dimension specified as {axes[0]} but tensor has no dimensions")
    axes = tuple([normalize_dim(axis, input.spec.ndim) for axis in axes])
    result = input.detach() if input.spec.ndim else input.detach().clone()
    for step, axis in zip(steps, axes, strict=True):
        size = result.spec.shape[axis] if result.spec.ndim else 0
        start = -step % size if size else 0
        if start:
            result = cat([result.narrow(axis, start, size - start), result.narrow(axis, 0, start)], axis)
    if result.memory is input.memory:
        result = result.clone()
    if needs_graph(input):
        back = tuple([-step for step in steps])
        attach(result, "Roll", (input,), lambda g: roll(g, back, axes))
    return result


@operator("rot90")
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """Turned by 90 degrees ``k`` times, from the first of two dimensions towards the second."""
    rank, pair = input.spec.ndim, tuple(dims)
    if len(pair) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(pair)}")
    if rank < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {rank}")
    a, b = (normalize_dim(d, rank) for d in pair)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {pair[0]} and dim1 = {pair[1]}")
    turns = k % 4
    if turns == 2:
        return flip(input, (a, b))
    if turns:
        turned = flip(input, (b if turns == 1 else a,))
        return become(turned, transpose(turned, a, b))
    return input.clone(memory_format=contiguous_format)


@operator("fliplr")
def fliplr(input: Any) -> Any:
    """The second dimension reversed."""
    if input.spec.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


@operator("flipud")
def flipud(input: Any) -> Any:
    """The first dimension reversed."""
    if input.spec.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


@operator("meshgrid", method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple:
    """Vectors as coordinates of a grid: tensor k varies along dimension k and is repeated along the others.

    ``indexing`` "ij" (the default) keeps the order of dimensions, "xy" exchanges the first two.
    """
    vectors = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)
    if not vectors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        warn_once("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", 3)
    elif indexing not in ("ij", "xy"):
        raise RuntimeError(f"torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: {indexing}")
    for t in vectors:
        if t.spec.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {t.spec.ndim}D")
        if t.spec.dtype is not vectors[0].spec.dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
        if t.spec.device is not vectors[0].spec.device:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same device")
    swapped = indexing == "xy" and len(vectors) > 1
    if swapped:
        vectors[:2] = vectors[1::-1]
    shape = [t.spec.numel for t in vectors]
    grids = [expand(reshape(t, [-1 if axis == own else 1 for axis in range(len(shape))] if t.spec.numel
                            else [size if axis == own else 1 for axis, size in enumerate(shape)]), shape)
             for own, t in enumerate(vectors)]
    if swapped:
        grids[:2] = grids[1::-1]
    return tuple(grids)


@operator("cartesian_prod", method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of one element of each vector, a row each; a single vector as it is."""
    for t in tensors:
        if t.spec.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.spec.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack(meshgrid(*tensors, indexing="ij"), -1).reshape(-1, len(tensors))


@operator("combinations")
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of ``r`` elements of a vector in their order, a row each."""
    if input.spec.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.spec.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return empty((0,), input.spec.dtype, input.spec.device)
    grids = meshgrid(*[FUNCTIONS["arange"](input.spec.numel, device=input.spec.device)] * r, indexing="ij")
    ascending = FUNCTIONS["ones_like"](grids[0], dtype=dtypes.bool)
    for first, second in itertools.pairwise(grids):
        ascending &= first <= second if with_replacement else first < second
    places = ascending.nonzero()
    return input.index_select(0, places.reshape(-1)).view(places.spec.shape)


@operator("adjoint")
def adjoint(input: Any) -> Any:
    """The last two dimensions exchanged, and complex numbers conjugated."""
    if input.spec.ndim == 1:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return (transpose(input, -2, -1) if input.spec.ndim else alias_view(input)).conj()


@operator("swapaxes")
def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Two dimensions exchanged."""
    return transpose(input, axis0, axis1)


@operator("swapdims")
def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged."""
    return transpose(input, dim0, dim1)


def become(x: Any, view: Any) -> Any:
    """Gives ``x`` the window and the place in the graph of a view of it."""
    check_history(x)
    x.offset, x.spec = view.offset, view.spec
    if view._grad_fn is not None:
        x._grad_fn, x._output_nr, x._requires_grad = view._grad_fn, view._output_nr, True
    if x._view is not None:
        x._view = view_of(x, x._view.base, view._view.replay, x._view.origin)
    mark_changed(x)
    return x


def _view_in_place(name: str) -> None:
    view = METHODS[name]

    def form(x: Any, *args: Any, **kwargs: Any) -> Any:
        return become(x, view(x, *args, **kwargs))
    form.__name__ = form.__qualname__ = f"{name}_"
    form.__doc__ = f":func:`{name}` of this very tensor: its shape changes, its memory does not."
    publish(form, f"{name}_", function=False)


for _name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims"):
    _view_in_place(_name)

_COPIED = ("alias", "diagonal", "expand", "permute", "select", "squeeze", "t", "transpose", "unfold",
           "unsqueeze", "detach")


def _viewed(x: Any, size: Any = None, *, dtype: Any = None) -> Any:
    """The elements in another shape, whether or not a view can have it, or their bytes as another dtype."""
    kind = size if is_dtype(size) else dtype
    return x.reshape(size) if kind is None else x.view(kind)


def _copying(name: str, view: Any) -> None:
    """An operator that gives views as one that gives copies."""
    def copied(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        found = view(input, *args, **kwargs)
        if isinstance(found, tuple):
            return store(name, tuple([part.clone(memory_format=contiguous_format) for part in found]), out,
                         exact=True)
        return store(name, found.clone(memory_format=contiguous_format), out, exact=True)
    copied.__name__ = copied.__qualname__ = name
    copied.__doc__ = f"Like :func:`{name.removesuffix('_copy')}`, with memory of its own."
    operator(method=False)(copied)


for _name in _COPIED:
    _copying(f"{_name}_copy", METHODS.get(_name) or FUNCTIONS[_name])
for _view in (split, split_with_sizes, unbind):
    _copying(f"{_view.__name__}_copy", _view)
_copying("view_copy", _viewed)


@operator("narrow_copy")
def narrow_copy(input: Any, dim: int, start: int, length: int, *, out: Any = None) -> Any:
    """Like :func:`narrow`, with memory of its own."""
    sizes = input.spec.shape
    if sizes and dim >= len(sizes):
        raise RuntimeError("Expected dim < static_cast<int64_t>(self_sizes.size()) to be true, but got false.")
    if length < 0 and sizes:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({sizes[dim]}).")
    return store("narrow_copy", narrow(input, dim, start, length).clone(memory_format=contiguous_format), out, exact=True)
