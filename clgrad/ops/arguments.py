"""A call's arguments, by position or by name, as the signature of what is called has them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


@functools.cache
def _signature(func: Callable) -> inspect.Signature:
    return inspect.signature(func)


def by_position(func: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """A call's arguments, those by position that can be given so; as they are where the signature does not know them."""
    try:
        bound = _signature(func).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs
    return bound.args, bound.kwargs


@functools.cache
def _simple(func: Callable) -> tuple[dict[str, Any], list[str], int]:
    """A signature's parameters with their defaults, those that may be given by position, and how many have to be given so.

    One with parameters of other kinds seems to have none, of which one has to be given.
    """
    parameters = _signature(func).parameters.values()
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.kind is p.KEYWORD_ONLY and p.default is p.empty
           for p in parameters):
        return {}, [], 1
    return ({p.name: p.default for p in parameters}, [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY],
            sum(p.default is p.empty for p in parameters))


def by_name(func: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    """A call's arguments by their names, with defaults; TypeError or ValueError where the signature does not know them."""
    defaults, names, least = _simple(func)
    if not kwargs and least <= len(args) <= len(names):
        return {**defaults, **dict(zip(names, args, strict=False))}
    bound = _signature(func).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def called(func: Callable, given: dict[str, Any]) -> Any:
    """A call of ``func`` with all arguments by their names, as :func:`by_name` gives them."""
    bound = inspect.BoundArguments(_signature(func), given)  # type: ignore[arg-type]
    return func(*bound.args, **bound.kwargs)
