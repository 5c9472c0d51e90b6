"""Dropout (Hinton et al. 2012) of elements and of channels, and the forms that keep selu's statistics."""

from __future__ import annotations

import warnings
from typing import Any

from clgrad.ops.registry import FUNCTIONS

_SATURATION = -1.7580993408473766  # what selu tends to: - scale * alpha


def _check_p(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element is set to 0 with probability ``p``, the others are divided by 1 - p."""
    _check_p(p)
    return FUNCTIONS["dropout"](input, p, training, inplace=inplace)


def _kept(shape: Any, like: Any, p: float) -> Any:
    """1 with probability 1 - p, else 0."""
    return like.detach().new_empty(shape).bernoulli_(1 - p)


def _per_channel(input: Any, lead: int) -> tuple:
    if input.ndim < 2 and input.numel():
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return tuple(input.shape[:lead]) + (1,) * (input.ndim - lead)


def feature_dropout(input: Any, p: float, train: bool, inplace: bool = False, lead: int = 2) -> Any:
    """Whole channels are set to 0: the first ``lead`` dimensions, samples and channels, are drawn separately."""
    _check_p(p)
    if not train or p == 0:
        return input
    factor = _kept(_per_channel(input, lead), input, p).div_(1 - p) if p < 1 else 0.0
    return input.mul_(factor) if inplace else input * factor


def _channels(rank: int) -> Any:
    name = f"dropout{rank}d"

    def function(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        _check_p(p)
        unbatched, batched = rank + 1, rank + 2
        if input.ndim not in (unbatched, batched):
            if rank == 1:
                raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. Note that "
                                   "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial "
                                   "dimension, a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs).")
            warnings.warn(f"{name}: Received a {input.ndim}-D input to {name}, which is deprecated and will result in "
                          f"an error in a future release; expected {unbatched} or {batched} dimensions.", stacklevel=3)
        if rank == 2 and input.ndim == unbatched:  # planes without their batch are taken for a batch of lines
            warnings.warn("dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
                          "behavior is desired, of (N, C, L); give (1, C, H, W) for channels of planes.", stacklevel=3)
        lead = 1 if input.ndim == unbatched and rank != 2 else 2
        return feature_dropout(input, p, training, inplace, lead)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = (f"Whole channels of (n, c, ...) with {rank} more dimension(s) are set to 0 with probability "
                        "``p``, the others divided by 1 - p.")
    return function


dropout1d, dropout2d, dropout3d = _channels(1), _channels(2), _channels(3)


def _alpha(input: Any, p: float, training: bool, inplace: bool, shape: Any) -> Any:
    _check_p(p)
    if not training or p == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    scale = ((1 - p) * (1 + p * _SATURATION**2)) ** -0.5
    keep = _kept(shape, input, p)
    shift = (1 - keep) * (_SATURATION * scale) - scale * p * _SATURATION
    return input.mul_(keep * scale).add_(shift) if inplace else input * (keep * scale) + shift


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean and variance of selu's values: elements become selu's limit (Klambauer et al. 2017)."""
    return _alpha(input, p, training, inplace, input.shape)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """:func:`alpha_dropout` of whole channels."""
    return _alpha(input, p, training, inplace, _per_channel(input, 2) if training and 0 < p < 1 else ())


def dropout_(input: Any, p: float, train: bool) -> Any:
    """:func:`dropout` in place."""
    return dropout(input, p, train, True)


def feature_dropout_(input: Any, p: float, train: bool) -> Any:
    """:func:`feature_dropout` in place."""
    return feature_dropout(input, p, train, True)


def alpha_dropout_(input: Any, p: float, train: bool) -> Any:
    """:func:`alpha_dropout` in place."""
    return alpha_dropout(input, p, train, True)


def feature_alpha_dropout_(input: Any, p: float, train: bool) -> Any:
    """:func:`feature_alpha_dropout` in place."""
    return feature_alpha_dropout(input, p, train, True)
