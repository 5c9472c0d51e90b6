"""Sizes that differ between runs: one model recorded with inputs of several sizes, laid over each other.

Python's arithmetic with sizes leaves no trace in a single run. So the model runs with several sizes of each dynamic axis;
an integer that differs between the runs depends on them, and how, its values tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from clgrad.onnx.errors import OnnxExporterError
from clgrad.onnx.exporter.recording import Call, Recorder, Reference


class Dimension(NamedTuple):
    """A number that depends on dynamic axes: its values in the runs. Equal values are taken for the same number."""

    values: tuple[int, ...]


class Value:
    """A tensor of the graph.

    Attributes:
        shape: of ints and :class:`Dimension`.
        recorded: the tensor in each run.
        name: in the graph, once there is one.
    """

    __slots__ = ("number", "shape", "dtype", "recorded", "name", "constant")

    def __init__(self, number: int, recorded: Sequence[Any]):
        self.number, self.recorded = number, recorded
        self.shape: list[Any] = [_laid(sizes) for sizes in zip(*(r.shape for r in recorded), strict=True)]
        self.dtype = recorded[0].dtype
        self.name: str | None = None
        self.constant: Any = None  # the tensor, where it is one of the graph's constants

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def static(self) -> bool:
        """Whether all sizes are known."""
        return not any(isinstance(size, Dimension) for size in self.shape)


def _laid(sizes: tuple) -> Any:
    return sizes[0] if len(set(sizes)) == 1 else Dimension(tuple(sizes))


def merged(runs: Sequence[Recorder]) -> tuple[list[Value], list[Call]]:
    """The values and calls of all runs as one, in which references are numbers still.

    Raises:
        OnnxExporterError: the model did different things for different sizes.
    """
    if len({len(run.calls) for run in runs}) > 1 or len({len(run.values) for run in runs}) > 1:
        raise OnnxExporterError("export: the model makes different calls for different sizes of the dynamic axes")
    try:
        values = [Value(number, recorded) for number, recorded in enumerate(zip(*(run.values for run in runs), strict=True))]
        calls = [Call(*(_merge(parts) for parts in zip(*calls, strict=True)))
                 for calls in zip(*(run.calls for run in runs), strict=True)]
    except ValueError as error:
        raise OnnxExporterError("export: the model makes different calls for different sizes of the dynamic axes") from error
    return values, calls


def _merge(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Reference):
        if any(part != first for part in parts):
            raise ValueError("different tensors")
        return first
    if isinstance(first, slice):
        return slice(*(_merge([getattr(part, name) for part in parts]) for name in ("start", "stop", "step")))
    if isinstance(first, tuple):
        return tuple(_merge(items) for items in zip(*parts, strict=True))
    if isinstance(first, list):
        return [_merge(items) for items in zip(*parts, strict=True)]
    if isinstance(first, dict):
        return {key: _merge([part[key] for part in parts]) for key in first}
    if len(parts) == 1 or _same(parts):
        return first
    if isinstance(first, np.ndarray):
        return None  # positions within memory that varies: refused where they are needed
    if all(isinstance(part, int) for part in parts):
        return Dimension(tuple(parts))
    raise OnnxExporterError(f"export: a call's argument depends on the size of a dynamic axis: {', '.join(map(str, parts))}")


def _same(parts: Sequence[Any]) -> bool:
    first = parts[0]
    if isinstance(first, np.ndarray):
        return all(np.array_equal(part, first) for part in parts)
    return all(part is first or part == first or (part != part and first != first) for part in parts)
