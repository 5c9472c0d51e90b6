"""The public functions with the kinds of their arguments, by the arguments' names or in a row of the function's own."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from clgrad.ops.registry import FUNCTIONS, REGISTRY
from tests.reliability.arguments import (
    FLOATS,
    INTEGERS,
    Draw,
    Kind,
    Known,
    Values,
    beside,
    dim,
    dims,
    dtype_name,
    either,
    first_tensor,
    flag,
    index_for,
    number,
    one,
    operand,
    optional,
    ordinary,
    same,
    shape,
    size,
    small,
    tensor,
    tensors,
    with_shape,
)

any_tensor = first_tensor()
vector = first_tensor(1, 1)
_matrices = with_shape("b i i", FLOATS[:2])


def square(draw: Draw, known: Known) -> Values:
    """Square matrices without infinities and NaN: what LAPACK makes of those is its own business."""
    known["first"] = made = replace(_matrices(draw, known), content="normal")
    return made



window = one(1, 2, 3, 2, (1, 2), 4, 0)
step = one(1, 2, 1, (1, 2), 3, 0)

# What an argument of this name is, whatever the function.
BY_NAME: dict[str, Kind] = {
    "input": any_tensor, "self": any_tensor, "x": any_tensor, "tensor": any_tensor, "A": square, "L": square,
    "other": operand, "tensors": tensors, "dim": dim, "keepdim": flag, "dtype": optional(dtype_name, 30),
    "alpha": number, "beta": number, "value": number, "fill_value": number, "eps": one(1e-5, 1e-3, 0.0),
    "p": one(2, 1, 0, 3.0, float("inf"), -1, 0.5, "fro", "nuc"), "upper": flag, "some": flag, "n": small,
    "offset": one(0, 1, -1, 2, -3, 9, 1 << 40), "diagonal": one(0, 1, -1, 2, -3, 9, 1 << 40), "dim0": dim, "dim1": dim,
    "dim2": dim, "axis0": dim, "axis1": dim, "dims": dims, "source": dims, "destination": dims, "k": small,
    "min": optional(operand, 70), "max": optional(operand, 70), "index": index_for(same_rank=True), "mask": tensor(
        lambda draw, known: known["first"].shape, ("bool", "bool", "bool", "uint8", "int64")),
    "rounding_mode": one(None, "floor", "trunc", "ceil"), "n_": small, "chunks": small, "sections": small,
    "indices_or_sections": either(small, size), "split_size_or_sections": either(small, size), "split_size": small,
    "split_sizes": size, "descending": flag, "stable": flag, "largest": flag, "sorted": flag, "return_inverse": flag,
    "return_counts": flag, "rtol": one(1e-5, 0.1, 0.0), "atol": one(1e-8, 0.1, 0.0), "equal_nan": flag,
    "right": flag, "out_int32": flag, "side": one(None, "left", "right"), "start_dim": dim, "end_dim": dim,
    "size": shape, "sizes": shape, "shape": shape, "repeats": size, "shifts": either(one(0, 1, -2, 1 << 33), size),
    "start": one(0, 1, -1, 2, 9, -9), "length": small, "end": one(None, 3, -1, 1, 9), "step": one(1, 2, 3, 0, -1),
    "src": beside, "source_": beside, "accumulate": flag, "reduce": one("add", "multiply"), "include_self": flag,
    "unbiased": flag, "correction": one(1, 0, 2), "bins": one(5, 1, 100, 0, -1), "minlength": one(0, 3, 7, -1),
    "weights": optional(same, 40), "q": one(0.5, 0.0, 1.0, 0.3, 1.5, -0.1), "interpolation": one(
        "linear", "lower", "higher", "midpoint", "nearest", "other"),
    "nan": one(0.0, 2.0), "posinf": one(None, 1.0), "neginf": one(None, -1.0), "decimals": one(0, 1, -1, 3),
    "as_tuple": flag, "indexing": one("ij", "xy", "xx"), "normalized_shape": either(shape, one((3,), (2, 3))),
    "weight": optional(same, 40), "bias": optional(same, 30), "num_groups": small, "kernel_size": window, "stride": step,
    "padding": one(0, 1, (1, 0), 2, -1), "dilation": one(1, 2, 0), "ceil_mode": flag, "count_include_pad": flag,
    "divisor_override": one(None, 1, 3, 0), "output_size": either(one(1, 2, 3, 5, 0, None), size),
    "mode": one("constant", "reflect", "replicate", "circular"), "groups": one(1, 2, 3, 0),
    "pad": either(size, one((1, 1), (0, 2), (1, 2, 0, 1), (-1, 1), (1,), ())), "r": one(2, 1, 3, 0, -1),
    "with_replacement": flag, "prepend": optional(beside, 20), "append": optional(beside, 20), "y": same,
    "dx": number, "maxnorm": one(1.0, 0.5, 0, -1), "N": optional(small), "increasing": flag, "counts": size,
    "upscale_factor": small, "downscale_factor": small, "boundaries": vector, "invert": flag, "assume_unique": flag,
    "rcond": one(1e-15, 0.1), "unitriangular": flag, "transpose": flag, "left": flag, "num_samples": small,
    "replacement": flag, "training": flag, "momentum": one(0.1, 0.0, None), "exponent": operand,
    "reduction": one("mean", "sum", "none", "other"), "label_smoothing": one(0.0, 0.1, 1.0, 2.0), "ignore_index":
    one(-100, 0, 1), "padding_idx": one(None, 0, -1, 9), "scale_grad_by_freq": flag, "padding_mode": one(
        "zeros", "border", "reflection"), "align_corners": flag, "x1": with_shape("b i j", FLOATS[:1]), "x2": with_shape(
        "b k j", FLOATS[:1]), "compute_mode": one("use_mm_for_euclid_dist_if_necessary", "donot_use_mm_for_euclid_dist"),
    "range": one(None, (0.0, 1.0), (1.0, 0.0)), "density": flag, "pivot": one(True), "compute_uv": flag, "row": small,
    "col": small, "storage_offset": one(0, 1, 2, -1, 99), "condition": first_tensor(dtypes=("bool", "bool", "uint8")),
    "unpack_data": flag, "unpack_pivots": flag, "transposed": flag, "is_causal": flag, "hermitian": flag,
    "scale_factor": optional(one(2, 0.5, (1.5, 2.0), 0, -1), 50), "antialias": one(False),
}

_UNARY = {"input": any_tensor}
_BMM = with_shape("b i j", FLOATS + INTEGERS[:2])
_SCATTER = {"input": any_tensor, "dim": dim, "index": index_for(same_rank=True)}
_VECTOR_INDEX = {"input": any_tensor, "dim": dim, "index": index_for(vector=True)}
_LABELS = tensor(lambda draw, known: (known["first"].shape[:1] + known["first"].shape[2:]
                                      if len(known["first"].shape) > 1 else ()), ("int64",) * 8 + ("float32",), 0, 2)


def _conv(places: str, transposed: bool = False) -> dict[str, Kind]:
    weight = f"c o {places}" if transposed else f"o c {places}"
    return {"input": with_shape(f"b c {places.upper()}", ("float32",) * 5 + FLOATS), "weight": with_shape(weight),
            "bias": optional(with_shape("o")), "stride": step, "padding": one(0, 1, 2, -1), "dilation": one(1, 2, 0),
            "groups": one(1, 1, 1, 2, 0)}


def _pool(count: int) -> dict[str, Kind]:
    return {"input": with_shape(" ".join("bcDHW"[:2 + count] if count > 2 else "bcHW"[:2 + count])), "kernel_size": window}


# Functions whose arguments have to fit each other more closely.
BY_FUNCTION: dict[str, dict[str, Kind]] = {
    "mm": {"input": with_shape("i j"), "mat2": with_shape("j k")},
    "bmm": {"input": _BMM, "mat2": with_shape("b j k")},
    "matmul": {"input": either(with_shape("i j"), with_shape("j"), _BMM), "other": either(
        with_shape("j k"), with_shape("j"), with_shape("b j k"))},
    "mv": {"input": with_shape("i j"), "vec": with_shape("j")},
    "dot": {"input": with_shape("i"), "tensor": with_shape("i")},
    "vdot": {"input": with_shape("i"), "other": with_shape("i")},
    "addmm": {"input": beside, "mat1": with_shape("i j"), "mat2": with_shape("j k")},
    "addmv": {"input": with_shape("i"), "mat": with_shape("i j"), "vec": with_shape("j")},
    "addr": {"input": with_shape("i j"), "vec1": with_shape("i"), "vec2": with_shape("j")},
    "ger": {"input": with_shape("i"), "vec2": with_shape("j")},
    "outer": {"input": with_shape("i"), "vec2": with_shape("j")},
    "baddbmm": {"input": with_shape("b i k"), "batch1": _BMM, "batch2": with_shape("b j k")},
    "addbmm": {"input": with_shape("i k"), "batch1": _BMM, "batch2": with_shape("b j k")},
    "linear": {"input": either(with_shape("b i"), with_shape("i"), with_shape("a b i")), "weight": with_shape("o i"),
               "bias": optional(with_shape("o"))},
    "inner": {"input": with_shape("b i"), "other": with_shape("c i")},
    "cross": {"input": with_shape("b 3"), "other": with_shape("b 3"), "dim": one(None, -1, 1, 0)},
    "conv1d": _conv("w"), "conv2d": _conv("h w"), "conv3d": _conv("d h w"),
    "conv_transpose1d": _conv("w", True), "conv_transpose2d": _conv("h w", True), "conv_transpose3d": _conv("d h w", True),
    **{f"{kind}_pool{count}d": _pool(count) for kind in ("max", "avg") for count in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{count}d": {"input": with_shape(" ".join("bcDHW"[:2] + "DHW"[3 - count:]))}
       for kind in ("max", "avg") for count in (1, 2, 3)},
    "gather": _SCATTER, "take_along_dim": {"input": any_tensor, "indices": index_for(same_rank=True), "dim": dim},
    "scatter": {**_SCATTER, "src": tensor(lambda draw, known: known["index"].shape if hasattr(
        known.get("index"), "shape") else ())},
    "index_select": _VECTOR_INDEX, "index_fill": {**_VECTOR_INDEX, "value": number},
    "take": {"input": any_tensor, "index": index_for(flat=True)},
    "put": {"input": any_tensor, "index": index_for(flat=True), "source": tensor(
        lambda draw, known: known["index"].shape if hasattr(known.get("index"), "shape") else ())},
    "embedding": {"input": tensor(lambda draw, known: (2, 3), ("int64",) * 8 + ("int32", "float32"), 0, 4),
                  "weight": with_shape("5 j", FLOATS)},
    "layer_norm": {"input": with_shape("b 2 3", FLOATS), "normalized_shape": one((3,), (2, 3), (2,), (1,), ())},
    "rms_norm": {"input": with_shape("b 2 3", FLOATS), "normalized_shape": one((3,), (2, 3), (2,), (1,), ())},
    "group_norm": {"input": with_shape("b 4 j", FLOATS), "num_groups": one(1, 2, 4, 3, 0)},
    "instance_norm": {"input": with_shape("b c H", FLOATS)},
    "batch_norm": {"input": with_shape("b c H", FLOATS), "running_mean": optional(with_shape("c")), "running_var": optional(
        with_shape("c")), "weight": optional(with_shape("c")), "bias": optional(with_shape("c")), "training": flag},
    "cross_entropy": {"input": either(with_shape("b 3", FLOATS), with_shape("b 3 i", FLOATS)), "target": _LABELS},
    "nll_loss": {"input": either(with_shape("b 3", FLOATS), with_shape("b 3 i", FLOATS)), "target": _LABELS},
    "bincount": {"input": ordinary(tensor(lambda draw, known: (5,), INTEGERS, 0, 4)), "weights": optional(with_shape("5")),
                 "minlength": one(0, 3, 7, -1)},
    "searchsorted": {"sorted_sequence": vector, "input": operand}, "bucketize": {"input": any_tensor, "boundaries": vector},
    "scaled_dot_product_attention": {"query": tensor(lambda draw, known: (2, 3, 4), FLOATS), "key": with_shape(
        "2 k 4", FLOATS), "value": with_shape("2 k l", FLOATS), "is_causal": flag},
    "tensordot": {"a": with_shape("i j"), "b": with_shape("j k"), "dims": one(1, 0, 2, ([1], [0]), ([0], [1]), 3)},
    "multinomial": {"input": with_shape("b i", FLOATS), "num_samples": small, "replacement": flag},
    "where": {"condition": first_tensor(dtypes=("bool", "bool", "bool", "uint8", "int64")), "input": operand,
              "other": operand},
    "movedim": {"input": any_tensor, "source": dims, "destination": dims},
    "moveaxis": {"input": any_tensor, "source": dims, "destination": dims},
    "isin": {"elements": any_tensor, "test_elements": operand},
    "quantile": {"input": first_tensor(dtypes=FLOATS), "q": BY_NAME["q"], "dim": optional(dim)},
    "nanquantile": {"input": first_tensor(dtypes=FLOATS), "q": BY_NAME["q"], "dim": optional(dim)},
    "pdist": {"input": with_shape("i j", FLOATS)}, "cosine_similarity": {"x1": any_tensor, "x2": beside, "dim": dim},
    "pairwise_distance": {"x1": any_tensor, "x2": beside}, "trapezoid": {"y": first_tensor(1), "x": optional(same)},
    "trapz": {"y": first_tensor(1), "x": optional(same)}, "cumulative_trapezoid": {"y": first_tensor(1), "x": optional(same)},
    "select": {"input": any_tensor, "dim": dim, "index": one(0, 1, -1, 5, -5)},
    "select_scatter": {"input": any_tensor, "src": beside, "dim": dim, "index": one(0, 1, -1, 5)},
    "narrow": {"input": any_tensor, "dim": dim, "start": one(0, 1, 2, -1, 9), "length": small},
    "masked_select": {"input": any_tensor, "mask": BY_NAME["mask"]},
    "pixel_shuffle": {"input": with_shape("b 4 h w"), "upscale_factor": one(2, 1, 3, 0, -1)},
    "pixel_unshuffle": {"input": with_shape("b c 4 2"), "downscale_factor": one(2, 1, 3, 0, -1)},
    "channel_shuffle": {"input": with_shape("b 4 h"), "groups": one(2, 1, 4, 3, 0)},
    "renorm": {"input": first_tensor(dtypes=FLOATS), "p": one(2, 1, 3.0, 0), "dim": dim, "maxnorm": one(1.0, 0.5, -1)},
    "fill": {"input": any_tensor, "value": number}, "matrix_power": {"input": square, "n": one(2, 0, 1, -1, 3)},
    "vander": {"x": vector}, "cartesian_prod": {"tensors": tensors}, "combinations": {"input": vector},
    "tile": {"input": any_tensor, "dims": size}, "flip": {"input": any_tensor, "dims": dims},
    "permute": {"input": any_tensor, "dims": dims}, "full_like": {"input": any_tensor, "fill_value": number},
    "polygamma": {"n": one(0, 1, 2, -1), "input": any_tensor},
}

# These take one dimension, several, or none.
REDUCTIONS = ("sum", "mean", "amax", "amin", "all", "any", "std", "var", "std_mean", "var_mean", "nansum", "nanmean",
              "count_nonzero", "logsumexp", "squeeze", "norm")
for _name in REDUCTIONS:
    BY_FUNCTION[_name] = {"input": any_tensor, "dim": either(dims, dim)}
for _name in ("argmax", "argmin", "max", "min", "median", "nanmedian", "mode"):
    BY_FUNCTION[_name] = {"input": any_tensor, "dim": dim, "keepdim": flag}

# Not driven: they draw random numbers, answer with uninitialised memory, change what they are given (driven by name with
# an underscore where tensors have such a method), or have arguments that random ones never fit.
SKIPPED = {"normal", "empty_like", "rand_like", "randn_like", "randint_like", "tensor", "finfo", "iinfo", "einsum", "lstm",
           "gru", "rnn_relu", "rnn_tanh", "lstm_cell", "gru_cell", "rnn_relu_cell", "rnn_tanh_cell", "ctc_loss",
           "histogramdd", "get_device", "is_distributed", "alias", "resize_as_", "ormqr", "orgqr", "geqrf", "lu_unpack",
           "lu_solve", "broadcast_shapes", "arange", "zeros", "affine_grid_generator", "grid_sampler", "conv_tbc",
           "convolution", "pca_lowrank", "svd_lowrank", "lobpcg", "as_strided_scatter", "is_coalesced"}


def parameters(name: str) -> dict[str, Kind] | None:
    """The kinds of a function's arguments, the first few of which are always given; None where it is not driven."""
    if name.startswith("_") or name.endswith("_") or name in SKIPPED:
        return None
    row = REGISTRY.pointwise.get(name)
    if row is not None:
        return {tensor_name: any_tensor if number_ == 0 else operand for number_, tensor_name in enumerate(row.tensors)}
    given = BY_FUNCTION.get(name, {})
    found = dict(given)
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        kind = BY_NAME.get(parameter.name)
        if parameter.name in found or parameter.name in ("out", "generator") or parameter.name.startswith("_"):
            continue
        if parameter.kind in (parameter.VAR_KEYWORD,):
            continue
        if kind is None:
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
                return None
            continue
        found[parameter.name] = kind
    return found or None


def required(name: str) -> set[str]:
    """The arguments that a call always has."""
    row = REGISTRY.pointwise.get(name)
    if row is not None:
        return set(row.tensors)
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    other_names = any(p.name == "spelled" for p in parameters)  # the operands have defaults, as they have other names
    return set(BY_FUNCTION.get(name, ())) | {
        p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and (other_names or p.default is p.empty)}


def driven() -> list[str]:
    """The names of all functions that are driven."""
    return sorted(name for name in FUNCTIONS if parameters(name) is not None)


def kinds(name: str) -> dict[str, Any]:
    """As :func:`parameters`, for a name that is driven."""
    found = parameters(name)
    assert found is not None
    return found
