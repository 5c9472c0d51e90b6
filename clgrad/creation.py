"""Making tensors: from data, of one value, of a range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.dtypes import dtype as Dtype
from clgrad.ops import copying
from clgrad.ops.registry import FUNCTIONS, METHODS, operator
from clgrad.runtime import canonical, default_device
from clgrad.runtime import device as Device
from clgrad.shapes import Shape, as_shape


def place_of(device: Any) -> Any:
    """The device that an argument ``device=`` names."""
    return canonical(default_device() if device is None else Device(device))


def _checked(tensor: Any, requires_grad: bool) -> Any:
    if requires_grad:
        tensor.requires_grad_()
    return tensor


def _kind(dtype: Any, default: Dtype | None = None) -> Dtype:
    if dtype is None:
        return default or dtypes.get_default_dtype()
    if dtype is float:
        return dtypes.get_default_dtype()
    if dtype is int:
        return dtypes.int64
    if dtype is bool:
        return dtypes.bool
    if not isinstance(dtype, Dtype):
        raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    return dtype


def _to_numpy(data: Any) -> tuple[np.ndarray, Dtype]:
    """Nested lists, numbers, arrays or tensors as an array and the dtype that PyTorch would give them."""
    if isinstance(data, TensorBase):
        return copying.to_array(data), data.layout.dtype
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        return array, dtypes.from_numpy(array.dtype)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(data, (list, tuple)):
        data = _plain(data)
    elif not isinstance(data, (bool, int, float)) and not hasattr(data, "__array__"):
        if not hasattr(data, "__len__"):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        data = _plain(list(data))
    try:
        array = np.array(data)
    except ValueError:
        raise ValueError(f"expected sequence of equal length at each dimension, got {_ragged(data)}") from None
    if array.dtype == object:
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if array.dtype.kind in "US":
        raise ValueError(f"too many dimensions 'str': tensor() takes numbers, got {data!r}"[:200])
    if array.size == 0 or array.dtype == np.float64 and not hasattr(data, "__array__"):
        return array, dtypes.get_default_dtype()
    return array, dtypes.from_numpy(array.dtype)


def _plain(items: Any) -> Any:
    """Nested sequences with tensors and arrays in them as nested lists."""
    result = []
    for item in items:
        if isinstance(item, (list, tuple)):
            result.append(_plain(item))
        elif isinstance(item, TensorBase):
            result.append(copying.to_array(item).tolist())
        elif isinstance(item, np.ndarray):
            result.append(item.tolist())
        else:
            result.append(item)
    return result


def _ragged(data: Any) -> str:
    lengths = sorted({len(item) if hasattr(item, "__len__") else 0 for item in data})
    return f"lengths {lengths}"


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Any:
    """A tensor with a copy of ``data``: numbers, nested lists, arrays or tensors.

    Python floats get the default dtype, integers int64, bools bool.

    >>> import clgrad
    >>> clgrad.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    place = place_of(device)
    array, found = _to_numpy(data)
    kind = _kind(dtype, found)
    source = isinstance(data, TensorBase) and data.layout.dtype is dtypes.bfloat16
    if source:
        array = dtypes.bfloat16_to_float32(array)
    if kind is dtypes.bfloat16:
        values = dtypes.float32_to_bfloat16(array.astype(np.float32))
    else:
        with np.errstate(all="ignore"):
            values = np.array(array, kind.numpy, order="C", copy=True)
    return _checked(copying.from_array(values, kind, place), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """``data`` as a tensor, without a copy where it is a tensor or an array that can be used in place."""
    if isinstance(data, TensorBase):
        return copying.to(data, dtype=dtype, device=device)
    if isinstance(data, np.ndarray) and (device is None or place_of(device).type == "cpu"):
        made = from_numpy(data)
        return made if dtype is None else copying.cast(made, _kind(dtype))
    return tensor(data, dtype=dtype, device=device)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
            requires_grad: bool = False) -> Any:
    """``obj`` as a tensor; ``copy=True`` always copies."""
    made = tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device)
    return _checked(made.detach() if requires_grad else made, requires_grad)


def from_numpy(ndarray: np.ndarray) -> Any:
    """A tensor on ``cpu`` that shares the array's memory: a change of one is seen in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    kind = dtypes.from_numpy(ndarray.dtype)
    if any(s < 0 for s in ndarray.strides):
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides "
                         "are not currently supported. (You can probably work around this by making a copy of your "
                         "array with array.copy().)")
    place = Device("cpu")
    if ndarray.flags.c_contiguous and ndarray.flags.writeable:
        return copying.from_array(ndarray, kind, place, foreign=True)
    if not ndarray.flags.writeable or any(s % kind.itemsize for s in ndarray.strides):
        return copying.from_array(np.array(ndarray, kind.numpy, order="C"), kind, place)
    # A strided array: a tensor over the bytes from its first element on.
    reach = 1 + sum((n - 1) * s // kind.itemsize for n, s in zip(ndarray.shape, ndarray.strides, strict=True))
    flat = np.lib.stride_tricks.as_strided(ndarray, (reach if ndarray.size else 0,), (kind.itemsize,))
    whole = copying.from_array(flat, kind, place, foreign=True)
    return whole.as_strided(ndarray.shape, [s // kind.itemsize for s in ndarray.strides])


def frombuffer(buffer: Any, *, dtype: Dtype, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Any:
    """A tensor over the memory of an object with the buffer protocol."""
    return _checked(from_numpy(np.frombuffer(buffer, dtype.numpy, count, offset)), requires_grad)


def _size(size: tuple, kwargs: dict) -> Shape:
    return as_shape(kwargs.pop("size") if "size" in kwargs else size)


def _options(kwargs: dict) -> tuple[Any, Any, bool]:
    """dtype, device and requires_grad of a creation function; what has no meaning here is accepted and left."""
    found = kwargs.pop("dtype", None), kwargs.pop("device", None), kwargs.pop("requires_grad", False)
    for name in ("layout", "pin_memory", "memory_format"):
        kwargs.pop(name, None)
    if kwargs:
        raise TypeError(f"got an unexpected keyword argument '{next(iter(kwargs))}'")
    return found


def _into(made: Any, out: Any) -> Any:
    return made if out is None else out.resize_(made.layout.shape).copy_(made)


def empty(*size: Any, out: Any = None, **kwargs: Any) -> Any:
    """An uninitialised tensor."""
    shape = _size(size, kwargs)
    dtype, device, requires_grad = _options(kwargs)
    return _checked(_into(copying.empty(shape, _kind(dtype), place_of(device)), out), requires_grad)


def zeros(*size: Any, out: Any = None, **kwargs: Any) -> Any:
    """A tensor of zeros.

    >>> import clgrad
    >>> clgrad.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    shape = _size(size, kwargs)
    dtype, device, requires_grad = _options(kwargs)
    return _checked(_into(copying.full(shape, 0, _kind(dtype), place_of(device)), out), requires_grad)


def ones(*size: Any, out: Any = None, **kwargs: Any) -> Any:
    """A tensor of ones."""
    shape = _size(size, kwargs)
    dtype, device, requires_grad = _options(kwargs)
    return _checked(_into(copying.full(shape, 1, _kind(dtype), place_of(device)), out), requires_grad)


def full(size: Any, fill_value: Any, *, out: Any = None, **kwargs: Any) -> Any:
    """A tensor of one value, with the dtype of that value unless ``dtype`` is given."""
    dtype, device, requires_grad = _options(kwargs)
    if isinstance(fill_value, TensorBase):
        fill_value = fill_value.item()
    kind = _kind(dtype, dtypes.of_number(fill_value))
    return _checked(_into(copying.full(as_shape(size), fill_value, kind, place_of(device)), out), requires_grad)


def empty_strided(size: Any, stride: Any, **kwargs: Any) -> Any:
    """An uninitialised tensor of given strides."""
    dtype, device, requires_grad = _options(kwargs)
    return _checked(copying.empty(as_shape(size), _kind(dtype), place_of(device), tuple(stride)), requires_grad)


def _like(input: Any, kwargs: dict) -> tuple[Dtype, Any, bool]:
    dtype, device, requires_grad = _options(kwargs)
    return (_kind(dtype, input.layout.dtype), input.layout.device if device is None else place_of(device),
            requires_grad)


@operator("empty_like", method=False)
def empty_like(input: Any, **kwargs: Any) -> Any:
    """An uninitialised tensor of the same shape, and dtype and device unless others are named."""
    kind, place, requires_grad = _like(input, kwargs)
    return _checked(copying.empty(input.layout.shape, kind, place), requires_grad)


@operator("full_like", method=False)
def full_like(input: Any, fill_value: Any, **kwargs: Any) -> Any:
    """A tensor of one value of the same shape, and dtype and device unless others are named."""
    kind, place, requires_grad = _like(input, kwargs)
    return _checked(copying.full(input.layout.shape, fill_value, kind, place), requires_grad)


@operator("ones_like", method=False)
def ones_like(input: Any, **kwargs: Any) -> Any:
    """Ones of the same shape, and dtype and device unless others are named."""
    return full_like(input, 1, **kwargs)


def _new(make: Any) -> Any:
    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("dtype", x.layout.dtype)
        kwargs.setdefault("device", x.layout.device)
        kwargs = {n: v for n, v in kwargs.items() if v is not None or n not in ("dtype", "device")}
        kwargs.setdefault("dtype", x.layout.dtype)
        kwargs.setdefault("device", x.layout.device)
        return make(*args, **kwargs)
    method.__doc__ = f"``{make.__name__}`` with this tensor's dtype and device unless others are named."
    return method


for _name, _make in {"new_empty": empty, "new_zeros": zeros, "new_ones": ones, "new_full": full,
                     "new_tensor": tensor, "new_empty_strided": empty_strided}.items():
    METHODS[_name] = _new(_make)


def arange(*args: Any, out: Any = None, **kwargs: Any) -> Any:
    """``arange(end)``, ``arange(start, end)``, ``arange(start, end, step)``: evenly spaced values, without the end.

    Integers give int64, floats the default dtype.

    >>> import clgrad
    >>> clgrad.arange(1, 6, 2)
    tensor([1, 3, 5])
    """
    names = ("start", "end", "step")
    given = dict(zip(names if len(args) > 1 else ("end",), args, strict=False))
    given.update({n: kwargs.pop(n) for n in names if n in kwargs})
    dtype, device, requires_grad = _options(kwargs)
    start, end, step = (_number(given.get(n, d)) for n, d in zip(names, (0, None, 1), strict=True))
    if end is None:
        raise TypeError("arange() missing required argument 'end'")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and larger bound inconsistent with step sign")
    if any(isinstance(v, float) and not math.isfinite(v) for v in (start, end, step)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    floating = any(isinstance(v, float) for v in (start, end, step))
    kind = _kind(dtype, dtypes.get_default_dtype() if floating else dtypes.int64)
    count = math.ceil((end - start) / step) if floating else -(-(end - start) // step)
    values = start + step * np.arange(count, dtype=np.float64 if floating else np.int64)
    return _checked(_into(tensor(values, dtype=kind, device=device), out), requires_grad)


def range(start: Any, end: Any, step: Any = 1, **kwargs: Any) -> Any:
    """Like :func:`arange` with the end included. Deprecated, as in PyTorch."""
    import warnings  # noqa: PLC0415
    warnings.warn("torch.range is deprecated and will be removed in a future release because its behavior is "
                  "inconsistent with Python's range builtin. Instead, use torch.arange, which produces values in "
                  "[start, end).", UserWarning, stacklevel=2)
    dtype, device, requires_grad = _options(kwargs)
    count = math.floor((end - start) / step) + 1
    values = start + step * np.arange(count, dtype=np.float64)
    return _checked(tensor(values, dtype=_kind(dtype), device=device), requires_grad)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, (TensorBase, np.generic)) else value


def linspace(start: Any, end: Any, steps: int, *, out: Any = None, **kwargs: Any) -> Any:
    """``steps`` evenly spaced values from ``start`` to ``end``, both included."""
    dtype, device, requires_grad = _options(kwargs)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    values = _linear(_number(start), _number(end), steps)
    return _checked(_into(tensor(values, dtype=_kind(dtype), device=device), out), requires_grad)


def _linear(start: float, end: float, steps: int) -> np.ndarray:
    """From both ends towards the middle, as PyTorch does, so that the values are symmetric."""
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    index = np.arange(steps, dtype=np.float64)
    return np.where(index < steps / 2, start + step * index, end - step * (steps - 1 - index))


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Any = None, **kwargs: Any) -> Any:
    """``base`` to the power of evenly spaced exponents."""
    dtype, device, requires_grad = _options(kwargs)
    values = base ** _linear(_number(start), _number(end), steps)
    return _checked(_into(tensor(values, dtype=_kind(dtype), device=device), out), requires_grad)


def eye(n: int, m: int | None = None, *, out: Any = None, **kwargs: Any) -> Any:
    """Ones on the diagonal, zeros elsewhere."""
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"n must be greater or equal to 0, got {min(n, n if m is None else m)}")
    dtype, device, requires_grad = _options(kwargs)
    made = zeros(n, n if m is None else m, dtype=dtype, device=device)
    if made.layout.numel:
        made.diagonal().fill_(1)
    made.storage.version = 0
    return _checked(_into(made, out), requires_grad)


def scalar_tensor(s: Any, **kwargs: Any) -> Any:
    """A 0-d tensor of the default dtype."""
    dtype, device, requires_grad = _options(kwargs)
    return _checked(full((), s, dtype=_kind(dtype), device=device), requires_grad)




FUNCTIONS.update(tensor=tensor, arange=arange, zeros=zeros)
CREATORS = {f.__name__: f for f in (tensor, as_tensor, asarray, from_numpy, frombuffer, empty, zeros, ones, full,
                                    empty_strided, arange, range, linspace, logspace, eye, scalar_tensor)}
