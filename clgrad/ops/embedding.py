"""Tables of vectors: rows by number, sums of bags of rows, and one-hot vectors."""

from __future__ import annotations

import operator as op
from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.formats import sparse_coo
from clgrad.ops.copying import full
from clgrad.ops.places import FEW, Places, check_range, combine, known_values, read, sums
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.sparse import Pattern
from clgrad.ops.sparse import sparse as of_rows

_known_rows: dict[tuple, Places] = {}  # without their indices, by the specs of calls that passed all checks
_KNOWN_MOST = 1024


def _outside(index: int) -> Exception:
    return IndexError("index out of range in self")


def rows_at(name: str, input: Any, weight: Any, outside: Callable[[int], Exception] = _outside) -> Places:
    """The rows of ``weight`` that ``input`` (of any shape) names."""
    own = input.spec
    key = (name, own, weight.spec)
    known = _known_rows.get(key)
    if known is None:
        if weight.spec.ndim != 2:
            raise RuntimeError(f"'weight' must be 2-D, got {weight.spec.ndim}-D")
        if own.dtype not in (dtypes.int64, dtypes.int32):
            raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, "
                               f"Int; but got torch.{dtypes.type_name(own.dtype)}Tensor instead (while checking arguments "
                               f"for {name})")
        if len(_known_rows) >= _KNOWN_MOST:
            _known_rows.clear()
        shape = (*own.shape, weight.spec.shape[1])
        known = _known_rows[key] = Places(name, shape, (None,) * own.ndim + (1,), (0,), ())
    check_range(input, weight.spec.shape[0], outside)
    return known.over((input,))


def embedding(input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """The rows of ``weight`` (number, width) that the integers of ``input`` (*) name, as (*, width).

    Args:
        padding_idx: the row that gets no gradient.
        max_norm: rows used with a larger norm (of order ``norm_type``) are scaled to it, in ``weight`` itself.
        scale_grad_by_freq: gradients are divided by how often their row stands in ``input``.
        sparse: the gradient of ``weight`` is a sparse tensor of the rows that are named; it cannot be divided by how often.

    Raises:
        IndexError: an integer is not a row's number; it may come when the result is read.
    """
    padding_idx = padding_row(padding_idx, weight)
    places = rows_at("embedding", input, weight)
    if max_norm is not None:
        renormalize(input, weight, max_norm, norm_type)
    if sparse and needs_graph(weight):
        return with_sparse_gradient(input, weight, places, padding_idx, scale_grad_by_freq)
    return looked_up(weight, places, padding_idx, scale_grad_by_freq)


def with_sparse_gradient(input: Any, weight: Any, places: Places, padding_idx: int | None, by_frequency: bool) -> Any:
    """:func:`looked_up`, where the gradient of ``weight`` is a sparse tensor: its rows are numbers of rows, as they are in
    ``input``, but ``padding_idx``."""
    made = read(weight.detach(), places, "Embedding")
    # The layout is held by the backward function, where no key of a walk can name it: its launches are not repeated.
    saved, (rows, width), kind = Saved("embedding", (input,)), weight.spec.shape, sparse_coo

    def backward(g: Any) -> Any:
        if by_frequency:
            raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
        (indices,) = saved.unpack()
        # A copy: a program that writes its next indices into the same tensor must not change which rows have a gradient.
        flat = indices.to(dtypes.int64, copy=True).reshape(-1)
        values = g.reshape(flat.spec.numel, width)
        if padding_idx is not None:
            kept = flat.ne(padding_idx).nonzero().reshape(-1)
            flat, values = flat.index_select(0, kept), values.index_select(0, kept)
        return of_rows(Pattern(kind, (rows,), flat.unsqueeze(0)), values)
    attach(made, "Embedding", (weight,), backward, saved)
    return made


def padding_row(padding_idx: int | None, weight: Any) -> int | None:
    """The number of the row that does not count; AssertionError where there is none of that number."""
    if padding_idx is None:
        return None
    rows = weight.spec.shape[0]
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"Padding_idx must be within num_embeddings: got {padding_idx} for {rows} rows")
    return padding_idx % rows


def looked_up(weight: Any, places: Places, padding_idx: int | None, by_frequency: bool) -> Any:
    """The rows of ``weight`` at places. The row ``padding_idx`` gets no gradient; ``by_frequency`` others the mean."""
    if (padding_idx is None and not by_frequency) or not needs_graph(weight):
        return read(weight, places, "Embedding")
    made = read(weight.detach(), places, "Embedding")
    saved, kept, shape = Saved("embedding", places.indices), places.without_indices(), weight.spec.shape

    def backward(g: Any) -> Any:
        there = kept.over(saved.unpack())
        if by_frequency:
            g = g / read(_frequencies(there, shape, g), there, "Embedding")
        whole = sums(g, there, shape, "Embedding")
        if padding_idx is not None:
            whole.select(0, padding_idx).zero_()
        return whole
    attach(made, "Embedding", (weight,), backward, saved)
    return made


def _frequencies(places: Places, shape: tuple, like: Any) -> Any:
    counts = full(shape, 0, like.spec.dtype, like.spec.device)
    combine("add", counts, full((), 1, like.spec.dtype, like.spec.device), places)
    return counts


def renormalize(input: Any, weight: Any, max_norm: float, norm_type: float) -> None:
    """Scales the rows in use whose norm is too large, in place."""
    with no_grad():
        flat, table = input.reshape(-1), weight.detach()
        rows = table.index_select(0, flat)
        norms = (rows.abs().amax(1, keepdim=True) if norm_type == float("inf") else
                 rows.abs().pow(norm_type).sum(1, keepdim=True).pow(1 / norm_type))
        factor = FUNCTIONS["where"](norms > max_norm, max_norm / (norms + 1e-7), norms.new_ones(()))
        if flat.spec.numel:
            table.index_copy_(0, flat, rows * factor)


@operator("embedding", method=False)
def _embedding(weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False,
               sparse: bool = False) -> Any:
    """The rows of ``weight`` that ``indices`` name; the row ``padding_idx``, if not negative, gets no gradient."""
    return embedding(indices, weight, padding_idx if padding_idx >= 0 else None, scale_grad_by_freq=scale_grad_by_freq,
                     sparse=sparse)


@operator("embedding_renorm_", method=False)
def embedding_renorm_(input: Any, indices: Any, max_norm: float, norm_type: float) -> Any:
    """The rows of ``input`` that ``indices`` name scaled, in place, to norms of ``max_norm`` where they are larger."""
    renormalize(indices, input, max_norm, norm_type)
    return input


def one_hot(input: Any, num_classes: int = -1) -> Any:
    """int64 vectors (*, num_classes) with a 1 at the class that each integer of ``input`` (*) names.

    Without ``num_classes`` there are as many as the largest class asks for.
    """
    own, num_classes = input.spec, op.index(num_classes)
    if own.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not own.numel:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return full((*own.shape, num_classes), 0, dtypes.int64, own.device)
    values = known_values(input) if own.numel <= FEW else None
    low, high = (FUNCTIONS["stack"](FUNCTIONS["aminmax"](input)).tolist() if values is None else
                 (int(values.min()), int(values.max())))
    if low < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = high + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif high >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    result = full((*own.shape, num_classes), 0, dtypes.int64, own.device)
    places = Places("one_hot", own.shape, range(own.ndim), (own.ndim,), (input,), unique=True)
    combine("put", result, full((), 1, dtypes.int64, own.device), places)
    return result
