"""Tables of vectors: rows by number, sums of bags of rows, and one-hot vectors."""

from __future__ import annotations

import operator as op
from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import Saved, attach, ends_in, needs_graph, wrap
from clgrad.ops.copying import full
from clgrad.ops.places import FEW, Places, check_range, combine, known_values, read, spread, sums
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.scattering import reduced
from clgrad.spec import Spec

# By the specs of calls that passed all checks: the rows without their indices, and the spec that spreads these.
_known_rows: dict[tuple, tuple[Places, Spec]] = {}
_KNOWN_MOST = 1024


def _outside(index: int) -> Exception:
    return IndexError("index out of range in self")


def _outside_of_bags(index: int) -> Exception:
    return RuntimeError(f"embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be {index}")


def _rows_at(name: str, input: Any, weight: Any, outside: Callable[[int], Exception] = _outside) -> Places:
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
        known = (Places(name, shape, (None,) * own.ndim + (1,), (0,), ()), spread(input, own.shape, 0, 1, shape).spec)
        _known_rows[key] = known
    rows, wide = known
    check_range(input, weight.spec.shape[0], outside)
    return rows.over((wrap(input.memory, input.offset, wide),))


def embedding(input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Any:
    """The rows of ``weight`` (number, width) that the integers of ``input`` (*) name, as (*, width).

    Args:
        padding_idx: the row that gets no gradient.
        max_norm: rows used with a larger norm (of order ``norm_type``) are scaled to it, in ``weight`` itself.
        scale_grad_by_freq: gradients are divided by how often their row stands in ``input``.
        sparse: accepted; the gradient is dense.

    Raises:
        IndexError: an integer is not a row's number; it may come when the result is read.
    """
    padding_idx = _padding(padding_idx, weight)
    places = _rows_at("embedding", input, weight)
    if max_norm is not None:
        _renormalize(input, weight, max_norm, norm_type)
    return _looked_up(weight, places, padding_idx, scale_grad_by_freq)


def _padding(padding_idx: int | None, weight: Any) -> int | None:
    if padding_idx is None:
        return None
    rows = weight.spec.shape[0]
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"Padding_idx must be within num_embeddings: got {padding_idx} for {rows} rows")
    return padding_idx % rows


def _looked_up(weight: Any, places: Places, padding_idx: int | None, by_frequency: bool) -> Any:
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


def _renormalize(input: Any, weight: Any, max_norm: float, norm_type: float) -> None:
    """Scales the rows in use whose norm is too large, in place."""
    with no_grad():
        flat, table = input.reshape(-1), weight.detach()
        rows = table.index_select(0, flat)
        norms = (rows.abs().amax(1, keepdim=True) if norm_type == float("inf") else
                 rows.abs().pow(norm_type).sum(1, keepdim=True).pow(1 / norm_type))
        factor = FUNCTIONS["where"](norms > max_norm, max_norm / (norms + 1e-7), norms.new_ones(()))
        if flat.spec.numel:
            weight.index_copy_(0, flat, rows * factor)


@operator("embedding", method=False)
def _embedding(weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False,
               sparse: bool = False) -> Any:
    """The rows of ``weight`` that ``indices`` name; the row ``padding_idx``, if not negative, gets no gradient."""
    return embedding(indices, weight, padding_idx if padding_idx >= 0 else None, scale_grad_by_freq=scale_grad_by_freq)


def embedding_bag(input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None, norm_type: float = 2,
                  scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Any = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Any:
    """Sums, means or maxima of bags of rows of ``weight``: (bags, width).

    Args:
        input: (bags, length); or a vector, whose bags begin at ``offsets``.
        mode: "sum", "mean" or "max". An empty bag is 0.
        per_sample_weights: a factor for each integer of ``input``; mode "sum" only.
        include_last_offset: the last of ``offsets`` is the end of the last bag.
        padding_idx: the row that does not count.
        max_norm, norm_type, scale_grad_by_freq, sparse: as in :func:`embedding`.
    """
    if weight.spec.dtype.is_floating_point and input.spec.dtype.is_floating_point and (
            not weight.spec.ndim == 2 or input.spec.ndim == 2):
        raise ValueError("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, "
                         "...)` is deprecated, and should now be `embedding_bag(input, weight, ...)`.")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError("embedding_bag: per_sample_weights was not None. per_sample_weights is only supported"
                                      f" for mode='sum' (got mode='{mode}')")
        if per_sample_weights.spec.shape != input.spec.shape:
            raise ValueError(f"embedding_bag: If per_sample_weights ({per_sample_weights.spec.size}) is not None, "
                             f"then it must have the same shape as the input ({input.spec.size})")
        per_sample_weights = per_sample_weights.reshape(-1)
        if per_sample_weights.spec.dtype is not weight.spec.dtype:
            raise RuntimeError("Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 "
                               f"'per_sample_weights'; but type torch.{dtypes.type_name(weight.spec.dtype)}Tensor does not "
                               f"equal torch.{dtypes.type_name(per_sample_weights.spec.dtype)}Tensor (while checking "
                               "arguments for embedding_bag)")
    uniform = input.spec.ndim == 2 and offsets is None and input.spec.numel and padding_idx is None and mode != "max"
    listed: tuple[Any, Any, int] = (input.reshape(-1), None, 0) if uniform else _bags(input, offsets, include_last_offset)
    flat, bags, count = listed
    rows = weight.spec.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise RuntimeError(f"padding_idx must be within the number of embeddings, {-rows} through {rows - 1}, but got "
                           f"{padding_idx}")
    padding_idx = _padding(padding_idx, weight)
    places = _rows_at("embedding_bag", flat, weight, _outside_of_bags)
    if max_norm is not None:
        _renormalize(flat, weight, max_norm, norm_type)
    rows = _looked_up(weight, places, padding_idx, scale_grad_by_freq)
    if padding_idx is not None:
        kept = flat.ne(padding_idx)
        rows, bags = rows[kept], bags[kept]
        per_sample_weights = per_sample_weights[kept] if per_sample_weights is not None else None
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    if uniform:  # bags of one length, of which all rows count
        apart = rows.view(*input.spec.shape, rows.spec.shape[1])
        return ends_in(apart.sum(1) if mode == "sum" else apart.mean(1), "EmbeddingBag")
    return _pooled(rows, bags, count, mode)


_BAG_MODES = ("sum", "mean", "max")


@operator("embedding_bag", "_embedding_bag", method=False)
def _embedding_bag(weight: Any, indices: Any, offsets: Any, scale_grad_by_freq: bool = False, mode: int = 0,
                   sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
                   padding_idx: int | None = None) -> tuple:
    """(:func:`nn.functional.embedding_bag`, the bag of each index, the sizes of bags, the offsets).

    ``mode``: 0 "sum", 1 "mean", 2 "max"; ``padding_idx``, if not negative, is the row that does not count.
    """
    if mode not in range(len(_BAG_MODES)):
        raise RuntimeError(f"embedding_bag(): mode has to be 0 (sum), 1 (mean) or 2 (max), got {mode}")
    padding = padding_idx if padding_idx is not None and padding_idx >= 0 else None
    pooled = embedding_bag(indices, weight, offsets, None, 2, scale_grad_by_freq, _BAG_MODES[mode], sparse,
                           per_sample_weights, include_last_offset, padding)
    flat, bags, count = _bags(indices, offsets, include_last_offset)
    counted = full(flat.spec.shape, 1, dtypes.int64, flat.spec.device) if padding is None else flat.ne(padding).long()
    sizes = full((count,), 0, dtypes.int64, flat.spec.device).index_add_(0, bags, counted)
    return pooled, bags, sizes, offsets


@operator("embedding_renorm_", method=False)
def embedding_renorm_(input: Any, indices: Any, max_norm: float, norm_type: float) -> Any:
    """The rows of ``input`` that ``indices`` name scaled, in place, to norms of ``max_norm`` where they are larger."""
    _renormalize(indices, input, max_norm, norm_type)
    return input


def _bags(input: Any, offsets: Any, include_last_offset: bool) -> tuple[Any, Any, int]:
    """The integers as a vector, the bag of each, and how many bags there are."""
    arange = FUNCTIONS["arange"]
    if input.spec.ndim == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed "
                             f"length sequences. However, found offsets of type {type(offsets)}")
        count, length = input.spec.shape
        bags = arange(count, device=input.spec.device).unsqueeze(1).expand(count, length)
        return input.reshape(-1), bags.reshape(-1), count
    if input.spec.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.spec.ndim}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.spec.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    begins = known_values(offsets)
    if begins is not None and begins.size:
        first, last = int(begins[0]), int(begins[-1])
        if first:
            raise RuntimeError("offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
                               f"position 0. However, got {first}")
        if last > input.spec.numel:
            raise RuntimeError(f"offsets[-1] can not be greater than input's length {input.spec.numel} but got offsets[-1] "
                               f"of {last}")
    starts = offsets[:-1] if include_last_offset else offsets
    count = starts.spec.numel
    # A bag's number is how many bags began so far, less one.
    size = input.spec.numel
    begun = full((size + 1,), 0, dtypes.int64, input.spec.device)
    if count:
        begun.index_add_(0, starts, full((count,), 1, dtypes.int64, input.spec.device))
    return input, (begun.cumsum(0) - 1)[:size], count


def _pooled(rows: Any, bags: Any, count: int, mode: str) -> Any:
    shape = (count, rows.spec.shape[1])
    zeros = full(shape, 0, rows.spec.dtype, rows.spec.device)
    if not rows.spec.numel:
        return zeros + rows.sum(0)
    places = Places.slices("embedding_bag", zeros, 0, bags)
    if mode == "max":
        return reduced("EmbeddingBag", zeros, rows, places, "amax", False, in_place=False)
    return reduced("EmbeddingBag", zeros, rows, places, mode, mode == "sum", in_place=False)


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
