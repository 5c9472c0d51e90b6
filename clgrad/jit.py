"""``torch.jit`` as PyTorch itself is with ``PYTORCH_JIT=0``: functions and modules stay Python."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, NoReturn

from clgrad.futures import Future
from clgrad.nn import Module


class ScriptModule(Module):
    """What PyTorch compiles modules to. No module is one here: :func:`script` and :func:`trace` give back what they get."""


class ScriptFunction:
    """What PyTorch compiles functions to. No function is one here."""


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """The function, class or module itself."""
    return obj


def trace(func: Any, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself."""
    return func


def _decorator(fn: Any = None, **kwargs: Any) -> Any:
    """Marks nothing: the function itself, or a decorator that gives it back."""
    return fn if callable(fn) else (lambda f: f)


export = unused = ignore = script_if_tracing = script_method = interface = _overload = _overload_method = _decorator


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


save, load, _get_trace_graph = _refuse("save"), _refuse("load"), _refuse("_get_trace_graph")
freeze = optimize_for_inference = trace_module = script
Attribute, Error, TracerWarning = annotate, RuntimeError, UserWarning


def fork(func: Callable, *args: Any, **kwargs: Any) -> Future:
    """The future of a call, which has been made when it is returned."""
    future: Future = Future()
    future.set_result(func(*args, **kwargs))
    return future


def wait(future: Future) -> Any:
    """The value of a future."""
    return future.wait()


def optimized_execution(should_optimize: bool) -> Any:
    """A context that changes nothing."""
    return nullcontext()


def set_fusion_strategy(strategy: list) -> list:
    """Nothing to set."""
    return strategy


__all__ = ["Attribute", "Error", "Final", "Future", "ScriptFunction", "ScriptModule", "TracerWarning", "annotate", "export",
           "fork", "freeze", "ignore", "interface", "is_scripting", "is_tracing", "isinstance", "load",
           "optimize_for_inference", "optimized_execution", "save", "script", "script_if_tracing", "script_method",
           "set_fusion_strategy", "trace", "trace_module", "unused", "wait"]
