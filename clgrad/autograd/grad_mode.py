"""Whether operations record a graph: ``no_grad``, ``enable_grad``, ``set_grad_enabled``, ``inference_mode``.

The mode belongs to a thread. Each class is a context manager and a decorator.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any


class _Mode(threading.local):
    def __init__(self) -> None:
        self.enabled = True
        self.inference = False
        self.anomaly = False
        self.check_nan = True
        self.walk: Any = None  # the backward pass that is going on
        self.tangents = False  # whether the derivative of the walk that goes on is wanted, which users' Functions may know
        # What tangents travel from. They come of graphs: so these are kept, also those of gradients and within no_grad.
        self.forward: Any = None
        self.hidden = False  # whether nothing is to be recorded but what leads to tangents
        self.running: Any = None  # the node whose backward runs, as far as somebody watches
        self.multithreading = True
        # What is done with tensors that nodes save: pairs (pack, unpack), the innermost last; or why it is forbidden.
        self.saved_hooks: list[tuple[Callable, Callable]] = []
        self.saved_hooks_refused: str | None = None
        self.working: tuple = ()  # the functions of torch.func that are being called, the innermost last
        self.copies: Any = None  # takes copies of saved tensors that are going to be changed in place


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are recorded."""
    return mode.enabled and not mode.hidden


def is_inference_mode_enabled() -> bool:
    """Whether :class:`inference_mode` is on."""
    return mode.inference


class _Context:
    """A mode that is set on entering and put back on leaving, or around each call of a decorated function."""

    def _fresh(self) -> _Context:
        return type(self)()

    def __call__(self, function: Any) -> Any:
        if inspect.isclass(function):
            warnings.warn("Decorating classes is deprecated and will be disabled in future versions. You should only "
                          "decorate functions or methods. To preserve the current behavior of class decoration, you can "
                          "directly decorate the `__init__` method and nothing else.", FutureWarning, stacklevel=2)
            setattr(function, "__init__", self(function.__init__))  # noqa: B010  (a method of the class given)
            return function
        if inspect.isgeneratorfunction(function):
            return self._around_generator(function)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)
        return wrapped

    def _around_generator(self, function: Callable) -> Callable:
        """The mode holds while the generator runs, not while its caller has the turn."""
        @functools.wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Any:
            iterator = function(*args, **kwargs)
            try:
                with self._fresh():
                    item = next(iterator)
                while True:
                    try:
                        given = yield item
                    except GeneratorExit:
                        with self._fresh():
                            iterator.close()
                        raise
                    except BaseException as error:
                        with self._fresh():
                            item = iterator.throw(error)
                    else:
                        with self._fresh():
                            item = iterator.send(given)
            except StopIteration as stop:
                return stop.value
        return generate

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *exception: object) -> None:
        raise NotImplementedError


class no_grad(_Context):
    """Nothing inside is recorded, and nothing is kept for a backward pass.

    >>> import clgrad
    >>> x = clgrad.ones(2, requires_grad=True)
    >>> with clgrad.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    value = False

    def __new__(cls, function: Callable | None = None) -> Any:
        # As a decorator PyTorch allows both @no_grad and @no_grad().
        made = object.__new__(cls)
        return made(function) if callable(function) else made

    def __enter__(self) -> None:
        self.previous = _switch(self.value)

    def __exit__(self, *exception: object) -> None:
        mode.enabled, mode.hidden = self.previous


class enable_grad(no_grad):
    """Operations inside are recorded, also within :class:`no_grad`."""

    value = True


class set_grad_enabled(_Context):
    """Switches recording on or off: at once, and put back where it is used with ``with``."""

    def __init__(self, mode: bool):  # PyTorch's name of the argument
        self.value = bool(mode)
        self.previous = _switch(self.value)

    def _fresh(self) -> _Context:
        return set_grad_enabled(self.value)

    def __call__(self, function: Callable) -> Callable:
        mode.enabled, mode.hidden = self.previous
        return super().__call__(function)

    def __enter__(self) -> None:
        _switch(self.value)

    def __exit__(self, *exception: object) -> None:
        mode.enabled, mode.hidden = self.previous

    def clone(self) -> _Context:
        """Another of the same mode."""
        return self._fresh()


class tangents_wanted(_Context):
    """The walks inside are differentiated by what they start from: users' Functions give their ``jvp`` as derivative."""

    def __enter__(self) -> None:
        self.previous, mode.tangents = mode.tangents, True

    def __exit__(self, *exception: object) -> None:
        mode.tangents = self.previous


def _switch(value: bool) -> tuple[bool, bool]:
    """Sets whether operations are recorded, and whether only for tangents; returns what was."""
    before = mode.enabled, mode.hidden
    mode.enabled = value or mode.forward is not None
    mode.hidden = mode.enabled and not value
    return before


class inference_mode(_Context):
    """Like :class:`no_grad`; tensors made inside may never take part in a graph.

    >>> import clgrad
    >>> with clgrad.inference_mode():
    ...     x = clgrad.ones(2)
    >>> x.is_inference()
    True
    """

    def __new__(cls, mode: Any = True) -> Any:
        # As a decorator PyTorch allows both @inference_mode and @inference_mode().
        made = object.__new__(cls)
        if callable(mode):
            made.value = True
            return made(mode)
        made.value = bool(mode)
        return made

    value: bool

    def _fresh(self) -> _Context:
        return inference_mode(self.value)

    def __enter__(self) -> None:
        self.previous = mode.enabled, mode.inference
        mode.enabled = not self.value
        mode.inference = self.value

    def __exit__(self, *exception: object) -> None:
        mode.enabled, mode.inference = self.previous

    def clone(self) -> _Context:
        """Another of the same mode."""
        return self._fresh()
