"""Launcher of ``recurrent.cl``: a recurrent layer over all steps in one launch, on CPUs."""

from __future__ import annotations

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device
from clgrad.shapes import divide_up, round_up

KINDS = {"RNN_TANH": 0, "RNN_RELU": 1, "LSTM": 2, "GRU": 3}
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
KEPT = {"RNN_TANH": 0, "RNN_RELU": 0, "LSTM": 4, "GRU": 4}
VECTORS = 3       # of a panel
MOST_ROWS = 16    # of a work-item
MOST = 2**31 - 2**16  # elements that 32-bit indices reach


def covers(device: Device, kind: str, dtype: dtype, steps: int, batch: int, hidden: int) -> bool:
    """Whether the kernel does this layer: float32 or float64, on a CPU, with 32-bit indices."""
    return (device.is_cpu and dtype.compute is dtype and min(steps, batch, hidden) > 0
            and max((steps + 1) * batch, hidden) * 4 * hidden < MOST)


class Plan:
    """A layer of one kind and size; ``forward`` and ``backward`` take buffers and offsets, 0 where no name is used."""

    __slots__ = ("device", "scratch", "panels", "back_panels", "_pack", "_forward", "_pack_back", "_backward")

    def __init__(self, device: Device, kind: str, dtype: dtype, steps: int, batch: int, hidden: int, reverse: bool,
                 biased: bool, keep: bool, packed: bool):
        self.device = device
        lanes = max(4, device.limits.vector_width * 4 // dtype.itemsize)
        width, panel = GATES[kind] * hidden, VECTORS * lanes
        share = min(MOST_ROWS, divide_up(batch, device.limits.compute_units))
        items = divide_up(batch, share)
        rows = 4 if share >= 3 else share
        macros = {"REAL": dtype.cl, "KIND": KINDS[kind], "VW": lanes, "MR": rows}
        self.scratch = batch * width * dtype.itemsize
        self.panels = round_up(width, panel) * hidden * dtype.itemsize
        self.back_panels = round_up(hidden, panel) * width * dtype.itemsize

        def bound(name: str, buffers: int, offsets: int, grid: int, constants: tuple) -> Bound:
            kernel = device.kernel("recurrent.cl", name, macros, "P" * buffers + "i" * (offsets + len(constants)))
            work = steps * batch if name != "recurrent_pack" else 1
            cost = 2 * work * width * hidden, (work * width * 3 + width * hidden) * dtype.itemsize
            return Bound(kernel, (grid,), (1,), buffers, "i" * offsets, constants, cost)
        sizes = (steps, batch, hidden, share, int(reverse))
        self._pack = bound("recurrent_pack", 2, 1, divide_up(width, panel), (1, hidden, hidden, width))
        self._pack_back = bound("recurrent_pack", 2, 1, divide_up(hidden, panel), (hidden, 1, width, hidden))
        self._forward = bound("recurrent_forward", 10, 2, items, (*sizes, int(biased), int(keep), int(packed)))
        self._backward = bound("recurrent_backward", 10, 1, items, sizes)

    def forward(self, buffers: tuple, offsets: tuple) -> None:
        """Fills y, c and acts; y and c hold the first state already. hh is contiguous, (gates * hidden, hidden).

        Operands: given, hh, bias, starts, y, c, acts, out, befores; all but the first three begin where their memory does.
        """
        given, hh, bias, starts, *tracks = buffers
        panels, scratch = self.device.allocate(self.panels), self.device.allocate(self.scratch)
        self.device.run(self._pack, (hh, panels.buffer), offsets[1:2])
        self.device.run(self._forward, (given, bias, starts, panels.buffer, *tracks, scratch.buffer), offsets[:3:2])
        panels.release()
        scratch.release()

    def backward(self, buffers: tuple, offsets: tuple) -> None:
        """Fills dgiven and, for a GRU, downs; carries dh and dc from the last state to the first.

        Operands: grad, hh, starts, y, c, acts, dgiven, downs, dh, dc; all but the first two begin where their memory does.
        """
        grad, hh, starts, y, c, acts, *results = buffers
        panels = self.device.allocate(self.back_panels)
        self.device.run(self._pack_back, (hh, panels.buffer), offsets[1:2])
        self.device.run(self._backward, (grad, starts, y, c, acts, panels.buffer, *results), offsets[:1])
        panels.release()
