"""Transforms against torchvision's, of Pillow's pictures and of tensors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.vision import transforms, tv_tensors
from clgrad.vision.transforms import functional as F
from clgrad.vision.transforms import v2

Image = pytest.importorskip("PIL.Image")
PIXELS = np.random.default_rng(1).integers(0, 256, (17, 23, 3), dtype=np.uint8)
MODES = ["nearest", "nearest-exact", "bilinear", "bicubic"]

FIXED = {
    "resize": lambda f, m: [lambda x, i=i, s=s: f.resize(x, s, m(i)) for i in MODES for s in (9, [30, 11], [5, 40])],
    "resize plain": lambda f, m: [lambda x, i=i: f.resize(x, [6, 31], m(i), antialias=False) for i in MODES[2:]],
    "max size": lambda f, m: [lambda x: f.resize(x, 10, max_size=12)],
    "crop": lambda f, m: [lambda x, p=p: f.crop(x, *p) for p in ((2, 3, 5, 6), (-2, -1, 9, 30), (10, 20, 10, 10))],
    "center crop": lambda f, m: [lambda x, s=s: f.center_crop(x, s) for s in (8, [5, 7], [20, 10], [30, 31])],
    "resized crop": lambda f, m: [lambda x: f.resized_crop(x, 1, 2, 9, 11, [6, 5])],
    "flips": lambda f, m: [f.hflip, f.vflip],
    "pad": lambda f, m: [lambda x, p=p, o=o: f.pad(x, p, padding_mode=o) for p in (3, [1, 2], [1, 2, 3, 4])
                         for o in ("constant", "edge", "reflect", "symmetric")] + [lambda x: f.pad(x, 2, fill=7)],
    "five": lambda f, m: [lambda x: f.five_crop(x, 6), lambda x: f.ten_crop(x, [5, 7], True)],
    "grey": lambda f, m: [lambda x, n=n: f.rgb_to_grayscale(x, n) for n in (1, 3)],
    "colours": lambda f, m: [lambda x, v=v: f.adjust_brightness(x, v) for v in (0.0, 0.6, 1.7)] + [
        lambda x, v=v: f.adjust_contrast(x, v) for v in (0.0, 0.6, 1.7)] + [
        lambda x, v=v: f.adjust_saturation(x, v) for v in (0.0, 0.6, 1.7)] + [lambda x: f.adjust_gamma(x, 0.7, 1.2)],
    "hue": lambda f, m: [lambda x, v=v: f.adjust_hue(x, v) for v in (-0.3, 0.0, 0.2)],
    "blur": lambda f, m: [lambda x: f.gaussian_blur(x, 3), lambda x: f.gaussian_blur(x, [3, 5], [0.5, 1.5])],
    "turns": lambda f, m: [lambda x, i=i, e=e: f.rotate(x, 33.0, m(i), expand=e) for i in ("nearest", "bilinear")
                           for e in (False, True)] + [lambda x: f.rotate(x, 90.0, expand=True),
                                                      lambda x: f.rotate(x, 20.0, center=[3, 4])] + [
        lambda x, a=a: f.rotate(x, a, expand=True, center=[1, 5]) for a in (-87.0, 20.0, 56.0)],
    "affine": lambda f, m: [lambda x, i=i, v=v: f.affine(x, 12.0, [2, -1], 1.2, [5.0, 3.0], m(i), v) for i in MODES[::2]
                            for v in (None, [1, 2, 3])],
    "tone": lambda f, m: [f.invert, lambda x: f.posterize(x, 3), lambda x: f.solarize(x, 100), f.equalize],
    "range": lambda f, m: [f.autocontrast, lambda x: f.adjust_sharpness(x, 2.0), lambda x: f.adjust_sharpness(x, 0.3)],
}


def array(x):
    return np.asarray(x) if isinstance(x, Image.Image) else np.asarray(x.tolist()).reshape(tuple(x.shape))


def mode_of(library):
    return lambda name: library.InterpolationMode(name)


def compare(name, ours, theirs, exact, kind):
    ours, theirs = (list(v) if isinstance(v, tuple) else [v] for v in (ours, theirs))
    for a, b in zip(ours, theirs, strict=True):
        a, b = array(a).astype(float), array(b).astype(float)
        assert a.shape == b.shape
        if name in ("turns", "affine") and kind != "picture":
            assert (np.abs(a - b) > 1.01 * (1 if kind == "uint8" else 1e-5)).mean() < 0.02  # pixels on a rounding edge
        else:
            np.testing.assert_allclose(a, b, atol=0 if exact else 1.01 if kind == "uint8" else 2e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in FIXED if name != "resize plain"])
def test_pictures(torchvision, name):
    picture = Image.fromarray(PIXELS)
    theirs = torchvision.transforms.functional
    for ours, other in zip(FIXED[name](F, mode_of(F)), FIXED[name](theirs, mode_of(theirs)), strict=True):
        compare(name, ours(picture), other(picture), name != "blur", "picture")


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in FIXED for kind in ("uint8", "float32", "batch")
                                            if name != "tone" or kind == "uint8"])  # tones are of bytes only
def test_tensors(torchvision, torch, name, kind):
    values = PIXELS.transpose(2, 0, 1)
    values = values if kind == "uint8" else values.astype(np.float32) / 255
    values = np.stack([values, values[:, ::-1]]) if kind == "batch" else values
    x, y = clgrad.tensor(values), torch.tensor(values.copy())
    theirs = torchvision.transforms.functional
    for ours, other in zip(FIXED[name](F, mode_of(F)), FIXED[name](theirs, mode_of(theirs)), strict=True):
        found = ours(x)
        compare(name, found, other(y), False, kind)
        assert (found[0] if isinstance(found, tuple) else found).dtype is x.dtype
    assert x.tolist() == values.tolist()


def test_conversions(torchvision, torch):
    theirs = torchvision.transforms.functional
    pictures = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[:, :, 0]), Image.fromarray(PIXELS[:, :, 0] > 99),
                Image.fromarray(PIXELS[:, :, 0].astype(np.int32)), Image.fromarray(PIXELS[:, :, 0].astype(np.float32))]
    for picture in pictures:
        for name in ("to_tensor", "pil_to_tensor"):
            a, b = getattr(F, name)(picture), getattr(theirs, name)(picture)
            assert (a.tolist(), str(a.dtype)) == (b.tolist(), str(b.dtype))
    assert F.to_tensor(PIXELS).tolist() == theirs.to_tensor(PIXELS).tolist()
    for values in (PIXELS.transpose(2, 0, 1), PIXELS[:1] / np.float32(255), PIXELS[:, :, 0].astype(np.int32)):
        a, b = F.to_pil_image(clgrad.tensor(values)), theirs.to_pil_image(torch.tensor(values))
        assert a.mode == b.mode and a.tobytes() == b.tobytes()
    kinds = ["uint8", "int16", "int32", "float32", "float64"]
    for old in kinds:
        values = PIXELS if old[0] in "iu" else PIXELS / 255
        for new in kinds:
            if (old, new) in (("float32", "int32"),):
                continue
            x, y = (lib.tensor(values, dtype=getattr(lib, old)) for lib in (clgrad, torch))
            a = F.convert_image_dtype(x, getattr(clgrad, new))
            assert str(a.dtype) == f"torch.{new}"
            np.testing.assert_allclose(array(a), array(theirs.convert_image_dtype(y, getattr(torch, new))), rtol=1e-6)


def test_normalize_and_gradients(torch, torchvision):
    x = clgrad.tensor(PIXELS.transpose(2, 0, 1) / np.float32(255), requires_grad=True)
    y = torch.tensor(x.tolist(), requires_grad=True)
    both = []
    for f, t in ((F, x), (torchvision.transforms.functional, y)):
        out = f.adjust_contrast(f.gaussian_blur(f.resize(f.normalize(t, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), [7, 8]), 3), 0.7)
        out.sum().backward()
        both.append((array(out.detach()), array(t.grad)))
    np.testing.assert_allclose(*[b[0] for b in both], atol=2e-5)
    np.testing.assert_allclose(*[b[1] for b in both], atol=2e-5)
    with pytest.raises(ValueError, match="std evaluated to zero"):
        F.normalize(x.detach(), [0.0], [0.0])
    with pytest.raises(TypeError, match="float tensor"):
        F.normalize(clgrad.ones(1, 2, 2, dtype=clgrad.uint8), [0.0], [1.0])


RANDOM = [transforms.RandomCrop(9, padding=2), transforms.RandomResizedCrop(8), transforms.RandomHorizontalFlip(),
          transforms.RandomVerticalFlip(0.3), transforms.RandomRotation(30),
          transforms.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5),
          transforms.ColorJitter(0.4, 0.4, 0.4, 0.1), transforms.RandomGrayscale(0.5), transforms.GaussianBlur(3),
          transforms.RandomApply([transforms.Grayscale(3)]), transforms.RandomInvert(), transforms.RandomSolarize(100),
          transforms.RandomChoice([transforms.Pad(1), transforms.Resize(5)]), transforms.RandomPosterize(2),
          transforms.RandomOrder([transforms.Pad(1), transforms.CenterCrop(9)]), transforms.RandomEqualize(),
          transforms.RandomAdjustSharpness(2), transforms.RandomAutocontrast()]


@pytest.mark.parametrize("transform", RANDOM, ids=lambda t: type(t).__name__)
def test_chance_follows_the_seed(transform):
    for image in (Image.fromarray(PIXELS), clgrad.tensor(PIXELS.transpose(2, 0, 1).copy())):
        def draws(image=image):
            clgrad.manual_seed(5)
            return [array(transform(image)).tolist() for _ in range(12)]
        first = draws()
        assert first == draws() and any(other != first[0] for other in first[1:])


def test_floating_point_by_levels_and_bytes(torch, torchvision):
    from_torch = torchvision.transforms.v2.functional
    values = PIXELS.transpose(2, 0, 1).astype(np.float32) / 255
    for name, more in (("posterize", {"bits": 3}), ("equalize", {})):
        expected = getattr(from_torch, name)(torch.tensor(values), **more)
        np.testing.assert_allclose(array(getattr(F, name)(clgrad.tensor(values), **more)), array(expected), atol=1e-6)


def test_sizes_by_the_longer_edge():
    for shape, expected in (((3, 20, 10), (3, 8, 4)), ((3, 10, 20), (3, 4, 8))):
        assert tuple(F.resize(clgrad.zeros(shape), None, max_size=8).shape) == expected
        assert tuple(v2.Resize(None, max_size=8)(clgrad.zeros(shape)).shape) == expected
    mask = clgrad.zeros(4, 4, dtype=clgrad.bool)
    mask[:2] = True
    made = v2.Resize([2, 2])(tv_tensors.Mask(mask))
    assert made.dtype is clgrad.bool and made.tolist() == [[True, True], [False, False]]
    assert v2.functional.pad(clgrad.ones(1, 1, 1), 1, fill=None).sum().item() == 1


def test_whitened_pictures_stay_pictures():
    image = tv_tensors.Image(clgrad.rand(3, 2, 2))
    made = v2.LinearTransformation(2 * clgrad.eye(12), clgrad.ones(12))(image)
    assert type(made) is tv_tensors.Image
    np.testing.assert_allclose(made.numpy(), 2 * (image.numpy() - 1), atol=1e-6)


def test_erasing():
    x = clgrad.ones(3, 20, 20)
    made = transforms.RandomErasing(p=1, value=(2.0, 3.0, 4.0))(x)
    assert set(made[1].flatten().tolist()) == {1.0, 3.0} and x.min().item() == 1
    holes = [(transforms.RandomErasing(p=1, scale=(0.1, 0.2))(x) == 0).float().mean().item() for _ in range(30)]
    assert 0.07 < min(holes) < max(holes) < 0.23
    assert transforms.RandomErasing(p=0)(x) is x
    assert transforms.RandomErasing(p=1, value="random", inplace=True)(x) is x and x.min().item() < 1


def test_second_generation():
    steps = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(0.5), v2.RandomCrop(7), v2.ToDtype(clgrad.float32, scale=True)])
    one = tv_tensors.Image(clgrad.tensor(PIXELS.transpose(2, 0, 1).copy()))
    for _ in range(8):
        a, (b, label) = v2.RandomCrop(7)(one, [one, 3])
        assert a.tolist() == b.tolist() and label == 3
    assert steps(Image.fromarray(PIXELS)).shape == (3, 7, 7) and steps(Image.fromarray(PIXELS)).max().item() <= 1


@pytest.mark.parametrize(("make", "error"), [
    (lambda t: t.RandomErasing(value="x"), ValueError), (lambda t: t.ColorJitter(-1), ValueError),
    (lambda t: t.Pad([1, 2, 3]), ValueError), (lambda t: t.Pad("a"), TypeError), (lambda t: t.Lambda(3), TypeError),
    (lambda t: t.GaussianBlur(2), ValueError), (lambda t: t.RandomAffine(1, (2, 0)), ValueError),
    (lambda t: t.CenterCrop((1, 2, 3)), ValueError), (lambda t: t.v2.RandomZoomOut(side_range=None), TypeError),
    (lambda t: t.v2.RandomZoomOut(side_range=(0.5, 2)), ValueError), (lambda t: t.v2.Resize(None), ValueError),
    (lambda t: t.ToTensor()(3), TypeError), (lambda t: t.RandomErasing(scale=3), TypeError),
    (lambda t: t.RandomErasing(ratio=3), TypeError), (lambda t: t.RandomAffine(0, center=3), TypeError),
    (lambda t: t.RandomAffine(0, scale=(1,)), ValueError), (lambda t: t.RandomAffine(0, shear=(1, 2, 3)), ValueError),
    (lambda t: t.RandomRotation((1, 2, 3)), ValueError), (lambda t: t.RandomRotation(1, center=3), TypeError),
    (lambda t: t.functional.posterize(Image.fromarray(PIXELS), 9), ValueError),
    (lambda t: t.v2.functional.adjust_gamma(3, 1), TypeError), (lambda t: t.v2.functional.jpeg(3, 1), TypeError),
    (lambda t: t.RandomCrop(50)(Image.fromarray(PIXELS)), ValueError), (lambda t: t.Resize(4)([1]), TypeError)])
def test_errors(torchvision, make, error):
    for library in (transforms, torchvision.transforms):
        with pytest.raises(error):
            make(library)


def test_flat_and_small_pictures_and_gradients():
    flat = clgrad.full((3, 4, 4), 0.5)
    assert F.autocontrast(flat).tolist() == flat.tolist()
    small = clgrad.rand(3, 2, 5)
    assert F.adjust_sharpness(small, 2.0).tolist() == small.tolist()
    for change in (F.autocontrast, lambda x: F.adjust_sharpness(x, 0.5)):
        x = clgrad.rand(3, 5, 5).requires_grad_()
        change(x).sum().backward()
        assert bool((x.grad != 0).any())
