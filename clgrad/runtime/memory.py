"""The memory pool of a device: blocks are reused, because drivers allocate slowly."""

from __future__ import annotations

import mmap
import threading
from collections import defaultdict, deque
from functools import cache, partial
from typing import Any

import numpy as np

from clgrad.errors import OutOfMemoryError
from clgrad.runtime.limits import Limits
from clgrad.runtime.opencl import cl

SMALLEST = 256
HUGE_PAGE = 1 << 21
SLAB = 1 << 20
PAGE = 4096
COLOUR = 9 * 64
# Python's own default are pages that forked processes share, which are never huge ones.
PAGES = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


@cache
def bin_size(nbytes: int) -> int:
    """The size of the block that serves a request: up to 12.5 % larger, so that near sizes share blocks."""
    if nbytes <= SMALLEST:
        return SMALLEST
    step = max(SMALLEST, 1 << (nbytes.bit_length() - 4))
    return -(-nbytes // step) * step


class Block:
    """A piece of device memory: ``buffer`` for kernels and, where host and device share memory, ``host`` bytes.

    ``release()`` gives it back; launches that were enqueued before may still use it (the queue is in order). It runs no
    Python code, so that it can be what ends a storage: Python loses a Ctrl-C that arrives in a ``__del__`` of its own.
    ``last_use`` is the number of the last launch that may touch it, known once it is back in the pool.
    """

    __slots__ = ("buffer", "host", "nbytes", "release", "last_use")

    def __init__(self, buffer: Any, host: np.ndarray | None, nbytes: int, returned: deque[Block]):
        self.buffer, self.host, self.nbytes = buffer, host, nbytes
        self.release = partial(returned.append, self)
        self.last_use = 0


class Clock:
    """Counts launches: how many were enqueued, and how many are known to have finished."""

    __slots__ = ("submitted", "completed")

    def __init__(self) -> None:
        self.submitted = 0
        self.completed = 0


class Pool:
    """Blocks of one device, by size. ``shared``: blocks are host memory that the device uses in place."""

    def __init__(self, context: Any, limits: Limits, clock: Clock, shared: bool):
        self.context, self.limits, self.clock, self.shared = context, limits, clock, shared
        self.fraction = 1.0  # of the device's memory that may be used
        self.peak = 0
        self.reserved = 0
        self.finish = lambda: None  # set by the device: waits for the queue
        self._free: dict[int, list[Block]] = defaultdict(list)
        self._returned: deque[Block] = deque()  # released since somebody looked
        self._in_use = 0
        # Every block, also one whose holder forgets to release it: a launch may still be using its memory.
        self._made: set[Block] = set()
        self._colour = 0
        self._slab: tuple[np.ndarray, int] | None = None
        self._growing = threading.Lock()

    def allocate(self, nbytes: int) -> Block:
        """A block of at least ``nbytes``; OutOfMemoryError when the device is full even after freeing the cache."""
        size = bin_size(nbytes)
        try:
            if self._returned:
                block = self._returned.pop()
                if block.nbytes == size:  # it only changes hands
                    return block
                self._returned.append(block)
                self._collect()
            block = self._free[size].pop()
        except IndexError:  # none, or another thread was quicker
            block = self._grow(size)
        self._in_use += size
        if self._in_use > self.peak:
            self.peak = self._in_use
        return block

    def allocate_idle(self, nbytes: int) -> Block:
        """Like :meth:`allocate`, a block that no pending launch uses: the host may write into it at once."""
        size = bin_size(nbytes)
        self._collect()
        waiting = self._free[size]
        for index, block in enumerate(waiting):
            if block.last_use <= self.clock.completed:
                del waiting[index]
                break
        else:
            block = self._grow(size)
        self._in_use += size
        self.peak = max(self.peak, self._in_use)
        return block

    @property
    def in_use(self) -> int:
        """How many bytes are held by those who allocated them."""
        self._collect()
        return self._in_use

    def empty_cache(self) -> None:
        """Gives unused blocks back to the driver, after the launches that may use them."""
        self.finish()
        self._collect()
        with self._growing:
            for blocks in self._free.values():
                while blocks:
                    block = blocks.pop()
                    del block.release  # which holds the block
                    self._made.discard(block)
                    self.reserved -= block.nbytes

    def _collect(self) -> None:
        """Puts blocks that were released among the free ones."""
        returned = self._returned
        while returned:
            try:
                block = returned.popleft()
            except IndexError:  # another thread was quicker
                return
            block.last_use = self.clock.submitted
            self._in_use -= block.nbytes
            self._free[block.nbytes].append(block)

    def _grow(self, size: int) -> Block:
        if size > self.limits.max_alloc:
            raise OutOfMemoryError(self._story(size, f"the device allows {self.limits.max_alloc:,} bytes at once"))
        for attempt in range(2):
            try:
                with self._growing:
                    return self._new_block(size)
            except (cl.Error, MemoryError, OSError) as error:
                if attempt:
                    raise OutOfMemoryError(self._story(size, str(error))) from error
            self.empty_cache()
        raise AssertionError("unreachable")

    @property
    def capacity(self) -> int:
        """How many bytes may be held."""
        return int(self.limits.memory * self.fraction)

    def _new_block(self, size: int) -> Block:
        if self.reserved + size > self.capacity:
            raise MemoryError(f"{self.capacity:,} bytes may be held")
        if self.shared:
            host = self._host_memory(size)
            flags = cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR
            block = Block(cl.Buffer(self.context, flags, hostbuf=host), host, size, self._returned)
        else:
            block = Block(cl.Buffer(self.context, cl.mem_flags.READ_WRITE, size), None, size, self._returned)
        self.reserved += size
        self._made.add(block)
        return block

    def _host_memory(self, size: int) -> np.ndarray:
        """Zeroed, 64-byte aligned host memory: a piece of a slab, or, when large, pages of its own (huge ones)."""
        if size > SLAB // 8:
            # Blocks begin at different places of a page: streams of equal low address bits get in each other's way.
            self._colour = (self._colour + COLOUR) % PAGE
            length = size + PAGE + (HUGE_PAGE if size >= HUGE_PAGE else 0)
            pages = mmap.mmap(-1, length, **PAGES)
            huge = size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE")
            if huge:
                pages.madvise(mmap.MADV_HUGEPAGE)
            memory = np.frombuffer(pages, np.uint8)
            start = self._colour + (-memory.ctypes.data % HUGE_PAGE if huge else 0)
            return memory[start:start + size]
        slab, used = self._slab or (None, SLAB)
        if slab is None or used + size > SLAB:
            slab, used = np.frombuffer(mmap.mmap(-1, SLAB, **PAGES), np.uint8), 0
        self._slab = (slab, used + size)
        return slab[used:used + size]

    def _story(self, size: int, reason: str) -> str:
        return f"out of memory on {self.limits.name}: tried to allocate {size:,} bytes. {self.figures()}: {reason}"

    def figures(self) -> str:
        """What is held, in words."""
        return (f"{self.in_use:,} bytes are in use by tensors and {self.reserved - self.in_use:,} bytes cached, of "
                f"{self.capacity:,}; the most in use was {self.peak:,}")
