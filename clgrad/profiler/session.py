"""``profile``: recording a program's steps, and what is done with the recording."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from clgrad.profiler.events import KERNEL, RANGE, FunctionEvent, averages, folded_stacks
from clgrad.profiler.peaks import Peak, peak_of
from clgrad.profiler.recording import Recording, record_function
from clgrad.profiler.schedules import ProfilerAction, ProfilerActivity
from clgrad.profiler.tables import EventList
from clgrad.runtime import device, gpus

_CATEGORIES = {KERNEL: "kernel", RANGE: "user_annotation"}


class profile:
    """Records what runs inside a ``with`` block, or between :meth:`start` and :meth:`stop`.

    Recorded are the operators that the program calls and those that they call (``aten::add``), the nodes of backward
    passes (``MulBackward0``), the ranges of :class:`record_function`, and every launch of a kernel. While recording, a call
    returns when its kernels on a CPU device have finished: their time is part of the operator's.

    Args:
        activities: accepted; everything is recorded.
        schedule: from a step's number to what it does, see :func:`schedule`; :meth:`step` goes on to the next. By default
            everything is recorded.
        on_trace_ready: called with this object when a recording is complete.
        record_shapes: whether to note the shapes of operands.
        profile_memory: whether to note the memory that operators take from the devices' pools and give back.
        with_stack: whether to note the program's lines that led to an operator.
        with_flops: whether tables show the operations and bytes that the kernels' launches state, and which share that is
            of what the device can do at most, which is measured the first time.
        acc_events: whether a recording is added to those before it, rather than taking their place.
        with_modules, and those not named here: accepted.
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None,
                 schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[[Any], Any] | None = None, record_shapes: bool = False,
                 profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
                 with_modules: bool = False, experimental_config: Any = None, execution_trace_observer: Any = None,
                 acc_events: bool = False, use_cuda: bool | None = None, custom_trace_id_callback: Any = None,
                 post_processing_timeout_s: float | None = None):
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops = with_stack, with_flops
        self._keeps_all = acc_events
        self.step_num = 0
        self._step: AbstractContextManager = nullcontext()  # the range of the current step, where there is a schedule
        self._metadata: dict[str, Any] = {}
        self._recording: Recording | None = None
        self._warming = False  # what is recorded will be forgotten
        self._recorded: list[FunctionEvent] = []
        self._peaks: dict[str, Peak] = {}

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def current_action(self) -> ProfilerAction:
        """What the current step does."""
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def start(self) -> None:
        """Begins."""
        self._follow(self.current_action)
        self._begin_step()

    def step(self) -> None:
        """The next step begins."""
        before = self.current_action
        self.step_num += 1
        self._step.__exit__(None, None, None)
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._finish()
        self._follow(self.current_action)
        self._begin_step()

    def _begin_step(self) -> None:
        if self.schedule is not None:
            self._step = record_function(f"ProfilerStep#{self.step_num}")
            self._step.__enter__()

    def stop(self) -> None:
        """Ends; a recording that is going on is complete."""
        self._step.__exit__(None, None, None)
        self._step = nullcontext()
        if self._warming:
            self._follow(ProfilerAction.NONE)
        elif self._recording is not None:
            self._finish()

    def _follow(self, action: ProfilerAction) -> None:
        if self._warming and action is not ProfilerAction.WARMUP and self._recording is not None:
            self._recording.finish()
            self._recording = None
        self._warming = action is ProfilerAction.WARMUP
        if action is not ProfilerAction.NONE and self._recording is None:
            self._recording = Recording(self.record_shapes, self.profile_memory, self.with_stack)

    def _finish(self) -> None:
        if self._recording is not None:
            found, self._recording = self._recording.finish(), None
            self._recorded = [*self._recorded, *found] if self._keeps_all else found
            self._peaks = self._measured_peaks() if self.with_flops else {}
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _measured_peaks(self) -> dict[str, Peak]:
        places = {event.place for event in self._recorded if event.kind == KERNEL}
        known = [device("cpu"), *[device("cuda", number) for number in range(len(gpus()))]]
        named = {"cpu" if place.compute.limits.is_cpu else place.compute.limits.name: place for place in known}
        return {name: peak_of(place) for name, place in named.items() if name in places}

    # What was recorded.

    def events(self) -> EventList:
        """Every operator, range and launch, in order of time."""
        return EventList(self._recorded, self._peaks, self.profile_memory)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """The events of each name together, the most expensive first."""
        return EventList(averages(self._recorded, group_by_input_shape, group_by_stack_n), self._peaks, self.profile_memory)

    def add_metadata(self, key: str, value: str) -> None:
        """Notes something for the trace's file."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Notes something, given as JSON, for the trace's file."""
        self._metadata[key] = json.loads(value)

    preset_metadata_json = add_metadata_json

    def export_chrome_trace(self, path: str) -> None:
        """Writes the events for ``chrome://tracing`` or Perfetto; compressed where the name ends in ``.gz``."""
        rows = [{"ph": "X", "cat": _CATEGORIES.get(event.kind, "cpu_op"), "name": event.name, "pid": os.getpid(),
                 "tid": event.thread or threading.get_ident() if event.kind != KERNEL else event.place,
                 "ts": event.time_range.start, "dur": event.seconds * 1e6, "args": _arguments(event)}
                for event in self._recorded]
        content = {"schemaVersion": 1, **self._metadata, "traceEvents": rows}
        with gzip.open(path, "wt") if str(path).endswith(".gz") else open(path, "w", encoding="utf-8") as file:
            json.dump(content, file)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Writes ``outermost;...;innermost microseconds`` lines, as flame graphs are made from.

        Without ``with_stack`` operators and ranges stand for the program's lines.
        """
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{stack} {value}\n" for stack, value in folded_stacks(self._recorded, metric).items())

    def __iter__(self) -> Iterator[FunctionEvent]:
        return iter(self._recorded)


def _arguments(event: FunctionEvent) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if event.input_shapes:
        found["Input Dims"] = event.input_shapes
    if event.stack:
        found["Call stack"] = event.stack
    if event.kind == KERNEL:
        found.update(flops=event.own_flops, bytes=event.own_bytes)
    if any(event.memory):
        found["memory"] = event.memory
    return found


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable:
    """For ``on_trace_ready``: writes each recording into a folder that TensorBoard reads."""
    def handler(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json{'.gz' if use_gzip else ''}"
        prof.export_chrome_trace(os.path.join(dir_name, name))
    return handler
