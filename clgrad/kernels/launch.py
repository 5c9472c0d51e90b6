"""What launchers give: a kernel bound to its sizes, which takes buffers and offsets."""

from __future__ import annotations

from clgrad.runtime import Bound, Device


class Plan:
    """``plan(buffers, offsets, scalars)`` of the operands that the planner names; no launch where there is nothing to do.

    An operand that is not there has any buffer in its place. ``cost`` is (floating-point operations, bytes moved at least).
    """

    __slots__ = ("device", "bound", "cost")

    def __init__(self, device: Device, bound: Bound | None, cost: tuple[int, int]):
        self.device, self.bound, self.cost = device, bound, cost

    def __call__(self, buffers: tuple, offsets: tuple, scalars: tuple = ()) -> None:
        if self.bound is not None:
            self.device.run(self.bound, buffers, offsets + scalars if scalars else offsets)


class CheckedPlan(Plan):
    """A launch that tells of bad data in a word, which is its last buffer; ``message`` is what the word's error says."""

    __slots__ = ("message",)

    def __init__(self, device: Device, bound: Bound | None, cost: tuple[int, int], message: str):
        super().__init__(device, bound, cost)
        self.message = message

    def __call__(self, buffers: tuple, offsets: tuple, scalars: tuple = ()) -> None:
        bound, device = self.bound, self.device
        if bound is not None:
            device.run(bound, (*buffers, device.fault_word(self.message)), offsets + scalars)
            if bound.small:  # it may have run in the caller's thread
                device.raise_fault(self.message)
