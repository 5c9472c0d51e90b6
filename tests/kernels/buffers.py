"""NumPy arrays to device blocks and back, for tests of launchers."""

import numpy as np

from clgrad import dtypes
from clgrad.dtypes import dtype
from clgrad.runtime import Block, Device


def upload(device: Device, array: np.ndarray) -> Block:
    """A block with the bytes of ``array`` in row-major order."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    block = device.allocate(max(flat.nbytes, 4))
    if flat.nbytes:
        device.upload(block, flat)
    return block


def poisoned(device: Device, nbytes: int) -> Block:
    """A block of bytes 0xA5: what a kernel forgets to write is seen."""
    return upload(device, np.full(max(nbytes, 4), 0xA5, np.uint8))


def download(device: Device, block: Block, shape: tuple[int, ...], numpy_dtype: object, offset: int = 0) -> np.ndarray:
    """Elements of a block from ``offset`` on."""
    array = np.empty(shape, numpy_dtype)
    if array.size:
        device.download(block, array.reshape(-1).view(np.uint8), offset * array.itemsize)
    return array


def encode(values: np.ndarray, kind: dtype) -> np.ndarray:
    """Values as they lie in memory in a dtype (bfloat16: 16 bits)."""
    if kind is dtypes.bfloat16:
        return dtypes.float32_to_bfloat16(np.asarray(values, np.float32))
    return np.asarray(values).astype(kind.numpy)


def decode(array: np.ndarray, kind: dtype) -> np.ndarray:
    """The inverse of :func:`encode`."""
    return dtypes.bfloat16_to_float32(array) if kind is dtypes.bfloat16 else array


def call(plan, *operands, scalars=()):
    """A plan over buffers, each followed by its offset."""
    plan(operands[::2], operands[1::2], *([scalars] if scalars else []))
