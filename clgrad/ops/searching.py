"""Looking up in sorted sequences, distinct elements, histograms."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import TensorBase
from clgrad.autograd.refused import no_derivative, no_formula, refuse_gradient
from clgrad.kernels import search as kernels
from clgrad.ops.copying import empty
from clgrad.ops.execute import check_device, execute
from clgrad.ops.masks import Marked
from clgrad.ops.node_names import node_name
from clgrad.ops.output import named_result, store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.sorting import sorted_pairs
from clgrad.shapes import normalize_dim

HISTOGRAM, HISTOGRAMDD = named_result("histogram", "hist bin_edges"), named_result("histogramdd", "hist bin_edges")
_plans: dict[tuple, kernels.Plan] = {}


def _search(sequence: Any, values: Any, right: bool, out_int32: bool) -> Any:
    """Places of values in sequences of the same dtype; a vector serves all rows."""
    device = check_device("searchsorted", sequence, values)
    sequence, values = sequence.detach().contiguous(), values.detach().contiguous()
    kind = dtypes.int32 if out_int32 else dtypes.int64
    made = empty(values.spec.shape, kind, values.spec.device)
    if not values.spec.numel:
        return made
    n, m = sequence.spec.shape[-1], (values.spec.shape or (1,))[-1]
    shared = sequence.spec.ndim == 1
    rows = prod(values.spec.shape) // m
    key = (device, sequence.spec.dtype, kind, rows, n, m, shared, right)
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = kernels.plan(device, sequence.spec.dtype, kind, rows, n, m, shared, right)
    execute(plan, (sequence, values), (made,))
    return made


@operator("searchsorted", method=False)
def searchsorted(sorted_sequence: Any, input: Any = None, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None, sorter: Any = None, out: Any = None, self: Any = None) -> Any:
    """Where values would have to be put into sequences sorted along their last dimension: before equal elements, or
    behind them with ``right`` (``side="right"``). ``sorter`` sorts the sequence.

    >>> import clgrad
    >>> clgrad.searchsorted(clgrad.tensor([1, 3, 5]), clgrad.tensor([3, 6]))
    tensor([1, 3])
    """
    values: Any = input if input is not None else self
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right "
                           "was True")
    own = sorted_sequence.spec
    if not own.ndim:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should have positive dimension")
    if not isinstance(values, TensorBase):
        if own.ndim != 1:
            raise RuntimeError("torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension "
                               f"is 1, but we got boundaries tensor dim({own.ndim})")
        values = FUNCTIONS["tensor"](values, device=sorted_sequence.device)
    kind = dtypes.promote_types(own.dtype, values.spec.dtype) if values.spec.ndim else dtypes.result_type(
        [own.dtype], [values.spec.dtype])
    if kind is dtypes.bool:
        raise NotImplementedError("\"searchsorted_out_cpu\" not implemented for 'Bool'")
    sorted_sequence, values = sorted_sequence.detach().to(kind), values.detach().to(kind)
    if own.ndim > 1 and own.shape[:-1] != values.spec.shape[:-1]:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                           f"boundaries tensor and input value tensor must match, but we got boundaries tensor "
                           f"{list(own.shape)} and input value tensor {list(values.spec.shape)}")
    if sorter is not None:
        if sorter.spec.shape != own.shape:
            raise RuntimeError("torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                               f"{list(own.shape)} and got sorter tensor {list(sorter.spec.shape)}")
        if sorter.spec.dtype is not dtypes.int64:
            raise RuntimeError("torch.searchsorted(): sorter must be a tensor of long dtype but got dtype "
                               f"{sorter.spec.dtype.name}")
        sorted_sequence = FUNCTIONS["gather"](sorted_sequence.detach(), -1, sorter)
    return store("searchsorted", _search(sorted_sequence, values, right or side == "right", out_int32), out,
                 exact=True)


@operator("bucketize")
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None) -> Any:
    """For each value the number of the bucket between sorted ``boundaries`` in which it lies."""
    if boundaries.spec.ndim != 1:
        raise RuntimeError("boundaries tensor must be 1 dimension, but got dim("
                           f"{boundaries.spec.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


# Distinct elements.

def _begins(rows: Any) -> Any:
    """For each of neighbouring rows (a matrix, or a vector of elements) whether it begins a run of equal ones."""
    differs = rows[1:].ne(rows[:-1])
    if rows.spec.ndim > 1:
        differs = differs.any(1)
    return FUNCTIONS["cat"]([differs.new_ones((1,)), differs])


def _ordered(rows: Any) -> Any:
    """The places of a matrix's rows in lexicographic order; the last column is sorted first, stably."""
    order = FUNCTIONS["arange"](rows.spec.shape[0], device=rows.device)
    for column in reversed(range(rows.spec.shape[1])):
        order = order[sorted_pairs(rows[:, column][order])[1]]
    return order


def _distinct(input: Any, dim: int | None, sort: bool, inverse: bool, counts: bool) -> Any:
    x = input.detach()
    if dim is None:
        rows = x.reshape(-1)
    else:
        axis = normalize_dim(dim, x.spec.ndim)
        moved = x.movedim(axis, 0) if x.spec.ndim else x.reshape(1)
        rows = moved.reshape(moved.spec.shape[0], -1) if moved.spec.numel else moved
    n = rows.spec.shape[0]
    if not n or not rows.spec.numel:
        none = x.new_zeros(x.spec.shape if dim is None else (0,), dtype=dtypes.int64)
        found: tuple = (x.new_empty((0,)) if dim is None else x, none, x.new_zeros((0,), dtype=dtypes.int64))
    else:
        order = None
        if sort and rows.spec.ndim == 1:
            rows, order = sorted_pairs(rows)
        elif sort:
            order = _ordered(rows)
            rows = rows[order]
        begins = _begins(rows)
        marked = Marked(begins)
        first = marked.flat()
        values = marked.values(rows) if rows.spec.ndim == 1 else rows[first]
        numbers = lengths = None
        if counts:
            lengths = FUNCTIONS["diff"](first, append=first.new_full((1,), n))
        if inverse:
            numbers = begins.cumsum(0) - 1
            if order is not None:
                numbers = FUNCTIONS["scatter"](FUNCTIONS["zeros_like"](numbers), 0, order, numbers)
            numbers = numbers.reshape(x.spec.shape) if dim is None else numbers
        if dim is not None:
            values = values.reshape(marked.count, *moved.spec.shape[1:]).movedim(0, axis)
        found = (values, numbers, lengths)
    name = "unique_consecutive" if not sort else "_unique2" if dim is None else "unique_dim"
    refuse_gradient(found[0], [input], no_formula(name), node_name(name))
    if not inverse and not counts:
        return found[0]
    return (found[0], *([found[1]] if inverse else []), *([found[2]] if counts else []))


@operator("unique")
def unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
           dim: int | None = None) -> Any:
    """The distinct elements (slices along ``dim``), in order; with the number of each element's, and how often each
    occurs, where that is asked for.

    >>> import clgrad
    >>> clgrad.tensor([3, 1, 3]).unique(return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _distinct(input, dim, True, return_inverse, return_counts)


@operator("unique_consecutive")
def unique_consecutive(input: Any, return_inverse: bool = False, return_counts: bool = False,
                       dim: int | None = None) -> Any:
    """:func:`unique` of neighbours: one element (slice along ``dim``) of each run of equal ones."""
    return _distinct(input, dim, False, return_inverse, return_counts)


# Histograms.

def _limits(name: str, x: Any, low: float, high: float, margin: float) -> tuple[float, float]:
    """The interval that bins cover: the data's where none is given, widened where it is a point."""
    if low == high and x.spec.numel:
        low, high = (float(t.item()) for t in FUNCTIONS["aminmax"](x))
    if low == high:
        low, high = low - margin, high + margin
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise RuntimeError(f"{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min")
    return low, high


def _sums(bins: Any, count: int, weight: Any, kind: dtypes.dtype) -> Any:
    """Sums of weights (1 where None) over numbers of bins; a number outside of [0, count) is left out."""
    inside = bins.ge(0).logical_and(bins.lt(count))
    one = inside.to(kind)
    parts = one if weight is None else FUNCTIONS["where"](inside, weight.to(kind), 0.0)
    total = bins.new_zeros((count,), dtype=kind)
    return total.index_add_(0, FUNCTIONS["where"](inside, bins, 0), parts)


@operator("histc")
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None) -> Any:
    """How many elements lie in each of ``bins`` equal parts of [min, max] (the data's range where both are equal)."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    if not input.spec.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{dtypes.type_name(input.spec.dtype)}'")
    for name, limit in (("min", min), ("max", max)):
        if limit is None:
            raise TypeError(f"histc(): argument '{name}' must be Number, not NoneType")
    with no_grad():
        x = input.detach().reshape(-1)
        low, high = _limits("histc", x, min, max, 1.0)
        return store("histc", _sums(_even_bins(x, bins, low, high), bins, None, x.spec.dtype), out, exact=True)


def _even_bins(x: Any, bins: int, low: float, high: float) -> Any:
    places = ((x - low) * bins / (high - low)).nan_to_num(-1.0).floor().clamp(max=bins - 1).to(dtypes.int64)
    return FUNCTIONS["where"](x.ge(low).logical_and(x.le(high)), places, -1)


def _edges(x: Any, bins: Any, interval: Any) -> Any:
    """The edges of the bins of one coordinate."""
    if isinstance(bins, TensorBase):
        return bins
    if interval is None:
        interval = _limits("histogram", x, 0.0, 0.0, 0.5) if x.spec.numel else (0.0, 1.0)
    low, high = interval
    if not (abs(low) < float("inf") and abs(high) < float("inf")) or low > high:
        raise RuntimeError(f"torch.histogram(): range [{low}, {high}] is not finite, or its min exceeds its max")
    if low == high:
        low, high = low - 0.5, high + 0.5
    count = int(bins)
    if count <= 0:
        raise RuntimeError(f"histogram(): bins must be > 0, but got {count}")
    places, step = FUNCTIONS["arange"](count + 1, dtype=x.spec.dtype, device=x.device), (high - low) / count
    return FUNCTIONS["where"](places < (count + 1) // 2, places * step + low, high - (count - places) * step)


def _places(x: Any, edges: Any) -> Any:
    """The bin of each coordinate, -1 outside; the last bin is closed."""
    bins = _search(edges, x, True, False) - 1
    last = edges.spec.shape[0] - 1
    bins = FUNCTIONS["where"](x.eq(edges[-1]), last - 1, bins)
    return FUNCTIONS["where"](bins.lt(last).logical_and(x.le(edges[-1])), bins, -1)


def _check_histogram(name: str, x: Any, bins: list, weight: Any, interval: Any) -> None:
    if not x.spec.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.type_name(x.spec.dtype)}'")
    for d, edges in enumerate(bins):
        if not isinstance(edges, TensorBase):
            continue
        if edges.spec.dtype is not x.spec.dtype:
            raise RuntimeError(f"torch.{name}(): input tensor and bins tensors should have the same dtype, but got input "
                               f"with dtype {x.spec.dtype.name} and bins for dimension {d} with dtype "
                               f"{edges.spec.dtype.name}")
        if edges.spec.ndim != 1 or not edges.spec.numel:
            raise RuntimeError(f"torch.{name}(): bins tensor should have one dimension and at least 1 element, but got "
                               f"shape {list(edges.spec.shape)} for dimension {d}")
        if edges.spec.numel < 2:
            raise RuntimeError(f"torch.{name}(): bins must be > 0, but got 0 for dimension {d}: one edge bounds no bin")
    if weight is not None and weight.spec.dtype is not x.spec.dtype:
        raise RuntimeError(f"torch.{name}(): if weight tensor is provided, input tensor and weight tensor should have the "
                           f"same dtype, but got input with dtype {x.spec.dtype.name} and weight with dtype "
                           f"{weight.spec.dtype.name}")
    if weight is not None and weight.spec.numel != x.spec.shape[0]:
        raise RuntimeError(f"torch.{name}(): if weight tensor is provided it should have the same shape as the input tensor "
                           f"excluding its innermost dimension, but got weight with shape {list(weight.spec.shape)}")
    if interval is not None and len(interval) != 2 * len(bins):
        raise RuntimeError(f"torch.{name}(): range should have {2 * len(bins)} elements, but got {len(interval)}")


def _dense(name: str, x: Any, bins: list, weight: Any, density: bool, interval: Any) -> tuple[Any, list]:
    """The histogram of the rows of a matrix, and the edges of each column's bins."""
    _check_histogram(name, x, bins, weight, interval)
    x = x.detach()
    ends = None if interval is None else [tuple(interval[2 * d:2 * d + 2]) for d in range(len(bins))]
    edges = [_edges(x[:, d], b, None if ends is None else ends[d]) for d, b in enumerate(bins)]
    sizes = [e.spec.shape[0] - 1 for e in edges]
    flat, outside = x.new_zeros((x.spec.shape[0],), dtype=dtypes.int64), None
    for d, size in enumerate(sizes):
        place = _places(x[:, d].contiguous(), edges[d])
        flat = flat * size + place
        out = place.lt(0)
        outside = out if outside is None else outside.logical_or(out)
    flat = FUNCTIONS["where"](outside, -1, flat)
    found = _sums(flat, prod(sizes), None if weight is None else weight.detach().reshape(-1), x.spec.dtype)
    found = found.reshape(sizes)
    if density:
        found = found / found.sum()
        for d, e in enumerate(edges):
            found = found / (e[1:] - e[:-1]).view([-1 if a == d else 1 for a in range(len(sizes))])
    return found.detach(), edges


@operator("histogram")
def histogram(input: Any, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False,
              out: Any = None) -> Any:
    """How many elements (or what ``weight``) lie in each bin, and the bins' edges.

    ``bins`` is a number of equal bins over ``range`` (the data's where None), or the edges. ``density`` divides by the
    total and the widths.
    """
    if range is not None and isinstance(bins, TensorBase):
        raise TypeError("histogram(): 'range' says where equal bins lie, and 'bins' gives their edges: expected one of them")
    found, edges = _dense("histogram", input.reshape(-1, 1), [bins], weight, density, range)
    given = [t for t in (input, bins, weight) if isinstance(t, TensorBase)]
    result = refuse_gradient(HISTOGRAM(found, edges[0].detach().clone()), given, no_derivative("histogram"))
    return store("histogram", result, out, exact=True)


@operator("histogramdd")
def histogramdd(input: Any, bins: Any, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """:func:`histogram` of points: the last dimension holds coordinates; ``bins`` is a number, or one or edges for each."""
    if input.spec.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    columns = input.spec.shape[-1]
    each = [bins] * columns if isinstance(bins, int) else list(bins)
    if len(each) != columns:
        raise RuntimeError(f"histogramdd: The size of bins must be equal to the innermost dimension of the input, {columns}")
    if not columns:
        return HISTOGRAMDD(FUNCTIONS["zeros_like"](input).sum(), ())
    found, edges = _dense("histogramdd", input.reshape(-1, columns), each, weight, density, range)
    given = [t for t in (input, *each, weight) if isinstance(t, TensorBase)]
    return HISTOGRAMDD(refuse_gradient(found, given, no_derivative("_histogramdd_from_bin_cts")), tuple(edges))
