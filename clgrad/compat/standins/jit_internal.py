"""``torch._jit_internal``: what TorchScript is told about functions, of which Python needs none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from clgrad.jit import _overload, _overload_method, export, ignore, unused

__all__ = ["Final", "_copy_to_script_wrapper", "_overload", "_overload_method", "boolean_dispatch", "export", "ignore",
           "unused"]


def _copy_to_script_wrapper(fn: Callable) -> Callable:
    return fn


def boolean_dispatch(arg_name: str, arg_index: int, default: bool, if_true: Callable, if_false: Callable,
                     module_name: str, func_name: str) -> Callable:
    """One function of two, by an argument that is true or not."""
    def dispatch(*args: Any, **kwargs: Any) -> Any:
        asked = args[arg_index] if arg_index < len(args) else kwargs.get(arg_name, default)
        return (if_true if asked else if_false)(*args, **kwargs)
    dispatch.__name__ = func_name or dispatch.__name__
    return dispatch
