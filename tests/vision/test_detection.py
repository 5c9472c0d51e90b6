"""Detectors: their parts against the same in NumPy, and whether they learn where something is."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clgrad
from clgrad import nn
from clgrad.vision import ops
from clgrad.vision.models import detection, get_model, get_weight, list_models
from clgrad.vision.models.detection import anchor_utils, backbone_utils, keypoints, masks, matching, transform
from clgrad.vision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from clgrad.vision.models.detection.image_list import ImageList
from clgrad.vision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from clgrad.vision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from clgrad.vision.models.detection.ssd import SSD

NORMS_OF_RESNET50 = 53120  # weights and biases, which published models keep as buffers


def close(own, expected, **kwargs):
    np.testing.assert_allclose(own.detach().numpy(), expected, **{"rtol": 1e-5, "atol": 1e-5, **kwargs})


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn_v2",
                                  "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"])
def test_parameters_are_as_many_as_published(name):
    model = get_model(name, weights=None, weights_backbone=None)
    assert sum(p.numel() for p in model.parameters()) == detection_weights(name).meta["num_params"]


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn",
                                  "retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_norms_learn_where_there_are_no_weights(name):
    model = get_model(name, weights=None, weights_backbone=None)
    known = detection_weights(name).meta["num_params"]
    assert sum(p.numel() for p in model.parameters()) == known + NORMS_OF_RESNET50
    assert all(p.requires_grad for p in model.parameters())


def detection_weights(name):
    known = {one.removesuffix("_Weights").lower(): one for one in vars(detection) if one.endswith("_Weights")}
    return get_weight(f"{known[name]}.COCO_V1")


def test_names_of_models_and_weights():
    assert len(list_models(detection)) == 12
    assert get_weight("MaskRCNN_ResNet50_FPN_Weights.DEFAULT").meta["categories"][:2] == ["__background__", "person"]
    assert len(get_weight("KeypointRCNN_ResNet50_FPN_Weights.DEFAULT").meta["keypoint_names"]) == 17


def test_keys_of_a_detector():
    keys = set(detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2).state_dict())
    assert {"backbone.body.layer1.0.conv1.weight", "backbone.body.bn1.running_var", "backbone.fpn.inner_blocks.3.0.bias",
            "backbone.fpn.layer_blocks.0.0.weight", "rpn.head.conv.0.0.weight", "rpn.head.cls_logits.bias",
            "rpn.head.bbox_pred.weight", "roi_heads.box_head.fc6.weight", "roi_heads.box_predictor.cls_score.weight",
            "roi_heads.box_predictor.bbox_pred.bias", "roi_heads.mask_head.3.0.bias",
            "roi_heads.mask_predictor.conv5_mask.weight", "roi_heads.mask_predictor.mask_fcn_logits.bias"} <= keys
    assert not any("fc.weight" in key for key in keys)


def test_files_of_the_first_versions_load():
    head = detection.faster_rcnn.RPNHead(4, 2)
    old = {name.replace("conv.0.0.", "conv."): value + 1 for name, value in head.state_dict().items()}
    head.load_state_dict(old)
    close(head.conv[0][0].weight, old["conv.weight"].numpy())
    pyramid = ops.FeaturePyramidNetwork([3, 5], 4)
    old = {name.replace(".0.weight", ".weight").replace(".0.bias", ".bias"): value + 1
           for name, value in pyramid.state_dict().items()}
    pyramid.load_state_dict(old)
    close(pyramid.inner_blocks[1][0].weight, old["inner_blocks.1.weight"].numpy())
    heads = MaskRCNNHeads(3, [4, 4], 1)
    heads.load_state_dict({f"mask_fcn{number + 1}.{name}": clgrad.ones_like(getattr(heads[number][0], name))
                           for number in range(2) for name in ("weight", "bias")})
    assert heads[1][0].bias.tolist() == [1.0] * 4


@pytest.mark.parametrize("layers, learning", [(0, set()), (2, {"layer3", "layer4"}),
                                              (5, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"})])
def test_stages_of_a_backbone_that_learn(layers, learning):
    backbone = backbone_utils.resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=layers,
                                                  norm_layer=nn.BatchNorm2d)
    found = {name.split(".")[0] for name, p in backbone.body.named_parameters() if p.requires_grad}
    assert found == learning
    maps = backbone(clgrad.rand(1, 3, 64, 64))
    assert {name: tuple(one.shape[1:]) for name, one in maps.items()} == {
        "0": (256, 16, 16), "1": (256, 8, 8), "2": (256, 4, 4), "3": (256, 2, 2), "pool": (256, 1, 1)}


def test_numbers_of_stages_are_checked():
    with pytest.raises(ValueError, match=r"range \[0,5\], got 6"):
        backbone_utils.resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=6)
    with pytest.raises(ValueError, match=r"range \[1,4\]"):
        backbone_utils.resnet_fpn_backbone(backbone_name="resnet18", weights=None, returned_layers=[0, 1])
    with pytest.warns(UserWarning, match="has no effect"):
        detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, trainable_backbone_layers=2)


def test_mobilenets_as_backbones():
    plain = backbone_utils.mobilenet_backbone(backbone_name="mobilenet_v2", weights=None, fpn=False, trainable_layers=0)
    assert plain.out_channels == 256
    assert tuple(plain(clgrad.rand(1, 3, 64, 64)).shape) == (1, 256, 2, 2)
    assert not any(p.requires_grad for p in plain[0].parameters())
    pyramid = backbone_utils.mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True)
    assert {name: tuple(one.shape) for name, one in pyramid(clgrad.rand(1, 3, 64, 64)).items()} == {
        "0": (1, 256, 2, 2), "1": (1, 256, 2, 2), "pool": (1, 256, 1, 1)}


def numbers(seed, *shape, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def boxes(seed, count):
    corners = numbers(seed, count, 2, high=20)
    return np.concatenate([corners, corners + numbers(seed + 1, count, 2, low=2, high=15)], 1)


def test_codes_of_boxes():
    truth, anchors, weights = boxes(0, 6), boxes(5, 6), (10.0, 10.0, 5.0, 5.0)
    coder = matching.BoxCoder(weights)
    expected = []
    for t, a in zip(truth, anchors, strict=True):
        width, height = a[2] - a[0], a[3] - a[1]
        expected.append([10 * ((t[0] + t[2]) - (a[0] + a[2])) / 2 / width, 10 * ((t[1] + t[3]) - (a[1] + a[3])) / 2 / height,
                         5 * math.log((t[2] - t[0]) / width), 5 * math.log((t[3] - t[1]) / height)])
    codes = coder.encode([clgrad.tensor(truth[:2]), clgrad.tensor(truth[2:])],
                         [clgrad.tensor(anchors[:2]), clgrad.tensor(anchors[2:])])
    assert [len(one) for one in codes] == [2, 4]
    close(clgrad.cat(codes), expected, rtol=1e-4, atol=1e-4)
    close(coder.decode(clgrad.cat(codes), [clgrad.tensor(anchors)])[:, 0], truth, rtol=1e-4, atol=1e-4)
    # A code of two boxes, and one whose size is cut off.
    wide = coder.decode(clgrad.tensor([[0, 0, 0, 0, 0, 0, 1e6, 0]], dtype=clgrad.float32), [clgrad.tensor([[0.0, 0, 2, 2]])])
    close(wide, [[[0, 0, 2, 2], [1 - 62.5, 0, 1 + 62.5, 2]]])
    linear = matching.BoxLinearCoder(normalize_by_size=True)
    codes = linear.encode(clgrad.tensor(anchors), clgrad.tensor(truth))
    close(codes[:, 0], ((anchors[:, 0] + anchors[:, 2]) / 2 - truth[:, 0]) / (anchors[:, 2] - anchors[:, 0]), rtol=1e-4)
    close(linear.decode(codes, clgrad.tensor(anchors)), truth, rtol=1e-4, atol=1e-4)


def test_matches():
    quality = clgrad.tensor([[0.8, 0.45, 0.1, 0.0], [0.1, 0.5, 0.2, 0.05], [0.0, 0.1, 0.3, 0.29]])
    assert matching.Matcher(0.7, 0.4)(quality).tolist() == [0, -2, -1, -1]
    assert matching.Matcher(0.7, 0.4, allow_low_quality_matches=True)(quality).tolist() == [0, 1, 2, -1]
    assert matching.SSDMatcher(0.45)(quality[:2]).tolist() == [0, 1, -1, -1]
    for shape, what in (((0, 3), "ground-truth"), ((3, 0), "proposal")):
        with pytest.raises(ValueError, match=what):
            matching.Matcher(0.5, 0.5)(clgrad.zeros(shape))
    with pytest.raises(AssertionError, match="low_threshold"):
        matching.Matcher(0.4, 0.5)


def test_sampler_keeps_the_fraction():
    labels = clgrad.tensor([1] * 10 + [0] * 30 + [-1] * 5)
    (positive,), (negative,) = matching.BalancedPositiveNegativeSampler(16, 0.25)([labels])
    assert positive.dtype is clgrad.uint8
    assert positive[:10].sum().item() == positive.sum().item() == 4
    assert negative[10:40].sum().item() == negative.sum().item() == 12
    (positive,), (negative,) = matching.BalancedPositiveNegativeSampler(16, 0.5)([labels[8:]])
    assert (positive.sum().item(), negative.sum().item()) == (2, 14)


def test_anchors():
    generator = anchor_utils.AnchorGenerator(((4,), (8, 16)), ((1.0,), (0.5, 2.0)))
    assert generator.num_anchors_per_location() == [1, 4]
    pictures = ImageList(clgrad.zeros(2, 3, 8, 12), [(8, 12), (7, 9)])
    found = generator(pictures, [clgrad.zeros(2, 1, 2, 3), clgrad.zeros(2, 1, 1, 1)])
    assert len(found) == 2
    grid = [[4 * x - 2, 4 * y - 2, 4 * x + 2, 4 * y + 2] for y in range(2) for x in range(3)]
    sides = [(s / math.sqrt(r), s * math.sqrt(r)) for r in (0.5, 2.0) for s in (8, 16)]
    cells = [np.round([-w / 2, -h / 2, w / 2, h / 2]) for w, h in sides]
    close(found[0], np.array(grid + [list(one) for one in cells]))
    with pytest.raises(AssertionError, match="1 feature maps and 2 sizes"):
        generator(pictures, [clgrad.zeros(2, 1, 2, 3)])


def test_default_boxes():
    generator = anchor_utils.DefaultBoxGenerator([[2]], scales=[0.5, 0.75], steps=[4])
    assert generator.num_anchors_per_location() == [4]
    (found,) = generator(ImageList(clgrad.zeros(1, 3, 8, 8), [(8, 8)]), [clgrad.zeros(1, 1, 2, 2)])
    second, root = math.sqrt(0.5 * 0.75), math.sqrt(2)
    sides = [(0.5, 0.5), (second, second), (0.5 * root, 0.5 / root), (0.5 / root, 0.5 * root)]
    expected = [[8 * (x - w / 2), 8 * (y - h / 2), 8 * (x + w / 2), 8 * (y + h / 2)]
                for y in (0.25, 0.75) for x in (0.25, 0.75) for w, h in sides]
    close(found, expected)
    assert anchor_utils.DefaultBoxGenerator([[2], [2], [2]], 0.2, 0.8).scales == pytest.approx([0.2, 0.5, 0.8, 1.0])
    with pytest.raises(ValueError, match="same length"):
        anchor_utils.DefaultBoxGenerator([[2]], steps=[1, 2])


def test_pictures_are_prepared_and_found_boxes_taken_back():
    prepare = transform.GeneralizedRCNNTransform(20, 40, [0.5] * 3, [0.25] * 3, size_divisible=16).eval()
    pictures = [clgrad.ones(3, 10, 15), clgrad.ones(3, 10, 40)]
    targets = [{"boxes": clgrad.tensor([[1.0, 2, 3, 4]]), "masks": clgrad.ones(1, 10, 15, dtype=clgrad.uint8)},
               {"boxes": clgrad.tensor([[1.0, 2, 3, 4]]), "keypoints": clgrad.tensor([[[4.0, 6.0, 1.0]]])}]
    batch, fitted = prepare(pictures, targets)
    assert batch.image_sizes == [(20, 30), (10, 40)]
    assert tuple(batch.tensors.shape) == (2, 3, 32, 48)
    close(batch.tensors[0, :, :20, :30], np.full((3, 20, 30), 2.0))
    assert batch.tensors[0, :, 20:].abs().max().item() == 0
    close(fitted[0]["boxes"], [[2.0, 4, 6, 8]])
    assert tuple(fitted[0]["masks"].shape) == (1, 20, 30)
    close(fitted[1]["keypoints"], [[[4.0, 6.0, 1.0]]])
    close(targets[0]["boxes"], [[1.0, 2, 3, 4]])
    back = prepare.postprocess([{"boxes": fitted[0]["boxes"]}], [(20, 30)], [(10, 15)])
    close(back[0]["boxes"], [[1.0, 2, 3, 4]])
    with pytest.raises(TypeError, match="floating"):
        prepare([clgrad.zeros(3, 4, 4, dtype=clgrad.uint8)])
    with pytest.raises(ValueError, match="3d tensors"):
        prepare([clgrad.zeros(1, 3, 4, 4)])


def test_masks_are_pasted_into_the_picture():
    side, (height, width) = 4, (12, 10)
    found, places = numbers(3, 3, 1, side, side), np.array([[2.0, 3, 7, 9], [-3, 1, 4, 5], [6, 6, 13, 14]], np.float32)
    own = masks.paste_masks_in_image(clgrad.tensor(found), clgrad.tensor(places), (height, width))
    expected = np.zeros((3, 1, height, width), np.float32)
    for number, (mask, box) in enumerate(zip(found[:, 0], places, strict=True)):
        centre, half = (box[2:] + box[:2]) / 2, (box[2:] - box[:2]) / 2 * (side + 2) / side
        x0, y0, x1, y1 = (int(v) for v in (*(centre - half), *(centre + half)))
        border = np.pad(mask, 1)
        for y in range(max(y0, 0), min(y1 + 1, height)):
            for x in range(max(x0, 0), min(x1 + 1, width)):
                v, u = (np.clip((place - first + 0.5) * (side + 2) / (last - first + 1) - 0.5, 0, side + 1)
                        for place, first, last in ((y, y0, y1), (x, x0, x1)))
                j, i = min(int(v), side), min(int(u), side)
                corner = border[j:j + 2, i:i + 2]
                expected[number, 0, y, x] = np.array([1 - v + j, v - j]) @ corner @ np.array([1 - u + i, u - i])
    close(own, expected)
    assert masks.paste_masks_in_image(clgrad.zeros(0, 1, 4, 4), clgrad.zeros(0, 4), (5, 6)).shape == (0, 1, 5, 6)


def test_heat_maps_of_keypoints():
    regions = clgrad.tensor([[10.0, 20.0, 30.0, 60.0]])
    points = clgrad.tensor([[[20.0, 30.0, 1.0], [30.0, 60.0, 2.0], [5.0, 30.0, 1.0], [20.0, 30.0, 0.0]]])
    places, valid = keypoints.keypoints_to_heatmap(points, regions, 8)
    assert places.tolist() == [[2 * 8 + 4, 63, 0, 0]]
    assert valid.tolist() == [[1, 1, 0, 0]]
    heat = np.zeros((1, 2, 8, 8), np.float32)
    heat[0, 0, 2, 4], heat[0, 1, 7, 0] = 5.0, 3.0
    found, scores = keypoints.heatmaps_to_keypoints(clgrad.tensor(heat), regions)
    expected = [[10 + 4.5 * 20 / 8, 20 + 2.5 * 5], [10 + 0.5 * 20 / 8, 20 + 7.5 * 5]]
    assert np.abs(found[0, :, :2].numpy() - expected).max() < 2.5
    assert found[0, :, 2].tolist() == [1.0, 1.0]
    assert scores.shape == (1, 2) and scores[0, 0].item() > 4
    assert [tuple(one.shape) for one in keypoints.heatmaps_to_keypoints(clgrad.zeros(0, 2, 8, 8), clgrad.zeros(0, 4))] == [
        (0, 2, 3), (0, 2)]
    with pytest.raises(ValueError, match="should be equal"):
        keypoints.keypointrcnn_loss(clgrad.zeros(1, 2, 4, 5), [regions], [points], [clgrad.tensor([0])])


class Tiny(nn.Module):
    """A backbone of three convolutions; ``maps`` of them are given."""

    def __init__(self, channels=16, maps=1):
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.Conv2d(before, channels, 3, 2, 1), nn.ReLU())
                                     for before in (3, channels, channels)])
        self.out_channels, self.maps = channels if maps == 1 else [channels] * maps, maps

    def forward(self, x):
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found[-1] if self.maps == 1 else {str(number): one for number, one in enumerate(found[-self.maps:])}


def heads(kind):
    """Arguments of a small detector with two stages."""
    pool = ops.MultiScaleRoIAlign(["0"], 4, 2)
    made = {"rpn_anchor_generator": anchor_utils.AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),)), "box_roi_pool": pool,
            "box_head": TwoMLPHead(16 * 16, 32), "box_predictor": FastRCNNPredictor(32, 3), "rpn_batch_size_per_image": 32,
            "box_batch_size_per_image": 32, "rpn_post_nms_top_n_train": 50, "rpn_post_nms_top_n_test": 50}
    if kind == "mask":
        made |= {"mask_roi_pool": ops.MultiScaleRoIAlign(["0"], 4, 2), "mask_head": MaskRCNNHeads(16, (8,), 1),
                 "mask_predictor": MaskRCNNPredictor(8, 8, 3)}
    if kind == "keypoint":
        made |= {"keypoint_roi_pool": ops.MultiScaleRoIAlign(["0"], 4, 2), "keypoint_head": KeypointRCNNHeads(16, (8,)),
                 "keypoint_predictor": KeypointRCNNPredictor(8, 2)}
    return made


SIZES = {"min_size": 64, "max_size": 64}
DETECTORS = {
    "faster": lambda: detection.FasterRCNN(Tiny(), **heads("box"), **SIZES),
    "mask": lambda: detection.MaskRCNN(Tiny(), **heads("mask"), **SIZES),
    "keypoint": lambda: detection.KeypointRCNN(Tiny(), **heads("keypoint"), **SIZES),
    "retinanet": lambda: detection.RetinaNet(
        Tiny(), 3, anchor_generator=anchor_utils.AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),)), **SIZES),
    "fcos": lambda: detection.FCOS(Tiny(32), 3, anchor_generator=anchor_utils.AnchorGenerator(((8,),), ((1.0,),)), **SIZES),
    "ssd": lambda: SSD(Tiny(maps=2), anchor_utils.DefaultBoxGenerator([[2], [2]], 0.3, 0.6), (64, 64), 3),
}
LOSSES = {"faster": {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"},
          "retinanet": {"classification", "bbox_regression"}, "ssd": {"classification", "bbox_regression"},
          "fcos": {"classification", "bbox_regression", "bbox_ctrness"}}
LOSSES |= {kind: LOSSES["faster"] | {f"loss_{kind}"} for kind in ("mask", "keypoint")}


def scene():
    """A picture with a bright and a dark square, and the truth about it."""
    picture = np.full((3, 64, 64), 0.5, np.float32)
    picture[:, 8:32, 6:30], picture[:, 36:60, 34:60] = 1.0, 0.0
    shapes = np.zeros((2, 64, 64), np.uint8)
    shapes[0, 8:32, 6:30], shapes[1, 36:60, 34:60] = 1, 1
    points = np.array([[[10, 12, 1], [25, 25, 1]], [[40, 40, 1], [50, 55, 0]]], np.float32)
    truth = {"boxes": clgrad.tensor([[6.0, 8, 30, 32], [34, 36, 60, 60]]), "labels": clgrad.tensor([1, 2]),
             "masks": clgrad.tensor(shapes), "keypoints": clgrad.tensor(points)}
    return clgrad.tensor(picture), truth


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_detector_learns_a_picture(kind):
    clgrad.manual_seed(0)
    model = DETECTORS[kind]()
    picture, truth = scene()
    optimizer = clgrad.optim.Adam(model.parameters(), lr=4e-3)
    history = []
    for _ in range(100):
        losses = model([picture, picture], [truth, truth])
        assert set(losses) == LOSSES[kind]
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    assert all(p.grad is not None for p in model.parameters())
    assert sum(history[-5:]) < 0.6 * sum(history[:5])
    model.eval()
    with clgrad.no_grad():
        found, nothing = model([picture, clgrad.full((3, 50, 64), 0.5)])
    assert found["boxes"].shape == (len(found["labels"]), 4)
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    best = dict(reversed(list(zip(found["labels"].tolist(), found["boxes"], strict=True))))
    for label, box in zip((1, 2), truth["boxes"], strict=True):
        assert ops.box_iou(best[label][None], box[None]).item() > 0.5
    if kind == "mask":
        assert found["masks"].shape == (len(found["labels"]), 1, 64, 64) and nothing["masks"].shape[-2:] == (50, 64)
    if kind == "keypoint":
        assert found["keypoints"].shape == (len(found["labels"]), 2, 3)
        assert found["keypoints_scores"].shape == (len(found["labels"]), 2)


@pytest.mark.parametrize("kind", DETECTORS)
def test_pictures_without_anything_in_them(kind):
    model = DETECTORS[kind]()
    picture, _ = scene()
    nothing = {"boxes": clgrad.zeros(0, 4), "labels": clgrad.zeros(0, dtype=clgrad.int64),
               "masks": clgrad.zeros(0, 64, 64, dtype=clgrad.uint8), "keypoints": clgrad.zeros(0, 2, 3)}
    losses = model([picture], [nothing])
    assert all(math.isfinite(loss.item()) for loss in losses.values())
    sum(losses.values()).backward()
    assert all(losses[name].item() == 0 for name in losses if "reg" in name or "mask" in name or "keypoint" in name)


@pytest.mark.parametrize("kind", ["faster", "retinanet", "ssd"])
def test_targets_are_checked(kind):
    model = DETECTORS[kind]()
    picture, truth = scene()
    with pytest.raises(AssertionError, match="should not be none"):
        model([picture])
    with pytest.raises(AssertionError, match="of type Tensor"):
        model([picture], [{**truth, "boxes": [[0, 0, 1, 1]]}])
    with pytest.raises(AssertionError, match=r"shape \[N, 4\]"):
        model([picture], [{**truth, "boxes": clgrad.zeros(4)}])
    with pytest.raises(AssertionError, match=r"invalid box \[5.0, 5.0, 5.0, 9.0\] for target at index 0"):
        model([picture], [{**truth, "boxes": clgrad.tensor([[5.0, 5, 5, 9]])}])


def test_arguments_of_faster_rcnn_are_checked():
    with pytest.raises(ValueError, match="out_channels"):
        detection.FasterRCNN(nn.ReLU(), 2)
    with pytest.raises(ValueError, match="should be None"):
        detection.FasterRCNN(Tiny(), 2, box_predictor=FastRCNNPredictor(32, 3))
    with pytest.raises(ValueError, match="should not be None"):
        detection.FasterRCNN(Tiny())
    with pytest.raises(TypeError, match="AnchorGenerator"):
        detection.FasterRCNN(Tiny(), 2, rpn_anchor_generator=3)
    with pytest.raises(TypeError, match="int64"):
        picture, truth = scene()
        DETECTORS["faster"]()([picture], [{**truth, "labels": clgrad.tensor([1.0, 2.0])}])
    with pytest.raises(ValueError, match="masks key"):
        DETECTORS["mask"]()([picture], [{name: truth[name] for name in ("boxes", "labels")}])
    with pytest.raises(AssertionError, match="wrong shape"):
        FastRCNNPredictor(4, 2)(clgrad.zeros(1, 4, 2, 2))


def test_regions_come_from_the_map_of_their_size():
    pool = ops.MultiScaleRoIAlign(["a", "b", "c"], 2, 2)
    maps = {"a": clgrad.full((1, 1, 64, 64), 1.0), "b": clgrad.full((1, 1, 32, 32), 2.0), "x": clgrad.zeros(1, 1, 1, 1),
            "c": clgrad.full((1, 1, 16, 16), 3.0)}
    regions = clgrad.tensor([[0.0, 0, 50, 50], [0, 0, 112, 112], [0, 0, 224, 224], [0, 0, 250, 250]])
    found = pool(maps, [regions], [(256, 256)])
    assert pool.scales == [0.25, 0.125, 0.0625]
    assert found[:, 0, 0, 0].tolist() == [1.0, 2.0, 3.0, 3.0]
    with pytest.raises(ValueError, match="should not be empty"):
        ops.MultiScaleRoIAlign(["a"], 2, 2)(maps, [], [])
