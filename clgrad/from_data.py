"""Making tensors from data: numbers, nested lists, arrays, buffers, files, other libraries' memory."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from clgrad import dlpack, dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.dtypes import dtype as Dtype
from clgrad.ops import copying
from clgrad.ops.registry import FUNCTIONS
from clgrad.runtime import canonical, default_device, host_copy
from clgrad.runtime import device as Device

_CPU = Device("cpu")


def place_of(device: Any) -> Any:
    """The device that an argument ``device=`` names."""
    return canonical(default_device() if device is None else Device(device))


def checked(tensor: Any, requires_grad: bool) -> Any:
    """The tensor, with ``requires_grad`` set where it is wanted."""
    if requires_grad:
        if not tensor.spec.dtype.differentiable:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        tensor.requires_grad = True
    return tensor


def kind_of(dtype: Any, default: Dtype | None = None) -> Dtype:
    """The dtype that an argument ``dtype=`` names; None means ``default``, or the default dtype."""
    return (default or dtypes.get_default_dtype()) if dtype is None else dtypes.as_dtype(dtype)


def _to_numpy(data: Any, wanted: Any = None) -> tuple[np.ndarray, Dtype]:
    """Nested lists, numbers, arrays or tensors as an array and the dtype that PyTorch would give them.

    ``wanted``: the dtype that the program names; NumPy must know of uint64 to read such numbers without rounding.
    """
    if isinstance(data, TensorBase):
        return copying.to_array(data), data.spec.dtype
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        return array, dtypes.from_numpy(array.dtype)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    kinds: set[Dtype] = set()
    given = data
    if isinstance(data, (list, tuple)):
        try:
            data = _plain(data, kinds)
        except RecursionError:
            raise TypeError("new(): self-referential lists are incompatible") from None
    elif not isinstance(data, (bool, int, float, complex)) and not hasattr(data, "__array__"):
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__") or isinstance(data, dict):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        try:
            data = _plain(list(data), kinds)
        except TypeError:
            raise ValueError(f"could not determine the shape of object type '{type(data).__name__}'") from None
    try:
        array = np.array(data, np.uint64 if wanted is dtypes.uint64 else None)
    except ValueError:
        raise _ragged(data) from None
    rounds = wanted is not None and (wanted.is_floating_point or wanted is dtypes.bool)
    if array.dtype == object and all(isinstance(v, (int, float)) for v in array.flat) and (
            rounds or any(isinstance(v, float) for v in array.flat)):
        array = array.astype(np.float64)  # integers beyond 64 bits
    if array.dtype == object and all(isinstance(v, int) for v in array.flat):
        raise ValueError("Overflow when unpacking long long")
    if array.dtype == object or array.dtype.kind in "US":
        first = data
        while isinstance(first, list):
            first = first[0]
        if isinstance(first, str):
            raise ValueError(f"too many dimensions 'str': tensor() takes numbers, got {data!r}"[:200])
        if first is None:
            raise RuntimeError("Could not infer dtype of NoneType")
        raise TypeError(f"new(): invalid data type '{'str' if array.dtype.kind in 'US' else 'object'}'")
    if kinds:
        return array, dtypes.result_type(kinds | _number_kinds(given))
    if array.size == 0 or array.dtype.kind in "fc" and not hasattr(data, "__array__"):
        default = dtypes.get_default_dtype()
        return array, default.to_complex() if array.dtype.kind == "c" else default
    return array, dtypes.from_numpy(array.dtype)


def _plain(items: Any, kinds: set[Dtype]) -> Any:
    """Nested sequences with tensors and arrays in them as nested lists; ``kinds`` gets the dtypes where there are such."""
    result = []
    for item in items:
        if isinstance(item, (list, tuple)):
            result.append(_plain(item, kinds))
        elif isinstance(item, TensorBase):
            if item.spec.numel != 1:
                if item.spec.dtype in dtypes.INTEGRAL:
                    raise TypeError("only integer tensors of a single element can be converted to an index")
                raise ValueError("only one element tensors can be converted to Python scalars")
            kinds.add(item.spec.dtype)
            result.append(item.item())  # type: ignore[attr-defined]
        elif isinstance(item, (np.ndarray, np.generic)):
            kinds.add(dtypes.from_numpy(item.dtype))
            result.append(item.tolist())
        else:
            result.append(item)
    return result


def _number_kinds(items: Any) -> set[Dtype]:
    """The dtypes that the Python numbers in nested sequences stand for."""
    found: set[Dtype] = set()
    for item in items:
        if isinstance(item, (list, tuple)):
            found |= _number_kinds(item)
        elif isinstance(item, (bool, int, float, complex)) and not isinstance(item, np.generic):
            found.add(dtypes.of_number(item))
    return found


def _ragged(data: Any, dim: int = 1) -> Exception:
    """The error that says where nested sequences differ in length."""
    lengths = [len(item) if isinstance(item, (list, tuple)) else None for item in data]
    for length in lengths:
        if length != lengths[0]:
            if length is None:
                return TypeError("not a sequence")
            return ValueError(f"expected sequence of length {lengths[0] or 0} at dim {dim} (got {length})")
    return _ragged([inner for item in data for inner in item], dim + 1)


def check_range(array: np.ndarray, kind: Dtype) -> None:
    """RuntimeError where a Python number does not fit into an integer dtype."""
    if array.dtype.kind == "c" and not kind.is_complex and kind is not dtypes.bool:
        raise TypeError("must be real number, not complex")
    if array.dtype == np.float64 and not kind.differentiable and kind is not dtypes.bool and not np.isfinite(
            array).all():
        raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow")
    if array.dtype == np.int64 and array.size and not kind.differentiable and kind.itemsize < 8 and (
            kind is not dtypes.bool):
        limits: Any = np.iinfo(kind.numpy)  # type: ignore[type-var]
        if array.max() > limits.max or array.min() < min(int(limits.min), -int(limits.max)):
            raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow")


def _kind_of_number(data: Any) -> Dtype | None:
    """The dtype that one of Python's numbers gets without a word on it; None for others, and where it does not fit."""
    kind = data.__class__
    if kind is int:
        return dtypes.int64 if -1 << 63 <= data < 1 << 63 else None
    if kind is float:
        default = dtypes.get_default_dtype()
        return default if -default.largest <= data <= default.largest else None
    return dtypes.bool if kind is bool else None


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Any:
    """A tensor with a copy of ``data``: numbers, nested lists, arrays or tensors. Over a storage: its memory itself.

    Python floats get the default dtype, integers int64, bools bool.

    >>> import clgrad
    >>> clgrad.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    place, wanted = place_of(device), None if dtype is None else dtypes.as_dtype(dtype)
    plain = _kind_of_number(data) if wanted is None else None
    if plain is not None:
        return checked(copying.full((), data, plain, place), requires_grad)
    if hasattr(data, "untyped"):
        return checked(_over_storage(data, wanted, device), requires_grad)
    array, found = _to_numpy(data, wanted)
    kind = found if wanted is None else wanted
    if found is dtypes.uint64 and dtype is None and not hasattr(data, "__array__"):
        raise ValueError("Overflow when unpacking long long")
    if isinstance(data, TensorBase):
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      UserWarning, stacklevel=3)
        return checked(copying.to(data.detach(), place, kind, copy=True), requires_grad)
    if not isinstance(data, (np.ndarray, np.generic)):
        check_range(array, kind)
    if kind is dtypes.bfloat16:
        values = dtypes.float32_to_bfloat16(array.astype(np.float32))
    else:
        with np.errstate(all="ignore"):
            values = host_copy(array, kind.numpy)
    return checked(copying.from_array(values, kind, place), requires_grad)


def _over_storage(storage: Any, wanted: Dtype | None, device: Any) -> Any:
    """A vector over the memory of a storage, whose bytes are read as the dtype that is wanted."""
    own = getattr(storage, "dtype", None)
    kind = wanted or (dtypes.int64 if own is None else dtypes.get_default_dtype())
    if own not in (None, kind):
        raise RuntimeError(f"Expected a Storage of type {dtypes.type_name(kind)} or an UntypedStorage, but got "
                           f"{dtypes.type_name(own)}")
    found = storage.untyped().tensor(kind)
    return found if device is None else copying.to(found, place_of(device))


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """``data`` as a tensor, without a copy where it is a tensor or an array that can be used in place."""
    if isinstance(data, TensorBase):
        return copying.to(data, dtype=dtype, device=device)
    if isinstance(data, np.ndarray) and (device is None or place_of(device).type == "cpu"):
        made = from_numpy(data)
        return made if dtype is None else copying.cast(made, kind_of(dtype))
    return tensor(data, dtype=dtype, device=device)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
            requires_grad: bool | None = None) -> Any:
    """``obj`` (a tensor, an array, a DLPack object, a buffer, numbers) as a tensor.

    Args:
        copy: True always copies, False never (ValueError where that cannot be), None where it must.
        requires_grad: None keeps what a given tensor has, with its history.
    """
    if isinstance(obj, TensorBase):
        shared = obj
    elif isinstance(obj, np.ndarray):
        shared = from_numpy(obj)
    elif hasattr(obj, "__dlpack__"):
        shared = from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        shared = frombuffer(obj, dtype=kind_of(dtype))
    elif type(obj).__name__ == "PyCapsule":
        shared = from_dlpack(obj)
    elif copy is False:
        if isinstance(obj, np.generic):
            raise RuntimeError("can't alias NumPy scalars. Either remove copy=False or transform it in a ndarray.")
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    else:
        return tensor(obj, dtype=dtype, device=device, requires_grad=bool(requires_grad))
    made = copying.to(shared, dtype=dtype, device=device, copy=bool(copy))
    if copy is False and made.memory is not shared.memory:
        if made.device != shared.device:
            raise ValueError(f"can't alias tensor from device '{shared.device}' to '{made.device}'.")
        raise ValueError(f"can't alias tensor with dtype '{dtypes.type_name(shared.dtype)}' into dtype "
                         f"'{dtypes.type_name(made.dtype)}'.")
    if requires_grad is None or made._requires_grad is requires_grad:
        return made
    return checked(made.detach(), requires_grad)  # the given tensor is not changed


def from_numpy(ndarray: np.ndarray) -> Any:
    """A tensor on ``cpu`` that shares the array's memory: a change of one is seen in the other.

    Raises:
        TypeError: it is no array, or clgrad has no such dtype.
        ValueError: a stride is negative, or no multiple of the element's size.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if not ndarray.flags.writeable:
        warnings.warn("The given NumPy array is not writable, and tensors do not support non-writable memory: it is "
                      "copied. Copy the array or make it writable before converting it to a tensor.", UserWarning,
                      stacklevel=3)
        ndarray = ndarray.copy()
    return _over_array(ndarray, dtypes.from_numpy(ndarray.dtype))


def _over_array(array: np.ndarray, kind: Dtype) -> Any:
    """A tensor over the memory of a writable array that holds elements of ``kind``."""
    if min(array.strides, default=0) < 0:
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides "
                         "are not currently supported. (You can probably work around this by making a copy of your "
                         "array with array.copy().)")
    if not array.dtype.isnative:
        raise ValueError("given numpy array has byte order different from the native byte order. Conversion between "
                         "byte orders is currently not supported.")
    if array.flags.c_contiguous:
        return copying.from_array(array, kind, _CPU, foreign=True)
    if any(s % kind.itemsize for s in array.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
                         "reallocate the memory.")
    # A strided array: a tensor over the bytes from its first element on.
    reach = 1 + sum((n - 1) * s // kind.itemsize for n, s in zip(array.shape, array.strides, strict=True))
    flat = np.lib.stride_tricks.as_strided(array, (reach if array.size else 0,), (kind.itemsize,))
    whole = copying.from_array(flat, kind, _CPU, foreign=True)
    return whole.as_strided(array.shape, [s // kind.itemsize for s in array.strides])


def frombuffer(buffer: Any, *, dtype: Dtype, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Any:
    """A vector over the memory of an object with the buffer protocol.

    Args:
        count: how many elements; -1 as many as there are.
        offset: bytes to skip.
    """
    try:
        view, size = memoryview(buffer), dtype.itemsize
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    length = view.nbytes
    if length == 0 or count == 0:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} "
                         "bytes) minus 1")
    if count < 0 and (length - offset) % size:
        raise ValueError(f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a multiple of "
                         f"element size ({size})")
    if count > 0 and offset + count * size > length:
        raise ValueError(f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be "
                         f"greater than actual buffer length ({length} bytes)")
    array = np.frombuffer(buffer, dtype.numpy, count, offset)
    if not array.flags.writeable:
        warnings.warn("The given buffer is not writable, and tensors do not support non-writable memory: it is copied.",
                      UserWarning, stacklevel=3)
        array = array.copy()
    return checked(_over_array(array, dtype), requires_grad)


def from_file(filename: str, shared: bool | None = None, size: int = 0, *, dtype: Any = None,
              requires_grad: bool = False, **ignored: Any) -> Any:
    """A vector of ``size`` elements over a mapped file; with ``shared`` changes are written to it.

    The tensor is on ``cpu``.
    """
    kind = kind_of(dtype)
    if shared:
        with open(filename, "ab") as file:
            if file.tell() < size * kind.itemsize:
                file.truncate(size * kind.itemsize)
    mapped = np.memmap(filename, kind.numpy, "r+" if shared else "c", shape=(size,))
    return checked(_over_array(mapped, kind), requires_grad)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Any:
    """A tensor on the memory of another library's array: an object with ``__dlpack__``, or a capsule.

    Raises:
        BufferError: the memory is not the host's.
    """
    made = _over_array(*dlpack.read(ext_tensor))
    return copying.to(made, device=device, copy=bool(copy))


def to_dlpack(tensor: Any) -> Any:
    """A DLPack capsule over a tensor's memory, for another library's ``from_dlpack``."""
    return tensor.__dlpack__()


FUNCTIONS["tensor"] = tensor
