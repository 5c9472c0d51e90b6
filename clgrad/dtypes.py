"""Data types, and PyTorch's rules for which type a mixture of them becomes.

A ``dtype`` knows how its elements lie in memory (``numpy``, ``cl``, ``itemsize``) and in which dtype arithmetic on
them is done (``compute``): float16 and bfloat16 are storage types, computed in float32.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np


class dtype:
    """The type of a tensor's elements, such as ``clgrad.float32``.

    >>> import clgrad
    >>> clgrad.float32.itemsize, clgrad.float32.is_floating_point
    (4, True)
    """

    __slots__ = ("name", "memory_code", "cl", "numpy", "itemsize", "is_floating_point", "is_complex", "is_signed",
                 "differentiable", "compute", "rank", "aliases", "largest", "_real", "_complex")
    # The order of promotion within a category, and the categories' own order: bool < integer < floating point < complex.
    name: str
    compute: dtype
    is_floating_point: builtins.bool
    is_complex: builtins.bool  # a pair of floating-point numbers, the real and the imaginary part
    differentiable: builtins.bool  # whether tensors of it can have gradients: floating point or complex

    def __init__(self, name: str, code: str, cl: str, numpy: Any, rank: int, aliases: tuple[str, ...] = ()):
        self.name, self.memory_code, self.cl, self.rank, self.aliases = name, code, cl, rank, aliases
        self.numpy = np.dtype(numpy)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = code.startswith(("f", "bf"))
        self.is_complex = code.startswith("c")
        self.is_signed = code[0] in "fic" or code == "bf16"
        self.differentiable = self.is_floating_point or self.is_complex
        self.compute = self._real = self._complex = self
        # The largest finite number of the floating-point dtypes whose range is smaller than that of Python's numbers.
        self.largest = {"f16": 65504.0, "bf16": 255 * 2.0 ** 120, "f32": (2 - 2.0 ** -23) * 2.0 ** 127}.get(code, math.inf)

    @property
    def code(self) -> str:
        """The name in device code of how an element lies in memory; NotImplementedError for complex numbers.

        Only pointwise kernels compute with pairs; they use ``memory_code``.
        """
        if self.is_complex:
            raise NotImplementedError(f"not implemented for '{type_name(self)}'")
        return self.memory_code

    def to_real(self) -> dtype:
        """The dtype of a complex number's parts; itself where numbers have no imaginary part."""
        return self._real

    def to_complex(self) -> dtype:
        """The dtype of complex numbers whose parts are of this floating-point dtype; a complex dtype itself."""
        if not self.differentiable:
            raise RuntimeError(f"Unknown Complex ScalarType for {type_name(self)}")
        return self._complex

    @property
    def category(self) -> int:
        """0 for bool, 1 for the integers, 2 for floating point, 3 for complex numbers."""
        return 3 if self.is_complex else 2 if self.is_floating_point else int(self is not bool)

    def to_numpy_scalar(self, value: Any) -> Any:
        """``value`` as one element of this dtype's memory (bfloat16: its 16 bits); RuntimeError where it does not fit."""
        if self.is_complex:
            return self.numpy.type(complex(self._real.fitting(value.real), self._real.fitting(value.imag)))
        if self.category == 1:
            return self.numpy.type(self.element(value))
        return self._bits(self.fitting(value) if self.is_floating_point else value)

    def _bits(self, value: object) -> Any:
        if self is bfloat16:
            return float32_to_bfloat16(np.asarray(value, np.float32))[()]
        return self.numpy.type(value)

    def fitting(self, value: Any) -> float:
        """A number, not rounded, for a floating-point dtype; RuntimeError where it is finite and out of range."""
        value = float(self._real_part(value))
        if not -self.largest <= value <= self.largest and math.isfinite(value):
            raise self.overflow()
        return value

    def _real_part(self, value: Any) -> Any:
        """A number that is not complex; RuntimeError where it has an imaginary part."""
        if isinstance(value, complex):
            if value.imag:
                raise self.overflow()
            return value.real
        return value

    def overflow(self) -> RuntimeError:
        """The error for a number that is out of range."""
        name = self.name + "_t" if self.category == 1 and self.name != "int32" else c_name(self)
        return RuntimeError(f"value cannot be converted to type {name} without overflow")

    def element(self, value: Any) -> int:
        """A number as an element of an integer dtype; RuntimeError where it does not fit.

        A negative integer fits an unsigned dtype where its absolute value does.
        """
        bits, value = 8 * self.itemsize, self._real_part(value)
        if self.is_signed:
            fits = -(1 << bits - 1) <= value <= (1 << bits - 1) - 1
        else:
            fits = (0 if isinstance(value, float) else 1 - (1 << bits)) <= value <= (1 << bits) - 1
        if not fits:
            raise self.overflow()
        return self.wrapped(value)

    def wrapped(self, value: Any) -> int:
        """The lowest bits of a number as an element of an integer dtype, which is how operands become narrower."""
        bits = 8 * self.itemsize
        lowest = -(1 << bits - 1) if self.is_signed else 0
        return (int(value) - lowest) % (1 << bits) + lowest

    def rounded(self, value: Any) -> float:
        """A number as float16 or bfloat16 has it."""
        return _rounded(self, float(value)) if value else float(value)  # 0.0 and -0.0 are equal, and not the same

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple:
        return _by_name, (self.name,)


def _by_name(name: str) -> dtype:
    return next(d for d in (*BY_NAME.values(), *NAMES_ONLY) if d.name == name)


bool = dtype("bool", "b8", "uchar", np.bool_, 0)
uint8 = dtype("uint8", "u8", "uchar", np.uint8, 1)
int8 = dtype("int8", "i8", "char", np.int8, 2)
int16 = dtype("int16", "i16", "short", np.int16, 3, ("short",))
int32 = dtype("int32", "i32", "int", np.int32, 4, ("int",))
int64 = dtype("int64", "i64", "long", np.int64, 5, ("long",))
float16 = dtype("float16", "f16", "half", np.float16, 6, ("half",))
bfloat16 = dtype("bfloat16", "bf16", "ushort", np.uint16, 7)
float32 = dtype("float32", "f32", "float", np.float32, 8, ("float",))
float64 = dtype("float64", "f64", "double", np.float64, 9, ("double",))
complex64 = dtype("complex64", "c64", "float2", np.complex64, 11, ("cfloat",))
complex128 = dtype("complex128", "c128", "double2", np.complex128, 12, ("cdouble",))
float16.compute = bfloat16.compute = float32
# Known to storage, conversions, views, comparisons and arithmetic among themselves, as in PyTorch.
uint16 = dtype("uint16", "u16", "ushort", np.uint16, 1)
uint32 = dtype("uint32", "u32", "uint", np.uint32, 1)
uint64 = dtype("uint64", "u64", "ulong", np.uint64, 1)

# Known by name, so that programs can ask whether a tensor has them. No tensor has: cl is empty.
complex32 = dtype("complex32", "c32", "", np.uint32, 10, ("chalf",))
for _parts, _pair in ((float16, complex32), (bfloat16, complex64), (float32, complex64), (float64, complex128)):
    _parts._complex, _pair._real = _pair, _parts
float8_e4m3fn = dtype("float8_e4m3fn", "f8", "", np.uint8, 5)
float8_e5m2 = dtype("float8_e5m2", "f8", "", np.uint8, 5)
float8_e4m3fnuz = dtype("float8_e4m3fnuz", "f8", "", np.uint8, 5)
float8_e5m2fnuz = dtype("float8_e5m2fnuz", "f8", "", np.uint8, 5)
float8_e8m0fnu = dtype("float8_e8m0fnu", "f8", "", np.uint8, 5)
float8_e8m0fnu.is_signed = False
_NARROW = tuple(dtype(f"{kind}{bits}", f"{kind[0]}{bits}", "", numpy, 1, ("bit",) if (kind, bits) == ("uint", 1) else ())
                for kind, numpy in (("int", np.int8), ("uint", np.uint8)) for bits in range(1, 8))

ALL = (bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
UNSIGNED = (uint16, uint32, uint64)
NAMES_ONLY = (complex32, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz,
              float8_e8m0fnu, *_NARROW)
COMPLEX = (complex64, complex128)
FLOATING = tuple(d for d in ALL if d.is_floating_point)
INTEGRAL = tuple(d for d in ALL if not d.is_floating_point and d is not bool)
BY_NAME = {d.name: d for d in ALL + UNSIGNED + COMPLEX}
_FROM_NUMPY = {d.numpy: d for d in BY_NAME.values() if d is not bfloat16}


def from_numpy(numpy_dtype: np.dtype) -> dtype:
    """The dtype of a NumPy array's elements; TypeError where clgrad has none."""
    found = _FROM_NUMPY.get(numpy_dtype) or _FROM_NUMPY.get(numpy_dtype.newbyteorder("="))
    if found is None:
        raise TypeError(f"can't convert np.ndarray of type {numpy_dtype}. The only supported types are: "
                        + ", ".join(d.name for d in _FROM_NUMPY.values()) + ".")
    return found


_TYPE_NAMES = {"uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "float16": "Half",
               "bfloat16": "BFloat16", "float32": "Float", "float64": "Double", "bool": "Bool", "uint16": "UInt16",
               "uint32": "UInt32", "uint64": "UInt64", "complex32": "ComplexHalf", "complex64": "ComplexFloat",
               "complex128": "ComplexDouble"}


def type_name(d: dtype) -> str:
    """The name that PyTorch's messages have for a dtype, such as ``Float``."""
    return _TYPE_NAMES.get(d.name, d.name)


_C_NAMES = {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "long int",
            "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char",
            "complex32": "c10::complex<c10::Half>", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}


def c_name(d: dtype) -> str:
    """The name that other messages of PyTorch's have for a dtype: that of the elements in C++, such as ``signed char``."""
    return _C_NAMES.get(d.name, d.name)


def float32_to_bfloat16(values: np.ndarray) -> np.ndarray:
    """The upper 16 bits of float32 values, rounded to nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded).reshape(np.shape(values))


@lru_cache(1024)
def _rounded(kind: dtype, value: float) -> float:
    with np.errstate(over="ignore"):
        element = np.asarray(kind._bits(value))
    return float(bfloat16_to_float32(element) if kind is bfloat16 else element)


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as the float32 values that they stand for."""
    return (np.ascontiguousarray(bits).astype(np.uint32) << 16).view(np.float32).reshape(np.shape(bits))


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype to which both can be converted, by PyTorch's table.

    >>> import clgrad
    >>> clgrad.promote_types(clgrad.int64, clgrad.float16), clgrad.promote_types(clgrad.uint8, clgrad.int8)
    (torch.float16, torch.int16)
    """
    a, b = type1, type2
    if a is b:
        return a
    for name, given in (("type1", a), ("type2", b)):
        if not isinstance(given, dtype):
            raise TypeError(f"promote_types(): argument '{name}' must be torch.dtype, not {type(given).__name__}")
    if a.category >= 2 or b.category >= 2:
        if a.category != b.category:
            lower, higher = (a, b) if a.category < b.category else (b, a)
            return higher if lower.category < 2 or higher.category == 2 else promote_types(lower.to_complex(), higher)
    elif a in UNSIGNED or b in UNSIGNED:
        raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
                           f"{type_name(a)} and {type_name(b)}")
    elif a.category != b.category:
        return a if a.category > b.category else b
    if {a, b} == {float16, bfloat16}:
        return float32
    if {a, b} == {uint8, int8}:
        return int16
    return a if a.rank > b.rank else b


def as_dtype(value: Any) -> dtype:
    """A dtype, or what Python's number types stand for (``float``: float64); TypeError for anything else."""
    if isinstance(value, dtype):
        return value
    kinds: dict[type, dtype] = {float: float64, int: int64, builtins.bool: bool, complex: complex128}
    found = kinds.get(value) if isinstance(value, type) else None
    if found is None:
        raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(value).__name__}")
    return found


_default = [float32]


def get_default_dtype() -> dtype:
    """The dtype of floating-point tensors made from Python numbers; float32 unless changed."""
    return _default[0]


def set_default_dtype(d: dtype) -> None:
    """Makes ``d``, a floating-point dtype, the one that :func:`get_default_dtype` returns."""
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    _default[0] = d


def of_number(value: object) -> dtype:
    """The dtype that a tensor made from this Python or NumPy number has."""
    if isinstance(value, (builtins.bool, np.bool_)):
        return bool
    if isinstance(value, (int, np.integer)):
        return int64
    default = get_default_dtype()
    return default.to_complex() if isinstance(value, (complex, np.complexfloating)) else default


def result_type(dimensioned: Iterable[dtype], zero_dim: Iterable[dtype] = (), numbers: Iterable[dtype] = ()) -> dtype:
    """PyTorch's promotion: 0-d tensors and numbers count only when their category is higher.

    ``numbers`` are the dtypes that :func:`of_number` gives for Python operands.
    """
    result: dtype | None = None
    for group in (dimensioned, zero_dim, numbers):
        merged: dtype | None = None
        for d in group:
            merged = d if merged is None else promote_types(merged, d)
        if merged is not None and (result is None or merged.category > result.category):
            result = merged if result is None or not result.is_floating_point else result.to_complex()  # of its precision
    if result is None:
        raise TypeError("result_type: expected at least one operand")
    return result


def can_cast(from_: dtype, to: dtype) -> builtins.bool:
    """Whether an in-place operation may store a ``from_`` result in a ``to`` tensor."""
    return from_.category <= to.category
