"""The bytes of tensors, for sockets.

Where a device works in the host's memory they are sent from, and received into, the tensors' own. On other devices they are
copied: this is one of the places where the host has to look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad.autograd.graph import wrap
from clgrad.runtime import host_storage
from clgrad.spec import contiguous_spec


def outgoing(tensor: Any) -> memoryview:
    """The bytes of a contiguous tensor, to be sent before anybody changes it."""
    size = tensor.dtype.itemsize
    if not tensor.spec.numel:
        return memoryview(b"")
    return memoryview(tensor.memory.read_element(tensor.offset * size, tensor.spec.numel * size))


def nothing() -> None:
    """Called where nothing remains to be done."""


def incoming(tensor: Any) -> tuple[memoryview, Callable[[], Any]]:
    """Where the bytes of a contiguous tensor are to be written, and what to call then."""
    size, spec = tensor.dtype.itemsize, tensor.spec
    if not spec.numel:
        return memoryview(bytearray()), nothing
    place: Any = tensor.memory.overwritten(tensor.offset * size, spec.numel * size)
    if place is not None:
        return memoryview(place), nothing
    received: Any = np.empty(spec.numel * size, np.uint8)
    made = wrap(host_storage(spec.device.compute, received), 0, contiguous_spec(spec.shape, spec.dtype, spec.device))
    return memoryview(received), lambda: tensor.copy_(made)


def received_like(tensor: Any) -> tuple[Any, memoryview]:
    """A tensor like a contiguous one, and where its bytes are to be written before anybody uses it."""
    spec = contiguous_spec(tensor.spec.shape, tensor.spec.dtype, tensor.spec.device)
    place: Any = np.empty(spec.nbytes, np.uint8)
    return wrap(host_storage(tensor.spec.device.compute, place), 0, spec), memoryview(place)
