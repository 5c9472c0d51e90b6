"""In which order the results of layers lie in memory: as PyTorch's do, also for inputs with gaps between elements."""

from __future__ import annotations

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
    "bilinear": lambda t, f, x: f.interpolate(x, scale_factor=2, mode="bilinear"),
    "area": lambda t, f, x: f.interpolate(x, scale_factor=2, mode="area"),
    "pixel_shuffle": lambda t, f, x: f.pixel_shuffle(x, 2),
    "channel_shuffle": lambda t, f, x: f.channel_shuffle(x, 2),
    "leaky_relu": lambda t, f, x: f.leaky_relu(x),
    "dropout": lambda t, f, x: f.dropout(x),
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


@pytest.mark.parametrize(("name", "gaps"), [(name, False) for name in IMAGES] + [(name, True) for name in list(IMAGES)[:11]])
def test_images_keep_their_format_where_pytorchs_do(name, gaps, torch):
    def image(t):
        x = t.ones(2, 8, 6, 6).contiguous(memory_format=t.channels_last)
        return x[:, ::2] if gaps else x
    assert strides(clgrad, IMAGES[name], image(clgrad)) == strides(torch, IMAGES[name], image(torch))


def test_strides_of_single_elements_do_not_count(torch):
    def line(t):
        return t.ones(1, 3, 2, 1).permute(0, 2, 1, 3)
    assert strides(clgrad, IMAGES["batch_norm"], line(clgrad)) == strides(torch, IMAGES["batch_norm"], line(torch))


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_keep_their_format_where_pytorchs_do(name, torch):
    def volume(t):
        return t.ones(2, 4, 4, 4, 4).contiguous(memory_format=t.channels_last_3d)
    assert strides(clgrad, VOLUMES[name], volume(clgrad)) == strides(torch, VOLUMES[name], volume(torch))
