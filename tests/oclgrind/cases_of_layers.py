"""The same for the kernels of layers: convolutions, pools, attention, norms, images, recurrent layers, losses, optimizers."""

from __future__ import annotations

from itertools import product
from unittest import mock

import numpy as np

import clgrad as torch
import clgrad.nn.functional as F
from clgrad.kernels import conv, conv_weight_winograd, conv_weights, conv_winograd
from clgrad.vision.ops import batched_nms
from tests.oclgrind.marks import FLOATS, backward, of, positions, through_a_chain, values

CONVOLUTIONS = (
    # x, weight, options
    ((1, 1, 5, 5), (1, 1, 3, 3), {}),
    ((2, 3, 9, 11), (5, 3, 3, 3), {"padding": 1}),
    ((2, 3, 9, 11), (4, 3, 3, 2), {"stride": 2, "padding": (0, 1)}),
    ((1, 2, 12, 9), (3, 2, 3, 3), {"dilation": 2, "padding": 2}),
    ((2, 4, 7, 6), (6, 2, 3, 3), {"groups": 2}),
    ((1, 4, 6, 7), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    ((2, 5, 5, 7), (6, 5, 1, 1), {}),
    ((3, 2, 4, 8), (3, 2, 1, 1), {"stride": 3}),
    ((1, 3, 1, 40), (5, 3, 1, 9), {"padding": (0, 4), "stride": (1, 3)}),
    ((5, 1, 3, 3), (2, 1, 3, 3), {}),
    ((1, 8, 5, 6), (18, 8, 3, 3), {"padding": 1}),
)


@of("conv.cl", "cpu")
def convolutions() -> None:
    for x, weight, options in CONVOLUTIONS:
        backward(F.conv2d(values(*x, grad=True), values(*weight, grad=True), values(weight[0], grad=True), **options))
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        x, weight, options = CONVOLUTIONS[1]
        backward(F.conv2d(values(*x, dtype=kind, grad=True), values(*weight, dtype=kind, grad=True), **options))


@of("conv.cl", "gpu")
def convolutions_in_blocks() -> None:
    for x, weight, options in (((1, 1, 4, 4), (1, 1, 3, 3), {}), ((2, 2, 5, 4), (17, 2, 2, 1), {"padding": 1}),
                               ((1, 4, 5, 4), (2, 2, 3, 2), {"groups": 2, "stride": (2, 1), "dilation": (1, 2)})):
        backward(F.conv2d(values(*x, grad=True), values(*weight, grad=True), values(weight[0], grad=True), **options))
    backward(F.conv_transpose2d(values(1, 2, 3, 2, grad=True), values(2, 3, 3, 2, grad=True), stride=2, padding=1,
                                output_padding=1))
    for kind in (torch.float64, torch.float16):
        backward(F.conv1d(values(1, 2, 6, dtype=kind, grad=True), values(3, 2, 3, dtype=kind, grad=True)))


@of("conv.cl", "cpu")
def other_convolutions() -> None:
    F.conv2d(values(2, 3, 8, 8), values(5, 3, 3, 3), values(5)).relu()
    backward(F.conv1d(values(2, 3, 17, grad=True), values(4, 3, 5, grad=True), values(4, grad=True), padding=2))
    for options in ({}, {"stride": 2, "padding": 1, "output_padding": 1}, {"stride": 3, "dilation": 2}):
        backward(F.conv_transpose2d(values(2, 3, 4, 5, grad=True), values(3, 4, 3, 3, grad=True), values(4, grad=True),
                                    **options))
    backward(F.conv3d(values(1, 2, 4, 5, 4, grad=True), values(3, 2, 2, 3, 2, grad=True), padding=1))


@of("conv_panels.cl", "cpu")
def convolutions_of_many_channels() -> None:
    def always(*sizes: object) -> bool:
        return True
    with mock.patch.object(conv, "many_channels", always), mock.patch.object(conv_weights, "many_outputs", always):
        for x, weight, options in CONVOLUTIONS[1:5] + CONVOLUTIONS[6:8] + CONVOLUTIONS[-1:]:
            for kind in (torch.float32, torch.bfloat16):
                backward(F.conv2d(values(*x, dtype=kind, grad=True), values(*weight, dtype=kind, grad=True),
                                  values(weight[0], dtype=kind, grad=True), **options))


@of("conv_winograd.cl", "cpu")
def convolutions_of_few_multiplications() -> None:
    def always(*sizes: object) -> bool:
        return True
    with mock.patch.object(conv_winograd, "pays", always), mock.patch.object(conv_weight_winograd, "pays", always):
        for x, weight, options in (((3, 2, 4, 16), (34, 2, 3, 3), {"padding": 1}),
                                   ((1, 2, 4, 6), (3, 2, 3, 3), {"padding": 1}),
                                   ((2, 2, 4, 2), (3, 2, 3, 3), {"padding": 1}),
                                   ((1, 2, 6, 38), (6, 1, 3, 3), {"padding": (0, 1), "groups": 2})):
            for kind in (torch.float32, torch.bfloat16):
                backward(F.conv2d(values(*x, dtype=kind, grad=True), values(*weight, dtype=kind, grad=True),
                                  values(weight[0], dtype=kind, grad=True), **options))


@of("conv_depthwise.cl", "cpu")
def convolutions_of_each_channel() -> None:
    layouts = ({}, {"padding": 2}, {"stride": 2, "padding": 1}, {"stride": (1, 3), "dilation": 2, "padding": 3})
    for kind, kernel, options in [*product((torch.float32,), ((3, 3), (1, 5), (4, 4)), layouts),
                                  *product((torch.float64, torch.float16), ((3, 3),), layouts)]:
        backward(F.conv2d(values(2, 3, 9, 11, dtype=kind, grad=True), values(3, 1, *kernel, dtype=kind, grad=True),
                          values(3, dtype=kind, grad=True), groups=3, **options))


POOLS = (((2, 1, 7), 3, {}), ((1, 2, 9, 20), 2, {}), ((2, 2, 8, 9), 3, {"stride": 2, "padding": 1}),
         ((1, 1, 4, 40), (2, 3), {"stride": 1, "padding": 1}), ((1, 1, 5, 6, 7), 2, {"ceil_mode": True, "stride": 3}))


@of("pool.cl")
def gradients_of_relus_before_a_pool() -> None:
    nn = torch.nn
    for dtype in (torch.float32, torch.float16):
        through_a_chain(nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Sigmoid(), shape=(2, 2, 5, 6), dtype=dtype)


@of("pool.cl")
def pools() -> None:
    for kind, cases in ((torch.float32, POOLS), (torch.float64, POOLS[1:4]), (torch.float16, POOLS[1:4])):
        for shape, kernel, options in cases:
            rank = len(shape) - 2
            backward(getattr(F, f"max_pool{rank}d")(values(*shape, dtype=kind, grad=True), kernel, **options))
            backward(getattr(F, f"avg_pool{rank}d")(values(*shape, dtype=kind, grad=True), kernel, **options))
        backward(F.max_pool2d(values(1, 2, 9, 9, dtype=kind, grad=True), 3, stride=1, dilation=2, padding=1))
        backward(F.avg_pool2d(values(1, 2, 5, 5, dtype=kind, grad=True), 2, padding=1, count_include_pad=False,
                              divisor_override=3))
        for size in (1, 3, 4, 7) if kind is torch.float32 else (3,):
            backward(F.adaptive_avg_pool2d(values(2, 2, 7, 8, dtype=kind, grad=True), size))
            backward(F.adaptive_max_pool2d(values(2, 2, 7, 8, dtype=kind, grad=True), size))


def _attend(*sizes: tuple[torch.dtype, int, int, int, int]) -> None:
    for kind, steps, keys, size, value_size in sizes:
        q, k, v = (values(1, 2, n, d, dtype=kind, grad=True)
                   for n, d in ((steps, size), (keys, size), (keys, value_size)))
        for mask in (torch.rand(steps, keys) > 0.3, values(1, 1, steps, keys, dtype=kind)):
            backward(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
        backward(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        backward(F.scaled_dot_product_attention(q, k, v, dropout_p=0.4))
    q, k = values(1, 4, 9, 8, grad=True), values(1, 2, 9, 8, grad=True)
    backward(F.scaled_dot_product_attention(q, k, values(1, 2, 9, 8, grad=True), enable_gqa=True))


@of("attention.cl")
def attention() -> None:
    _attend((torch.float32, 5, 7, 8, 8), (torch.float64, 9, 3, 8, 16))


@of("attention.cl", "cpu")
def attention_of_many_keys() -> None:
    _attend((torch.float32, 19, 70, 5, 3))


@of("attention.cl", "gpu")
def attention_of_several_groups() -> None:
    _attend((torch.float32, 67, 3, 3, 2), (torch.float32, 3, 67, 3, 2))


@of("norm.cl", "cpu")
def normalisations() -> None:
    for kind in FLOATS:
        x = values(3, 6, 9, dtype=kind, grad=True)
        weight, bias = values(9, dtype=kind, grad=True), values(9, dtype=kind, grad=True)
        backward(F.layer_norm(x, (9,), weight, bias))
        backward(F.layer_norm(x, (6, 9)))
        backward(F.rms_norm(x, (9,), weight))
        weight, bias = values(6, dtype=kind, grad=True), values(6, dtype=kind, grad=True)
        backward(F.group_norm(x, 3, weight, bias))
        backward(F.instance_norm(x))
        mean, var = torch.zeros(6, dtype=kind), torch.ones(6, dtype=kind)
        for training in (True, False):
            backward(F.batch_norm(x, mean, var, weight, bias, training=training))
    backward(F.layer_norm(values(2, 1030, grad=True), (1030,)))
    backward(F.batch_norm(values(5, 40, grad=True), None, None, training=True))


@of("resample.cl")
def resampling() -> None:
    for mode, size in product(("nearest", "bilinear", "bicubic", "area"), ((5, 9), (17, 3), (8, 40))):
        backward(F.interpolate(values(2, 3, 8, 9, grad=True), size, mode=mode))
    backward(F.interpolate(values(1, 2, 20, 9, grad=True), (7, 4), mode="bilinear", antialias=True))
    backward(F.interpolate(values(1, 2, 5, 4, 3, grad=True), scale_factor=2, mode="trilinear", align_corners=True))
    backward(F.interpolate(values(1, 2, 9, dtype=torch.float16, grad=True), 21, mode="linear"))
    F.interpolate(values(1, 3, 6, 7, dtype=torch.uint8), (4, 9), mode="nearest")


@of("distances.cl")
def distances() -> None:
    for p, width, kind in product((0.0, 1.0, 2.0, 3.0, np.inf), (3, 17, 70), (torch.float32, torch.float64)):
        backward(torch.cdist(values(2, 3, width, dtype=kind, grad=True), values(2, 4, width, dtype=kind, grad=True), p))
        backward(torch.pdist(values(4, width, dtype=kind, grad=True), p))


@of("embedding_bag.cl")
def bags() -> None:
    for width, kind in ((1, torch.float32), (9, torch.float64), (70, torch.float32), (37, torch.float16)):
        table = values(7, width, dtype=kind, grad=True)
        backward(F.embedding_bag(positions(7, 3, 5), table, mode="mean"))
        for last in (False, True):
            F.embedding_bag(positions(7, 11).int(), table, torch.tensor([0, 3, 3, 9, 11]).int(), mode="sum",
                            include_last_offset=last)
        matrix = torch.sparse_coo_tensor([[0, 2, 2, 4], [6, 0, 3, 3]], values(4, dtype=kind, grad=True), (5, 7))
        backward(matrix @ table)


@of("pad.cl")
def extended_lines() -> None:
    sides = (2, 3), (1, 2, 3, 1), (1, 1, 2, 2, 1, 0), (-2, 1, 2, -1)
    for mode, pads in product(("reflect", "replicate", "circular", "constant"), sides):
        for width in (5, 19):
            backward(F.pad(values(2, *(4,) * (len(pads) // 2 - 1), width, grad=True), pads, mode))
    F.pad(values(2, 3, dtype=torch.int64), (1, 1), "circular")
    F.pad(values(2, 9) > 0, (1, 1), "circular")
    F.pad(values(2, 3, 2, 3, dtype=torch.uint8), (1, 20, -3, 5, 1, 0, 0, 1), value=3)
    backward(F.pad(values(2, 11, dtype=torch.bfloat16, grad=True), (3, 1), "reflect"))


@of("overlaps.cl")
def overlapping_boxes() -> None:
    for kind, count in ((torch.float32, 1), (torch.float32, 33), (torch.float64, 64), (torch.float32, 70)):
        corners = values(count, 2, dtype=kind)
        boxes = torch.cat([corners, corners + values(count, 2, dtype=kind).abs()], 1)
        batched_nms(boxes, values(count, dtype=kind), positions(3, count), 0.3)


@of("grid_sample.cl", "cpu")
def grids() -> None:
    for kind, points in ((torch.float32, (3, 100)), (torch.float64, (16, 16)), (torch.float32, (1, 1))):
        grid = values(2, *points, 2, dtype=kind, grad=True)
        backward(F.grid_sample(values(2, 11, 5, 6, dtype=kind, grad=True), grid, align_corners=False))
    for mode, padding, corners in product(("nearest", "bilinear", "bicubic"), ("border", "reflection"), (False, True)):
        backward(F.grid_sample(values(1, 2, 3, 4, grad=True), values(1, 9, 9, 2, grad=True), mode, padding, corners))
    for mode in ("nearest", "bilinear"):
        backward(F.grid_sample(values(1, 3, 2, 3, 4, grad=True), values(1, 5, 5, 7, 3, grad=True), mode, align_corners=True))


@of("recurrent.cl", "cpu")
def recurrent() -> None:
    for (kind, options), (batch, bias) in product(
            ((torch.nn.LSTM, {}), (torch.nn.GRU, {}), (torch.nn.RNN, {}), (torch.nn.RNN, {"nonlinearity": "relu"})),
            ((1, True), (2, False), (5, True), (18, True))):
        layer = kind(3, 5, bias=bias, bidirectional=batch == 2, **options)
        backward(layer(values(4, batch, 3, grad=True))[0])
        with torch.no_grad():
            layer(values(4, batch, 3))
    for kind in (torch.nn.LSTM, torch.nn.GRU):
        packed = torch.nn.utils.rnn.pack_padded_sequence(values(4, 3, 3, grad=True), [4, 2, 1])
        backward(kind(3, 13)(packed)[0].data)
    backward(torch.nn.LSTM(3, 5, dtype=torch.float64)(values(4, 2, 3, dtype=torch.float64, grad=True))[0])


@of("fft.cl")
def fourier_transforms() -> None:
    for shape in ((1, 1), (3, 12), (1, 16), (20, 8), (1, 64), (2, 48), (17, 34), (1, 512), (1, 5, 3), (2, 3, 18)):
        z = torch.complex(values(*shape), values(*shape))
        torch.fft.fft(z, dim=1), torch.fft.ifft(z, n=shape[1] + 2, dim=1)
        torch.fft.rfft(z.real, dim=1), torch.fft.irfft(z, n=2 * shape[1], dim=1), torch.fft.irfft(z, n=7, dim=1)
    for n in (13, 44, 70, 105):
        torch.fft.hfft(values(3, n // 2 + 1, dtype=torch.complex128), n=n), torch.fft.ihfft(values(1, n, dtype=torch.float64))


@of("ctc.cl")
def connectionist_losses() -> None:
    for kind, zero in product((torch.float32, torch.float64), (False, True)):
        x = values(9, 3, 5, dtype=kind, grad=True)
        lengths, targets = torch.tensor([9, 5, 1]), torch.tensor([[1, 2, 2, 3], [4, 0, 0, 0], [1, 1, 0, 0]])
        F.ctc_loss(x.log_softmax(2), targets, lengths, torch.tensor([4, 1, 2]), zero_infinity=zero).backward()
        F.ctc_loss(x.log_softmax(2), targets, lengths, torch.tensor([3, 0, 2]), reduction="sum").backward()


OPTIMIZERS = (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.Adam(p, amsgrad=True),
              lambda p: torch.optim.AdamW(p, weight_decay=0.1), lambda p: torch.optim.RMSprop(p, centered=True))


@of("optimizer.cl")
def optimizers() -> None:
    for make, kind in [*product(OPTIMIZERS, (torch.float32,)), *product(OPTIMIZERS[1:2], (torch.float64, torch.bfloat16))]:
        parameters = [torch.nn.Parameter(values(n, dtype=kind)) for n in (1, 3, 4, 37, 131)]
        optimizer = make(parameters)
        for _ in range(2):
            for p in parameters:
                p.grad = values(*p.shape, dtype=kind)
            optimizer.step()
