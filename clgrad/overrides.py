"""``torch.overrides``: programs that listen to calls of operators, or replace what operators do.

A class with a ``__torch_function__`` is asked when one of its objects is an argument of a public operator; a mode is asked
for every call in its block. :mod:`clgrad.ops.interception` says in which order.

>>> import clgrad
>>> class Names(TorchFunctionMode):
...     def __torch_function__(self, func, types, args=(), kwargs=None):
...         print(func.__name__)
...         return func(*args, **(kwargs or {}))
>>> with Names():
...     _ = clgrad.nn.functional.layer_norm(clgrad.ones(2, 3), (3,)) + 1
ones
layer_norm
add
"""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

from clgrad import creation, fft, linalg, sampling, special, windows
from clgrad.autograd.listening import pop_mode, push_mode, thread, without_innermost_mode
from clgrad.nn import functional
from clgrad.ops.interception import handle, overriding
from clgrad.ops.node_names import METHODS_ALONE
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor

__all__ = ["BaseTorchFunctionMode", "TorchFunctionMode", "enable_reentrant_dispatch", "get_default_nowrap_functions",
           "get_ignored_functions", "get_overridable_functions", "handle_torch_function", "has_torch_function",
           "has_torch_function_unary", "has_torch_function_variadic", "is_tensor_like", "is_tensor_method_or_property",
           "resolve_name", "wrap_torch_function"]


class TorchFunctionMode:
    """A context in which every call of a public operator in this thread is a call of :meth:`__torch_function__`.

    Modes may be nested: within the handler calls go to the next mode outwards, then to the operator. What an operator calls
    to do its work is not seen.
    """

    inner: TorchFunctionMode

    def __init__(self) -> None:
        pass

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """The result of a call of ``func``; ``types`` are the classes of arguments that override operators, too.

        ``func`` is the function that the program called (``torch.add``, ``torch.Tensor.add_``,
        ``torch.nn.functional.relu``). NotImplemented leaves the call to the arguments' classes.
        """
        raise NotImplementedError

    def __enter__(self) -> Any:
        push_mode(self)
        return self

    def __exit__(self, *exception: object) -> None:
        pop_mode()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """An old spelling of making the mode."""
        warnings.warn("`Mode.push()` is no longer necessary and can be replaced with just `with Mode()`", stacklevel=2)
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that lets every call through."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """The operator's own result."""
        return func(*args, **(kwargs or {}))


_push_mode, _pop_mode, _pop_mode_temporarily = push_mode, pop_mode, without_innermost_mode


def _get_current_function_mode() -> Any:
    return thread.modes[-1] if thread.modes else None


def _get_current_function_mode_stack() -> list[Any]:
    return list(thread.modes)


def _len_torch_function_stack() -> int:
    return len(thread.modes)


def is_tensor_like(inp: Any) -> bool:
    """Whether ``inp`` is a tensor, or an object of a class with a ``__torch_function__``."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a call with these arguments is to be handed to :func:`handle_torch_function`."""
    if thread.disabled:
        return False
    return bool(thread.modes) or (not thread.classes_disabled and bool(overriding(tuple(relevant_args))))


def has_torch_function_unary(argument: Any) -> bool:
    """:func:`has_torch_function` of one argument."""
    return has_torch_function((argument,))


def has_torch_function_variadic(*arguments: Any) -> bool:
    """:func:`has_torch_function` of these arguments."""
    return has_torch_function(arguments)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """What the innermost mode, or the first of the arguments that answers, gives for ``public_api(*args, **kwargs)``.

    Raises:
        TypeError: none of them answers.
    """
    return handle(public_api, [] if thread.classes_disabled else overriding(tuple(relevant_args)), args, kwargs)


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Callable], Callable]:
    """Decorates a function that modes and classes may override; ``dispatcher(*args, **kwargs)`` gives who is asked."""
    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)
        return wrapped
    return decorate


def enable_reentrant_dispatch() -> AbstractContextManager:
    """A block without meaning here."""
    return nullcontext()


# Which functions can be listened to.

def _creators() -> dict[str, Callable]:
    return {**creation.CREATORS, **sampling.CREATORS, **windows.CREATORS}


def _places() -> list[tuple[str, Any, dict[str, Any]]]:
    """(prefix, namespace, its functions), those first whose name a function has that stands in several."""
    top = {name: f for name, f in {**FUNCTIONS, **_creators()}.items()
           if (not name.startswith("_") or name == "_assert") and name not in METHODS_ALONE}
    modules: list[ModuleType] = [fft, linalg, special]
    listed = {name: getattr(functional, name) for name in functional.__all__}
    return [("torch.nn.functional", functional, listed), ("torch", None, top),
            *[(module.__name__.replace("clgrad", "torch"), module, vars(module)) for module in modules],
            ("torch.Tensor", Tensor, {n: getattr(Tensor, n) for n in dir(Tensor)})]


def get_overridable_functions() -> dict[Any, list[Callable]]:
    """The functions that are told of, by namespace: modules by their names' objects, methods under Tensor."""
    found: dict[Any, list[Callable]] = defaultdict(list)
    for prefix, namespace, functions in _places():
        found[namespace or prefix] += [f for f in functions.values() if hasattr(f, "operator_name")]
    found[Tensor] += [f.__get__ for f in vars(Tensor).values() if isinstance(f, property) and _listened(f)]
    return dict(found)


def _listened(found: property) -> bool:
    return hasattr(found.fget, "operator_name")


def get_ignored_functions() -> set[Callable]:
    """Public functions that are not told of."""
    return {f for _, _, functions in _places() for name, f in functions.items()
            if callable(f) and not isinstance(f, type) and not name.startswith("_") and not hasattr(f, "operator_name")}


def get_default_nowrap_functions() -> set[Callable]:
    """Functions whose results a subclass of Tensor gets as they are."""
    return {Tensor.grad.__get__, Tensor._base.__get__}  # type: ignore[attr-defined]


def resolve_name(f: Callable) -> str | None:
    """A name such as ``torch.nn.functional.relu`` or ``torch.Tensor.add_``; None for what is not told of."""
    for prefix, _, functions in _places():
        for name, found in functions.items():
            if found is f and hasattr(found, "operator_name"):
                return f"{prefix}.{name}"
            if isinstance(found, property) and found.__get__ == f:
                return f"{prefix}.{name}.__get__"
    return None


def is_tensor_method_or_property(func: Callable) -> bool:
    """Whether ``func`` is a method of Tensor, or the ``__get__`` of a property; operators are both functions and methods."""
    return func.__name__ == "__get__" or any(getattr(Tensor, name, None) is func for name in dir(Tensor))
