"""DLPack: sharing host memory with other libraries, in both directions.

NumPy makes and reads the capsules. What it has no type for, bfloat16, travels as 16-bit integers whose type code is
exchanged in the capsule.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.dtypes import dtype

HOST = 1
_UNSIGNED, _BFLOAT = 1, 4


class _Tensor(ctypes.Structure):
    """``DLTensor`` of dlpack.h."""

    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16)]


class _Versioned(ctypes.Structure):
    """``DLManagedTensorVersioned`` of dlpack.h, as far as its tensor."""

    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
                ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _Tensor)]


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]


def _inside(capsule: Any) -> _Tensor:
    """The ``DLTensor`` of a capsule that nobody has consumed."""
    if _is_valid(capsule, b"dltensor_versioned"):
        return _Versioned.from_address(_pointer(capsule, b"dltensor_versioned") or 0).tensor
    if not _is_valid(capsule, b"dltensor"):
        raise RuntimeError("from_dlpack(): the DLPack capsule can be consumed only once")
    return _Tensor.from_address(_pointer(capsule, b"dltensor") or 0)


def export(array: np.ndarray, kind: dtype, dl_device: Any, max_version: Any) -> Any:
    """A capsule over an array that holds elements of ``kind``."""
    if dl_device is not None and tuple(dl_device) != (HOST, 0):
        raise BufferError(f"DLPack: host memory cannot be exported to device {tuple(dl_device)}")
    capsule = array.__dlpack__(max_version=max_version) if max_version is not None else array.__dlpack__()
    if kind is dtypes.bfloat16:
        _inside(capsule).code = _BFLOAT
    return capsule


class _Capsule:
    """A capsule in the form in which NumPy takes one."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return HOST, 0


class _Writable:
    """The memory of an array, which stays alive with it, without NumPy's mark that it must not be written."""

    def __init__(self, array: np.ndarray):
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def read(source: Any) -> tuple[np.ndarray, dtype]:
    """The array over the memory of a DLPack capsule, or of an object that makes one, and its elements' dtype.

    Raises:
        BufferError: the memory is not the host's.
    """
    if hasattr(source, "__dlpack_device__"):
        device = source.__dlpack_device__()
        if device[0] != HOST:
            raise BufferError(f"from_dlpack(): only host memory can be shared, not device {tuple(device)}")
        source = source.__dlpack__()
    inside = _inside(source)
    if inside.device_type != HOST:
        raise BufferError(f"from_dlpack(): only host memory can be shared, not device type {inside.device_type}")
    is_bfloat16 = inside.code == _BFLOAT and inside.bits == 16
    if is_bfloat16:
        inside.code = _UNSIGNED
    array = np.asarray(_Writable(np.from_dlpack(_Capsule(source))))
    return array, dtypes.bfloat16 if is_bfloat16 else dtypes.from_numpy(array.dtype)
