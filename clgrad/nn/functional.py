"""``nn.functional``: what the modules compute, as functions with PyTorch's names and arguments.

>>> import clgrad
>>> import clgrad.nn.functional as F
>>> F.relu(clgrad.tensor([-1., 2.]))
tensor([0., 2.])
"""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad.autograd.graph import ends_in
from clgrad.nn import grad as grad
from clgrad.nn.activations import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
from clgrad.nn.dropouts import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from clgrad.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    ctc_loss,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    linear_cross_entropy,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from clgrad.nn.margin_losses import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from clgrad.nn.multi_head import multi_head_attention_forward
from clgrad.nn.pools import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from clgrad.ops.attention import scaled_dot_product_attention
from clgrad.ops.convolution import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from clgrad.ops.convolution3d import conv3d, conv_tbc, conv_transpose3d
from clgrad.ops.distances import cosine_similarity, length, pairwise_distance, pdist
from clgrad.ops.embedding import embedding, one_hot
from clgrad.ops.embedding_bags import embedding_bag
from clgrad.ops.grid_sampling import affine_grid, grid_sample
from clgrad.ops.interception import intercepted
from clgrad.ops.interpolation import interpolate, upsample, upsample_bilinear, upsample_nearest
from clgrad.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from clgrad.ops.output import store
from clgrad.ops.padding import pad
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.shuffles import channel_shuffle, pixel_shuffle, pixel_unshuffle
from clgrad.ops.unfolding import fold, unfold

native_channel_shuffle, _threshold = channel_shuffle, threshold

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "affine_grid", "alpha_dropout", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "celu", "celu_", "channel_shuffle", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "elu_", "embedding", "embedding_bag",
    "feature_alpha_dropout", "fold", "fractional_max_pool2d", "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d", "fractional_max_pool3d_with_indices", "gaussian_nll_loss", "gelu", "glu", "grid_sample",
    "group_norm", "grouped_mm", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_",
    "hinge_embedding_loss", "huber_loss", "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "leaky_relu_", "linear", "linear_cross_entropy", "local_response_norm", "log_softmax", "logsigmoid",
    "lp_pool1d", "lp_pool2d", "lp_pool3d", "margin_ranking_loss", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
    "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "mish", "mse_loss", "multi_head_attention_forward", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "native_channel_shuffle", "nll_loss", "normalize", "one_hot", "pad",
    "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6",
    "relu_", "rms_norm", "rrelu", "rrelu_", "scaled_dot_product_attention", "selu", "selu_", "sigmoid", "silu",
    "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "tanhshrink", "threshold", "threshold_", "triplet_margin_loss", "triplet_margin_with_distance_loss", "unfold",
    "upsample", "upsample_bilinear", "upsample_nearest",
]


# Layers with weights.

def linear(input: Any, weight: Any, bias: Any = None, *, out: Any = None) -> Any:
    """``input @ weight.T + bias``: (*, in) with weight (out, in) gives (*, out)."""
    found = FUNCTIONS["linear"](input, weight, bias)
    return found if out is None else store("linear", found, out, exact=True)


def grouped_mm(mat_a: Any, mat_b: Any, *, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:
    """A product for each group of rows, as mixtures of experts compute them.

    Args:
        mat_a, mat_b: (G, M, K) and (G, K, N); (rows, K) and (G, K, N): groups of rows; (G, M, K) and (K, columns): groups of
            columns; (M, total) and (total, N): groups of what is summed over, which gives (G, M, N).
        offs: where each group ends, int32 of shape (G,), wherever a matrix is divided. Rows after the last are zero.
        bias, out_dtype: there is none, and none but the operands'.

    Raises:
        RuntimeError: operands that do not fit each other, or are not float32, float16 or bfloat16.

    >>> import clgrad
    >>> experts = clgrad.stack([clgrad.eye(2), 3 * clgrad.eye(2)])
    >>> grouped_mm(clgrad.ones(3, 2), experts, offs=clgrad.tensor([1, 3], dtype=clgrad.int32))
    tensor([[1., 1.],
            [3., 3.],
            [3., 3.]])
    """
    return FUNCTIONS["_grouped_mm"](mat_a, mat_b, offs, bias, out_dtype)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``y[.., k] = sum_ij input1[.., i] * weight[k, i, j] * input2[.., j] + bias[k]``."""
    count, left, right = weight.shape
    for number, x, size in ((1, input1, left), (2, input2, right)):
        if x.shape[-1] != size:
            raise RuntimeError(f"bilinear(): input{number} size does not match weight size: got {x.shape[-1]} but expected "
                               f"{size}")
    for axis, sizes in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=False)):
        if sizes[0] != sizes[1]:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {axis}: got {sizes[0]} and "
                               f"{sizes[1]}")
    rows = input1.reshape(-1, left)
    columns = input2.reshape(-1, right)
    # (n, left) @ (left, k * right): for each row and each k a vector over input2's features.
    mixed = rows.matmul(weight.permute(1, 0, 2).reshape(left, count * right)).view(-1, count, right)
    result = (mixed * columns.unsqueeze(1)).sum(-1, dtype=input1.dtype).view(*input1.shape[:-1], count)
    return result if bias is None else result + bias


# Others.

def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """``input`` divided by its p-norm along ``dim``, which counts as at least ``eps``."""
    return ends_in(FUNCTIONS["_over_length"](input, length(input, p, dim, True), eps, out=out), "Div")


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """``input`` / (k + alpha * mean of the squares of ``size`` neighbouring channels)^beta (Krizhevsky et al. 2012)."""
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    if not input.numel():
        return input
    shape = tuple(input.shape)
    squares = (input * input).view(shape[0], 1, shape[1], prod(shape[2:]))
    mean = avg_pool2d(pad(squares, (0, 0, size // 2, (size - 1) // 2)), (size, 1), 1).view(shape)
    return input / (mean * alpha + k).pow(beta)


# Calls of functions that are written in terms of operators are listened to as calls of one operator.
for _name in __all__:
    globals()[_name] = intercepted(globals()[_name], _name, __name__)
