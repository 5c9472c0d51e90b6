"""Host memory that several processes see: anonymous files of the kernel's, mapped by each of them."""

from __future__ import annotations

import mmap
import os
import weakref

import numpy as np


class SharedFile:
    """``nbytes`` of memory behind a descriptor, by which another process can map it too; it lasts as long as its users."""

    available = hasattr(os, "memfd_create")

    def __init__(self, nbytes: int, handle: int | None = None):
        """Maps the memory of ``handle``, which it closes in the end, or new memory, which holds zeros."""
        if handle is None:
            handle = os.memfd_create("clgrad")
            os.ftruncate(handle, max(nbytes, 1))
        self.handle = handle
        self.bytes = np.frombuffer(mmap.mmap(handle, max(nbytes, 1)), np.uint8)[:nbytes]
        weakref.finalize(self, os.close, handle)
