"""Tensors that stand for others: instances of classes with a ``__torch_dispatch__``, made by ``_make_wrapper_subclass``.

Such a tensor has a shape, a dtype and a device, and no memory. PyTorch asks its class for the operators that its dispatcher
knows, by objects such as ``torch.ops.aten.add.Tensor``; a call of a public operator becomes calls of those here. Most are one
operator of the same name, its arguments by position as far as they have one. What consists of several is taken apart by the
rules of this module, or by the operator itself, which calls others (``OF_NO_MEMORY``).

Differences from PyTorch: gradients are recorded by the operators that a class calls on the tensors it stands for, not around
the class; and backward passes ask nobody.

>>> import clgrad
>>> class Doubled(clgrad.Tensor):
...     @staticmethod
...     def __new__(cls, inner):
...         made = clgrad.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype)
...         made.held = inner
...         return made
...     @classmethod
...     def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
...         return func(*[2 * x.held if isinstance(x, cls) else x for x in args], **(kwargs or {}))
>>> Doubled(clgrad.ones(2)) + 1
tensor([3., 3.])
"""

from __future__ import annotations

import inspect
import math
import operator
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.conversion import CASTS, TYPE_NAMES, parse_type
from clgrad.formats import contiguous_format, has_format
from clgrad.from_data import place_of
from clgrad.ops.copying import parse_to
from clgrad.ops.indexing import as_items, is_basic
from clgrad.ops.interception import OF_NO_MEMORY, overriding, stands, wrapper_rules
from clgrad.ops.overloads import Packet, aten
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.ops.views import sizes_of
from clgrad.shapes import infer_shape, normalize_dim, view_strides

# How a call is taken apart, by the operator's name; results come from :func:`ask` and from other operators.
_RULES: dict[str, Callable] = {}


def _rule(*names: str) -> Callable[[Callable], Callable]:
    def register(made: Callable) -> Callable:
        _RULES.update(dict.fromkeys(names, made))
        return made
    return register


# Operators whose second argument is a list, also of a single dimension.
_OF_DIMENSIONS = frozenset(("sum", "mean", "amax", "amin", "nansum", "logsumexp"))


def lower(public: Callable, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
    """A call of a public operator where an operand stands for others."""
    if name in _RULES:
        return _RULES[name](*args, **kwargs)
    if name in OF_NO_MEMORY:
        return function(*args, **kwargs)
    positional, named = _by_position(function, args, kwargs)
    if name in _OF_DIMENSIONS and len(positional) > 1 and isinstance(positional[1], int):
        positional = positional[0], [positional[1]], *positional[2:]
    packet = getattr(aten, name) if name in FUNCTIONS or name in METHODS else Packet(name, public)
    result = _answer(packet if named.get("out") is None else packet.out, positional, named)
    return args[0] if packet.mutates else result


wrapper_rules.append(lower)


def ask(name: str, *args: Any, **kwargs: Any) -> Any:
    """An operator of the dispatcher, on operands of which some may stand for others. ``name`` may end with an overload's."""
    packet, _, overload = name.partition(".")
    return _answer(getattr(getattr(aten, packet), overload or "default"), args, kwargs)


def _answer(packet: Packet, args: tuple, kwargs: dict) -> Any:
    found = overriding((*args, *kwargs.values()), stands)
    types = tuple([type(value) for value in found])
    for value in found:
        result = type(value).__torch_dispatch__(packet, types, args, kwargs)
        if result is not NotImplemented:
            return result
    if found:
        raise TypeError(f"Multiple dispatch failed for '{packet}'; all __torch_dispatch__ handlers returned NotImplemented: "
                        f"{', '.join(str(kind) for kind in types)}")
    return packet(*args, **kwargs)


_signature = cache(inspect.signature)


def _by_position(function: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments of a call as the dispatcher passes them: by position, without those that are as by default at the end,
    and by name those that have no position, unless as by default."""
    given = _signature(function).bind(*args, **kwargs).arguments
    positional: list[Any] = []
    needed = 0
    named: dict[str, Any] = {}
    for parameter in _signature(function).parameters.values():
        name, default = parameter.name, parameter.default
        if parameter.kind is parameter.VAR_POSITIONAL:
            several = given.get(name, ())
            if not positional or name == "old":  # all operands, or one that older programs wrote after a factor
                positional += several
                needed = len(positional)
                continue
            only = several[0] if len(several) == 1 else several
            positional.append(list(only) if isinstance(only, (tuple, list)) else [only] if isinstance(only, int) else only)
            needed = len(positional)
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update(given.get(name, {}))
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if name in given and given[name] is not default:
                named[name] = given[name]
        else:
            value = given.get(name, default)
            positional.append(value)
            if isinstance(value, TensorBase) or default is parameter.empty or value != default:
                needed = len(positional)
    return tuple(positional[:needed]), named


# Indexing.

@_rule("__getitem__")
def _get_item(x: Any, index: Any) -> Any:
    view, tensors = _indexed(x, index)
    if tensors:
        return ask("index", view, tensors)
    return ask("alias", x) if view is x else view


@_rule("__setitem__")
def _set_item(x: Any, index: Any, value: Any) -> None:
    view, tensors = _indexed(x, index)
    new = value if isinstance(value, TensorBase) else FUNCTIONS["tensor"](value, dtype=x.spec.dtype, device=x.spec.device)
    if tensors:
        ask("index_put_", view, tensors, new)
    else:
        ask("copy_", view, new)


def _indexed(x: Any, index: Any) -> tuple[Any, list]:
    """One view after the other, and the tensors of indices that are left, by dimensions of the last view."""
    items = [item if isinstance(item, (bool, TensorBase)) or is_basic(item) else FUNCTIONS["tensor"](item)
             for item in as_items(index)]
    rest = x.spec.ndim - sum(_span(item) for item in items)
    if rest < 0:
        raise IndexError(f"too many indices for tensor of dimension {x.spec.ndim}")
    dim, tensors, made = 0, {}, x
    for item in items:
        if item is None:
            made = ask("unsqueeze", made, dim)
            dim += 1
        elif item is Ellipsis:
            dim += rest
        elif isinstance(item, slice):
            if item != slice(None):
                step = () if item.step in (None, 1) else (item.step,)
                end = sys.maxsize if item.stop is None else operator.index(item.stop)
                made = ask("slice", made, dim, 0 if item.start is None else operator.index(item.start), end, *step)
            dim += 1
        elif isinstance(item, bool):
            made, tensors[dim] = ask("unsqueeze", made, dim), FUNCTIONS["tensor"]([item])
            dim += 1
        elif is_basic(item):
            made = ask("select", made, dim, operator.index(item))
        else:
            tensors[dim] = item
            dim += max(_span(item), 1)
    return made, [tensors.get(d) for d in range(max(tensors) + 1)] if tensors else []


def _span(item: Any) -> int:
    """How many dimensions an item takes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.spec.ndim if isinstance(item, TensorBase) and item.spec.dtype in (dtypes.bool, dtypes.uint8) else 1


@_rule("narrow")
def _narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    begin, size = int(start), input.spec.shape[dim]
    if not (0 <= length <= size and -size <= begin <= size) or begin % max(size, 1) + length > size and begin != size:
        raise RuntimeError(f"start ({begin}) + length ({length}) exceeds dimension size ({size}).")
    begin = begin + size if begin < 0 else begin
    return ask("slice", input, dim, begin, begin + length)


@_rule("reshape")
def _reshape(input: Any, *shape: Any) -> Any:
    return _shaped(input, sizes_of(shape))


def _shaped(x: Any, shape: Any) -> Any:
    """A view where that can be had, else a copy."""
    own = x.spec
    made = infer_shape(shape, own.numel)
    if view_strides(own.shape, own.strides, made) is not None:
        return ask("view", x, list(made))
    return ask("_unsafe_view", ask("clone", x, memory_format=contiguous_format), list(made))


@_rule("reshape_as")
def _reshape_as(input: Any, other: Any) -> Any:
    return _shaped(input, other.spec.shape)


@_rule("view_as")
def _view_as(input: Any, other: Any) -> Any:
    return ask("view", input, list(other.spec.shape))


@_rule("flatten")
def _flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    own = input.spec
    start, end = normalize_dim(start_dim, own.ndim), normalize_dim(end_dim, own.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if own.ndim and start == end:
        return input
    return _shaped(input, (*own.shape[:start], math.prod(own.shape[start:end + 1]), *own.shape[end + 1:]))


@_rule("chunk")
def _chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = max(1, -(-input.spec.shape[dim] // chunks))
    return ask("split", input, size, *(() if dim == 0 else (dim,)))


# Copies and conversions.

def _converted(x: Any, place: Any, kind: Any, again: bool = False, **options: Any) -> Any:
    if place is not None and place != x.spec.device:
        options["device"] = place
    if kind is not None and kind is not x.spec.dtype:
        options["dtype"] = kind
    return ask("_to_copy", x, **options) if options or again else x


@_rule("to")
def _to(x: Any, *args: Any, **kwargs: Any) -> Any:
    place, kind, again, form = parse_to(args, kwargs)
    return _converted(x, place, kind, again, **({} if form is None else {"memory_format": form}))


def _cast(kind: dtypes.dtype) -> Callable:
    return lambda x, memory_format=None: _converted(x, None, kind)


_RULES.update({name: _cast(kind) for name, kind in CASTS.items()})


@_rule("cpu")
def _cpu(x: Any, memory_format: Any = None) -> Any:
    return _converted(x, place_of("cpu"), None)


@_rule("cuda")
def _cuda(x: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
    return _converted(x, place_of("cuda" if device is None else device), None)


@_rule("type_as")
def _type_as(x: Any, other: Any) -> Any:
    own, like = x.spec, other.spec
    if (own.dtype, own.device) == (like.dtype, like.device):
        return x
    return ask("_to_copy", x, dtype=like.dtype, layout=like.layout, device=like.device)


@_rule("type")
def _type(x: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    if dtype is None:
        return f"torch.{TYPE_NAMES[x.spec.dtype]}"
    return _converted(x, None, parse_type(dtype)[0] if isinstance(dtype, str) else dtypes.as_dtype(dtype))


@_rule("data")
def _data(x: Any) -> Any:
    return ask("detach", x)


@_rule("contiguous")
def _contiguous(input: Any, memory_format: Any = None) -> Any:
    wanted = contiguous_format if memory_format is None else memory_format
    own = input.spec
    return input if has_format(own.shape, own.strides, wanted) else ask("clone", input, memory_format=wanted)


# Numbers.

@_rule("item", "__bool__", "__int__", "__float__", "__index__", "__complex__")
def _item(x: Any) -> Any:
    if x.spec.numel != 1:
        raise RuntimeError(f"a Tensor with {x.spec.numel} elements cannot be converted to Scalar")
    return ask("_local_scalar_dense", x)


def _refused(message: str) -> Callable:
    def refuse(x: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(message.format(type(x).__name__))
    return refuse


_RULES["tolist"] = _refused(".tolist() is not supported for tensor subclasses, got {}")
_RULES["numpy"] = _RULES["__array__"] = _refused(".numpy() is not supported for tensor subclasses.")


# Operators that have other names or another order of arguments there.

@_rule("embedding")
def _embedding(first: Any, second: Any, *args: Any, **kwargs: Any) -> Any:
    """``nn.functional`` has the indices first, ``torch`` the weights."""
    weight, indices = (second, first) if first.spec.dtype in dtypes.INTEGRAL else (first, second)
    return ask("embedding", weight, indices, *args, **kwargs)


def _normalised(name: str) -> Callable:
    def normalise(input: Any, dim: int, dtype: Any = None, _stacklevel: int = 3) -> Any:
        return ask(name, input if dtype is None else _converted(input, None, dtypes.as_dtype(dtype)), dim, False)
    return normalise


_RULES.update({name: _normalised(f"_{name}") for name in ("softmax", "log_softmax")})


# Operators whose overloads are told apart.

@_rule("sort")
def _sort(input: Any, dim: int = -1, descending: bool = False, stable: bool | None = None, out: Any = None) -> Any:
    order = {} if dim == -1 else {"dim": dim}
    order |= {"descending": True} if descending else {}
    if out is not None:
        return ask("sort.out", input, **order, **({} if stable is None else {"stable": stable}), out=out)
    if stable is not None:
        return ask("sort.stable", input, stable=stable, **order)
    return ask("sort", input, *((dim, True) if descending else order.values()))


@_rule("squeeze")
def _squeeze(input: Any, dim: Any = None) -> Any:
    if dim is None:
        return ask("squeeze", input)
    return ask("squeeze.dims", input, list(dim)) if isinstance(dim, (tuple, list)) else ask("squeeze.dim", input, dim)


# Products.

@_rule("matmul", "__matmul__")
def _matmul(input: Any, other: Any) -> Any:
    """As products of matrices, or of batches of them."""
    left, right = input.spec.ndim, other.spec.ndim
    if max(left, right) <= 2 or (left, right) == (3, 3) and input.spec.shape[0] == other.spec.shape[0]:
        name = {(2, 2): "mm", (2, 1): "mv", (1, 1): "dot", (3, 3): "bmm"}.get((left, right))
        if name is None and min(left, right) > 0:  # a vector and a matrix
            return ask("squeeze.dim", ask("mm", ask("unsqueeze", input, 0), other), 0)
        return ask(name or "matmul", input, other)
    if left > 2 >= right > 0:
        shape = input.spec.shape[:-1]
        rows = _shaped(input, (math.prod(shape), input.spec.shape[-1]))
        if right == 1:
            return ask("_unsafe_view", ask("mv", rows, other), list(shape))
        return ask("_unsafe_view", ask("mm", rows, other), [*shape, other.spec.shape[-1]])
    return ask("matmul", input, other)


@_rule("linear")
def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    if weight.spec.ndim != 2 or input.spec.ndim == 0:
        return ask("linear", input, weight, *(() if bias is None else (bias,)))
    if bias is not None and input.spec.ndim == 2:
        return ask("addmm", bias, input, ask("t", weight))
    made = FUNCTIONS["matmul"](input, ask("t", weight))
    return made if bias is None else FUNCTIONS["add"](made, bias)


@_rule("_sparse_mm")
def _sparse_mm(mat1: Any, mat2: Any, reduce: str | None = None) -> Any:
    if reduce is not None:
        return ask("_sparse_mm_reduce_impl", mat1, mat2, reduce)[0]
    kind = mat2 if stands(type(mat1)) else mat1
    zeros = FUNCTIONS["zeros"](mat1.spec.shape[0], mat2.spec.shape[1], dtype=kind.spec.dtype, device=kind.spec.device)
    return ask("_sparse_addmm", zeros, mat1, mat2, 0, 1)
