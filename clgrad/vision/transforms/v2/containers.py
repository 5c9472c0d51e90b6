"""Transforms of transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clgrad.nn import ModuleList
from clgrad.vision.transforms import chance
from clgrad.vision.transforms.v2.transform import Transform


class _Container(Transform):
    """Base of transforms that consist of others.

    Raises:
        TypeError: no sequence.
        ValueError: an empty one.
    """

    def __init__(self, transforms: Sequence[Callable]):
        super().__init__()
        if not isinstance(transforms, (Sequence, ModuleList)):
            raise TypeError("Argument transforms should be a sequence of callables")
        if not len(transforms):
            raise ValueError("Pass at least one transform")
        self.transforms = transforms

    @staticmethod
    def _all(transforms: Any, inputs: tuple) -> Any:
        several = len(inputs) > 1
        for one in transforms:
            made = one(*inputs)
            inputs = made if several else (made,)
        return inputs if several else inputs[0]

    def extra_repr(self) -> str:
        return "\n".join(f"    {one}" for one in self.transforms)


class Compose(_Container):
    """Transforms one after the other, of one or several parts of a sample.

    >>> import clgrad
    >>> from clgrad.vision.transforms import v2
    >>> steps = v2.Compose([v2.CenterCrop(2), v2.ToDtype(clgrad.float32, scale=True)])
    >>> steps(clgrad.full((1, 4, 4), 255, dtype=clgrad.uint8), "a label")
    (tensor([[[1., 1.],
              [1., 1.]]]), 'a label')
    """

    def forward(self, *inputs: Any) -> Any:
        return self._all(self.transforms, inputs)


class RandomApply(_Container):
    """All of a list of transforms, or with probability ``1 - p`` none."""

    def __init__(self, transforms: Sequence[Callable], p: float = 0.5):
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        return self._all(self.transforms if chance.happens(self.p) else [], inputs)


class RandomChoice(_Container):
    """One of a list of transforms; ``p`` are their weights, by default equal."""

    def __init__(self, transforms: Sequence[Callable], p: Sequence[float] | None = None):
        super().__init__(transforms)
        weights = [1.0] * len(transforms) if p is None else list(p)
        if len(weights) != len(transforms):
            raise ValueError(f"Length of p doesn't match the number of transforms: {len(weights)} != {len(transforms)}")
        self.p = [weight / sum(weights) for weight in weights]

    def forward(self, *inputs: Any) -> Any:
        return self.transforms[int(chance.stream().choice(len(self.p), p=self.p))](*inputs)


class RandomOrder(_Container):
    """All of a list of transforms, in random order."""

    def forward(self, *inputs: Any) -> Any:
        return self._all([self.transforms[place] for place in chance.stream().permutation(len(self.transforms))], inputs)
