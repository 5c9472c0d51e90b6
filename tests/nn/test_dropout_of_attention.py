"""Attention with dropout: what is kept comes from the random stream, in both directions, and is not stored."""

from __future__ import annotations

import math

import pytest

import clgrad
from clgrad.autograd.gradcheck import gradgradcheck

F = clgrad.nn.functional
P = 0.3

# (batch, queries' heads, keys' heads, queries, keys, size, size of values, causal, masked)
CASES = [(2, 3, 3, 5, 7, 8, 8, False, False), (1, 2, 1, 40, 70, 8, 8, False, True), (2, 4, 2, 70, 70, 8, 8, True, False),
         (1, 1, 1, 1, 3, 4, 3, False, False)]


def spelled_out(q, k, v, mask, causal):
    """Attention by other operators, with the numbers that the stream gives to rows of whole counters."""
    b, heads, steps, size = q.shape
    keys = k.shape[2]
    kept = clgrad.empty(b, heads, steps, -(-keys // 4) * 4).bernoulli_(1 - P)[..., :keys].to(q.dtype) / (1 - P)
    k, v = (x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(size)
    if mask is not None:
        scores = scores + mask
    if causal:
        scores = scores.masked_fill(~clgrad.ones(steps, keys, dtype=clgrad.bool).tril(), -math.inf)
    return (scores.softmax(-1) * kept) @ v


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("dtype", [clgrad.float32, clgrad.float64])
def test_values_and_gradients(case, dtype):
    b, heads, shared, steps, keys, size, width, causal, masked = case
    shapes = ((b, heads, steps, size), (b, shared, keys, size), (b, shared, keys, width))
    operands = [clgrad.randn(*shape, dtype=dtype, requires_grad=True) for shape in shapes]
    mask = clgrad.randn(steps, keys, dtype=dtype) if masked else None
    clgrad.manual_seed(5)
    found = F.scaled_dot_product_attention(*operands, mask, P, causal, enable_gqa=heads != shared)
    clgrad.manual_seed(5)
    expected = spelled_out(*operands, mask, causal)
    g = clgrad.randn(*found.shape, dtype=dtype)
    fused = clgrad.autograd.grad(found, operands, g, retain_graph=True)
    recorded = clgrad.autograd.grad(found, operands, g, create_graph=True)
    for ours, again, theirs in zip((found, *fused), (found, *recorded), (expected, *clgrad.autograd.grad(
            expected, operands, g)), strict=True):
        clgrad.testing.assert_close(ours, theirs)
        clgrad.testing.assert_close(again, theirs)


def test_second_derivatives():
    operands = [clgrad.randn(1, 1, 3, 4, dtype=clgrad.float64, requires_grad=True) for _ in range(3)]

    def function(q, k, v):
        clgrad.manual_seed(3)
        return F.scaled_dot_product_attention(q, k, v, dropout_p=P)
    assert gradgradcheck(function, operands)


def test_a_seed_gives_the_same_and_calls_differ():
    x = clgrad.randn(1, 2, 9, 8)
    clgrad.manual_seed(1)
    first, second = (F.scaled_dot_product_attention(x, x, x, dropout_p=P) for _ in range(2))
    clgrad.manual_seed(1)
    assert F.scaled_dot_product_attention(x, x, x, dropout_p=P).equal(first) and not first.equal(second)


def test_the_share_that_is_dropped():
    x, v = clgrad.zeros(1, 1, 200, 4), clgrad.eye(200)[None, None]
    for p in (0.0, 0.25, 0.9, 1.0):
        found = F.scaled_dot_product_attention(x, x, v, dropout_p=p)
        assert abs((found == 0).float().mean().item() - p) < 0.02
        if p < 1:
            assert abs(found.mean().item() * 200 - 1) < 0.05


def test_memory_does_not_grow_with_the_square():
    q = clgrad.randn(1, 1, 2048, 8, requires_grad=True)
    q.sum().item()
    before = clgrad.accelerator.memory_allocated()
    clgrad.accelerator.reset_peak_memory_stats()
    F.scaled_dot_product_attention(q, q, q, dropout_p=0.1).sum().backward()
    assert bool(q.grad.isfinite().all())
    assert clgrad.accelerator.max_memory_allocated() - before < 2048 * 2048  # the weights alone take 4 times as much
