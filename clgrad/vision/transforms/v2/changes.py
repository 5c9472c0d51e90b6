"""Transforms of what is in pictures, and of videos and points, that only the second generation has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.vision.transforms import chance, dispatch, points
from clgrad.vision.transforms.v2.kinds import labels_in
from clgrad.vision.transforms.v2.transform import PICTURES, Transform, is_pure_tensor, leaves, query_chw, rebuilt
from clgrad.vision.tv_tensors import KeyPoints, Video, wrap


class GaussianNoise(Transform):
    """Pictures with normally distributed noise; see :func:`functional.gaussian_noise`."""

    _transformed_types = PICTURES

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True):
        super().__init__()
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(dispatch.gaussian_noise, inpt, self.mean, self.sigma, self.clip)


class JPEG(Transform):
    """Pictures written as JPEG and read again; see :func:`functional.jpeg`.

    Args:
        quality: 1 to 100, or bounds from which it is drawn.

    Raises:
        TypeError, ValueError: another quality.
    """

    _transformed_types = PICTURES

    def __init__(self, quality: int | Sequence[int]):
        super().__init__()
        if isinstance(quality, bool):
            raise TypeError("quality can't be bool")
        bounds = [quality, quality] if isinstance(quality, int) else quality
        if not isinstance(bounds, Sequence) or isinstance(bounds, str):
            raise TypeError(f"quality should be an int or a sequence of two, got {quality!r}")
        if len(bounds) != 2 or not all(isinstance(v, int) for v in bounds) or not 1 <= bounds[0] <= bounds[1] <= 100:
            raise ValueError(f"quality must be an integer from 1 to 100, got {quality!r}")
        self.quality = bounds

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        return {"quality": chance.integer(self.quality[0], self.quality[1] + 1)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(dispatch.jpeg, inpt, **params)


class RGB(Transform):
    """Grey pictures in three equal channels."""

    _transformed_types = PICTURES

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(dispatch.grayscale_to_rgb, inpt)


class RandomChannelPermutation(Transform):
    """Channels in an order by chance."""

    _transformed_types = PICTURES

    def make_params(self, flat_inputs: list) -> dict[str, Any]:
        return {"permutation": chance.stream().permutation(query_chw(flat_inputs)[0]).tolist()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(dispatch.permute_channels, inpt, **params)


class UniformTemporalSubsample(Transform):
    """``num_samples`` pictures of a video, as far apart as they can be."""

    _transformed_types = (is_pure_tensor, Video)

    def __init__(self, num_samples: int):
        super().__init__()
        self.num_samples = num_samples

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(dispatch.uniform_temporal_subsample, inpt, self.num_samples)


class ClampKeyPoints(Transform):
    """Points moved to the nearest pixel of their picture."""

    _transformed_types = (KeyPoints,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return points.clamp_keypoints(inpt)


class SanitizeKeyPoints(Transform):
    """Leaves points out that are not in the picture, or groups of points of which one is not, with their labels.

    Args:
        labels_getter: a function of a sample that returns its labels, one tensor or several; "default": they are looked for
            under ``labels``; None for none.

    Raises:
        ValueError: a sample without points, or with another number of labels.
    """

    def __init__(self, labels_getter: Any = None):
        super().__init__()
        if not (labels_getter in ("default", None) or callable(labels_getter)):
            raise ValueError(f"labels_getter should either be 'default', a callable, or None, but got {labels_getter}.")
        self.labels_getter = labels_getter

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat = leaves(sample)
        labels = labels_in(sample, self.labels_getter)
        found = next((one for one in flat if isinstance(one, KeyPoints)), None)
        if found is None:
            raise ValueError("No keypoints were found in the sample")
        for one in labels:
            if len(one) != len(found):
                raise ValueError(f"Number of keypoints (shape={found.shape}) must match the number of labels. Found labels "
                                 f"with shape={one.shape}.")
        _, valid = points.sanitize_keypoints(found)
        return rebuilt(sample, iter([wrap(one[valid], like=one) if isinstance(one, KeyPoints) else
                                     one[valid] if any(one is label for label in labels) else one for one in flat]))
