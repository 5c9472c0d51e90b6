"""Hooks that are called when any module is given a parameter, a buffer or a child."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from clgrad.autograd.handles import RemovableHandle, add_hook

_hooks: dict[str, OrderedDict] = {kind: OrderedDict() for kind in ("parameter", "buffer", "module")}


def register_module_parameter_registration_hook(hook: Callable) -> RemovableHandle:
    """Calls ``hook(module, name, parameter)`` for each parameter that a module is given; a result replaces it."""
    return add_hook(_hooks["parameter"], hook)


def register_module_buffer_registration_hook(hook: Callable) -> RemovableHandle:
    """Calls ``hook(module, name, buffer)`` for each buffer that a module is given; a result replaces it."""
    return add_hook(_hooks["buffer"], hook)


def register_module_module_registration_hook(hook: Callable) -> RemovableHandle:
    """Calls ``hook(module, name, child)`` for each child that a module is given; a result replaces it."""
    return add_hook(_hooks["module"], hook)


def registered(kind: str, module: Any, name: str, value: Any) -> Any:
    """What the hooks of a kind make of a value that a module is given."""
    for hook in _hooks[kind].values():
        replaced = hook(module, name, value)
        value = value if replaced is None else replaced
    return value
