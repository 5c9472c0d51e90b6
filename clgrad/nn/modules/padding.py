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


class _ConstantPad(_Pad):
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


class _ZeroPad(_ConstantPad):
    """Pads with zeros."""

    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The counts."""
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """Pads (n, c, l) or (c, l) with one value.

    >>> import clgrad
    >>> clgrad.nn.ConstantPad1d((1, 0), 5.)(clgrad.ones(1, 2))
    tensor([[5., 1., 1.]])
    """

    dims = 1


class ConstantPad2d(_ConstantPad):
    """Pads (n, c, h, w) or (c, h, w) with one value."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """Pads (n, c, d, h, w) or (c, d, h, w) with one value."""

    dims = 3


class ZeroPad1d(_ZeroPad):
    """Pads (n, c, l) or (c, l) with zeros."""

    dims = 1


class ZeroPad2d(_ZeroPad):
    """Pads (n, c, h, w) or (c, h, w) with zeros."""

    dims = 2


class ZeroPad3d(_ZeroPad):
    """Pads (n, c, d, h, w) or (c, d, h, w) with zeros."""

    dims = 3


class ReflectionPad1d(_Pad):
    """Pads (n, c, l) or (c, l) by mirroring at the last elements."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pads (n, c, h, w) or (c, h, w) by mirroring at the last elements."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Pads (n, c, d, h, w) or (c, d, h, w) by mirroring at the last elements."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Pads (n, c, l) or (c, l) by repeating the last elements."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pads (n, c, h, w) or (c, h, w) by repeating the last elements."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Pads (n, c, d, h, w) or (c, d, h, w) by repeating the last elements."""

    dims, mode = 3, "replicate"


class _CircularPad(_Pad):
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


class CircularPad1d(_CircularPad):
    """Pads (n, c, l) or (c, l) with what stands at the other end."""

    dims = 1


class CircularPad2d(_CircularPad):
    """Pads (n, c, h, w) or (c, h, w) with what stands at the other ends."""

    dims = 2


class CircularPad3d(_CircularPad):
    """Pads (n, c, d, h, w) or (c, d, h, w) with what stands at the other ends."""

    dims = 3
