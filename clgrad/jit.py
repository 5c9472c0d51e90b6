"""``torch.jit`` as PyTorch itself is with ``PYTORCH_JIT=0``: functions and modules stay Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from clgrad.nn import Module as ScriptModule


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """The function, class or module itself."""
    return obj


def trace(func: Any, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself."""
    return func


def _decorator(fn: Any = None, **kwargs: Any) -> Any:
    """Marks nothing: the function itself, or a decorator that gives it back."""
    return fn if callable(fn) else (lambda f: f)


export = unused = ignore = script_if_tracing = script_method = interface = _decorator


def is_scripting() -> bool:
    """False."""
    return False


is_tracing = is_scripting


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's own, for plain classes."""
    return type(obj) is target_type or target_type in type(obj).__mro__


def _refuse(what: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"torch.jit.{what}: clgrad has no TorchScript; save state_dict() with torch.save instead")
    return refuse


save, load, freeze = _refuse("save"), _refuse("load"), _refuse("freeze")

__all__ = ["ScriptModule", "annotate", "export", "freeze", "ignore", "interface", "is_scripting", "is_tracing",
           "isinstance", "load", "save", "script", "script_if_tracing", "script_method", "trace", "unused"]
