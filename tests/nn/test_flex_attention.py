"""``flex_attention`` against its definition, block masks against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.nn.attention import flex_attention as flex

RNG = np.random.default_rng(3)
DOCUMENTS = np.repeat([[0, 1], [0, 0]], [30, 40], axis=1)
BIAS = np.linspace(-1, 1, 4)


def mods(torch):
    documents, bias = torch.tensor(DOCUMENTS), torch.tensor(BIAS)
    return (lambda b, h, q, kv: (q >= kv) & (documents[b][q] == documents[b][kv]),
            lambda score, b, h, q, kv: score + bias[h] * (kv - q))


def definition(q, k, v, scale):
    k, v = np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1)
    rows, columns = np.arange(70)[:, None], np.arange(70)
    scores = q @ k.swapaxes(2, 3) * scale + BIAS[None, :, None, None] * (columns - rows)
    seen = (rows >= columns) & (DOCUMENTS[:, :, None] == DOCUMENTS[:, None, :])
    scores = np.where(seen[:, None], scores, -np.inf)
    lse = np.log(np.exp(scores).sum(-1))
    return np.exp(scores - lse[..., None]) @ v, lse


def test_values_and_gradients():
    q, k, v = (RNG.standard_normal((2, heads, 70, 4)) for heads in (4, 2, 2))
    mask_mod, score_mod = mods(clgrad)
    mask = flex.create_block_mask(mask_mod, 2, None, 70, 70, BLOCK_SIZE=16)
    tensors = [clgrad.tensor(a, requires_grad=True) for a in (q, k, v)]
    out, lse = flex.flex_attention(*tensors, score_mod, mask, scale=0.3, enable_gqa=True, return_lse=True)
    expected, expected_lse = definition(q, k, v, 0.3)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(lse.detach().numpy(), expected_lse, atol=1e-10)
    small = [clgrad.tensor(a[:1, :1, :5], requires_grad=True) for a in (q, k, v)]
    causal = flex.create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 5, 5)
    assert clgrad.autograd.gradcheck(lambda *x: flex.flex_attention(*x, score_mod, causal), small)


def test_a_query_that_sees_nothing_gives_zeros():
    x = clgrad.ones(1, 1, 3, 2, requires_grad=True)
    mask = flex.create_block_mask(lambda b, h, q, kv: q > kv, None, None, 3, 3)
    out = flex.flex_attention(x, x, x, block_mask=mask)
    out.sum().backward()
    assert out[0, 0, 0].tolist() == [0.0, 0.0] and not x.grad.isnan().any()


def test_block_masks_are_those_of_pytorch(torch):
    theirs = pytest.importorskip("torch.nn.attention.flex_attention")
    made = [module.create_block_mask(mods(library)[0], 2, None, 70, 70, device="cpu", BLOCK_SIZE=16)
            for library, module in ((clgrad, flex), (torch, theirs))]
    assert made[0].shape == made[1].shape and made[0].sparsity() == pytest.approx(made[1].sparsity())
    for name in ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices", "q_num_blocks", "q_indices",
                 "full_q_num_blocks", "full_q_indices"):
        own, other = (getattr(mask, name) for mask in made)
        assert str(own.dtype) == str(other.dtype) and own.tolist() == other.tolist(), name
    assert made[0].to_dense().tolist() == made[1].to_dense().tolist()
    assert made[0][:, :, 1].to_dense().tolist() == made[1][:, :, 1].to_dense().tolist()


def test_masks_join_and_shapes_are_checked():
    both = flex.and_masks(lambda b, h, q, kv: q >= kv, lambda b, h, q, kv: q - kv < 2)
    either = flex.or_masks(both, lambda b, h, q, kv: kv == 0)
    mask = flex.create_mask(either, 1, 1, 3, 3)[0, 0]
    assert mask.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    x = clgrad.ones(1, 2, 3, 2)
    with pytest.raises(ValueError, match="must be 4D"):
        flex.flex_attention(x[0], x, x)
    with pytest.raises(ValueError, match="enable_gqa"):
        flex.flex_attention(x, x[:, :1], x[:, :1])
    with pytest.raises(RuntimeError, match="callable"):
        flex.and_masks(3)
