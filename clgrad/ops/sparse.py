"""Sparse tensors: where their values are, the values, and how gradients pass between the two kinds of tensors.

A sparse tensor has a spec as every tensor, and in the place of memory a :class:`SparseStorage`: a :class:`Pattern`, which
says where values are, and a strided tensor of values. The storage has no bytes, so that nothing can take it for dense
memory. Operators are told what to do by the rules of :mod:`clgrad.sparse`, which compute on values with ordinary operators.
Between the sparse tensor and its values stand two nodes: the gradient of :func:`values_of` is a sparse tensor of the same
pattern, and that of :func:`sparse` what stands at the pattern's places in a gradient, be it dense or sparse. A gradient that
is sparse stands for a dense one of which nobody needs the rest, so it has each place once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import attach, check_in_place, mark_changed, needs_graph, rebase, wrap
from clgrad.autograd.listening import SPARSE, switch
from clgrad.formats import layout, sparse_bsc, sparse_bsr, sparse_coo, sparse_csc, sparse_csr, strided
from clgrad.ops.no_memory import NoMemory
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import Shape, contiguous_strides
from clgrad.spec import before_sparse, sparse_spec

before_sparse.append(lambda: switch.set(SPARSE, True))

BY_ROWS, BY_COLUMNS = (sparse_csr, sparse_bsr), (sparse_csc, sparse_bsc)
OF_BLOCKS = (sparse_bsr, sparse_bsc)
COMPRESSED = (*BY_ROWS, *BY_COLUMNS)
# As errors name layouts.
_SHORT = {strided: "Strided", sparse_coo: "Sparse", sparse_csr: "SparseCsr", sparse_csc: "SparseCsc", sparse_bsr: "SparseBsr",
          sparse_bsc: "SparseBsc"}


class Pattern:
    """The places of a sparse tensor's values; tensors share it. It does not change.

    Args:
        layout: ``sparse_coo`` or one of the compressed ones.
        sizes: of the sparse dimensions; of a compressed layout of those before the two of the matrices, too.
        indices: integers, (sparse dimensions, values) for ``sparse_coo``; those that are not compressed, (*batch, values).
        coalesced: every place is there once, in the order of rows; compressed layouts always have each place once.
        compressed: where rows or columns (of blocks) begin among ``indices``, and the number of these at the end.
        block: rows and columns of a block.
    """

    __slots__ = ("layout", "sizes", "indices", "coalesced", "compressed", "block", "_known", "_version")

    def __init__(self, layout: layout, sizes: Shape, indices: Any, coalesced: bool = False, compressed: Any = None,
                 block: tuple[int, int] = (1, 1)):
        self.layout, self.sizes, self.indices, self.coalesced = layout, tuple(sizes), indices, coalesced
        self.compressed, self.block = compressed, block
        self._known: dict[str, Any] = {}
        self._version = None

    def __reduce__(self) -> tuple:
        return Pattern, (self.layout, self.sizes, self.indices, self.coalesced, self.compressed, self.block)

    @property
    def count(self) -> int:
        """How many values there are, in each matrix of a batch; blocks count as one."""
        return self.indices.spec.shape[-1]

    @property
    def batch(self) -> Shape:
        """The dimensions before those of matrices, of a compressed layout."""
        return self.sizes[:-2] if self.compressed is not None else ()

    def shape_with(self, values: Any) -> Shape:
        """The shape of a tensor with this pattern and these values."""
        before = 1 if self.compressed is None else len(self.batch) + 1 + (2 if self.layout in OF_BLOCKS else 0)
        return (*self.sizes, *values.spec.shape[before:])

    def dense_dim(self, x: Any) -> int:
        """How many dimensions of a tensor are those of its values."""
        return x.spec.ndim - len(self.sizes)

    def derived(self, name: str, make: Callable[[], Any]) -> Any:
        """What follows from the indices, computed once, unless somebody changes them in place."""
        version = self.indices.memory.version
        if self._version != version:
            self._known, self._version = {}, version
        if name not in self._known:
            with no_grad():
                self._known[name] = make()
        return self._known[name]

    def as_coo(self) -> Pattern:
        """The same places, in the same order, as ``sparse_coo``; those in a block one after the other."""
        return self if self.compressed is None else self.derived("coo", self._expanded)

    def _expanded(self) -> Pattern:
        """Places from compressed indices: a place is in the last row that begins before it or there."""
        matrices, count, device = prod(self.batch), self.count, self.indices.spec.device
        total = matrices * count
        numbers = FUNCTIONS["arange"](count, device=device).expand(matrices, count).contiguous()
        begins = self.compressed.long().reshape(matrices, self.compressed.spec.shape[-1])
        line = FUNCTIONS["searchsorted"](begins[:, 1:].contiguous(), numbers, right=True).reshape(total)
        plain = self.indices.long().reshape(total)
        rows, columns = (line, plain) if self.layout in BY_ROWS else (plain, line)
        matrix = FUNCTIONS["arange"](matrices, device=device).repeat_interleave(count)
        if self.layout in OF_BLOCKS:
            high, wide = self.block
            inside = FUNCTIONS["arange"](high * wide, device=device)
            rows = (rows.unsqueeze(1) * high + inside.div(wide, rounding_mode="floor")).reshape(-1)
            columns = (columns.unsqueeze(1) * wide + inside.remainder(wide)).reshape(-1)
            matrix = matrix.repeat_interleave(high * wide)
        indices = FUNCTIONS["stack"]([*places_of(matrix, self.batch), rows, columns])
        return Pattern(sparse_coo, self.sizes, indices, self.layout is sparse_csr)

    def flat(self) -> Any:
        """The places of ``sparse_coo`` as numbers of elements in row-major order."""
        def flatten() -> Any:
            indices = self.indices.long()
            if not self.sizes:
                return indices.sum(0)
            found = indices.select(0, 0)
            for axis, size in enumerate(self.sizes[1:], 1):
                found = found * size + indices.select(0, axis)
            return found
        return self.derived("flat", flatten)

    def merged(self) -> tuple[Pattern, Any]:
        """The coalesced pattern of these places, and for each place its number there."""
        return self.derived("merged", lambda: merged(self.flat(), self.sizes))

    def starts(self) -> Any:
        """Where each row of a coalesced matrix begins, and the number of values."""
        def search() -> Any:
            if self.layout is sparse_csr:
                return self.compressed.long()
            rows = FUNCTIONS["arange"](self.sizes[0] + 1, device=self.indices.spec.device)
            return FUNCTIONS["searchsorted"](self.indices.select(0, 0).long().contiguous(), rows)
        return self.derived("starts", search)

    def columns(self) -> Any:
        """The column of each value of a matrix."""
        return self.derived("columns", lambda: self.indices.select(0, 1).contiguous())

    def turned(self) -> tuple[Pattern, Any]:
        """The coalesced pattern of the transpose, and which value of this one each of its values is."""
        def turn() -> tuple[Pattern, Any]:
            rows, columns = self.indices.unbind(0)
            order = FUNCTIONS["argsort"](columns, stable=True)
            indices = FUNCTIONS["stack"]([columns.index_select(0, order), rows.index_select(0, order)])
            return Pattern(sparse_coo, self.sizes[::-1], indices, True), order
        return self.derived("turned", turn)

    def numbers_at(self, flat: Any) -> tuple[Any, Any]:
        """For places, as numbers of elements, their numbers in this coalesced pattern, and whether they are in it."""
        own = self.flat()
        if not own.spec.numel:
            return FUNCTIONS["zeros_like"](flat), FUNCTIONS["zeros_like"](flat, dtype=dtypes.bool)
        number = FUNCTIONS["searchsorted"](own, flat).clamp(max=own.spec.numel - 1)
        return number, own.index_select(0, number) == flat


def merged(flat: Any, sizes: Shape) -> tuple[Pattern, Any]:
    """The coalesced pattern of places, given as numbers of elements, and for each place its number there."""
    distinct, number = FUNCTIONS["unique"](flat, return_inverse=True)
    return Pattern(sparse_coo, sizes, unflattened(distinct, sizes), True), number


def places_of(flat: Any, sizes: Sequence[int]) -> list[Any]:
    """The indices along each dimension of elements with these numbers."""
    found, rest = [], flat
    for step in contiguous_strides(tuple(sizes))[:-1]:
        found.append(rest.div(max(step, 1), rounding_mode="floor"))
        rest = rest - found[-1] * step
    return [*found, rest] if sizes else []


def unflattened(flat: Any, sizes: Sequence[int]) -> Any:
    """The indices of ``sparse_coo`` of elements with these numbers."""
    if not sizes:
        return flat.new_zeros((0, flat.spec.numel))
    return FUNCTIONS["stack"](places_of(flat, sizes))


class SparseStorage(NoMemory):
    """What a sparse tensor has in the place of memory."""

    __slots__ = ("pattern", "values")
    missing = "Cannot access storage of SparseTensorImpl"

    def __init__(self, pattern: Pattern, values: Any):
        super().__init__()
        self.pattern, self.values = pattern, values


def is_sparse(value: Any) -> bool:
    """Whether it is a tensor of one of the sparse layouts."""
    own = getattr(value, "spec", None)
    return own is not None and own.layout is not strided


def pattern_of(x: Any) -> Pattern:
    """The places of a sparse tensor's values."""
    return x.memory.pattern


def plain(x: Any) -> Any:
    """A strided tensor out of the graph, on the same memory."""
    return wrap(x.memory, x.offset, x.spec)


def sparse(pattern: Pattern, values: Any, node: str = "SparseCooTensorWithDims") -> Any:
    """The sparse tensor of a pattern and values, on whose memory it stands. Gradients pass to the values."""
    own = values.spec
    storage: Any = SparseStorage(pattern, plain(values))
    made = wrap(storage, 0, sparse_spec(pattern.shape_with(values), own.dtype, own.device, pattern.layout))
    if needs_graph(values):
        attach(made, node, (values,), lambda g: values_at(g, pattern))
    return made


def without_values(shape: Shape, wanted: layout, kind: dtypes.dtype, place: Any) -> Any:
    """A sparse tensor without values.

    Raises:
        RuntimeError: a compressed layout, and less than two dimensions; a layout of blocks.
    """
    def integers(*sizes: int) -> Any:
        return FUNCTIONS["zeros"](*sizes, dtype=dtypes.int64, device=place)
    if wanted is sparse_coo:
        pattern = Pattern(sparse_coo, shape, integers(len(shape), 0), True)
        return sparse(pattern, FUNCTIONS["zeros"](0, dtype=kind, device=place))
    if wanted in OF_BLOCKS:
        raise RuntimeError("empty_sparse_compressed expected sparse compressed (non-block) tensor layout but got "
                           f"{_SHORT[wanted]}")
    if len(shape) < 2:
        raise RuntimeError("torch.zeros: Only batched sparse compressed (non-block) tensors are supported, but got size "
                           f"{list(shape)}")
    batch, lines = shape[:-2], shape[-2 if wanted in BY_ROWS else -1]
    pattern = Pattern(wanted, shape, integers(*batch, 0), False, integers(*batch, lines + 1))
    return sparse(pattern, FUNCTIONS["zeros"](*batch, 0, dtype=kind, device=place))


def values_of(x: Any) -> Any:
    """The values of a sparse tensor, on the same memory. Gradients pass to the sparse tensor."""
    held: Any = x.memory
    made = plain(held.values)
    if needs_graph(x):
        pattern = held.pattern
        attach(made, "Values", (x,), lambda g: sparse(pattern, g))
    return made


def values_at(x: Any, pattern: Pattern) -> Any:
    """What stands in a dense or sparse tensor at the places of a pattern, as its values."""
    if is_sparse(x) and x.memory.pattern is pattern and (pattern.coalesced or pattern.compressed is not None):
        return values_of(x)
    flat = pattern.as_coo().flat()
    if is_sparse(x):
        found = _looked_up(coalesced(as_coo(x)), flat)
    else:
        rest = x.spec.shape[len(pattern.sizes):]
        found = x.reshape(prod(pattern.sizes), *rest).index_select(0, flat)
    return as_values(found, pattern)


def _looked_up(x: Any, flat: Any) -> Any:
    number, there = pattern_of(x).numbers_at(flat)
    values = values_of(x)
    if not values.spec.shape[0]:
        return values.new_zeros((flat.spec.numel, *values.spec.shape[1:])) + 0 * values.sum()
    there = there.reshape(-1, *(1,) * (values.spec.ndim - 1))
    return FUNCTIONS["where"](there, values.index_select(0, number), values.new_zeros(()))


def as_values(entries: Any, pattern: Pattern) -> Any:
    """Values one after the other, in the order of ``as_coo``, as those of a pattern."""
    if pattern.compressed is None:
        return entries
    block = pattern.block if pattern.layout in OF_BLOCKS else ()
    return entries.reshape(*pattern.batch, pattern.count, *block, *entries.spec.shape[1:])


def as_entries(values: Any, pattern: Pattern) -> Any:
    """The values of a pattern one after the other, in the order of ``as_coo``."""
    if pattern.compressed is None:
        return values
    rest = values.spec.shape[len(pattern.batch) + (3 if pattern.layout in OF_BLOCKS else 1):]
    return values.reshape(pattern.as_coo().count, *rest)


def as_coo(x: Any) -> Any:
    """A sparse tensor as ``sparse_coo``."""
    pattern = pattern_of(x)
    return x if pattern.compressed is None else sparse(pattern.as_coo(), as_entries(values_of(x), pattern), "ToSparse")


def summed(values: Any, number: Any, count: int) -> Any:
    """The sums of values (along the first dimension) that have the same number, for ``count`` numbers."""
    return values.new_zeros((count, *values.spec.shape[1:])).index_add_(0, number, values)


def coalesced(x: Any) -> Any:
    """The tensor with each place once, in order: itself where it is so. Its gradient is that of the result."""
    held: Any = x.memory
    pattern = held.pattern
    if pattern.coalesced:
        return x
    merged, number = pattern.merged()
    with no_grad():
        made = sparse(merged, summed(held.values, number, merged.count))
    if needs_graph(x):
        attach(made, "Coalesce", (x,), lambda g: g)
    return made


def entries_of(x: Any) -> tuple[Pattern, Any]:
    """The pattern of ``sparse_coo`` and the values, one after the other, of a sparse tensor in whose gradient each place
    stands once: it is coalesced where it needs one."""
    found = as_coo(x)
    if needs_graph(found):
        found = coalesced(found)
    return pattern_of(found), values_of(found)


def dense_of(x: Any) -> Any:
    """The strided tensor with the values of a sparse one, and zeros."""
    pattern, values = entries_of(x)
    return summed(values, pattern.flat(), prod(pattern.sizes)).reshape(x.spec.shape)


def sparse_of(x: Any, sparse_dim: int | None = None) -> Any:
    """The elements of a strided tensor that are not zero as a coalesced sparse tensor; with fewer sparse dimensions than it
    has, those of its slices in which one is not."""
    own = x.spec
    wanted = own.ndim if sparse_dim is None else sparse_dim
    if own.ndim and not wanted:
        raise RuntimeError("dense_to_sparse: sparse_dim argument must be in >0 when self.dim()>0")
    if not 0 <= wanted <= own.ndim:
        raise RuntimeError(f"dense_to_sparse: sparse_dim argument must be in [0,{own.ndim}] range, but {wanted} is given")
    sizes, rest = own.shape[:wanted], own.shape[wanted:]
    with no_grad():
        rows = x.detach().reshape(prod(sizes), prod(rest)) != 0
        flat = rows.any(1).nonzero().reshape(-1)
    pattern = Pattern(sparse_coo, sizes, unflattened(flat, sizes), True)
    values = x.reshape(prod(sizes), *rest).index_select(0, flat)
    return sparse(pattern, values, "ToSparse")


def become(x: Any, result: Any) -> Any:
    """Changes a sparse tensor in place into the result of an operation on it, which has its place in the graph."""
    check_in_place(x, result._requires_grad)
    held: Any = x.memory
    held.pattern, held.values = result.memory.pattern, result.memory.values
    x.spec = result.spec
    mark_changed(x)
    if result._grad_fn is not None:
        rebase(x, result._grad_fn, result)
    return x


def check_layout_of(x: Any, name: str, wanted: str, *layouts: layout) -> None:
    """RuntimeError where a tensor has none of these layouts."""
    if x.spec.layout not in layouts:
        raise RuntimeError(f"{name} expected {wanted} tensor layout but got {_SHORT[x.spec.layout]}")


