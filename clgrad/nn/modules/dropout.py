"""Dropout: while training, elements or channels are set to zero by chance (Hinton et al. 2012)."""

from __future__ import annotations

from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.modules.module import Module


class _DropoutNd(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Sets elements to 0 with probability ``p`` and divides the others by 1 - p; nothing in ``eval()``.

    >>> import clgrad
    >>> clgrad.nn.Dropout(0.2).eval()(clgrad.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Sets whole channels of (n, c, l) to 0 with probability ``p``."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Sets whole channels of (n, c, h, w) to 0 with probability ``p``."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Sets whole channels of (n, c, d, h, w) to 0 with probability ``p``."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout for networks of SELU: keeps mean and variance."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """:class:`AlphaDropout` of whole channels."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.feature_alpha_dropout(input, self.p, self.training)
