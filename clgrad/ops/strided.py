"""``as_strided``: any window on a storage, which may show elements more than once."""

from __future__ import annotations

import operator as op
from typing import Any

from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.views import make_view
from clgrad.shapes import Shape, as_shape, extent, sees_twice
from clgrad.spec import Spec


@operator("as_strided")
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Any window on the storage. An element that is seen more than once gets the sum of its gradients."""
    shape, strides = as_shape(size), tuple([op.index(s) for s in stride])
    if len(shape) != len(strides):
        raise RuntimeError("mismatch in length of strides and shape")
    offset = input.offset if storage_offset is None else op.index(storage_offset)
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    reach = offset + extent(shape, strides)
    itemsize = input.spec.dtype.itemsize
    if 0 not in shape and reach * itemsize > input.memory.nbytes or any(s < 0 for s in strides):
        raise RuntimeError(f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset}, and "
                           f"itemsize {itemsize} requiring a storage size of {reach * itemsize} are out of bounds for "
                           f"storage of size {input.memory.nbytes}")
    relative, own, place = offset - input.offset, input.spec, input.offset
    first = min(offset, place)
    count = max(reach, place + own.extent) - first

    def backward(g: Any) -> Any:
        memory = g.new_zeros(count)
        if sees_twice(shape, strides):
            positions = _positions(shape, strides, offset - first, g.device)
            memory = memory.scatter_add(0, positions.reshape(-1), g.reshape(-1))
        else:
            as_strided(memory, shape, strides, offset - first).copy_(g)
        if sees_twice(own.shape, own.strides):  # each of those that share an element gets its part
            memory = memory / _times_seen(own, place - first, memory)
        return as_strided(memory, own.shape, own.strides, place - first)
    return make_view(input, offset, shape, strides, lambda b: as_strided(b, shape, strides, b.offset + relative),
                     "AsStrided", backward)


def _times_seen(own: Spec, start: int, memory: Any) -> Any:
    """How many elements of a window stand at each place of the memory; 1 where none does."""
    positions = _positions(own.shape, own.strides, start, memory.device).reshape(-1)
    return memory.new_zeros(memory.spec.shape).index_add(0, positions, memory.new_ones(own.numel)).clamp(min=1)


def _positions(shape: Shape, strides: Shape, start: int, device: Any) -> Any:
    """Where in the storage each element of a window stands."""
    total = FUNCTIONS["arange"](start, start + 1, device=device)
    for size, stride in zip(shape, strides, strict=True):
        total = total.unsqueeze(-1) + FUNCTIONS["arange"](size, device=device) * stride
    return total.reshape(shape)
