"""Making tensors: of one value, of a range, like others."""

from __future__ import annotations

import math
import operator as op
import warnings
from typing import Any, NamedTuple

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.dtypes import dtype as Dtype
from clgrad.errors import OutOfMemoryError
from clgrad.formats import check_layout, contiguous_format, format_strides, strided
from clgrad.from_data import (
    as_tensor,
    asarray,
    checked,
    from_dlpack,
    from_file,
    from_numpy,
    frombuffer,
    kind_of,
    place_of,
    tensor,
    to_dlpack,
)
from clgrad.ops import copying
from clgrad.ops.interception import intercepted
from clgrad.ops.registry import FUNCTIONS, operator, publish
from clgrad.ops.sparse import without_values
from clgrad.shapes import Shape, as_shape


def _size(size: tuple, kwargs: dict) -> Shape:
    return as_shape(kwargs.pop("size") if "size" in kwargs else size)


class Options(NamedTuple):
    """What the keywords of a creation function say."""

    dtype: Any
    device: Any
    requires_grad: bool
    memory_format: Any


_DEFAULTS = Options(None, None, False, None)


def _options(kwargs: dict) -> Options:
    """The options among keywords; ``pin_memory`` has no meaning here."""
    if not kwargs:
        return _DEFAULTS
    found = Options(kwargs.pop("dtype", None), kwargs.pop("device", None), kwargs.pop("requires_grad", False),
                    kwargs.pop("memory_format", None))
    check_layout(kwargs.pop("layout", None))
    kwargs.pop("pin_memory", None)
    if kwargs:
        raise TypeError(f"got an unexpected keyword argument '{next(iter(kwargs))}'")
    return found


def _made(values: np.ndarray, kind: Dtype, options: Options, out: Any) -> Any:
    """A tensor of computed values, or ``out``, in their shape unless it has as many elements, filled with them."""
    if kind.numpy == values.dtype:
        made = copying.from_array(values, kind, place_of(options.device))
    else:
        made = tensor(values, dtype=kind, device=options.device)
    if out is None:
        return checked(made, options.requires_grad)
    if out.spec.numel != made.spec.numel:
        out.resize_(made.spec.shape)
    return out.copy_(made.view(out.spec.shape))


def _kind_with(out: Any, options: Options, default: Dtype | None = None) -> Dtype:
    """The dtype of a result: the one asked for, else that of ``out``. RuntimeError where both are given and differ."""
    if out is None:
        return kind_of(options.dtype, default)
    own = out.spec.dtype
    if options.dtype is not None and options.dtype is not own:
        raise RuntimeError(f"dtype {dtypes.type_name(options.dtype)} does not match dtype of out parameter "
                           f"({dtypes.type_name(own)})")
    return own


def _filled(size: tuple, value: Any, out: Any, kwargs: dict, default: Dtype | None = None) -> Any:
    """A new tensor of one value (None: uninitialised), or ``out`` in that shape, filled."""
    if not size and "size" not in kwargs:
        raise TypeError("missing 1 required positional argument: \"size\"")
    shape = _size(size, kwargs)
    options = _options(kwargs)
    if out is not None:
        _kind_with(out, options)
        out.resize_(shape)
        return out if value is None else out.fill_(value)
    kind, place = kind_of(options.dtype, default), place_of(options.device)
    wanted = options.memory_format
    strides = None if wanted is None or wanted is contiguous_format else format_strides(shape, wanted)
    if value is None or strides is not None:
        made = copying.unwritten(shape, kind, place, strides)
        if value is not None:
            made.fill_(value)
            made.memory.version = 0
    else:
        made = copying.full(shape, value, kind, place)
    return checked(made, options.requires_grad)


def _sparse_zeros(size: tuple, out: Any, kwargs: dict) -> Any:
    """A tensor of the sparse layout that keywords name, without values; None where they name none.

    RuntimeError where ``out`` has another layout.
    """
    wanted = kwargs.get("layout")
    if out is not None and wanted is not None and wanted is not out.layout:
        raise RuntimeError(f"layout {wanted} does not match layout of out parameter ({out.layout})")
    if wanted is None or wanted is strided:
        return None
    shape, options = _size(size, kwargs), _options({**kwargs, "layout": None})
    return checked(without_values(shape, wanted, kind_of(options.dtype), place_of(options.device)), options.requires_grad)


def empty(*size: Any, out: Any = None, **kwargs: Any) -> Any:
    """An uninitialised tensor; of a sparse ``layout`` one without values."""
    sparse = _sparse_zeros(size, out, kwargs) if "layout" in kwargs else None
    return _filled(size, None, out, kwargs) if sparse is None else sparse


def zeros(*size: Any, out: Any = None, **kwargs: Any) -> Any:
    """A tensor of zeros; of a sparse ``layout`` one without values.

    >>> import clgrad
    >>> clgrad.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    sparse = _sparse_zeros(size, out, kwargs) if "layout" in kwargs else None
    return _filled(size, 0, out, kwargs) if sparse is None else sparse


def ones(*size: Any, out: Any = None, **kwargs: Any) -> Any:
    """A tensor of ones."""
    return _filled(size, 1, out, kwargs)


def full(size: Any, fill_value: Any, *, out: Any = None, **kwargs: Any) -> Any:
    """A tensor of one value; the dtype is that of the value unless one is named."""
    if isinstance(fill_value, TensorBase):
        fill_value = fill_value.item()
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    if not isinstance(fill_value, (bool, int, float, complex, np.generic)):
        raise TypeError(f"full(): argument 'fill_value' must be Number, not {type(fill_value).__name__}")
    return _filled((size,), fill_value, out, kwargs, dtypes.of_number(fill_value))


def empty_strided(size: Any, stride: Any, **kwargs: Any) -> Any:
    """An uninitialised tensor of given strides."""
    options, shape = _options(kwargs), as_shape(size)
    if len(shape) != len(stride):
        raise RuntimeError(f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides "
                           f"({len(stride)})")
    return checked(copying.unwritten(shape, kind_of(options.dtype), place_of(options.device), tuple(stride)),
                    options.requires_grad)


def empty_permuted(size: Any, physical_layout: Any, **kwargs: Any) -> Any:
    """An uninitialised dense tensor whose dimensions lie in memory in the order ``physical_layout``."""
    options, shape, order = _options(kwargs), as_shape(size), tuple(physical_layout)
    if len(order) != len(shape):
        raise RuntimeError(f"Number of dimensions in size does not match the length of the physical_layout; i.e. "
                           f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(order)}")
    if any(not 0 <= d < len(shape) for d in order):
        raise RuntimeError(f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got "
                           f"{next(d for d in order if not 0 <= d < len(shape))})")
    if len(set(order)) != len(order):
        raise RuntimeError("Duplicate dim not allowed")
    strides, step = [0] * len(shape), 1
    for dim in reversed(order):
        strides[dim] = step
        step *= max(shape[dim], 1)
    return checked(copying.unwritten(shape, kind_of(options.dtype), place_of(options.device), tuple(strides)),
                    options.requires_grad)


def _like(input: Any, kwargs: dict) -> tuple[Any, bool]:
    """An uninitialised tensor like another, with what keywords say otherwise; whether it is to require gradients."""
    if not isinstance(input, TensorBase):
        raise TypeError(f"argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    options, own = _options(kwargs), input.spec
    place: Any = own.device if options.device is None else place_of(options.device)
    return copying.empty_as(own, kind_of(options.dtype, own.dtype), place, options.memory_format), options.requires_grad


@operator("empty_like", method=False)
def empty_like(input: Any, **kwargs: Any) -> Any:
    """An uninitialised tensor of the same shape, and dtype and device unless others are named; of a sparse ``layout`` one
    without values."""
    made = _without_values_like(input, kwargs) if "layout" in kwargs else None
    return checked(*_like(input, kwargs)) if made is None else made


def _without_values_like(input: Any, kwargs: dict) -> Any:
    own = {"dtype": input.spec.dtype, "device": input.spec.device}
    given = {name: value for name, value in kwargs.items() if value is not None}
    return _sparse_zeros((input.spec.shape,), None, {**own, **given})


@operator("zeros_like", method=False)
def zeros_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
               memory_format: Any = None, layout: Any = None, pin_memory: bool = False) -> Any:
    """Zeros of the same shape, and dtype and device unless others are named; of a sparse ``layout`` one without values."""
    if layout is not None and layout is not strided:
        return _without_values_like(input, {"dtype": dtype, "device": device, "requires_grad": requires_grad,
                                            "layout": layout})
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad, memory_format=memory_format)


@operator("full_like", method=False)
def full_like(input: Any, fill_value: Any, **kwargs: Any) -> Any:
    """A tensor of one value of the same shape, and dtype and device unless others are named."""
    made, requires_grad = _like(input, kwargs)
    made.fill_(fill_value)
    made.memory.version = 0
    return checked(made, requires_grad)


@operator("ones_like", method=False)
def ones_like(input: Any, **kwargs: Any) -> Any:
    """Ones of the same shape, and dtype and device unless others are named."""
    return full_like(input, 1, **kwargs)


def _new(make: Any) -> Any:
    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        for name, own in (("dtype", x.spec.dtype), ("device", x.spec.device)):
            if kwargs.get(name) is None:
                kwargs[name] = own
        return make(*args, **kwargs)
    method.__doc__ = f"``{make.__name__}`` with this tensor's dtype and device unless others are named."
    return method


for _name, _make in {"new_empty": empty, "new_zeros": zeros, "new_ones": ones, "new_full": full,
                     "new_empty_strided": empty_strided}.items():
    publish(_new(_make), _name, function=False)


@operator("new_tensor", function=False)
def new_tensor(x: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
               layout: Any = None, pin_memory: bool = False) -> Any:
    """A tensor with a copy of ``data``, of this tensor's dtype and device unless others are named."""
    kind, place = x.spec.dtype if dtype is None else dtype, x.spec.device if device is None else device
    if isinstance(data, TensorBase):
        return checked(copying.to(data.detach(), place, kind, copy=True), requires_grad)
    return tensor(data, dtype=kind, device=place, requires_grad=requires_grad)


def arange(*args: Any, out: Any = None, **kwargs: Any) -> Any:
    """``arange(end)``, ``arange(start, end)``, ``arange(start, end, step)``: evenly spaced values, without the end.

    Integers give int64, floats the default dtype.

    >>> import clgrad
    >>> clgrad.arange(1, 6, 2)
    tensor([1, 3, 5])
    """
    names = ("start", "end", "step")
    named = {n: kwargs.pop(n) for n in names if n in kwargs}
    given = dict(zip(names if len(args) > 1 or named else ("end",), args, strict=False)) | named
    if len(given) != len(args) + len(named) or "end" not in given or "step" in given and "start" not in given:
        raise TypeError(f"arange() takes (end), (start, end) or (start, end, step), got {len(args)} and {list(named)}")
    options = _options(kwargs)
    start, end, step = _number(given.get("start", 0)), _number(given["end"]), _number(given.get("step", 1))
    floating = isinstance(start, float) or isinstance(end, float) or isinstance(step, float)
    kind = _kind_with(out, options, dtypes.get_default_dtype() if floating else dtypes.int64)
    _no_bool("arange", kind)
    if floating and not kind.is_floating_point and all(math.isfinite(v) for v in (start, end, step)):
        if step and not int(step) and kind is dtypes.int64:
            raise ValueError(f"step must be nonzero: {step} is 0 as {kind.name}")
        if int(step):  # numbers become integers first, as in PyTorch, and how many there are is said before that
            count = None if kind is dtypes.int64 else math.ceil((end - start) / step)
            start, end, step, floating = int(start), int(end), int(step), False
            if count is not None and count >= 0:
                end = start + count * step
    values = _progression(start, end, step, floating)
    if out is not None and 0 != out.spec.numel != values.size:
        warnings.warn(f"The number of elements in the out tensor of shape {list(out.spec.shape)} is {out.spec.numel} "
                      f"which does not match the computed number of elements {values.size}. Note that this may occur as a "
                      f"result of rounding error. The out tensor will be resized to a tensor of shape ({values.size},).",
                      UserWarning, stacklevel=3)
    return _made(values, kind, options, out)


def _no_bool(name: str, kind: Dtype) -> None:
    if kind is dtypes.bool:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")


def _counted(name: str, count: int, kind: Any) -> np.ndarray:
    """The numbers from 0 below ``count``; OutOfMemoryError where there are too many."""
    try:
        return np.arange(count, dtype=kind)
    except MemoryError as error:
        raise OutOfMemoryError(f"{name}: out of memory: {count:,} numbers of {np.dtype(kind).itemsize} bytes") from error


def _progression(start: Any, end: Any, step: Any, floating: bool) -> np.ndarray:
    _check_numbers("arange", start=start, end=end, step=step)
    if any(isinstance(value, complex) for value in (start, end, step)):
        raise RuntimeError("arange(): value cannot be converted to type double without overflow: it is complex")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if floating and not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = math.ceil((end - start) / step) if floating else -(-(end - start) // step)
    if count >= 1 << 63:
        raise RuntimeError("invalid size, possible overflow?")
    values = _counted("arange", count, np.float64 if floating else np.int64)
    return values if start == 0 and step == 1 else start + step * values


def range(start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, **kwargs: Any) -> Any:
    """Like :func:`arange` with the end included. Deprecated, as in PyTorch."""
    warnings.warn("torch.range is deprecated and will be removed in a future release because its behavior is "
                  "inconsistent with Python's range builtin. Instead, use torch.arange, which produces values in "
                  "[start, end).", UserWarning, stacklevel=3)
    if end is None:
        raise TypeError("range() missing required argument 'end'")
    options = _options(kwargs)
    kind = _kind_with(out, options)
    start, end, step = _number(start), _number(end), _number(step)
    _progression(start, end, step, True)
    count = math.floor((end - start) / step) + 1
    values = start + step * _counted("range", count, np.float64)
    return _made(values, kind, options, out)


_NUMBERS = (int, float, complex, np.number)


def _check_numbers(name: str, **given: Any) -> None:
    """TypeError where an argument is no number."""
    for argument, value in given.items():
        if not isinstance(value, _NUMBERS):
            raise TypeError(f"{name}(): argument '{argument}' must be Number, not {type(value).__name__}")


def _number(value: Any) -> Any:
    if value.__class__ is int:
        return value
    return value.item() if isinstance(value, (TensorBase, np.generic)) else value


def _kind_between(name: str, out: Any, options: Options, *ends: Any) -> Dtype:
    """The dtype of numbers from one to the other of two ends: the default, or its complex numbers."""
    default = dtypes.get_default_dtype()
    pairs = any(v.spec.dtype.is_complex if isinstance(v, TensorBase) else isinstance(v, complex) for v in ends)
    kind = _kind_with(out, options, default.to_complex() if pairs else default)
    if pairs and not kind.is_complex:
        raise RuntimeError(f"torch.{name}(): inferred dtype {default.to_complex()} can't be safely cast to passed dtype "
                           f"{dtypes.type_name(kind)}")
    return kind


def linspace(start: Any, end: Any, steps: int, *, out: Any = None, **kwargs: Any) -> Any:
    """``steps`` evenly spaced values from ``start`` to ``end``, both included."""
    options = _options(kwargs)
    kind = _kind_between("linspace", out, options, start, end)
    _no_bool("linspace", kind)
    values = _linear("linspace", start, end, steps, kind)
    for limit in (start, end):
        kind.to_numpy_scalar(_number(limit))
    return _made(values, kind, options, out)


def _linear(name: str, start: Any, end: Any, steps: int, kind: Dtype) -> np.ndarray:
    """From both ends, of the dtype ``kind``, towards the middle, as PyTorch does, so that the values are symmetric."""
    if any(isinstance(v, TensorBase) and v.spec.ndim for v in (start, end)):
        raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors")
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        got = ", ".join(type(v).__name__ for v in (start, end, steps))
        raise TypeError(f"{name}() received an invalid combination of arguments - got ({got}), but expected int steps")
    steps = int(steps)
    first, last = _number(start), _number(end)
    _check_numbers(name, start=first, end=last)
    if not kind.differentiable:
        first, last = kind.to_numpy_scalar(first), kind.to_numpy_scalar(last)
    number: Any = complex if kind.is_complex else float
    first, last = number(first), number(last)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    step = (last - first) / (steps - 1) if steps > 1 else 0.0
    index = _counted(name, steps, np.float64)
    return np.where(index < steps / 2, first + step * index, last - step * (steps - 1 - index))


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Any = None, **kwargs: Any) -> Any:
    """``base`` to the power of evenly spaced exponents."""
    options = _options(kwargs)
    kind = _kind_between("logspace", out, options, start, end)
    _no_bool("logspace", kind)
    values = base ** _linear("logspace", start, end, steps, kind)
    return _made(values, kind, options, out)


def eye(n: int, m: int | None = None, *, out: Any = None, **kwargs: Any) -> Any:
    """Ones on the diagonal, zeros elsewhere."""
    for name, size in (("n", n), ("m", 0 if m is None else m)):
        if not hasattr(size, "__index__"):
            raise TypeError(f"eye(): argument '{name}' must be int, not {type(size).__name__}")
        if op.index(size) < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    options = _options(kwargs)
    made = zeros(n, n if m is None else m, out=out, dtype=options.dtype, device=options.device)
    if made.spec.numel:
        made.diagonal().fill_(1)
    if out is None:
        made.memory.version = 0
    return checked(made, options.requires_grad) if out is None else out


def scalar_tensor(s: Any, **kwargs: Any) -> Any:
    """A 0-d tensor of the default dtype."""
    kind = kind_of(kwargs.get("dtype"))
    return full((), kind.rounded(s) if kind is not kind.compute else s, **{**kwargs, "dtype": kind})


FUNCTIONS.update(arange=arange, zeros=zeros)
CREATORS = {f.__name__: intercepted(f, f.__name__) for f in (
    tensor, as_tensor, asarray, from_numpy, frombuffer, from_file, from_dlpack, to_dlpack, empty, zeros, ones, full,
    empty_strided, empty_permuted, arange, range, linspace, logspace, eye, scalar_tensor)}
