"""Operands for the launchers' tests: arrays with an offset and gaps in device memory."""

from __future__ import annotations

import numpy as np

from clgrad import dtypes
from clgrad.runtime import Device

OFFSET = 3  # elements before every operand
GUARD = 64  # elements after it, which must not change


def random_values(dtype: dtypes.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Reproducible values that ``dtype`` holds exactly, as float64 (integers: int64)."""
    generator = np.random.default_rng(sum(shape) + 1)
    if not dtype.is_floating_point:
        low = -9 if dtype.is_signed else 0
        return generator.integers(low, 10, shape)
    return decode(dtype, encode(dtype, generator.standard_normal(shape)))


def encode(dtype: dtypes.dtype, values: np.ndarray) -> np.ndarray:
    """Values as ``dtype`` lies in memory."""
    if dtype is dtypes.bfloat16:
        return dtypes.float32_to_bfloat16(values.astype(np.float32))
    return values.astype(dtype.numpy)


def decode(dtype: dtypes.dtype, memory: np.ndarray) -> np.ndarray:
    """What lies in memory as float64 (integers: as they are)."""
    if dtype is dtypes.bfloat16:
        return dtypes.bfloat16_to_float32(memory).astype(np.float64)
    return memory.astype(np.float64) if dtype.is_floating_point else memory


def tolerance(dtype: dtypes.dtype, terms: int) -> float:
    """The error allowed of a sum of ``terms`` products, relative to the sum of their absolute values."""
    unit = {"f64": 2**-53, "f32": 2**-24, "f16": 2**-11, "bf16": 2**-8}[dtype.code]
    accumulated = 2**-24 if dtype.itemsize == 2 else unit
    return 2 * unit + accumulated * (4 + 2 * np.sqrt(terms))


def download(device: Device, block, nbytes: int) -> np.ndarray:
    """The first ``nbytes`` of a block."""
    host = np.empty(nbytes, np.uint8)
    device.download(block, host)
    return host


class Operand:
    """An array in device memory behind an offset: values, strides in elements, and memory around it to check."""

    def __init__(self, device: Device, dtype: dtypes.dtype, shape: tuple[int, ...], layout: str = "packed", *,
                 shared: bool = False, poison: bool = False, values: np.ndarray | None = None):
        self.device, self.dtype, self.shape = device, dtype, shape
        self.strides, length, start = strides_of(shape, layout, shared)
        self.offset = OFFSET + start
        self.poison = np.nan if dtype.is_floating_point else 77
        self.host = encode(dtype, np.full(OFFSET + length + GUARD, self.poison))
        if not poison:
            values = random_values(dtype, shape) if values is None else values
            if shared and shape[0] > 1:
                values = np.broadcast_to(values[:1], shape)
            self._view()[...] = encode(dtype, values)
            self.values = values
        self.before = self.host.copy()
        self.block = device.allocate(self.host.nbytes)
        self.buffer = self.block.buffer
        device.upload(self.block, self.host.view(np.uint8))

    def _view(self) -> np.ndarray:
        strides = tuple(stride * self.host.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(self.host[self.offset:], self.shape, strides)

    def read(self) -> np.ndarray:
        """The values on the device now."""
        self.host = download(self.device, self.block, self.host.nbytes).view(self.host.dtype)
        return decode(self.dtype, self._view())

    def gaps_untouched(self) -> bool:
        """Whether, after :meth:`read`, the memory around and between the elements is as it was."""
        now, self.host = self.host, np.zeros(self.host.shape, bool)
        if np.prod(self.shape):
            strides = tuple(stride for stride in self.strides)
            np.lib.stride_tricks.as_strided(self.host[self.offset:], self.shape, strides)[...] = True
        outside, self.host = ~self.host, now
        return now[outside].tobytes() == self.before[outside].tobytes()


def strides_of(shape: tuple[int, ...], layout: str, shared: bool) -> tuple[tuple[int, ...], int, int]:
    """Strides, elements spanned, and where element 0 lies, of a layout.

    packed: C order; and for (batch, row, column): row: dense rows with gaps, column: dense columns with gaps,
    strided: dense in neither, reversed: rows backwards.
    """
    if layout == "packed":
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * max(1, shape[axis + 1])
        return tuple(strides), int(np.prod(shape)), 0
    batch, rows, columns = shape
    row, column = {"row": (columns + 2, 1), "column": (1, rows + 3), "strided": (2 * columns + 1, 2),
                   "reversed": (-(columns + 1), 1)}[layout]
    each = max(1, rows) * abs(row) + max(1, columns) * column
    start = -row * max(0, rows - 1) if row < 0 else 0
    return (0 if shared else each, row, column), each * max(1, batch), start
