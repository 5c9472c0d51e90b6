"""What a profiler recorded: operators, ranges and launches, and their averages; times in microseconds, as PyTorch's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OPERATOR, RANGE, KERNEL = "operator", "range", "kernel"
_OLD = {"cuda_time_total": "device_time_total", "self_cuda_time_total": "self_device_time_total", "cuda_time": "device_time",
        "cuda_memory_usage": "device_memory_usage", "self_cuda_memory_usage": "self_device_memory_usage"}


class Interval(NamedTuple):
    """From when to when, in microseconds since the recording began."""

    start: float
    end: float

    def elapsed_us(self) -> float:
        """The length."""
        return self.end - self.start


class _Figures:
    """What events and their averages have in common."""

    key: str
    count: int
    cpu_time_total: float
    device_time_total: float

    @property
    def cpu_time(self) -> float:
        """The host's time of one event, with what it called."""
        return self.cpu_time_total / self.count

    @property
    def device_time(self) -> float:
        """The time of one event's launches on devices that are no CPUs."""
        return self.device_time_total / self.count

    def __getattr__(self, name: str) -> Any:
        if name in _OLD:
            return getattr(self, _OLD[name])
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


@dataclass(eq=False)
class FunctionEvent(_Figures):
    """One call of an operator, one range, or one launch of a kernel (``kind``).

    ``start`` is in seconds of ``time.perf_counter``, ``place`` where it ran: "cpu" or a device's name; "range" for ranges.
    ``memory`` is how many bytes of (CPU, other) devices' pools were taken less those given back.
    """

    id: int
    name: str
    kind: str
    start: float
    seconds: float = 0.0
    place: str = "cpu"
    thread: int = 0
    input_shapes: list = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    memory: tuple[int, int] = (0, 0)
    own_flops: int = 0
    own_bytes: int = 0
    origin: float = 0.0
    cpu_parent: FunctionEvent | None = None
    cpu_children: list[FunctionEvent] = field(default_factory=list)
    kernels: list[FunctionEvent] = field(default_factory=list)
    count = 1

    @property
    def key(self) -> str:  # type: ignore[override]
        """The name."""
        return self.name

    @property
    def time_range(self) -> Interval:
        """When it ran."""
        begin = (self.start - self.origin) * 1e6
        return Interval(begin, begin + self.seconds * 1e6)

    @property
    def is_user_annotation(self) -> bool:
        """Whether it is a range that the program named."""
        return self.kind == RANGE

    @property
    def on_device(self) -> bool:
        """Whether it is a launch on a device that is no CPU."""
        return self.kind == KERNEL and self.place != "cpu"

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """The host's time, with what it called; of a launch its time on a CPU device."""
        return 0.0 if self.on_device else self.seconds * 1e6

    @property
    def self_cpu_time_total(self) -> float:
        """The host's time without the operators that it called."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_device_time_total(self) -> float:
        """The time of its own launches on devices that are no CPUs."""
        if self.kind == KERNEL:
            return self.seconds * 1e6 if self.on_device else 0.0
        return sum(launch.self_device_time_total for launch in self.kernels)

    @property
    def device_time_total(self) -> float:  # type: ignore[override]
        """The same with those of the operators that it called."""
        return self.self_device_time_total + sum(child.device_time_total for child in self.cpu_children)

    @property
    def kernel_time_total(self) -> float:
        """The time of all launches that it and what it called made, on any device."""
        own = self.seconds * 1e6 if self.kind == KERNEL else sum(launch.seconds for launch in self.kernels) * 1e6
        return own + sum(child.kernel_time_total for child in self.cpu_children)

    @property
    def flops(self) -> int:
        """The floating-point operations of those launches, as the launches state them."""
        return (self.own_flops + sum(launch.own_flops for launch in self.kernels)
                + sum(child.flops for child in self.cpu_children))

    @property
    def bytes(self) -> int:
        """The bytes that those launches read and write, as the launches state them."""
        return (self.own_bytes + sum(launch.own_bytes for launch in self.kernels)
                + sum(child.bytes for child in self.cpu_children))

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes taken from the pool of the CPU device, less those given back."""
        return self.memory[0]

    @property
    def device_memory_usage(self) -> int:
        """Bytes taken from the pools of other devices, less those given back."""
        return self.memory[1]

    @property
    def self_cpu_memory_usage(self) -> int:
        """:attr:`cpu_memory_usage` without the operators that it called."""
        return self.memory[0] - sum(child.memory[0] for child in self.cpu_children)

    @property
    def self_device_memory_usage(self) -> int:
        """:attr:`device_memory_usage` without the operators that it called."""
        return self.memory[1] - sum(child.memory[1] for child in self.cpu_children)

    def __repr__(self) -> str:
        return f"<FunctionEvent id={self.id} {self.kind} {self.name} cpu_time={self.cpu_time_total:.3f}us>"


_SUMS = ("cpu_time_total", "self_cpu_time_total", "device_time_total", "self_device_time_total", "kernel_time_total", "flops",
         "bytes", "cpu_memory_usage", "device_memory_usage", "self_cpu_memory_usage", "self_device_memory_usage")


@dataclass
class FunctionEventAvg(_Figures):
    """All events of one name (and, where asked for, of the same shapes or stack): sums over them."""

    key: str
    kind: str
    place: str
    input_shapes: list | None = None
    stack: list[str] | None = None
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0
    device_time_total: float = 0.0
    self_device_time_total: float = 0.0
    kernel_time_total: float = 0.0
    flops: int = 0
    bytes: int = 0
    cpu_memory_usage: int = 0
    device_memory_usage: int = 0
    self_cpu_memory_usage: int = 0
    self_device_memory_usage: int = 0

    @property
    def is_user_annotation(self) -> bool:
        """Whether these are ranges that the program named."""
        return self.kind == RANGE

    def add(self, event: FunctionEvent) -> None:
        """Takes an event in."""
        self.count += 1
        for name in _SUMS:
            # An event within one of its own kind is part of that one's total already.
            if name.startswith("self_") or not _inside_its_like(event):
                setattr(self, name, getattr(self, name) + getattr(event, name))


def _inside_its_like(event: FunctionEvent) -> bool:
    above = event.cpu_parent
    while above is not None and event.kind != KERNEL:
        if above.name == event.name:
            return True
        above = above.cpu_parent
    return False


def averages(events: Iterable[FunctionEvent], by_shape: bool = False, stack_depth: int = 0) -> list[FunctionEventAvg]:
    """The events of each name together, the most expensive first; apart by shapes and innermost stack lines if wanted."""
    groups: dict[tuple, FunctionEventAvg] = {}
    for event in events:
        stack = event.stack[:stack_depth]
        key = (event.name, event.kind, event.place, str(event.input_shapes) if by_shape else "", tuple(stack))
        row = groups.get(key)
        if row is None:
            row = groups[key] = FunctionEventAvg(event.name, event.kind, event.place,
                                                 event.input_shapes if by_shape else None, stack or None)
        row.add(event)
    return sorted(groups.values(), key=lambda row: -(row.cpu_time_total + row.device_time_total))


def folded_stacks(events: Iterable[FunctionEvent], metric: str) -> dict[str, int]:
    """Whole microseconds by stack, ``outermost;...;innermost``; of events without a stack by the names above them."""
    found: dict[str, float] = defaultdict(float)
    for event in events:
        if event.kind == KERNEL:
            continue
        frames = list(reversed(event.stack)) or _names_above(event)
        found[";".join(frames).replace(" ", "_")] += getattr(event, metric)
    return {stack: int(value) for stack, value in found.items() if int(value) > 0}


def _names_above(event: FunctionEvent) -> list[str]:
    names = []
    above: FunctionEvent | None = event
    while above is not None:
        names.append(above.name)
        above = above.cpu_parent
    return names[::-1]
