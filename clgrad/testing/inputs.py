"""``make_tensor``: inputs for tests."""

from __future__ import annotations

import math
import warnings
from typing import Any

from clgrad import dtypes
from clgrad.creation import empty
from clgrad.ops.registry import FUNCTIONS
from clgrad.sampling import randint
from clgrad.shapes import as_shape


def make_tensor(*shape: Any, dtype: Any, device: Any = "cpu", low: float | None = None, high: float | None = None,
                requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False,
                memory_format: Any = None) -> Any:
    """A tensor of numbers uniformly distributed over [low, high).

    Args:
        low, high: default -9 and 9 for floating point, -9 and 10 for signed and 0 and 10 for unsigned integers, 0 and 2
            for bool. What the dtype does not hold is cut off.
        noncontiguous: as every second element of a larger tensor, if there is more than one.
        exclude_zero: 0 becomes the smallest positive number (1 for integers).

    Raises:
        ValueError: ``low`` is not below ``high``, or NaN; the dtype holds nothing between them; integers require a gradient.
    """
    sizes = as_shape(shape)
    if noncontiguous and memory_format is not None:
        raise ValueError(f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
                         f"noncontiguous={noncontiguous} and memory_format={memory_format}")
    if requires_grad and not dtype.differentiable:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype}")
    first, last = _limits(dtype, low, high)
    apart = noncontiguous and math.prod(sizes) > 1
    wide = (*sizes[:-1], sizes[-1] * 2) if apart else sizes
    if not dtype.differentiable:
        made = randint(math.ceil(first), math.ceil(last), wide, device=device).to(dtype)
    elif last - first < FUNCTIONS["finfo"](dtype).max:
        made = empty(wide, dtype=dtype, device=device).uniform_(first, last)
    else:
        made = empty(wide, dtype=dtype, device=device).uniform_(first / 2, last / 2).mul_(2)
    if exclude_zero:
        smallest = FUNCTIONS["finfo"](dtype).tiny if dtype.differentiable else 1
        made = made.masked_fill(made == 0, smallest)
    if apart:
        made = made[..., 1::2]
    elif memory_format is not None:
        made = made.clone(memory_format=memory_format)
    return made.requires_grad_(requires_grad)


def _limits(kind: Any, low: float | None, high: float | None) -> tuple[float, float]:
    """The interval, checked, as far as the dtype holds it."""
    if kind is dtypes.bool:
        default, held = (0, 2), (0, 2)
    elif kind.differentiable:
        info = FUNCTIONS["finfo"](kind)
        default, held = (-9, 9), (info.min, info.max)
    else:
        info = FUNCTIONS["iinfo"](kind)
        default, held = (-9, 10), (info.min, info.max + (kind is not dtypes.int64))
    first, last = default[0] if low is None else low, default[1] if high is None else high
    if first != first or last != last:
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if first == last and kind.differentiable:
        warnings.warn("Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated since "
                      "2.1 and will be removed in 2.3. Use `torch.full(...)` instead.", FutureWarning, stacklevel=3)
    elif first >= last:
        raise ValueError(f"`low` must be less than `high`, but got {first} >= {last}")
    if last < held[0] or first >= held[1]:
        raise ValueError(f"The value interval specified by `low` and `high` is [{first}, {last}), but {kind} only supports "
                         f"[{held[0]}, {held[1]})")
    return min(max(first, held[0]), held[1]), min(max(last, held[0]), held[1])
