"""``clgrad.vision.ops`` against the same in loops over NumPy's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clgrad
from clgrad.vision import ops


def boxes(seed, count=7):
    corners = np.random.default_rng(seed).uniform(0, 8, (count, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(1), corners.max(1) + 0.5], 1)


def overlap(a, b, kind="iou"):
    """Of two boxes, in float64."""
    a, b = (np.float64(box) for box in (a, b))
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - shared
    width, height = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    iou = shared / union
    if kind == "iou":
        return iou
    if kind == "generalized_box_iou":
        return iou - (width * height - union) / (width * height)
    centres = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (a, b)]
    distance = iou - sum((p - q) ** 2 for p, q in zip(*centres, strict=True)) / (width**2 + height**2)
    if kind == "distance_box_iou":
        return distance
    angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    unlike = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    return distance - unlike**2 / (1 - iou + unlike)


def close(own, expected):
    np.testing.assert_allclose(own.detach().numpy(), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"])
def test_overlaps(name):
    a, b = boxes(1), boxes(2, 4)
    kind = "iou" if name == "box_iou" else name
    close(getattr(ops, name)(clgrad.tensor(a), clgrad.tensor(b)), [[overlap(p, q, kind) for q in b] for p in a])


@pytest.mark.parametrize("name", ["generalized_box_iou", "distance_box_iou", "complete_box_iou"])
def test_losses_of_boxes(name):
    a, b = boxes(3), boxes(4)
    expected = np.array([1 - overlap(p, q, name) for p, q in zip(a, b, strict=True)])
    loss = getattr(ops, f"{name}_loss")
    for reduction, value in (("none", expected), ("mean", expected.mean()), ("sum", expected.sum())):
        close(loss(clgrad.tensor(a), clgrad.tensor(b), reduction), value)
    if name != "complete_box_iou":  # whose weight of proportions counts as a constant
        x = clgrad.tensor(np.float64(a), requires_grad=True)
        clgrad.autograd.gradcheck(lambda t: loss(t, clgrad.tensor(np.float64(b))), (x,))
    with pytest.raises(ValueError, match="reduction"):
        loss(clgrad.tensor(a), clgrad.tensor(b), "median")


@pytest.mark.parametrize("alpha", [0.25, -1])
def test_focal_loss(alpha):
    x, t = np.random.default_rng(0).normal(size=(4, 3)), np.eye(4, 3)
    p = 1 / (1 + np.exp(-x))
    truth = p * t + (1 - p) * (1 - t)
    expected = -np.log(truth) * (1 - truth) ** 2 * (1 if alpha < 0 else alpha * t + (1 - alpha) * (1 - t))
    close(ops.sigmoid_focal_loss(clgrad.tensor(x), clgrad.tensor(t), alpha, 2), expected)


def test_forms_of_boxes():
    forms = {"xyxy": [1, 2, 4, 8], "xywh": [1, 2, 3, 6], "cxcywh": [2.5, 5, 3, 6]}
    for source, given in forms.items():
        for target, expected in forms.items():
            close(ops.box_convert(clgrad.tensor([given], dtype=clgrad.float32), source, target), [expected])
    with pytest.raises(ValueError, match="Unsupported"):
        ops.box_convert(clgrad.zeros(1, 4), "xyxy", "yxyx")


def test_boxes_of_pictures():
    close(ops.clip_boxes_to_image(clgrad.tensor([[-1.0, 1, 9, 3]]), (2, 5)), [[0, 1, 5, 2]])
    assert ops.remove_small_boxes(clgrad.tensor([[0.0, 0, 1, 5], [0, 0, 2, 2]]), 2).tolist() == [1]
    masks = clgrad.zeros(3, 6, 7, dtype=clgrad.bool)
    masks[0, 1:4, 2:6] = True
    masks[2, 5, 0] = True
    assert ops.masks_to_boxes(masks).tolist() == [[2, 1, 5, 3], [0, 0, 0, 0], [0, 5, 0, 5]]
    assert ops.box_area(clgrad.tensor([[0, 0, 200, 100]], dtype=clgrad.uint8)).tolist() == [20000]


def kept(rows, scores, threshold):
    chosen = []
    for n in np.argsort(-scores, kind="stable"):
        if all(overlap(rows[n], rows[m]) <= threshold for m in chosen):
            chosen.append(int(n))
    return chosen


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
def test_suppression(threshold):
    rows, generator = boxes(7, 20), np.random.default_rng(2)
    scores, classes = generator.random(20).astype(np.float32), generator.integers(0, 3, 20)
    assert ops.nms(clgrad.tensor(rows), clgrad.tensor(scores), threshold).tolist() == kept(rows, scores, threshold)
    own = [n for c in range(3) for n in np.flatnonzero(classes == c)[kept(rows[classes == c], scores[classes == c],
                                                                           threshold)]]
    found = ops.batched_nms(clgrad.tensor(rows), clgrad.tensor(scores), clgrad.tensor(classes), threshold)
    assert found.tolist() == sorted(own, key=lambda n: -scores[n])
    assert ops.nms(clgrad.zeros(0, 4), clgrad.zeros(0), 0.5).shape == (0,)
    with pytest.raises(RuntimeError, match="same number"):
        ops.nms(clgrad.zeros(2, 4), clgrad.zeros(3), 0.5)


def between(picture, y, x):
    """The value of (c, h, w) at a place between pixels; 0 more than one pixel outside."""
    _, height, width = picture.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(picture))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    return ((1 - dy) * ((1 - dx) * picture[:, top, left] + dx * picture[:, top, right])
            + dy * ((1 - dx) * picture[:, bottom, left] + dx * picture[:, bottom, right]))


@pytest.mark.parametrize("samples,scale,aligned", [(2, 1.0, False), (2, 1.0, True), (-1, 0.5, True), (-1, 1.0, False)])
def test_aligned_regions(samples, scale, aligned):
    x = np.random.default_rng(3).normal(size=(2, 3, 9, 8))
    rows = np.concatenate([[[0], [1], [1], [0]], np.float64(boxes(8, 4))], 1)
    expected = np.zeros((4, 3, 2, 3))
    for n, (picture, *box) in enumerate(rows):
        left, top, right, bottom = np.array(box) * scale - (0.5 if aligned else 0)
        width, height = (side if aligned else max(side, 1.0) for side in (right - left, bottom - top))
        along, across = (samples, samples) if samples > 0 else (math.ceil(height / 2), math.ceil(width / 3))
        for i, j in np.ndindex(2, 3):
            values = [between(x[int(picture)], top + (i + (a + 0.5) / along) * height / 2,
                              left + (j + (b + 0.5) / across) * width / 3)
                      for a in range(along) for b in range(across)]
            expected[n, :, i, j] = np.mean(values, 0)
    given = clgrad.tensor(x, requires_grad=True)
    close(ops.roi_align(given, clgrad.tensor(rows), (2, 3), scale, samples, aligned), expected)
    clgrad.autograd.gradcheck(lambda t: ops.roi_align(t, clgrad.tensor(rows[:2]), (2, 3), scale, samples, aligned), (given,))


def test_pooled_regions():
    x = np.arange(2 * 1 * 4 * 4, dtype=np.float32).reshape(2, 1, 4, 4)
    found = ops.roi_pool(clgrad.tensor(x), [clgrad.tensor([[0.0, 0, 3, 3]]), clgrad.tensor([[2.0, 2, 3, 3]])], 2)
    assert found.tolist() == [[[[5, 7], [13, 15]]], [[[26, 27], [30, 31]]]]
    assert ops.RoIPool(2, 1.0)(clgrad.tensor(x), clgrad.zeros(0, 5)).shape == (0, 1, 2, 2)
    with pytest.raises(AssertionError, match="boxes tensor shape"):
        ops.roi_pool(clgrad.tensor(x), clgrad.zeros(1, 4), 2)


def test_blocks():
    nn = clgrad.nn
    block = ops.Conv2dNormActivation(3, 4, (3, 5), activation_layer=nn.SiLU, dilation=2)
    assert [type(part).__name__ for part in block] == ["Conv2d", "BatchNorm2d", "SiLU"] and block[0].bias is None
    assert block(clgrad.ones(2, 3, 7, 6)).shape == (2, 4, 7, 6)
    assert ops.Conv3dNormActivation(1, 2, norm_layer=None)[0].bias is not None
    squeeze = ops.SqueezeExcitation(4, 2)
    assert list(squeeze.state_dict()) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert squeeze(clgrad.ones(2, 4, 3, 3)).shape == (2, 4, 3, 3)
    assert [type(part).__name__ for part in ops.MLP(6, [5, 4])] == ["Linear", "ReLU", "Dropout", "Linear", "Dropout"]
    assert ops.Permute([1, 0])(clgrad.zeros(2, 3)).shape == (3, 2)


def test_a_frozen_norm_is_the_trained_one():
    norm = clgrad.nn.BatchNorm2d(3)
    norm(clgrad.randn(4, 3, 5, 5))
    norm.eval()
    assert ops.misc.interpolate is clgrad.nn.functional.interpolate
    frozen = ops.FrozenBatchNorm2d(3)
    frozen.load_state_dict(norm.state_dict())
    x = clgrad.randn(2, 3, 4, 4)
    close(frozen(x), norm(x).detach().numpy())
    assert not list(frozen.parameters())


def test_dropping():
    clgrad.manual_seed(0)
    x = clgrad.ones(2000, 3)
    rows = ops.stochastic_depth(x, 0.25, "row")
    assert abs((rows[:, 0] == 0).float().mean().item() - 0.25) < 0.05 and (rows[:, 0] == rows[:, 2]).all()
    assert ops.stochastic_depth(x, 0.25, "batch").unique().numel() == 1
    assert ops.StochasticDepth(0.25, "row").eval()(x) is x
    dropped = ops.drop_block2d(clgrad.ones(50, 4, 12, 12), 0.2, 3)
    assert abs((dropped == 0).float().mean().item() - 0.2) < 0.06 and abs(dropped.mean().item() - 1) < 1e-3
    with pytest.raises(ValueError, match="between 0 and 1"):
        ops.stochastic_depth(x, 2, "row")
    with pytest.raises(ValueError, match="4 dimensional"):
        ops.drop_block2d(x, 0.1, 3)


def test_turned_boxes():
    # Twice as wide as high, turned by a quarter against the clock around its first corner.
    turned = clgrad.tensor([[10.0, 20.0, 4.0, 2.0, 90.0]])
    close(ops.box_convert(turned, "xywhr", "xyxyxyxy"), [[10, 20, 10, 16, 12, 16, 12, 20]])
    close(ops.box_convert(turned, "xywhr", "cxcywhr"), [[11, 18, 4, 2, 90]])
    corners = ops.box_convert(clgrad.tensor([[11.0, 18.0, 4.0, 2.0, 90.0]]), "cxcywhr", "xyxyxyxy")
    close(ops.box_convert(corners, "xyxyxyxy", "xywhr"), turned.numpy())
    with pytest.raises(NotImplementedError, match="xyxy and out_fmt xywhr"):
        ops.box_convert(clgrad.zeros(1, 4), "xyxy", "xywhr")


def test_areas_and_overlaps_of_other_forms():
    a, b = boxes(1), boxes(2, 4)
    for form in ("xywh", "cxcywh"):
        one, two = (ops.box_convert(clgrad.tensor(given), "xyxy", form) for given in (a, b))
        close(ops.box_iou(one, two, fmt=form), [[overlap(p, q) for q in b] for p in a])
        close(ops.box_area(one, fmt=form), (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]))
    for function in (ops.box_area, lambda given, form: ops.box_iou(given, given, form)):
        with pytest.raises(ValueError, match="nsupported"):
            function(clgrad.zeros(1, 4), "xyyx")


def test_boxes_of_whole_numbers_with_a_centre():
    given = clgrad.tensor([[0, 0, 25, 25]])
    centred = ops.box_convert(given, "xyxy", "cxcywh")
    assert centred.dtype is clgrad.float32 and centred.tolist() == [[12.5, 12.5, 25, 25]]
    assert ops.box_convert(given, "xyxy", "xywh").dtype is clgrad.int64
    assert ops.box_iou(clgrad.tensor([[13, 13, 25, 25]]), centred, fmt="cxcywh").item() == pytest.approx(24.5**2 / (
        2 * 625 - 24.5**2))


@pytest.mark.parametrize("name", ["generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"])
def test_losses_of_boxes_in_half_precision(name):
    a, b = (clgrad.tensor(boxes(seed) * 60) for seed in (3, 4))  # areas beyond the range of float16
    made = getattr(ops, name)(a.half(), b.half())
    assert made.dtype is clgrad.float32
    close(made, getattr(ops, name)(a.half().float(), b.half().float()).numpy())


@pytest.mark.parametrize("name", ["ps_roi_align", "ps_roi_pool"])
def test_regions_are_looked_at_before_channels(name):
    with pytest.raises(AssertionError, match="boxes tensor shape"):
        getattr(ops, name)(clgrad.zeros(1, 1, 8, 8), clgrad.zeros(1, 4), 2)


def test_pooled_regions_with_the_largest_pixel_more_than_once():
    x = clgrad.zeros(1, 1, 4, 4, requires_grad=True)
    ops.roi_pool(x, clgrad.tensor([[0.0, 0, 0, 3, 3]]), 2).sum().backward()
    assert x.grad.tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]]]


@pytest.mark.parametrize("samples", [2, -1])
def test_aligned_regions_with_channels_of_their_own(samples):
    x = np.random.default_rng(3).normal(size=(2, 2 * 6, 9, 8))
    rows = np.concatenate([[[0], [1], [1]], np.float64(boxes(8, 3))], 1)
    expected = np.zeros((3, 2, 2, 3))
    for n, (picture, *box) in enumerate(rows):
        left, top, right, bottom = np.array(box) * 0.8 - 0.5
        height, width = (bottom - top) / 2, (right - left) / 3
        along, across = (samples, samples) if samples > 0 else (math.ceil(height), math.ceil(width))
        for c, i, j in np.ndindex(2, 2, 3):
            own = x[int(picture), c * 6 + i * 3 + j][None]
            expected[n, c, i, j] = np.mean([between(own, top + (i + (a + 0.5) / along) * height,
                                                    left + (j + (b + 0.5) / across) * width)
                                            for a in range(along) for b in range(across)])
    given = clgrad.tensor(x, requires_grad=True)
    layer = ops.PSRoIAlign((2, 3), 0.8, samples)
    close(layer(given, clgrad.tensor(rows)), expected)
    clgrad.autograd.gradcheck(lambda t: layer(t, clgrad.tensor(rows[:1])), (given,))
    with pytest.raises(RuntimeError, match="12 channels for 5 x 1"):
        ops.ps_roi_align(given, clgrad.tensor(rows), (5, 1))


def test_pooled_regions_with_channels_of_their_own():
    x = np.random.default_rng(4).normal(size=(1, 4, 6, 7))
    rows = np.array([[0, 1.4, 0.6, 5.2, 4.4], [0, -3.0, 2.0, 2.5, 9.0]])
    expected = np.zeros((2, 1, 2, 2))
    for n, box in enumerate(rows[:, 1:]):
        left, top, right, bottom = (int(math.copysign(math.floor(abs(v) + 0.5), v)) for v in box)
        for i, j in np.ndindex(2, 2):
            spans = [[min(max(first + rounded(part * max(last - first, 1) / 2), 0), size - 1)
                      for rounded, part in ((math.floor, cell), (math.ceil, cell + 1))]
                     for first, last, cell, size in ((top, bottom, i, 6), (left, right, j, 7))]
            pixels = x[0, 2 * i + j, slice(*spans[0]), slice(*spans[1])]
            expected[n, 0, i, j] = pixels.mean() if pixels.size else 0
    given = clgrad.tensor(x, requires_grad=True)
    close(ops.PSRoIPool(2, 1.0)(given, clgrad.tensor(rows)), expected)
    clgrad.autograd.gradcheck(lambda t: ops.ps_roi_pool(t, clgrad.tensor(rows), 2), (given,))


@pytest.mark.parametrize("groups, masked", [(1, True), (2, False)])
def test_deformed_convolutions(groups, masked):
    rng = np.random.default_rng(5)
    x, weight, bias = rng.normal(size=(2, 4, 6, 5)), rng.normal(size=(2, 4, 3, 2)), rng.normal(size=2)
    height, width = (6 + 2 - 3) // 2 + 1, 5 + 4 - 2 * 1 - 1 + 1
    offset = rng.uniform(-2, 2, (2, groups * 12, height, width))
    mask = rng.uniform(0, 1, (2, groups * 6, height, width)) if masked else np.ones((2, groups * 6, height, width))

    def seen(picture, y, x):
        total = 0.0
        for j, i in ((math.floor(y) + a, math.floor(x) + b) for a in (0, 1) for b in (0, 1)):
            if 0 <= j < 6 and 0 <= i < 5:
                total += (1 - abs(y - j)) * (1 - abs(x - i)) * picture[j, i]
        return total
    expected = np.zeros((2, 2, height, width))
    for n, o, h, w, c, a, b in np.ndindex(2, 2, height, width, 4, 3, 2):
        place = c // (4 // groups) * 6 + a * 2 + b
        y, z = (h * 2 - 1 + a + offset[n, 2 * place, h, w], w - 2 + 2 * b + offset[n, 2 * place + 1, h, w])
        expected[n, o, h, w] += weight[o, c, a, b] * mask[n, place, h, w] * seen(x[n, c], y, z)
    given = [clgrad.tensor(array, requires_grad=True) for array in (x, offset, weight, bias)]
    extra = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "mask": clgrad.tensor(mask) if masked else None}
    close(ops.deform_conv2d(*given, **extra), expected + bias[:, None, None])
    clgrad.autograd.gradcheck(lambda *t: ops.deform_conv2d(*t, **extra)[:1, :, :1], given)
    none = [array[:0] for array in given[:2]]
    extra["mask"] = extra["mask"][:0] if masked else None
    assert ops.deform_conv2d(*none, *given[2:], **extra).shape == (0, 2, height, width)
    with pytest.raises(RuntimeError, match="not valid"):
        ops.deform_conv2d(given[0], given[1][:, :11], given[2])
    with pytest.raises(RuntimeError, match="offset should have shape"):
        ops.deform_conv2d(*given)


def test_deformed_convolution_as_a_layer():
    layer = ops.DeformConv2d(4, 6, 3, padding=1, groups=2, bias=False)
    assert repr(layer) == "DeformConv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=2, bias=False)"
    assert tuple(layer.weight.shape) == (6, 2, 3, 3)
    x = clgrad.rand(2, 4, 5, 5)
    plain = clgrad.nn.functional.conv2d(x, layer.weight, padding=1, groups=2)
    close(layer(x, clgrad.zeros(2, 18, 5, 5)), plain.detach().numpy())
    with pytest.raises(ValueError, match="in_channels must be divisible"):
        ops.DeformConv2d(5, 6, 3, groups=2)


def test_feature_pyramid():
    pyramid = ops.FeaturePyramidNetwork([2, 3], 4, ops.feature_pyramid_network.LastLevelP6P7(4, 4))
    fine, coarse = clgrad.rand(1, 2, 6, 6), clgrad.rand(1, 3, 3, 3)
    maps = pyramid({"fine": fine, "coarse": coarse})
    assert {name: tuple(one.shape) for name, one in maps.items()} == {
        "fine": (1, 4, 6, 6), "coarse": (1, 4, 3, 3), "p6": (1, 4, 2, 2), "p7": (1, 4, 1, 1)}
    inner, outer = pyramid.inner_blocks, pyramid.layer_blocks
    above = np.kron(inner[1](coarse).detach().numpy(), np.ones((1, 1, 2, 2)))
    close(maps["fine"], outer[0](clgrad.tensor(np.float32(above)) + inner[0](fine)).detach().numpy())
    close(maps["p7"], pyramid.extra_blocks.p7(maps["p6"].relu()).detach().numpy())
    with pytest.raises(ValueError, match="in_channels=0"):
        ops.FeaturePyramidNetwork([0], 4)
    with pytest.raises(TypeError, match="ExtraFPNBlock"):
        ops.FeaturePyramidNetwork([2], 4, clgrad.nn.ReLU())


@pytest.mark.parametrize("count", [1, 31, 32, 33, 70])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16"])
def test_boxes_that_stay_in_their_classes(count, kind):
    found = np.round(boxes(count, count))  # with overlaps that are equal, and boxes without an area
    found[::7, 2] = found[::7, 0]
    rng = np.random.default_rng(count)
    scores, classes = rng.permutation(count).astype(np.float32), rng.integers(-2, 2, count)
    with np.errstate(invalid="ignore"):
        worse = {(i, j) for i, j in np.ndindex(count, count)
                 if classes[i] == classes[j] and scores[i] > scores[j] and overlap(found[i], found[j]) > 0.25}
    expected: list[int] = []
    for place in np.argsort(-scores):
        if not any((other, place) in worse for other in expected):
            expected.append(int(place))
    given = clgrad.tensor(found).to(getattr(clgrad, kind)), clgrad.tensor(scores), clgrad.tensor(classes)
    assert ops.batched_nms(*given, 0.25).tolist() == expected
    assert ops.nms(*given[:2], 1.0).tolist() == np.argsort(-scores).tolist()


@pytest.mark.parametrize("layer", [ops.RoIAlign(2, 1.0, 2), ops.RoIPool(2, 1.0), ops.PSRoIAlign(2, 1.0, 2),
                                   ops.PSRoIPool(2, 1.0), ops.DeformConv2d(8, 3, 1)],
                         ids=lambda layer: type(layer).__name__)
def test_layers_of_regions_are_a_node_of_a_graph(layer):
    traced = clgrad.fx.symbolic_trace(layer)
    assert [node.op for node in traced.graph.nodes if node.op.startswith("call")] == ["call_function"]
    x, regions = clgrad.rand(1, 8, 6, 6), clgrad.tensor([[0.0, 0, 0, 5, 5]])
    other = clgrad.rand(1, 2, 6, 6) if isinstance(layer, ops.DeformConv2d) else regions
    close(traced(x, other), layer(x, other).detach().numpy())


@pytest.mark.parametrize("name", ["roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"])
def test_regions_in_half_precision_and_of_no_picture(name):
    pool = getattr(ops, name)
    x, regions = clgrad.rand(1, 8, 6, 6), clgrad.tensor([[0.0, 0, 0, 5, 5], [0, 2, 1, 4, 5]])
    half = pool(x.half(), regions.half(), 2)
    assert half.dtype is clgrad.float16
    np.testing.assert_allclose(half.float().numpy(), pool(x.half().float(), regions, 2).numpy(), atol=4e-3)
    nothing = pool(x.requires_grad_(), clgrad.zeros(0, 5), 2)
    assert nothing.shape == (0, 8 if name.startswith("roi") else 2, 2, 2)
