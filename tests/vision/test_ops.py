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
    with pytest.raises(ValueError, match="boxes tensor shape"):
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
