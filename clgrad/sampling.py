"""Making random tensors: ``rand``, ``randn``, ``randint``, ``randperm`` and their relatives."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import wrap
from clgrad.creation import empty, place_of
from clgrad.formats import format_strides, preserve_format
from clgrad.ops import random
from clgrad.ops.interception import intercepted
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.ops.rows import result_strides
from clgrad.spec import spec


def _filled(size: tuple, kwargs: dict, kind: str, a: float, b: float) -> Any:
    generator = kwargs.pop("generator", None)
    requires_grad = kwargs.pop("requires_grad", False)
    out = kwargs.pop("out", None)
    if out is not None and kwargs.get("dtype") not in (None, out.spec.dtype):
        raise RuntimeError(f"dtype {kwargs['dtype']} does not match dtype of out parameter ({out.spec.dtype})")
    size = (kwargs.pop("size"),) if "size" in kwargs else size
    made = empty(*size, **kwargs) if out is None else out.resize_(*size)
    if kind != "INTEGER" and not made.spec.dtype.differentiable:
        raise NotImplementedError(f"random numbers are not implemented for '{made.spec.dtype.name}'")
    fill = random.fill_new if out is None else random.fill_random
    fill(made, kind, a, b, generator)
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
    kind = kwargs["dtype"] = kwargs.get("dtype") or (dtypes.int64 if out is None else out.spec.dtype)
    if kind.is_complex:
        raise RuntimeError(f"randint(): argument 'dtype' must be integral, floating-point or bool, but got {kind}")
    if not kind.is_floating_point:
        limits = FUNCTIONS["iinfo"](kind) if kind is not dtypes.bool else None
        least, most = (limits.min, limits.max) if limits else (0, 1)
        if low < least or high - 1 > most:
            raise RuntimeError(f"randint(): from {low} to {high} - 1 is out of bounds for {kind.name}")
    return _filled((tuple(size),), kwargs, "INTEGER", low, high - low)


def randperm(n: int, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
             layout: Any = None, pin_memory: bool = False, out: Any = None) -> Any:
    """The integers below ``n`` in random order."""
    n = index(n)
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    kind = dtype or (dtypes.int64 if out is None else out.spec.dtype)
    if n > random.exact_integers(kind) + 1:
        raise RuntimeError(f"n is too large for result tensor type: {kind} holds {random.exact_integers(kind)} at most")
    return _result(random.permutation(n, generator, place_of(device)).to(kind), out, requires_grad)


def _result(made: Any, out: Any, requires_grad: bool) -> Any:
    if out is not None:
        return out.resize_(made.spec.shape).copy_(made)
    return made.requires_grad_() if requires_grad else made


@operator("rand_like", method=False)
def rand_like(input: Any, **kwargs: Any) -> Any:
    """:func:`rand` of the same shape, dtype and device, its dimensions in memory as there or as a format says."""
    return _like(rand, input, (), kwargs)


@operator("randn_like", method=False)
def randn_like(input: Any, **kwargs: Any) -> Any:
    """:func:`randn` of the same shape, dtype and device, its dimensions in memory as there or as a format says."""
    return _like(randn, input, (), kwargs)


@operator("randint_like", method=False)
def randint_like(input: Any, *args: Any, **kwargs: Any) -> Any:
    """:func:`randint` of the same shape, dtype and device, its dimensions in memory as there or as a format says."""
    return _like(randint, input, args, kwargs)


def _like(make: Callable, input: Any, args: tuple, kwargs: dict) -> Any:
    own, memory_format = input.spec, kwargs.pop("memory_format", None)
    requires_grad = kwargs.pop("requires_grad", False)
    kind, place = kwargs.pop("dtype", None) or own.dtype, kwargs.pop("device", None) or own.device
    made = make(*args, size=tuple(own.shape), dtype=kind, device=place, **kwargs)
    if memory_format is None or memory_format is preserve_format:
        strides = result_strides(own.shape, [own])
    else:
        strides = format_strides(own.shape, memory_format)
    if strides != made.spec.strides:  # numbers have no order: the memory is seen in the other one
        made = wrap(made.memory, 0, spec(own.shape, strides, kind, made.spec.device))
    return made.requires_grad_() if requires_grad else made


CREATORS = {f.__name__: intercepted(f, f.__name__) for f in (rand, randn, randint, randperm)}
