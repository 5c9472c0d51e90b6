"""Transforms of samples, tensors that know what they are, and drawing what was found."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import clgrad
from clgrad.vision import tv_tensors, utils
from clgrad.vision.transforms import v2
from clgrad.vision.transforms.v2 import functional as F

HEIGHT, WIDTH = 20, 30
PIXELS = np.random.default_rng(1).integers(0, 256, (3, HEIGHT, WIDTH), dtype=np.uint8)


def boxes(rows=((2, 3, 12, 9), (0, 0, 30, 20)), form="XYXY", dtype=clgrad.float32, **kwargs):
    plain = clgrad.tensor(rows, dtype=dtype)
    converted = F.convert_bounding_box_format(plain, old_format="XYXY", new_format=form)
    return tv_tensors.BoundingBoxes(converted, format=form, canvas_size=(HEIGHT, WIDTH), **kwargs)


def corners(found):
    return F.convert_bounding_box_format(found, new_format="XYXY").tolist()


def test_what_stays_of_its_class():
    found = boxes(form="XYWH")
    for kept in (found.clone(), found.to(clgrad.float64), found.detach(), copy.deepcopy(found),
                 pickle.loads(pickle.dumps(found)), tv_tensors.wrap(found + 1, like=found)):
        assert type(kept) is tv_tensors.BoundingBoxes
        assert (kept.format, kept.canvas_size) == (tv_tensors.BoundingBoxFormat.XYWH, (HEIGHT, WIDTH))
    for plain in (found + 1, found[0], found.float().sum(), clgrad.cat([found, found]), found.add_(0)):
        assert type(plain) is clgrad.Tensor
    with tv_tensors.set_return_type("TVTensor"):
        assert type(found * 2) is tv_tensors.BoundingBoxes and (found * 2).canvas_size == (HEIGHT, WIDTH)
    assert type(found * 2) is clgrad.Tensor
    assert tv_tensors.wrap(found, like=found, canvas_size=(3, 4)).canvas_size == (3, 4)
    assert "canvas_size=(20, 30)" in repr(found) and repr(found).startswith("BoundingBoxes([[")
    with pytest.raises(ValueError, match="return_type"):
        tv_tensors.set_return_type("array")


def test_classes_look_at_what_they_are_given():
    assert tv_tensors.Image(clgrad.zeros(4, 5)).shape == (1, 4, 5)
    assert tv_tensors.BoundingBoxes([1, 2, 3, 4], format="xyxy", canvas_size=(5, 5)).shape == (1, 4)
    assert tv_tensors.Mask([[1, 0]], dtype=clgrad.uint8).dtype is clgrad.uint8
    for make in (lambda: tv_tensors.Image([1]), lambda: tv_tensors.Video(clgrad.zeros(3, 4, 5)),
                 lambda: tv_tensors.BoundingBoxes(clgrad.zeros(1, 2, 4), format="XYXY", canvas_size=(5, 5)),
                 lambda: tv_tensors.BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=(5, 5), clamping_mode="none"),
                 lambda: tv_tensors.BoundingBoxes([[0, 0, 1, 1, 30]], format="XYWHR", canvas_size=(5, 5)),
                 lambda: tv_tensors.KeyPoints(clgrad.zeros(2, 3), canvas_size=(5, 5))):
        with pytest.raises(ValueError):
            make()
    assert tv_tensors.is_rotated_bounding_format("CXCYWHR") and not tv_tensors.is_rotated_bounding_format("XYWH")


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("change, expected, size", [
    (lambda x: F.horizontal_flip(x), [[18, 3, 28, 9], [0, 0, 30, 20]], (20, 30)),
    (lambda x: F.vertical_flip(x), [[2, 11, 12, 17], [0, 0, 30, 20]], (20, 30)),
    (lambda x: F.resize(x, [10, 60]), [[4, 1.5, 24, 4.5], [0, 0, 60, 10]], (10, 60)),
    (lambda x: F.crop(x, 5, 6, 10, 8), [[0, 0, 6, 4], [0, 0, 8, 10]], (10, 8)),
    (lambda x: F.center_crop(x, [10, 20]), [[0, 0, 7, 4], [0, 0, 20, 10]], (10, 20)),
    (lambda x: F.resized_crop(x, 5, 6, 10, 8, [20, 16]), [[0, 0, 12, 8], [0, 0, 16, 20]], (20, 16)),
    (lambda x: F.pad(x, [1, 2, 3, 4]), [[3, 5, 13, 11], [1, 2, 31, 22]], (26, 34)),
    (lambda x: F.rotate(x, 90.0, center=[0, 20], expand=False), [[0, 8, 0, 18], [0, 0, 0, 20]], (20, 30)),
    (lambda x: F.rotate(x, 90.0, expand=True), [[3, 18, 9, 28], [0, 0, 20, 30]], (30, 20)),
    (lambda x: F.affine(x, 0.0, [4, -2], 2.0, [0.0, 0.0]), [[0, 0, 13, 6], [0, 0, 30, 20]], (20, 30)),
])
def test_boxes_go_where_the_picture_goes(form, change, expected, size):
    made = change(boxes(form=form))
    assert made.format.value == form and made.canvas_size == size
    np.testing.assert_allclose(corners(made), expected, atol=1e-4)
    picture = change(tv_tensors.Image(clgrad.tensor(PIXELS)))
    assert type(picture) is tv_tensors.Image and F.get_size(picture) == list(size)
    mask = change(tv_tensors.Mask(clgrad.tensor(PIXELS % 2)))
    assert type(mask) is tv_tensors.Mask and set(mask.flatten().tolist()) <= {0, 1} and mask.shape[-2:] == size


def test_a_square_stays_where_its_box_and_its_mask_are():
    image = np.zeros((1, 40, 40), np.float32)
    image[:, 10:20, 14:26] = 1
    sample = {"image": tv_tensors.Image(clgrad.tensor(image)), "mask": tv_tensors.Mask(clgrad.tensor(image)),
              "boxes": tv_tensors.BoundingBoxes([[14.0, 10, 26, 20]], format="XYXY", canvas_size=(40, 40))}
    for change in (v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(1.0), v2.RandomCrop(34), v2.Pad(3),
                   v2.RandomResizedCrop(40, (0.7, 1)), v2.RandomAffine(0, (0.1, 0.1), (0.9, 1.2)), v2.RandomZoomOut(p=1.0),
                   v2.RandomRotation((90, 90)), v2.ScaleJitter((60, 60), (0.5, 1.0)), v2.RandomShortestSize([30, 50]),
                   v2.RandomResize(20, 40)):
        made = change(sample)
        for kind in ("image", "mask"):
            rows, columns = np.nonzero(made[kind][0].numpy() > 0.5)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(made["boxes"][0].numpy(), found, atol=1.01, err_msg=f"{change}: {kind}")
        assert made["boxes"].canvas_size == tuple(made["image"].shape[-2:]) == tuple(made["mask"].shape[-2:])


def test_points_are_pixels():
    points = tv_tensors.KeyPoints([[[0.0, 5.0], [29.0, 0.0]]], canvas_size=(HEIGHT, WIDTH))
    assert F.horizontal_flip(points).tolist() == [[[29, 5], [0, 0]]]
    assert F.resize(points, [40, 30]).tolist() == [[[0, 10], [29, 0]]]
    assert F.crop(points, 1, 2, 5, 5).canvas_size == (5, 5)


def test_boxes_of_whole_numbers_stay_whole():
    made = F.resize(boxes(((3, 3, 8, 8),), dtype=clgrad.int64), [10, 15])
    assert made.dtype is clgrad.int64 and made.tolist() == [[1, 1, 4, 4]]
    centred = F.convert_bounding_box_format(boxes(((3, 3, 8, 6),), dtype=clgrad.int64), new_format="CXCYWH")
    assert centred.dtype is clgrad.int64 and centred.tolist() == [[5, 4, 5, 3]]
    assert F.convert_bounding_box_format(centred, new_format="XYXY").tolist() == [[2, 2, 7, 5]]


def test_boxes_are_cut_where_they_say_so():
    rows = ((-5.0, 3, 40, 9),)
    assert F.clamp_bounding_boxes(boxes(rows)).tolist() == [[0, 3, 30, 9]]
    assert F.clamp_bounding_boxes(boxes(rows), clamping_mode=None).tolist() == [[-5, 3, 40, 9]]
    assert F.pad(boxes(rows, clamping_mode=None), 1).tolist() == [[-4, 4, 41, 10]]
    plain = F.clamp_bounding_boxes(clgrad.tensor(rows), format="XYXY", canvas_size=(20, 30), clamping_mode="hard")
    assert type(plain) is clgrad.Tensor and plain.tolist() == [[0, 3, 30, 9]]
    assert v2.SetClampingMode(None)(boxes(rows)).clamping_mode is None
    for call in (lambda: F.clamp_bounding_boxes(clgrad.tensor(rows)), lambda: F.clamp_bounding_boxes(boxes(), format="XYXY"),
                 lambda: F.convert_bounding_box_format(boxes(), old_format="XYXY", new_format="XYWH"),
                 lambda: F.pad(boxes(), 1, padding_mode="edge"), lambda: v2.SetClampingMode("x")):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(NotImplementedError, match="turned"):
        F.resize(tv_tensors.BoundingBoxes([[1.0, 1, 2, 2, 30]], format="XYWHR", canvas_size=(20, 30)), [4, 4])


def test_colours_are_for_pictures_alone():
    sample = {"image": tv_tensors.Image(clgrad.tensor(PIXELS)), "mask": tv_tensors.Mask(clgrad.tensor(PIXELS)),
              "boxes": boxes()}
    for change in (v2.ColorJitter(0.5, 0.5), v2.GaussianBlur(3), v2.RandomInvert(1.0), v2.RandomErasing(1.0),
                   v2.RandomPhotometricDistort(p=1.0), v2.Grayscale()):
        made = change(sample)
        assert made["mask"] is sample["mask"] and made["boxes"] is sample["boxes"]
        assert type(made["image"]) is tv_tensors.Image and made["image"].tolist() != PIXELS.tolist()
    with pytest.raises(TypeError, match="supports pictures, got Mask"):
        F.invert(sample["mask"])


def test_plain_tensors_of_a_sample():
    picture, label = clgrad.tensor(PIXELS), clgrad.ones(4, 4)
    flipped, same = v2.RandomHorizontalFlip(1.0)(picture, label)
    assert flipped.tolist() == PIXELS[:, :, ::-1].tolist() and same is label
    made = v2.RandomHorizontalFlip(1.0)({"label": label, "image": tv_tensors.Image(picture)})
    assert made["label"] is label and type(made["image"]) is tv_tensors.Image


def test_dtypes_by_class():
    sample = (tv_tensors.Image(clgrad.tensor(PIXELS)), {"boxes": boxes(), "masks": tv_tensors.Mask(clgrad.ones(1, 2, 2))})
    image, target = v2.ToDtype(clgrad.float32, scale=True)(*sample)
    assert image.max().item() <= 1 and target["masks"] is sample[1]["masks"]
    image, target = v2.ToDtype({tv_tensors.Mask: clgrad.int64, "others": None})(*sample)
    assert (image.dtype, target["masks"].dtype, type(target["masks"])) == (clgrad.uint8, clgrad.int64, tv_tensors.Mask)
    assert [type(one) for one in v2.ToPureTensor()([sample[0], boxes()])] == [clgrad.Tensor] * 2
    with pytest.raises(ValueError, match="No dtype was specified"):
        v2.ToDtype({tv_tensors.Mask: clgrad.int64})(*sample)
    with pytest.raises(ValueError, match="must be a dict"):
        v2.ToDtype("float32")


def test_boxes_that_are_none_any_more():
    rows = ((2, 3, 12, 9), (4, 4, 4.5, 9), (5, 5, 31, 9), (1, 1, 3, 3))
    target = {"boxes": boxes(rows), "labels": clgrad.tensor([1, 2, 3, 4]), "masks": tv_tensors.Mask(clgrad.ones(4, 2, 2)),
              "area": clgrad.tensor([1.0, 2, 3, 4])}
    image, made = v2.SanitizeBoundingBoxes()(tv_tensors.Image(clgrad.tensor(PIXELS)), target)
    assert made["labels"].tolist() == [1, 4] and made["boxes"].tolist() == [list(rows[0]), list(rows[3])]
    assert type(made["boxes"]) is tv_tensors.BoundingBoxes and len(made["masks"]) == 2 and len(made["area"]) == 4
    several = v2.SanitizeBoundingBoxes(min_area=5, labels_getter=lambda sample: (sample["labels"], sample["area"]))(target)
    assert several["labels"].tolist() == [1] and several["area"].tolist() == [1.0]
    kept, valid = F.sanitize_bounding_boxes(target["boxes"], min_size=5)
    assert valid.tolist() == [True, False, False, False] and type(kept) is tv_tensors.BoundingBoxes
    for call in (lambda: v2.SanitizeBoundingBoxes(min_size=0), lambda: v2.SanitizeBoundingBoxes()({"boxes": boxes()}),
                 lambda: v2.SanitizeBoundingBoxes()({"boxes": boxes(), "labels": clgrad.zeros(3)}),
                 lambda: v2.SanitizeBoundingBoxes(labels_getter=None)({"image": clgrad.tensor(PIXELS)})):
        with pytest.raises(ValueError):
            call()


def test_parts_that_share_enough_with_a_box():
    sample = {"image": tv_tensors.Image(clgrad.tensor(PIXELS)), "boxes": boxes(((2.0, 3, 12, 9), (15, 5, 29, 19)))}
    for least in (0.0, 0.5, 1.0):
        made = v2.RandomIoUCrop(sampler_options=[least])(sample)
        assert made["boxes"].canvas_size == tuple(made["image"].shape[-2:])
        assert (made["boxes"].sum(1) > 0).any().item()
        if least == 1.0:
            assert made["boxes"] is sample["boxes"]
    with pytest.raises(TypeError, match="bounding boxes"):
        v2.RandomIoUCrop()(sample["image"])


def test_containers_take_several_parts():
    calls = []

    def note(image, label):
        calls.append(label)
        return image, label + 1
    assert v2.Compose([note, note])("x", 1) == ("x", 3)
    assert v2.RandomApply([note], p=0.0)("x", 1) == ("x", 1) and v2.RandomApply([note], p=1.0)("x", 1) == ("x", 2)
    assert v2.RandomChoice([note, note], p=[1, 3])("x", 1) == ("x", 2) and v2.RandomOrder([note, note])("x", 1) == ("x", 3)
    assert len(calls) == 6
    for make in (v2.Compose, v2.RandomApply, v2.RandomChoice, v2.RandomOrder):
        with pytest.raises(ValueError, match="at least one"):
            make([])
        with pytest.raises(TypeError, match="sequence"):
            make(3)


def test_a_transform_of_ones_own():
    class Shift(v2.Transform):
        def make_params(self, flat_inputs):
            assert v2.query_size(flat_inputs) == (HEIGHT, WIDTH) and v2.has_any(flat_inputs, tv_tensors.BoundingBoxes)
            return {"padding": [2, 0, 0, 0]}

        def transform(self, inpt, params):
            return self._call_kernel(F.invert, self._call_kernel(F.pad, inpt, **params))
    made = Shift()({"image": tv_tensors.Image(clgrad.tensor(PIXELS)), "boxes": boxes(), "name": "a"})
    assert made["image"][0, 0, :3].tolist() == [255, 255, 255 - int(PIXELS[0, 0, 0])]
    assert made["boxes"].tolist()[0] == [4, 3, 14, 9] and made["name"] == "a"


def test_drawing():
    pytest.importorskip("PIL")
    image = clgrad.zeros(3, 20, 20, dtype=clgrad.uint8)
    frame = utils.draw_bounding_boxes(image, clgrad.tensor([[2, 3, 10, 12]]), colors="red").numpy()
    expected = np.zeros((20, 20), bool)
    expected[3:13, [2, 10]] = expected[[3, 12], 2:11] = True
    assert (frame[0] == 255 * expected).all() and not frame[1:].any() and not image.any()
    filled = utils.draw_bounding_boxes(image.float(), clgrad.tensor([[2, 3, 10, 12]]), ["a"], colors=(0, 255, 0), fill=True)
    assert filled.dtype is clgrad.float32 and abs(filled[1, 10, 8].item() - 100 / 255) < 0.01
    masks = clgrad.tensor([[[True, True, False]], [[False, True, False]]])
    made = utils.draw_segmentation_masks(clgrad.full((3, 1, 3), 100, dtype=clgrad.uint8), masks, 0.5, ["red", "blue"])
    assert made[:, 0].T.tolist() == [[177, 50, 50], [50, 50, 50], [100, 100, 100]]
    points = clgrad.tensor([[[3.0, 3.0], [15.0, 3.0], [3.0, 15.0]]])
    made = utils.draw_keypoints(image, points, [(0, 1), (0, 2)], "blue", radius=1, width=1,
                                visibility=clgrad.tensor([[True, True, False]])).numpy()
    assert made[2, 3, 3] == 255 and made[:, 3, 9].tolist() == [255] * 3
    assert not made[:, 9, 3].any() and not made[:, 15, 3].any()
    with pytest.warns(UserWarning, match="any box"):
        assert utils.draw_bounding_boxes(image, clgrad.zeros(0, 4)) is image
    for error, call in ((ValueError, lambda: utils.draw_bounding_boxes(image, clgrad.tensor([[9, 3, 1, 4]]))),
                        (ValueError, lambda: utils.draw_bounding_boxes(image.long(), clgrad.zeros(1, 4))),
                        (TypeError, lambda: utils.draw_bounding_boxes([1], clgrad.zeros(1, 4))),
                        (ValueError, lambda: utils.draw_bounding_boxes(image, clgrad.zeros(2, 4), colors=["red"])),
                        (ValueError, lambda: utils.draw_segmentation_masks(image, clgrad.zeros(1, 20, 20))),
                        (ValueError, lambda: utils.draw_segmentation_masks(image[:1], clgrad.zeros(1, 20, 20).bool())),
                        (ValueError, lambda: utils.draw_keypoints(image, clgrad.zeros(2, 2)))):
        with pytest.raises(error):
            call()
