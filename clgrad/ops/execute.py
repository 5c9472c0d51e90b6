"""Making results, and calling a kernel's plan with tensors: their buffers and offsets in, exported memory settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import wrap
from clgrad.runtime import result_storage, settle
from clgrad.spec import Spec


def blank(made: Spec) -> Any:
    """An uninitialised tensor of a spec, for a result."""
    return wrap(result_storage(made.device.compute, made.span), 0, made)  # type: ignore[attr-defined]


FAR = 1 << 31  # elements: a kernel for small operands counts them in 32 bits
_START = 4096  # bytes: every device lets a part of a buffer begin at such places


def within_reach(buffer: Any, t: Any) -> tuple[Any, int]:
    """The part of a buffer that begins shortly before a tensor far behind its start, and the offset there."""
    own = t.spec
    lowest = t.offset + sum((n - 1) * s for n, s in zip(own.shape, own.strides, strict=True) if s < 0 < n)
    start = lowest * own.dtype.itemsize // _START * _START
    return buffer.get_sub_region(start, buffer.size - start), t.offset - start // own.dtype.itemsize


def execute(plan: Callable[..., None], reads: tuple, writes: tuple, scalars: tuple = ()) -> None:
    """``plan(buffers, offsets, scalars)`` over the tensors of ``reads``, then those of ``writes``.

    None stands for an operand that is not there: the first one of its kind is in its place.
    """
    tensors = [reads[0] if t is None else t for t in reads] + [writes[0] if t is None else t for t in writes]
    buffers, offsets = tuple([t.memory.buffer for t in tensors]), tuple([t.offset for t in tensors])
    exported = False
    for buffer in buffers:
        if buffer is None:
            buffers, offsets, exported = _acquired(tensors, len(reads))
            break
    if scalars:
        plan(buffers, offsets, scalars)
    else:
        plan(buffers, offsets)
    if exported:
        settle()


def _acquired(tensors: list, reads: int) -> tuple[tuple, tuple, bool]:
    """Buffers and offsets of tensors, the first of which are read, and whether any is exported."""
    buffers, offsets, exported = [], [], False
    for number, t in enumerate(tensors):
        buffer, offset = t.memory.buffer, t.offset
        if buffer is None:
            buffer = t.memory.acquire(number >= reads)
            exported = exported or t.memory.buffer is None
        if offset >= FAR:
            buffer, offset = within_reach(buffer, t)
        buffers.append(buffer)
        offsets.append(offset)
    return tuple(buffers), tuple(offsets), exported


def check_device(name: str, *tensors: Any) -> Any:
    """The one device that computes on all tensors; RuntimeError where there are two, or where it lacks float64."""
    return check_specs(name, *[t.spec for t in tensors if t is not None])


def check_specs(name: str, *specs: Spec | None) -> Any:
    """:func:`check_device` of tensors of these specs."""
    known: list[Any] = [own for own in specs if own is not None]
    device = known[0].device.compute
    for own in known[1:]:
        if own.device.compute is not device:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two "
                               f"devices, {known[0].device} and {own.device}!")
    if not device.limits.fp64 and any(own.dtype.to_real() is dtypes.float64 for own in known):
        raise RuntimeError(f"{name}: {device.limits.name} has no float64; convert to float32 first")
    return device
