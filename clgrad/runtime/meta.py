"""The device ``meta``: its tensors have shapes and dtypes and no memory. What would be launched there is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clgrad.runtime.device import Device
from clgrad.runtime.kernel import Bound
from clgrad.runtime.limits import Limits
from clgrad.runtime.memory import Clock


class Nothing:
    """Stands for a buffer without contents, and for the block that it would lie in."""

    nbytes = size = 0
    host = None

    @property
    def buffer(self) -> Nothing:
        """Itself."""
        return self

    def release(self) -> None:
        """Nothing is given back."""

    def get_sub_region(self, start: int, size: int) -> Nothing:
        """Itself."""
        return self


NOTHING = Nothing()


class MetaDevice(Device):
    """Plans like the device whose limits it has, and computes nothing."""

    has_memory = False

    def __init__(self, limits: Limits):
        self.index, self.limits = -1, replace(limits, name="meta", platform="none", fp64=True)
        self.is_cpu, self.shared_memory = limits.items_are_threads, False
        self.clock = Clock()
        self.recorder = None
        self.moves = 0
        self._kernels = {}
        self.allocate = lambda nbytes: NOTHING  # type: ignore[assignment, return-value]

    def run(self, bound: Bound, buffers: Sequence, varying: tuple) -> None:
        """Launches nothing."""

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def idle(self) -> bool:
        """Always."""
        return True

    def fault_word(self, message: str) -> Any:
        """A word that nobody sets."""
        return NOTHING

    def raise_fault(self, message: str) -> None:
        """No fault is found."""

    def fill(self, block: Any, pattern: np.ndarray, nbytes: int, start: int = 0) -> None:
        """Fills nothing."""
