"""Where a program's time goes, in ``torch.profiler``'s shape.

Recorded are every launch on the devices that are in use, and the ranges that :class:`record_function` names. The time of
a kernel on a CPU device counts as CPU time, elsewhere as device time.

>>> import clgrad
>>> from clgrad.profiler import ProfilerActivity, profile, record_function
>>> with profile(activities=[ProfilerActivity.CPU]) as prof:
...     with record_function("step"):
...         _ = clgrad.ones(1000).exp().tolist()
>>> sorted(row.key for row in prof.key_averages() if row.key in ("step", "pointwise_exp"))
['pointwise_exp', 'step']
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, NamedTuple

from clgrad.runtime import Profile, device, open_devices


class ProfilerActivity(Enum):
    """What is recorded; clgrad records its launches, wherever they run, for each of these."""

    CPU = 0
    XPU = 1
    CUDA = 2
    MTIA = 3
    HPU = 4


class ProfilerAction(Enum):
    """What a step does, as a schedule says."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:
    """A function from a step's number to what it does: wait, warm up, record; then again, ``repeat`` times (0: for ever)."""
    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError("Step must be non-negative")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        length = wait + warmup + active
        if repeat and step >= repeat * length:
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == length - 1 else ProfilerAction.RECORD
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError("Invalid profiler schedule arguments")
    return action


class Event(NamedTuple):
    """A launch or a named range: when it began (seconds of ``time.perf_counter``), how long it took, and where it ran."""

    name: str
    start: float
    seconds: float
    place: str

    @property
    def key(self) -> str:
        """The name."""
        return self.name


_ranges: list[list[Event]] = []  # of the profiles that record at the moment


class record_function:
    """Names a range of the program: as a context or as a decorator."""

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        event = Event(self.name, self._begin, time.perf_counter() - self._begin, "range")
        for listed in _ranges:
            listed.append(event)

    def __call__(self, function: Callable) -> Callable:
        @wraps(function)
        def ranged(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)
        return ranged


@dataclass(frozen=True)
class Average:
    """All events of one name; times in microseconds."""

    key: str
    count: int
    cpu_time_total: float
    device_time_total: float

    @property
    def self_cpu_time_total(self) -> float:
        """The same as ``cpu_time_total``: launches hold no other launches."""
        return self.cpu_time_total

    @property
    def self_device_time_total(self) -> float:
        """The same as ``device_time_total``."""
        return self.device_time_total

    @property
    def cpu_time(self) -> float:
        """Of one event."""
        return self.cpu_time_total / self.count

    @property
    def device_time(self) -> float:
        """Of one event."""
        return self.device_time_total / self.count

    @property
    def cuda_time_total(self) -> float:
        """The older name of ``device_time_total``."""
        return self.device_time_total


def _time(microseconds: float) -> str:
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


class EventList(list):
    """Events or averages, with :meth:`table`."""

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
              max_name_column_width: int = 55, header: str | None = None, top_level_events_only: bool = False) -> str:
        """The averages as text.

        Args:
            sort_by: a field such as ``cpu_time_total`` or ``count``; the largest first.
            row_limit: the most rows; below 0 all.
        """
        rows = list(self)
        if sort_by is not None:
            name = sort_by.replace("cuda", "device")
            if not rows or not hasattr(rows[0], name):
                known = "cpu_time_total, cpu_time, device_time_total, device_time, count, key"
                if rows:
                    raise AttributeError(f"table(): there is no field {sort_by!r} to sort by; there are {known}")
            rows.sort(key=lambda row: getattr(row, name), reverse=True)
        launches = [row for row in self if row.key not in self.ranges]
        total = sum(row.cpu_time_total + row.device_time_total for row in launches) or 1.0
        width = min(max([len(row.key) for row in rows] + [4]), max_name_column_width)
        line = f"{'-' * width}  {'  '.join(['-' * 12] * 6)}"
        titles = ["Share", "CPU total", "CPU time avg", "Device total", "Device avg", "# of Calls"]
        lines = [*([header] if header else []), line, f"{'Name':>{width}}  " + "  ".join(f"{t:>12}" for t in titles), line]
        for row in rows if row_limit < 0 else rows[:row_limit]:
            share = "" if row.key in self.ranges else f"{(row.cpu_time_total + row.device_time_total) / total:.2%}"
            cells = [share, _time(row.cpu_time_total), _time(row.cpu_time), _time(row.device_time_total),
                     _time(row.device_time), str(row.count)]
            lines.append(f"{row.key[:width]:>{width}}  " + "  ".join(f"{cell:>12}" for cell in cells))
        lines += [line, f"Time of all launches: {_time(total if launches else 0.0)}"]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    ranges: frozenset[str] = frozenset()


class profile:
    """Records what runs inside a ``with`` block, or between :meth:`start` and :meth:`stop`.

    Args:
        activities: accepted; launches on every device are recorded.
        schedule: from a step's number to what it does, see :func:`schedule`; :meth:`step` goes on to the next. By default
            everything is recorded.
        on_trace_ready: called with this object when a recording is complete.
        record_shapes, profile_memory, with_stack, with_flops, with_modules: accepted; nothing more is recorded.
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None,
                 schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[[Any], Any] | None = None, record_shapes: bool = False,
                 profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
                 with_modules: bool = False, experimental_config: Any = None, execution_trace_observer: Any = None,
                 acc_events: bool = False, use_cuda: bool | None = None, custom_trace_id_callback: Any = None):
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.step_num = 0
        self._profiles: list[tuple[str, Profile]] = []
        self._ranges: list[Event] = []
        self._recorded: list[Event] = []
        self._active = False

    def __enter__(self) -> profile:
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

    def step(self) -> None:
        """The next step begins."""
        before = self.current_action
        self.step_num += 1
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._finish()
        self._follow(self.current_action)

    def stop(self) -> None:
        """Ends; a recording that is going on is complete."""
        if self._active:
            self._finish()

    def _follow(self, action: ProfilerAction) -> None:
        wanted = action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if wanted and not self._active:
            _ = device("cpu").compute  # so that a program's first launches are recorded too
            self._profiles = [(opened.limits.name if not opened.is_cpu else "cpu", Profile(opened))
                              for opened in open_devices()]
            for _, recording in self._profiles:
                recording.__enter__()
            self._ranges = []
            _ranges.append(self._ranges)
            self._active = True

    def _finish(self) -> None:
        for _, recording in self._profiles:
            recording.__exit__()
        _ranges[:] = [listed for listed in _ranges if listed is not self._ranges]
        self._active = False
        launches = [Event(span.name, span.start, span.seconds, place)
                    for place, recording in self._profiles for span in recording.spans()]
        self._recorded = sorted([*launches, *self._ranges], key=lambda event: event.start)
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    # What was recorded.

    def events(self) -> EventList:
        """Every launch and range, in order of time."""
        return EventList(self._recorded)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """The events of each name together, the most expensive first."""
        groups: dict[str, list[Event]] = defaultdict(list)
        for event in self._recorded:
            groups[event.name].append(event)
        rows = EventList(sorted((_average(name, events) for name, events in groups.items()),
                                key=lambda row: -(row.cpu_time_total + row.device_time_total)))
        rows.ranges = frozenset(name for name, events in groups.items() if events[0].place == "range")
        return rows

    def export_chrome_trace(self, path: str) -> None:
        """Writes the events for ``chrome://tracing`` or Perfetto."""
        begin = self._recorded[0].start if self._recorded else 0.0
        rows = [{"ph": "X", "cat": "user_annotation" if e.place == "range" else "kernel", "name": e.name,
                 "pid": os.getpid(), "tid": e.place, "ts": (e.start - begin) * 1e6, "dur": e.seconds * 1e6}
                for e in self._recorded]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"schemaVersion": 1, "traceEvents": rows}, file)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Writes ``name microseconds`` lines, as flame graphs are made from."""
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{row.key.replace(' ', '_')} {int(getattr(row, metric.replace('cuda', 'device')))}\n"
                            for row in self.key_averages())

    def __iter__(self) -> Iterator[Event]:
        return iter(self._recorded)


def _average(name: str, events: list[Event]) -> Average:
    on_cpu = sum(e.seconds for e in events if e.place in ("cpu", "range")) * 1e6
    return Average(name, len(events), on_cpu, sum(e.seconds for e in events) * 1e6 - on_cpu)


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable:
    """For ``on_trace_ready``: writes each recording into a folder that TensorBoard reads."""
    def handler(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json"))
    return handler


def supported_activities() -> set[ProfilerActivity]:
    """All of them."""
    return set(ProfilerActivity)
