"""Making sparse tensors of indices and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.formats import layout as Layout
from clgrad.formats import sparse_bsc, sparse_bsr, sparse_coo, sparse_csc, sparse_csr
from clgrad.from_data import checked, kind_of, place_of
from clgrad.ops.interception import intercepted
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.sparse import BY_ROWS, COMPRESSED, OF_BLOCKS, Pattern, sparse, without_values
from clgrad.shapes import as_shape
from clgrad.sparse.checks import check_compressed, check_coordinates, check_sparse_tensor_invariants


def _values(values: Any, dtype: Any, device: Any) -> Any:
    """Values as a tensor; data gets the dtype that it has elsewhere."""
    if not isinstance(values, TensorBase):
        return FUNCTIONS["tensor"](values, dtype=dtype, device=device)
    return values.to(device=device, dtype=dtype) if dtype is not None or device is not None else values


def _integers(indices: Any, device: Any, kind: Any = dtypes.int64) -> Any:
    """Indices as a tensor out of the graph, in one of the dtypes of indices."""
    if not isinstance(indices, TensorBase):
        return FUNCTIONS["tensor"](indices, device=device).to(kind)
    return indices.detach().to(device=device, dtype=kind)


def sparse_coo_tensor(*args: Any, indices: Any = None, values: Any = None, size: Any = None, dtype: Any = None,
                      device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
                      check_invariants: bool | None = None, is_coalesced: bool | None = None) -> Any:
    """A sparse tensor of values and their coordinates: ``sparse_coo_tensor(indices, values, size=None)``, or
    ``sparse_coo_tensor(size)`` without values. The same place may be given several times: its values are added.

    Args:
        indices: integers, (sparse dimensions, values).
        values: a tensor or data, (values, ...): what follows are the dense dimensions; a number is one value.
        size: the shape. Default: the smallest in which the indices are.
        dtype, device: those of the values. Default: as they are.
        requires_grad: whether gradients are wanted.
        check_invariants: whether indices are compared with the size, which waits for the device. Default: what
            :class:`clgrad.sparse.check_sparse_tensor_invariants` says.
        is_coalesced: each place is there once, in the order of rows.

    Raises:
        RuntimeError: the shapes do not fit each other, or an index is out of range and invariants are checked.

    >>> import clgrad
    >>> x = clgrad.sparse_coo_tensor([[0, 1], [2, 0]], [3., 4.], (2, 3))
    >>> x.to_dense()
    tensor([[0., 0., 3.],
            [4., 0., 0.]])
    """
    given = list(args)
    if len(given) == 1 and values is None and indices is None:
        return checked(without_values(as_shape(given[0]), sparse_coo, kind_of(dtype), place_of(device)), requires_grad)
    if indices is None and given:
        indices = given.pop(0)
    if values is None and given:
        values = given.pop(0)
    if size is None and given:
        size = given.pop(0)
    if indices is None and values is None and size is not None:
        return checked(without_values(as_shape(size), sparse_coo, kind_of(dtype), place_of(device)), requires_grad)
    if indices is None or values is None or given:
        raise TypeError("sparse_coo_tensor() received an invalid combination of arguments: expected (indices, values, "
                        f"size=None) or (size), got {len(args)} positional arguments")
    entries = _values(values, dtype, device)
    places = _integers(indices, entries.spec.device)
    if places.spec.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(places.spec.shape)}")
    known, count = places.spec.shape
    if not entries.spec.ndim:
        entries = entries.reshape(1)
    if count != entries.spec.shape[0]:
        raise RuntimeError(f"indices and values must have same nnz, but got nnz from indices: {count}, nnz from values: "
                           f"{entries.spec.shape[0]}")
    rest = entries.spec.shape[1:]
    check = check_sparse_tensor_invariants.is_enabled() if check_invariants is None else check_invariants
    if size is None:
        limits = places.amax(1).tolist() if count else [-1] * known
        check_coordinates(places, None)
        shape = (*[limit + 1 for limit in limits], *rest)
    else:
        shape = as_shape(size)
        if len(shape) != known + len(rest):
            raise RuntimeError(f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(shape)}, "
                               f"sparse_dim = {known}, dense_dim = {len(rest)}")
        if shape[known:] != rest:
            raise RuntimeError(f"values has incorrect size, expected {[count, *shape[known:]]}, got "
                               f"{list(entries.spec.shape)}")
        if check:
            check_coordinates(places, shape)
    pattern = Pattern(sparse_coo, shape[:known], places, bool(is_coalesced) or count < 2)
    if is_coalesced and check:
        numbers = pattern.flat()
        if bool((numbers[1:] <= numbers[:-1]).any()):
            raise RuntimeError("cannot set is_coalesced to true if indices correspond to uncoalesced COO tensor")
    return checked(sparse(pattern, entries), requires_grad)


_PARTS = {sparse_csr: ("crow_indices", "col_indices"), sparse_bsr: ("crow_indices", "col_indices"),
          sparse_csc: ("ccol_indices", "row_indices"), sparse_bsc: ("ccol_indices", "row_indices")}


def sparse_compressed_tensor(compressed_indices: Any, plain_indices: Any, values: Any, size: Any = None, *,
                             layout: Layout | None = None, dtype: Any = None, device: Any = None, pin_memory: bool = False,
                             requires_grad: bool = False, check_invariants: bool | None = None) -> Any:
    """A sparse matrix, or a batch of them, of which the rows or the columns are compressed.

    Args:
        compressed_indices: where each row (column) begins among the plain indices, and their number: (*batch, rows + 1).
        plain_indices: the column (row) of each value, (*batch, values).
        values: (*batch, values, ...), of the layouts of blocks (*batch, values, rows, columns, ...).
        size: the shape. Default: the smallest in which the indices are.
        layout: ``sparse_csr``, ``sparse_csc``, ``sparse_bsr`` or ``sparse_bsc``.
        dtype, device, requires_grad, check_invariants: as of :func:`clgrad.sparse_coo_tensor`.

    Raises:
        RuntimeError: the parts do not fit each other.

    >>> import clgrad
    >>> x = clgrad.sparse_compressed_tensor([0, 1, 2], [1, 0], [5., 6.], layout=clgrad.sparse_csr)
    >>> x.to_dense()
    tensor([[0., 5.],
            [6., 0.]])
    """
    if layout not in COMPRESSED:
        raise RuntimeError("sparse_compressed_tensor expected sparse compressed tensor layout but got "
                           f"{'none' if layout is None else layout}")
    entries = _values(values, dtype, device)
    parts = [value for value in (compressed_indices, plain_indices) if isinstance(value, TensorBase)]
    narrow = len(parts) == 2 and all(part.spec.dtype is dtypes.int32 for part in parts)
    kind = dtypes.int32 if narrow else dtypes.int64
    lines, places = (_integers(part, entries.spec.device, kind) for part in (compressed_indices, plain_indices))
    first, second = _PARTS[layout]
    for name, part in ((first, lines), (second, places)):
        if not part.spec.ndim:
            raise RuntimeError(f"{name} must have dimensionality >= 1 but got 0")
    batch, blocks = lines.spec.shape[:-1], 2 if layout in OF_BLOCKS else 0
    if entries.spec.ndim < len(batch) + 1 + blocks:
        raise RuntimeError(f"values must have dimensionality > sum of batch and block dimensionalities (={len(batch)} + "
                           f"{blocks}) but got {entries.spec.ndim}")
    block = entries.spec.shape[len(batch) + 1:len(batch) + 1 + blocks] if blocks else (1, 1)
    rest = entries.spec.shape[len(batch) + 1 + blocks:]
    across = 0 if layout in BY_ROWS else 1  # which of rows and columns is compressed
    if size is None:
        widest = int(places.max()) + 1 if places.spec.numel else 0
        sizes = (lines.spec.shape[-1] - 1, widest)
        matrix = tuple(n * b for n, b in zip(sizes if not across else sizes[::-1], block, strict=True))
        shape = (*batch, *matrix, *rest)
    else:
        shape = as_shape(size)
    sizes = shape[:len(batch) + 2]
    if len(shape) != len(batch) + 2 + len(rest):
        raise RuntimeError(f"tensor dimensionality must be sum of batch, base, and dense dimensionalities (={len(batch)} + 2 "
                           f"+ {len(rest)}) but got {len(shape)}")
    pattern = Pattern(layout, sizes, places, False, lines, tuple(block))  # type: ignore[arg-type]
    if check_sparse_tensor_invariants.is_enabled() if check_invariants is None else check_invariants:
        check_compressed(pattern, entries, first, second)
    return checked(sparse(pattern, entries), requires_grad)


def _of_layout(layout: Layout, name: str, lines: str, places: str) -> Callable:
    def made(compressed_indices: Any, plain_indices: Any, values: Any, size: Any = None, *, dtype: Any = None,
             device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
             check_invariants: bool | None = None) -> Any:
        return sparse_compressed_tensor(compressed_indices, plain_indices, values, size, layout=layout, dtype=dtype,
                                        device=device, requires_grad=requires_grad, check_invariants=check_invariants)

    def named(*args: Any, **kwargs: Any) -> Any:
        for own, general in ((lines, "compressed_indices"), (places, "plain_indices")):
            if own in kwargs:
                kwargs[general] = kwargs.pop(own)
        return made(*args, **kwargs)
    named.__name__ = named.__qualname__ = name
    named.__doc__ = (f"``{name}({lines}, {places}, values, size=None)``: :func:`sparse_compressed_tensor` of layout "
                     f"``{layout.name}``.")
    return named


sparse_csr_tensor = _of_layout(sparse_csr, "sparse_csr_tensor", "crow_indices", "col_indices")
sparse_csc_tensor = _of_layout(sparse_csc, "sparse_csc_tensor", "ccol_indices", "row_indices")
sparse_bsr_tensor = _of_layout(sparse_bsr, "sparse_bsr_tensor", "crow_indices", "col_indices")
sparse_bsc_tensor = _of_layout(sparse_bsc, "sparse_bsc_tensor", "ccol_indices", "row_indices")
for _function in (sparse_coo_tensor, sparse_compressed_tensor, sparse_csr_tensor, sparse_csc_tensor, sparse_bsr_tensor,
                  sparse_bsc_tensor):
    globals()[_function.__name__] = intercepted(_function, _function.__name__, __name__)


def spdiags(diagonals: Any, offsets: Any, shape: Any, layout: Layout | None = None) -> Any:
    """A sparse matrix of which the rows of ``diagonals`` (number, length) are diagonals.

    Args:
        offsets: the diagonal of each row: 0 the main one, above it positive; int64.
        shape: rows and columns. A column's number is that of its elements in ``diagonals``.
        layout: that of the result, ``sparse_coo`` (default), ``sparse_csr`` or ``sparse_csc``.

    Raises:
        RuntimeError: an offset is there twice, or the numbers of diagonals and offsets differ.

    >>> import clgrad
    >>> clgrad.sparse.spdiags(clgrad.tensor([[1., 2.]]), clgrad.tensor([0]), (2, 2)).to_dense()
    tensor([[1., 0.],
            [0., 2.]])
    """
    diagonals = diagonals.unsqueeze(0) if diagonals.spec.ndim == 1 else diagonals
    offsets = offsets.reshape(1) if not offsets.spec.ndim else offsets
    if diagonals.spec.ndim != 2:
        raise RuntimeError("Diagonals must be vector or matrix")
    if len(shape) != 2:
        raise RuntimeError("Output shape must be 2d")
    if offsets.spec.ndim != 1:
        raise RuntimeError("Offsets must be scalar or vector")
    if offsets.spec.dtype is not dtypes.int64:
        raise RuntimeError("Offset Tensor must have dtype Long but got " + dtypes.type_name(offsets.spec.dtype))
    if diagonals.spec.shape[0] != offsets.spec.numel:
        raise RuntimeError(f"Number of diagonals ({diagonals.spec.shape[0]}) does not match the number of offsets "
                           f"({offsets.spec.numel})")
    if layout not in (None, sparse_coo, sparse_csr, sparse_csc):
        raise RuntimeError(f"Only output layouts (Sparse, SparseCsc, and SparseCsr) are supported, got {layout}")
    if offsets.unique().spec.numel != offsets.spec.numel:
        raise RuntimeError("Offset tensor contains duplicate values")
    high, wide = (int(size) for size in shape)
    columns = FUNCTIONS["arange"](min(diagonals.spec.shape[1], wide), device=offsets.spec.device)
    rows = columns - offsets.unsqueeze(1)
    flat = ((rows >= 0) & (rows < high)).reshape(-1).nonzero().reshape(-1)
    columns = columns.expand(rows.spec.shape).reshape(-1).index_select(0, flat)
    values = diagonals[:, :rows.spec.shape[1]].reshape(-1).index_select(0, flat)
    indices = FUNCTIONS["stack"]([rows.reshape(-1).index_select(0, flat), columns])
    made = sparse_coo_tensor(indices, values, (high, wide))
    return made if layout is None else made.to_sparse(layout=layout)
