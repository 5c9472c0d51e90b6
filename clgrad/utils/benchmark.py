"""``torch.utils.benchmark``: how long a statement takes, the device's work included."""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable
from typing import Any

from clgrad.runtime import open_devices

__all__ = ["Compare", "Measurement", "Timer", "timer"]


def timer() -> float:
    """Seconds, after everything that was enqueued has finished."""
    for device in open_devices():
        device.synchronize()
    return time.perf_counter()


_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def _text(seconds: float) -> str:
    scale, unit = next(((s, u) for s, u in _UNITS if seconds >= s), _UNITS[-1])
    return f"{seconds / scale:.2f} {unit}"


class Measurement:
    """The times of several runs: ``times`` holds the seconds of one execution in each."""

    def __init__(self, number_per_run: int, raw_times: list[float], label: str | None, sub_label: str | None,
                 description: str | None, env: str | None, num_threads: int, stmt: str):
        self.number_per_run, self.raw_times, self.num_threads = number_per_run, raw_times, num_threads
        self.label, self.sub_label, self.description, self.env, self.stmt = label, sub_label, description, env, stmt

    @property
    def times(self) -> list[float]:
        """Seconds an execution."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        """Their median."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """The distance between their quartiles; 0 for one run."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return high - low

    @property
    def title(self) -> str:
        """What was measured."""
        return ": ".join(part for part in (self.label or self.stmt, self.sub_label) if part)

    def __repr__(self) -> str:
        runs = len(self.raw_times)
        middle = f"  Median: {_text(self.median)}\n  IQR:    {_text(self.iqr)}" if runs > 1 else f"  {_text(self.median)}"
        return (f"<clgrad.utils.benchmark.Measurement object at {hex(id(self))}>\n{self.title}\n{middle}\n"
                f"  {runs} measurement{'s' * (runs > 1)}, {self.number_per_run} runs per measurement, "
                f"{self.num_threads} thread{'s' * (self.num_threads > 1)}")


class Timer:
    """Runs a statement many times; a synchronisation stands at both ends of each measurement.

    Args:
        stmt, setup: Python code; ``globals`` are the names that it sees.
        num_threads: noted in the result; the OpenCL driver has its own threads.

    >>> import clgrad
    >>> clgrad.utils.benchmark.Timer("x + 1", globals={"x": clgrad.ones(10)}).timeit(10).median > 0
    True
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "",
                 timer: Callable[[], float] = timer, globals: dict[str, Any] | None = None, label: str | None = None,
                 sub_label: str | None = None, description: str | None = None, env: str | None = None,
                 num_threads: int = 1, language: Any = "python"):
        if str(language).lower().split(".")[-1] not in ("python", "py"):
            raise ValueError(f"Timer: only Python statements can be timed, not {language}")
        self._timer = timeit.Timer(stmt, setup, timer, globals=dict(globals or {}))
        self._names: dict[str, Any] = {"label": label, "sub_label": sub_label, "description": description, "env": env,
                                       "num_threads": num_threads, "stmt": stmt}

    def _measured(self, number: int, times: list[float]) -> Measurement:
        return Measurement(number_per_run=number, raw_times=times, **self._names)

    def timeit(self, number: int = 1000000) -> Measurement:
        """One measurement of ``number`` executions, after a few to warm up."""
        self._timer.timeit(max(number // 100, 2))
        return self._measured(number, [self._timer.timeit(number)])

    def blocked_autorange(self, callback: Callable | None = None, min_run_time: float = 0.2) -> Measurement:
        """Measurements of as many executions as take a hundredth of ``min_run_time``, for that time in all."""
        number = 1
        while self._timer.timeit(number) < min_run_time / 100 and number < 1 << 30:
            number *= 10
        times: list[float] = []
        while not times or sum(times) < min_run_time:
            times.append(self._timer.timeit(number))
            if callback is not None:
                callback(number, times[-1])
        return self._measured(number, times)

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """Not offered, as in PyTorch."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback: Callable | None = None) -> Measurement:
        """Like :meth:`blocked_autorange`, until the quartiles are within ``threshold`` of the median or time is up."""
        found = self.blocked_autorange(callback, min_run_time)
        while sum(found.raw_times) < max_run_time and (len(found.raw_times) < 4
                                                       or found.iqr > threshold * found.median):
            found.raw_times.append(self._timer.timeit(found.number_per_run))
        return found


class Compare:
    """A table of measurements: a row a label, a column a description."""

    def __init__(self, results: list[Measurement]):
        self._results = list(results)

    def extend_results(self, results: list[Measurement]) -> None:
        """Adds measurements."""
        self._results += results

    def trim_significant_figures(self) -> None:
        """Accepted: times have two digits after the point."""

    def colorize(self, rowwise: bool = False) -> None:
        """Accepted: the table has no colours."""

    def highlight_warnings(self) -> None:
        """Accepted."""

    def __str__(self) -> str:
        columns = list(dict.fromkeys(r.description or "" for r in self._results))
        rows = list(dict.fromkeys(r.title for r in self._results))
        cells = {(r.title, r.description or ""): _text(r.median) for r in self._results}
        width = max([len(r) for r in rows], default=0)
        widths = [max(len(c), *(len(cells.get((r, c), "")) for r in rows)) for c in columns]
        lines = [" | ".join([" " * width, *(c.rjust(w) for c, w in zip(columns, widths, strict=True))])]
        lines += [" | ".join([r.ljust(width), *(cells.get((r, c), "").rjust(w) for c, w in zip(
            columns, widths, strict=True))]) for r in rows]
        return "\n".join(lines)

    def print(self) -> None:
        """Prints the table."""
        print(self)
