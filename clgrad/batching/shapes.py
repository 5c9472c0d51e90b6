"""Rules of operators that give an entry another shape, of indices, and of tensors made like others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.batching.rules import aligned, rule, rule_of_arguments, shifted_all, spread
from clgrad.dtypes import dtype
from clgrad.ops.registry import FUNCTIONS


def _sizes(values: tuple, kwargs: dict, name: str = "size") -> tuple[int, ...] | None:
    """Numbers that were given one by one, or together."""
    if name in kwargs:
        values = (kwargs[name],)
    if not values:
        return None
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = tuple(values[0])
    return values if all(type(v) is int for v in values) else None


@rule("view", "reshape", "expand", "repeat", "tile", "permute", "view_as", "reshape_as", "expand_as", "broadcast_to")
def _reshaped(level: Any, func: Any, args: tuple, kwargs: dict) -> Any:
    own, name = args[0], func.operator_name
    if not level.owns(own) or set(kwargs) - {"size", "shape", "dims"}:
        return NotImplemented
    whole = own.whole
    if name.endswith("_as"):
        name, args = name[:-3], (own, tuple(args[1].shape))
    if name == "view" and isinstance(args[-1], dtype):
        return whole.view(args[-1]) if own.ndim else NotImplemented
    sizes = _sizes(args[1:], kwargs, next(iter(kwargs), "size"))
    if sizes is None:
        return NotImplemented
    if name == "permute":
        moved = shifted_all(sizes, own.ndim) if len(sizes) == own.ndim else None
        return NotImplemented if moved is None else whole.permute(0, *moved)
    if name in ("view", "reshape"):
        return getattr(whole, name)(level.size, *sizes) if own.numel() else NotImplemented
    if name == "tile":
        sizes = (1,) * (own.ndim - len(sizes)) + sizes
    if len(sizes) < own.ndim:
        return NotImplemented
    wide = aligned(level, own, len(sizes))
    return wide.repeat(1, *sizes) if name in ("repeat", "tile") else wide.expand(level.size, *sizes)


@rule_of_arguments("as_strided", "as_strided_copy")
def _strided(level: Any, func: Any, given: dict[str, Any]) -> Any:
    """Of the memory in which an entry lies, which begins one step further for each."""
    whole, first = next(iter(given.values())).whole, given["storage_offset"]
    return func(whole, (level.size, *given["size"]), (whole.stride(0), *given["stride"]),
                whole.storage_offset() if first is None else first)


@rule("T", "t", "mT", "H", "mH", "adjoint")
def _turned(level: Any, func: Any, args: tuple, kwargs: dict) -> Any:
    own = args[0]
    name = getattr(func, "operator_name", "") or func.__self__.fget.operator_name
    if own.ndim < 2 and name in ("T", "t"):
        return own.whole.view_as(own.whole)
    if name == "T":
        return own.whole.permute(0, *range(own.ndim, 0, -1))
    matrices = own.ndim == 2 or own.ndim > 2 and name in ("mT", "mH", "adjoint")
    if not matrices:
        return NotImplemented
    turned = own.whole.transpose(-2, -1)
    return turned.conj() if name in ("H", "mH", "adjoint") else turned


@rule("ravel")
def _raveled(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    return args[0].whole.flatten(1) if args[0].ndim else NotImplemented


@rule("new_zeros", "new_ones", "new_empty", "new_full")
def _new(level: Any, func: Any, args: tuple, kwargs: dict) -> Any:
    """A tensor of the batch, too: it may be changed in place by what is of the batch."""
    own, *rest = args
    fill = (rest[-1],) if func.operator_name == "new_full" else ()
    sizes = _sizes(tuple(rest[:1]) if fill else tuple(rest), kwargs)
    if sizes is None or "size" in kwargs or (fill and (len(rest) != 2 or isinstance(fill[0], TensorBase))):
        return NotImplemented
    return getattr(own.whole, func.operator_name)((level.size, *sizes), *fill, **kwargs)


# Indices.

def _parts(index: Any) -> list:
    return list(index) if isinstance(index, tuple) else [index]


def _is_place(part: Any) -> bool:
    """Whether a part of an index is a number, a slice, None or an ellipsis."""
    return part is None or part is Ellipsis or type(part) is int or (
        isinstance(part, slice) and not any(isinstance(v, TensorBase) for v in (part.start, part.stop, part.step)))


def _tells_places(parts: list) -> bool:
    return all(_is_place(part) for part in parts)


@rule("__getitem__")
def _item(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    own, index = args
    parts = _parts(index)
    if level.owns(own):
        if _tells_places(parts):
            return own.whole[(slice(None), *parts)]
        chosen = [n for n, part in enumerate(parts) if isinstance(part, TensorBase)]
        together = chosen == list(range(chosen[0], chosen[-1] + 1)) if chosen else False
        if together and not any(level.owns(p) for p in parts) and all(
                isinstance(p, (TensorBase, slice)) or p is None for p in parts) and all(
                parts[n].ndim for n in chosen):
            return own.whole[(slice(None), *parts)]
    picks = parts[0]
    if len(parts) != 1 or not level.owns(picks) or picks.dtype.is_floating_point or picks.dtype.name in ("bool", "uint8"):
        return NotImplemented
    if not level.owns(own):
        return own[picks.whole]
    first = FUNCTIONS["arange"](level.size, device=own.device).reshape((level.size, *(1,) * picks.ndim))
    return own.whole[first, picks.whole]


@rule("__setitem__")
def _set_item(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    own, index, value = args
    parts = _parts(index)
    if not level.owns(own) or not _tells_places(parts):
        return NotImplemented
    place = own.whole[(slice(None), *parts)]
    if isinstance(value, TensorBase) and level.owns(value):
        if value.ndim > place.ndim - 1:
            return NotImplemented
        value = aligned(level, value, place.ndim - 1)
    place[...] = value
    return None


@rule("broadcast_tensors")
def _broadcast(level: Any, func: Callable, args: tuple, kwargs: dict) -> Any:
    tensors = list(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else list(args)
    ndim = max(t.ndim for t in tensors)
    if not all(level.owns(t) for t in tensors):
        tensors = [t if level.owns(t) else level.batch(spread(level, t)) for t in tensors]
    return func(*[aligned(level, t, ndim) for t in tensors])
