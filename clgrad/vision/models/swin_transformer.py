"""Swin Transformer (Liu et al. 2021) and its second version (Liu et al. 2022): attention within windows that shift."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.creation import arange, full, tensor, zeros
from clgrad.fx import wrap
from clgrad.nn import functional as F
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.parts import initialise
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.drop import StochasticDepth
from clgrad.vision.ops.misc import MLP, Permute


@wrap
def _neighbours(x: Any) -> Any:
    """The four pixels of each 2x2 square of (..., h, w, c) side by side, (..., h / 2, w / 2, 4 c); an odd side is padded."""
    height, width = x.shape[-3:-1]
    x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    return FUNCTIONS["cat"]([x[..., row::2, column::2, :] for column in (0, 1) for row in (0, 1)], -1)


class PatchMerging(nn.Module):
    """Half the size and twice the width: (..., h, w, c) to (..., h / 2, w / 2, 2 c)."""

    def __init__(self, dim: int, norm_layer: Callable = nn.LayerNorm):
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(4 * dim)

    def forward(self, x: Any) -> Any:
        return self.reduction(self.norm(_neighbours(x)))


class PatchMergingV2(nn.Module):
    """:class:`PatchMerging` whose norm comes last."""

    def __init__(self, dim: int, norm_layer: Callable = nn.LayerNorm):
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(2 * dim)

    def forward(self, x: Any) -> Any:
        return self.norm(self.reduction(_neighbours(x)))


def relative_position_index(height: int, width: int) -> Any:
    """For each pair of a window's pixels, (p, p), the number of their offset among all (2 h - 1) (2 w - 1) of them."""
    rows, columns = arange(height).repeat_interleave(width), arange(width).repeat(height)
    down, right = (along.unsqueeze(1) - along for along in (rows, columns))
    return (down + height - 1) * (2 * width - 1) + right + width - 1


def _windows(x: Any, rows: int, columns: int) -> Any:
    """(b, h, w, c) as windows of pixels, (b * windows, rows * columns, c)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // rows, rows, width // columns, columns, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * columns, channels)


def _together(x: Any, height: int, width: int, rows: int, columns: int) -> Any:
    """The inverse of :func:`_windows`."""
    x = x.reshape(-1, height // rows, width // columns, rows, columns, x.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, x.shape[-1])


def _strangers(x: Any, window_size: list[int], down: int, right: int) -> Any:
    """For a shifted image (b, h, w, c) the pairs of pixels that a window holds but the image has at opposite edges: -100 for
    them, 0 for others, of shape (windows, 1, p, p)."""
    _, height, width, _ = x.shape
    below = arange(height, device=x.device) >= height - down
    beside = arange(width, device=x.device) >= width - right
    region = _windows((2 * below.unsqueeze(1) + beside.long()).reshape(1, height, width, 1), *window_size).squeeze(2)
    return ((region.unsqueeze(1) != region.unsqueeze(2)).unsqueeze(1) * -100.0).to(x.dtype)


@wrap
def shifted_window_attention(input: Any, qkv_weight: Any, proj_weight: Any, relative_position_bias: Any,
                             window_size: list[int], num_heads: int, shift_size: list[int], attention_dropout: float = 0.0,
                             dropout: float = 0.0, qkv_bias: Any = None, proj_bias: Any = None, logit_scale: Any = None,
                             training: bool = True) -> Any:
    """Attention of pixels within windows of an image that is first rolled up and left.

    Args:
        input: (b, h, w, c); edges are padded where windows do not fit.
        qkv_weight, proj_weight: (3 c, c) and (c, c), with biases of 3 c and c or None.
        relative_position_bias: (1, heads, p, p), added to the scores, where p pixels are a window.
        shift_size: (down, right); no shift along a side that is one window.
        logit_scale: (heads, 1, 1); scores are then cosines times its exponential, which is at most 100, and keys have no
            bias.

    Returns:
        (b, h, w, c).
    """
    _, height, width, channels = input.shape
    rows, columns = window_size
    x = F.pad(input, (0, 0, 0, -width % columns, 0, -height % rows))
    tall, wide = x.shape[1:3]
    down, right = (0 if window >= side else shift
                   for window, side, shift in zip(window_size, (tall, wide), shift_size, strict=True))
    shifted = down + right > 0
    mask = _strangers(x, window_size, down, right) if shifted else None
    x = _windows(x.roll((-down, -right), (1, 2)) if shifted else x, rows, columns)
    if logit_scale is not None and qkv_bias is not None:
        query, _, value = qkv_bias.chunk(3)
        qkv_bias = FUNCTIONS["cat"]((query, zeros(channels, dtype=query.dtype, device=query.device), value))
    qkv = F.linear(x, qkv_weight, qkv_bias).reshape(*x.shape[:2], 3, num_heads, channels // num_heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    if logit_scale is None:
        scores = (q * (channels // num_heads) ** -0.5) @ k.transpose(-2, -1)
    else:
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        scores = scores * logit_scale.clamp(max=math.log(100.0)).exp()
    scores = scores + relative_position_bias
    if mask is not None:
        scores = (scores.reshape(-1, mask.shape[0], *scores.shape[1:]) + mask).reshape(scores.shape)
    scores = F.dropout(scores.softmax(-1), attention_dropout, training)
    x = F.linear((scores @ v).transpose(1, 2).reshape(x.shape), proj_weight, proj_bias)
    x = _together(F.dropout(x, dropout, training), tall, wide, rows, columns)
    x = x.roll((down, right), (1, 2)) if shifted else x
    return x[:, :height, :width].contiguous()


class ShiftedWindowAttention(nn.Module):
    """:func:`shifted_window_attention` with its weights and a table of biases, one for each offset and head.

    Raises:
        ValueError: ``window_size`` or ``shift_size`` is not of two numbers.
    """

    def __init__(self, dim: int, window_size: list[int], shift_size: list[int], num_heads: int, qkv_bias: bool = True,
                 proj_bias: bool = True, attention_dropout: float = 0.0, dropout: float = 0.0):
        super().__init__()
        if len(window_size) != 2 or len(shift_size) != 2:
            raise ValueError("window_size and shift_size must be of length 2")
        self.window_size, self.shift_size, self.num_heads = window_size, shift_size, num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.define_relative_position_bias_table()
        self.register_buffer("relative_position_index", relative_position_index(*window_size).flatten())

    def define_relative_position_bias_table(self) -> None:
        """Makes what the biases come from."""
        rows, columns = self.window_size
        self.relative_position_bias_table = nn.Parameter(zeros((2 * rows - 1) * (2 * columns - 1), self.num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def _biases(self, table: Any) -> Any:
        """(1, heads, p, p) of a bias for each offset and head."""
        pixels = self.window_size[0] * self.window_size[1]
        return table[self.relative_position_index].reshape(pixels, pixels, -1).permute(2, 0, 1).unsqueeze(0)

    def get_relative_position_bias(self) -> Any:
        """What is added to the scores, (1, heads, p, p)."""
        return self._biases(self.relative_position_bias_table)

    def forward(self, x: Any) -> Any:
        return shifted_window_attention(
            x, self.qkv.weight, self.proj.weight, self.get_relative_position_bias(), self.window_size, self.num_heads,
            self.shift_size, self.attention_dropout, self.dropout, self.qkv.bias, self.proj.bias,
            getattr(self, "logit_scale", None), self.training)


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Cosines as scores, and biases that a small network makes of the offsets' logarithms."""

    def __init__(self, dim: int, window_size: list[int], shift_size: list[int], num_heads: int, qkv_bias: bool = True,
                 proj_bias: bool = True, attention_dropout: float = 0.0, dropout: float = 0.0):
        super().__init__(dim, window_size, shift_size, num_heads, qkv_bias, proj_bias, attention_dropout, dropout)
        self.logit_scale = nn.Parameter(full((num_heads, 1, 1), math.log(10)))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(inplace=True), nn.Linear(512, num_heads, bias=False))
        if qkv_bias:
            nn.init.zeros_(self.qkv.bias.data[dim:2 * dim])

    def define_relative_position_bias_table(self) -> None:
        """Makes the table of offsets, (1, 2 h - 1, 2 w - 1, 2), between -1 and 1 on a logarithmic scale."""
        def scaled(window: int) -> list[float]:
            steps = (8 * offset / (window - 1) for offset in range(1 - window, window))
            return [math.copysign(math.log2(abs(step) + 1) / 3, step) for step in steps]
        down, right = map(scaled, self.window_size)
        self.register_buffer("relative_coords_table", tensor([[[[a, b] for b in right] for a in down]]))

    def get_relative_position_bias(self) -> Any:
        """What is added to the scores, (1, heads, p, p), between 0 and 16."""
        return 16 * self._biases(self.cpb_mlp(self.relative_coords_table).reshape(-1, self.num_heads)).sigmoid()


class SwinTransformerBlock(nn.Module):
    """Attention and two linear layers, each behind a norm and with a shortcut."""

    def __init__(self, dim: int, num_heads: int, window_size: list[int], shift_size: list[int], mlp_ratio: float = 4.0,
                 dropout: float = 0.0, attention_dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
                 norm_layer: Callable = nn.LayerNorm, attn_layer: Callable = ShiftedWindowAttention):
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = attn_layer(dim, window_size, shift_size, num_heads, attention_dropout=attention_dropout, dropout=dropout)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        self.mlp = MLP(dim, [int(dim * mlp_ratio), dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def forward(self, x: Any) -> Any:
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class SwinTransformerBlockV2(SwinTransformerBlock):
    """Attention and two linear layers, each followed by a norm and with a shortcut."""

    def __init__(self, dim: int, num_heads: int, window_size: list[int], shift_size: list[int], mlp_ratio: float = 4.0,
                 dropout: float = 0.0, attention_dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
                 norm_layer: Callable = nn.LayerNorm, attn_layer: Callable = ShiftedWindowAttentionV2):
        super().__init__(dim, num_heads, window_size, shift_size, mlp_ratio, dropout, attention_dropout,
                         stochastic_depth_prob, norm_layer, attn_layer)

    def forward(self, x: Any) -> Any:
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


class SwinTransformer(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        patch_size: sides of the pieces into which images are cut.
        embed_dim: width of the first stage; each of the others is twice as wide as the one before.
        depths, num_heads: numbers of blocks and of heads of each stage.
        window_size: sides of the windows; every second block shifts them by half.
        stochastic_depth_prob: the chance with which the last block is skipped; that of the others grows up to it.
        norm_layer: by default ``LayerNorm`` with ``eps`` 1e-5.
        block: by default :class:`SwinTransformerBlock`.
    """

    def __init__(self, patch_size: list[int], embed_dim: int, depths: list[int], num_heads: list[int], window_size: list[int],
                 mlp_ratio: float = 4.0, dropout: float = 0.0, attention_dropout: float = 0.0,
                 stochastic_depth_prob: float = 0.1, num_classes: int = 1000, norm_layer: Callable | None = None,
                 block: Callable | None = None, downsample_layer: Callable = PatchMerging):
        super().__init__()
        self.num_classes = num_classes
        block, norm = block or SwinTransformerBlock, norm_layer or partial(nn.LayerNorm, eps=1e-5)
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, embed_dim, tuple(patch_size), tuple(patch_size)),
                                                 Permute([0, 2, 3, 1]), norm(embed_dim))]
        last, number, width = sum(depths) - 1, 0, embed_dim
        for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            width = embed_dim * 2**stage
            if stage:
                layers.append(downsample_layer(width // 2, norm))
            layers.append(nn.Sequential(*(
                block(width, heads, window_size=window_size, shift_size=[side // 2 * (place % 2) for side in window_size],
                      mlp_ratio=mlp_ratio, dropout=dropout, attention_dropout=attention_dropout,
                      stochastic_depth_prob=stochastic_depth_prob * (number + place) / last, norm_layer=norm)
                for place in range(depth))))
            number += depth
        self.features = nn.Sequential(*layers)
        self.norm = norm(width)
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(width, num_classes)
        initialise(self, lambda layer: nn.init.trunc_normal_(layer.weight, std=0.02), lambda layer: None)

    def forward(self, x: Any) -> Any:
        return self.head(self.flatten(self.avgpool(self.permute(self.norm(self.features(x))))))


def _builder(size: str, embed_dim: int, depth: int, heads: int, stochastic_depth_prob: float) -> Callable:
    second = size.startswith("V2")

    def make(**kwargs: Any) -> SwinTransformer:
        kind = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2} if second else {}
        return SwinTransformer(**{
            "patch_size": [4, 4], "embed_dim": embed_dim, "depths": [2, 2, depth, 2],
            "num_heads": [heads * 2**stage for stage in range(4)], "window_size": [8, 8] if second else [7, 7],
            "stochastic_depth_prob": stochastic_depth_prob, **kind, **kwargs})
    return builder(make, f"swin_{size.lower()}", f"Swin_{size}_Weights")


swin_t, swin_s, swin_b = _builder("T", 96, 6, 3, 0.2), _builder("S", 96, 18, 3, 0.3), _builder("B", 128, 18, 4, 0.5)
swin_v2_t, swin_v2_s, swin_v2_b = (
    _builder("V2_T", 96, 6, 3, 0.2), _builder("V2_S", 96, 18, 3, 0.3), _builder("V2_B", 128, 18, 4, 0.5))
globals().update(enumerations("Swin_"))
