"""MaxViT (Tu et al. 2022): convolutions, attention within windows, and attention over a grid across the image, in turn."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.creation import empty
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.parts import initialise
from clgrad.vision.models.swin_transformer import relative_position_index
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.drop import StochasticDepth
from clgrad.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation


class MBConv(nn.Module):
    """Norm, widen, convolve each channel, weigh the channels, narrow; with a shortcut, projected where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, expansion_ratio: float, squeeze_ratio: float, stride: int,
                 activation_layer: Callable, norm_layer: Callable, p_stochastic_dropout: float = 0.0):
        super().__init__()
        self.proj: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pool = [nn.AvgPool2d(kernel_size=3, stride=2, padding=1)] if stride == 2 else []
            self.proj = nn.Sequential(*pool, nn.Conv2d(in_channels, out_channels, kernel_size=1))
        self.stochastic_depth = StochasticDepth(p_stochastic_dropout, "row") if p_stochastic_dropout else nn.Identity()
        width = int(out_channels * expansion_ratio)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation_layer, inplace=None)
        self.layers = nn.Sequential(OrderedDict([
            ("pre_norm", norm_layer(in_channels)), ("conv_a", conv(in_channels, width, 1)),
            ("conv_b", conv(width, width, 3, stride=stride, groups=width)),
            ("squeeze_excitation", SqueezeExcitation(width, int(out_channels * squeeze_ratio), activation=nn.SiLU)),
            ("conv_c", nn.Conv2d(width, out_channels, kernel_size=1))]))

    def forward(self, x: Any) -> Any:
        return self.proj(x) + self.stochastic_depth(self.layers(x))


class RelativePositionalMultiHeadAttention(nn.Module):
    """Attention within groups of pixels, (b, groups, pixels, c), with a bias for each offset and head.

    Raises:
        ValueError: ``head_dim`` does not divide ``feat_dim``.
    """

    def __init__(self, feat_dim: int, head_dim: int, max_seq_len: int):
        super().__init__()
        if feat_dim % head_dim:
            raise ValueError(f"feat_dim: {feat_dim} must be divisible by head_dim: {head_dim}")
        self.n_heads, self.head_dim = feat_dim // head_dim, head_dim
        self.size, self.max_seq_len = math.isqrt(max_seq_len), max_seq_len
        self.to_qkv = nn.Linear(feat_dim, 3 * feat_dim)
        self.scale_factor = feat_dim**-0.5
        self.merge = nn.Linear(feat_dim, feat_dim)
        self.relative_position_bias_table = nn.Parameter(empty((2 * self.size - 1) ** 2, self.n_heads))
        self.register_buffer("relative_position_index", relative_position_index(self.size, self.size))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def get_relative_positional_bias(self) -> Any:
        """What is added to the scores, (1, heads, pixels, pixels)."""
        biases = self.relative_position_bias_table[self.relative_position_index.flatten()]
        return biases.reshape(self.max_seq_len, self.max_seq_len, -1).permute(2, 0, 1).unsqueeze(0)

    def forward(self, x: Any) -> Any:
        batch, groups, pixels, channels = x.shape
        qkv = self.to_qkv(x).reshape(batch, groups, pixels, 3, self.n_heads, self.head_dim)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        scores = q @ (k * self.scale_factor).transpose(-2, -1) + self.get_relative_positional_bias()
        return self.merge((scores.softmax(-1) @ v).transpose(2, 3).reshape(batch, groups, pixels, channels))


class SwapAxes(nn.Module):
    """``swapaxes`` as a module."""

    def __init__(self, a: int, b: int):
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Any) -> Any:
        return x.swapaxes(self.a, self.b)


class WindowPartition(nn.Module):
    """(b, c, h, w) as windows of ``p`` by ``p`` pixels, (b, windows, p * p, c)."""

    def forward(self, x: Any, p: int) -> Any:
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // p, p, width // p, p)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, p * p, channels)


class WindowDepartition(nn.Module):
    """The inverse of :class:`WindowPartition`."""

    def forward(self, x: Any, p: int, h_partitions: int, w_partitions: int) -> Any:
        batch, _, _, channels = x.shape
        x = x.reshape(batch, h_partitions, w_partitions, p, p, channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, h_partitions * p, w_partitions * p)


class PartitionAttentionLayer(nn.Module):
    """Attention and two linear layers over groups of pixels, each with a shortcut.

    Args:
        partition_size: side of a group.
        partition_type: "window" for neighbours, "grid" for pixels at equal distances across the image.
        grid_size: (height, width) of the images.

    Raises:
        ValueError: another ``partition_type``.
    """

    def __init__(self, in_channels: int, head_dim: int, partition_size: int, partition_type: str, grid_size: tuple[int, int],
                 mlp_ratio: int, activation_layer: Callable, norm_layer: Callable, attention_dropout: float,
                 mlp_dropout: float, p_stochastic_dropout: float):
        super().__init__()
        if partition_type not in ("grid", "window"):
            raise ValueError("partition_type must be either 'grid' or 'window'")
        self.n_heads, self.head_dim = in_channels // head_dim, head_dim
        self.n_partitions = grid_size[0] // partition_size
        self.partition_type, self.grid_size = partition_type, grid_size
        sides = (partition_size, self.n_partitions)
        self.p, self.g = sides if partition_type == "window" else sides[::-1]
        self.partition_op, self.departition_op = WindowPartition(), WindowDepartition()
        across = partition_type == "grid"  # what has one place in all windows is a group
        self.partition_swap, self.departition_swap = (SwapAxes(-2, -3) if across else nn.Identity() for _ in range(2))
        self.attn_layer = nn.Sequential(
            norm_layer(in_channels), RelativePositionalMultiHeadAttention(in_channels, head_dim, partition_size**2),
            nn.Dropout(attention_dropout))
        self.mlp_layer = nn.Sequential(
            nn.LayerNorm(in_channels), nn.Linear(in_channels, in_channels * mlp_ratio), activation_layer(),
            nn.Linear(in_channels * mlp_ratio, in_channels), nn.Dropout(mlp_dropout))
        self.stochastic_dropout = StochasticDepth(p_stochastic_dropout, mode="row")

    def forward(self, x: Any) -> Any:
        FUNCTIONS["_assert"](self.grid_size[0] % self.p == 0 and self.grid_size[1] % self.p == 0,
                             "Grid size must be divisible by partition size. Got grid size of "
                             f"{self.grid_size} and partition size of {self.p}")
        x = self.partition_swap(self.partition_op(x, self.p))
        x = x + self.stochastic_dropout(self.attn_layer(x))
        x = x + self.stochastic_dropout(self.mlp_layer(x))
        return self.departition_op(self.departition_swap(x), self.p, self.grid_size[0] // self.p, self.grid_size[1] // self.p)


class MaxVitLayer(nn.Module):
    """:class:`MBConv`, then attention within windows, then over the grid."""

    def __init__(self, in_channels: int, out_channels: int, squeeze_ratio: float, expansion_ratio: float, stride: int,
                 norm_layer: Callable, activation_layer: Callable, head_dim: int, mlp_ratio: int, mlp_dropout: float,
                 attention_dropout: float, p_stochastic_dropout: float, partition_size: int, grid_size: tuple[int, int]):
        super().__init__()
        attention = partial(PartitionAttentionLayer, out_channels, head_dim, partition_size, grid_size=grid_size,
                            mlp_ratio=mlp_ratio, activation_layer=activation_layer, norm_layer=nn.LayerNorm,
                            attention_dropout=attention_dropout, mlp_dropout=mlp_dropout,
                            p_stochastic_dropout=p_stochastic_dropout)
        self.layers = nn.Sequential(OrderedDict([
            ("MBconv", MBConv(in_channels, out_channels, expansion_ratio, squeeze_ratio, stride, activation_layer, norm_layer,
                              p_stochastic_dropout)),
            ("window_attention", attention(partition_type="window")), ("grid_attention", attention(partition_type="grid"))]))

    def forward(self, x: Any) -> Any:
        return self.layers(x)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    """What a 3x3 convolution with stride 2 leaves."""
    return (size[0] - 1) // 2 + 1, (size[1] - 1) // 2 + 1


class MaxVitBlock(nn.Module):
    """Layers of one width, of which the first one halves the size.

    Raises:
        ValueError: not as many chances (``p_stochastic``) as layers.
    """

    def __init__(self, in_channels: int, out_channels: int, squeeze_ratio: float, expansion_ratio: float,
                 norm_layer: Callable, activation_layer: Callable, head_dim: int, mlp_ratio: int, mlp_dropout: float,
                 attention_dropout: float, partition_size: int, input_grid_size: tuple[int, int], n_layers: int,
                 p_stochastic: list[float]):
        super().__init__()
        if len(p_stochastic) != n_layers:
            raise ValueError(f"p_stochastic must have length n_layers={n_layers}, got p_stochastic={p_stochastic}.")
        self.grid_size = _halved(input_grid_size)
        self.layers = nn.ModuleList(
            MaxVitLayer(out_channels if number else in_channels, out_channels, squeeze_ratio, expansion_ratio,
                        1 if number else 2, norm_layer, activation_layer, head_dim, mlp_ratio, mlp_dropout,
                        attention_dropout, chance, partition_size, self.grid_size)
            for number, chance in enumerate(p_stochastic))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


class MaxVit(nn.Module):
    """Images (n, 3, ``input_size``) to scores (n, ``num_classes``).

    Args:
        stem_channels: width of the first two convolutions.
        partition_size: side of the groups of pixels among which attention is.
        block_channels, block_layers: widths and numbers of layers of the blocks.
        stochastic_depth_prob: the chance with which the last layer is skipped; that of the others grows up to it.
        norm_layer: by default ``BatchNorm2d`` with ``eps`` 0.001 and ``momentum`` 0.01.

    Raises:
        ValueError: ``partition_size`` does not divide the sizes within.
    """

    def __init__(self, input_size: tuple[int, int], stem_channels: int, partition_size: int, block_channels: list[int],
                 block_layers: list[int], head_dim: int, stochastic_depth_prob: float, norm_layer: Callable | None = None,
                 activation_layer: Callable = nn.GELU, squeeze_ratio: float = 0.25, expansion_ratio: float = 4,
                 mlp_ratio: int = 4, mlp_dropout: float = 0.0, attention_dropout: float = 0.0, num_classes: int = 1000):
        super().__init__()
        norm = norm_layer or partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        sizes = [_halved(input_size)]
        for _ in block_channels:
            sizes.append(_halved(sizes[-1]))
        for number, size in enumerate(sizes[1:]):
            if size[0] % partition_size or size[1] % partition_size:
                raise ValueError(f"Input size {size} of block {number} is not divisible by partition size {partition_size}. "
                                 "Consider changing the partition size or the input size.\nCurrent configuration yields the "
                                 f"following block input sizes: {sizes[1:]}.")
        self.stem = nn.Sequential(
            Conv2dNormActivation(3, stem_channels, 3, stride=2, norm_layer=norm, activation_layer=activation_layer,
                                 bias=False, inplace=None),
            Conv2dNormActivation(stem_channels, stem_channels, 3, norm_layer=None, activation_layer=None, bias=True))
        self.partition_size = partition_size
        layers = sum(block_layers)
        chances = [stochastic_depth_prob / max(layers - 1, 1) * number for number in range(layers)]
        self.blocks = nn.ModuleList()
        for inputs, outputs, count, size in zip([stem_channels, *block_channels], block_channels, block_layers, sizes,
                                                strict=False):
            self.blocks.append(MaxVitBlock(inputs, outputs, squeeze_ratio, expansion_ratio, norm, activation_layer, head_dim,
                                           mlp_ratio, mlp_dropout, attention_dropout, partition_size, size, count,
                                           chances[:count]))
            chances = chances[count:]
        width = block_channels[-1]
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(width), nn.Linear(width, width),
                                        nn.Tanh(), nn.Linear(width, num_classes, bias=False))
        narrow = partial(nn.init.normal_, std=0.02)
        initialise(self, lambda layer: narrow(layer.weight), lambda layer: narrow(layer.weight))

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x)


def _maxvit_t(**kwargs: Any) -> MaxVit:
    return MaxVit(**{"input_size": (224, 224), "stem_channels": 64, "partition_size": 7,
                     "block_channels": [64, 128, 256, 512], "block_layers": [2, 2, 5, 2], "head_dim": 32,
                     "stochastic_depth_prob": 0.2, **kwargs})


maxvit_t = builder(_maxvit_t, "maxvit_t", "MaxVit_T_Weights", lambda weights: {"input_size": weights.meta["min_size"]})
globals().update(enumerations("MaxVit"))
