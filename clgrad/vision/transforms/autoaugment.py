"""Transforms whose kinds and strengths are drawn from tables: AutoAugment and what came after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np

from clgrad.nn import Module
from clgrad.ops import copying
from clgrad.optional import is_picture
from clgrad.tensor import Tensor
from clgrad.vision.transforms import arrays, chance
from clgrad.vision.transforms import dispatch as F
from clgrad.vision.transforms.modes import InterpolationMode
from clgrad.vision.tv_tensors import TVTensor, Video, wrap


class AutoAugmentPolicy(Enum):
    """The data sets for which policies were learned."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


# Pairs of changes with the probability and, where it has one, the strength of each (Cubuk et al. 2019, appendix).
_POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize .4 8 Rotate .6 9, Solarize .6 5 AutoContrast .6 -, Equalize .8 - Equalize .6 -,
        Posterize .6 7 Posterize .6 6, Equalize .4 - Solarize .2 4, Equalize .4 - Rotate .8 8,
        Solarize .6 3 Equalize .6 -, Posterize .8 5 Equalize 1 -, Rotate .2 3 Solarize .6 8,
        Equalize .6 - Posterize .4 6, Rotate .8 8 Color .4 0, Rotate .4 9 Equalize .6 -,
        Equalize 0 - Equalize .8 -, Invert .6 - Equalize 1 -, Color .6 4 Contrast 1 8,
        Rotate .8 8 Color 1 2, Color .8 8 Solarize .8 7, Sharpness .4 7 Invert .6 -,
        ShearX .6 5 Equalize 1 -, Color .4 0 Equalize .6 -, Equalize .4 - Solarize .2 4,
        Solarize .6 5 AutoContrast .6 -, Invert .6 - Equalize 1 -, Color .6 4 Contrast 1 8,
        Equalize .8 - Equalize .6 -""",
    AutoAugmentPolicy.CIFAR10: """
        Invert .1 - Contrast .2 6, Rotate .7 2 TranslateX .3 9, Sharpness .8 1 Sharpness .9 3,
        ShearY .5 8 TranslateY .7 9, AutoContrast .5 - Equalize .9 -, ShearY .2 7 Posterize .3 7,
        Color .4 3 Brightness .6 7, Sharpness .3 9 Brightness .7 9, Equalize .6 - Equalize .5 -,
        Contrast .6 7 Sharpness .6 5, Color .7 7 TranslateX .5 8, Equalize .3 - AutoContrast .4 -,
        TranslateY .4 3 Sharpness .2 6, Brightness .9 6 Color .2 8, Solarize .5 2 Invert 0 -,
        Equalize .2 - AutoContrast .6 -, Equalize .2 - Equalize .6 -, Color .9 9 Equalize .6 -,
        AutoContrast .8 - Solarize .2 8, Brightness .1 3 Color .7 0, Solarize .4 5 AutoContrast .9 -,
        TranslateY .9 9 TranslateY .7 9, AutoContrast .9 - Solarize .8 3, Equalize .8 - Invert .1 -,
        TranslateY .7 9 AutoContrast .9 -""",
    AutoAugmentPolicy.SVHN: """
        ShearX .9 4 Invert .2 -, ShearY .9 8 Invert .7 -, Equalize .6 - Solarize .6 6,
        Invert .9 - Equalize .6 -, Equalize .6 - Rotate .9 3, ShearX .9 4 AutoContrast .8 -,
        ShearY .9 8 Invert .4 -, ShearY .9 5 Solarize .2 6, Invert .9 - AutoContrast .8 -,
        Equalize .6 - Rotate .9 3, ShearX .9 4 Solarize .3 3, ShearY .8 8 Invert .7 -,
        Equalize .9 - TranslateY .6 6, Invert .9 - Equalize .6 -, Contrast .3 3 Rotate .8 4,
        Invert .8 - TranslateY 0 2, ShearY .7 6 Solarize .4 8, Invert .6 - Rotate .8 4,
        ShearY .3 7 TranslateX .9 3, ShearX .1 6 Invert .6 -, Solarize .7 2 TranslateY .6 7,
        ShearY .8 4 Invert .8 -, ShearX .7 9 TranslateY .8 3, ShearY .8 5 AutoContrast .7 -,
        ShearX .7 2 Invert .1 -"""}


def _sheared(img: Any, slants: list[float], more: dict[str, Any]) -> Any:
    """A picture sheared from its corner on, by pixels along x and y for each pixel."""
    return F.affine(img, 0.0, [0, 0], 1.0, [math.degrees(math.atan(v)) for v in slants], center=[0, 0], **more)


# Changes by name: of a picture, a strength and what :func:`dispatch.affine` takes for new pixels.
_CHANGES: dict[str, Callable[..., Any]] = {
    "Identity": lambda img, by, more: img,
    "ShearX": lambda img, by, more: _sheared(img, [by, 0.0], more),
    "ShearY": lambda img, by, more: _sheared(img, [0.0, by], more),
    "TranslateX": lambda img, by, more: F.affine(img, 0.0, [int(by), 0], 1.0, [0.0, 0.0], **more),
    "TranslateY": lambda img, by, more: F.affine(img, 0.0, [0, int(by)], 1.0, [0.0, 0.0], **more),
    "Rotate": lambda img, by, more: F.rotate(img, by, **more),
    "Brightness": lambda img, by, more: F.adjust_brightness(img, 1.0 + by),
    "Color": lambda img, by, more: F.adjust_saturation(img, 1.0 + by),
    "Contrast": lambda img, by, more: F.adjust_contrast(img, 1.0 + by),
    "Sharpness": lambda img, by, more: F.adjust_sharpness(img, 1.0 + by),
    "Posterize": lambda img, by, more: F.posterize(img, int(by)),
    "Solarize": lambda img, by, more: F.solarize(img, by * (arrays.bound(img) if isinstance(img, Tensor) else 255)),
    "AutoContrast": lambda img, by, more: F.autocontrast(img),
    "Equalize": lambda img, by, more: F.equalize(img),
    "Invert": lambda img, by, more: F.invert(img),
}
_COLOURS = ("Brightness", "Color", "Contrast", "Sharpness")
_PLACES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


class _FromTables(Module):
    """Base of the transforms; :meth:`strongest` says how far each change can go."""

    names: Sequence[str] = ("Identity", *_PLACES, *_COLOURS, "Posterize", "Solarize", "AutoContrast", "Equalize")
    bits = 4  # that posterizing takes away at most, of ``kept``
    kept = 8

    def __init__(self, interpolation: Any, fill: Any):
        super().__init__()
        self.interpolation, self.fill = F.interpolation_of(interpolation), fill

    def strongest(self, name: str, height: int, width: int) -> float:
        """The greatest strength of a change of places or colours."""
        return {"ShearX": 0.3, "ShearY": 0.3, "TranslateX": 150 / 331 * width, "TranslateY": 150 / 331 * height,
                "Rotate": 30.0}.get(name, 0.9)

    def _changed(self, img: Any, name: str, level: int | None, levels: int, turned: bool) -> Any:
        """A picture changed by one of ``levels`` strengths, in the other direction where ``turned`` and there is one."""
        _, height, width = F.get_dimensions(img)
        share = (level or 0) / (levels - 1)
        by = 0.0
        if name in _PLACES or name in _COLOURS:
            by = share * self.strongest(name, height, width) * (-1 if turned else 1)
        elif name == "Posterize":
            by = float(np.rint(self.kept - share * self.bits))
        elif name == "Solarize":
            by = 1 - share
        return _CHANGES[name](img, by, {"interpolation": self.interpolation, "fill": self.fill})

    def __repr__(self) -> str:
        own = ", ".join(f"{name}={value}" for name, value in vars(self).items()
                        if not name.startswith("_") and name not in ("training", "policies"))
        return f"{type(self).__name__}({own})"


class AutoAugment(_FromTables):
    """Two changes, drawn from a policy that was learned for a data set (Cubuk et al. 2019).

    Args:
        policy: an :class:`AutoAugmentPolicy`.
        interpolation, fill: of the changes of places.

    Raises:
        ValueError: another policy.
    """

    def __init__(self, policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET, interpolation: Any = InterpolationMode.NEAREST,
                 fill: Any = None):
        super().__init__(interpolation, fill)
        if policy not in _POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self.policies = [tuple((words[n], float(words[n + 1]), None if words[n + 2] == "-" else int(words[n + 2]))
                               for n in (0, 3)) for words in (one.split() for one in _POLICIES[policy].split(","))]

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, list[float], list[int]]:
        """The number of a pair, two numbers that decide whether its changes are made, and two that give their directions."""
        draw = chance.stream()
        return int(draw.integers(0, transform_num)), draw.random(2).tolist(), draw.integers(0, 2, 2).tolist()

    def forward(self, img: Any) -> Any:
        chosen, shares, signs = self.get_params(len(self.policies))
        for (name, p, level), share, sign in zip(self.policies[chosen], shares, signs, strict=True):
            if share <= p:
                img = self._changed(img, name, level, 10, not sign)
        return img


class RandAugment(_FromTables):
    """Some changes of one strength (Cubuk et al. 2020).

    Args:
        num_ops: how many changes.
        magnitude: the strength, of ``num_magnitude_bins`` from 0 on.
        interpolation, fill: of the changes of places.

    Raises:
        ValueError: ``num_ops`` is negative, or ``magnitude`` no strength.
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31,
                 interpolation: Any = InterpolationMode.NEAREST, fill: Any = None):
        super().__init__(interpolation, fill)
        if not isinstance(num_ops, int) or num_ops < 0:
            raise ValueError(f"num_ops should be a non-negative integer, but got {num_ops} instead.")
        if not 0 <= magnitude < num_magnitude_bins:
            raise ValueError(f"magnitude should be one of {num_magnitude_bins} bins, got {magnitude}")
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def forward(self, img: Any) -> Any:
        for _ in range(self.num_ops):
            name = self.names[chance.integer(0, len(self.names))]
            img = self._changed(img, name, self.magnitude, self.num_magnitude_bins, chance.happens(0.5))
        return img


class TrivialAugmentWide(_FromTables):
    """One change of any strength (Müller and Hutter 2021); arguments as of :class:`RandAugment`."""

    bits = 6

    def __init__(self, num_magnitude_bins: int = 31, interpolation: Any = InterpolationMode.NEAREST, fill: Any = None):
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def strongest(self, name: str, height: int, width: int) -> float:
        return {"TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0}.get(name, 0.99)

    def forward(self, img: Any) -> Any:
        name, level = self.names[chance.integer(0, len(self.names))], chance.integer(0, self.num_magnitude_bins)
        return self._changed(img, name, level, self.num_magnitude_bins, chance.happens(0.5))


class AugMix(_FromTables):
    """The picture mixed with what chains of changes make of it (Hendrycks et al. 2020).

    Args:
        severity: the strengths are below it, of 10.
        mixture_width: how many chains.
        chain_depth: how many changes each has; by default 1 to 3, drawn.
        alpha: of the Dirichlet distribution of the weights.
        all_ops: changes of colours as well.
        interpolation, fill: of the changes of places.

    Raises:
        ValueError: ``severity`` is not in 1..10.
    """

    kept = 4

    def __init__(self, severity: int = 3, mixture_width: int = 3, chain_depth: int = -1, alpha: float = 1.0,
                 all_ops: bool = True, interpolation: Any = InterpolationMode.BILINEAR, fill: Any = None):
        super().__init__(interpolation, fill)
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity, self.mixture_width, self.chain_depth = severity, mixture_width, chain_depth
        self.alpha, self.all_ops = alpha, all_ops
        self._names = [name for name in self.names if name != "Identity" and (all_ops or name not in _COLOURS)]

    def strongest(self, name: str, height: int, width: int) -> float:
        moved = {"TranslateX": width / 3, "TranslateY": height / 3}
        return moved[name] if name in moved else super().strongest(name, height, width)

    def forward(self, img: Any) -> Any:
        image = F.pil_to_tensor(img) if is_picture(img) else img.as_subclass(Tensor)
        draw = chance.stream()
        entries = image.shape[0] if image.ndim > (4 if isinstance(img, Video) else 3) else 1
        shape = (entries,) + (1,) * (image.ndim - 1) if entries > 1 else (1,) * image.ndim
        own, rest = (share.reshape(shape) for share in draw.dirichlet([self.alpha] * 2, entries).T)
        mixed = own * copying.to_array(image.detach()).astype(np.float32)
        for weight in draw.dirichlet([self.alpha] * self.mixture_width, entries).T:
            made = image
            for _ in range(self.chain_depth if self.chain_depth > 0 else int(draw.integers(1, 4))):
                name = self._names[int(draw.integers(0, len(self._names)))]
                made = self._changed(made, name, int(draw.integers(0, self.severity)), 10, bool(draw.integers(0, 2)))
            mixed = mixed + rest * weight.reshape(shape) * copying.to_array(made.detach()).astype(np.float32)
        result = arrays.from_array(mixed.astype(np.float32)).to(dtype=image.dtype, device=image.device)
        if is_picture(img):
            return F.to_pil_image(result, img.mode)
        return wrap(result, like=img) if isinstance(img, TVTensor) else result
