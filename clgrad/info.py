"""Facts about dtypes and tensors: ``finfo``, ``iinfo``, ``is_tensor``, ``result_type``."""

from __future__ import annotations

from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.dtypes import dtype
from clgrad.ops import rows
from clgrad.ops.registry import FUNCTIONS
from clgrad.spec import common_dtype
from clgrad.storage import TypedStorage, UntypedStorage

# max, eps, tiny, resolution of the types that NumPy does not know.
_LIMITS = {"bfloat16": (3.3895313892515355e38, 0.0078125, 1.1754943508222875e-38, 0.01),
           "float8_e4m3fn": (448.0, 0.125, 0.015625, 1.0), "float8_e5m2": (57344.0, 0.25, 6.103515625e-05, 1.0),
           "float8_e4m3fnuz": (240.0, 0.125, 0.0078125, 1.0), "float8_e5m2fnuz": (57344.0, 0.25, 3.0517578125e-05, 1.0),
           "float8_e8m0fnu": (2.0 ** 127, 1.0, 2.0 ** -127, 1.0)}


class _Limits:
    """What ``finfo`` and ``iinfo`` of one dtype have in common: they are equal."""

    dtype: str

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.dtype == self.dtype  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.dtype))


def _check_type(name: str, kind: Any) -> None:
    if not isinstance(kind, dtype):
        raise TypeError(f"{name}(): argument 'type' (position 1) must be torch.dtype, not {type(kind).__name__}")


class finfo(_Limits):
    """Limits of a floating-point dtype: ``max``, ``min``, ``eps``, ``tiny``, ``bits``, ``resolution``.

    >>> import clgrad
    >>> clgrad.finfo(clgrad.float32).bits
    32
    """

    def __init__(self, type: dtype | None = None):
        kind = dtypes.get_default_dtype() if type is None else type
        _check_type("finfo", kind)
        kind = kind.to_real()
        if not kind.is_floating_point:
            raise TypeError("torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                            "'torch.finfo'")
        self.dtype, self.bits = kind.name, kind.itemsize * 8
        if kind.name in _LIMITS:
            self.max, self.eps, self.tiny, self.resolution = _LIMITS[kind.name]
        else:
            limits = np.finfo(kind.numpy)
            self.max, self.eps, self.tiny = float(limits.max), float(limits.eps), float(limits.tiny)
            self.resolution = 10.0 ** -limits.precision
        self.min, self.smallest_normal = -self.max if kind.is_signed else self.tiny, self.tiny

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo(_Limits):
    """Limits of an integer dtype: ``max``, ``min``, ``bits``."""

    def __init__(self, type: dtype):
        _check_type("iinfo", type)
        if type is dtypes.bool:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if type.differentiable or type in dtypes.NAMES_ONLY:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        limits: Any = np.iinfo(type.numpy)
        self.dtype, self.bits, self.max, self.min = type.name, limits.bits, int(limits.max), int(limits.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, TensorBase)


def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is a storage."""
    return isinstance(obj, (TypedStorage, UntypedStorage))


def _check_tensor(name: str, input: Any) -> None:
    """TypeError where an argument is no tensor."""
    if not isinstance(input, TensorBase):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")


def is_floating_point(input: Any) -> bool:
    """Whether a tensor's dtype is floating point."""
    _check_tensor("is_floating_point", input)
    return input.spec.dtype.is_floating_point


def is_complex(input: Any) -> bool:
    """Whether a tensor's dtype is complex."""
    _check_tensor("is_complex", input)
    return input.spec.dtype.is_complex


def is_nonzero(input: Any) -> bool:
    """The truth of a tensor of one element."""
    return bool(input)


def numel(input: Any) -> int:
    """The number of a tensor's elements."""
    _check_tensor("numel", input)
    return input.spec.numel


def result_type(tensor: Any, other: Any) -> dtype:
    """The dtype of an operation on two operands, tensors or numbers."""
    sides = (tensor, other)
    return common_dtype([t.spec for t in sides if isinstance(t, TensorBase)],
                        [dtypes.of_number(v) for v in sides if not isinstance(v, TensorBase)])


def set_default_dtype(d: dtype) -> None:
    """Makes a floating-point dtype that of tensors made from Python floats."""
    dtypes.set_default_dtype(d)
    rows.clear_plans()


FUNCTIONS.update(finfo=finfo, iinfo=iinfo)
