"""What most launchers give: one kernel, bound to its sizes."""

from __future__ import annotations

from typing import Any

from clgrad.runtime import Bound, Device


class Plan:
    """A bound kernel over buffers, each followed by its offset; None where there is nothing to do."""

    __slots__ = ("device", "bound", "cost")

    def __init__(self, device: Device, bound: Bound | None, cost: tuple[int, int]):
        self.device, self.bound, self.cost = device, bound, cost

    def __call__(self, *operands: Any) -> None:
        if self.bound is not None:
            self.device.run(self.bound, operands[::2], operands[1::2])
