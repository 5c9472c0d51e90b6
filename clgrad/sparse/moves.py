"""Rules of operators that move elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, attach, needs_graph
from clgrad.formats import sparse_coo, sparse_csc, sparse_csr
from clgrad.ops.interception import refused
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.ops.sparse import (
    OF_BLOCKS,
    Pattern,
    as_coo,
    become,
    coalesced,
    entries_of,
    is_sparse,
    pattern_of,
    plain,
    sparse,
    values_of,
)
from clgrad.shapes import normalize_dim
from clgrad.sparse.rules import entrywise, like, moved, rule


@rule("permute")
def _permute(input: Any, *order_: Any, dims: Any = None) -> Any:
    given = dims if dims is not None else order_[0] if len(order_) == 1 and isinstance(order_[0], (tuple, list)) else order_
    rank = input.spec.ndim
    order = [normalize_dim(dim, rank) for dim in given]
    if sorted(order) != list(range(rank)):
        raise RuntimeError(f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the "
                           f"desired ordering of dimensions i.e. input.dim() = {rank} is not equal to len(dims) = "
                           f"{len(order)}")
    return _permuted(input, order)


def _permuted(x: Any, order: Sequence[int]) -> Any:
    if list(order) == list(range(len(order))):
        return x
    if x.spec.layout is not sparse_coo:
        return _transposed(x, order)
    pattern = pattern_of(x)
    known = len(pattern.sizes)
    if any(dim >= known for dim in order[:known]):
        raise RuntimeError("permute(sparse_coo): swaps between sparse and dense dimensions are not supported")
    inside = [dim - known + 1 for dim in order[known:]]
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    indices = FUNCTIONS["stack"]([pattern.indices.select(0, dim) for dim in order[:known]])
    made = Pattern(sparse_coo, tuple([pattern.sizes[dim] for dim in order[:known]]), indices, pattern.count < 2)
    result = sparse(made, plain(x.memory.values).permute(0, *inside))
    if needs_graph(x):
        attach(result, "Permute", (x,), lambda g: g.permute(back))
    return result


_TURNED = {sparse_csr: sparse_csc, sparse_csc: sparse_csr}


def _transposed(x: Any, order: Sequence[int]) -> Any:
    """Compressed rows become compressed columns; other exchanges of dimensions go by coordinates."""
    pattern = pattern_of(x)
    rows = len(pattern.batch)
    swapped = [*range(rows), rows + 1, rows, *range(rows + 2, x.spec.ndim)]
    if list(order) != swapped or x.spec.layout in OF_BLOCKS:
        raise RuntimeError(f"transpose: layout {x.spec.layout} supports the exchange of the dimensions of matrices alone")
    sizes = (*pattern.batch, pattern.sizes[-1], pattern.sizes[-2])
    turned = Pattern(_TURNED[x.spec.layout], sizes, pattern.indices, False, pattern.compressed)
    result = sparse(turned, plain(x.memory.values))
    if needs_graph(x):
        attach(result, "Transpose", (x,), lambda g: g.transpose(rows, rows + 1))
    return result


@rule("transpose")
def _transpose(input: Any, dim0: int, dim1: int) -> Any:
    rank = input.spec.ndim
    order = list(range(rank))
    first, second = normalize_dim(dim0, rank), normalize_dim(dim1, rank)
    order[first], order[second] = order[second], order[first]
    return _permuted(input, order)


@rule("t")
def _t(input: Any) -> Any:
    if input.spec.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 sparse and 0 dense dimensions, but got {input.spec.ndim} "
                           "dimensions")
    return _transpose(input, 0, 1) if input.spec.ndim == 2 else input


@rule("t_")
def _t_in_place(input: Any) -> Any:
    return become(input, _t(input))


@rule("transpose_")
def _transpose_in_place(input: Any, dim0: int, dim1: int) -> Any:
    return become(input, _transpose(input, dim0, dim1))


@rule("unsqueeze")
def _unsqueeze(input: Any, dim: int) -> Any:
    axis = normalize_dim(dim, input.spec.ndim + 1)
    pattern = _coordinates(input, "unsqueeze")
    known = len(pattern.sizes)
    if axis > known:
        return entrywise(input, lambda values: values.unsqueeze(axis - known + 1), "Unsqueeze", lambda g: _without(g, axis))
    sizes = (*pattern.sizes[:axis], 1, *pattern.sizes[axis:])

    def widened(indices: Any) -> Any:
        rows = [*indices.unbind(0)]
        rows.insert(axis, indices.new_zeros(pattern.count))
        return FUNCTIONS["stack"](rows)
    return moved(input, sizes, widened, "Unsqueeze", lambda g: _without(g, axis))


def _without(g: Any, axis: int) -> Any:
    return g.select(axis, 0)


@rule("squeeze")
def _squeeze(input: Any, dim: Any = None) -> Any:
    pattern, rank = _coordinates(input, "squeeze"), input.spec.ndim
    given = range(rank) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    gone = [axis for axis in (normalize_dim(d, rank) for d in given) if input.spec.shape[axis] == 1]
    result = input
    for axis in sorted(gone, reverse=True):
        known = len(pattern_of(result).sizes)
        result = _select(result, axis, 0) if axis < known and known > 1 else entrywise(
            result, lambda values, axis=axis - known + 1: values.squeeze(axis), "Squeeze",
            lambda g, axis=axis: g.unsqueeze(axis)) if axis >= known else result
    return result if gone and pattern else input


def _coordinates(x: Any, name: str) -> Pattern:
    if x.spec.layout is not sparse_coo:
        refused(name, x.spec.layout)
    return pattern_of(x)


@rule("select")
def _select(input: Any, dim: int, index: Any) -> Any:
    shape = input.spec.shape
    axis = normalize_dim(dim, len(shape))
    place = int(index)
    if not -shape[axis] <= place < shape[axis]:
        raise IndexError(f"select(): index {place} out of range for tensor of size {list(shape)} at dimension {axis}")
    x, place = as_coo(input), place % shape[axis]
    pattern = pattern_of(x)
    known = len(pattern.sizes)
    if axis >= known:
        pattern, values = entries_of(x)
        return sparse(pattern, values.select(axis - known + 1, place))
    pattern, values = entries_of(x)
    kept = (pattern.indices.select(0, axis) == place).nonzero().reshape(-1)
    values = values.index_select(0, kept)
    if known == 1:
        return values.sum(0)
    rows = [row.index_select(0, kept) for n, row in enumerate(pattern.indices.unbind(0)) if n != axis]
    sizes = tuple([size for n, size in enumerate(pattern.sizes) if n != axis])
    return sparse(Pattern(sparse_coo, sizes, FUNCTIONS["stack"](rows), pattern.coalesced), values)


@rule("index_select")
def _index_select(input: Any, dim: int, index: Any) -> Any:
    x = coalesced(as_coo(input))
    shape = input.spec.shape
    axis = normalize_dim(dim, len(shape))
    pattern, values = pattern_of(x), values_of(x)
    known = len(pattern.sizes)
    if index.spec.ndim > 1:
        raise IndexError("index_select() argument index must be 1-D or 0-D tensor, but got " + str(index.spec.ndim) + "-D")
    index = index.reshape(-1).long()
    if index.spec.numel and (int(index.min()) < -shape[axis] or int(index.max()) >= shape[axis]):
        raise IndexError(f"index_select(): index contains a number that is out of range for tensor of size {list(shape)} at "
                         f"dimension {axis}")
    if axis >= known:
        return sparse(pattern, values.index_select(axis - known + 1, index))
    # By that dimension values are in order: each number of ``index`` names a run of them.
    own = pattern.indices.select(0, axis)
    ordered, order = FUNCTIONS["sort"](own, stable=True)
    index = FUNCTIONS["where"](index < 0, index + shape[axis], index)
    begin = FUNCTIONS["searchsorted"](ordered.contiguous(), index)
    number = FUNCTIONS["searchsorted"](ordered.contiguous(), index, right=True) - begin
    result = FUNCTIONS["arange"](index.spec.numel, device=index.spec.device).repeat_interleave(number)
    first = begin - (number.cumsum(0) - number)
    position = FUNCTIONS["arange"](result.spec.numel, device=index.spec.device) + first.index_select(0, result)
    kept = order.index_select(0, position)
    rows = [result if n == axis else row.index_select(0, kept) for n, row in enumerate(pattern.indices.unbind(0))]
    sizes = tuple([index.spec.numel if n == axis else size for n, size in enumerate(pattern.sizes)])
    return sparse(Pattern(sparse_coo, sizes, FUNCTIONS["stack"](rows), result.spec.numel < 2), values.index_select(0, kept))


@rule("narrow", "narrow_copy")
def _narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    shape = input.spec.shape
    axis, start = normalize_dim(dim, len(shape)), int(start)
    if not -shape[axis] <= start <= shape[axis]:
        raise IndexError(f"start out of range (expected to be in range of [{-shape[axis]}, {shape[axis]}], but got {start})")
    start = start + shape[axis] if start < 0 else start
    if length < 0 or start + length > shape[axis]:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({shape[axis]}).")
    x = as_coo(input)
    pattern, values = entries_of(x)
    known = len(pattern.sizes)
    if axis >= known:
        return sparse(pattern, values.narrow(axis - known + 1, start, length))
    own = pattern.indices.select(0, axis)
    kept = ((own >= start) & (own < start + length)).nonzero().reshape(-1)
    rows = [row.index_select(0, kept) - (start if n == axis else 0) for n, row in enumerate(pattern.indices.unbind(0))]
    sizes = tuple([length if n == axis else size for n, size in enumerate(pattern.sizes)])
    made = sparse(Pattern(sparse_coo, sizes, FUNCTIONS["stack"](rows), pattern.coalesced), values.index_select(0, kept))
    return like(made, input.spec.layout)


@rule("__getitem__")
def _get_item(x: Any, index: Any) -> Any:
    """Numbers, slices of step 1, ``None`` and ``...``; a tensor of numbers alone."""
    items = list(index) if isinstance(index, tuple) else [index]
    if len(items) == 1 and isinstance(items[0], TensorBase) and items[0].spec.ndim == 1:
        chosen = items[0]
        return _index_select(x, 0, chosen.nonzero().reshape(-1) if chosen.spec.dtype is dtypes.bool else chosen)
    missing = x.spec.ndim - sum(item is not None and item is not Ellipsis for item in items)
    if Ellipsis in items:
        at = items.index(Ellipsis)
        items[at:at + 1] = [slice(None)] * missing
    result, axis = x, 0
    for item in items:
        if item is None:
            result, axis = METHODS["unsqueeze"](result, axis), axis + 1
        elif isinstance(item, slice):
            start, stop, step = item.indices(result.spec.shape[axis])
            if step != 1:
                refused("as_strided", x.spec.layout)
            if (start, stop) != (0, result.spec.shape[axis]):
                result = METHODS["narrow"](result, axis, start, max(stop - start, 0))
            axis += 1
        elif isinstance(item, int) or isinstance(item, TensorBase) and not item.spec.ndim:
            result = METHODS["select"](result, axis, int(item))
        else:
            refused("index", x.spec.layout)
    return result


@rule("cat")
def _cat(tensors: Any, dim: int = 0) -> Any:
    tensors = list(tensors)
    for position, x in enumerate(tensors):
        if not is_sparse(x):
            raise RuntimeError(f"Concatenating sparse tensors, but a dense tensor was found at position {position}.")
    layout = tensors[0].spec.layout
    parts = [as_coo(x) for x in tensors]
    shape = parts[0].spec.shape
    axis, known = normalize_dim(dim, len(shape)), len(pattern_of(parts[0]).sizes)
    for position, x in enumerate(parts):
        if len(pattern_of(x).sizes) != known:
            raise RuntimeError("All tensors must have the same: sparse_dim, dense_dim, but tensor at position "
                               f"{position} has {len(pattern_of(x).sizes)}, {pattern_of(x).dense_dim(x)}.")
        if [s for n, s in enumerate(x.spec.shape) if n != axis] != [s for n, s in enumerate(shape) if n != axis]:
            raise RuntimeError(f"All tensors must have the same shape: {list(shape)} (except in the concatenating "
                               f"dimension), but found shape: {list(x.spec.shape)} at position {position}.")
    sizes = list(pattern_of(parts[0]).sizes)
    indices, values, start = [], [], 0
    for x in parts:
        pattern, own = entries_of(x)
        if axis < known:
            offset = FUNCTIONS["tensor"]([start if n == axis else 0 for n in range(known)],
                                         device=pattern.indices.spec.device).unsqueeze(1)
            indices.append(pattern.indices.long() + offset)
            values.append(own)
        else:
            indices.append(pattern.indices.long())
            before, after = start, sum(p.spec.shape[axis] for p in parts) - start - x.spec.shape[axis]
            inside = axis - known + 1
            given = own.spec.shape
            empty = [own.new_zeros((*given[:inside], size, *given[inside + 1:])) for size in (before, after)]
            values.append(FUNCTIONS["cat"]([empty[0], own, empty[1]], inside))
        start += x.spec.shape[axis]
    if axis < known:
        sizes[axis] = start
    together = FUNCTIONS["cat"](indices, 1)
    made = Pattern(sparse_coo, tuple(sizes), together, together.spec.shape[1] < 2)
    return like(sparse(made, FUNCTIONS["cat"](values)), layout)


@rule("stack")
def _stack(tensors: Any, dim: int = 0) -> Any:
    return _cat([METHODS["unsqueeze"](as_coo(x), dim) for x in tensors], dim)


@rule("unbind")
def _unbind(input: Any, dim: int = 0) -> tuple:
    size = input.spec.shape[normalize_dim(dim, input.spec.ndim)]
    return tuple([METHODS["select"](input, dim, place) for place in range(size)])
