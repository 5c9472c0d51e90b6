"""In which order the results of layers lie in memory: as PyTorch's do, also for inputs with gaps between elements."""

from __future__ import annotations

import random
from math import prod

import pytest

import clgrad

IMAGES = {
    "max_pool2d": lambda t, f, x: f.max_pool2d(x, 2, return_indices=True),
    "avg_pool2d": lambda t, f, x: f.avg_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda t, f, x: f.adaptive_avg_pool2d(x, 2),
    "adaptive_max_pool2d": lambda t, f, x: f.adaptive_max_pool2d(x, 2, True),
    "lp_pool2d": lambda t, f, x: f.lp_pool2d(x, 2, 2),
    "max_unpool2d": lambda t, f, x: f.max_unpool2d(*f.max_pool2d(x, 2, return_indices=True), 2),
    "batch_norm": lambda t, f, x: f.batch_norm(x, None, None, training=True),
    "instance_norm": lambda t, f, x: f.instance_norm(x),
    "group_norm": lambda t, f, x: f.group_norm(x, 2),
    "conv2d": lambda t, f, x: f.conv2d(x, t.ones(8, x.shape[1], 3, 3)),
    "conv_transpose2d": lambda t, f, x: f.conv_transpose2d(x, t.ones(x.shape[1], 8, 3, 3)),
    "pad": lambda t, f, x: f.pad(x, (1, 1, 1, 1), "reflect"),
    "circular pad": lambda t, f, x: f.pad(x, (1, 1, 1, 1), "circular"),
    "bilinear": lambda t, f, x: f.interpolate(x, scale_factor=2, mode="bilinear"),
    "area": lambda t, f, x: f.interpolate(x, scale_factor=2, mode="area"),
    "pixel_shuffle": lambda t, f, x: f.pixel_shuffle(x, 2),
    "channel_shuffle": lambda t, f, x: f.channel_shuffle(x, 2),
    "leaky_relu": lambda t, f, x: f.leaky_relu(x),
    "dropout": lambda t, f, x: f.dropout(x),
    "sort": lambda t, f, x: tuple(x.sort(1)),
    "argsort": lambda t, f, x: x.argsort(-1),
    "flip": lambda t, f, x: x.flip(1, 3),
    "rot90": lambda t, f, x: tuple(x.rot90(k, (1, 3)) for k in range(4)),
    "tril": lambda t, f, x: x.tril(),
    "renorm": lambda t, f, x: x.renorm(2, 1, 1.0),
    "masked_fill": lambda t, f, x: x.masked_fill(x > 0, 2.0),
    "logsigmoid": lambda t, f, x: f.logsigmoid(x),
    "scatter": lambda t, f, x: x.scatter(1, t.zeros(2, 1, 6, 6, dtype=t.int64), 3.0),
    "scatter_add": lambda t, f, x: x.scatter_add(1, t.zeros(2, 1, 6, 6, dtype=t.int64), t.ones(2, 1, 6, 6)),
}
VOLUMES = {
    "max_pool3d": lambda t, f, x: f.max_pool3d(x, 2, return_indices=True),
    "max_pool3d of a volume": lambda t, f, x: f.max_pool3d(x[0], 2, return_indices=True),
    "avg_pool3d": lambda t, f, x: f.avg_pool3d(x, 2),
    "adaptive_avg_pool3d": lambda t, f, x: f.adaptive_avg_pool3d(x, 2),
    "adaptive_max_pool3d": lambda t, f, x: f.adaptive_max_pool3d(x, 2, True),
    "max_unpool3d": lambda t, f, x: f.max_unpool3d(*f.max_pool3d(x, 2, return_indices=True), 2),
    "batch_norm": lambda t, f, x: f.batch_norm(x, None, None, training=True),
    "instance_norm": lambda t, f, x: f.instance_norm(x),
    "conv3d": lambda t, f, x: f.conv3d(x, t.ones(8, x.shape[1], 3, 3, 3)),
    "trilinear": lambda t, f, x: f.interpolate(x, scale_factor=2, mode="trilinear"),
}


def strides(t, call, x):
    out = call(t, t.nn.functional, x)
    return [tuple(part.stride()) for part in (out if isinstance(out, tuple) else (out,))]


@pytest.mark.parametrize(("name", "gaps"), [(name, False) for name in IMAGES] + [(name, True) for name in list(IMAGES)[:12]])
def test_images_keep_their_format_where_pytorchs_do(name, gaps, torch):
    def image(t):
        x = t.ones(2, 8, 6, 6).contiguous(memory_format=t.channels_last)
        return x[:, ::2] if gaps else x
    assert strides(clgrad, IMAGES[name], image(clgrad)) == strides(torch, IMAGES[name], image(torch))


def test_strides_of_single_elements_do_not_count(torch):
    def line(t):
        return t.ones(1, 3, 2, 1).permute(0, 2, 1, 3)
    assert strides(clgrad, IMAGES["batch_norm"], line(clgrad)) == strides(torch, IMAGES["batch_norm"], line(torch))


@pytest.mark.parametrize("weight_first", [False, True])
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_gradients_of_convolutions_have_the_format_of_input_or_weight(name, weight_first, torch):
    found = []
    for t in (clgrad, torch):
        x, w = t.ones(2, 4, 6, 6, requires_grad=True), t.ones(4, 4, 3, 3, requires_grad=True)
        operands = [t.empty_like(a, memory_format=t.channels_last).copy_(a) if (a is w) == weight_first else a
                    for a in (x, w)]
        out = getattr(t.nn.functional, name)(*operands)
        found.append([tuple(g.stride()) for g in (out, *t.autograd.grad(out, operands, t.ones_like(out)))])
        if not weight_first:
            out = getattr(t.nn.functional, name)(x.detach().contiguous(memory_format=t.channels_last), w)
            out.sum().backward()
            found[-1].append(tuple(w.grad.stride()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "batch_norm", "group_norm", "conv2d", "pad", "bilinear",
                                  "leaky_relu", "lp_pool2d"])
def test_gradients_of_images_keep_their_format_where_pytorchs_do(name, torch):
    found = []
    for t in (clgrad, torch):
        x = t.rand(2, 4, 6, 6).contiguous(memory_format=t.channels_last).requires_grad_()
        out = IMAGES[name](t, t.nn.functional, x)
        out = out[0] if isinstance(out, tuple) else out
        (gradient,) = t.autograd.grad(out, x, t.ones_like(out))
        found.append(tuple(gradient.stride()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_keep_their_format_where_pytorchs_do(name, torch):
    def volume(t):
        return t.ones(2, 4, 4, 4, 4).contiguous(memory_format=t.channels_last_3d)
    assert strides(clgrad, VOLUMES[name], volume(clgrad)) == strides(torch, VOLUMES[name], volume(torch))


def test_elementwise_results_lie_as_their_operands_do(torch):
    numbers = random.Random(0)
    draws = []
    for _ in range(300):
        shape = [numbers.randint(1, 4) for _ in range(numbers.randint(0, 4))]
        operands = []
        for _ in range(numbers.randint(1, 3)):
            own = [size if numbers.random() < 0.7 else 1 for size in shape][numbers.choice([0, 0, 1]):]
            operands.append((own, numbers.sample(range(len(own)), len(own)), numbers.choice([1, 1, 2])))
        draws.append(operands)

    def placed(t, shape, order, step):
        """Zeros whose dimensions are in an order in memory, with gaps between them where ``step`` is 2."""
        wide = t.zeros([*(shape[axis] for axis in order), step]).permute(*(order.index(a) for a in range(len(order))), -1)
        return wide[..., 0]

    def found(t):
        functions = {1: t.exp, 2: t.add, 3: t.addcmul}
        results = [functions[len(operands)](*(placed(t, *operand) for operand in operands)) for operands in draws]
        return [[step for step, size in zip(r.stride(), r.shape, strict=True) if size > 1] for r in results]
    assert found(clgrad) == found(torch)


@pytest.mark.parametrize("call", [
    lambda t, a: t.linalg.qr(a), lambda t, a: t.linalg.svd(a, False), lambda t, a: t.geqrf(a),
    lambda t, a: t.linalg.lu_factor(a), lambda t, a: t.linalg.inv(a[..., :3]), lambda t, a: t.linalg.solve(a[..., :3], a),
    lambda t, a: t.linalg.eigh(a @ a.mT), lambda t, a: t.linalg.cholesky(a @ a.mT),
    lambda t, a: t.linalg.ldl_factor(a @ a.mT),
    lambda t, a: t.linalg.solve_triangular(a[..., :3], a, upper=True)])
def test_decompositions_leave_matrices_column_after_column(call, torch):
    def found(t):
        result = call(t, t.arange(30.).reshape(2, 3, 5).sin() + t.eye(3, 5))
        return [part.stride() for part in (result if isinstance(result, tuple) else (result,))]
    assert found(clgrad) == found(torch)


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("turned", [False, True])
def test_attention_lies_as_its_query_does(size, turned, torch):
    def found(t):
        q = t.ones(2, 5, 4, size).transpose(1, 2) if turned else t.ones(2, 4, 5, size)
        result = t.nn.functional.scaled_dot_product_attention(q, q, q)
        return result.stride(), result.is_contiguous()
    assert found(clgrad) == found(torch)


@pytest.mark.parametrize("shuffle", ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle"])
def test_what_no_shuffle_moves_is_a_copy(shuffle):
    x = clgrad.rand(2, 3, 4, 4)
    y = getattr(clgrad, shuffle)(x, 1)
    assert y.data_ptr() != x.data_ptr() and bool((y == x).all())


@pytest.mark.parametrize("shape", [(8, 1, 3, 3), (2, 4, 1, 1), (1, 1, 1, 1), (1, 3, 2, 1), (2, 1, 2, 3, 4)])
def test_conversions_of_single_channels_and_pixels_have_pytorchs_strides(shape, torch):
    def program(t):
        last = t.channels_last if len(shape) == 4 else t.channels_last_3d
        x = t.arange(prod(shape), dtype=t.float32).reshape(shape)
        y = x.to(memory_format=last)
        z = y.to(memory_format=t.contiguous_format)
        return [(v.tolist(), v.stride()) for v in (y, z, t.zeros_like(y), t.empty_like(y).copy_(y), y.double())]
    assert program(clgrad) == program(torch)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_whose_weight_alone_is_in_channels_last_gives_such_images(channels, torch):
    def program(t):
        layer = t.nn.Conv2d(channels, 4, 3).to(memory_format=t.channels_last)
        x = t.ones(2, channels, 6, 6)
        return layer.weight.stride(), layer(x).stride(), layer(x.requires_grad_()).stride()
    assert program(clgrad) == program(torch)
