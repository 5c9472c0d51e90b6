"""Recording: operators as they begin and end, ranges, and the launches that each of them makes."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.autograd.listening import observe, observed
from clgrad.profiler.events import KERNEL, OPERATOR, RANGE, FunctionEvent
from clgrad.runtime import Profile, Span, device, open_devices

# What PyTorch's operators are called that have another name in Python, and methods that are no operators.
_RENAMED = {"cross_entropy": "cross_entropy_loss", "__getitem__": "index", "__setitem__": "index_put_", "float": "to",
            "double": "to", "half": "to", "bfloat16": "to", "int": "to", "long": "to", "bool": "to", "cuda": "to",
            "cpu": "to", "type": "to", "type_as": "to"}
_NO_OPERATORS = frozenset({
    "size", "stride", "dim", "ndimension", "numel", "nelement", "element_size", "is_contiguous", "is_floating_point",
    "backward", "requires_grad_", "retain_grad", "register_hook", "as_subclass", "data", "T", "mT", "H", "mH", "__len__",
    "__bool__", "__float__", "__int__", "__contains__", "__repr__", "__deepcopy__", "tolist", "numpy", "new"})
_INSIDE = str(Path(__file__).parent.parent)


class Recording:
    """Everything between its making and :meth:`finish`, on all threads and devices.

    Args:
        shapes: whether to note the shapes of operands.
        memory: whether to note how much memory the pools gave.
        stacks: whether to note the program's lines that led to an operator.
    """

    def __init__(self, shapes: bool, memory: bool, stacks: bool):
        self._shapes, self._memory, self._stacks = shapes, memory, stacks
        self._events: list[FunctionEvent] = []
        self._numbers = itertools.count()
        self._threads = _Open()
        _ = device("cpu").compute  # so that a program's first launches are recorded too
        self._devices = open_devices()
        self._profiles = [(opened, Profile(opened, self._threads.innermost, opened.limits.is_cpu))
                          for opened in self._devices]
        for _, profile in self._profiles:
            profile.__enter__()
        self._origin = time.perf_counter()
        observe(self, True)

    def begin(self, name: str, args: tuple) -> FunctionEvent | None:
        """An operator, a node of the backward walk (they have capitals) or a range begins."""
        kind = OPERATOR
        if isinstance(name, _RangeName):
            kind = RANGE
        elif name in _NO_OPERATORS:
            return None
        elif name.isidentifier() and not name[0].isupper():
            name = f"aten::{_RENAMED.get(name, name)}"
        above = self._threads.innermost()
        if above is not None and above.name == name and kind == OPERATOR:
            return None  # one form of an operator called another
        event = FunctionEvent(next(self._numbers), str(name), kind, 0.0, place="range" if kind == RANGE else "cpu",
                              thread=threading.get_ident(), origin=self._origin, cpu_parent=above)
        if self._shapes:
            event.input_shapes = [list(a.spec.shape) if isinstance(a, TensorBase) else [] for a in args]
        if self._stacks:
            event.stack = _program_lines(sys._getframe(2))
        if self._memory:
            event.memory = self._in_use()
        self._threads.events.append(event)
        event.start = time.perf_counter()
        return event

    def end(self, event: FunctionEvent | None) -> None:
        """What :meth:`begin` gave is over."""
        if event is None:
            return
        event.seconds = time.perf_counter() - event.start
        if self._memory:
            event.memory = tuple(now - then for now, then in  # type: ignore[assignment]
                                 zip(self._in_use(), event.memory, strict=True))
        self._threads.events.remove(event)
        if event.cpu_parent is not None:
            event.cpu_parent.cpu_children.append(event)
        self._events.append(event)

    def _in_use(self) -> tuple[int, int]:
        used = [0, 0]
        for opened in self._devices:
            used[not opened.limits.is_cpu] += opened.pool.in_use
        return used[0], used[1]

    def finish(self) -> list[FunctionEvent]:
        """Ends the recording; all events in the order in which they began, launches given to the operators that made them."""
        observe(self, False)
        for _, profile in self._profiles:
            profile.__exit__()
        launches = [self._launch(span, "cpu" if opened.limits.is_cpu else opened.limits.name)
                    for opened, profile in self._profiles for span in profile.spans()]
        return sorted([*self._events, *launches], key=lambda event: event.start)

    def _launch(self, span: Span, place: str) -> FunctionEvent:
        made = FunctionEvent(next(self._numbers), span.name, KERNEL, span.start, span.seconds, place, own_flops=span.flops,
                             own_bytes=span.bytes, origin=self._origin)
        if span.note is not None:
            span.note.kernels.append(made)
            made.thread = span.note.thread
        return made


class _Open(threading.local):
    """The events that have begun in a thread, the innermost last."""

    def __init__(self) -> None:
        self.events: list[FunctionEvent] = []

    def innermost(self) -> FunctionEvent | None:
        return self.events[-1] if self.events else None


def _program_lines(frame: FrameType | None) -> list[str]:
    """``file(line): function`` of the callers that are no part of clgrad, the innermost first."""
    lines = []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_INSIDE):
            lines.append(f"{code.co_filename}({frame.f_lineno}): {code.co_name}")
        frame = frame.f_back
    return lines


class _RangeName(str):
    """The name of a range, which may look like an operator's."""

    __slots__ = ()


class record_function(AbstractContextManager):
    """Names a range of the program for whoever records it: as a context or as a decorator.

    >>> with record_function("step"):
    ...     pass
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        self._region = observed(_RangeName(self.name))
        self._region.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._region.__exit__(*exception)

    def __call__(self, function: Any) -> Any:
        @wraps(function)
        def ranged(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)
        return ranged
