"""Copies against PyTorch: conversions between all dtypes, broadcasting, cat, stack, flip, repeat, tile, resize_."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
# What every dtype can hold, and rounding to float16 and bfloat16, to nearest even.
SMALL = [0.0, 1.0, 2.0, 100.0, 0.5, 0.1, 3.7, 127.0, 1.00390625, 2.0078125]


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_conversions(source, target, torch):
    numbers = list(SMALL)
    if source not in ("bool", "uint8"):
        numbers += [-1.0, -2.7, -128.0] if target not in ("bool", "uint8") else []
    if source.startswith(("float", "bf")) and target.startswith(("float", "bf", "bool")):
        numbers += [np.nan, np.inf, -np.inf, -0.0]
    x = clgrad.tensor(numbers, dtype=clgrad.float64)
    y = torch.tensor(numbers, dtype=torch.float64)
    x, y = (t.to(getattr(library, source)) for t, library in ((x, clgrad), (y, torch)))
    assert_same(x, y, 0, 0)
    found, expected = x.to(getattr(clgrad, target)), y.to(getattr(torch, target))
    assert_same(found, expected, 0, 0)
    assert_same(clgrad.zeros(len(numbers), dtype=getattr(clgrad, target)).copy_(x), expected, 0, 0)


def test_integers_keep_all_their_bits():
    big = [2**62 + 1, -2**62 - 1, 2**53 + 1]
    x = clgrad.tensor(big)
    assert x.clone().tolist() == big
    assert clgrad.cat([x, x[:1]]).tolist() == [*big, big[0]]
    assert clgrad.empty(3, dtype=clgrad.int64).copy_(x).tolist() == big
    assert x.to(clgrad.int32).tolist() == [1, -1, 1]


def test_to():
    x = clgrad.ones(2, 3)
    assert x.to(clgrad.float32) is x
    assert x.to("cpu") is x
    assert x.to(clgrad.ones(1, dtype=clgrad.float64)).dtype is clgrad.float64
    assert x.to("cpu", clgrad.int64).dtype is clgrad.int64
    assert x.to(device="cpu", dtype=clgrad.half, non_blocking=True).dtype is clgrad.float16
    copied = x.to(clgrad.float32, copy=True)
    assert copied is not x
    copied.zero_()
    assert x.sum().item() == 6
    assert (x.float(), x.double().dtype, x.long().dtype, x.bool().dtype) == (x, clgrad.float64, clgrad.int64,
                                                                           clgrad.bool)
    with pytest.raises(TypeError):
        x.to(dtype=clgrad.int64, wrong=1)
    with pytest.raises(RuntimeError):
        x.to("nowhere")
    assert x.t().to(clgrad.float64).stride() == (1, 3), "a dense layout is kept"


@pytest.mark.parametrize("made", [lambda t: t.rand(2, 3).t(), lambda t: t.rand(2, 3)[:, ::2],
                                  lambda t: t.rand(2, 3, 4, 5).permute(3, 2, 1, 0),
                                  lambda t: t.rand(2, 3, 4, 5).to(memory_format=t.channels_last)])
def test_only_channels_last_becomes_contiguous(made, torch):
    def outcome(t):
        x = made(t)
        same = [x.to(memory_format=t.contiguous_format), x.float(memory_format=t.contiguous_format)]
        return [y is x for y in same], [y.stride() for y in same], x.to(t.float64, memory_format=t.contiguous_format).stride()
    assert outcome(clgrad) == outcome(torch)


def test_clone_and_contiguous(torch, rng):
    x, y = pair(torch, rng.normal(size=(3, 4)).astype(np.float32))
    assert x.contiguous() is x
    for program in [lambda t: t.clone(), lambda t: t.t().clone(), lambda t: t.t().contiguous(),
                    lambda t: t[:, ::2].clone(), lambda t: t[1:].contiguous(), lambda t: t[0].expand(2, 4).clone(),
                    lambda t: t[:0].clone()]:
        found, expected = program(x), program(y)
        assert_same(found, expected)
        assert found.stride() == expected.stride()
        if found.memory is not x.memory:
            found.fill_(9)
    assert_same(x, y)
    a = clgrad.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    assert gradcheck(lambda v: v.t().clone().contiguous() * v.t().contiguous(), a)


@pytest.mark.parametrize(("target", "source"), [((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 4), ()), ((2, 3, 4), (1, 3, 1)),
                                                ((0, 4), (4,)), ((3, 4), (1, 4))])
def test_copy_broadcasts(target, source, torch, rng):
    data = rng.normal(size=source)
    for dtype in ("float64", "float32"):
        x, y = (library.zeros(target, dtype=getattr(library, dtype)) for library in (clgrad, torch))
        returned = x.copy_(clgrad.tensor(data))
        assert returned is x
        assert_same(x, y.copy_(torch.tensor(data)))


def test_copy_between_overlapping_and_strided_windows(torch):
    x, y = (library.arange(12.0).reshape(3, 4) for library in (clgrad, torch))
    x.t()[1:3].copy_(clgrad.ones(2, 3))
    y.t()[1:3].copy_(torch.ones(2, 3))
    assert_same(x, y)


def test_copy_records_gradients(rng):
    a = clgrad.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    b = clgrad.tensor(rng.normal(size=(3,)), requires_grad=True)

    def program(x, y):
        z = x * 2
        z[1].copy_(y)
        return z * z
    assert gradcheck(program, (a, b))
    assert gradgradcheck(program, (a, b))
    c = clgrad.ones(3, dtype=clgrad.float64, requires_grad=True)
    clgrad.zeros(2, 3).copy_(c).sum().backward()
    assert (c.grad.dtype, c.grad.tolist()) == (clgrad.float64, [2.0, 2.0, 2.0])


TURNED = [((5, 7), (1, 0)), ((8, 8), (1, 0)), ((19, 33), (1, 0)), ((3, 70, 9), (0, 2, 1)), ((9, 10, 17), (2, 1, 0)),
          ((2, 24, 3, 40), (0, 2, 3, 1)), ((16, 8, 9), (2, 0, 1)), ((70, 3, 65), (2, 1, 0))]


@pytest.mark.parametrize(("kind", "shape", "order"), [
    *[("float32", *turned) for turned in TURNED], *[(kind, *TURNED[3]) for kind in DTYPES if kind != "float32"]])
def test_dimensions_in_another_order(kind, shape, order):
    """A dense dimension of the operand crosses the result's: alone, converted, with others, within gaps and reversed."""
    source = np.random.default_rng(4).integers(0, 100, shape)
    x = clgrad.tensor(source).to(getattr(clgrad, kind))
    known = x.double().numpy()
    turned, expected = x.permute(order), known.transpose(order)
    np.testing.assert_array_equal(turned.contiguous().double().numpy(), expected)
    np.testing.assert_array_equal(turned.to(clgrad.float32, memory_format=clgrad.contiguous_format).numpy(), expected)
    row = clgrad.arange(float(expected.shape[-1]))
    np.testing.assert_array_equal((turned + row).double().numpy(), expected + row.numpy())
    whole = clgrad.zeros([n + 3 for n in shape], dtype=x.dtype)
    inside = whole[tuple(slice(2, n + 2) for n in shape)].copy_(x)
    np.testing.assert_array_equal(inside.permute(order).contiguous().double().numpy(), expected)
    np.testing.assert_array_equal(x.flip(0).permute(order).contiguous().double().numpy(), known[::-1].transpose(order))


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int64", "bool", "complex64"])
def test_a_copy_of_one_number_is_not_launched(kind, monkeypatch):
    x = clgrad.full((1, 3), 2, dtype=getattr(clgrad, kind))
    launched = []
    monkeypatch.setattr(x.device.compute, "recorder", lambda bound, *_: launched.append(bound))
    found = x.expand(4, 3).contiguous()
    assert not launched
    found[1] = 0
    assert x.tolist() == [[clgrad.tensor(2).to(x.dtype).item()] * 3]
    assert found.tolist() == [x[0].tolist() if n != 1 else [0] * 3 for n in range(4)]
    halves = clgrad.ones(2, 4).view(clgrad.int16)[:, ::2].contiguous()
    assert halves.tolist() == clgrad.tensor([[1.0] * 4] * 2).view(clgrad.int16)[:, ::2].tolist()


def test_blocks_are_transposed_where_an_operand_lies_across(monkeypatch):
    x, y = clgrad.randn(24, 40), clgrad.ones(40, 24)
    if not x.device.compute.is_cpu:
        pytest.skip("this device's work-items are lanes: none of them takes a block")
    launched = []
    monkeypatch.setattr(x.device.compute, "recorder", lambda bound, *_: launched.append(bound.kernel.macros))
    for program in (lambda: x.t().contiguous(), lambda: x.t() + y, lambda: x.t() + 1, lambda: x[:, :4].t().contiguous()):
        program()
    assert ["BLOCKED" in macros for macros in launched] == [True, True, False, False]


JOINED = {
    "rows": lambda t, v: t.cat([v(2, 3), v(1, 3), v(4, 3)]),
    "columns": lambda t, v: t.cat((v(2, 3), v(2, 1)), dim=1),
    "negative": lambda t, v: t.cat([v(2, 3), v(2, 3)], -1),
    "transposed": lambda t, v: t.cat([v(2, 3).t(), v(3, 1)], 1),
    "empty_vector": lambda t, v: t.cat([t.zeros(0, dtype=t.float64), v(2, 3)]),
    "empty": lambda t, v: t.cat([v(0, 3), v(2, 3)]),
    "one": lambda t, v: t.cat([v(2, 3)]),
    "stack": lambda t, v: t.stack([v(2, 3), v(2, 3)]),
    "stack_last": lambda t, v: t.stack([v(2, 3), v(2, 3)], dim=-1),
    "stack_scalars": lambda t, v: t.stack([v(), v()]),
    "flip": lambda t, v: t.flip(v(2, 3), [0, 1]),
    "flip_one": lambda t, v: v(2, 3, 2).flip(-1),
    "flip_scalar": lambda t, v: v().flip([]),
    "repeat": lambda t, v: v(2, 3).repeat(2, 3),
    "repeat_more": lambda t, v: v(2, 3).repeat(2, 1, 2),
    "repeat_zero": lambda t, v: v(2, 3).repeat(0, 2),
    "tile": lambda t, v: t.tile(v(2, 3), (2,)),
    "tile_more": lambda t, v: v(3).tile(2, 2),
}


@pytest.mark.parametrize("name", JOINED)
def test_joining_and_repeating(name, torch):
    results = []
    for library in (clgrad, torch):
        draws, made = np.random.default_rng(2), []

        def operand(*shape, library=library, draws=draws, made=made):
            made.append(library.tensor(draws.normal(size=shape), requires_grad=True))
            return made[-1]
        out = JOINED[name](library, operand)
        (out * out).sum().backward()
        results.append([out.detach(), *(m.grad for m in made)])
    assert_same(results[0], results[1])


def test_cat_promotes_and_fills_out(torch):
    programs = [lambda t: t.cat([t.ones(2, dtype=t.int32), t.ones(1)]),
                lambda t: t.cat([t.ones(2, dtype=t.bool), t.ones(1, dtype=t.uint8)]),
                lambda t: t.cat([t.ones(2, dtype=t.float16), t.ones(1, dtype=t.bfloat16)])]
    for program in programs:
        assert_same(program(clgrad), program(torch))
    out = clgrad.empty(0)
    assert clgrad.cat([clgrad.ones(2), clgrad.zeros(1)], out=out) is out
    assert out.tolist() == [1, 1, 0]
    x = clgrad.tensor([[1.0, 2.0]], dtype=clgrad.float64, requires_grad=True)
    assert gradgradcheck(lambda v: clgrad.cat([v * v, v]).flip(0).repeat(1, 2), x)


@pytest.mark.parametrize("pieces", [
    lambda x: (x[:, :, :2], x[:, :, 1:]), lambda x: (x[:, :, :2], x[:, :, 1:].contiguous()), lambda x: (x[:, :1], x[:, 1:]),
    lambda x: (x[..., :1], x[..., 1:]), lambda x: (x[:, :, :1, :1], x[:, :, 1:2, 1:]), lambda x: (x[::2], x[1:])])
@pytest.mark.parametrize("dim", [1, 3])
def test_cat_of_parts_of_images_whose_channels_are_neighbours(pieces, dim, torch):
    found = []
    for library in (clgrad, torch):
        x = library.arange(48.0).reshape(3, 2, 4, 2).to(memory_format=library.channels_last)
        try:
            joined = library.cat(pieces(x), dim)
            found.append((joined.stride(), joined.tolist()))
        except RuntimeError:
            found.append("sizes differ")
    assert found[0] == found[1]


@pytest.mark.parametrize(("kind", "value"), [("bool", True), ("uint8", 200), ("int16", -300), ("bfloat16", 1.5),
                                             ("float32", -0.1), ("float64", np.pi), ("int64", -(1 << 40))])
@pytest.mark.parametrize("count", [1 << 17, (1 << 18) + 1, 1_000_003])
def test_much_memory_of_one_value(kind, value, count):
    x = clgrad.full((count,), value, dtype=getattr(clgrad, kind))
    last = x[-3:].clone()  # takes the memory, and fills it
    assert bool((x == x[0]).all()) and x[0].item() == clgrad.tensor(value, dtype=x.dtype).item() == last[-1].item()


def test_one_value_may_fill_what_is_expanded():
    assert clgrad.empty(1).expand(3).fill_(2.0).tolist() == [2, 2, 2]
    assert clgrad.empty(2, 1).expand(2, 3).zero_().tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(("shape", "strides"), [((3, 3), (0, 1)), ((3,), (0,)), ((20, 40), (0, 2)), ((40, 3), (1, 0)),
                                                ((4, 4), (1, 1))])
def test_nothing_beside_what_is_expanded_is_filled(shape, strides, torch):
    filled = []
    for library in (clgrad, torch):
        memory = library.zeros(200)
        library.as_strided(memory, shape, strides, 50).fill_(3)
        filled.append(memory)
    assert_same(*filled)


@pytest.mark.parametrize("program", [
    lambda t: t.cat([]),
    lambda t: t.zeros(1).expand(3).__setitem__(slice(None), 4),
    lambda t: t.meshgrid(t.ones(2), t.ones(2, device="meta"), indexing="ij"),
    lambda t: t.cat([t.ones(2, 3), t.ones(2, 4)]),
    lambda t: t.cat([t.ones(2, 3), t.ones(3)]),
    lambda t: t.cat([t.ones(()), t.ones(())]),
    lambda t: t.cat([t.ones(2)], 1),
    lambda t: t.cat([t.ones(2), 3]),
    lambda t: t.stack([]),
    lambda t: t.stack([t.ones(2), t.ones(3)]),
    lambda t: t.stack([t.ones(2)], 2),
    lambda t: t.ones(2, 3).flip(0, 0),
    lambda t: t.ones(2, 3).flip(2),
    lambda t: t.ones(2, 3).repeat(2),
    lambda t: t.ones(2).copy_(t.ones(3)),
    lambda t: t.ones(3).copy_(t.ones(2, 3)),
    lambda t: t.ones(2, requires_grad=True).resize_(3),
    lambda t: t.zeros(1).expand(3).copy_(t.ones(3)),
])
def test_errors(program, torch):
    assert_same_error(torch, program)


def test_resize_keeps_elements_and_the_storage_only_grows():
    x = clgrad.arange(6.0)
    window = x[1:3]
    assert x.resize_(2, 2) is x
    assert (x.tolist(), x.stride()) == ([[0, 1], [2, 3]], (2, 1))
    assert x.resize_(6).tolist() == [0, 1, 2, 3, 4, 5]
    grown = x.resize_((3, 3))
    assert grown.flatten()[:6].tolist() == [0, 1, 2, 3, 4, 5]
    assert window.tolist() == [1, 2]
    assert clgrad.empty(0).resize_(2).shape == (2,)


FILLED = {"whole": lambda x: x, "transposed": lambda x: x.t(), "a part": lambda x: x[1:3], "a column": lambda x: x[:, 1],
          "expanded": lambda x: x[:1].expand(4, 6)}


@pytest.mark.parametrize("name", FILLED)
@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("memory", ["of a launch", "of the host", "of NumPy"])
def test_fill_in_place(name, kind, memory, torch):
    found = []
    for t in (clgrad, torch):
        dtype = getattr(t, kind)
        x = (t.arange(24).reshape(4, 6) + 1).to(dtype) if memory == "of a launch" else t.tensor(
            [[3.0] * 6] * 4, dtype=dtype)
        held = x.numpy() if memory == "of NumPy" and kind != "bfloat16" else None
        FILLED[name](x).fill_(1)
        before = x._version
        FILLED[name](x).zero_()
        assert x._version == before + 1
        assert held is None or np.array_equal(held, x.numpy())
        found.append(x)
    assert_same(*found)


def test_fill_waits_for_launches_before():
    x = clgrad.ones(1 << 22)
    for _ in range(5):
        y = (x * 2).exp_()  # is under way
        y.zero_()
        assert not y.any()
        y.fill_(3)
        assert bool((y + 1 == 4).all())
