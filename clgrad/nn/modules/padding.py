"""Padding of the last dimensions, as layers. Counts are pairs (before, after), the last dimension first."""

from __future__ import annotations

from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.modules.module import Module


class _Pad(Module):
    """Pads the last ``dims`` dimensions by one count on every side, or by a pair for each dimension."""

    dims: int
    mode = "constant"

    def __init__(self, padding: Any):
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.dims)

    def forward(self, input: Any) -> Any:
        """The input with more, or with fewer, elements at the edges."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The counts."""
        return f"{self.padding}"


class _ConstantPadNd(_Pad):
    """Pads with one value."""

    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        """The input with more, or with fewer, elements at the edges."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The counts and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Pads (n, c, l) or (c, l) with one value.

    >>> import clgrad
    >>> clgrad.nn.ConstantPad1d((1, 0), 5.)(clgrad.ones(1, 2))
    tensor([[5., 1., 1.]])
    """

    dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads (n, c, h, w) or (c, h, w) with one value."""

    dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads (n, c, d, h, w) or (c, d, h, w) with one value."""

    dims = 3


class _ZeroPad:
    """Pads with zeros."""

    padding: tuple

    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)  # type: ignore[call-arg]

    def extra_repr(self) -> str:
        """The counts."""
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Pads (n, c, l) or (c, l) with zeros."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Pads (n, c, h, w) or (c, h, w) with zeros."""


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Pads (n, c, d, h, w) or (c, d, h, w) with zeros."""


class _ReflectionPadNd(_Pad):
    """Pads by mirroring at the last elements."""

    mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """Pads (n, c, l) or (c, l) by mirroring at the last elements."""

    dims = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pads (n, c, h, w) or (c, h, w) by mirroring at the last elements."""

    dims = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pads (n, c, d, h, w) or (c, d, h, w) by mirroring at the last elements."""

    dims = 3


class _ReplicationPadNd(_Pad):
    """Pads by repeating the last elements."""

    mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """Pads (n, c, l) or (c, l) by repeating the last elements."""

    dims = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pads (n, c, h, w) or (c, h, w) by repeating the last elements."""

    dims = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pads (n, c, d, h, w) or (c, d, h, w) by repeating the last elements."""

    dims = 3


class _CircularPadNd(_Pad):
    """Pads with what stands at the other ends."""

    mode = "circular"

    def forward(self, input: Any) -> Any:
        """The input with more, or with fewer, elements at the edges.

        Raises:
            ValueError: the input has another number of dimensions.
        """
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise ValueError(f"{type(self).__name__}: expected {self.dims + 1}D or {self.dims + 2}D input (got "
                             f"{input.ndim}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Pads (n, c, l) or (c, l) with what stands at the other end."""

    dims = 1


class CircularPad2d(_CircularPadNd):
    """Pads (n, c, h, w) or (c, h, w) with what stands at the other ends."""

    dims = 2


class CircularPad3d(_CircularPadNd):
    """Pads (n, c, d, h, w) or (c, d, h, w) with what stands at the other ends."""

    dims = 3
