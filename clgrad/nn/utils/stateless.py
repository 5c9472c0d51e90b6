"""Modules called with other tensors in place of their own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from clgrad.nn.modules.module import Module

__all__ = ["functional_call"]

_ABSENT = object()


@contextmanager
def _reparametrize_module(module: Module, parameters_and_buffers: Any, tie_weights: bool = False, strict: bool = False,
                          stack_weights: bool = False) -> Iterator[None]:
    """Within the block a module has other tensors; what it puts in their places is in the dictionary afterwards.

    Args:
        parameters_and_buffers: names and tensors. One that names neither a parameter nor a buffer is an attribute.
        tie_weights: a tensor that the module holds under several names is replaced under all of them.
        strict: every parameter and buffer must be named, and nothing else.
        stack_weights: accepted; tensors are put back in the opposite order anyway.

    Raises:
        RuntimeError: with ``strict``, names that are missing or unknown.
        ValueError: different tensors for one that the module holds under several names.
    """
    given, places = parameters_and_buffers, _places(module)
    values = {other: value for name, value in given.items()
              for other in (_tied(name, places, given) if tie_weights else [name])}
    if strict:
        _check_names(module, values, [name for name, (holder, key) in places.items() if holder[key] is not None])
    for name in given:
        if name not in places:
            path, _, key = name.rpartition(".")
            places[name] = (module.get_submodule(path).__dict__, key)
    replaced: list[tuple[dict, str, Any]] = []
    try:
        for name, value in values.items():
            holder, key = places[name]
            replaced.append((holder, key, holder.get(key, _ABSENT)))
            holder[key] = value
        yield
    finally:
        for name in given:
            holder, key = places[name]
            given[name] = holder.get(key, given[name])
        for holder, key, value in reversed(replaced):
            if value is _ABSENT:
                del holder[key]
            else:
                holder[key] = value


def _places(module: Module) -> dict[str, tuple[dict, str]]:
    """Where each parameter and buffer of a module is kept: a dictionary and a key."""
    found = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for holder in (part._parameters, part._buffers):
            for key in holder:
                found[f"{prefix}.{key}" if prefix else key] = (holder, key)
    return found


def _tied(name: str, places: dict[str, tuple[dict, str]], given: Mapping[str, Any]) -> list[str]:
    """The names under which a module holds the tensor of one name; ValueError where several are given different ones."""
    holder, key = places.get(name, ({}, ""))
    own = holder.get(key)
    names = [other for other, (holder, key) in places.items() if holder[key] is own] if own is not None else [name]
    known = sorted(other for other in names if other in given)
    if any(given[other] is not given[name] for other in known):
        raise ValueError(f"functional_call got multiple values for keys {known}, which are tied. Consider using "
                         "tie_weights=False")
    return names


def _check_names(module: Module, given: Mapping[str, Any], own: list[str]) -> None:
    problems = [(kind, sorted(names)) for kind, names in (("Unexpected", set(given) - set(own)),
                                                          ("Missing", set(own) - set(given))) if names]
    if problems:
        raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:" + "".join(
            f"\n\t{kind} key(s): {', '.join(map(repr, names))}." for kind, names in problems))


def replaced_call(module: Module, given: Any, args: Any, kwargs: Mapping | None, tie_weights: bool, strict: bool) -> Any:
    """Calls a module that has the given tensors during the call; see :func:`clgrad.func.functional_call`."""
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, given, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


def functional_call(module: Module, parameters_and_buffers: dict[str, Any], args: Any = None,
                    kwargs: Mapping | None = None, *, tie_weights: bool = True, strict: bool = False) -> Any:
    """The deprecated name of :func:`clgrad.func.functional_call`, for one dictionary; warns."""
    warnings.warn("`torch.nn.utils.stateless.functional_call` is deprecated. Please use `torch.func.functional_call` "
                  "instead.", FutureWarning, stacklevel=2)
    return replaced_call(module, parameters_and_buffers, args, kwargs, tie_weights, strict)
