"""Operators that change nothing for real tensors, and questions that have one answer for them."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import attach, ends_in, needs_graph
from clgrad.formats import contiguous_format
from clgrad.ops.arranging import become
from clgrad.ops.copying import blank, clone
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, METHODS, operator
from clgrad.ops.strided import as_strided


@operator("positive")
def positive(input: Any) -> Any:
    """The tensor itself; RuntimeError for bool."""
    if input.spec.dtype is dtypes.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@operator("is_signed", method=False)
def is_signed(input: Any) -> bool:
    """Whether a tensor's dtype has a sign."""
    return input.spec.dtype.is_signed


@operator("is_inference", method=False)
def is_inference(input: Any) -> bool:
    """Whether a tensor was made within :class:`clgrad.inference_mode`."""
    return input.is_inference()


@operator("get_device", method=False)
def get_device(input: Any) -> int:
    """The number of a tensor's GPU, -1 for others."""
    return input.get_device()


@operator("is_same_size")
def is_same_size(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape."""
    return input.spec.shape == other.spec.shape


@operator("is_nonzero", function=False)
def is_nonzero(input: Any) -> bool:
    """The truth of a tensor of one element."""
    return bool(input)


@operator("is_neg", "is_conj", "is_distributed")
def is_neg(input: Any) -> bool:
    """False: a tensor holds its values as they are, in one place."""
    return False


@operator("fill")
def fill(input: Any, value: Any) -> Any:
    """A tensor of one value, a number or a 0-d tensor, with the shape and dtype of ``input``."""
    return ends_in(clone(input).fill_(value), "Fill")


@operator("_assert", method=False)
def check(condition: Any, message: Any) -> None:
    """AssertionError with ``message`` where ``condition`` does not hold; a tracer records it as a call."""
    if not condition:
        raise AssertionError(message)


FUNCTIONS.update(fill_=METHODS["fill_"], zero_=METHODS["zero_"])


@operator("as_strided_")
def as_strided_(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Makes a tensor any window on its own storage."""
    return become(input, as_strided(input, size, stride, storage_offset))


@operator("as_strided_copy", method=False)
def as_strided_copy(input: Any, size: Any, stride: Any, storage_offset: int | None = None, *, out: Any = None) -> Any:
    """A copy of :func:`as_strided`."""
    made = clone(as_strided(input, size, stride, storage_offset), memory_format=contiguous_format)
    return store("as_strided_copy", made, out, exact=True)


@operator("as_strided_scatter")
def as_strided_scatter(input: Any, src: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A copy of ``input`` with ``src`` in the window that :func:`as_strided` shows."""
    start = storage_offset or 0

    def window(x: Any) -> Any:
        return as_strided(x, size, stride, x.offset + start)
    made = clone(input.detach())
    window(made).copy_(src.detach())
    if needs_graph(input, src):
        own, wanted = made.spec, src.spec.shape

        def backward(g: Any) -> tuple:
            same = blank(own).copy_(g) if g.spec.strides != own.strides else g
            rest = as_strided_scatter(same, FUNCTIONS["zeros"](wanted, dtype=own.dtype, device=own.device), size, stride,
                                      start)
            return rest, window(same).reshape(wanted)
        attach(made, "AsStridedScatter", (input, src), backward)
    return made
