"""Whether operations record a graph: ``no_grad``, ``enable_grad``, ``set_grad_enabled``, ``inference_mode``.

The mode belongs to a thread. Each class is a context manager and a decorator.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any


class _Mode(threading.local):
    def __init__(self) -> None:
        self.enabled = True
        self.inference = False
        self.anomaly = False


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are recorded."""
    return mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether :class:`inference_mode` is on."""
    return mode.inference


class _Context:
    """A mode that is set on entering and put back on leaving, or around each call of a decorated function."""

    def _fresh(self) -> _Context:
        return type(self)()

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):
            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                iterator = function(*args, **kwargs)
                while True:
                    with self._fresh():
                        try:
                            item = next(iterator)
                        except StopIteration as stop:
                            return stop.value
                    yield item
            return generate

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)
        return wrapped

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
        self.previous = mode.enabled
        mode.enabled = self.value

    def __exit__(self, *exception: object) -> None:
        mode.enabled = self.previous


class enable_grad(no_grad):
    """Operations inside are recorded, also within :class:`no_grad`."""

    value = True


class set_grad_enabled(_Context):
    """Switches recording on or off: at once, and put back where it is used with ``with``."""

    def __init__(self, enabled: bool):
        self.value = bool(enabled)
        self.previous = mode.enabled
        mode.enabled = self.value

    def _fresh(self) -> _Context:
        return set_grad_enabled(self.value)

    def __call__(self, function: Callable) -> Callable:
        mode.enabled = self.previous
        return super().__call__(function)

    def __enter__(self) -> None:
        mode.enabled = self.value

    def __exit__(self, *exception: object) -> None:
        mode.enabled = self.previous


class inference_mode(_Context):
    """Like :class:`no_grad`, with ``is_inference_mode_enabled`` true inside."""

    def __init__(self, enabled: bool = True):
        self.value = enabled

    def _fresh(self) -> _Context:
        return inference_mode(self.value)

    def __enter__(self) -> None:
        self.previous = mode.enabled, mode.inference
        mode.enabled = not self.value and mode.enabled
        mode.inference = self.value

    def __exit__(self, *exception: object) -> None:
        mode.enabled, mode.inference = self.previous
