"""Convolutions over volumes, unpooling, fractional and power pooling, grids, CTC: against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from tests.compare import assert_same, assert_same_error, pair

VOLUMES = [
    {}, {"stride": 2, "padding": 1, "groups": 2}, {"padding": "same", "dilation": 2}, {"padding": "valid"},
    {"stride": (1, 2, 1), "padding": (2, 0, 1)},
]
TRANSPOSED = [{}, {"stride": 2, "padding": 1, "groups": 2, "output_padding": 1}, {"dilation": 3, "output_padding": 2}]


def both_backward(inputs, results):
    for result in results:
        (result * result).sum().backward()
    for a, b in inputs:
        assert_same(a.grad, b.grad, 1e-9, 1e-9)


@pytest.mark.filterwarnings("ignore:Using padding=:UserWarning")
@pytest.mark.parametrize("options", VOLUMES)
def test_conv3d(torch, rng, options):
    groups = options.get("groups", 1)
    inputs = [pair(torch, rng.normal(size=s), requires_grad=True)
              for s in ((2, 4, 4, 5, 6), (6, 4 // groups, 3, 2, 3), (6,))]
    results = [lib.nn.functional.conv3d(*(t[n] for t in inputs), **options) for n, lib in enumerate((clgrad, torch))]
    assert_same(*results, 1e-10)
    both_backward(inputs, results)
    assert_same(clgrad.nn.functional.conv3d(inputs[0][0][0], inputs[1][0], **options), (results[1] - inputs[2][1].view(
        1, -1, 1, 1, 1))[0], 1e-9, 1e-9)


@pytest.mark.parametrize("options", TRANSPOSED)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed(torch, rng, rank, options):
    groups = options.get("groups", 1)
    inputs = [pair(torch, rng.normal(size=s), requires_grad=True)
              for s in ((2, 4, *(3, 4, 5)[:rank]), (4, 6 // groups, *(3, 2, 3)[:rank]), (6,))]
    results = [getattr(lib.nn.functional, f"conv_transpose{rank}d")(*(t[n] for t in inputs), **options)
               for n, lib in enumerate((clgrad, torch))]
    assert_same(*results, 1e-10)
    both_backward(inputs, results)


def test_second_derivatives_of_volumes(rng):
    x, w = (clgrad.tensor(rng.normal(size=s), requires_grad=True) for s in ((1, 2, 3, 3, 3), (2, 2, 2, 2, 2)))
    assert gradgradcheck(lambda a, b: clgrad.conv3d(a, b, padding=1, stride=2), (x, w))
    assert gradgradcheck(lambda a, b: clgrad.conv_transpose3d(a, b, stride=2), (x[:, :, :2], w))


@pytest.mark.parametrize(("rank", "size"), [(1, (2, 3, 8)), (2, (2, 3, 6, 7)), (3, (1, 2, 4, 5, 4))])
def test_max_unpool(torch, rng, rank, size):
    x, y = pair(torch, rng.permutation(int(np.prod(size))).reshape(size) / 7.0, requires_grad=True)
    results = []
    for lib, t in ((clgrad, x), (torch, y)):
        F = lib.nn.functional
        values, places = getattr(F, f"max_pool{rank}d")(t, 2, return_indices=True)
        results.append(getattr(F, f"max_unpool{rank}d")(values, places, 2, output_size=size[2:]))
    assert_same(*results)
    both_backward([(x, y)], results)


@pytest.mark.parametrize("rank", [2, 3])
def test_fractional_max_pool(torch, rng, rank):
    size = (2, 3, 7, 8, 6)[:rank + 2]
    x, y = pair(torch, rng.permutation(int(np.prod(size))).reshape(size) / 7.0, requires_grad=True)
    samples = pair(torch, rng.random((2, 3, rank)))
    results = [getattr(lib.nn.functional, f"fractional_max_pool{rank}d")(
        t, 2, output_ratio=(0.6,) * rank, return_indices=True, _random_samples=samples[n])
        for n, (lib, t) in enumerate(((clgrad, x), (torch, y)))]
    assert_same(*results)
    both_backward([(x, y)], [values for values, _ in results])
    alone = [getattr(lib.nn.functional, f"fractional_max_pool{rank}d")(t.detach()[0], 2, output_size=3, _random_samples=s)
             for lib, t, s in ((clgrad, x, samples[0]), (torch, y, samples[1]))]
    assert_same(*alone)
    drawn = getattr(clgrad.nn.functional, f"fractional_max_pool{rank}d")(x, 2, output_size=3)
    assert tuple(drawn.shape) == (2, 3, *(3,) * rank)


@pytest.mark.parametrize("norm", [1.5, 2, float("inf")])
def test_lp_pool(torch, rng, norm):
    x, y = pair(torch, rng.random((2, 3, 6, 7)) + 0.1, requires_grad=True)
    results = [lib.nn.functional.lp_pool2d(t, norm, (2, 3), 2, True) for lib, t in ((clgrad, x), (torch, y))]
    assert_same(*results, 1e-9)
    both_backward([(x, y)], results)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(torch, rng, mode, padding, align_corners):
    inputs = [pair(torch, a, requires_grad=True) for a in (rng.normal(size=(2, 3, 4, 5)),
                                                           rng.uniform(-1.7, 1.7, (2, 3, 2, 2)))]
    results = [lib.nn.functional.grid_sample(inputs[0][n], inputs[1][n], mode, padding, align_corners)
               for n, lib in enumerate((clgrad, torch))]
    assert_same(*results, 1e-9, 1e-12)
    both_backward(inputs, results)


@pytest.mark.parametrize("shape, points", [((1, 11, 8, 9), (19, 23)), ((3, 2, 40, 3), (1, 257)), ((2, 5, 1, 1), (256, 1))])
@pytest.mark.parametrize("needed", ["both", "image", "grid"])
def test_grid_sample_at_many_places(torch, rng, shape, points, needed):
    image, grid = rng.normal(size=shape), rng.uniform(-1.4, 1.4, (shape[0], *points, 2))
    grid[0, 0, 0], grid[-1, -1, -1, 0], grid[0, points[0] // 2, -1, 1] = np.nan, np.inf, -1e30
    found = []
    for library in (clgrad, torch):
        x = library.tensor(image, requires_grad=needed != "grid")
        at = library.tensor(grid, requires_grad=needed != "image")
        y = library.nn.functional.grid_sample(x, at, align_corners=False)
        y.nan_to_num().square().sum().backward()
        found.append([t.detach() for t in (y, x.grad, at.grad) if t is not None])
    for mine, theirs in zip(*found, strict=True):
        assert_same(mine, theirs, 1e-9, 1e-12)


def test_grid_sample_of_volumes_and_affine_grids(torch, rng):
    theta = pair(torch, rng.normal(size=(2, 3, 4)), requires_grad=True)
    image = pair(torch, rng.normal(size=(2, 1, 3, 4, 2)), requires_grad=True)
    results = []
    for n, lib in enumerate((clgrad, torch)):
        grid = lib.nn.functional.affine_grid(theta[n], (2, 1, 2, 3, 4), False)
        results.append(lib.nn.functional.grid_sample(image[n], grid, align_corners=False))
    assert_same(*results, 1e-9, 1e-12)
    both_backward([theta, image], results)
    x = clgrad.tensor(rng.normal(size=(1, 1, 3, 3)), requires_grad=True)
    points = clgrad.tensor(rng.uniform(-0.9, 0.9, (1, 2, 2, 2)), requires_grad=True)
    assert gradcheck(lambda a, b: clgrad.nn.functional.grid_sample(a, b, align_corners=True), (x, points))
    assert gradgradcheck(lambda a, b: clgrad.nn.functional.grid_sample(a, b, align_corners=True), (x, points))


@pytest.mark.parametrize("options", [{}, {"reduction": "sum", "blank": 2}, {"reduction": "none", "zero_infinity": True}])
@pytest.mark.parametrize("form", ["padded", "concatenated", "unbatched"])
def test_ctc_loss(torch, rng, form, options):
    blank = options.get("blank", 0)
    labels = np.array([[1, 3, 3, 1], [4, 1, 4, 1], [3, 4, 1, 3]])
    lengths = ([9, 7, 3], [4, 2, 3])
    if form == "concatenated":
        labels = np.concatenate([row[:n] for row, n in zip(labels, lengths[1], strict=True)])
    scores = rng.normal(size=(9, 3, 5))
    if form == "unbatched":
        labels, lengths, scores = labels[0], (9, 4), scores[:, 0]
    x, y = pair(torch, scores, requires_grad=True)
    results = []
    for lib, t in ((clgrad, x), (torch, y)):
        known = [lib.tensor(n) for n in lengths]
        results.append(lib.nn.functional.ctc_loss(t.log_softmax(-1), lib.tensor(labels), *known, **options))
    assert blank not in labels
    assert_same(*results, 1e-9)
    for result in results:
        result.sum().backward()
    assert_same(x.grad, y.grad, 1e-8, 1e-10)


def test_ctc_with_the_blank_among_the_labels(torch, rng):
    x, y = pair(torch, rng.normal(size=(6, 2, 3)), requires_grad=True)
    losses = [lib.nn.functional.ctc_loss(t.log_softmax(-1), lib.tensor([[1, 0, 2, 1], [2, 0, 2, 2]]), (6, 6), (4, 4),
                                         reduction="none") for lib, t in ((clgrad, x), (torch, y))]
    assert_same(*losses, 1e-9)
    for loss in losses:
        loss.sum().backward()
    assert_same(x.grad, y.grad, 1e-8, 1e-10)


def test_ctc_of_targets_that_do_not_fit(torch):
    for zero_infinity in (False, True):
        x, y = pair(torch, np.zeros((2, 1, 3)), requires_grad=True)
        losses = [lib.nn.functional.ctc_loss(t.log_softmax(2), lib.tensor([[1, 1]]), (2,), (2,), reduction="sum",
                                             zero_infinity=zero_infinity) for lib, t in ((clgrad, x), (torch, y))]
        assert_same(*losses)
    losses[0].backward()
    assert not x.grad.any()


def _lines(t):
    return t.zeros(4, 2, 3), t.ones(2, 2, dtype=t.long)


PROGRAMS = {
    "channels": lambda t: t.nn.functional.conv3d(t.ones(1, 2, 3, 3, 3), t.ones(1, 3, 1, 1, 1)),
    "kernel": lambda t: t.nn.functional.conv3d(t.ones(1, 1, 2, 2, 2), t.ones(1, 1, 3, 1, 1)),
    "output padding": lambda t: t.nn.functional.conv_transpose3d(t.ones(1, 1, 2, 2, 2), t.ones(1, 1, 1, 1, 1),
                                                                 output_padding=1),
    "indices": lambda t: t.nn.functional.max_unpool2d(t.ones(1, 1, 2, 2), t.ones(1, 1, 2, 3, dtype=t.long), 2),
    "output size": lambda t: t.nn.functional.max_unpool2d(t.ones(1, 1, 2, 2), t.ones(1, 1, 2, 2, dtype=t.long), 2,
                                                          output_size=(9, 9)),
    "fractional": lambda t: t.nn.functional.fractional_max_pool2d(t.ones(1, 1, 3, 3), 2),
    "fractional size": lambda t: t.nn.functional.fractional_max_pool2d(t.ones(1, 1, 3, 3), 3, 3),
    "grid": lambda t: t.nn.functional.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 3), align_corners=False),
    "grid mode": lambda t: t.nn.functional.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 2), "cubic"),
    "times": lambda t: t.nn.functional.ctc_loss(*_lines(t), (5, 4), (2, 2)),
    "samples": lambda t: t.nn.functional.ctc_loss(*_lines(t), (4,), (2, 2)),
    "blank": lambda t: t.nn.functional.ctc_loss(*_lines(t), (4, 4), (2, 2), blank=3),
    "labels": lambda t: t.nn.functional.ctc_loss(*_lines(t), (4, 4), (3, 2)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors(torch, name):
    assert_same_error(torch, PROGRAMS[name])


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("sides", [(0, 0), (-1, 0), (0, 0, -1, -1)])
def test_padding_gives_memory_of_its_own(mode, sides):
    x = clgrad.ones(1, 3, 4, 4) if len(sides) == 4 else clgrad.ones(1, 3, 4)
    clgrad.nn.functional.pad(x, sides, mode=mode).fill_(5)
    assert bool((x == 1).all())


@pytest.mark.parametrize("rank", [2, 3])
def test_sampling_at_a_grid_of_any_layout(torch, rng, rank):
    x, y = pair(torch, rng.random((2, 2, 4, 5, 3)[:rank + 2]), requires_grad=True)
    grids = pair(torch, rng.random((3, 2, 4, 2, rank)[:rank + 1] + (rank,)) * 2 - 1, requires_grad=True)
    results = [lib.nn.functional.grid_sample(t, grid.transpose(0, 1), align_corners=True)
               for lib, t, grid in ((clgrad, x, grids[0]), (torch, y, grids[1]))]
    assert_same(*results, 1e-9)
    both_backward([(x, y), grids], results)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("left, right", [((5, 3), (4, 3)), ((2, 7, 40), (2, 3, 40)), ((3, 1, 4, 2), (2, 5, 2)),
                                         ((9, 70), None)])
def test_distances(torch, rng, p, left, right, turned):
    """The first rows are equal, so that a distance is zero; without a right side the pairs of one matrix. ``turned``: the
    rows do not lie one after the other."""
    inputs = [rng.normal(size=shape) for shape in (left, right) if shape is not None]
    if right is not None:
        inputs[1].reshape(-1, right[-1])[0] = inputs[0].reshape(-1, left[-1])[0]
    found = []
    for library in (clgrad, torch):
        rows = [library.tensor(array, requires_grad=True) for array in inputs]
        if turned:
            rows = [row.detach().mT.contiguous().mT.requires_grad_() for row in rows]
        made = library.pdist(rows[0], p) if right is None else library.cdist(*rows, p=p)
        seed = library.tensor(np.random.default_rng(1).normal(size=tuple(made.shape)))
        found.append((made.detach(), *library.autograd.grad(made, rows, seed)))
    for mine, theirs in zip(*found, strict=True):
        assert_same(mine, theirs, 1e-9, 1e-11)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_second_derivatives_of_distances(rng, p):
    x, y = (clgrad.tensor(rng.normal(size=(n, 3)), requires_grad=True) for n in (3, 2))
    assert gradgradcheck(lambda a, b: clgrad.cdist(a, b, p=p), (x, y))
    assert gradgradcheck(lambda a: clgrad.pdist(a, p), (x,))


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, float("inf")])
def test_distances_of_equal_rows_have_gradients(p):
    x = clgrad.zeros(3, 2, requires_grad=True)
    clgrad.nn.functional.pdist(x, p).sum().backward()
    assert x.grad.tolist() == [[0, 0]] * 3


def test_losses_of_nothing_give_gradients():
    x = clgrad.zeros(0, 3, requires_grad=True)
    clgrad.nn.functional.nll_loss(x, clgrad.zeros(0, dtype=clgrad.int64), reduction="none").sum().backward()
    assert x.grad.shape == (0, 3)
