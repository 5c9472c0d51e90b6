"""Modules without initial values."""

from __future__ import annotations

import inspect
from typing import Any

from clgrad.nn.modules.module import Module


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters and buffers hold anything, because they are about to be set.

    Args:
        module_cls: the class; it has an argument ``device``.
        *args: its arguments, and keyword arguments.

    Raises:
        RuntimeError: it is no class of modules, or has no such argument.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, **kwargs, device="meta").to_empty(device=device)
