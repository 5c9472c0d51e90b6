"""Where a device's time goes: the events of all launches between two moments."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from clgrad.runtime.device import Device
from clgrad.runtime.kernel import Bound
from clgrad.runtime.opencl import cl


class KernelTime(NamedTuple):
    """A kernel's launches and the device's seconds that they took in all."""

    name: str
    launches: int
    seconds: float


class Span(NamedTuple):
    """One launch on the host's clock (``time.perf_counter``): when the device began with it, and for how many seconds.

    ``flops`` and ``bytes`` are what it computes and moves, as the launch states them; ``note`` what was said of it.
    """

    name: str
    start: float
    seconds: float
    flops: int
    bytes: int
    note: Any


class Profile:
    """Records every launch on a device inside a ``with`` block, on a queue that keeps times.

    ``note`` is called at each launch, by the thread that launches; its answer stands in the launch's :class:`Span`.
    ``wait``: a launch is over when the call that makes it returns, so that its time is part of that call's.

    >>> import clgrad
    >>> device = clgrad.device("cpu").compute
    >>> x = clgrad.rand(1000)
    >>> with Profile(device) as profile:
    ...     _ = x.exp()
    >>> profile.launches
    1
    >>> [kernel.name for kernel in profile.kernels()]
    ['pointwise_exp']
    """

    def __init__(self, device: Device, note: Callable[[], Any] | None = None, wait: bool = False):
        self.device, self._note, self._wait = device, note, wait
        self._events: list[tuple[float, Bound, Any, Any]] = []  # when it was enqueued, on the host's clock
        self._submitted = 0

    def __enter__(self) -> Profile:
        device = self.device
        device.synchronize()
        lanes = [lane for lane in (device.lane, device.here) if lane is not None]
        self._before = [(lane, lane.queue) for lane in lanes], device.recorder
        for lane in lanes:
            lane.queue = cl.CommandQueue(lane.context, lane.handle, cl.command_queue_properties.PROFILING_ENABLE)
        device.recorder = self._record
        self._submitted = device.clock.submitted
        return self

    def __exit__(self, *exception: object) -> None:
        self.device.synchronize()
        self.launches = self.device.clock.submitted - self._submitted
        queues, self.device.recorder = self._before
        for lane, queue in queues:
            lane.queue = queue

    def _record(self, bound: Bound, event: Any, buffers: Sequence, varying: tuple) -> None:
        self._events.append((time.perf_counter(), bound, event, None if self._note is None else self._note()))
        if self._wait:
            event.wait()

    def spans(self) -> list[Span]:
        """Every launch, on the host's clock."""
        times = [event.profile for _, _, event, _ in self._events]
        # The device's clock begins somewhere else: a launch is queued just before it is noted here.
        offset = min((host - t.queued * 1e-9 for (host, *_), t in zip(self._events, times, strict=True)), default=0.0)
        return [Span(bound.kernel.name, t.start * 1e-9 + offset, (t.end - t.start) * 1e-9, *bound.cost, note)
                for (_, bound, _, note), t in zip(self._events, times, strict=True)]

    def kernels(self) -> list[KernelTime]:
        """The kernels that ran, the most expensive first."""
        spent: dict[str, list[float]] = defaultdict(list)
        for _, bound, event, _ in self._events:
            spent[bound.kernel.name].append((event.profile.end - event.profile.start) * 1e-9)
        return sorted((KernelTime(name, len(times), sum(times)) for name, times in spent.items()),
                      key=lambda k: -k.seconds)

    def table(self) -> str:
        """The same as text."""
        total = sum(k.seconds for k in self.kernels()) or 1.0
        lines = [f"{'kernel':<32}{'launches':>9}{'ms':>10}{'share':>8}"]
        lines += [f"{k.name:<32}{k.launches:>9}{k.seconds * 1e3:>10.3f}{k.seconds / total:>8.1%}" for k in self.kernels()]
        return "\n".join(lines)
