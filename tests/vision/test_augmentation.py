"""Transforms that bend pictures, change them by tables, mix and spoil them, against torchvision and their definitions."""

from __future__ import annotations

import io

import numpy as np
import pytest

import clgrad
from clgrad.vision import transforms, tv_tensors
from clgrad.vision.transforms import autoaugment, matrices, v2
from clgrad.vision.transforms import functional as F
from clgrad.vision.transforms.resampling import blur_matrix

Image = pytest.importorskip("PIL.Image")
PIXELS = np.random.default_rng(1).integers(0, 256, (18, 23, 3), dtype=np.uint8)
CORNERS = [[0, 0], [22, 0], [22, 17], [0, 17]]
MOVED = [[2, 1], [19, 3], [21, 15], [1, 14]]


def plain(x):
    return np.asarray(x) if isinstance(x, Image.Image) else np.asarray(x.tolist()).reshape(tuple(x.shape))


def planes(dtype=np.uint8):
    return (PIXELS if dtype is np.uint8 else PIXELS.astype(dtype) / 255).transpose(2, 0, 1).copy()


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill", [None, 7.0, [10.0, 20.0, 30.0]])
def test_perspective_and_elastic_as_torchvision(torch, torchvision, mode, fill):
    theirs = torchvision.transforms.functional
    own_mode, their_mode = transforms.InterpolationMode(mode), torchvision.transforms.InterpolationMode(mode)
    steps = np.random.default_rng(2).uniform(-0.2, 0.2, (1, 18, 23, 2)).astype(np.float32)
    for dtype in (np.uint8, np.float32):
        for ours, expected in (
                (F.perspective(clgrad.tensor(planes(dtype)), CORNERS, MOVED, own_mode, fill),
                 theirs.perspective(torch.tensor(planes(dtype)), CORNERS, MOVED, their_mode, fill)),
                (F.elastic_transform(clgrad.tensor(planes(dtype)), clgrad.tensor(steps), own_mode, fill),
                 theirs.elastic_transform(torch.tensor(planes(dtype)), torch.tensor(steps), their_mode, fill))):
            off = np.abs(plain(ours).astype(float) - plain(expected).astype(float)) > (1.01 if dtype is np.uint8 else 1e-3)
            assert off.mean() < 0.02  # of nearest pixels those on an edge between two
    if fill != 7.0:  # Pillow's pictures want one value for each channel
        picture = Image.fromarray(PIXELS)
        whole = None if fill is None else [int(v) for v in fill]
        np.testing.assert_array_equal(plain(F.perspective(picture, CORNERS, MOVED, own_mode, whole)),
                                      plain(theirs.perspective(picture, CORNERS, MOVED, their_mode, whole)))


def test_perspective_takes_corners_where_it_should():
    coefficients = matrices.perspective_coefficients(CORNERS, MOVED)
    for (x, y), (u, v) in zip(CORNERS, MOVED, strict=True):
        w = coefficients[6] * u + coefficients[7] * v + 1
        made = [(coefficients[n] * u + coefficients[n + 1] * v + coefficients[n + 2]) / w for n in (0, 3)]
        np.testing.assert_allclose(made, [x, y], atol=1e-3)
    points = tv_tensors.KeyPoints(np.float32(CORNERS), canvas_size=(18, 23))
    np.testing.assert_allclose(v2.functional.perspective(points, CORNERS, MOVED).numpy(), MOVED, atol=1e-3)
    boxes = tv_tensors.BoundingBoxes([[0.0, 0, 22, 17]], format="XYXY", canvas_size=(18, 23))
    np.testing.assert_allclose(v2.functional.perspective(boxes, None, None, coefficients=coefficients).numpy(),
                               [[1, 1, 21, 15]], atol=1e-3)
    for call in (lambda: F.perspective(clgrad.zeros(1, 4, 4), None, None),
                 lambda: F.perspective(clgrad.zeros(1, 4, 4), None, None, coefficients=[1.0]),
                 lambda: v2.functional.perspective(boxes, None, None, coefficients=[0.0] * 8),
                 lambda: F.elastic_transform(clgrad.zeros(1, 4, 4), clgrad.zeros(1, 4, 5, 2)),
                 lambda: v2.functional.elastic(boxes, clgrad.zeros(1, 4, 5, 2)), lambda: transforms.RandomPerspective(2)):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError, match="displacement"):
        F.elastic_transform(clgrad.zeros(1, 4, 4), None)


def test_blurs_that_are_wider_than_the_picture():
    values, taps = np.float32([1, 5, 2]), np.exp(-0.5 * (np.arange(-4, 5) / 2.0) ** 2)
    expected = np.convolve(np.pad(values, 4, "reflect"), taps / taps.sum(), "valid")
    np.testing.assert_allclose(blur_matrix(3, 9, 2.0) @ values, expected, rtol=1e-5)


def test_elastic_steps_of_pictures_and_points():
    steps = clgrad.zeros(1, 18, 23, 2)
    steps[..., 0] = 2 * 3 / 23  # every pixel is that of three columns to the right
    made = F.elastic_transform(clgrad.tensor(planes()), steps, fill=5)
    assert plain(made)[:, :, :20].tolist() == planes()[:, :, 3:].tolist() and set(plain(made)[:, :, 20:].flatten()) == {5}
    points = tv_tensors.KeyPoints([[10.0, 4.0]], canvas_size=(18, 23))
    np.testing.assert_allclose(v2.functional.elastic(points, steps).numpy(), [[7, 4]], atol=1e-5)
    boxes = tv_tensors.BoundingBoxes([[10.0, 4, 12, 6]], format="XYXY", canvas_size=(18, 23))
    np.testing.assert_allclose(v2.functional.elastic(boxes, steps).numpy(), [[7, 4, 9, 6]], atol=1e-5)


@pytest.mark.parametrize("name", sorted(autoaugment._CHANGES))
def test_changes_of_tables_as_torchvision(torchvision, name):
    apply_op = torchvision.transforms.autoaugment._apply_op
    by = {"Posterize": 5, "Solarize": 0.4, "TranslateX": 4.0, "TranslateY": -3.0, "Rotate": 20.0}.get(name, 0.25)
    near = torchvision.transforms.InterpolationMode.NEAREST
    expected = apply_op(Image.fromarray(PIXELS), name, by * 255 if name == "Solarize" else by, near, None)
    made = autoaugment._CHANGES[name](Image.fromarray(PIXELS), by, {"interpolation": transforms.InterpolationMode.NEAREST,
                                                                    "fill": None})
    np.testing.assert_array_equal(plain(made), plain(expected))


@pytest.mark.parametrize("policy", list(transforms.AutoAugmentPolicy))
def test_policies_as_torchvision(torchvision, policy):
    theirs = torchvision.transforms.AutoAugment(torchvision.transforms.AutoAugmentPolicy(policy.value))
    assert transforms.AutoAugment(policy).policies == theirs.policies


@pytest.mark.parametrize("name, levels", [("AutoAugment", 10), ("RandAugment", 31), ("TrivialAugmentWide", 31),
                                          ("AugMix", 10)])
def test_strengths_as_torchvision(torchvision, monkeypatch, name, levels):
    seen = {}
    monkeypatch.setattr(autoaugment, "_CHANGES", {key: lambda img, by, more, key=key: seen.update({key: by}) or img
                                                  for key in autoaugment._CHANGES})
    own, theirs = getattr(transforms, name)(), getattr(torchvision.transforms, name)()
    table = theirs._augmentation_space(*([levels] if name == "TrivialAugmentWide" else [levels, (18, 23)]))
    for key, (strengths, signed) in table.items():
        for level in (0, 4, levels - 1):
            for turned in (False, True):
                own._changed(Image.fromarray(PIXELS), key, level, levels, turned)
                expected = float(strengths[level]) if strengths.ndim else 0.0
                expected = expected / 255 if key == "Solarize" else -expected if signed and turned else expected
                assert seen[key] == pytest.approx(expected, abs=1e-5), (key, level, turned)


CHANGED = [v2.AugMix(), v2.AutoAugment(), v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10), v2.RandAugment(),
           v2.TrivialAugmentWide(), v2.ElasticTransform(sigma=1), v2.RandomPerspective(), v2.JPEG((5, 60)),
           v2.RandomChannelPermutation()]


@pytest.mark.parametrize("transform", CHANGED, ids=lambda t: type(t).__name__)
def test_chance_follows_the_seed(transform):
    for image in (Image.fromarray(PIXELS), clgrad.tensor(planes()), tv_tensors.Video(planes()[None])):
        def draws(image=image):
            clgrad.manual_seed(5)
            return [transform(image) for _ in range(12)]
        first = draws()
        assert all(type(made) is type(image) and (not isinstance(made, clgrad.Tensor) or made.dtype is clgrad.uint8)
                   for made in first)
        assert [plain(a).tolist() for a in first] == [plain(b).tolist() for b in draws()]
        assert any((plain(other) != plain(first[0])).any() for other in first[1:])
        assert all(plain(made).shape == plain(image).shape for made in first)


def test_tables_are_for_one_picture():
    image, boxes = tv_tensors.Image(planes()), tv_tensors.BoundingBoxes([[0.0, 0, 2, 2]], format="XYXY", canvas_size=(18, 23))
    assert v2.RandAugment(0)({"image": image, "label": 3})["image"] is image
    for sample in ((image, boxes), (image, image), (3,)):
        with pytest.raises(TypeError):
            v2.RandAugment()(*sample)
    for make in (lambda: transforms.RandAugment(-1), lambda: transforms.RandAugment(magnitude=31),
                 lambda: transforms.AugMix(0), lambda: transforms.AutoAugment("imagenet")):
        with pytest.raises(ValueError):
            make()


def test_new_pixels_by_class():
    image, mask = tv_tensors.Image(clgrad.ones(1, 6, 6)), tv_tensors.Mask(clgrad.ones(6, 6, dtype=clgrad.uint8))
    made = v2.RandomAffine(0, (0.5, 0.5), fill={tv_tensors.Image: 0.25, "others": 3})([image, mask])
    while made[0].min().item() == 1:
        made = v2.RandomAffine(0, (0.5, 0.5), fill={tv_tensors.Image: 0.25, "others": 3})([image, mask])
    assert set(made[0].flatten().tolist()) == {0.25, 1.0} and set(made[1].flatten().tolist()) == {1, 3}


@pytest.mark.parametrize("kind", ["MixUp", "CutMix"])
def test_mixed_batches(kind):
    values = clgrad.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 12, 10)
    labels = clgrad.tensor([0, 1, 2, 1])
    transform = getattr(v2, kind)(alpha=0.7, num_classes=3)
    shares = set()
    for _ in range(8):
        mixed, weights = transform(values, labels)
        own, before = weights[0, 0].item(), weights[0, 1].item()
        assert own + before == pytest.approx(1, abs=1e-6) and weights.shape == (4, 3)
        np.testing.assert_allclose(weights.numpy(), [[own, before, 0], [before, own, 0], [0, before, own], [0, own, before]],
                                   atol=1e-6)
        # Of the first picture (zeros) what is not its own are threes of the last.
        np.testing.assert_allclose(mixed[0].mean().item(), 3 * before, atol=1e-5)
        assert kind == "MixUp" or set(mixed[0].flatten().tolist()) <= {0.0, 3.0}
        shares.add(own)
    assert len(shares) > 2
    named = transform({"images": tv_tensors.Image(values), "labels": weights})
    assert type(named["images"]) is tv_tensors.Image and named["labels"].shape == (4, 3)


@pytest.mark.parametrize("sample, classes", [
    ((clgrad.zeros(4, 3, 8, 8), clgrad.zeros(4, dtype=clgrad.int64)), None),
    ((clgrad.zeros(4, 3, 8, 8), clgrad.zeros(4, 2)), 3),
    ((clgrad.zeros(3, 8, 8), clgrad.zeros(4, 2)), 2), ((clgrad.zeros(3, 3, 8, 8), clgrad.zeros(4, 2)), 2),
    ((clgrad.zeros(4, 3, 8, 8), 3), 2), ((clgrad.zeros(4, 3, 8, 8), clgrad.zeros(4, 2, 2)), 2),
    ((Image.fromarray(PIXELS), clgrad.zeros(4, 2)), 2)])
def test_batches_that_cannot_be_mixed(sample, classes):
    with pytest.raises(ValueError):
        v2.MixUp(num_classes=classes)(*sample)


def test_noise():
    for clip in (True, False):
        image = clgrad.full((3, 60, 60), 0.5)
        made = v2.GaussianNoise(0.1, 0.3, clip)(image)
        assert (made.min().item() < 0) is (made.max().item() > 1) is not clip
        assert clip or abs(made.mean().item() - 0.6) < 0.02 and abs(made.std().item() - 0.3) < 0.02
    bytes_ = v2.functional.gaussian_noise(clgrad.full((3, 60, 60), 128, dtype=clgrad.uint8), 0.1, 0.05)
    assert bytes_.dtype is clgrad.uint8 and abs(bytes_.float().mean().item() - 153) < 1.5
    assert abs(bytes_.float().std().item() - 12.75) < 1
    for wrong, how in ((clgrad.zeros(1, 2, 2), {"sigma": -1}), (clgrad.zeros(1, 2, 2, dtype=clgrad.int64), {}),
                       (Image.fromarray(PIXELS), {})):
        with pytest.raises(ValueError):
            v2.functional.gaussian_noise(wrong, **how)


def test_written_pictures_and_channels():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=20)
    expected = np.asarray(Image.open(file))
    assert plain(v2.functional.jpeg(clgrad.tensor(planes()), 20)).tolist() == expected.transpose(2, 0, 1).tolist()
    assert plain(v2.JPEG(20)(Image.fromarray(PIXELS))).tolist() == expected.tolist()
    with pytest.raises(RuntimeError, match="bytes"):
        v2.functional.jpeg(clgrad.zeros(3, 4, 4), 20)
    for wrong, error in ((0, ValueError), ((60, 50), ValueError), (True, TypeError), (2.5, TypeError),
                         ((1, 2, 3), ValueError)):
        with pytest.raises(error):
            v2.JPEG(wrong)
    grey = clgrad.rand(1, 4, 5)
    assert v2.RGB()(grey).shape == (3, 4, 5) and v2.RGB()(Image.fromarray(PIXELS[..., 0])).mode == "RGB"
    np.testing.assert_allclose(v2.RGB()(grey)[2].numpy(), grey[0].numpy(), atol=1e-6)
    order = v2.RandomChannelPermutation()(clgrad.tensor(planes()))
    assert sorted(map(str, plain(order).tolist())) == sorted(map(str, planes().tolist()))


def test_videos_and_points():
    video = tv_tensors.Video(clgrad.arange(10).reshape(10, 1, 1, 1).expand(10, 1, 2, 2))
    made = v2.UniformTemporalSubsample(4)(video)
    assert type(made) is tv_tensors.Video and made[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    assert v2.functional.get_num_frames(video) == 10
    with pytest.raises(TypeError):
        v2.functional.get_num_frames(tv_tensors.Image(clgrad.zeros(1, 2, 2)))
    points = tv_tensors.KeyPoints([[-1.0, 2.0], [3.0, 4.0], [9.0, 1.0], [5.0, 5.0]], canvas_size=(5, 6))
    assert v2.ClampKeyPoints()(points).tolist() == [[0, 2], [3, 4], [5, 1], [5, 4]]
    kept = v2.SanitizeKeyPoints("default")({"points": points, "labels": clgrad.arange(4)})
    assert kept["points"].tolist() == [[3, 4]] and kept["labels"].tolist() == [1]
    groups, valid = v2.functional.sanitize_keypoints(clgrad.tensor([[[0.0, 0], [1, 1]], [[2, 2], [6, 1]]]), (5, 6))
    assert valid.tolist() == [True, False] and groups.shape == (1, 2, 2)
    for call in (lambda: v2.functional.clamp_keypoints(clgrad.zeros(1, 2)),
                 lambda: v2.functional.sanitize_keypoints(points, (1, 1)),
                 lambda: v2.SanitizeKeyPoints()(clgrad.zeros(2)), lambda: v2.SanitizeKeyPoints("x"),
                 lambda: v2.SanitizeKeyPoints("default")({"points": points, "labels": clgrad.arange(3)})):
        with pytest.raises(ValueError):
            call()
