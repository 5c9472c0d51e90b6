"""Whether anybody wants to know of calls of operators, and what a thread has said about it.

What listens is told of calls in :mod:`clgrad.ops.interception`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable)


# Reasons to listen: there are classes that override operators; there are tensors of complex numbers; there are sparse ones;
# there are tensors that stand for others.
CLASSES, COMPLEX, SPARSE, WRAPPERS = "classes", "complex", "sparse", "wrappers"


class Switch:
    """``on`` while there is a reason to look at calls more closely: a mode, autocast, a class that overrides, a profiler.

    It is the one flag that every call of a public operator tests. Quick ways, which are found by the specs of tensors, test
    ``watched``: that is off where complex numbers and sparse tensors are the only reasons, as specs tell of these.
    """

    __slots__ = ("on", "watched", "observers", "_reasons", "_lock")

    def __init__(self) -> None:
        self.on = self.watched = False
        self.observers: tuple[Any, ...] = ()  # see :func:`observed`
        self._reasons: set[Hashable] = set()
        self._lock = threading.Lock()

    def set(self, reason: Hashable, wanted: bool) -> None:
        """Adds a reason, or takes it away."""
        with self._lock:
            (self._reasons.add if wanted else self._reasons.discard)(reason)
            self.on, self.watched = bool(self._reasons), not self._reasons <= {COMPLEX, SPARSE}

    def told_of_walks(self) -> bool:
        """Whether there is a reason to look at what runs within a backward pass. Classes are not asked there, but those of
        tensors that stand for others, of which a pass is read that meets none."""
        return self.on and not self._reasons <= {CLASSES, COMPLEX, SPARSE, WRAPPERS}

    def has(self, reason: Hashable) -> bool:
        """Whether a reason is there."""
        return reason in self._reasons


class Thread(threading.local):
    """What a thread has said: its modes, the innermost last, and whom not to ask at the moment."""

    def __init__(self) -> None:
        self.modes: list[Any] = []
        self.disabled = False  # neither modes nor classes are asked
        self.classes_disabled = False  # classes are not asked


switch = Switch()
thread = Thread()


def push_mode(mode: Any) -> None:
    """Makes a mode the innermost one of this thread."""
    thread.modes.append(mode)
    switch.set(("mode", threading.get_ident()), True)


def pop_mode() -> Any:
    """Takes away the innermost mode of this thread."""
    found = thread.modes.pop()
    switch.set(("mode", threading.get_ident()), bool(thread.modes))
    return found


class without_innermost_mode:
    """A region in which the innermost mode is not asked; gives that mode. Without others nobody listens there."""

    __slots__ = ("_mode",)

    def __enter__(self) -> Any:
        self._mode = pop_mode()
        return self._mode

    def __exit__(self, *exception: object) -> None:
        push_mode(self._mode)


def asked(function: Callable, args: tuple, kwargs: dict) -> Any:
    """What the innermost mode makes of a call of a function that is no operator."""
    with without_innermost_mode() as mode:
        return mode.__torch_function__(function, (), args, kwargs)


def applying() -> Any:
    """The innermost mode of this thread that applies operators of the program's own in its way; None where there is none."""
    return next((mode for mode in reversed(thread.modes) if hasattr(mode, "apply_function")), None) if switch.on else None


@contextmanager
def outside_of(mode: Any) -> Iterator[None]:
    """A region in which neither a mode nor those within it are asked."""
    inner = thread.modes[thread.modes.index(mode):]
    del thread.modes[-len(inner):]
    try:
        yield
    finally:
        for each in inner:
            push_mode(each)


@contextmanager
def without_classes() -> Iterator[None]:
    """A region in which classes with a ``__torch_function__`` are not asked."""
    before, thread.classes_disabled = thread.classes_disabled, True
    try:
        yield
    finally:
        thread.classes_disabled = before


@contextmanager
def _disabled(value: bool) -> Iterator[None]:
    before, thread.disabled = thread.disabled, value
    try:
        yield
    finally:
        thread.disabled = before


def without_overrides() -> AbstractContextManager[None]:
    """A region in which neither modes nor classes are asked."""
    return _disabled(True)


def with_overrides() -> AbstractContextManager[None]:
    """A region in which modes and classes are asked again: for what a program has called within a backward pass."""
    return _disabled(False)


def observe(observer: Any, wanted: bool) -> None:
    """Adds somebody who is told when an operator, or a node of the backward walk, begins and ends; or takes them away.

    ``observer.begin(name, args)`` gives a token, with which ``observer.end(token)`` is called.
    """
    switch.observers = tuple([other for other in switch.observers if other is not observer] + ([observer] if wanted else []))
    switch.set("observers", bool(switch.observers))


class observed:
    """A region of which the observers are told."""

    __slots__ = ("_name", "_args", "_tokens")

    def __init__(self, name: str, args: tuple = ()):
        self._name, self._args = name, args

    def __enter__(self) -> None:
        self._tokens = [(observer, observer.begin(self._name, self._args)) for observer in switch.observers]

    def __exit__(self, *exception: object) -> None:
        for observer, token in reversed(self._tokens):
            observer.end(token)


def unseen(function: F) -> F:
    """The function, whose own calls of operators modes and classes are not asked about."""
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        if not switch.on:
            return function(*args, **kwargs)
        with without_overrides():
            return function(*args, **kwargs)
    return inside  # type: ignore[return-value]
