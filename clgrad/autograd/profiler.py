"""``torch.autograd.profiler``: the older spelling of :mod:`clgrad.profiler`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from clgrad.profiler import EventList, record_function
from clgrad.profiler import profile as _profile

__all__ = ["EventList", "emit_itt", "emit_nvtx", "profile", "record_function"]


class profile(_profile):
    """Records what runs inside a ``with`` block; see :class:`clgrad.profiler.profile` for the arguments."""

    def __init__(self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None,
                 record_shapes: bool = False, with_flops: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_modules: bool = False, use_kineto: bool = False, use_cpu: bool = True,
                 experimental_config: Any = None, acc_events: bool = False, custom_trace_id_callback: Any = None):
        super().__init__(record_shapes=record_shapes, with_flops=with_flops, profile_memory=profile_memory,
                         with_stack=with_stack, acc_events=acc_events)
        self.enabled = enabled

    def start(self) -> None:
        """Begins, if it is enabled."""
        if self.enabled:
            super().start()

    @property
    def function_events(self) -> EventList:
        """Every operator, range and launch, in order of time."""
        return self.events()

    @property
    def self_cpu_time_total(self) -> float:
        """The host's time of all operators and ranges, in microseconds."""
        return self.events().self_cpu_time_total

    def total_average(self) -> Any:
        """The totals."""
        return self.events().total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """The events as text, one by one."""
        return self.events().table(*args, **kwargs)

    def __str__(self) -> str:
        return str(self.events())


class emit_nvtx(nullcontext):
    """A block without meaning here: there is no NVIDIA tool that listens."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        super().__init__()


class emit_itt(nullcontext):
    """A block without meaning here: there is no Intel tool that listens."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        super().__init__()
