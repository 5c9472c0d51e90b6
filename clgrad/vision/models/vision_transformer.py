"""The vision transformer (Dosovitskiy et al. 2020): pieces of an image as a sequence."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from clgrad import nn
from clgrad.creation import empty, zeros
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.weights import builder, enumerations
from clgrad.vision.ops.misc import Conv2dNormActivation


class ConvStemConfig(NamedTuple):
    """A convolution before the sequence, with its normalisation and activation."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Callable = nn.BatchNorm2d
    activation_layer: Callable = nn.ReLU


def _conv_stem(configs: Sequence[ConvStemConfig], hidden_dim: int) -> nn.Sequential:
    """Convolutions in place of cutting into pieces (Xiao et al. 2021)."""
    stem, channels = nn.Sequential(), 3
    for number, config in enumerate(configs):
        stem.add_module(f"conv_bn_relu_{number}", Conv2dNormActivation(
            channels, config.out_channels, config.kernel_size, config.stride, norm_layer=config.norm_layer,
            activation_layer=config.activation_layer))
        channels = config.out_channels
    last = nn.Conv2d(channels, hidden_dim, kernel_size=1)
    nn.init.normal_(last.weight, std=math.sqrt(2 / hidden_dim))
    nn.init.zeros_(last.bias)
    stem.add_module("conv_last", last)
    return stem


def _cut(patch_size: int, hidden_dim: int) -> nn.Conv2d:
    """The convolution that cuts images into pieces."""
    layer = nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
    nn.init.trunc_normal_(layer.weight, std=math.sqrt(1 / (3 * patch_size**2)))
    nn.init.zeros_(layer.bias)
    return layer


class MLPBlock(nn.Sequential):
    """Two linear layers with GELU between them."""

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float):
        super().__init__(nn.Linear(in_dim, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, in_dim),
                         nn.Dropout(dropout))
        for place in (0, 3):
            nn.init.xavier_uniform_(self[place].weight)
            nn.init.normal_(self[place].bias, std=1e-6)


class EncoderBlock(nn.Module):
    """Self-attention, then :class:`MLPBlock`, each behind a normalisation and beside a shortcut."""

    def __init__(self, num_heads: int, hidden_dim: int, mlp_dim: int, dropout: float, attention_dropout: float,
                 norm_layer: Callable):
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, dropout=attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Any) -> Any:
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Positions are added, blocks follow one another."""

    def __init__(self, seq_length: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int, dropout: float,
                 attention_dropout: float, norm_layer: Callable):
        super().__init__()
        self.pos_embedding = nn.Parameter(empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(OrderedDict(
            (f"encoder_layer_{number}", EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer))
            for number in range(num_layers)))
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Any) -> Any:
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """Images (n, 3, ``image_size``, ``image_size``) to scores (n, ``num_classes``).

    Args:
        patch_size: side of the pieces; it divides ``image_size``.
        hidden_dim, mlp_dim: width of the sequence and inside the blocks.
        representation_size: width of a layer before the last one, or None for none.
        conv_stem_configs: convolutions that make the sequence, as many elements of it as there are pieces, in place of one.
    """

    def __init__(self, image_size: int, patch_size: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int,
                 dropout: float = 0.0, attention_dropout: float = 0.0, num_classes: int = 1000,
                 representation_size: int | None = None, norm_layer: Callable = partial(nn.LayerNorm, eps=1e-6),  # noqa: B008
                 conv_stem_configs: Sequence[ConvStemConfig] | None = None):
        super().__init__()
        if image_size % patch_size:
            raise ValueError("Input shape indivisible by patch size!")
        self.image_size, self.patch_size, self.hidden_dim, self.num_classes = (
            image_size, patch_size, hidden_dim, num_classes)
        self.mlp_dim, self.dropout, self.attention_dropout = mlp_dim, dropout, attention_dropout
        self.representation_size, self.norm_layer = representation_size, norm_layer
        self.conv_proj = (_cut(patch_size, hidden_dim) if conv_stem_configs is None
                          else _conv_stem(conv_stem_configs, hidden_dim))
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout,
                               norm_layer)
        layers: OrderedDict[str, Any] = OrderedDict()
        if representation_size is None:
            layers["head"] = nn.Linear(hidden_dim, num_classes)
        else:
            layers["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            layers["act"] = nn.Tanh()
            layers["head"] = nn.Linear(representation_size, num_classes)
        self.heads = nn.Sequential(layers)
        if representation_size is not None:
            nn.init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / hidden_dim))
            nn.init.zeros_(self.heads.pre_logits.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def _process_input(self, x: Any) -> Any:
        """The sequence (n, pieces, ``hidden_dim``) of images; programs' own models that build on this one call it."""
        _, _, height, width = x.shape
        FUNCTIONS["_assert"](height == self.image_size, f"Wrong image height! Expected {self.image_size} but got {height}!")
        FUNCTIONS["_assert"](width == self.image_size, f"Wrong image width! Expected {self.image_size} but got {width}!")
        return self.conv_proj(x).flatten(2).permute(0, 2, 1)

    def forward(self, x: Any) -> Any:
        x = self._process_input(x)
        token = self.class_token.expand(x.shape[0], -1, -1)
        x = self.encoder(FUNCTIONS["cat"]([token, x], 1))
        return self.heads(x[:, 0])


def interpolate_embeddings(image_size: int, patch_size: int, model_state: dict[str, Any], interpolation_mode: str = "bicubic",
                           reset_heads: bool = False) -> dict[str, Any]:
    """Weights for images of another size: the positions are interpolated, as on pictures.

    Args:
        image_size, patch_size: those of the model that will load the weights.
        model_state: a ``state_dict`` of :class:`VisionTransformer`, whose positions are replaced.
        reset_heads: leave the last layers out where the size is another.

    Raises:
        ValueError: the positions are not (1, n, c), or not those of a square and one token.
    """
    positions = model_state["encoder.pos_embedding"]
    if positions.shape[0] != 1:
        raise ValueError(f"Unexpected position embedding shape: {positions.shape}")
    old, new = math.isqrt(positions.shape[1] - 1), image_size // patch_size
    if positions.shape[1] - 1 == new**2:
        return model_state
    if positions.shape[1] - 1 != old**2:
        raise ValueError(f"seq_length is not a perfect square! Instead got seq_length_1d * seq_length_1d = {old**2} and "
                         f"seq_length = {positions.shape[1] - 1}")
    picture = positions[:, 1:].permute(0, 2, 1).reshape(1, -1, old, old)
    picture = nn.functional.interpolate(picture, size=(new, new), mode=interpolation_mode, align_corners=True)
    model_state["encoder.pos_embedding"] = FUNCTIONS["cat"]([positions[:, :1], picture.flatten(2).permute(0, 2, 1)], 1)
    return {key: value for key, value in model_state.items() if not (reset_heads and key.startswith("heads"))}


def _builder(size: str, patch: int, layers: int, heads: int, hidden: int, mlp: int) -> Callable:
    sizes = {"image_size": 224, "patch_size": patch, "num_layers": layers, "num_heads": heads, "hidden_dim": hidden,
             "mlp_dim": mlp}
    return builder(lambda **kwargs: VisionTransformer(**{**sizes, **kwargs}), f"vit_{size.lower()}_{patch}",
                   f"ViT_{size}_{patch}_Weights", lambda weights: {"image_size": weights.meta["min_size"][0]})


vit_b_16 = _builder("B", 16, 12, 12, 768, 3072)
vit_b_32 = _builder("B", 32, 12, 12, 768, 3072)
vit_l_16 = _builder("L", 16, 24, 16, 1024, 4096)
vit_l_32 = _builder("L", 32, 24, 16, 1024, 4096)
vit_h_14 = _builder("H", 14, 32, 16, 1280, 5120)
globals().update(enumerations("ViT"))
