"""Attention, its modules and transformers equal PyTorch's, and their errors are of its classes."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd.gradcheck import gradcheck, gradgradcheck
from tests.compare import assert_same_error, assert_same_outcome

pytestmark = [pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning"),
              pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")]


def close(found, expected, rtol=2e-4, atol=2e-5):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert tuple(a.shape) == tuple(b.shape)
            np.testing.assert_allclose(a.detach().float().numpy(), b.detach().float().numpy(), rtol, atol)


def pair(torch, name, **options):
    theirs, ours = getattr(torch.nn, name)(**options), getattr(clgrad.nn, name)(**options)
    return same_weights(ours, theirs)


def same_weights(ours, theirs):
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)
    return ours, theirs


# (shapes of query, key, value, mask or None, options)
SHAPES = [
    ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4), None, {}),
    ((2, 3, 7, 8), (2, 3, 7, 8), (2, 3, 7, 8), None, {"is_causal": True}),
    ((2, 2, 9, 8), (2, 2, 5, 8), (2, 2, 5, 8), None, {"is_causal": True, "scale": 0.3}),
    ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), (5, 7), {}),
    ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), (2, 1, 1, 7), {"scale": -0.5}),
    ((2, 4, 5, 8), (2, 2, 70, 8), (2, 2, 70, 8), None, {"enable_gqa": True}),
    ((5, 8), (6, 8), (6, 3), (5, 6), {}),
    ((1, 1, 100, 24), (1, 1, 133, 24), (1, 1, 133, 20), (1, 1, 100, 133), {}),
    ((2, 3, 9, 8), (2, 3, 9, 8), (2, 3, 9, 8), (9, 9), {"is_causal": True}),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=range(len(SHAPES)))
@pytest.mark.parametrize("kind", ["float", "bool"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_attention(torch, rng, shapes, kind, dtype):
    *shapes, mask_shape, options = shapes
    data = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    mask = None
    if mask_shape is not None:
        mask = rng.random(mask_shape) > 0.4
        mask[..., 0, :] = False  # a query that sees nothing, where the mask tells queries apart
        if kind == "float":
            mask = np.where(mask, rng.standard_normal(mask_shape), -np.inf).astype(np.float32)
    grad = rng.standard_normal((*shapes[0][:-1], shapes[2][-1])).astype(np.float32)
    results = []
    for library in (clgrad, torch):
        inputs = [library.tensor(d).to(getattr(library, dtype)).requires_grad_() for d in data]
        given = None if mask is None else library.tensor(mask)
        if given is not None and kind == "float":
            given = given.to(getattr(library, dtype))
        found = library.nn.functional.scaled_dot_product_attention(*inputs, given, **options)
        found.backward(library.tensor(grad).to(found.dtype))
        results.append([found, *[x.grad for x in inputs]])
    close(*results, **({"rtol": 5e-2, "atol": 5e-2} if dtype == "bfloat16" else {}))


def test_attention_to_strided_operands(torch, rng):
    data = rng.standard_normal((6, 2, 3 * 8)).astype(np.float32)
    results = []
    for library in (clgrad, torch):
        x = library.tensor(data, requires_grad=True)
        q, k, v = (t.view(6, 2, 2, 4).permute(1, 2, 0, 3) for t in x.chunk(3, -1))
        found = library.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        (found * found).sum().backward()
        results.append([found, x.grad])
    close(*results)


@pytest.mark.parametrize("masked", [False, True])
def test_derivatives_of_attention(masked):
    q, k, v = (clgrad.randn(1, 2, 3, dtype=clgrad.float64, requires_grad=True) for _ in range(3))
    mask = clgrad.randn(2, 2, dtype=clgrad.float64, requires_grad=True) if masked else None

    def function(q, k, v, *mask):
        return clgrad.nn.functional.scaled_dot_product_attention(q, k, v, *mask, is_causal=not masked)
    inputs = (q, k, v, mask) if masked else (q, k, v)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_dropout_of_attention_keeps_the_mean():
    q = clgrad.zeros(1, 200, 4)
    found = clgrad.nn.functional.scaled_dot_product_attention(q, q, clgrad.ones(1, 200, 4), dropout_p=0.5)
    assert abs(found.mean().item() - 1) < 0.1 and found.std().item() > 0.01


def test_a_chosen_implementation_is_accepted():
    choice = clgrad.nn.attention
    with choice.sdpa_kernel([choice.SDPBackend.MATH, choice.SDPBackend.FLASH_ATTENTION]):
        found = clgrad.nn.functional.scaled_dot_product_attention(*[clgrad.ones(2, 3)] * 3)
    assert (found == 1).all()
    with pytest.raises(AssertionError), choice.sdpa_kernel(3):
        pass


HEADS = [({}, {}), ({"batch_first": True}, {"need_weights": False}), ({"bias": False}, {"average_attn_weights": False}),
         ({"add_bias_kv": True, "add_zero_attn": True}, {"padding": True, "mask": True}),
         ({"kdim": 6, "vdim": 5, "add_bias_kv": True}, {"padding": True}),
         ({"batch_first": True}, {"padding": True, "mask": True, "need_weights": False})]


@pytest.mark.parametrize(("options", "call"), HEADS, ids=range(len(HEADS)))
@pytest.mark.parametrize("shared", [False, True])
def test_heads(torch, rng, options, call, shared):
    ours, theirs = pair(torch, "MultiheadAttention", embed_dim=8, num_heads=2, **options)
    call = dict(call)
    widths = (8, options.get("kdim", 8), options.get("vdim", 8))
    lengths = (5, 5, 5) if shared else (4, 5, 5)
    order = (2, 1) if options.get("batch_first") else (1, 2)
    data = [rng.standard_normal([length, 2] if order == (1, 2) else [2, length]) for length in lengths]
    data = [rng.standard_normal((*d.shape, w)).astype(np.float32) for d, w in zip(data, widths, strict=True)]
    padding, mask = call.pop("padding", False), call.pop("mask", False)
    results = []
    for library, module in ((clgrad, ours), (torch, theirs)):
        inputs = [library.tensor(d, requires_grad=True) for d in data]
        if shared and widths == (8, 8, 8):
            inputs = inputs[:1] * 3
        if padding:
            call["key_padding_mask"] = library.tensor([[False] * 5, [False, False, False, True, True]])
        if mask:
            call["attn_mask"] = library.tensor(np.triu(np.ones((lengths[0], 5), bool), 2))
        found, weights = module(*inputs, **call)
        (found * found).sum().backward()
        results.append([found, weights, inputs[0].grad, *[p.grad for p in module.parameters()]])
    close(*results)


def test_heads_of_a_single_sequence(torch, rng):
    ours, theirs = pair(torch, "MultiheadAttention", embed_dim=8, num_heads=4)
    x = rng.standard_normal((5, 8)).astype(np.float32)
    close(ours(*[clgrad.tensor(x)] * 3), theirs(*[torch.tensor(x)] * 3))


LAYERS = [{}, {"norm_first": True, "activation": "gelu"}, {"batch_first": True, "bias": False}]


@pytest.mark.parametrize("options", LAYERS, ids=range(len(LAYERS)))
@pytest.mark.parametrize("masked", [False, True])
def test_transformer(torch, rng, options, masked):
    ours, theirs = pair(torch, "Transformer", d_model=8, nhead=2, num_encoder_layers=2, num_decoder_layers=1,
                        dim_feedforward=12, dropout=0.0, **options)
    first = options.get("batch_first", False)
    data = [rng.standard_normal((3, n, 8) if first else (n, 3, 8)).astype(np.float32) for n in (6, 4)]
    results = []
    for library, module in ((clgrad, ours), (torch, theirs)):
        src, tgt = (library.tensor(d, requires_grad=True) for d in data)
        masks = {}
        if masked:
            padding = library.tensor([[False] * 6, [False] * 4 + [True] * 2, [False] * 5 + [True]])
            masks = {"tgt_mask": module.generate_square_subsequent_mask(4), "src_key_padding_mask": padding,
                     "memory_key_padding_mask": padding}
        found = module(src, tgt, **masks)
        (found * found).mean().backward()
        results.append([found, src.grad, tgt.grad, *[p.grad for p in module.parameters()]])
    close(*results, atol=5e-5)


def test_encoder_of_layers(torch, rng):
    options = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
    both = []
    for library in (clgrad, torch):
        nn = library.nn
        both.append(nn.TransformerEncoder(nn.TransformerEncoderLayer(**options, activation=nn.GELU()), 2,
                                          nn.LayerNorm(8)))
    same_weights(*both)
    x = rng.standard_normal((5, 3, 8)).astype(np.float32)
    results = []
    for library, module in zip((clgrad, torch), both, strict=True):
        causal = library.nn.Transformer.generate_square_subsequent_mask(5)
        results.append([module(library.tensor(x), causal), module(library.tensor(x), causal, is_causal=True),
                        module(library.tensor(x[:, 0]))])
    close(*results)


def test_initial_values_are_pytorchs(torch):
    for library in (clgrad, torch):
        module = library.nn.MultiheadAttention(64, 4, add_bias_kv=True)
        bound = (6 / (64 + 3 * 64)) ** 0.5
        assert 0.95 * bound < module.in_proj_weight.abs().max().item() <= bound
        assert not module.in_proj_bias.any() and not module.out_proj.bias.any()


@pytest.mark.parametrize("program", [
    lambda lib: lib.nn.functional.scaled_dot_product_attention(lib.ones(2, 3), lib.ones(2, 4), lib.ones(2, 3)),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(lib.ones(3), lib.ones(2, 3), lib.ones(2, 3)),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(*[lib.ones(2, 3).long()] * 3),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(*[lib.ones(2, 3)] * 2, lib.ones(2, 3).double()),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(*[lib.ones(2, 3)] * 3, lib.ones(2, 2), is_causal=True),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(*[lib.ones(1, 1, 2, 3)] * 3, lib.ones(2, 2), 0.1, True),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(
        *[lib.ones(1, 1, 2, 3)] * 2, lib.ones(1, 1, 2, 4), lib.ones(2, 2), 0.0, True),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(*[lib.ones(2, 3)] * 3, lib.ones(2, 2).int()),
    lambda lib: lib.nn.functional.scaled_dot_product_attention(*[lib.ones(2, 3)] * 3, dropout_p=2.0),
    lambda lib: lib.nn.MultiheadAttention(5, 2), lambda lib: lib.nn.MultiheadAttention(0, 2),
    lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.ones(1, 1, 1, 4)] * 3),
    lambda lib: lib.nn.MultiheadAttention(4, 2)(lib.ones(3, 1, 4), lib.ones(3, 4), lib.ones(3, 4)),
    lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.ones(3, 1, 4)] * 3, attn_mask=lib.ones(2, 3)),
    lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.ones(3, 1, 4)] * 3, attn_mask=lib.ones(3, 3).int()),
    lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.ones(3, 1, 4)] * 3, key_padding_mask=lib.ones(2, 3).bool()),
    lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.ones(3, 1, 4)] * 3, is_causal=True),
    lambda lib: lib.nn.TransformerEncoderLayer(4, 2, activation="elu"),
    lambda lib: lib.nn.Transformer(4, 2, 1, 1, 4)(lib.ones(2, 3, 4), lib.ones(2, 2, 4)),
    lambda lib: lib.nn.Transformer(4, 2, 1, 1, 4)(lib.ones(2, 3, 5), lib.ones(2, 3, 5)),
    lambda lib: lib.nn.Embedding(3, 2, padding_idx=3), lambda lib: lib.nn.Embedding.from_pretrained(lib.ones(3)),
    lambda lib: lib.nn.Embedding(3, 2, _weight=lib.ones(2, 2)),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


PROJECTED = {
    "split": lambda x, heads: [part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in x.chunk(3, -1)],
    "unbound": lambda x, heads: x.reshape(*x.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0),
    "steps first": lambda x, heads: [part.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3) for part in x.chunk(3, -1)],
    "overlapping": lambda x, heads: [x[:, n:n + 3, :24 * heads].unflatten(-1, (heads, 24)).transpose(1, 2) for n in range(3)],
    "the same": lambda x, heads: [x.unflatten(-1, (heads, -1)).transpose(1, 2)] * 3,
    "backwards": lambda x, heads: [part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in x.chunk(3, -1)][::-1],
}


@pytest.mark.parametrize("name", PROJECTED)
@pytest.mark.parametrize("size", [8, 16, 24, 32, 40])
@pytest.mark.parametrize("causal", [False, True])
def test_operands_from_one_projection(torch, rng, name, size, causal):
    """Windows on one memory: their gradients are windows on one, too, where operands do not overlap."""
    data, seed = rng.standard_normal((2, 5, 6 * size)), None
    if name == "overlapping":
        data = rng.standard_normal((2, 5, 48))
    results = []
    for t in (clgrad, torch):
        x = t.tensor(data, requires_grad=True)
        y = t.nn.functional.scaled_dot_product_attention(*PROJECTED[name](x * 1, 2), is_causal=causal)
        seed = rng.standard_normal(tuple(y.shape)) if seed is None else seed
        (g,) = t.autograd.grad(y, x, t.tensor(seed))
        results.append((y, g))
    close(*results, 1e-9, 1e-9)


@pytest.mark.parametrize("sizes", [(4, 4), (8, 12), (20, 20), (16, 64), (64, 16), (48, 48), (72, 100)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes_of_heads(torch, rng, sizes, dtype):
    data = [rng.standard_normal((2, 3, 37, size)).astype(dtype) for size in (sizes[0], *sizes)]
    results = []
    for t in (clgrad, torch):
        operands = [t.tensor(values, requires_grad=True) for values in data]
        y = t.nn.functional.scaled_dot_product_attention(*operands)
        results.append((y, *t.autograd.grad((y * y).sum(), operands)))
    close(*results)


def test_masks_are_merged_as_pytorchs(torch):
    def program(t):
        mask, wide, padding = (t.zeros(shape, dtype=t.bool) for shape in ((4, 4), (6, 4, 4), (3, 4)))
        mask[0, 1] = wide[1, 2, 3] = padding[1, 2] = True
        layer, query = t.nn.MultiheadAttention(8, 2, batch_first=True), t.zeros(3, 4, 8)
        return [layer.merge_masks(own, other, query) for own in (mask, wide, None) for other in (padding, None)]
    assert_same_outcome(torch, program)
