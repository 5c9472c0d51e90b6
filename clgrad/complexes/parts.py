"""Rules of operators that do the same to real and imaginary parts: sums, choices, moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.complexes.rules import is_complex, joined, rule
from clgrad.dtypes import dtype, result_type
from clgrad.ops.arguments import called
from clgrad.ops.complexes import imag, of_pairs, real, view_as_real
from clgrad.ops.registry import METHODS
from clgrad.shapes import normalize_dim, normalize_dims

_VALUES = frozenset({"value", "fill_value", "src", "source"})  # arguments that may be numbers among the elements


def _real_part(name: str, value: Any) -> Any:
    if isinstance(value, complex) and name in _VALUES:
        return value.real
    if isinstance(value, dtype):
        return value.to_real()
    return real(value) if is_complex(value) else value


def _imaginary_part(name: str, value: Any) -> Any:
    if isinstance(value, (bool, int, float, complex)) and name in _VALUES:
        return value.imag
    if isinstance(value, dtype):
        return value.to_real()
    if isinstance(value, TensorBase) and value.spec.dtype.is_floating_point:
        return value.new_zeros(value.spec.shape)
    return imag(value) if is_complex(value) else value


@rule("trace", "gather", "index_select", "take", "take_along_dim", "roll", "tril", "triu", "diag",
      "diag_embed", "diagflat", "masked_select", "masked_scatter", "repeat_interleave", "pad", "constant_pad_nd",
      "scatter_add", "index_copy", "index_fill", "index_put", "put", "select_scatter", "slice_scatter",
      "diagonal_scatter", "im2col", "col2im", "nan_to_num")
def on_each(function: Callable, given: dict[str, Any]) -> Any:
    """The operator on the real and on the imaginary parts; what is real has the imaginary part 0."""
    if not any(is_complex(value) for value in given.values()):  # a complex number for a real tensor
        return NotImplemented
    return joined(called(function, {name: _real_part(name, value) for name, value in given.items()}),
                  called(function, {name: _imaginary_part(name, value) for name, value in given.items()}))


@rule("cumsum")
def _cumsum(function: Callable, given: dict[str, Any]) -> Any:
    """As before, where complex sums are wanted."""
    kind = given["dtype"]
    return NotImplemented if kind is not None and not kind.is_complex else on_each(function, given)


@rule("sum_to_size")
def _sum_to_size(function: Callable, given: dict[str, Any]) -> Any:
    """As before, or the tensor itself."""
    x = next(iter(given.values()))
    summed = called(function, {name: _real_part(name, value) for name, value in given.items()})
    return x if summed.spec.shape == x.spec.shape else on_each(function, given)


@rule("fill_diagonal_")
def _fill_diagonal(function: Callable, given: dict[str, Any]) -> Any:
    target, value, *wrap = given.values()
    function(real(target), value.real, *wrap)
    function(imag(target), value.imag, *wrap)
    return target


@rule("sum", "mean")
def _sum(function: Callable, given: dict[str, Any]) -> Any:
    """Of the pairs, along all dimensions but theirs."""
    x, kind = given["input"], given["dtype"]
    if kind is not None and not kind.is_complex or not is_complex(x):
        return NotImplemented
    dims = normalize_dims(None if given["dim"] in ((), []) else given["dim"], x.spec.ndim)
    pairs = view_as_real(x)
    return of_pairs(function(pairs, dims, given["keepdim"], dtype=kind and kind.to_real()) if dims else pairs.clone())


@rule("cat", "stack")
def _put_together(function: Callable, given: dict[str, Any]) -> Any:
    tensors = list(given["tensors"])
    kind = result_type([t.spec.dtype for t in tensors])
    if not kind.is_complex:
        return NotImplemented
    stacked = function.__name__ == "stack"
    joining = [t for t in tensors if stacked or t.spec.shape != (0,)] or tensors  # such may be beside tensors of any shape
    dim = normalize_dim(given["dim"], joining[0].spec.ndim + stacked)
    return of_pairs(function([view_as_real(t.to(kind)) for t in joining], dim))


def _chooses(index: Any) -> bool:
    """Whether an index asks for elements one by one."""
    items = index if isinstance(index, tuple) else (index,)
    return any(isinstance(item, (TensorBase, list)) or hasattr(item, "__array__") for item in items)


@rule("__getitem__")
def _get_item(function: Callable, given: dict[str, Any]) -> Any:
    x, index = given.values()
    if not is_complex(x) or not _chooses(index):
        return NotImplemented
    return joined(function(real(x), index), function(imag(x), index))


@rule("__setitem__")
def _set_item(function: Callable, given: dict[str, Any]) -> Any:
    x, index, value = given.values()
    if not is_complex(x) or not isinstance(value, (TensorBase, bool, int, float, complex)):
        return NotImplemented
    if isinstance(value, TensorBase):
        value = value.to(x.spec.dtype)
    function(real(x), index, value.real)
    function(imag(x), index, value.imag)
    return x


@rule("fill_")
def _fill(function: Callable, given: dict[str, Any]) -> Any:
    x, value = given.values()
    if not is_complex(x):
        return NotImplemented
    METHODS["copy_"](x, value)
    return x
