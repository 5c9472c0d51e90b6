"""``make_tensor``: inputs for tests."""

from __future__ import annotations

import math
from typing import Any

from clgrad import dtypes
from clgrad.creation import empty
from clgrad.ops.registry import FUNCTIONS
from clgrad.sampling import rand, randint
from clgrad.shapes import as_shape


def make_tensor(*shape: Any, dtype: Any, device: Any = "cpu", low: float | None = None, high: float | None = None,
                requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False,
                memory_format: Any = None) -> Any:
    """A tensor of numbers uniformly distributed over [low, high).

    Args:
        low, high: default -9 and 9 for floating point, -9 and 10 for signed and 0 and 10 for unsigned integers, 0 and 2
            for bool.
        noncontiguous: as every second element of a larger tensor.
        exclude_zero: 0 becomes the smallest positive number (1 for integers).

    Raises:
        ValueError: ``low`` is not below ``high``, or NaN.
    """
    sizes = as_shape(shape)
    first, last = _limits(dtype, low, high)
    if math.isnan(first) or math.isnan(last):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if first >= last:
        raise ValueError(f"`low` must be less than `high`, but got {first} >= {last}")
    if noncontiguous and memory_format is not None:
        raise ValueError(f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
                         f"{noncontiguous} and {memory_format}")
    wide = (*sizes[:-1], sizes[-1] * 2) if noncontiguous and sizes else sizes
    if dtype.is_floating_point:
        exact = dtype if dtype is dtypes.float64 else dtypes.float32
        made = (rand(wide, dtype=exact, device=device) * (last - first) + first).to(dtype)
    else:
        made = randint(math.ceil(first), max(math.ceil(last), math.ceil(first) + 1), wide, device=device).to(dtype)
    if exclude_zero:
        smallest = FUNCTIONS["finfo"](dtype).tiny if dtype.is_floating_point else 1
        made = made.masked_fill(made == 0, smallest)
    if noncontiguous and sizes:
        made = made[..., ::2]
    elif memory_format is not None:
        made = empty(sizes, dtype=dtype, device=device, memory_format=memory_format).copy_(made)
    return made.requires_grad_(requires_grad)


def _limits(kind: Any, low: float | None, high: float | None) -> tuple[float, float]:
    if kind is dtypes.bool:
        default = (0, 2)
    elif kind.is_floating_point:
        default = (-9, 9)
    else:
        default = (-9 if kind.is_signed else 0, 10)
    return default[0] if low is None else low, default[1] if high is None else high
