"""The vision transformer (Dosovitskiy et al. 2020): pieces of an image as a sequence."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from clgrad import nn
from clgrad.creation import empty, zeros
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.weights import chosen, loaded


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
    """

    def __init__(self, image_size: int, patch_size: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int,
                 dropout: float = 0.0, attention_dropout: float = 0.0, num_classes: int = 1000,
                 representation_size: int | None = None, norm_layer: Callable = partial(nn.LayerNorm, eps=1e-6)):  # noqa: B008
        super().__init__()
        if image_size % patch_size:
            raise ValueError("Input shape indivisible by patch size!")
        self.image_size, self.patch_size, self.hidden_dim, self.num_classes = (
            image_size, patch_size, hidden_dim, num_classes)
        self.conv_proj = nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
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
        fan_in = 3 * patch_size**2
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / fan_in))
        nn.init.zeros_(self.conv_proj.bias)
        if representation_size is not None:
            nn.init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / hidden_dim))
            nn.init.zeros_(self.heads.pre_logits.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def forward(self, x: Any) -> Any:
        n, _, height, width = x.shape
        FUNCTIONS["_assert"](height == self.image_size, f"Wrong image height! Expected {self.image_size} but got {height}!")
        FUNCTIONS["_assert"](width == self.image_size, f"Wrong image width! Expected {self.image_size} but got {width}!")
        x = self.conv_proj(x).flatten(2).permute(0, 2, 1)
        token = self.class_token.expand(n, -1, -1)
        x = self.encoder(FUNCTIONS["cat"]([token, x], 1))
        return self.heads(x[:, 0])


def _builder(size: str, patch: int, layers: int, heads: int, hidden: int, mlp: int) -> Callable:
    name, function = f"ViT_{size}_{patch}", f"vit_{size.lower()}_{patch}"

    def build(weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
        weights = chosen(name, weights, kwargs)
        sizes = {"image_size": 224, "patch_size": patch, "num_layers": layers, "num_heads": heads, "hidden_dim": hidden,
                 "mlp_dim": mlp}
        return loaded(VisionTransformer(**{**sizes, **kwargs}), name, weights)
    build.__name__ = build.__qualname__ = function
    build.__doc__ = (f"{function}: ``weights`` None or the name of published ones; other arguments are "
                     ":class:`VisionTransformer`'s.")
    return build


vit_b_16 = _builder("B", 16, 12, 12, 768, 3072)
vit_b_32 = _builder("B", 32, 12, 12, 768, 3072)
vit_l_16 = _builder("L", 16, 24, 16, 1024, 4096)
vit_l_32 = _builder("L", 32, 24, 16, 1024, 4096)
