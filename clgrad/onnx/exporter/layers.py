"""How layers are written: convolutions, pools, normalisations, products, embeddings, attention."""

from __future__ import annotations

import math
from typing import Any

from clgrad import dtypes
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.reductions import softmax
from clgrad.onnx.exporter.sizes import Dimension, Value
from clgrad.onnx.exporter.table import as_dtype, front, many, translates


def _batched(g: Builder, input: Value, rank: int) -> Any:
    """The input with a batch axis."""
    return input if input.rank == rank + 2 else g.with_axes("Unsqueeze", input, [0])


def _unbatched(g: Builder, found: str, input: Value, rank: int) -> str:
    return found if input.rank == rank + 2 else g.with_axes("Squeeze", found, [0])


@translates("conv1d", "conv2d", "conv3d")
def conv(g: Builder, input: Value, weight: Value, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
         groups: int = 1) -> str:
    """A convolution."""
    rank = weight.rank - 2
    kernel, gaps = weight.shape[2:], many(dilation, rank)
    if padding == "same":
        whole = [d * (k - 1) for d, k in zip(gaps, kernel, strict=True)]
        pads = [n // 2 for n in whole] + [n - n // 2 for n in whole]
    else:
        pads = many(0 if padding == "valid" else padding, rank) * 2
    made = g.op("Conv", _batched(g, input, rank), weight, bias, dilations=gaps, group=groups, kernel_shape=kernel,
                pads=pads, strides=many(stride, rank))
    return _unbatched(g, made, input, rank)


@translates("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(g: Builder, input: Value, weight: Value, bias: Any = None, stride: Any = 1, padding: Any = 0,
                   output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> str:
    """The transpose of a convolution."""
    rank = weight.rank - 2
    made = g.op("ConvTranspose", _batched(g, input, rank), weight, bias, dilations=many(dilation, rank), group=groups,
                kernel_shape=weight.shape[2:], output_padding=many(output_padding, rank), pads=many(padding, rank) * 2,
                strides=many(stride, rank))
    return _unbatched(g, made, input, rank)


# Pools.

def _rank_of(g: Builder) -> int:
    return int(next(letter for letter in g.call_name if letter.isdigit()))


def _ceil(g: Builder, ceil_mode: bool) -> int | None:
    if ceil_mode and g.opset < 10:
        raise UnsupportedOperatorError(f"export: {g.call_name} with ceil_mode needs opset_version 10")
    return 1 if ceil_mode else None


@translates("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(g: Builder, input: Value, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
             ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest of each window."""
    rank = _rank_of(g)
    if return_indices:
        raise UnsupportedOperatorError(f"export: {g.call_name} with return_indices counts places differently from ONNX")
    kernel = many(kernel_size, rank)
    gaps = many(dilation, rank)
    made = g.op("MaxPool", _batched(g, input, rank), kernel_shape=kernel, strides=many(stride or kernel, rank),
                pads=many(padding, rank) * 2, dilations=None if set(gaps) == {1} else gaps, ceil_mode=_ceil(g, ceil_mode))
    return _unbatched(g, made, input, rank)


@translates("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(g: Builder, input: Value, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
             count_include_pad: bool = True, divisor_override: Any = None) -> str:
    """The mean of each window."""
    rank = _rank_of(g)
    kernel = many(kernel_size, rank)
    if divisor_override is not None and (any(many(padding, rank)) or ceil_mode):
        raise UnsupportedOperatorError(f"export: {g.call_name} with divisor_override and padding has no counterpart in ONNX")
    made = g.op("AveragePool", _batched(g, input, rank), kernel_shape=kernel, strides=many(stride or kernel, rank),
                pads=many(padding, rank) * 2, ceil_mode=_ceil(g, ceil_mode),
                count_include_pad=int(count_include_pad))
    if divisor_override is not None:
        made = g.op("Mul", made, g.scalar(math.prod(kernel) / divisor_override, input))
    return _unbatched(g, made, input, rank)


def _adaptive(g: Builder, input: Value, output_size: Any, kind: str) -> str:
    """A pool whose windows divide the input evenly."""
    rank = _rank_of(g)
    sizes = input.shape[-rank:]
    wanted = [n if w is None else w for n, w in zip(sizes, many(output_size, rank) if output_size is not None else sizes,
                                                    strict=True)]
    x = _batched(g, input, rank)
    if wanted == [1] * rank:
        return _unbatched(g, g.op(f"Global{kind}Pool", x), input, rank)
    if wanted == sizes:
        return g.name_of(input)
    if any(isinstance(n, Dimension) or n % w for n, w in zip(sizes, wanted, strict=True)):
        matrices = [_adaptive_matrix(g, n, w, input) if kind == "Average" and not isinstance(n, Dimension) else None
                    for n, w in zip(sizes, wanted, strict=True)]
        if None in matrices:
            raise UnsupportedOperatorError(f"export: {g.call_name} from {sizes} to {wanted}: ONNX's windows have one size")
        for axis, matrix in zip(range(input.rank - rank, input.rank), matrices, strict=True):
            x = _along(g, x, matrix, axis + (0 if input.rank == rank + 2 else 1), rank + 2)
        return _unbatched(g, x, input, rank)
    kernel = [n // w for n, w in zip(sizes, wanted, strict=True)]
    return _unbatched(g, g.op(f"{kind}Pool", x, kernel_shape=kernel, strides=kernel), input, rank)


def _adaptive_matrix(g: Builder, size: int, wanted: int, input: Value) -> str:
    """The means of uneven windows as a matrix, (size, wanted)."""
    rows = [[0.0] * wanted for _ in range(size)]
    for place in range(wanted):
        start, end = place * size // wanted, -(-(place + 1) * size // wanted)
        for row in range(start, end):
            rows[row][place] = 1 / (end - start)
    return g.constant(rows, input.dtype)


def _along(g: Builder, x: Any, matrix: Any, axis: int, rank: int) -> str:
    """A product along an axis."""
    order = [at for at in range(rank) if at != axis] + [axis]
    moved = g.op("MatMul", g.op("Transpose", x, perm=order), matrix)
    return g.op("Transpose", moved, perm=[order.index(at) for at in range(rank)])


@translates("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_avg_pool(g: Builder, input: Value, output_size: Any) -> str:
    """Means of as many windows as asked for."""
    return _adaptive(g, input, output_size, "Average")


@translates("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(g: Builder, input: Value, output_size: Any, return_indices: bool = False) -> str:
    """The largest of as many windows as asked for."""
    if return_indices:
        raise UnsupportedOperatorError(f"export: {g.call_name} with return_indices counts places differently from ONNX")
    return _adaptive(g, input, output_size, "Max")


# Normalisations.

def _filled(g: Builder, count: int, number: float, like: Value) -> str:
    return g.constant([number] * count, like.dtype)


@translates("batch_norm")
def batch_norm(g: Builder, input: Value, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> str:
    """Channels normalised by statistics, or in training by themselves."""
    c = input.shape[1]
    scale = _filled(g, c, 1.0, input) if weight is None else weight
    shift = _filled(g, c, 0.0, input) if bias is None else bias
    mean = _filled(g, c, 0.0, input) if running_mean is None else running_mean
    var = _filled(g, c, 1.0, input) if running_var is None else running_var
    if not training:
        return g.op("BatchNormalization", input, scale, shift, mean, var, epsilon=eps)
    if g.opset < 14:
        raise UnsupportedOperatorError("export: batch_norm in training needs opset_version 14")
    return g.op("BatchNormalization", input, scale, shift, mean, var, outputs=3, epsilon=eps, momentum=1 - momentum,
                training_mode=1)[0]


@translates("instance_norm")
def instance_norm(g: Builder, input: Value, running_mean: Any = None, running_var: Any = None, weight: Any = None,
                  bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> str:
    """Each channel of each sample normalised."""
    if not use_input_stats:
        return batch_norm(g, input, running_mean, running_var, weight, bias, eps=eps)
    c = input.shape[1]
    return g.op("InstanceNormalization", input, _filled(g, c, 1.0, input) if weight is None else weight,
                _filled(g, c, 0.0, input) if bias is None else bias, epsilon=eps)


def _scaled(g: Builder, x: str, weight: Any, bias: Any) -> str:
    x = x if weight is None else g.op("Mul", x, weight)
    return x if bias is None else g.op("Add", x, bias)


@translates("layer_norm")
def layer_norm(g: Builder, input: Value, normalized_shape: Any, weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> str:
    """The last axes normalised together."""
    shape = list(normalized_shape) if not isinstance(normalized_shape, int) else [normalized_shape]
    if g.opset >= 17:
        scale = g.constant(_nested(shape, 1.0), input.dtype) if weight is None else weight
        return g.op("LayerNormalization", input, scale, bias, axis=-len(shape), epsilon=eps)
    axes = list(range(-len(shape), 0))
    centred = g.op("Sub", input, g.op("ReduceMean", input, axes=axes))
    var = g.op("ReduceMean", g.op("Mul", centred, centred), axes=axes)
    found = g.op("Div", centred, g.op("Sqrt", g.op("Add", var, g.scalar(eps, input))))
    return _scaled(g, found, weight, bias)


def _nested(shape: list[int], number: float) -> Any:
    return [_nested(shape[1:], number)] * shape[0] if shape else number


@translates("rms_norm")
def rms_norm(g: Builder, input: Value, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> str:
    """The last axes divided by their root mean square."""
    count = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    small = {dtypes.float64: 2.0 ** -52, dtypes.float16: 2.0 ** -10, dtypes.bfloat16: 2.0 ** -7}.get(input.dtype, 2.0 ** -23)
    mean = g.with_axes("ReduceMean", g.op("Mul", input, input), list(range(-count, 0)))
    root = g.op("Sqrt", g.op("Add", mean, g.scalar(small if eps is None else eps, input)))
    return _scaled(g, g.op("Div", input, root), weight, None)


@translates("group_norm")
def group_norm(g: Builder, input: Value, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> str:
    """Groups of channels normalised together."""
    c = input.shape[1]
    if g.opset >= 21:
        return g.op("GroupNormalization", input, _filled(g, c, 1.0, input) if weight is None else weight,
                    _filled(g, c, 0.0, input) if bias is None else bias, num_groups=num_groups, epsilon=eps)
    parts = g.op("Reshape", input, [0, num_groups, -1])
    ones, zeros = _filled(g, num_groups, 1.0, input), _filled(g, num_groups, 0.0, input)
    found = g.op("InstanceNormalization", parts, ones, zeros, epsilon=eps)
    if sum(isinstance(size, Dimension) for size in input.shape[1:]) > 1:
        found = g.op("Reshape", found, g.op("Shape", input))
    else:
        found = g.op("Reshape", found, [0] + [-1 if isinstance(size, Dimension) else size for size in input.shape[1:]])
    around = [c] + [1] * (input.rank - 2)
    return _scaled(g, found, *(None if v is None else g.reshape(v, v.shape, around) for v in (weight, bias)))


@translates("local_response_norm")
def local_response_norm(g: Builder, input: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> str:
    """Values divided by their neighbouring channels' squares; PyTorch's even windows look the other way from ONNX's."""
    if size % 2 and input.rank == 4:
        return g.op("LRN", input, size=size, alpha=alpha, beta=beta, bias=k)
    before, after = size // 2, (size - 1) // 2
    squares = g.op("Mul", input, input)
    pads = [0] * (2 * input.rank)
    pads[1], pads[input.rank + 1] = before, after
    padded = g.pad(squares, pads, "constant", 0.0, input)
    total = None
    for shift in range(size):
        part = g.slice(padded, [shift], [shift + input.shape[1]], [1])
        total = part if total is None else g.op("Add", total, part)
    mean = g.op("Mul", total, g.scalar(alpha / size, input))
    return g.op("Div", input, g.op("Pow", g.op("Add", mean, g.scalar(k, input)), g.scalar(beta, input)))


# Products.

@translates("linear")
def linear(g: Builder, input: Value, weight: Value, bias: Any = None) -> str:
    """``x @ weight.T + bias``."""
    if input.rank == 2 and weight.rank == 2:
        return g.op("Gemm", input, weight, bias if bias is not None or g.opset >= 11 else g.scalar(0, input), transB=1)
    if weight.rank == 1:
        return _scaled(g, g.op("MatMul", input, weight), None, bias)
    product = g.op("MatMul", input, g.transposed(weight))
    return product if bias is None else g.op("Add", product, bias)


@translates("matmul", "mm", "bmm", "mv", "dot", "__matmul__")
def matmul(g: Builder, input: Value, other: Value) -> str:
    """A product of matrices."""
    return g.op("MatMul", input, other)


@translates("addmm")
def addmm(g: Builder, input: Value, mat1: Value, mat2: Value, *, beta: float = 1, alpha: float = 1) -> str:
    """``beta * input + alpha * mat1 @ mat2``."""
    return g.op("Gemm", mat1, mat2, input, alpha=float(alpha), beta=float(beta))


@translates("baddbmm")
def baddbmm(g: Builder, input: Value, batch1: Value, batch2: Value, *, beta: float = 1, alpha: float = 1) -> str:
    """``beta * input + alpha * batch1 @ batch2``."""
    product = g.op("Mul", g.op("MatMul", batch1, batch2), g.scalar(alpha, batch1))
    return product if beta == 0 else g.op("Add", g.op("Mul", input, g.scalar(beta, batch1)), product)


@translates("einsum")
def einsum(g: Builder, equation: Any, *operands: Any) -> str:
    """A sum of products."""
    if not isinstance(equation, str):
        raise UnsupportedOperatorError("export: einsum is translated where its equation is a text")
    values = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    return g.op("Einsum", *values, equation=equation)


def _refuse_renorm(g: Builder, max_norm: Any) -> None:
    if max_norm is not None:
        raise UnsupportedOperatorError(f"export: {g.call_name} with max_norm changes its weights, which a graph cannot")


@translates("embedding")
def embedding(g: Builder, input: Value, weight: Value, padding_idx: Any = None, max_norm: Any = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> str:
    """Rows of a table."""
    _refuse_renorm(g, max_norm)
    return g.op("Gather", weight, input, axis=0)


@translates("embedding_bag")
def embedding_bag(g: Builder, input: Value, weight: Value, offsets: Any = None, max_norm: Any = None,
                  norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Any = None, include_last_offset: bool = False, padding_idx: Any = None) -> str:
    """Rows of a table, reduced over bags of one length."""
    _refuse_renorm(g, max_norm)
    if input.rank != 2 or padding_idx is not None:
        raise UnsupportedOperatorError("export: embedding_bag is translated for bags of one length without padding")
    rows = g.op("Gather", weight, input, axis=0)
    if per_sample_weights is not None:
        rows = g.op("Mul", rows, g.with_axes("Unsqueeze", per_sample_weights, [2]))
    return g.with_axes({"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax"}[mode], rows, [1], keepdims=0)


@translates("scaled_dot_product_attention")
def attention(g: Builder, query: Value, key: Value, value: Value, attn_mask: Any = None, dropout_p: float = 0.0,
              is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> str:
    """Attention (Vaswani et al. 2017), written out."""
    if dropout_p or enable_gqa and query.shape[-3] != key.shape[-3]:
        raise UnsupportedOperatorError("export: scaled_dot_product_attention with dropout or grouped heads is not translated")
    size = query.shape[-1]
    factor = g.scalar(math.sqrt(1 / math.sqrt(size) if scale is None else scale), query)
    order = list(range(key.rank))
    order[-1], order[-2] = order[-2], order[-1]
    scores = g.op("MatMul", g.op("Mul", query, factor), g.op("Mul", g.op("Transpose", key, perm=order), factor))
    least = g.constant(-math.inf, query.dtype)
    if is_causal:
        mask = g.op("Trilu", g.op("Expand", g.constant(True, dtypes.bool), g.sizes([query.shape[-2], key.shape[-2]])),
                    upper=0) if g.opset >= 14 else _causal(g, query.shape[-2], key.shape[-2])
        scores = g.op("Where", mask, scores, least)
    if attn_mask is not None:
        if attn_mask.dtype is dtypes.bool:
            scores = g.op("Where", attn_mask, scores, least)
        else:
            scores = g.op("Add", scores, as_dtype(g, attn_mask, query.dtype))
    return g.op("MatMul", softmax(g, scores, -1, rank=query.rank), value)


def _causal(g: Builder, steps: Any, keys: Any) -> str:
    if isinstance(steps, Dimension) or isinstance(keys, Dimension):
        raise UnsupportedOperatorError("export: a causal mask of a size that varies needs opset_version 14")
    return g.constant([[key <= step for key in range(keys)] for step in range(steps)], dtypes.bool)


@translates("cross_entropy", "nll_loss")
def class_loss(g: Builder, input: Value, target: Value, weight: Any = None, size_average: Any = None,
               ignore_index: int = -100, reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0) -> str:
    """The loss of scores, or of logarithms of probabilities, and classes."""
    if target.dtype.is_floating_point or label_smoothing or input.rank < 2 or (size_average, reduce) != (None, None):
        raise UnsupportedOperatorError(f"export: {g.call_name} is translated for batches with whole numbers as targets, "
                                       "without label_smoothing, size_average and reduce")
    kind = "SoftmaxCrossEntropyLoss" if g.call_name == "cross_entropy" else "NegativeLogLikelihoodLoss"
    return g.op(kind, input, target, weight, ignore_index=ignore_index, reduction=reduction)


@translates("cosine_similarity")
def cosine_similarity(g: Builder, x1: Value, x2: Value, dim: int = 1, eps: float = 1e-8) -> str:
    """The cosine of an angle."""
    axis = [front(dim, max(x1.rank, x2.rank))]
    product = g.with_axes("ReduceSum", g.op("Mul", x1, x2), axis, keepdims=0)
    norms = [g.op("Max", g.with_axes("ReduceL2", x, axis, keepdims=0), g.scalar(eps, x1)) for x in (x1, x2)]
    return g.op("Div", product, g.op("Mul", *norms))
