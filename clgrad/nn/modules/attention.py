"""Attention of several heads."""

from __future__ import annotations

from typing import Any

from clgrad.creation import empty
from clgrad.nn import functional as F
from clgrad.nn import init
from clgrad.nn.modules.linear import NonDynamicallyQuantizableLinear
from clgrad.nn.modules.module import Module
from clgrad.nn.parameter import Parameter


class MultiheadAttention(Module):
    """Queries see keys and take their values, in ``num_heads`` subspaces (Vaswani et al. 2017).

    Args:
        embed_dim: the width of queries and results, a multiple of ``num_heads``.
        dropout: the probability with which weights are zeroed while training.
        bias: whether the projections have biases. Default: True.
        add_bias_kv: append a learned key and value to every sequence.
        add_zero_attn: append a key and value of zeros.
        kdim, vdim: the widths of keys and values. Default: ``embed_dim``.
        batch_first: inputs are (batch, steps, width) instead of (steps, batch, width).

    Raises:
        ValueError, AssertionError: sizes that are not positive, or not divisible.

    >>> import clgrad
    >>> x = clgrad.zeros(5, 2, 8)
    >>> result, weights = clgrad.nn.MultiheadAttention(8, 4)(x, x, x)
    >>> result.shape, weights.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 5, 5]))
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False, device: Any = None, dtype: Any = None):
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                             f"num_heads={num_heads} instead")
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}")

        def weight(*shape: int) -> Any:
            return Parameter(empty(*shape, device=device, dtype=dtype))
        separate = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        if self._qkv_same_embed_dim:
            self.in_proj_weight = weight(3 * embed_dim, embed_dim)
            for name in separate:
                self.register_parameter(name, None)
        else:
            for name, width in separate.items():
                setattr(self, name, weight(embed_dim, width))
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = weight(3 * embed_dim)
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k = weight(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = weight(1, 1, embed_dim) if add_bias_kv else None
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draws new initial values (Glorot and Bengio 2010); biases are zero."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def merge_masks(self, attn_mask: Any, key_padding_mask: Any, query: Any) -> tuple[Any, int | None]:
        """(mask, its kind), of batches in the first dimension: 1 is ``key_padding_mask`` alone, (batch, length), 2 is
        (batch, heads, length, length), of both where both are given; None where there is none."""
        if attn_mask is None:
            return key_padding_mask, None if key_padding_mask is None else 1
        batch, length = query.shape[:2]
        wide = attn_mask.view(batch, -1, length, length) if attn_mask.ndim == 3 else attn_mask.view(1, 1, length, length)
        wide = wide.expand(batch, self.num_heads, -1, -1)
        return wide if key_padding_mask is None else wide + key_padding_mask.view(batch, 1, 1, length), 2

    def forward(self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
                attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False) -> tuple[Any, Any]:
        """(result, weights or None); see :func:`clgrad.nn.functional.multi_head_attention_forward`."""
        turned = self.batch_first and query.ndim == 3
        if turned:
            same_key, same_value = key is query, value is key
            query = query.transpose(0, 1)
            key = query if same_key else key.transpose(0, 1)
            value = key if same_value else value.transpose(0, 1)
        result, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k,
            self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, self.training,
            key_padding_mask, need_weights, attn_mask, not self._qkv_same_embed_dim, self.q_proj_weight,
            self.k_proj_weight, self.v_proj_weight, average_attn_weights=average_attn_weights, is_causal=is_causal)
        return result.transpose(0, 1) if turned else result, weights
