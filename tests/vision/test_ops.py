"""``torchvision.ops``, compared with torchvision."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.vision import ops

torch = pytest.importorskip("torch")
reference = pytest.importorskip("torchvision").ops


def boxes(seed, count=7):
    corners = np.random.default_rng(seed).uniform(0, 8, (count, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(1), corners.max(1) + 0.5], 1)


def agree(own, theirs):
    assert tuple(own.shape) == tuple(theirs.shape) and str(own.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(own.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"])
def test_overlaps(name):
    a, b = boxes(1), boxes(2, 4)
    agree(getattr(ops, name)(clgrad.tensor(a), clgrad.tensor(b)),
          getattr(reference, name)(torch.tensor(a), torch.tensor(b)))


@pytest.mark.parametrize("name", ["generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses_of_boxes_and_their_gradients(name, reduction):
    a, b = boxes(3), boxes(4)
    results = []
    for library, module in ((clgrad, ops), (torch, reference)):
        x = library.tensor(a, requires_grad=True)
        loss = getattr(module, name)(x, library.tensor(b), reduction)
        loss.sum().backward()
        results.append((loss, x.grad))
    for own, theirs in zip(*results, strict=True):
        agree(own, theirs)


@pytest.mark.parametrize("alpha", [0.25, -1])
def test_focal_loss(alpha):
    x, t = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.float32(np.eye(4, 3))
    agree(ops.sigmoid_focal_loss(clgrad.tensor(x), clgrad.tensor(t), alpha, 2, "mean"),
          reference.sigmoid_focal_loss(torch.tensor(x), torch.tensor(t), alpha, 2, "mean"))


@pytest.mark.parametrize("source", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("target", ["xyxy", "xywh", "cxcywh"])
def test_forms_of_boxes(source, target):
    a = boxes(5)
    agree(ops.box_convert(clgrad.tensor(a), source, target), reference.box_convert(torch.tensor(a), source, target))


def test_boxes_of_pictures():
    a, masks = boxes(6), np.random.default_rng(1).random((3, 6, 7)) > 0.8
    masks[1] = False
    masks[1, 2, 3] = True
    agree(ops.clip_boxes_to_image(clgrad.tensor(a), (4, 5)), reference.clip_boxes_to_image(torch.tensor(a), (4, 5)))
    agree(ops.remove_small_boxes(clgrad.tensor(a), 2.0), reference.remove_small_boxes(torch.tensor(a), 2.0))
    agree(ops.masks_to_boxes(clgrad.tensor(masks)), reference.masks_to_boxes(torch.tensor(masks)))
    agree(ops.box_area(clgrad.tensor(a)), reference.box_area(torch.tensor(a)))


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 1.0])
def test_suppression(threshold):
    a, generator = boxes(7, 30), np.random.default_rng(2)
    scores, classes = generator.random(30).astype(np.float32), generator.integers(0, 3, 30)
    agree(ops.nms(clgrad.tensor(a), clgrad.tensor(scores), threshold),
          reference.nms(torch.tensor(a), torch.tensor(scores), threshold))
    agree(ops.batched_nms(clgrad.tensor(a), clgrad.tensor(scores), clgrad.tensor(classes), threshold),
          reference.batched_nms(torch.tensor(a), torch.tensor(scores), torch.tensor(classes), threshold))
    assert ops.nms(clgrad.zeros(0, 4), clgrad.zeros(0), 0.5).shape == (0,)
    with pytest.raises(RuntimeError, match="same number"):
        ops.nms(clgrad.zeros(2, 4), clgrad.zeros(3), 0.5)


@pytest.mark.parametrize("options", [
    {"sampling_ratio": 2}, {"sampling_ratio": 2, "aligned": True}, {}, {"spatial_scale": 0.5, "aligned": True}], ids=str)
def test_aligned_regions(options):
    x = np.random.default_rng(3).normal(size=(2, 3, 9, 8)).astype(np.float32)
    rows = np.concatenate([np.float32([[0], [1], [0], [1], [1], [0], [0]]), boxes(8)], 1)
    results = []
    for library, module in ((clgrad, ops), (torch, reference)):
        given = library.tensor(x, requires_grad=True)
        made = module.roi_align(given, library.tensor(rows), (2, 3), **options)
        (made * made).sum().backward()
        results.append((made, given.grad))
    for own, theirs in zip(*results, strict=True):
        agree(own, theirs)


def test_pooled_regions():
    x = np.random.default_rng(4).normal(size=(2, 3, 9, 8)).astype(np.float32)
    listed = [boxes(9, 3), boxes(10, 2)]
    agree(ops.roi_pool(clgrad.tensor(x), [clgrad.tensor(b) for b in listed], 3),
          reference.roi_pool(torch.tensor(x), [torch.tensor(b) for b in listed], 3))


@pytest.mark.parametrize("make", [
    lambda o, nn: o.Conv2dNormActivation(3, 4, 3, 2), lambda o, nn: o.SqueezeExcitation(3, 2),
    lambda o, nn: o.Conv2dNormActivation(3, 4, (3, 5), norm_layer=None, activation_layer=nn.SiLU, dilation=2),
    lambda o, nn: o.FrozenBatchNorm2d(3), lambda o, nn: o.Permute([0, 2, 3, 1]), lambda o, nn: o.MLP(6, [5, 4], dropout=0.1),
    lambda o, nn: o.StochasticDepth(0.5, "row"), lambda o, nn: o.DropBlock2d(0.1, 3)], ids=range(8))
def test_blocks(make):
    own, theirs = make(ops, clgrad.nn).eval(), make(reference, torch.nn).eval()
    assert repr(own) == repr(theirs) and list(own.state_dict()) == list(theirs.state_dict())
    own.load_state_dict({name: clgrad.from_numpy(value.numpy()) for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(5).normal(size=(2, 3, 7, 6)).astype(np.float32)
    agree(own(clgrad.tensor(x)), theirs(torch.tensor(x)))


def test_dropping():
    clgrad.manual_seed(0)
    x = clgrad.ones(2000, 3)
    rows = ops.stochastic_depth(x, 0.25, "row")
    assert abs((rows[:, 0] == 0).float().mean().item() - 0.25) < 0.05 and (rows[:, 0] == rows[:, 2]).all()
    assert ops.stochastic_depth(x, 0.25, "batch").unique().numel() == 1
    dropped = ops.drop_block2d(clgrad.ones(50, 4, 12, 12), 0.2, 3)
    assert abs((dropped == 0).float().mean().item() - 0.2) < 0.06 and abs(dropped.mean().item() - 1) < 1e-3
    with pytest.raises(ValueError, match="between 0 and 1"):
        ops.stochastic_depth(x, 2, "row")
    with pytest.raises(ValueError, match="4 dimensional"):
        ops.drop_block2d(x, 0.1, 3)
