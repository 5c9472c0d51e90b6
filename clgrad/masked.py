"""``clgrad.masked``: reductions and normalisations of the elements that a boolean mask marks, as ``torch.masked``.

A mask is broadcast to the tensor that it belongs to; where it is False, the element does not count. Every function takes it
as ``mask``, and ``dtype`` for the result's dtype. What stands in a result where no element counts is the reduction's
identity (0 for a sum, -inf for a largest value), or NaN where there is none.

>>> import clgrad
>>> x = clgrad.tensor([[1., 2., 3.], [4., 5., 6.]])
>>> mask = clgrad.tensor([[True, False, True], [False, False, False]])
>>> clgrad.masked.sum(x, 1, mask=mask)
tensor([4., 0.])
>>> clgrad.masked.mean(x, 1, mask=mask)
tensor([2., nan])

Tensors are dense: there is no ``MaskedTensor``.
"""

import math
from collections.abc import Callable
from typing import Any

from clgrad.dtypes import bool as _mask_dtype
from clgrad.dtypes import dtype as Dtype
from clgrad.dtypes import float32
from clgrad.info import iinfo
from clgrad.linalg import vector_norm
from clgrad.ops.copying import full
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import Shape, normalize_dim, normalize_dims

__all__ = ["amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean",
           "median", "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var"]


# Masks.

def _number(value: float) -> Callable[[Dtype], float]:
    return lambda dtype: value


def _lowest(dtype: Dtype) -> float:
    return -math.inf if dtype.differentiable else iinfo(dtype).min


def _highest(dtype: Dtype) -> float:
    return math.inf if dtype.differentiable else iinfo(dtype).max


def _broadcast(input: Any, mask: Any) -> Any:
    """A mask in the shape of the tensor that it belongs to."""
    if mask.ndim > input.ndim:
        raise IndexError(f"masked: expected a mask that can be broadcast to its tensor of {input.ndim} dimensions, but got "
                         f"one of {mask.ndim} dimensions")
    return FUNCTIONS["broadcast_to"](mask, input.shape).to(_mask_dtype)


def _filled(name: str, input: Any, mask: Any, identity: Callable[[Dtype], float]) -> Any:
    """The tensor with the identity where elements do not count."""
    if mask is None:
        return input
    if identity in (_lowest, _highest) and input.dtype is _mask_dtype:
        raise NotImplementedError(f"masked.{name}: there is no identity of {name} for a bool input")
    return FUNCTIONS["where"](_broadcast(input, mask), input, full((), identity(input.dtype), input.dtype, input.device))


def _dims(input: Any, dim: Any) -> Shape:
    """The dimensions that are reduced: all of them where none is named."""
    return normalize_dims(None if dim is None or dim == () else dim, input.ndim)


# Reductions, and functions along a dimension, of a tensor whose masked elements are the identity.

def _reduction(name: str, identity: Callable[[Dtype], float], reduce: Callable, text: str) -> Callable:
    def reduction(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Dtype | None = None,
                  mask: Any = None) -> Any:
        return reduce(_filled(name, input, mask, identity), dim, bool(keepdim), dtype)
    return _told(reduction, name, f"{text} of the elements that count, over all dimensions, or those named by ``dim``.")


def _along(name: str, identity: Callable[[Dtype], float], function: Callable, text: str) -> Callable:
    def along(input: Any, dim: int, *, dtype: Dtype | None = None, mask: Any = None) -> Any:
        axis = normalize_dim(dim, input.ndim)
        return function(_filled(name, input, mask, identity), axis, dtype=dtype or input.dtype)
    return _told(along, name, f"{text} along a dimension.")


def _told(function: Callable, name: str, text: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


def _total(x: Any, dim: Any, keepdim: bool, dtype: Dtype | None) -> Any:
    return FUNCTIONS["sum"](x, _dims(x, dim), keepdim, dtype=dtype)


def _product(x: Any, dim: Any, keepdim: bool, dtype: Dtype | None) -> Any:
    y = x if dtype is None else x.to(dtype)
    for axis in reversed(_dims(x, dim)):
        y = y.prod(axis, keepdim)
    return y if dtype or x.dtype.differentiable else y.long()


def _cast_after(name: str, canonical: Callable[[Any, Any], Any] = _dims) -> Callable:
    """A reduction that knows no ``dtype``: its result has the input's, unless another is asked for."""
    function = FUNCTIONS[name]

    def reduce(x: Any, dim: Any, keepdim: bool, dtype: Dtype | None) -> Any:
        return function(x, canonical(x, dim), keepdim).to(dtype or x.dtype)
    return reduce


def _one_or_none(x: Any, dim: Any) -> Any:
    return dim


def _softmin(x: Any, dim: int, *, dtype: Dtype) -> Any:
    return FUNCTIONS["softmax"](-x, dim, dtype=dtype)


sum = _reduction("sum", _number(0), _total, "The sum")
prod = _reduction("prod", _number(1), _product, "The product")
amax = _reduction("amax", _lowest, _cast_after("amax"), "The largest")
amin = _reduction("amin", _highest, _cast_after("amin"), "The smallest")
argmax = _reduction("argmax", _lowest, _cast_after("argmax", _one_or_none), "The place of the largest")
argmin = _reduction("argmin", _highest, _cast_after("argmin", _one_or_none), "The place of the smallest")
logsumexp = _reduction("logsumexp", _lowest, _cast_after("logsumexp"), "The logarithm of the sum of exponentials")
cumsum = _along("cumsum", _number(0), FUNCTIONS["cumsum"], "The sums of the elements that count up to each,")
cumprod = _along("cumprod", _number(1), FUNCTIONS["cumprod"], "The products of the elements that count up to each,")
softmax = _along("softmax", _lowest, FUNCTIONS["softmax"], "Softmax of the elements that count")
log_softmax = _along("log_softmax", _lowest, FUNCTIONS["log_softmax"], "The logarithm of softmax of the elements that count")
softmin = _along("softmin", _highest, _softmin, "Softmax of the negated elements that count")


# Statistics need to know how many elements count.

def _count(input: Any, dims: Shape, keepdim: bool, mask: Any) -> Any:
    return math.prod(input.shape[d] for d in dims) if mask is None else _broadcast(input, mask).sum(dims, keepdim)


def mean(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Dtype | None = None, mask: Any = None) -> Any:
    """The mean of the elements that count; NaN where there are none."""
    kind = dtype or input.dtype
    if not kind.differentiable:
        raise ValueError(f"masked.mean: expected a floating point dtype of the input or as dtype, but got {kind}")
    dims = _dims(input, dim)
    return sum(input, dims, keepdim=keepdim, dtype=kind, mask=mask) / _count(input, dims, bool(keepdim), mask)


def _variance(input: Any, dim: Any, unbiased: bool | None, correction: float | None, keepdim: bool | None,
              dtype: Dtype | None, mask: Any) -> Any:
    if unbiased is not None and correction is not None:
        raise AssertionError("masked: expected one of unbiased and correction, but got both")
    lost = float(correction if correction is not None else unbiased is not False)
    kind = dtype or (input.dtype if input.dtype.differentiable else float32)
    computed = kind if kind.differentiable else float32
    dims = _dims(input, dim)
    centred = input - sum(input, dims, keepdim=True, dtype=kind, mask=mask) / _count(input, dims, True, mask)
    total = sum(centred * centred.conj(), dims, keepdim=keepdim, dtype=computed, mask=mask)
    count = _count(input, dims, bool(keepdim), mask)
    divisor = max(count - lost, 0) if mask is None else (count.to(computed) - lost).clamp(min=0)
    return (total / divisor).to(kind)


def var(input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool | None = False, dtype: Dtype | None = None, mask: Any = None) -> Any:
    """The variance of the elements that count, divided by their number less ``correction`` (1, unless given)."""
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask)


def std(input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None,
        keepdim: bool | None = False, dtype: Dtype | None = None, mask: Any = None) -> Any:
    """The square root of :func:`var`."""
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask).sqrt()


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Dtype | None = None, mask: Any = None) -> Any:
    """The median (the lower of two) of the elements that count; NaN where there are none.

    Raises:
        ValueError: no element counts, and integers have no NaN.
    """
    exact = input.dtype.is_floating_point
    x = input if exact else input.to(float32)
    axis = normalize_dim(dim, input.ndim)
    found = FUNCTIONS["nanmedian"](_filled("median", x, mask, _number(math.nan)), axis, keepdim).values
    if exact:
        return found
    if found.isnan().any():
        raise ValueError(f"masked.median: expected an element that counts in every row of an input of dtype {input.dtype}")
    return found.to(dtype or input.dtype)


# Norms, and sums of exponentials of two tensors.

def norm(input: Any, ord: float = 2.0, dim: Any = None, *, keepdim: bool | None = False, dtype: Dtype | None = None,
         mask: Any = None) -> Any:
    """The norm of order ``ord`` of the elements that count, see :func:`clgrad.linalg.vector_norm`."""
    x = _filled("norm", input, mask, _number(math.inf if ord == -math.inf else 0))
    return vector_norm(x, ord, _dims(input, dim), bool(keepdim), dtype=dtype or input.dtype)


def normalize(input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Dtype | None = None, mask: Any = None) -> Any:
    """The elements that count divided by their norm along a dimension, which is at least ``eps``; the others are 0."""
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _filled("normalize", input, mask, _number(0)) / FUNCTIONS["maximum"](length, length.new_full((), eps))


def logaddexp(input: Any, other: Any, *, dtype: Dtype | None = None, input_mask: Any = None, other_mask: Any = None) -> Any:
    """log(exp(input) + exp(other)), where an element that its mask does not mark is -inf."""
    a, b = _filled("logaddexp", input, input_mask, _lowest), _filled("logaddexp", other, other_mask, _lowest)
    return FUNCTIONS["logaddexp"](a, b).to(dtype or input.dtype)
