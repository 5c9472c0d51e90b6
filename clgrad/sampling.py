"""Making random tensors: ``rand``, ``randn``, ``randint``, ``randperm`` and their relatives."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.creation import empty, place_of
from clgrad.ops import random
from clgrad.ops.interception import intercepted
from clgrad.ops.registry import FUNCTIONS, operator


def _filled(size: tuple, kwargs: dict, kind: str, a: float, b: float) -> Any:
    generator = kwargs.pop("generator", None)
    requires_grad = kwargs.pop("requires_grad", False)
    out = kwargs.pop("out", None)
    if out is not None and kwargs.get("dtype") not in (None, out.layout.dtype):
        raise RuntimeError(f"dtype {kwargs['dtype']} does not match dtype of out parameter ({out.layout.dtype})")
    size = (kwargs.pop("size"),) if "size" in kwargs else size
    made = empty(*size, **kwargs) if out is None else out.resize_(*size)
    if kind != "INTEGER" and not made.layout.dtype.is_floating_point:
        raise NotImplementedError(f"random numbers are not implemented for '{made.layout.dtype.name}'")
    random.fill_random(made, kind, a, b, generator)
    return made.requires_grad_() if requires_grad else made


def rand(*size: Any, **kwargs: Any) -> Any:
    """Numbers uniformly distributed over [0, 1).

    >>> import clgrad
    >>> bool((clgrad.rand(100) < 1).all())
    True
    """
    return _filled(size, kwargs, "UNIFORM", 0, 1)


def randn(*size: Any, **kwargs: Any) -> Any:
    """Numbers of the standard normal distribution."""
    return _filled(size, kwargs, "NORMAL", 0, 1)


def randint(*args: Any, **kwargs: Any) -> Any:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers from [low, high)."""
    given = list(args)
    if "size" not in kwargs and (not given or isinstance(given[-1], int)):
        raise TypeError("randint() received an invalid combination of arguments: expected (high, size) or (low, high, size)")
    size = kwargs.pop("size") if "size" in kwargs else given.pop()
    low = kwargs.pop("low", None)
    high = kwargs.pop("high", None)
    if high is None:
        high = given.pop()
    if low is None:
        low = given.pop() if given else 0
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    out = kwargs.get("out")
    kind = kwargs["dtype"] = kwargs.get("dtype") or (dtypes.int64 if out is None else out.layout.dtype)
    if not kind.is_floating_point and kind is not dtypes.bool:
        limits = FUNCTIONS["iinfo"](kind)
        if low < limits.min or high - 1 > limits.max:
            raise RuntimeError(f"randint(): from {low} to {high} - 1 is out of bounds for {kind.name}")
    return _filled((tuple(size),), kwargs, "INTEGER", low, high - low)


def randperm(n: int, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
             layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """The integers below ``n`` in random order."""
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    kind = dtype or (dtypes.int64 if out is None else out.layout.dtype)
    if n > random.exact_integers(kind) + 1:
        raise RuntimeError(f"n is too large for result tensor type: {kind} holds {random.exact_integers(kind)} at most")
    return _result(random.permutation(n, generator, place_of(device)).to(kind), out, requires_grad)


def _result(made: Any, out: Any, requires_grad: bool) -> Any:
    if out is not None:
        return out.resize_(made.layout.shape).copy_(made)
    return made.requires_grad_() if requires_grad else made


@operator("rand_like", method=False)
def rand_like(input: Any, **kwargs: Any) -> Any:
    """:func:`rand` of the same shape, dtype and device."""
    return rand(input.layout.shape, **_like(input, kwargs))


@operator("randn_like", method=False)
def randn_like(input: Any, **kwargs: Any) -> Any:
    """:func:`randn` of the same shape, dtype and device."""
    return randn(input.layout.shape, **_like(input, kwargs))


@operator("randint_like", method=False)
def randint_like(input: Any, *args: Any, **kwargs: Any) -> Any:
    """:func:`randint` of the same shape, dtype and device."""
    return randint(*args, size=tuple(input.layout.shape), **_like(input, kwargs))


def _like(input: Any, kwargs: dict) -> dict:
    kwargs.pop("memory_format", None)
    kwargs["dtype"] = kwargs.get("dtype") or input.layout.dtype
    kwargs["device"] = kwargs.get("device") or input.layout.device
    return kwargs


CREATORS = {f.__name__: intercepted(f, f.__name__) for f in (rand, randn, randint, randperm)}
