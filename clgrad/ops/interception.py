"""Calls of public operators, as others see them: ``__torch_function__`` of modes and classes, autocast, profilers.

Every function that users call, and every method of Tensor, passes through the wrapper that :func:`intercepted` makes.
While nobody listens it costs a flag's test and a call (0.13 us on the machine where an addition of 256 elements takes 5.4).
While somebody does, :func:`dispatch` asks in this order, as PyTorch does:

1. the innermost mode of the thread (``with SomeTorchFunctionMode():``), which is not asked again while its handler runs:
   it sees the calls that a program makes, and none that operators make of each other;
2. the classes of the arguments that have a ``__torch_function__``, subclasses before their bases, else from left to right;
3. then the operator itself runs, its operands converted as autocast wants them, and profilers are told when it begins and
   ends. Where an operand stands for other tensors (its class has a ``__torch_dispatch__``), that class is asked instead, for
   the operators which PyTorch computes the call by (``wrapper_rules``). Where an operand is sparse, the operator's rule for
   that (``sparse_rules``) runs in its place, and there must be one; where an operand is complex, and the operator has a rule
   for that (``complex_rules``), that one runs.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.autograd.listening import CLASSES, COMPLEX, SPARSE, WRAPPERS, observed, switch, thread, without_innermost_mode
from clgrad.formats import sparse_coo, strided
from clgrad.ops import autocast

# How operators compute with complex numbers, by their names, as ``rule(function, args, kwargs)``; see clgrad.complexes.
complex_rules: dict[str, Callable[[Callable, tuple, dict], Any]] = {}

# What stands for operators where an operand is sparse, by their names; see clgrad.sparse.
sparse_rules: dict[str, Callable] = {}

# What is asked where an operand stands for other tensors, as ``rule(public, name, function, args, kwargs)``; see
# clgrad.wrappers.
wrapper_rules: list[Callable[[Callable, str, Callable, tuple, dict], Any]] = []

# Operators that need no memory of their operands: they look at shape, dtype, device and place in the graph alone, or call
# other operators.
OF_NO_MEMORY = frozenset((
    "size", "dim", "ndimension", "numel", "nelement", "element_size", "is_floating_point", "is_complex", "is_signed",
    "stride", "is_contiguous", "backward", "requires_grad_", "retain_grad", "register_hook", "detach_",
    "data", "__repr__", "__deepcopy__", "get_device", "is_same_size", "__len__", "T", "mT", "H", "mH", "is_inference",
    "is_nonzero", "is_neg", "is_conj", "new_tensor", "_assert", "adjoint", "matrix_H", "swapaxes", "swapdims", "vstack",
    "row_stack", "hstack", "column_stack", "movedim", "moveaxis", "matrix_power", "multi_dot", "linalg_multi_dot",
    "chain_matmul"))

# Arguments of these types are never asked.
_LONG = 1000  # a list of more elements is data, unless its first one is no number
_PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None), dict, set, slice, type(Ellipsis), type})


def disabled_torch_dispatch(func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """A ``__torch_dispatch__`` that overrides nothing: that of Tensor itself."""
    return func(*args, **(kwargs or {}))


def disabled_torch_function(func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """A ``__torch_function__`` that overrides nothing: results of operators on such a class are plain tensors."""
    return func(*args, **(kwargs or {}))


def overrides(kind: type) -> bool:
    """Whether a class has a ``__torch_function__`` that is to be asked."""
    if kind in _PLAIN or kind is TensorBase.concrete:
        return False
    found = getattr(kind, "__torch_function__", None)
    return found is not None and found is not disabled_torch_function


def watch_class(kind: type) -> None:
    """From now on operators look for ``__torch_function__``, if the class has one."""
    if not switch.has(CLASSES) and overrides(kind):
        switch.set(CLASSES, True)


def stands(kind: type) -> bool:
    """Whether a class has a ``__torch_dispatch__`` that is to be asked."""
    if kind in _PLAIN or kind is TensorBase.concrete:
        return False
    found = getattr(kind, "__torch_dispatch__", None)
    return found is not None and found is not disabled_torch_dispatch


def overriding(args: Any, asked: Callable[[type], bool] = overrides) -> list[Any]:
    """Those of the arguments whose classes are to be asked, one of each class, subclasses before their bases.

    Lists and tuples among the arguments are looked into. ``asked`` tells of a class whether it overrides operators.
    """
    found: list[Any] = []
    for value in args:
        kind = type(value)
        if kind is list or kind is tuple:
            if not _is_data(value):
                for part in value:
                    _take(part, found, asked)
        else:
            _take(value, found, asked)
    return found


def _is_data(value: list | tuple) -> bool:
    """Whether a list is so long, and begins with a number, that it is not looked into."""
    return len(value) >= _LONG and type(value[0]) in _PLAIN


def _take(value: Any, found: list[Any], asked: Callable[[type], bool]) -> None:
    kind = type(value)
    if asked(kind) and all(type(other) is not kind for other in found):
        place = next((n for n, other in enumerate(found) if issubclass(kind, type(other))), len(found))
        found.insert(place, value)


# Calls.

def dispatch(public: Callable, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
    """A call of an operator while somebody listens."""
    own = thread
    if not own.disabled and (own.modes or (not own.classes_disabled and switch.has(CLASSES))):
        found = [] if own.classes_disabled else overriding((*args, *kwargs.values()))
        if found or own.modes:
            return handle(public, found, args, kwargs)
    if autocast.state.active:
        args, kwargs = autocast.cast(name, args, kwargs)
    if switch.has(WRAPPERS) and overriding((*args, *kwargs.values()), stands):
        return wrapper_rules[0](public, name, function, args, kwargs)
    layout = sparse_layout((*args, *kwargs.values())) if switch.has(SPARSE) else None
    if layout is not None:
        function = sparse_rules.get(name) or refused(name, layout)
    elif switch.has(COMPLEX) and name in complex_rules and _any_complex((*args, *kwargs.values())):
        function = functools.partial(_by_complex_rule, complex_rules[name], function)
    try:
        if switch.observers:
            with observed(name, args):
                return function(*args, **kwargs)
        return function(*args, **kwargs)
    except Exception as error:
        if not switch.has(CLASSES):
            result = _foreign(public, name, function, args, kwargs)
            if result is not NotImplemented:
                return result
        if not isinstance(error, (AttributeError, TypeError, ValueError)):
            raise
        if _bound(public, args):
            return dispatch(public, name, function, args[1:], kwargs)
        respelled = _respelled(function, kwargs)
        if respelled is not None and not isinstance(error, ValueError):
            return dispatch(public, name, function, args, respelled)
        _retell(error, name, function, args, kwargs)
        raise


def sparse_layout(values: Any, nested: bool = True) -> Any:
    """The layout of the first sparse tensor among arguments, None where there is none; lists of tensors are looked into."""
    for value in values:
        found = None
        if isinstance(value, TensorBase):
            found = value.spec.layout
        elif nested and isinstance(value, (list, tuple)) and not _is_data(value):
            found = sparse_layout(value, False)
        if found is not None and found is not strided:
            return found
    return None


def refused(name: str, layout: Any) -> Any:
    """NotImplementedError: an operator does not take sparse tensors."""
    backend = "SparseCPU" if layout is sparse_coo else "SparseCsrCPU"
    raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the '{backend}' backend. This could be "
                              f"because the operator doesn't exist for this backend: tensors of layout {layout} have no rule "
                              "for it. Use to_dense() first.")


def _any_complex(values: Any) -> bool:
    """Whether there are complex numbers among arguments, a tensor's or a single one; lists are looked into."""
    for value in values:
        if isinstance(value, TensorBase):
            if value.spec.dtype.is_complex:
                return True
        elif isinstance(value, complex) or (isinstance(value, (list, tuple)) and not _is_data(value) and _any_complex(value)):
            return True
    return False


def _by_complex_rule(rule: Callable, function: Callable, *args: Any, **kwargs: Any) -> Any:
    return rule(function, args, kwargs)


def handle(public: Callable, found: list[Any], args: tuple, kwargs: dict) -> Any:
    """What the first handler gives that does not answer NotImplemented: the innermost mode's, then the arguments'.

    Raises:
        TypeError: all answer NotImplemented.
    """
    types = tuple([type(value) for value in found])
    if thread.modes:
        with without_innermost_mode() as mode:
            result = mode.__torch_function__(public, types, args, kwargs)
        if result is not NotImplemented:
            return result
    for value in found:
        result = value.__torch_function__(public, types, args, kwargs)
        if result is not NotImplemented:
            return result
    raise TypeError(f"Multiple dispatch failed for '{getattr(public, '__name__', public)}'; all __torch_function__ handlers "
                    f"returned NotImplemented: {', '.join(str(kind) for kind in types) or 'of the innermost mode'}")


def _foreign(public: Callable, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
    """After a call failed while no class was asked: the answer of an argument of a foreign class that overrides operators.

    Such classes are not known before they are met. The outermost of the operators that are being called answers, so that
    a class is asked for what the program called. NotImplemented where no argument overrides anything.
    """
    if not overriding((*args, *kwargs.values())):
        return NotImplemented
    frame: FrameType | None = sys._getframe()
    callers = 0  # operators that are being called, this one among them
    while frame is not None and callers < 2:
        callers += frame.f_code is _WRAPPER
        frame = frame.f_back
    if callers == 2:
        return NotImplemented
    switch.set(CLASSES, True)
    return dispatch(public, name, function, args, kwargs)


def intercepted(function: Callable, name: str, module: str | None = None) -> Callable:
    """The public form of an operator: ``function`` that tells of its calls, under the name ``name``, while somebody listens.

    What has that form already is returned as it is. ``module`` is where pickle finds the form, if not in the function's.
    """
    if hasattr(function, "operator_name"):
        return function
    made = _wrapper(function, name, switch, dispatch, _foreign, _bound, _retell, _respelled)
    # Doctest and others look at a function's module through its globals; the wrapper's own names are all in its closure.
    wrapper: Any = FunctionType(made.__code__, getattr(function, "__globals__", globals()), name, None, made.__closure__)
    functools.update_wrapper(wrapper, function)
    wrapper.__name__, wrapper.operator_name = name, name
    wrapper.public = made.public  # type: ignore[attr-defined]
    if module is not None:
        wrapper.__module__, wrapper.__qualname__ = module, name
    wrapper.public.append(wrapper)
    return wrapper


def quick_form(quick: Callable, told: Callable) -> Callable:
    """Makes ``quick`` the public form of an operator that ``told``, an intercepted function, computes in general.

    It tests the flag itself, and hands a call to ``told`` while somebody listens and wherever it may fail; so what is called
    all the time is called without a wrapper.
    """
    made: Any = quick
    made.operator_name = told.operator_name  # type: ignore[attr-defined]
    made.told = told
    told.public[:] = [quick]  # type: ignore[attr-defined]
    return quick


def _bound(public: Callable, args: tuple) -> bool:
    """Whether an operator was called as a method: of an object whose class says ``activation = clgrad.relu``, for example.

    Python binds functions to objects. PyTorch's are builtins, which it does not bind.
    """
    return bool(args) and not isinstance(args[0], TensorBase) and any(
        value is public for kind in type(args[0]).__mro__ for value in vars(kind).values())


def _wrapper(function: Callable, name: str, switch: Any, dispatch: Callable, foreign: Callable,
             bound: Callable, retell: Callable, respell: Callable) -> Callable:
    public: list[Callable] = []

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if switch.on:
            return dispatch(public[0], name, function, args, kwargs)
        try:
            return function(*args, **kwargs)
        except Exception as error:
            result = foreign(public[0], name, function, args, kwargs)
            if result is NotImplemented:
                if bound(public[0], args):
                    return wrapper(*args[1:], **kwargs)
                respelled = respell(function, kwargs) if kwargs and isinstance(error, (AttributeError, TypeError)) else None
                if respelled is not None:
                    return wrapper(*args, **respelled)
                if isinstance(error, (AttributeError, TypeError, ValueError)):
                    retell(error, name, function, args, kwargs)
                raise
            return result
    wrapper.public = public  # type: ignore[attr-defined]
    return wrapper


def _retell(error: AttributeError | TypeError | ValueError, name: str, function: Callable, args: tuple, kwargs: dict) -> None:
    """TypeError with PyTorch's words for a call with arguments that the operator does not take."""
    if isinstance(error, AttributeError):
        _name_misfit(error, name, function, args, kwargs)
        return
    text = str(error)
    if isinstance(error, ValueError):
        if text.startswith("could not convert string to float"):
            places = [*zip(inspect.signature(function).parameters, args, strict=False), *kwargs.items()]
            place = next((place for place, given in places if isinstance(given, str)), "input")
            raise TypeError(f"{name}(): argument '{place}' must be Number, not str") from error
        return
    missing = re.fullmatch(r"(?:.*\.)?(\w+)\(\) missing \d+ required positional arguments?: (.*)", text)
    if missing and missing[1] == function.__name__:
        names = re.findall(r"'(\w+)'", missing[2])
        listed = ", ".join(f'"{argument}"' for argument in names)
        plural = "s" if len(names) == 1 else ""  # the other way round, as PyTorch has it
        raise TypeError(f"{name}() missing {len(names)} required positional argument{plural}: {listed}") from error
    if text.endswith("object cannot be interpreted as an integer"):
        kind = text.split("'")[1]
        for number, (place, given) in enumerate(zip(inspect.signature(function).parameters.values(), args, strict=False), 1):
            if type(given).__name__ == kind:
                raise TypeError(f"{name}(): argument '{place.name}' (position {number}) must be int, not {kind}") from error
        for key, given in kwargs.items():
            if type(given).__name__ == kind:
                raise TypeError(f"{name}(): argument '{key}' must be int, not {kind}") from error


# Arguments that are no tensors, but lack an attribute too where something else is given.
_OF_OTHER_KINDS = {"dtype": "torch.dtype", "generator": "torch.Generator"}


def _name_misfit(error: AttributeError, name: str, function: Callable, args: tuple, kwargs: dict) -> None:
    """TypeError where an argument is no tensor, and lacked what tensors have.

    Nothing is checked before a call: that would cost every one of them. The error is told anew, with the argument's name.
    """
    misfit = getattr(error, "obj", None)
    if isinstance(misfit, TensorBase):
        return
    names = list(inspect.signature(function).parameters)
    for place in _OF_OTHER_KINDS.keys() & kwargs.keys():
        if kwargs[place] is misfit:
            raise TypeError(f"{name}(): argument '{place}' must be {_OF_OTHER_KINDS[place]}, not "
                            f"{type(misfit).__name__}") from error
    places = [(names[min(n, len(names) - 1)], given) for n, given in enumerate(args)]
    for place, given in [*places, *kwargs.items()]:
        if given is misfit or isinstance(given, (list, tuple)) and any(item is misfit for item in given):
            raise TypeError(f"{name}(): argument '{place}' must be Tensor, not {type(misfit).__name__}") from error
    if args and not any(isinstance(given, (TensorBase, list, tuple)) for _, given in [*places, *kwargs.items()]):
        raise TypeError(f"{name}(): argument '{names[0]}' must be Tensor, not {type(args[0]).__name__}") from error


# Other spellings of arguments: NumPy's, and those of PyTorch's overloads.
_SPELLINGS = {"axis": "dim", "keepdims": "keepdim", "a": "input", "x": "input", "x1": "input", "self": "input",
              "tensor": "input", "x2": "other",
              "sections": "indices_or_sections", "indices": "indices_or_sections",
              "tensor_indices_or_sections": "indices_or_sections", "split_size": "split_size_or_sections"}


@functools.cache
def _keywords(function: Callable) -> frozenset[str]:
    """The names of the arguments that may be given by keyword."""
    parameters = inspect.signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def _respelled(function: Callable, kwargs: dict) -> dict | None:
    """The keywords of a call that failed as the function spells them; None where that is how they are.

    Only where a name is none of the function's own, or a Python type stands for a dtype (``dtype=float``), so that the call
    failed before anything was done.
    """
    known = _keywords(function)
    found = {name if name in known or _SPELLINGS.get(name) not in known else _SPELLINGS[name]: value
             for name, value in kwargs.items()}
    if isinstance(found.get("dtype"), type):
        found["dtype"] = dtypes.as_dtype(found["dtype"])
    return found if len(found) == len(kwargs) and found != kwargs else None


_WRAPPER = _wrapper(intercepted, "", switch, dispatch, _foreign, _bound, _retell, _respelled).__code__
