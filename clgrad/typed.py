"""PyTorch's typed constructors: ``FloatTensor``, ``LongTensor``, ..., for data, sizes, ``isinstance`` and ``type()``."""

from __future__ import annotations

from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import device as Device
from clgrad.tensor import TYPE_NAMES, Tensor


class _Typed(type):
    dtype: dtype

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, Tensor) and value.dtype is cls.dtype and value.is_cuda == cls.on_gpu  # type: ignore


def make(kind: dtype, on_gpu: bool = False) -> Any:
    """The constructor class of a dtype."""
    own = "cuda" if on_gpu else "cpu"

    def new(cls: Any, *args: Any, size: Any = None, device: Any = None) -> Any:
        if device is not None and (Device(device).type == "cpu") is on_gpu:
            raise RuntimeError(f"legacy constructor expects device type: {own} but device type: {Device(device).type} was "
                               "passed")
        return Tensor(*args, size=size, dtype=kind, device=device or ("cuda" if on_gpu else None))
    return _Typed(TYPE_NAMES[kind], (), {"__new__": new, "dtype": kind, "on_gpu": on_gpu,
                                         "__doc__": f"Tensors of {kind.name}: ``{TYPE_NAMES[kind]}(sizes or data)``."})


_REAL = {kind: name for kind, name in TYPE_NAMES.items() if not kind.is_complex}
CLASSES = {name: make(kind) for kind, name in _REAL.items()}
GPU_CLASSES = {name: make(kind, on_gpu=True) for kind, name in _REAL.items()}
