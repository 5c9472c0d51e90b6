"""A tensor in other dtypes, on other devices, over other memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.dtypes import dtype
from clgrad.formats import memory_format, strided
from clgrad.ops import copying
from clgrad.ops.no_memory import NoMemory, stands_for_others
from clgrad.runtime import device as Device
from clgrad.shapes import as_shape, contiguous_strides, extent
from clgrad.spec import spec
from clgrad.storage import TypedStorage, UntypedStorage

TYPE_NAMES = {dtypes.float32: "FloatTensor", dtypes.float64: "DoubleTensor", dtypes.float16: "HalfTensor",
              dtypes.bfloat16: "BFloat16Tensor", dtypes.uint8: "ByteTensor", dtypes.int8: "CharTensor",
              dtypes.int16: "ShortTensor", dtypes.int32: "IntTensor", dtypes.int64: "LongTensor",
              dtypes.bool: "BoolTensor", dtypes.complex64: "ComplexFloatTensor", dtypes.complex128: "ComplexDoubleTensor"}
# Methods that give a tensor another dtype.
CASTS = {"float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
         "int": dtypes.int32, "long": dtypes.int64, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
         "bool": dtypes.bool, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128}
_KINDS = {f"torch.{name}": kind for kind, name in TYPE_NAMES.items()}


def parse_type(name: str) -> tuple[dtype, bool]:
    """The dtype that a name such as ``torch.cuda.FloatTensor`` stands for, and whether it means a GPU."""
    if name == "torch.Tensor":
        return dtypes.get_default_dtype(), False
    kind = _KINDS.get(name.replace("torch.cuda.", "torch."))
    if kind is None:
        raise ValueError(f"invalid type: '{name}'")
    return kind, ".cuda." in name


class Conversion(TensorBase):
    """The methods of Tensor that give it another dtype, device or storage."""

    def cpu(self, memory_format: Any = None) -> Any:
        """The tensor in host memory; itself where it is there."""
        return copying.to(self, "cpu", memory_format=memory_format)

    def cuda(self, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
        """The tensor on an OpenCL GPU, the current one unless ``device`` names another."""
        return copying.to(self, "cuda" if device is None else device, memory_format=memory_format)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the tensor's type, such as ``torch.FloatTensor``; with ``dtype``, the tensor converted."""
        if dtype is None:
            return f"torch.{'cuda.' if self.is_cuda else ''}{TYPE_NAMES[self.spec.dtype]}"
        if isinstance(dtype, str):
            kind, on_gpu = parse_type(dtype)
            return copying.to(self, "cuda" if on_gpu else "cpu", kind)
        if getattr(dtype, "on_gpu", False):
            return copying.to(self, "cuda", dtype.dtype)
        if isinstance(dtype, type) and issubclass(dtype, TensorBase):  # torch.Tensor
            return copying.cast(self, dtypes.get_default_dtype())
        return copying.cast(self, dtypes.as_dtype(getattr(dtype, "dtype", dtype)))

    def type_as(self, other: Any) -> Any:
        """The tensor with the dtype and device of another."""
        if not isinstance(other, TensorBase):
            raise TypeError(f"type_as(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
        return copying.to(self, other)

    def untyped_storage(self) -> UntypedStorage:
        """The bytes that this tensor is a window on; NotImplementedError for a sparse one, which has none of its own."""
        if isinstance(self.memory, NoMemory):
            raise NotImplementedError(self.memory.missing)
        return UntypedStorage.over(self.memory, self.spec.device)  # type: ignore[arg-type]

    def data_ptr(self) -> int:
        """The address of the first element in host memory (on a device with memory of its own, a unique number)."""
        if self.spec.layout is not strided:
            raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")
        if not self.spec.numel or stands_for_others(self):
            return 0
        self.memory.acquire()
        return self.memory.address() + self.offset * self.spec.dtype.itemsize

    const_data_ptr = data_ptr

    @property
    def _cdata(self) -> int:
        """A number that is this tensor's alone: by it programs see whether two variables are one tensor."""
        return id(self)

    def set_(self, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Any:
        """Makes this tensor a window on the memory of ``source``, a tensor or a storage.

        Without ``size`` it takes a tensor's own window, or the whole of a storage; without ``source`` it becomes empty.
        """
        kind, place = self.spec.dtype, Device(self.spec.device)  # type: ignore[arg-type]
        if source is None:
            source = copying.unwritten((0,), kind, place)
        if isinstance(source, TensorBase):
            if source.spec.dtype is not kind:
                raise RuntimeError(f"set_(): expected a tensor of {kind}, got {source.spec.dtype}")
            if size is None:
                self.memory, self.offset, self.spec = source.memory, source.offset, source.spec
                return self
            held = source.memory
        else:
            if isinstance(source, TypedStorage) and source.dtype is not kind:
                raise RuntimeError(f"Expected a Storage of type {kind} or an UntypedStorage, but got {source.dtype}")
            held, place = source.untyped().held, source.device
        shape = ((held.nbytes // kind.itemsize - storage_offset),) if size is None else as_shape(size)
        strides = contiguous_strides(shape) if stride is None else as_shape(stride, "stride")
        need = (storage_offset + extent(shape, strides)) * kind.itemsize
        if need > held.nbytes and (shape, strides) == (self.spec.shape, self.spec.strides):
            raise RuntimeError(f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {storage_offset}, "
                               f"and itemsize {kind.itemsize} requiring a storage size of {need} are out of bounds for "
                               f"storage of size {held.nbytes}")
        if need > held.nbytes:
            held.resize(need)
        self.memory, self.offset, self.spec = held, storage_offset, spec(shape, strides, kind, place)
        return self

    def is_set_to(self, tensor: Any) -> bool:
        """Whether both are the same window on the same memory."""
        return (self.memory is tensor.memory and self.offset == tensor.offset and self.spec is tensor.spec)

    def share_memory_(self) -> Any:
        """Itself, in memory that processes which are started with it see too: what one writes, the others read.

        Where the system has no anonymous memory files, processes get copies.
        """
        if not stands_for_others(self):
            self.untyped_storage().share_memory_()
        return self

    def is_shared(self) -> bool:
        """Whether other processes see this memory."""
        return not stands_for_others(self) and self.untyped_storage().is_shared()

    def pin_memory(self, device: Any = None) -> Any:
        """Itself: host memory needs no pinning here."""
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """False: host memory needs no pinning here."""
        return False

    def record_stream(self, stream: Any) -> None:
        """Nothing to do: a device has one queue, in which everything happens in order."""

    def new(self, *args: Any, device: Any = None, **kwargs: Any) -> Any:
        """An old constructor: a tensor of this dtype and device with these sizes or data.

        Raises:
            TypeError: the data is a tensor of another dtype.
        """
        if args and isinstance(args[0], TensorBase):
            if device is not None:
                raise RuntimeError("new(): the device of a tensor cannot be given beside the tensor")
            if args[0].spec.dtype is not self.spec.dtype:
                raise TypeError(f"new(): expected a tensor of dtype {self.spec.dtype}, got {args[0].spec.dtype}")
        return TensorBase.concrete(*args, dtype=self.spec.dtype,  # type: ignore[call-arg]
                                   device=self.spec.device if device is None else device, **kwargs)

    def dim_order(self, *, ambiguity_check: Any = False) -> tuple[int, ...]:
        """The dimensions in the order in which they lie in memory, the outermost first.

        Raises:
            RuntimeError: with ``ambiguity_check``, where strides do not say which order it is; not where it is a list of
                memory formats, of which exactly one is the tensor's.
        """
        shape, strides = self.spec.shape, self.spec.strides
        formats = ambiguity_check if isinstance(ambiguity_check, list) else []
        if not isinstance(ambiguity_check, (bool, list)) or not all(isinstance(each, memory_format) for each in formats):
            raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats.")
        ambiguous = 1 in shape or any(one == other for one, other in pairwise(strides))
        fitting = sum(self.is_contiguous(each) for each in formats)  # type: ignore[attr-defined]
        if ambiguity_check is not False and ambiguous and fitting != 1:
            raise RuntimeError("The tensor does not have unique dim order, or cannot map to exact one of the given "
                               "memory formats.")
        return tuple(sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis)))


def _converter(kind: dtype) -> Callable:
    def convert(self: Any, memory_format: Any = None) -> Any:
        return copying.cast(self, kind, memory_format=memory_format)
    convert.__doc__ = f"The tensor as {kind.name}; itself where it is."
    return convert


for _method, _dtype in CASTS.items():
    setattr(Conversion, _method, _converter(_dtype))
