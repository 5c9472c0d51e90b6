"""Elements and slices picked by tensors of indices along one dimension."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import Saved, TensorBase, attach, needs_graph
from clgrad.formats import sparse_coo
from clgrad.ops.output import store
from clgrad.ops.places import Places, as_index, check_range, out_of_range, read
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.sparse import Pattern, places_of
from clgrad.ops.sparse import sparse as of_elements
from clgrad.shapes import broadcast_shapes, normalize_dim


def check_gather(name: str, x: Any, dim: int, index: Any, src: Any = None) -> int:
    """The dimension as a number in [0, rank), after checks of what gather and scatter ask of an index."""
    if not isinstance(index, TensorBase):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    own, places = x.spec, index.spec
    axis = normalize_dim(dim, own.ndim)
    if not places.numel:
        return axis
    if max(own.ndim, 1) != max(places.ndim, 1):
        raise RuntimeError(f"{name}(): Index tensor must have the same number of dimensions as "
                           f"{'input' if name == 'gather' else 'self'} tensor, got {places.ndim} and {own.ndim}")
    if src is not None and max(src.spec.ndim, 1) != max(places.ndim, 1):
        raise RuntimeError(f"{name}(): Index tensor must have the same number of dimensions as src tensor, got "
                           f"{places.ndim} and {src.spec.ndim}")
    for d, (a, b) in enumerate(zip(places.shape, own.shape, strict=False)):
        if a > b and d != axis:
            raise RuntimeError(f"{name}(): Size does not match at dimension {d} expected index {list(places.shape)} to be "
                               f"no larger than self {list(own.shape)} apart from dimension {axis}")
    if src is not None and any(a > b for a, b in zip(places.shape, src.spec.shape, strict=False)):
        raise RuntimeError(f"{name}(): Expected index {list(places.shape)} to be no larger than src "
                           f"{list(src.spec.shape)}")
    size = own.shape[axis] if own.ndim else 1
    check_range(index, size, out_of_range(name, axis, size, RuntimeError))
    return axis


@operator("gather")
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:
    """The elements of ``input`` whose place along ``dim`` is given by ``index``; the result has its shape.

    An index that is out of range is an error, which may come when the result is read. ``sparse_grad``: the gradient of
    ``input`` is a sparse tensor.

    >>> import clgrad
    >>> clgrad.gather(clgrad.tensor([[1, 2], [3, 4]]), 1, clgrad.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    if sparse_grad and needs_graph(input) and index.spec.numel and input.spec.ndim:
        return store("gather", _with_sparse_gradient(input, dim, index), out, exact=True)
    axis = check_gather("gather", input, dim, index)
    places = as_index("gather", index)
    if not index.spec.numel:
        shape = index.spec.shape
        return store("gather", read(input, Places("gather", shape, (None,) * len(shape), (), ()), "Gather"), out,
                     exact=True)
    return store("gather", _gathered(input, axis, index, places, negative=False), out, input, index, exact=True)


def _with_sparse_gradient(input: Any, dim: int, index: Any) -> Any:
    """:func:`gather`, where the gradient of ``input`` is a sparse tensor of the elements that are named."""
    axis = check_gather("gather", input, dim, index)
    made = gather(input.detach(), dim, index)
    # The layout is held by the backward function, where no key of a walk can name it: its launches are not repeated.
    saved, shape, kind = Saved("gather", (index,)), input.spec.shape, sparse_coo

    def backward(g: Any) -> Any:
        (places,) = saved.unpack()
        own = places.spec.shape
        numbers = FUNCTIONS["arange"](places.spec.numel, device=places.spec.device)
        rows = places_of(numbers, own or (1,))  # an index without dimensions is a vector of one
        rows[axis] = places.reshape(-1).long()
        return of_elements(Pattern(kind, shape, FUNCTIONS["stack"](rows)), g.reshape(-1))
    attach(made, "Gather", (input,), backward, saved)
    return made


def _gathered(input: Any, axis: int, index: Any, places: Any, *, negative: bool) -> Any:
    """Elements at checked indices, also of 0-d tensors."""
    x, flat = (input, places) if input.spec.ndim else (input.reshape(1), places.reshape(-1))
    if not places.spec.ndim:
        flat = places.reshape(1)
    result = read(x, Places.along("gather", axis, flat, negative=negative), "Gather")
    return result if result.spec.shape == index.spec.shape else result.view(index.spec.shape)


def check_vector(name: str, index: Any) -> Any:
    """A 0-d or 1-d tensor of int32 or int64 indices as a vector."""
    if not isinstance(index, TensorBase):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    if index.spec.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: {index.spec.ndim}")
    index = as_index(name, index)
    return index if index.spec.ndim else index.reshape(1)


@operator("index_select")
def index_select(input: Any, dim: int, index: Any, *, out: Any = None) -> Any:
    """The slices of ``input`` along ``dim`` that a vector of indices names."""
    places = check_vector("index_select", index)
    axis = normalize_dim(dim, input.spec.ndim)
    if not input.spec.ndim:
        if places.spec.numel != 1:
            raise RuntimeError("index_select(): Index to scalar can have only 1 value, got "
                               f"{places.spec.numel} value(s)")
        return store("index_select", index_select(input.reshape(1), 0, places).view(()), out, exact=True)
    size = input.spec.shape[axis]
    if not size and places.spec.numel:
        raise RuntimeError("index_select(): self indexing axis dim should be positive")
    check_range(places, size, out_of_range("index_select", axis, size))
    return store("index_select", read(input, Places.slices("index_select", input, axis, places), "IndexSelect"), out, input,
                 index, exact=True)


@operator("take")
def take(input: Any, index: Any, *, out: Any = None) -> Any:
    """The elements of the flattened ``input`` at the indices; the result has the shape of ``index``."""
    flat, places = taken("take", input, index)
    return store("take", read(flat, places, "Take"), out, input, index, exact=True)


def taken(name: str, x: Any, index: Any) -> tuple[Any, Places]:
    """The flattened tensor, and the places in it that indices (from its end, if negative) name."""
    if index.spec.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {index.spec.dtype.name}")
    size = x.spec.numel
    if not size and index.spec.numel:
        raise IndexError(f"{name}(): tried to take from an empty tensor")
    check_range(index, size, lambda i: IndexError(
        f"out of range: tried to access index {i} on a tensor of {size} elements."), negative=True)
    shape = index.spec.shape
    return x.reshape(-1), Places(name, shape, (None,) * len(shape), (0,), (index,), negative=True)


@operator("take_along_dim")
def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """``gather`` with shapes broadcast; without ``dim`` from the flattened tensor."""
    if indices.spec.dtype is not dtypes.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.spec.dtype.name}")
    if dim is None:
        return store("take_along_dim", read(*taken("take_along_dim", input, indices.reshape(-1)), "Gather"), out, exact=True)
    if input.spec.ndim != indices.spec.ndim:
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
                           f"{input.spec.ndim} dimensions for input, and {indices.spec.ndim} dimensions for indices")
    axis = normalize_dim(dim, input.spec.ndim)
    shapes = [[1 if d == axis else s for d, s in enumerate(t.spec.shape)] for t in (input, indices)]
    wide = broadcast_shapes(*shapes)
    own, places = ([t.spec.shape[axis] if d == axis else s for d, s in enumerate(wide)] for t in (input, indices))
    x, index = input.expand(own), indices.expand(places)
    if input.spec.ndim:
        size = x.spec.shape[axis]
        check_range(index, size, out_of_range("take_along_dim", axis, size), negative=True)
    return store("take_along_dim", _gathered(x, axis, index, index, negative=True), out, exact=True)
