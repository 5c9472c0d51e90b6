"""Activations as layers; what each computes stands in :mod:`clgrad.nn.functional`."""

from __future__ import annotations

import warnings
from typing import Any

from clgrad.creation import full
from clgrad.nn import functional as F
from clgrad.nn.modules.attention import MultiheadAttention  # noqa: F401  (PyTorch's module of this name has it)
from clgrad.nn.modules.module import Module
from clgrad.nn.parameter import Parameter


class _InPlace(Module):
    """An activation without parameters that may replace its input's contents."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Whether it works in place."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0)"""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.relu(input, self.inplace)


class SiLU(_InPlace):
    """x * sigmoid(x)"""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """x * tanh(softplus(x))"""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.mish(input, self.inplace)


class Hardswish(_InPlace):
    """x * relu6(x + 3) / 6"""

    def extra_repr(self) -> str:
        """Nothing, as PyTorch prints it."""
        return ""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.hardswish(input, self.inplace)


class Hardsigmoid(_InPlace):
    """relu6(x + 3) / 6"""

    def extra_repr(self) -> str:
        """Nothing, as PyTorch prints it."""
        return ""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.hardsigmoid(input, self.inplace)


class SELU(_InPlace):
    """Self-normalising ELU."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.selu(input, self.inplace)


class Sigmoid(Module):
    """1 / (1 + exp(-x))"""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.tanh(input)


class LogSigmoid(Module):
    """log(sigmoid(x))"""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x / (1 + abs(x))"""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x - tanh(x)"""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.tanhshrink(input)


class _WithParameters(Module):
    """An activation with numbers; ``names`` are its attributes in the order in which they are printed."""

    names: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        """The numbers, and whether it works in place."""
        parts = [f"{name}={getattr(self, name)}" for name in self.names]
        return ", ".join(parts + (["inplace=True"] if getattr(self, "inplace", False) else []))


class ELU(_WithParameters):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    names = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.elu(input, self.alpha, self.inplace)


class CELU(_WithParameters):
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""

    names = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.celu(input, self.alpha, self.inplace)


class LeakyReLU(_WithParameters):
    """x where x > 0, else negative_slope * x."""

    names = ("negative_slope",)

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)


class RReLU(_WithParameters):
    """leaky_relu with slopes drawn from [lower, upper] while training."""

    names = ("lower", "upper")

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.rrelu(input, self.lower, self.upper, self.inplace)


class Hardtanh(_WithParameters):
    """x kept between ``min_val`` and ``max_val``."""

    names = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False,
                 min_value: float | None = None, max_value: float | None = None):
        super().__init__()
        for name, old in (("min", min_value), ("max", max_value)):
            if old is not None:
                warnings.warn(f"keyword argument `{name}_value` is deprecated and rename to `{name}_val`", FutureWarning,
                              stacklevel=2)
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        if min_val >= max_val:
            raise AssertionError(f"max_val ({max_val}) must be greater than min_val ({min_val})")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class ReLU6(Hardtanh):
    """min(max(x, 0), 6)"""

    def __init__(self, inplace: bool = False):
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.relu6(input, self.inplace)

    def extra_repr(self) -> str:
        """Whether it works in place."""
        return "inplace=True" if self.inplace else ""


class Threshold(_WithParameters):
    """x where x > threshold, else ``value``."""

    names = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.threshold(input, self.threshold, self.value, self.inplace)


class Softplus(_WithParameters):
    """log(1 + exp(beta * x)) / beta, a smooth ReLU."""

    names = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.softplus(input, self.beta, self.threshold)


class Hardshrink(Module):
    """0 in [-lambd, lambd], else x."""

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The number."""
        return f"{self.lambd}"


class Softshrink(Module):
    """x moved by ``lambd`` towards 0."""

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The number."""
        return str(self.lambd)


class GELU(Module):
    """x times the normal distribution's function of x."""

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The number."""
        return f"approximate={self.approximate!r}"


class GLU(_WithParameters):
    """The first half along ``dim`` times the sigmoid of the second."""

    names = ("dim",)

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.glu(input, self.dim)


class Softmax(Module):
    """exp(x) divided by its sum along ``dim``."""

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The number."""
        return f"dim={self.dim}"


class Softmin(Module):
    """Softmax of -x."""

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        """The number."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of softmax."""

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The number."""
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of (n, c, h, w) or (c, h, w)."""

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


class PReLU(Module):
    """leaky_relu with learned slopes: one, or one a channel."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Sets the slopes to what they were at first."""
        self.weight.data.fill_(self.init)

    def forward(self, input: Any) -> Any:
        """A tensor of the input's shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """How many slopes."""
        return f"num_parameters={self.num_parameters}"
