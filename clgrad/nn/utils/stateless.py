"""Modules called with other tensors in place of their own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from clgrad.nn.modules.module import Module

__all__ = ["functional_call"]


def replaced_call(module: Module, given: Mapping[str, Any], args: Any, kwargs: Mapping | None, tie_weights: bool,
                  strict: bool) -> Any:
    """Calls a module that has the given tensors during the call; see :func:`clgrad.func.functional_call`."""
    places = _places(module)
    missing, unknown = [n for n in places if n not in given], [n for n in given if n not in places]
    if strict and (missing or unknown):
        raise RuntimeError(f"functional_call(): Error(s) in state: missing keys {missing}, unexpected keys {unknown}")
    if unknown:
        raise KeyError(f"functional_call(): the module has no parameter or buffer called {unknown[0]!r}")
    replaced: list[tuple[dict, str, Any]] = []
    try:
        for name, value in given.items():
            old = places[name][0][places[name][1]]
            for other, (holder, key) in places.items():
                if other == name or tie_weights and other not in given and holder[key] is old and old is not None:
                    replaced.append((holder, key, holder[key]))
                    holder[key] = value
        arguments = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*arguments, **(kwargs or {}))
    finally:
        for holder, key, value in reversed(replaced):
            holder[key] = value


def _places(module: Module) -> dict[str, tuple[dict, str]]:
    """Where each parameter and buffer of a module is kept: a dictionary and a key."""
    found = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for holder in (part._parameters, part._buffers):
            for key in holder:
                found[f"{prefix}.{key}" if prefix else key] = (holder, key)
    return found


def functional_call(module: Module, parameters_and_buffers: dict[str, Any], args: Any = None,
                    kwargs: Mapping | None = None, *, tie_weights: bool = True, strict: bool = False) -> Any:
    """The deprecated name of :func:`clgrad.func.functional_call`, for one dictionary; warns."""
    warnings.warn("`torch.nn.utils.stateless.functional_call` is deprecated. Please use `torch.func.functional_call` "
                  "instead.", FutureWarning, stacklevel=2)
    return replaced_call(module, parameters_and_buffers, args, kwargs, tie_weights, strict)
