"""``UntypedStorage`` and ``TypedStorage``: a tensor's memory as an object that several tensors may share."""

from __future__ import annotations

import copy
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import wrap
from clgrad.creation import place_of
from clgrad.from_data import from_file
from clgrad.ops import copying
from clgrad.ops.registry import FUNCTIONS
from clgrad.runtime import SharedFile, new_storage
from clgrad.runtime import device as Device
from clgrad.spec import contiguous_spec


class _Storage:
    """What both kinds of storages have."""

    __slots__ = ()
    is_sparse = is_sparse_csr = is_hpu = False
    resizable = staticmethod(lambda: True)

    def untyped(self) -> UntypedStorage:
        """The bytes."""
        raise NotImplementedError

    def tensor(self) -> Any:
        """All elements as a vector over this memory."""
        raise NotImplementedError

    @property
    def _cdata(self) -> int:
        """A number that storages of the same memory share, and no others."""
        return id(self.untyped().held)

    def get_device(self) -> int:
        """The number of the device, -1 for host memory."""
        place = self.untyped().device
        return -1 if place.type == "cpu" else place.index or 0

    def _converted(self, kind: dtypes.dtype) -> TypedStorage:
        """The elements in another dtype, always in memory of their own."""
        converted = copying.cast(self.tensor(), kind, copy=True)
        return TypedStorage(wrap_storage=UntypedStorage.over(converted.memory, converted.spec.device), dtype=kind)


def _conversion(name: str, kind: dtypes.dtype) -> Any:
    def method(self: Any) -> TypedStorage:
        return self._converted(kind)
    method.__name__, method.__doc__ = name, f"A storage with the elements as {kind.name}."
    return method


_CONVERSIONS = {"uint8": "byte", "int8": "char", "bfloat16": "bfloat16", "bool": "bool", "complex64": "complex_float",
                "complex128": "complex_double"}
for _kind in (*dtypes.ALL, *dtypes.COMPLEX):
    _name = _CONVERSIONS.get(_kind.name) or _kind.aliases[0]
    setattr(_Storage, _name, _conversion(_name, _kind))


class _Plain:
    """An object as others of Python's."""


_BEFORE = sys.getsizeof(_Plain()) - _Plain().__sizeof__()  # bytes that Python has before an object, and counts with it


class UntypedStorage(_Storage):
    """Bytes on a device: ``tensor.untyped_storage()``, ``UntypedStorage(nbytes)`` or ``UntypedStorage(byte_values)``.

    >>> import clgrad
    >>> x = clgrad.ones(3)
    >>> x.untyped_storage().nbytes(), x[1:].untyped_storage().data_ptr() == x.data_ptr()
    (12, True)

    All who ask for the storage of the same memory get the same object as long as somebody holds it, so that it can be known
    by weak references, and by what a program writes on it.
    """

    def __init__(self, content: Any = 0, *, device: Any = None):
        place = place_of(device)
        if isinstance(content, int):
            self.held, self.device = new_storage(place.compute, content), place
        else:
            self.held = FUNCTIONS["tensor"](list(content), dtype=dtypes.uint8, device=place).memory
            self.device = place
        self.held.face = weakref.ref(self)

    @classmethod
    def from_buffer(cls, buffer: Any, byte_order: str | None = None, count: int = -1, offset: int = 0, *,
                    dtype: Any = None) -> UntypedStorage:
        """A copy of the elements of a Python buffer, of ``dtype`` and in ``byte_order``: "little", "big" or "native".

        ``count`` elements (-1: all) behind ``offset`` bytes are taken. The order may be left out for integers of a byte.
        """
        if dtype is None:
            raise RuntimeError("argument 'dtype' cannot be None")
        values = copying.from_array(_elements(buffer, byte_order, count, offset, dtype), dtype, Device("cpu"))
        return cls.over(values.memory, values.spec.device)

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first ``nbytes`` bytes of a file, mapped into memory; with ``shared`` changes are written to it."""
        return from_file(filename, shared, nbytes, dtype=dtypes.uint8).untyped_storage()

    @classmethod
    def over(cls, held: Any, device: Device) -> UntypedStorage:
        """The storage object of memory that exists."""
        made = held.face and held.face()
        if type(made) is not cls:
            made = object.__new__(cls)
            made.held, made.device = held, device
            held.face = weakref.ref(made)
        return made

    def tensor(self, dtype: Any = dtypes.uint8) -> Any:
        """All bytes as a vector of ``dtype`` over this memory."""
        return wrap(self.held, 0, contiguous_spec((self.held.nbytes // dtype.itemsize,), dtype, self.device))

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.held.nbytes

    size = nbytes
    __len__ = nbytes

    def __sizeof__(self) -> int:
        return 64 - _BEFORE + self.nbytes()  # with the object as PyTorch counts it: programs print such sums

    def element_size(self) -> int:
        """1: an element is a byte."""
        return 1

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return self.tensor().data_ptr() if self.held.nbytes else 0

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is an OpenCL GPU's."""
        return self.device.type == "cuda"

    def new(self) -> UntypedStorage:
        """An empty storage on this device."""
        return type(self)(device=self.device)

    def type(self, dtype: Any = None) -> Any:
        """The name of the class; with ``dtype``, a typed storage of the bytes converted."""
        return "torch.storage.UntypedStorage" if dtype is None else self._converted(getattr(dtype, "dtype", dtype))

    def byteswap(self, dtype: Any) -> None:
        """Exchanges the bytes of every element of ``dtype`` for those in the other order."""
        elements = self.tensor().view(-1, dtype.itemsize)
        elements.copy_(elements.flip(1))

    def __reduce__(self) -> tuple:
        return _from_bytes, (bytes(self.tolist()), str(self.device), None)

    def resize_(self, size: int) -> UntypedStorage:
        """Another number of bytes, for every tensor that uses this storage; the first bytes stay."""
        self.held.resize(size)
        return self

    def tolist(self) -> list:
        """The bytes as numbers."""
        return self.tensor().tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(self.held.nbytes)
            if step != 1:
                raise RuntimeError(f"Trying to slice with a step of {step}, but only a step of 1 is supported")
            return type(self)(self.tolist()[start:max(stop, start)], device=self.device)
        return self.tensor()[_checked(index, self.held.nbytes)].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tensor()[index if isinstance(index, slice) else _checked(index, self.held.nbytes)] = value

    def fill_(self, value: int) -> UntypedStorage:
        """Every byte replaced."""
        self.tensor().fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> UntypedStorage:
        """The bytes of another storage of the same size."""
        if source.nbytes() != self.nbytes():
            raise RuntimeError(f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes")
        self.tensor().copy_(source.untyped().tensor())
        return self

    def clone(self) -> UntypedStorage:
        """A copy."""
        return self.over(self.tensor().clone().memory, self.device)

    __copy__ = clone

    def __deepcopy__(self, memo: dict) -> UntypedStorage:
        made = memo[id(self)] = self.clone()
        return made

    def to(self, *, device: Any, non_blocking: bool = False) -> UntypedStorage:
        """The storage on a device; itself where it is there."""
        moved = self.tensor().to(device)
        return self if moved.device == self.device else self.over(moved.memory, moved.device)

    def cpu(self) -> UntypedStorage:
        """The storage in host memory."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> UntypedStorage:
        """The storage on an OpenCL GPU."""
        return self.to(device="cuda" if device is None else device)

    def is_shared(self) -> bool:
        """Whether other processes see this memory."""
        return self.device.type != "cpu" or self.held.file is not None

    @classmethod
    def _new_shared(cls, size: int, *, device: Any = "cpu") -> UntypedStorage:
        """A storage of ``size`` bytes in memory that other processes can see; programs collate batches into it."""
        return cls(size, device=device).share_memory_()

    def share_memory_(self) -> UntypedStorage:
        """Itself, in memory that processes which are started with it see too; see :meth:`Tensor.share_memory_`."""
        if SharedFile.available and self.held.nbytes and self.device.type == "cpu" and not self.is_shared():
            self.held.move_to(SharedFile(self.held.nbytes))
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """False: host memory needs no pinning here."""
        return False

    def pin_memory(self, device: Any = None) -> UntypedStorage:
        """Itself."""
        return self

    def untyped(self) -> UntypedStorage:
        """Itself."""
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other.held is self.held

    def __hash__(self) -> int:
        return hash(id(self.held))

    def __repr__(self) -> str:
        return f"{_lines(self)}[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"


def _lines(storage: Any) -> str:
    return " " + "\n ".join(map(str, storage.tolist())) + "\n"


def _elements(buffer: Any, byte_order: str | None, count: int, offset: int, kind: dtypes.dtype) -> np.ndarray:
    """The elements of a buffer as an array of their dtype's memory type."""
    data, size = memoryview(buffer).cast("B"), kind.itemsize
    if byte_order is None and kind not in (dtypes.uint8, dtypes.int8):
        raise RuntimeError("function missing required argument 'byte_order' (pos 2)")
    if byte_order not in (None, "little", "big", "native"):
        raise ValueError(f"invalid byte_order '{byte_order}' (expected 'big', 'little', or 'native')")
    if not 0 <= offset <= len(data):
        raise ValueError(f"offset must be non-negative and no greater than buffer length ({offset}) , but got {len(data)}")
    if count < 0 and (len(data) - offset) % size:
        raise ValueError(f"buffer size ({len(data)}) must be a multiple of element size ({size})")
    if count * size > len(data) - offset:
        raise ValueError(f"buffer has only {len(data) - offset} elements after offset {offset}, but specified a size of "
                         f"{count}")
    stored = np.dtype(np.uint8 if kind is dtypes.bool else kind.numpy)
    values = np.frombuffer(data, stored, count, offset)
    return (values.byteswap() if byte_order not in (None, "native", sys.byteorder) else values).astype(kind.numpy)


def _from_bytes(data: bytes, place: str, kind: Any) -> Any:
    """A storage from its pickle, on the device where it was."""
    held = UntypedStorage.from_buffer(data, dtype=dtypes.uint8).to(device=place)
    return held if kind is None else TypedStorage(wrap_storage=held, dtype=kind)


def _checked(index: int, size: int) -> int:
    if not -size <= index < size:
        raise IndexError(f"index {index} out of range for storage of size {size}")
    return index % size


class TypedStorage(_Storage):
    """Elements of one dtype over an :class:`UntypedStorage`: ``tensor.storage()``.

    Args:
        args: nothing, a number of elements, or their values.
        wrap_storage: the untyped storage to stand on instead.
    """

    dtype = dtypes.float32

    def __init__(self, *args: Any, wrap_storage: UntypedStorage | None = None, dtype: Any = None, device: Any = None,
                 _internal: bool = False):
        self.dtype = dtype or type(self).__dict__.get("dtype") or dtypes.get_default_dtype()
        if wrap_storage is not None:
            self._untyped_storage = wrap_storage
        elif args and not isinstance(args[0], int):
            made = FUNCTIONS["tensor"](list(args[0]), dtype=self.dtype, device=device)
            self._untyped_storage = UntypedStorage.over(made.memory, made.spec.device)
        else:
            self._untyped_storage = UntypedStorage((args[0] if args else 0) * self.dtype.itemsize, device=device)

    @classmethod
    def from_buffer(cls, buffer: Any, *args: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> TypedStorage:
        """A copy of the elements of a Python buffer: see :meth:`UntypedStorage.from_buffer`."""
        kind = dtypes.get_default_dtype() if dtype is None else dtype
        return cls(wrap_storage=UntypedStorage.from_buffer(buffer, *args, dtype=kind, **kwargs).to(
            device="cpu" if device is None else device), dtype=kind)

    def untyped(self) -> UntypedStorage:
        """The bytes."""
        return self._untyped_storage

    def tensor(self) -> Any:
        """All elements as a vector over this memory."""
        return self._untyped_storage.tensor(self.dtype)

    @property
    def device(self) -> Device:
        """Where the memory is."""
        return self._untyped_storage.device

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is an OpenCL GPU's."""
        return self._untyped_storage.is_cuda

    def size(self) -> int:
        """How many elements there are."""
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    __len__ = size

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._untyped_storage.nbytes()

    def __sizeof__(self) -> int:
        return 24 + self.nbytes()

    def element_size(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._untyped_storage.data_ptr()

    def type(self, dtype: Any = None) -> Any:
        """The name of the storage's type, such as ``torch.FloatStorage``; with ``dtype``, the storage converted."""
        if dtype is None:
            return f"torch.{'cuda.' if self.is_cuda else ''}{_NAMES[self.dtype]}"
        return self._converted(getattr(dtype, "dtype", dtype))

    def _over(self, x: Any) -> TypedStorage:
        return TypedStorage(wrap_storage=UntypedStorage.over(x.memory, x.spec.device), dtype=x.spec.dtype)

    def tolist(self) -> list:
        """The elements as numbers."""
        return self.tensor().tolist()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        return self.tensor()[_checked(index, self.size())].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tensor()[index if isinstance(index, slice) else _checked(index, self.size())] = value

    def fill_(self, value: Any) -> TypedStorage:
        """Every element replaced."""
        self.tensor().fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> TypedStorage:
        """The elements of another storage of the same size, converted."""
        self.tensor().copy_(source.tensor())
        return self

    def clone(self) -> TypedStorage:
        """A copy."""
        return self._over(self.tensor().clone())

    def to(self, *, device: Any, non_blocking: bool = False) -> TypedStorage:
        """The storage on a device; itself where it is there."""
        moved = self._untyped_storage.to(device=device)
        return self if moved is self._untyped_storage else TypedStorage(wrap_storage=moved, dtype=self.dtype)

    def __reduce__(self) -> tuple:
        return _from_bytes, (bytes(self._untyped_storage.tolist()), str(self.device), self.dtype)

    def __deepcopy__(self, memo: dict) -> TypedStorage:
        made = TypedStorage(wrap_storage=copy.deepcopy(self._untyped_storage, memo), dtype=self.dtype)
        memo[id(self)] = made
        return made

    def cpu(self) -> TypedStorage:
        """The storage in host memory."""
        return self._over(self.tensor().cpu())

    def cuda(self, device: Any = None, non_blocking: bool = False) -> TypedStorage:
        """The storage on an OpenCL GPU."""
        return self._over(self.tensor().cuda(device))

    def resize_(self, size: int) -> TypedStorage:
        """Another number of elements."""
        self._untyped_storage.resize_(size * self.dtype.itemsize)
        return self

    def is_shared(self) -> bool:
        """Whether other processes see this memory."""
        return self._untyped_storage.is_shared()

    def _new_shared(self, size: int, *, device: Any = "cpu") -> TypedStorage:
        """The same of ``size`` elements of this dtype."""
        made = UntypedStorage._new_shared(size * self.dtype.itemsize, device=device)
        return TypedStorage(wrap_storage=made, dtype=self.dtype, _internal=True)

    def share_memory_(self) -> TypedStorage:
        """Itself; see :meth:`UntypedStorage.share_memory_`."""
        self._untyped_storage.share_memory_()
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """False: host memory needs no pinning here."""
        return False

    def pin_memory(self, device: Any = None) -> TypedStorage:
        """Itself."""
        return self

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, TypedStorage) and other.dtype is self.dtype
                and other._untyped_storage == self._untyped_storage)

    def __hash__(self) -> int:
        return hash(self._untyped_storage)

    def __repr__(self) -> str:
        return (f"{_lines(self)}[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size "
                f"{self.size()}]")


class _StorageType(type):
    """Makes ``isinstance(tensor.storage(), FloatStorage)`` a question about the dtype."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, TypedStorage) and value.dtype is cls.__dict__.get("dtype")

    def from_buffer(cls, *args: Any, **kwargs: Any) -> TypedStorage:
        """A copy of the elements of a Python buffer: see :meth:`UntypedStorage.from_buffer`."""
        return TypedStorage.from_buffer(*args, dtype=cls.__dict__["dtype"], **kwargs)

    def from_file(cls, filename: str, shared: bool = False, size: int = 0) -> TypedStorage:
        """The first ``size`` elements of a file, mapped into memory; with ``shared`` changes are written to it."""
        kind = cls.__dict__["dtype"]
        return TypedStorage(wrap_storage=UntypedStorage.from_file(filename, shared, size * kind.itemsize), dtype=kind)


_NAMES = {dtypes.float32: "FloatStorage", dtypes.float64: "DoubleStorage", dtypes.float16: "HalfStorage",
          dtypes.bfloat16: "BFloat16Storage", dtypes.uint8: "ByteStorage", dtypes.int8: "CharStorage",
          dtypes.int16: "ShortStorage", dtypes.int32: "IntStorage", dtypes.int64: "LongStorage",
          dtypes.bool: "BoolStorage"}


def _class_of(kind: Any, name: str) -> Any:
    def new(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return TypedStorage(*args, **{**kwargs, "dtype": kind})
    return _StorageType(name, (), {"__new__": new, "dtype": kind, "__doc__": f"Storages of {kind.name}."})


CLASSES = {name: _class_of(kind, name) for kind, name in _NAMES.items()}
