"""Operators below the public ones, which programs reach by PyTorch's lower-level names."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.formats import contiguous_format
from clgrad.ops.copying import cast, full
from clgrad.ops.grid_sampling import grid_sampler
from clgrad.ops.joining import cat, stack
from clgrad.ops.linalg import addmm, mm
from clgrad.ops.loss import log_softmax, softmax
from clgrad.ops.norms import matrix_norm, vector_norm
from clgrad.ops.output import store
from clgrad.ops.places import Places
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.scattering import reduced
from clgrad.shapes import normalize_dim


@operator("grid_sampler_2d", "grid_sampler_3d", method=False)
def grid_sampler_of_rank(input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    """:func:`grid_sampler` of images, or of volumes."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


# Norms.

@operator("frobenius_norm", method=False)
def frobenius_norm(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """The root of the sum of squares over dimensions, all by default."""
    return store("frobenius_norm", vector_norm(input, 2, dim, keepdim), out)


@operator("nuclear_norm", method=False)
def nuclear_norm(input: Any, dim: Any = (-2, -1), keepdim: bool = False, *, out: Any = None) -> Any:
    """The sum of singular values of matrices."""
    return store("nuclear_norm", matrix_norm(input, "nuc", dim, keepdim), out)


@operator("norm_except_dim", method=False)
def norm_except_dim(v: Any, pow: int = 2, dim: int = 0) -> Any:
    """The norm over all dimensions but one, which keep size 1; ``dim=-1``: over all."""
    if dim == -1:
        return vector_norm(v, pow)
    rest = [d for d in range(v.spec.ndim) if d != normalize_dim(dim, v.spec.ndim)]
    return vector_norm(v, pow, rest, True) if rest else v.abs()


@operator("_weight_norm", method=False)
def weight_norm(v: Any, g: Any, dim: int = 0) -> Any:
    """``v`` scaled so that its norm except along ``dim`` is ``g``."""
    return v * (g / norm_except_dim(v, 2, dim))


# Softmax.

@operator("_softmax", method=False)
def half_softmax(input: Any, dim: int, half_to_float: bool) -> Any:
    """:func:`softmax`, of float16 in float32 with ``half_to_float``."""
    return softmax(input, dim, dtypes.float32 if half_to_float else None)


@operator("_log_softmax", method=False)
def half_log_softmax(input: Any, dim: int, half_to_float: bool) -> Any:
    """:func:`log_softmax`, of float16 in float32 with ``half_to_float``."""
    return log_softmax(input, dim, dtypes.float32 if half_to_float else None)


@operator("_safe_softmax", method=False)
def safe_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """:func:`softmax`, 0 where everything is -inf."""
    lost = input.eq(float("-inf")).all(dim, keepdim=True)
    return softmax(input.masked_fill(lost, 0.0), dim, dtype).masked_fill(lost, 0.0)


@operator("_softmax_backward_data", method=False)
def softmax_backward_data(grad_output: Any, output: Any, dim: int, input_dtype: Any) -> Any:
    """The gradient of :func:`softmax` from that of its result ``output``."""
    weighted = grad_output * output
    return cast(weighted - output * weighted.sum(dim, keepdim=True), input_dtype)


@operator("_log_softmax_backward_data", method=False)
def log_softmax_backward_data(grad_output: Any, output: Any, dim: int, input_dtype: Any) -> Any:
    """The gradient of :func:`log_softmax` from that of its result ``output``."""
    return cast(grad_output - output.exp() * grad_output.sum(dim, keepdim=True), input_dtype)


@operator("native_dropout_backward", method=False)
def native_dropout_backward(grad_output: Any, mask: Any, scale: float) -> Any:
    """The gradient of :func:`native_dropout`."""
    return grad_output * (cast(mask, grad_output.spec.dtype) * scale)


# Products.

@operator("_int_mm", method=False)
def int_mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two int8 matrices, in int32."""
    for matrix in (input, mat2):
        if matrix.spec.dtype is not dtypes.int8:
            raise RuntimeError(f"_int_mm: expected matrices of int8, got {matrix.spec.dtype.name}")
    return store("_int_mm", mm(cast(input, dtypes.int32), cast(mat2, dtypes.int32)), out)


@operator("_addmm_activation", method=False)
def addmm_activation(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, use_gelu: bool = False,
                     out: Any = None) -> Any:
    """relu, or gelu, of :func:`addmm`."""
    made = addmm(input, mat1, mat2, beta=beta, alpha=alpha)
    return store("_addmm_activation", FUNCTIONS["_gelu"](made) if use_gelu else made.relu(), out)


# Facts and pieces of tensors.

@operator("_shape_as_tensor", method=False)
def shape_as_tensor(input: Any) -> Any:
    """The sizes, as int64."""
    return FUNCTIONS["tensor"](list(input.spec.shape), dtype=dtypes.int64)


@operator("_dim_arange", method=False)
def dim_arange(like: Any, dim: int) -> Any:
    """The places along a dimension."""
    return FUNCTIONS["arange"](like.spec.shape[normalize_dim(dim, like.spec.ndim)], device=like.spec.device)


@operator("_convert_indices_from_coo_to_csr", method=False)
def compressed_rows(input: Any, size: int, *, out_int32: bool = False, out: Any = None) -> Any:
    """Where each of ``size`` rows begins among the elements whose rows ``input`` tells in order, and the last row ends."""
    if input.spec.ndim != 1:
        raise RuntimeError(f"Input is supposed to be a vector, but got {input.spec.ndim} dimensional tensor.")
    rows = FUNCTIONS["arange"](size + 1, dtype=input.spec.dtype, device=input.spec.device)
    return FUNCTIONS["searchsorted"](input, rows, out_int32=out_int32, out=out)


@operator("_is_all_true")
def is_all_true(input: Any) -> Any:
    """Whether all elements hold, as a 0-d tensor."""
    return input.all()


@operator("_is_any_true")
def is_any_true(input: Any) -> Any:
    """Whether any element holds, as a 0-d tensor."""
    return input.any()


@operator("_stack", method=False)
def lower_stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """:func:`stack`."""
    return stack(tensors, dim, out=out)


@operator("_chunk_cat", method=False)
def chunk_cat(tensors: Any, dim: int, num_chunks: int, *, out: Any = None) -> Any:
    """Tensors, each padded with zeros and cut into ``num_chunks`` along ``dim``: their chunks side by side, flattened."""
    if not tensors:
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if num_chunks < 1:
        raise RuntimeError(f"_chunk_cat expects positive num_chunks, got: {num_chunks}")
    first, rows = tensors[0].spec, []
    for t in tensors:
        if not t.spec.numel:
            raise RuntimeError("_chunk_cat expects non-empty tensor")
        if dim < 0 and t.spec.ndim != first.ndim:
            raise RuntimeError("_chunk_cat expects non-negative dim when input tensors have different ndims")
        if dim >= t.spec.ndim:
            raise RuntimeError(f"_chunk_cat expects dim < ndim for all input tensors, got: {dim} and {t.spec.ndim}")
        axis = normalize_dim(dim, t.spec.ndim)
        if t.spec.shape[:axis] != first.shape[:axis]:
            raise RuntimeError("_chunk_cat expects same sizes of 0,...,dim-1 dimensions for all tensors")
        short = -t.spec.shape[axis] % num_chunks
        wide = cat([t, t.new_zeros([short if a == axis else s for a, s in enumerate(t.spec.shape)])], axis)
        rows.append(wide.reshape(*t.spec.shape[:axis], num_chunks, -1))
    return cat(rows, -1, out=out)


@operator("slice_copy", method=False)
def slice_copy(input: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1, *,
               out: Any = None) -> Any:
    """A copy of every ``step``-th slice from ``start`` to ``end`` along a dimension."""
    axis = normalize_dim(dim, input.spec.ndim)
    found = input[(slice(None),) * axis + (slice(start, end, step),)]
    return store("slice_copy", found.clone(memory_format=contiguous_format), out, exact=True)


# Masked indexing, whose indices may be out of range where the mask does not hold.

def _within(x: Any, mask: Any, indices: Any) -> tuple:
    return tuple([slice(None) if index is None else FUNCTIONS["where"](mask, index, 0).clamp(0, size - 1)
                  for index, size in zip(indices, x.spec.shape, strict=False)])


@operator("_unsafe_index", method=False)
def unsafe_index(input: Any, indices: Any) -> Any:
    """``input[indices]``."""
    return input[tuple([slice(None) if index is None else index for index in indices])]


@operator("_unsafe_masked_index", method=False)
def unsafe_masked_index(input: Any, mask: Any, indices: Any, fill: Any) -> Any:
    """``input[indices]`` where the mask holds, elsewhere ``fill``."""
    return input[_within(input, mask, indices)].masked_fill(mask.logical_not(), fill)


@operator("_unsafe_masked_index_put_accumulate", method=False)
def unsafe_masked_index_put_accumulate(input: Any, mask: Any, indices: Any, values: Any) -> Any:
    """``input`` with ``values`` added at the indices where the mask holds."""
    return input.index_put(_within(input, mask, indices), values.masked_fill(mask.logical_not(), 0), accumulate=True)


# Segments.

# What PyTorch's names ask of :func:`reduced`. A mean is the sum of a run over its length.
_SEGMENTS = {"sum": "sum", "mean": "sum", "prod": "prod", "max": "amax", "amax": "amax", "min": "amin", "amin": "amin"}


@operator("segment_reduce", method=False)
def segment_reduce(data: Any, reduce: str, *, lengths: Any = None, indices: Any = None, offsets: Any = None, axis: int = 0,
                   unsafe: bool = False, initial: Any = None) -> Any:
    """Sums, means, largest, smallest or products of runs of ``data`` along a dimension.

    Args:
        reduce: "sum", "mean", "prod", "amax" or "max", "amin" or "min".
        lengths: how many elements each run has; or ``offsets``: where each begins, and the last ends. Dimensions before
            ``axis`` have runs of their own.
        indices: not supported, as in PyTorch.
        unsafe: whether it is left unchecked that lengths are not negative and that their sums are the dimension's size.
        initial: what a run begins with; 0, 1 or an infinity by default, and the mean of nothing is NaN.
    """
    if reduce not in _SEGMENTS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if (lengths is None) == (offsets is None):
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be given, and not both")
    lengths = offsets.diff() if lengths is None else lengths
    if lengths.spec.ndim != axis + 1:
        raise RuntimeError(f"segment_reduce(): expected lengths of {axis + 1} dimensions for axis {axis}, got "
                           f"{lengths.spec.ndim}")
    if not unsafe:
        _check_lengths(lengths, data.spec.shape[axis])
    lead, runs, size = lengths.spec.shape[:-1], lengths.spec.shape[-1], data.spec.shape[axis]
    # The run that an element belongs to: how many runs end before it.
    ends, places = lengths.cumsum(-1), FUNCTIONS["arange"](size, device=data.spec.device)
    belongs = ends.unsqueeze(-2).le(places.unsqueeze(-1)).sum(-1)
    rest = data.spec.shape[axis + 1:]
    index = belongs.view(*lead, size, *[1] * len(rest)).expand(data.spec.shape)
    # One run more takes what no run holds.
    kind = _SEGMENTS[reduce]
    whole = full((*lead, runs + 1, *rest), _initial(kind, initial), data.spec.dtype, data.spec.device)
    runs_of = Places.along("segment_reduce", axis, index)
    made = reduced("SegmentReduce", whole, data, runs_of, kind, True, in_place=False).narrow(axis, 0, runs)
    if reduce != "mean":
        return made.contiguous()
    counts = cast(lengths, data.spec.dtype).view(*lead, runs, *[1] * len(rest))
    means = made / counts
    return means if initial is None else FUNCTIONS["where"](counts.eq(0), float(initial), means)


def _check_lengths(lengths: Any, size: int) -> None:
    if bool((lengths < 0).any()):
        raise RuntimeError("segment_reduce(): lengths contains negative value!")
    if bool(lengths.sum(-1).ne(size).any()):
        raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum to "
                           f"data.size({lengths.ndim - 1}) when !unsafe, which is {size}")


def _initial(kind: str, initial: Any) -> float:
    if initial is not None:
        return float(initial.item() if isinstance(initial, TensorBase) else initial)
    return {"amax": float("-inf"), "amin": float("inf"), "prod": 1.0}.get(kind, 0.0)


FUNCTIONS["_segment_reduce"] = segment_reduce
