"""A recording as text, a row for each operator, range and kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from clgrad.profiler.events import KERNEL
from clgrad.profiler.peaks import Peak

_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}


def time_text(microseconds: float, unit: str | None = None) -> str:
    """``1.500ms``: in the largest unit of which it is one or more, or in the given one."""
    if unit is None:
        unit = next((name for name, size in _UNITS.items() if microseconds >= size), "us")
    return f"{microseconds / _UNITS[unit]:.3f}{unit}"


def memory_text(nbytes: int) -> str:
    """``1.50 KB``, of 1024 bytes."""
    for size, unit in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if abs(nbytes) >= size:
            return f"{nbytes / size:.2f} {unit}"
    return f"{nbytes} B"


def count_text(value: float) -> str:
    """``1.500 G``, of thousands."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:.3f} {unit}"
    return f"{value:.0f}" if value else "--"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2%}" if whole else "--"


class EventList(list):
    """Events or averages, with :meth:`table`.

    Attributes:
        peaks: what the devices can do, by name of the place; known where the recording was ``with_flops``.
        memory: whether tables show it.
    """

    def __init__(self, rows: Iterable[Any] = (), peaks: dict[str, Peak] | None = None, memory: bool = False):
        super().__init__(rows)
        self.peaks, self.memory = peaks or {}, memory

    @property
    def self_cpu_time_total(self) -> float:
        """The host's time of all operators and ranges, in microseconds."""
        return sum(row.self_cpu_time_total for row in self if row.kind != KERNEL)

    @property
    def self_device_time_total(self) -> float:
        """The time of all launches on devices that are no CPUs, in microseconds."""
        return sum(row.self_device_time_total for row in self if row.kind == KERNEL)

    def total_average(self) -> Any:
        """The totals of the list as an object with the same fields."""
        return _Totals(self)

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
              max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False, time_unit: str | None = None) -> str:
        """The rows as text.

        Args:
            sort_by: a field such as ``cpu_time_total``, ``self_cpu_time_total``, ``kernel_time_total``, ``flops`` or
                ``count``; the largest first.
            row_limit: the most rows; below 0 all.
            time_unit: "s", "ms" or "us" for all times; by default each has the one that suits it.

        Raises:
            AttributeError: there is no such field.
            ValueError: there is no such unit.
        """
        if time_unit is not None and time_unit not in _UNITS:
            raise ValueError(f"table(): time_unit must be one of {', '.join(_UNITS)}, not {time_unit!r}")
        rows = [row for row in self if not top_level_events_only or getattr(row, "cpu_parent", None) is None]
        if sort_by is not None:
            if rows and not hasattr(rows[0], sort_by):
                known = "cpu_time_total, self_cpu_time_total, device_time_total, kernel_time_total, flops, bytes, count, key"
                raise AttributeError(f"table(): there is no field {sort_by!r} to sort by; there are {known}")
            rows.sort(key=lambda row: getattr(row, sort_by), reverse=True)
        shown = rows if row_limit < 0 else rows[:row_limit]
        columns = self._columns(max_shapes_column_width, max_src_column_width, time_unit)
        cells = [[make(row) for _, make in columns] for row in shown]
        widths = [max([12, len(title), *[len(line[n]) for line in cells]]) for n, (title, _) in enumerate(columns)]
        name = min(max([len(row.key) for row in shown] + [4]), max_name_column_width)
        rule = "  ".join("-" * width for width in (name, *widths))
        lines = [*([header] if header else []), rule, _line("Name", name, [title for title, _ in columns], widths), rule]
        lines += [_line(row.key, name, line, widths) for row, line in zip(shown, cells, strict=True)]
        lines += [rule, f"Self CPU time total: {time_text(self.self_cpu_time_total, time_unit)}"]
        if self.self_device_time_total:
            lines.append(f"Self device time total: {time_text(self.self_device_time_total, time_unit)}")
        return "\n".join(lines)

    def _columns(self, shapes_width: int, source_width: int, unit: str | None) -> list[tuple[str, Callable[[Any], str]]]:
        own, whole = self.self_cpu_time_total, self.self_device_time_total
        columns: list[tuple[str, Callable[[Any], str]]] = [
            ("Self CPU %", lambda row: "--" if row.kind == KERNEL else _share(row.self_cpu_time_total, own)),
            ("Self CPU", lambda row: time_text(row.self_cpu_time_total, unit)),
            ("CPU total", lambda row: time_text(row.cpu_time_total, unit)),
            ("CPU time avg", lambda row: time_text(row.cpu_time, unit))]
        if whole:
            columns += [("Self device", lambda row: time_text(row.self_device_time_total, unit)),
                        ("Self device %", lambda row: _share(row.self_device_time_total, whole)),
                        ("Device total", lambda row: time_text(row.device_time_total, unit)),
                        ("Device time avg", lambda row: time_text(row.device_time, unit))]
        columns.append(("Kernels total", lambda row: time_text(row.kernel_time_total, unit)))
        if self.memory:
            columns += [("CPU Mem", lambda row: memory_text(row.cpu_memory_usage)),
                        ("Self CPU Mem", lambda row: memory_text(row.self_cpu_memory_usage))]
            if whole:
                columns += [("Device Mem", lambda row: memory_text(row.device_memory_usage)),
                            ("Self Device Mem", lambda row: memory_text(row.self_device_memory_usage))]
        columns.append(("# of Calls", lambda row: str(row.count)))
        if any(row.input_shapes for row in self):
            columns.append(("Input Shapes", lambda row: str(row.input_shapes or [])[:shapes_width]))
        if any(row.stack for row in self):
            columns.append(("Source Location", lambda row: (row.stack or [""])[0][-source_width:]))
        if self.peaks:
            columns += [("FLOPs", lambda row: count_text(row.flops)), ("Bytes", lambda row: count_text(row.bytes)),
                        ("% of peak", self._of_peak)]
        return columns

    def _of_peak(self, row: Any) -> str:
        peak = self.peaks.get(row.place)
        if row.kind != KERNEL or peak is None:
            return "--"
        return f"{peak.share(row.flops, row.bytes, row.kernel_time_total * 1e-6):.1%}"

    def __str__(self) -> str:
        return self.table()


class _Totals:
    """The sums of a list's fields."""

    def __init__(self, rows: EventList):
        self.self_cpu_time_total = rows.self_cpu_time_total
        self.self_device_time_total = rows.self_device_time_total
        self.cpu_time_total = sum(row.cpu_time_total for row in rows if row.kind != KERNEL)
        self.device_time_total = sum(row.device_time_total for row in rows if row.kind != KERNEL)
        self.count, self.key = sum(row.count for row in rows), "Total"


def _line(name: str, width: int, cells: list[str], widths: list[int]) -> str:
    if len(name) > width:
        name = name[:width - 3] + "..."
    return "  ".join([f"{name:>{width}}", *[f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)]])
