"""Results that lie in memory as their input does: images and volumes whose channels are neighbours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import TensorBase
from clgrad.formats import channels_last, format_strides, has_format, memory_format, suggested
from clgrad.ops.copying import contiguous
from clgrad.spec import spec

F = TypeVar("F", bound=Callable)


def suggested_format(x: Any) -> memory_format | None:
    """``channels_last`` or ``channels_last_3d`` where strides are in this order; between elements may be gaps."""
    return suggested(x.spec.shape, x.spec.strides) if isinstance(x, TensorBase) else None


def keeps_format(function: F) -> F:
    """An operator whose results get the format that its first operand, or its second one, suggests.

    Kernels read and write rows: the values are computed as ever, and then put in the other order.
    """
    @functools.wraps(function)
    def kept(*args: Any, **kwargs: Any) -> Any:
        out = function(*args, **kwargs)
        wanted = None
        for operand in args[:2] or (kwargs.get("input"),):
            wanted = wanted or suggested_format(operand)
        if wanted is None:
            return out
        return tuple(in_format(o, wanted) for o in out) if isinstance(out, tuple) else in_format(out, wanted)
    return kept  # type: ignore[return-value]


def in_format(out: Any, wanted: memory_format) -> Any:
    """A result that nobody has seen yet, with the same place in the graph and its elements in another order."""
    own = out.spec
    if own.ndim != (4 if wanted is channels_last else 5):
        return out
    if has_format(own.shape, own.strides, wanted):  # the same order, perhaps with other strides of single elements
        out.spec = spec(own.shape, format_strides(own.shape, wanted), own.dtype, own.device)
        return out
    if out._view is not None:
        return contiguous(out, wanted)
    with no_grad():
        moved = contiguous(out.detach(), wanted)
    out.memory, out.offset, out.spec = moved.memory, moved.offset, moved.spec
    return out
