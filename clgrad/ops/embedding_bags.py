"""Bags of rows of a table: their sums, means and maxima."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import Saved, attach, needs_graph
from clgrad.errors import warn_once
from clgrad.kernels import embedding_bag as kernels
from clgrad.kernels.embedding_bag import Bags
from clgrad.ops.copying import empty, full, to_array
from clgrad.ops.embedding import looked_up, padding_row, renormalize, rows_at, with_sparse_gradient
from clgrad.ops.execute import check_device, execute
from clgrad.ops.places import Places, known_values, sums
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.scattering import reduced


def _outside_of_bags(index: int) -> Exception:
    return RuntimeError(f"embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be {index}")


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
    if weight.spec.dtype is dtypes.int64 and input.spec.dtype.is_floating_point:
        warn_once("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
                  "deprecated, and should now be `embedding_bag(input, weight, ...)`.")
        input, weight = weight, input
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
    flat, count = _checked(input, offsets, include_last_offset)
    rows = weight.spec.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise RuntimeError(f"padding_idx must be within the number of embeddings, {-rows} through {rows - 1}, but got "
                           f"{padding_idx}")
    padding_idx = padding_row(padding_idx, weight)
    places = rows_at("embedding_bag", flat, weight, _outside_of_bags)
    if max_norm is not None:
        renormalize(flat, weight, max_norm, norm_type)
    if sparse and mode == "max":
        raise ValueError("max mode does not support sparse weights")
    if (not sparse and mode != "max" and padding_idx is None and per_sample_weights is None and not scale_grad_by_freq
            and flat.spec.numel and count and weight.spec.dtype.is_floating_point):
        length = 0 if offsets is not None else input.spec.shape[1]
        return _launched(flat, weight, offsets, places, Bags(count, flat.spec.numel, length, include_last_offset,
                                                             mode == "mean"))
    bags = _numbers(flat, offsets, include_last_offset, count)
    rows = (with_sparse_gradient(flat, weight, places, padding_idx, scale_grad_by_freq) if sparse and needs_graph(weight)
            else looked_up(weight, places, padding_idx, scale_grad_by_freq))
    if padding_idx is not None:
        kept = flat.ne(padding_idx)
        rows, bags = rows[kept], bags[kept]
        per_sample_weights = per_sample_weights[kept] if per_sample_weights is not None else None
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
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
    flat, count = _checked(indices, offsets, include_last_offset)
    bags = _numbers(flat, offsets, include_last_offset, count)
    counted = full(flat.spec.shape, 1, dtypes.int64, flat.spec.device) if padding is None else flat.ne(padding).long()
    sizes = full((count,), 0, dtypes.int64, flat.spec.device).index_add_(0, bags, counted)
    return pooled, bags, sizes, offsets


def _checked(input: Any, offsets: Any, include_last_offset: bool) -> tuple[Any, int]:
    """The integers as a vector, and how many bags there are."""
    if input.spec.ndim == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed "
                             f"length sequences. However, found offsets of type {type(offsets)}")
        return input.reshape(-1), input.spec.shape[0]
    if input.spec.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.spec.ndim}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.spec.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    begins = known_values(offsets)
    if begins is None and offsets.spec.device.type == "cpu":  # elsewhere that would cost a synchronisation
        begins = to_array(offsets)
    if begins is not None and begins.size:
        first, last = int(begins[0]), int(begins[-1])
        if first:
            raise RuntimeError("offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
                               f"position 0. However, got {first}")
        if last > input.spec.numel:
            raise RuntimeError(f"offsets[-1] can not be greater than input's length {input.spec.numel} but got offsets[-1] "
                               f"of {last}")
    return input, offsets.spec.numel - int(include_last_offset)


def _numbers(flat: Any, offsets: Any, include_last_offset: bool, count: int) -> Any:
    """The bag of each index; without ``offsets`` all are of one length."""
    size, place = flat.spec.numel, flat.spec.device
    if offsets is None:
        bags = FUNCTIONS["arange"](count, device=place).unsqueeze(1)
        return bags.expand(count, size // max(count, 1)).reshape(-1)
    # A bag's number is how many bags began so far, less one.
    starts = offsets[:-1] if include_last_offset else offsets
    begun = full((size + 1,), 0, dtypes.int64, place)
    if count:
        begun.index_add_(0, starts, full((count,), 1, dtypes.int64, place))
    return (begun.cumsum(0) - 1)[:size]


_plans: dict[tuple, Any] = {}


def _launched(flat: Any, weight: Any, offsets: Any, places: Places, bags: Bags) -> Any:
    """Sums or means of bags in which all rows count alike, by one launch."""
    table, indices = weight.detach().contiguous(), flat.contiguous()
    ends = indices if offsets is None else offsets.contiguous()
    device = check_device("embedding_bag", table, indices, ends)
    (rows, width), kind = table.spec.shape, table.spec.dtype
    key = (device, kind, indices.spec.dtype, ends.spec.dtype, rows, width, bags)
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = kernels.plan(*key, "embedding_bag(): an index is not the number of an embedding")
    out = empty((bags.number, width), kind, table.spec.device)
    execute(plan, (table, indices, ends), (out,))
    if needs_graph(weight):
        saved, kept = Saved("embedding_bag", [*places.indices, offsets]), places.without_indices()

        def backward(g: Any) -> Any:
            *indices, offsets = saved.unpack()
            numbers = _numbers(flat, offsets, bags.ended, bags.number)
            if bags.mean:
                sizes = full((bags.number,), 0, kind.compute, g.spec.device).index_add_(0, numbers, g.new_ones(
                    (bags.total,), dtype=kind.compute))
                g = g / sizes.clamp(min=1).unsqueeze(1)
            return sums(g.index_select(0, numbers), kept.over(tuple(indices)), weight.spec.shape, "EmbeddingBag")
        attach(out, "EmbeddingBag", (weight,), backward, saved)
    return out


def _pooled(rows: Any, bags: Any, count: int, mode: str) -> Any:
    shape = (count, rows.spec.shape[1])
    zeros = full(shape, 0, rows.spec.dtype, rows.spec.device)
    if not rows.spec.numel:
        return zeros + rows.sum(0)
    places = Places.slices("embedding_bag", zeros, 0, bags)
    if mode == "max":
        return reduced("EmbeddingBag", zeros, rows, places, "amax", False, in_place=False)
    return reduced("EmbeddingBag", zeros, rows, places, mode, mode == "sum", in_place=False)


